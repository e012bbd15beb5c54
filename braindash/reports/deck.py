"""Slides: what a deck is made of, and where everything stands on a slide, the same for every kind of file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from braindash.reports.letters import Fitted, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from braindash.figures.style import ThemeName

WIDTH, HEIGHT = 13.333, 7.5  # inches, 16 to 9
MARGIN = 0.5
FOOT = 7.42  # inches down to which the foot may reach
POINTS = 72.0  # in an inch
_MOST_RUNS = 2  # named at the foot of a slide
# XML has no place for control characters, and a lone surrogate is no character at all
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_TITLES = (30, 28, 26, 24, 22, 20)  # points, the largest that fits
_CAPTIONS = (18, 17, 16, 15, 14)
_BODY = (24, 22, 20, 18, 17, 16, 15, 14)
_FOOTS = (11, 10)
_TITLE_ROOM, _CAPTION_ROOM, _FOOT_ROOM, _MARK_ROOM = 1.0, 1.05, 0.52, 3.7


@dataclass(frozen=True, eq=False)
class Slide:
    """One slide.

    Attributes
    ----------
    key : str
        What it shows, the same for every run; saved decks name slides by it.
    title, caption : str
        What a speaker may reword.
    points : sequence of str
        Paragraphs, of a slide that has no figure.
    figure : callable, optional
        From a theme to the figure; it is drawn when a file is written.
    alt : str
        The figure in words.
    n, statistics : str
        How many of what, and the sentence with interval and test.
    caveats : sequence of str
    runs : sequence of str
        Ids of the runs that it shows, where the deck is not of one run.
    """

    key: str
    title: str
    caption: str = ""
    points: Sequence[str] = ()
    figure: Callable[[ThemeName], Figure] | None = None
    alt: str = ""
    n: str = ""
    statistics: str = ""
    caveats: Sequence[str] = ()
    kind: Literal["title", "figure", "text"] = "figure"
    runs: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("title", "caption", "alt", "n", "statistics"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        for name in ("points", "caveats", "runs"):
            object.__setattr__(self, name, tuple(printable(text) for text in getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Deck:
    """Slides of one run, or of several (then ``run_id`` is ""); ``left_out`` says what is not among them, and why."""

    run_id: str
    title: str
    slides: Sequence[Slide]
    left_out: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Box:
    """A rectangle on a slide, in inches from the top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Placed:
    """Text in its box."""

    box: Box
    text: Fitted


@dataclass(frozen=True)
class Layout:
    """Where everything of one slide stands."""

    title: Placed
    caption: Placed | None
    body: tuple[Placed, ...]  # one a paragraph
    picture: Box | None
    foot: Placed
    mark: Placed  # run id and number, at the right of the foot


def printable(text: str) -> str:
    """Return text on one line without what no file can hold: control characters, halves of characters."""
    return _FORBIDDEN.sub("\ufffd", " ".join(text.split()))


def lay_out(slide: Slide, deck: Deck, number: int) -> Layout:
    """Place a slide's text and picture so that nothing overlaps and no letter is too small to read.

    Text that does not fit at the smallest size is cut with an ellipsis; notes and files keep it whole.
    """
    wide = WIDTH - 2 * MARGIN
    mark = Placed(
        Box(WIDTH - MARGIN - _MARK_ROOM, FOOT - _FOOT_ROOM, _MARK_ROOM, _FOOT_ROOM),
        _fitted(mark_text(slide, deck, number), _FOOTS, _MARK_ROOM, _FOOT_ROOM),
    )
    foot = Placed(
        Box(MARGIN, FOOT - _FOOT_ROOM, wide - _MARK_ROOM - 0.2, _FOOT_ROOM),
        _fitted(foot_text(slide), _FOOTS, wide - _MARK_ROOM - 0.2, _FOOT_ROOM),
    )
    end = FOOT - _FOOT_ROOM - 0.1
    if slide.kind == "title":
        top = Placed(
            Box(MARGIN + 0.3, 0.9, wide - 0.6, 1.5), _fitted(slide.title, (44, 40, 36, 30, 24), wide - 0.6, 1.5, True)
        )
        y = 2.6
        caption = None
        if slide.caption:
            said = _fitted(slide.caption, _CAPTIONS, wide - 0.6, 0.75)
            caption = Placed(Box(MARGIN + 0.3, end - 0.8, wide - 0.6, 0.8), said)
            end -= 0.95
        return Layout(top, caption, _stack(slide.points, MARGIN + 0.3, y, wide - 0.6, end - y), None, foot, mark)
    words = _fitted(slide.title, _TITLES, wide, _TITLE_ROOM, True)
    title = Placed(Box(MARGIN, 0.3, wide, max(words.height / POINTS, 0.55)), words)
    y = title.box.y + title.box.height + 0.12
    caption = None
    if slide.caption:
        said = _caption(slide.caption, wide)
        tall = said.height / POINTS
        caption = Placed(Box(MARGIN, end - tall, wide, tall), said)
        end -= tall + 0.1
    if slide.figure is not None:
        return Layout(title, caption, (), Box(MARGIN, y, wide, end - y), foot, mark)
    return Layout(title, caption, _stack(slide.points, MARGIN, y, wide, end - y), None, foot, mark)


