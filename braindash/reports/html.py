"""A deck as one HTML file that needs no server and no network: slides by keys, a reading view, and print."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from braindash.reports.deck import Deck, Slide, foot_text, mark_text, notes_text
from braindash.reports.pictures import Picture, draw

_TEMPLATE = "deck.html.j2"
_LONG, _LONGER = 70, 160  # characters of a title from which its letters are smaller
_DENSE = 620  # characters of a slide's text from which its letters are smaller


def html_text(deck: Deck, picture: Picture = draw, *, start: int = 0) -> str:
    """Return a deck as the text of an HTML file.

    Parameters
    ----------
    deck : Deck
    picture : callable
        Draws a slide's figure as SVG, in light and in dark.
    start : int
        The slide that is shown first.
    """
    import jinja2
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("deck.css", "deck.js"))
    return environment.get_template(_TEMPLATE).render(
        deck=deck,
        slides=[_item(slide, deck, picture, i) for i, slide in enumerate(deck.slides, start=1)],
        start=start,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _item(slide: Slide, deck: Deck, picture: Picture, number: int) -> dict[str, Any]:
    shown = {}
    if slide.figure is not None:
        shown = {theme: base64.b64encode(picture(slide, theme, "svg")).decode() for theme in ("light", "dark")}
    n = len(slide.title)
    return {
        "slide": slide,
        "light": shown.get("light", ""),
        "dark": shown.get("dark", ""),
        "size": "longer" if n > _LONGER else "long" if n > _LONG else "short",
        "density": "dense" if sum(map(len, slide.points)) > _DENSE else "",
        "foot": foot_text(slide),
        "mark": mark_text(slide, deck, number),
        "notes": notes_text(slide, deck).split("\n"),
    }


def _hash(text: str) -> str:
    """Return what a content security policy knows the page's own style and script by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
