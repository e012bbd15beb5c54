"""Figures of slides as files, and the texts of a deck that every writer needs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.figures.style import ThemeName
    from braindash.reports.deck import Slide

PNG_DPI = 220  # on a slide 13.3 inches wide this is twice the pixels of a full-HD screen and more
Picture = Callable[["Slide", "ThemeName", Literal["png", "svg"]], bytes]


def draw(slide: Slide, theme: ThemeName, kind: Literal["png", "svg"]) -> bytes:
    """Return a slide's figure as a file; letters of an SVG are outlines, the same on every machine.

    Raises
    ------
    BraindashError
        Where the slide has no figure, or it cannot be drawn.
    """
    import matplotlib as mpl

    if slide.figure is None:
        raise BraindashError(f"The slide {slide.key!r} has no figure.", "Choose one that has.")
    out = io.BytesIO()
    with quiet(), mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": slide.key}):
        figure = slide.figure(theme)
        more: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": _dpi(figure)}
        figure.savefig(out, format=kind, **more)
    return out.getvalue()


def _dpi(figure: Any) -> float:
    """Return the resolution at which any figure fills a slide in the same number of pixels."""
    from braindash.reports.deck import MARGIN, WIDTH

    return float(PNG_DPI * (WIDTH - 2 * MARGIN) / figure.get_size_inches()[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what matplotlib says of letters that its font lacks: they are shown as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