def foot_text(slide: Slide) -> str:
    """Return what stands small at the foot of a slide: n, and what must be kept in mind."""
    return " ".join(s for s in (_sentence(slide.n), *slide.caveats) if s)


def mark_text(slide: Slide, deck: Deck, number: int) -> str:
    """Return what stands at the right of the foot: the run or runs, and the slide's number."""
    runs = _runs_of(slide, deck)
    said = _runs_text(runs) if len(runs) <= _MOST_RUNS else f"{len(runs)} runs, named in the notes"
    return f"{said} · {number}" if said else str(number)


def _runs_of(slide: Slide, deck: Deck) -> Sequence[str]:
    return slide.runs or ((deck.run_id,) if deck.run_id else ())


def _runs_text(runs: Sequence[str]) -> str:
    return f"Run{'s' if len(runs) > 1 else ''} {', '.join(runs)}" if runs else ""


def notes_text(slide: Slide, deck: Deck) -> str:
    """Return a slide's speaker notes: caption, statistics, n, run and caveats, uncut."""
    of = _runs_text(_runs_of(slide, deck))
    said = [slide.title, *slide.points, slide.caption, slide.statistics, _sentence(slide.n), _sentence(of)]
    return "\n".join(dict.fromkeys(s for s in (*said, *slide.caveats) if s))


def inside(box: Box, aspect: float) -> Box:
    """Return the largest rectangle of ``aspect`` (width by height) in a box, rather at its top than at its foot."""
    width = min(box.width, box.height * aspect)
    height = width / aspect
    return Box(box.x + (box.width - width) / 2, box.y + (box.height - height) / 4, width, height)


def pages_of(text: str, width: float = WIDTH - 2 * MARGIN, height: float = 5.5, size: float = 16) -> list[list[str]]:
    """Cut a long text into pages of paragraphs that fit a slide at ``size`` points, between sentences."""
    pages: list[list[str]] = [[]]
    room = height * POINTS
    left = room
    for paragraph in (p for p in text.split("\n\n") if p.strip()):
        for piece in _pieces(" ".join(paragraph.split()), size, width, room):
            tall = fit(piece, (size,), width * POINTS, room).height + 0.5 * size
            if tall > left and pages[-1]:
                pages.append([])
                left = room
            pages[-1].append(piece)
            left -= tall
    return [p for p in pages if p]


def _pieces(paragraph: str, size: float, width: float, room: float) -> list[str]:
    """Return a paragraph in pieces of at most half a page."""
    pieces = [""]
    for sentence in re.split(r"(?<=[.;]) ", paragraph):
        longer = f"{pieces[-1]} {sentence}".strip()
        if pieces[-1] and fit(longer, (size,), width * POINTS, 99 * room).height > room / 2:
            pieces.append(sentence)
        else:
            pieces[-1] = longer
    return pieces


def _stack(points: Sequence[str], x: float, y: float, width: float, height: float) -> tuple[Placed, ...]:
    """Place paragraphs below one another, all at the largest size at which they fit together."""
    points = [p for p in points if p]
    for size in _BODY:
        fitted = [_fitted(p, (size,), width, 99.0) for p in points]
        gap = 0.6 * size / POINTS
        if sum(f.height / POINTS + gap for f in fitted) <= height or size == _BODY[-1]:
            break
    placed = []
    end = y + height
    for text in fitted:
        tall = text.height / POINTS
        if y + tall > end:  # cut at the foot
            if end - y < size * 1.3 / POINTS:
                break
            tall = end - y
            text = _fitted("\n".join(text.lines), (size,), width, tall)
        placed.append(Placed(Box(x, y, width, tall), text))
        y += tall + gap
    return tuple(placed)


def _fitted(text: str, sizes: Sequence[float], width: float, height: float, bold: bool = False) -> Fitted:
    return fit(text, sizes, width * POINTS, height * POINTS, bold)


def _caption(text: str, width: float) -> Fitted:
    """Return a caption on one line where that needs no small letters, so that the figure has more room."""
    line = _fitted(text, _CAPTIONS[:4], width, _CAPTIONS[0] * 1.3 / POINTS)
    return line if not line.cut and len(line.lines) == 1 else _fitted(text, _CAPTIONS, width, _CAPTION_ROOM)


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else f"{text}."
