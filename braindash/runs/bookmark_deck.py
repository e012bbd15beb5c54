"""A deck of bookmarks as slides: one view a slide, then the methods and the works cited of all runs in it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.reports.deck import Deck, Slide, pages_of
from braindash.reports.methods_joined import Made, joined_bibtex, joined_methods
from braindash.runs.bookmarks import FIGURE, METHODS, Bookmark, BookmarkStore
from braindash.runs.record import RunStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from braindash.figures.style import ThemeName
    from braindash.reports.pictures import Picture

_KINDS: tuple[Literal["png", "svg"], ...] = ("png", "svg")
_THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


# --- keeping --------------------------------------------------------------------------------------


def chart_files(spec: Mapping[str, Any], theme: ThemeName) -> dict[str, bytes]:
    """Return the files of a chart's bookmark: its figure, and pictures where only a browser can draw it.

    Raises
    ------
    BraindashError
        Where it needs a browser and there is none, with what to install.
    """
    from braindash.figures.plotly_browser import browser_picture
    from braindash.figures.plotly_spec import decoded, recoloured
    from braindash.figures.plotly_static import uncovered

    files = {FIGURE: json.dumps(spec, separators=(",", ":")).encode()}
    if missing := uncovered(decoded(spec)):
        for page in _THEMES:
            for kind in _KINDS:
                files[f"{page}.{kind}"] = browser_picture(recoloured(dict(spec), theme, page), page, kind, missing)
    return files


def methods_file(home: Home, runs: Sequence[str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return how runs were made, as a bookmark's file, and the caveats that their figures must carry."""
    from braindash.reports.methods import bibtex, methods_text

    store = RunStore(home)
    made, caveats = [], []
    for run_id in runs:
        try:
            run = store.get(run_id)
            records = run.records() or {}
            caveats += [str(c) for c in records.get("caveats") or ()]
            made.append({"run": run.id, "name": " ".join(run.name.split()), "text": methods_text(run),
                         "bibtex": bibtex(run)})  # fmt: skip
        except (BraindashError, OSError):  # the view is worth keeping all the same
            continue
    return {METHODS: json.dumps({"runs": made}).encode()} if made else {}, tuple(dict.fromkeys(caveats))


# --- showing --------------------------------------------------------------------------------------


def bookmark_deck(home: Home, name: str) -> Deck:
    """Return a deck of bookmarks by id or title, as slides.

    Raises
    ------
    BraindashError
        Where there is no such deck, or none of its bookmarks can be read.
    """
    store = BookmarkStore(home)
    entry = store.find(name)
    return deck_of(store, entry.title, store.read(entry.id))


def deck_of(store: BookmarkStore, title: str, bookmarks: Sequence[Bookmark]) -> Deck:
    """Return bookmarks as slides; those that cannot be read are named in ``left_out``."""
    kept = [b for b in bookmarks if not b.problem]
    if not kept:
        raise BraindashError(
            f"The deck “{title}” has no bookmark that can be read.", "Keep a view first: Bookmark, on any page."
        )
    runs = tuple(dict.fromkeys(run for b in kept for run in b.runs))
    made = made_by(store, kept)
    slides = [_first(title, kept, runs, made), *(slide_of(store, b) for b in kept)]
    slides += _methods(made)
    return Deck("", title, tuple(slides), tuple(b.problem for b in bookmarks if b.problem))


def slide_of(store: BookmarkStore, bookmark: Bookmark) -> Slide:
    """Return one bookmark as a slide."""
    drawn = bookmark.kind != "text"

    def draw(theme: ThemeName) -> Figure:
        return _figure(store, bookmark, theme)

    return Slide(
        bookmark.id,
        bookmark.title,
        bookmark.caption,
        points=bookmark.points,
        figure=draw if drawn else None,
        alt=bookmark.alt or bookmark.title,
        n=bookmark.n,
        statistics=bookmark.statistics,
        caveats=bookmark.caveats,
        kind="figure" if drawn else "text",
        runs=bookmark.runs,
    )


