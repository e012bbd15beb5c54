"""``braindash report``"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, plain
from braindash.errors import BraindashError
from braindash.jobs.words import size


class Format(StrEnum):
    """The kinds of file that a deck is written as."""

    HTML = "html"
    PPTX = "pptx"
    PDF = "pdf"


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("report")(report)


def report(
    ctx: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="The run's id; not with --deck.", show_default=False)
    ] = None,
    deck: Annotated[
        str | None,
        typer.Option("--deck", metavar="NAME", help="A deck of bookmarks in place of a run.", show_default=False),
    ] = None,
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="By default what the file's name ends in, else html.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="By default RUN.FORMAT or DECK.FORMAT in this folder.",
            show_default=False,
        ),
    ] = None,
    as_built: Annotated[
        bool, typer.Option("--as-built", help="Every slide as it was built, whatever the page Present keeps.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write slides of a run, or of bookmarks: one HTML file that needs no network, PowerPoint to edit, or PDF.

    Of a run: the answer, curves over layers, maps, controls, probes, RSA, findings and methods, as far as the run has
    them, each with its n, its statistics and the run's id; in the order and words that the page Present keeps.
    Of a deck: the views that were kept on pages, of any runs, then the methods and the works cited of all of them.
    """
    from braindash.cortex.colour import use_maps
    from braindash.runs.presenting import run_deck, write_deck
    from braindash.settings import read_settings

    session = Session(ctx, home, as_json)
    colours = read_settings(session.home).colours
    use_maps(colours.sequential, colours.diverging)
    if (run is None) == (deck is None):
        raise BraindashError(
            "Slides are those of a run or those of a deck of bookmarks.", "Name one: RUN, or --deck NAME."
        )
    if run is None or deck is not None:
        _of_bookmarks(session, str(deck), kind, output, force)
        return
    found = session.store.get(run)
    kind = kind or _format_of(output)
    path = Path(f"{found.id}.{kind}") if output is None else output
    _refuse(path, force)
    slides = run_deck(found, arranged=not as_built)
    write_deck(slides, path, kind.value)
    n_bytes = path.stat().st_size
    session.emit(
        {
            "run": found.id,
            "path": str(path.resolve()),
            "format": kind.value,
            "slides": [{"key": s.key, "title": s.title} for s in slides.slides],
            "left_out": list(slides.left_out),
            "bytes": n_bytes,
        },
        f"Wrote {plain(str(path))} ({len(slides.slides)} slides, {size(n_bytes)}).",
        *(f"Left out: {plain(s)}" for s in slides.left_out),
    )


def _of_bookmarks(session: Session, name: str, kind: Format | None, output: Path | None, force: bool) -> None:
    """Write a deck of bookmarks."""
    from braindash.files import atomic_write
    from braindash.runs.bookmark_deck import deck_file, deck_of
    from braindash.runs.bookmarks import BookmarkStore

    store = BookmarkStore(session.home)
    entry = store.find(name)
    kind = kind or _format_of(output)
    path = Path(f"{entry.id}.{kind}") if output is None else output
    _refuse(path, force)
    slides = deck_of(store, entry.title, store.read(entry.id))
    atomic_write(path, deck_file(session.home, entry.id, kind.value))
    n_bytes = path.stat().st_size
    session.emit(
        {
            "deck": entry.id,
            "title": entry.title,
            "path": str(path.resolve()),
            "format": kind.value,
            "runs": list(slides.slides[0].runs),
            "slides": [{"key": s.key, "title": s.title, "runs": list(s.runs)} for s in slides.slides],
            "left_out": list(slides.left_out),
            "bytes": n_bytes,
        },
        f"Wrote {plain(str(path))} ({len(slides.slides)} slides, {size(n_bytes)}).",
        *(f"Left out: {plain(s)}" for s in slides.left_out),
    )


def _format_of(output: Path | None) -> Format:
    """Return the format that a file's name ends in; HTML where there is no name."""
    if output is None:
        return Format.HTML
    ending = output.suffix.lower().removeprefix(".")
    known = {"htm": "html"}.get(ending, ending)
    if known not in list(Format):
        raise BraindashError(
            f"The name of {str(output)!r} does not say which kind of file it is.",
            f"End it in {', '.join(f'.{f}' for f in Format)}, or name one with --format.",
        )
    return Format(known)


def _refuse(path: Path, force: bool) -> None:
    """Refuse what would overwrite something, or could not be written, before any figure is drawn."""
    if path.is_dir():
        raise BraindashError(f"{str(path)!r} is a folder.", "Name a file with --output.")
    if path.exists() and not force:
        raise BraindashError(f"{str(path)!r} is already there.", "Replace it with --force, or name another file.")
    if not path.absolute().parent.is_dir():
        raise BraindashError(f"There is no folder {str(path.absolute().parent)!r}.", "Make it, or name another file.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise BraindashError(f"{str(path.absolute().parent)!r} may not be written.", "Name another file with --output.")
