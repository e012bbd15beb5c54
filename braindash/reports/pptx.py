"""A deck as PowerPoint: titles, captions and notes as text to edit, pictures at twice a screen's pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from braindash.reports.deck import HEIGHT, WIDTH, Box, Deck, Placed, Slide, inside, lay_out, notes_text, printable
from braindash.reports.pictures import Picture, draw

if TYPE_CHECKING:
    from pptx.slide import Slide as PowerPointSlide

_FONT = "Arial"  # narrower than the letters that boxes are measured with
_INK, _MUTED = "1F2328", "57606A"
_TITLE_ONLY = 5  # of the layouts of an empty presentation


def pptx_bytes(deck: Deck, picture: Picture = draw) -> bytes:
    """Return a deck as the bytes of a .pptx file."""
    from pptx import Presentation
    from pptx.util import Inches

    file = Presentation()
    file.slide_width, file.slide_height = Inches(WIDTH), Inches(HEIGHT)
    properties = file.core_properties
    properties.title, properties.author = printable(deck.title)[:250], "braindash"
    properties.subject = f"Run {deck.run_id}" if deck.run_id else ""
    for number, slide in enumerate(deck.slides, start=1):
        _add(file.slides.add_slide(file.slide_layouts[_TITLE_ONLY]), slide, deck, number, picture)
    out = io.BytesIO()
    file.save(out)
    return out.getvalue()


def _add(page: PowerPointSlide, slide: Slide, deck: Deck, number: int, picture: Picture) -> None:
    from pptx.util import Inches

    placed = lay_out(slide, deck, number)
    title: Any = page.shapes.title
    _place(title, placed.title.box)
    _write(title.text_frame, [_whole(slide.title, placed.title)], placed.title.text.size, bold=True)
    if placed.picture is not None:
        image = picture(slide, "light", "png")
        box = inside(placed.picture, _aspect(image))
        shape: Any = page.shapes.add_picture(
            io.BytesIO(image), Inches(box.x), Inches(box.y), Inches(box.width), Inches(box.height)
        )
        shape.name = "Figure"
        shape._element.nvPicPr.cNvPr.set("descr", slide.alt)  # python-pptx has no name for it
    if placed.body:
        first, last = placed.body[0], placed.body[-1]
        height = last.box.y + last.box.height - first.box.y
        box = Box(first.box.x, first.box.y, first.box.width, height)
        texts = [_whole(p, where) for p, where in zip(slide.points, placed.body, strict=False)]
        _text(page, "Text", box, texts, first.text.size, gap=0.6 * first.text.size)
    if placed.caption is not None:
        _text(page, "Caption", placed.caption.box, [_whole(slide.caption, placed.caption)], placed.caption.text.size,
              colour=_MUTED if slide.kind == "title" else _INK)  # fmt: skip
    _text(page, "Foot", placed.foot.box, [" ".join(placed.foot.text.lines)], placed.foot.text.size, colour=_MUTED)
    _text(
        page, "Run", placed.mark.box, [" ".join(placed.mark.text.lines)], placed.mark.text.size, colour=_MUTED,
        right=True,
    )  # fmt: skip
    notes = page.notes_slide.notes_text_frame
    assert notes is not None
    notes.text = notes_text(slide, deck)


def _text(
    page: PowerPointSlide,
    name: str,
    box: Box,
    paragraphs: list[str],
    size: float,
    *,
    colour: str = _INK,
    gap: float = 0.0,
    right: bool = False,
) -> None:
    from pptx.util import Inches

    shape = page.shapes.add_textbox(Inches(box.x), Inches(box.y), Inches(box.width), Inches(box.height))
    shape.name = name
    _write(shape.text_frame, paragraphs, size, colour=colour, gap=gap, right=right)


def _write(
    frame: Any,
    paragraphs: list[str],
    size: float,
    *,
    bold: bool = False,
    colour: str = _INK,
    gap: float = 0.0,
    right: bool = False,
) -> None:
    from pptx.dml.color import RGBColor
    from pptx.enum.text import MSO_ANCHOR, MSO_AUTO_SIZE, PP_ALIGN
    from pptx.util import Pt

    frame.word_wrap, frame.auto_size, frame.vertical_anchor = True, MSO_AUTO_SIZE.NONE, MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    for i, text in enumerate(paragraphs):
        paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.RIGHT if right else PP_ALIGN.LEFT
        paragraph.space_after = Pt(gap)
        run = paragraph.add_run()
        run.text = text
        run.font.name, run.font.size, run.font.bold = _FONT, Pt(size), bold
        run.font.color.rgb = RGBColor.from_string(colour)


def _whole(text: str, placed: Placed) -> str:
    """Return the text as it was written, or as much of it as has room."""
    return " ".join(placed.text.lines) if placed.text.cut else " ".join(text.split())


def _place(shape: Any, box: Box) -> None:
    from pptx.util import Inches

    shape.left, shape.top = Inches(box.x), Inches(box.y)
    shape.width, shape.height = Inches(box.width), Inches(box.height)


def _aspect(image: bytes) -> float:
    from PIL import Image

    with Image.open(io.BytesIO(image)) as opened:
        return opened.width / opened.height
