"""``braindash runs export | import``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from braindash.cli.session import HomeOption, JsonOption, RunArgument, Session, plain
from braindash.jobs.words import size


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("export")(export)
    app.command("import")(import_)


def export(
    ctx: typer.Context,
    run: RunArgument,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="One file if it ends in .zip, else a folder.", show_default=False)
    ],
    no_results: Annotated[bool, typer.Option("--no-results", help="The model alone, without its evaluation.")] = False,
    no_marks: Annotated[bool, typer.Option("--no-marks", help="Without its star, tags and note.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run for others: weights, card, configuration, results, and what you have written on it.

    No responses, no audio, no paths or names.
    """
    from braindash.cli.progress import Bar
    from braindash.runs.sharing import export_run

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    with Bar("Exporting") as bar:
        done = export_run(found, path, results=not no_results, marks=not no_marks, force=force, progress=bar.show)
    session.emit(
        {
            "run": found.id,
            "path": str(done.path),
            "bytes": done.n_bytes,
            "files": len(done.manifest.files),
            "results": done.with_results,
            "marks": done.marks,
            "notes": list(done.notes),
            "manifest_sha256": done.sha256,
        },
        f"Wrote {plain(str(done.path))} ({size(done.n_bytes)}, {len(done.manifest.files)} files, "
        f"{'with' if done.with_results else 'without'} results).",
        f"SHA-256 of its manifest: {done.sha256}",
        *([f"Others will read what is written on it ({done.marks}); --no-marks leaves it out."] if done.marks else []),
        *(f"Note: {plain(n)}" for n in done.notes),
    )


def import_(
    ctx: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="What `runs export` wrote: a .zip or a folder.", show_default=False)
    ],
    base: Annotated[
        str | None, typer.Option("--base", metavar="REF", help="What the base model is called here.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a run of this home from an export, after checking everything in it."""
    from braindash.cli.progress import Bar
    from braindash.runs.importing import import_run

    session = Session(ctx, home, as_json)
    with Bar("Importing") as bar:
        done = import_run(path, session.home, base=base, progress=bar.show)
    session.emit(
        {
            "run": done.run.id,
            "original": done.original_id,
            "status": "done",
            "results": done.evaluated,
            "manifest_sha256": done.sha256,
            "notes": done.notes,
        },
        f"Run {done.run.id}{' with its results' if done.evaluated else ''}.",
        f"SHA-256 of its manifest: {done.sha256}",
        *(f"Note: {plain(n)}" for n in done.notes),
    )
