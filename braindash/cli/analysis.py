"""``braindash partition | methods``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, RunArgument, Session, comma_list, plain, table


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("partition")(partition)
    app.command("methods")(methods)


def partition(
    ctx: typer.Context,
    run: RunArgument,
    layer: Annotated[int | None, typer.Option("--layer", metavar="K", help="Layer; the last by default.")] = None,
    spaces: Annotated[
        str | None,
        typer.Option(
            "--spaces",
            metavar="A,B",
            help="Of spectral, articulatory, phones, word_rate, meaning; by default what the stories have data for.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", metavar="FILE", help="Word vectors for meaning: GloVe text, .json or .npz."),
    ] = None,
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Only these subjects.")] = None,
    targets: Annotated[
        int, typer.Option("--targets", metavar="N", min=1, help="Most targets of a region, evenly spaced.")
    ] = 60,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a layer explains beyond sound, articulation, word rate and meaning.

    Unique and shared variance by banded ridge, and the fall in r when low-level features are removed.
    """
    from braindash.cli.progress import Bar
    from braindash.runs.partitioning import partition_run

    session = Session(ctx, home, as_json)
    found = session.ended_run(run)
    with Bar("Partitioning") as bar:
        document = partition_run(
            found,
            layer=layer,
            spaces=comma_list(spaces),
            subjects=comma_list(subjects),
            vectors=vectors,
            max_targets=targets,
            progress=bar.show,
        )
    session.emit(document, *_partition_lines(document))


def methods(
    ctx: typer.Context,
    run: RunArgument,
    as_bibtex: Annotated[
        bool, typer.Option("--bibtex", help="The works cited, as BibTeX, in place of the text.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the methods section of a run.

    What was fitted and how, with citations; every number is read from the run's own files.
    """
    from braindash.reports.methods import methods_and_bibtex

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    text, works = methods_and_bibtex(found)
    session.emit({"run": found.id, "methods": text, "bibtex": works}, (works if as_bibtex else text).rstrip("\n"))


def _partition_lines(document: Mapping[str, Any]) -> list[str]:
    heard = {row["subject"] for row in document["rows"]}
    shown = {"all"} if "all" in heard else heard
    rows = [
        [
            row["roi"], row["subject"], row["model"], row["part"].replace("removed:", "Δr without "),
            f"{row['n_targets']} of {row['n_available']}",
            signed(row.get("r2", row.get("delta_r"))), interval(row["ci_low"], row["ci_high"]),
            signed(row.get("change")), interval(row.get("change_low"), row.get("change_high")),
        ]
        for row in document["rows"]
        if row["subject"] in shown
    ]  # fmt: skip
    out = table(("region", "subject", "model", "part", "targets", "R² or Δr", "95 %", "vs pretrained", "95 %"), rows)
    out += ["", f"Layer {document['layer']}; spaces: {', '.join(s['name'] for s in document['spaces'])}."]
    out += [f"Left out: {e['space']}, because {e['why']}." for e in document["left_out"]]
    return out + [f"Note: {plain(c)}" for c in document["caveats"]]


def signed(value: float | None) -> str:
    """Return a number with its sign, "" where there is none."""
    return "" if value is None or value != value else f"{value:+.4f}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval, "" where there is none."""
    return "" if low is None or high is None or low != low else f"[{low:+.4f}, {high:+.4f}]"
