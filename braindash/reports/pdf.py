"""A deck as PDF: one slide a page, figures as vectors, text that can be searched and copied."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from braindash.reports.deck import HEIGHT, POINTS, WIDTH, Box, Deck, Layout, Placed, Slide, inside, lay_out
from braindash.reports.letters import LEADING
from braindash.reports.pictures import quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _MUTED = "#1F2328", "#57606A"
_ASCENT = 0.93  # of the size: from the top of a line to its baseline
_FONTS: Any = {"pdf.fonttype": 42, "font.family": "DejaVu Sans"}  # whole letters, not their outlines


def pdf_bytes(deck: Deck) -> bytes:
    """Return a deck as the bytes of a PDF file."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfFile

    out = io.BytesIO()
    about = {
        "Title": deck.title,
        "Author": "braindash",
        "Subject": f"Run {deck.run_id}" if deck.run_id else "",
        "CreationDate": None,
    }
    with quiet(), mpl.rc_context(_FONTS):
        file = PdfFile(out, metadata=about)
        try:
            for number, slide in enumerate(deck.slides, start=1):
                _page(file, slide, lay_out(slide, deck, number))
            file.finalize()
        finally:
            file.close()
    return out.getvalue()


def _page(file: Any, slide: Slide, placed: Layout) -> None:
    """Add one page: the slide's figure scaled into its box, then the text."""
    file.newPage(WIDTH, HEIGHT)
    if placed.picture is not None and slide.figure is not None:
        figure = slide.figure("light")
        width, height = figure.get_size_inches()
        box = inside(placed.picture, width / height)
        _draw(file, figure, box, box.width / width)
    _draw(file, _text_of(slide, placed), Box(0, 0, WIDTH, HEIGHT), 1.0)


def _draw(file: Any, figure: Figure, box: Box, scale: float) -> None:
    """Draw a figure into a box of the page that is open."""
    from matplotlib.backends.backend_mixed import MixedModeRenderer
    from matplotlib.backends.backend_pdf import FigureCanvasPdf, Op, RendererPdf

    FigureCanvasPdf(figure)
    figure.set_dpi(POINTS)
    width, height = figure.get_size_inches()
    file.output(Op.gsave)
    left, bottom = box.x * POINTS, (HEIGHT - box.y - box.height) * POINTS
    file.output(scale, 0, 0, scale, left, bottom, Op.concat_matrix)
    renderer: Any = MixedModeRenderer(figure, width, height, 200, RendererPdf(file, 200, height, width))
    figure.draw(renderer)
    renderer.finalize()
    file.output(Op.grestore)


def _text_of(slide: Slide, placed: Layout) -> Figure:
    """Return a transparent figure of the slide's text, as large as the page."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="none")
    _lines(figure, placed.title, _INK, bold=True)
    if placed.caption is not None:
        _lines(figure, placed.caption, _MUTED if slide.kind == "title" else _INK)
    for paragraph in placed.body:
        _lines(figure, paragraph, _INK)
    _lines(figure, placed.foot, _MUTED)
    _lines(figure, placed.mark, _MUTED, right=True)
    return figure


def _lines(figure: Figure, placed: Placed, colour: str, *, bold: bool = False, right: bool = False) -> None:
    box, text = placed.box, placed.text
    x = box.x + box.width if right else box.x
    for i, line in enumerate(text.lines):
        y = box.y + (i * LEADING + _ASCENT) * text.size / POINTS
        figure.text(
            x / WIDTH, 1 - y / HEIGHT, line, fontsize=text.size, color=colour, va="baseline", parse_math=False,
            ha="right" if right else "left", weight="bold" if bold else "normal",
        )  # fmt: skip