def stored_picture(store: BookmarkStore, bookmarks: Sequence[Bookmark]) -> Picture:
    """Return what draws slides of bookmarks: the pictures that are kept, or the chart."""
    from braindash.reports.pictures import draw

    known = {b.id: b for b in bookmarks}

    def picture(slide: Slide, theme: ThemeName, kind: Literal["png", "svg"]) -> bytes:
        bookmark = known.get(slide.key)
        kept = store.file(bookmark, f"{theme}.{kind}") if bookmark is not None else None
        return kept if kept is not None else draw(slide, theme, kind)

    return picture


def deck_file(home: Home, name: str, kind: str) -> bytes:
    """Return a deck of bookmarks as the bytes of a "html", "pptx" or "pdf" file."""
    from braindash.runs.presenting import deck_bytes

    store = BookmarkStore(home)
    entry = store.find(name)
    bookmarks = store.read(entry.id)
    return deck_bytes(deck_of(store, entry.title, bookmarks), kind, stored_picture(store, bookmarks))


def made_by(store: BookmarkStore, bookmarks: Sequence[Bookmark]) -> list[Made]:
    """Return how the runs of bookmarks were made, as was known when each was last kept."""
    found: dict[str, Made] = {}
    for bookmark in sorted(bookmarks, key=lambda b: b.created):
        try:
            rows = json.loads(store.file(bookmark, METHODS) or b"{}").get("runs", ())
            found |= {
                str(r["run"]): Made(str(r["run"]), str(r.get("name", "")), str(r.get("text", "")),
                                    str(r.get("bibtex", "")))
                for r in rows
            }  # fmt: skip
        except (BraindashError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # the views are shown without
    order = list(dict.fromkeys(run for b in bookmarks for run in b.runs))
    return [found[run] for run in order if run in found]


def _first(title: str, kept: Sequence[Bookmark], runs: Sequence[str], made: Sequence[Made]) -> Slide:
    names = {m.run: m.name for m in made}
    of = f"{len(kept)} view{'' if len(kept) == 1 else 's'}"
    of += f" of {len(runs)} run{'' if len(runs) == 1 else 's'}" if runs else ""
    listed = [f"{names[r]} ({r})" if names.get(r) else r for r in runs[:6]]
    if len(runs) > 6:
        listed.append(f"and {len(runs) - 6} more, named on their slides")
    caveats = tuple(dict.fromkeys(c for b in kept for c in b.caveats))
    return Slide("title", title, points=(f"{of}.", *listed), caveats=caveats, kind="title", runs=tuple(runs))


def _methods(made: Sequence[Made]) -> list[Slide]:
    runs = tuple(m.run for m in made)
    out = []
    for key, title, text, size in (
        ("methods", "Methods", joined_methods(made), 16.0),
        ("bibtex", "BibTeX of the works cited", joined_bibtex(made), 14.0),
    ):
        pages = pages_of(text, size=size) if text else []
        for i, page in enumerate(pages, start=1):
            which = title if len(pages) == 1 else f"{title} ({i} of {len(pages)})"
            out.append(Slide(f"{key}_{i}", which, points=page, kind="text", runs=runs))
    return out


# --- figures --------------------------------------------------------------------------------------


def _figure(store: BookmarkStore, bookmark: Bookmark, theme: ThemeName) -> Figure:
    """Return a bookmark's figure: drawn, or a kept picture on a page of its own shape."""
    from braindash.figures.plotly_spec import recoloured
    from braindash.figures.plotly_static import static_plotly

    kept = store.file(bookmark, f"{theme}.png")
    if kept is not None:
        return _framed(kept, bookmark)
    spec = store.figure(bookmark)
    try:
        return static_plotly(recoloured(spec, bookmark.theme, theme), theme)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise BraindashError(
            f"The figure of the bookmark “{bookmark.title}” cannot be drawn ({type(error).__name__}).",
            "Remove it and keep the view again.",
        ) from error


def _framed(data: bytes, bookmark: Bookmark) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    try:
        image = imread(io.BytesIO(data), format="png")
    except (OSError, ValueError, SyntaxError) as error:
        raise BraindashError(
            f"The picture of the bookmark “{bookmark.title}” cannot be read.", "Remove it and keep the view again."
        ) from error
    rows, columns = image.shape[:2]
    figure = Figure(figsize=(10.0, 10.0 * rows / columns))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    return figure
