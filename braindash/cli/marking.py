"""``braindash runs mark`` and ``braindash runs diff``"""

from __future__ import annotations

from typing import Annotated

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, plain, table
from braindash.errors import BraindashError

NOTE_SHOWN = 60  # characters of a note in a table


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("mark")(mark)
    app.command("diff")(diff)


def mark(
    ctx: typer.Context,
    run: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids of runs.", show_default=False)],
    star: Annotated[
        bool | None, typer.Option("--star/--no-star", help="Give it a star, or take it away.", show_default=False)
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Add a tag; may be repeated.")] = None,
    untag: Annotated[
        list[str] | None, typer.Option("--untag", metavar="TAG", help="Take a tag away; may be repeated.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="Replace the note; '' removes it.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give runs a star, tags and a note, or show what they have.

    They are kept in the home, not in the run: nothing that was computed changes. An export carries them.
    """
    from braindash.runs.marks import change_marks, clean_note, clean_tag, read_marks

    session = Session(ctx, home, as_json)
    ids = list(dict.fromkeys(run))
    for run_id in ids:
        session.store.get(run_id)
    for text in tag or ():  # all of it is checked before the first run is marked
        clean_tag(text)
    if note is not None:
        clean_note(note)
    asked = star is not None or tag or untag or note is not None
    found = {}
    for run_id in ids:
        if asked:
            found[run_id] = change_marks(
                session.home, run_id, starred=star, add=tag or (), remove=untag or (), note=note
            )
        else:
            found[run_id] = read_marks(session.home, run_id)
            if found[run_id].problem and not session.as_json:
                session.tell(found[run_id].problem)
    lines = []
    for run_id, marks in found.items():
        lines.append(f"{'★ ' if marks.starred else ''}{run_id}{'  ' if marks.tags else ''}{', '.join(marks.tags)}")
        lines += [f"  {plain(line)}" for line in marks.note.split("\n") if line]
    session.emit({"runs": [{"run": run_id, **marks.as_dict()} for run_id, marks in found.items()]}, *lines)


def diff(
    ctx: typer.Context,
    run: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids of two or more runs.", show_default=False)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the settings in which runs differ, and nothing else."""
    from braindash.runs.config_differences import compare_settings
    from braindash.runs.groups import show_value

    session = Session(ctx, home, as_json)
    ids = list(dict.fromkeys(run))
    if len(ids) < 2:
        raise BraindashError("One run differs from nothing.", "Name two runs or more.")
    found = compare_settings([session.store.get(run_id).config for run_id in ids])
    rows = [[d.key, *map(show_value, d.values)] for d in found.differing]
    session.emit(
        {
            "runs": ids,
            "differences": [{"setting": d.key, "values": list(d.values)} for d in found.differing],
            "agreeing": dict(found.agreeing),
        },
        *(table(["setting", *ids], rows) if rows else []),
        f"{len(found.agreeing)} settings agree.",
    )
