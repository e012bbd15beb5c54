"""How models, regions and backgrounds look, the same in every figure.

The colours of the pretrained and the brain-tuned model are from Okabe and Ito's palette;
those of the six controls were chosen beside them so that all eight stay apart under the
common colour-vision deficiencies. Marks and dashes differ too, so that a figure still
reads in grey, and the controls' lines are thinner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from braindash.errors import BraindashError, closest
from braindash.wording import MODELS, words_of

if TYPE_CHECKING:
    import pandas as pd

ThemeName = Literal["light", "dark"]
FONT_SIZE = 13  # px; nothing in a figure is smaller than 12
# Points that only answer clicks and the pointer: plotly finds those that it has not drawn, and drawing hundreds of
# them takes as long as all the rest of a figure.
CLICK_MARKER: Mapping[str, Any] = {"color": "rgba(0,0,0,0)", "maxdisplayed": 1}


@dataclass(frozen=True)
class ModelStyle:
    """How one model is named and drawn."""

    title: str
    light: str  # line colour on a light page
    dark: str  # and on a dark one
    dash: Literal["solid", "dash", "dot", "dashdot", "longdash"]
    symbol: str  # plotly's name; MARKERS gives matplotlib's
    order: int  # place in legends
    width: float = 1.5  # of lines, px
    size: int = 6  # of marks, px

    def color(self, theme: ThemeName) -> str:
        return self.dark if theme == "dark" else self.light


def _known(name: str, light: str, dark: str, dash: Any, symbol: str, **weight: Any) -> ModelStyle:
    return ModelStyle(MODELS[name].title, light, dark, dash, symbol, list(MODELS).index(name), **weight)


MODEL_STYLE: dict[str, ModelStyle] = {
    "pretrained": _known("pretrained", "#0072B2", "#56B4E9", "solid", "circle", width=2.2, size=7),
    "brain_tuned": _known("brain_tuned", "#D55E00", "#FF9F4A", "solid", "square", width=2.2, size=7),
    "block_permuted": _known("block_permuted", "#6B6B6B", "#B5B5B5", "dash", "diamond"),
    "story_permuted": _known("story_permuted", "#009E73", "#2E8B57", "dash", "triangle-up"),
    "random_responses": _known("random_responses", "#990000", "#CC3311", "dot", "triangle-down"),
    "stimulus_only": _known("stimulus_only", "#CC79A7", "#C061A8", "dashdot", "cross"),
    "random_model": _known("random_model", "#2B2B2B", "#F2F2F2", "longdash", "star"),
    "head_only": _known("head_only", "#332288", "#7B68EE", "dot", "hexagon"),
}
_SPARE = (("#117733", "#5FD38D"), ("#882255", "#D977A9"), ("#8A6D00", "#F0E442"), ("#7A4A00", "#C9A26B"))
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "star": "*",
    "hexagon": "h",
    "x": "X",
}


def model_style(name: str) -> ModelStyle:
    """Return the style of a model name as it stands in records.

    ``block-permuted`` and ``block_permuted`` are the same; a name that is not in
    ``MODEL_STYLE`` gets a readable title and a colour that depends on the name alone.
    """
    key = name.replace("-", "_")
    if key in MODEL_STYLE:
        return MODEL_STYLE[key]
    light, dark = _SPARE[sum(key.encode()) % len(_SPARE)]
    # brackets that neither plotly nor matplotlib reads: the same title serves both
    title = plain(words_of(key).title, 60).replace("&lt;", "‹").replace("&gt;", "›").replace("&amp;", "&")
    return ModelStyle(title.replace("$", "＄"), light, dark, "dash", "x", len(MODEL_STYLE))


def band_opacity(style: ModelStyle) -> float:
    """Return how strongly a model's band of intervals is filled: controls lie faintly under the pair."""
    return 0.18 if style.order < 2 else 0.07


def model_order(names: Iterable[str]) -> list[str]:
    """Return the distinct names: pretrained, brain-tuned, then the controls."""
    return sorted(dict.fromkeys(names), key=lambda n: (model_style(n).order, n))


@dataclass(frozen=True)
class Theme:
    """Colours of everything that is not data."""

    text: str
    muted: str
    grid: str
    panel: str
    page: str
    template: str


THEMES: dict[str, Theme] = {
    "light": Theme("#1F2328", "#57606A", "#E1E4E8", "#FFFFFF", "#FFFFFF", "plotly_white"),
    "dark": Theme("#E6EDF3", "#9DA7B3", "#30363D", "#0E1117", "#0E1117", "plotly_dark"),
}


def theme_of(name: str) -> Theme:
    try:
        return THEMES[name]
    except KeyError:
        raise BraindashError(f"There is no figure theme {name!r}.", closest(name, THEMES)) from None


def region_title(roi: str) -> str:
    """Return a region's name as people write it, the same on pages, in figures and in summaries."""
    from braindash.encoding import regions  # pandas comes with it

    return regions.region_title(roi)


def wrap(text: str, width: int = 16) -> str:
    """Break a label into lines of about ``width`` characters, for plotly."""
    import textwrap

    return "<br>".join(textwrap.wrap(text, width, break_long_words=False)) or text


def plain(text: object, width: int | None = None) -> str:
    """Return text on one line in which plotly sees no markup, cut to ``width`` characters."""
    line = " ".join(str(text).split())
    if width is not None and len(line) > width:
        line = line[: width - 1].rstrip() + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def label_room(labels: Iterable[str], size: float = 12, most: float = 320) -> int:
    """Return the px that the longest tick label takes, a little more than the letters need; at most ``most``.

    A margin that is known beforehand spares the browser half of a drawing: plotly's ``automargin`` draws an axis,
    measures it, and draws the whole figure again.
    """
    from html import unescape
    from unicodedata import east_asian_width

    def em(letter: str) -> float:
        if east_asian_width(letter) in "WF":
            return 1.05
        if letter in "iljtfrI.,:;|!'()[]· ":
            return 0.36
        if letter in "mwMW@%&—":
            return 0.95
        return 0.7 if letter.isupper() else 0.58

    widest = max((sum(map(em, unescape(label))) for label in labels), default=0.0)
    return int(min(size * widest, most)) + 10


def legend_height(titles: Iterable[str], width: int = 310) -> int:
    """Return the pixels that a horizontal legend takes on a page as narrow as a phone's.

    plotly wraps the legend but does not move what is under it, so the room is left beforehand.
    """
    rows, used = 1, 0
    for title in titles:
        wide = 46 + 7 * len(title)
        if used and used + wide > width:
            rows, used = rows + 1, 0
        used += wide
    return 10 + 29 * rows


def rgba(color: str, opacity: float) -> str:
    """Return ``#RRGGBB`` as a CSS rgba() with this opacity."""
    r, g, b = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{opacity:g})"


def require_columns(records: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise BraindashError if the table is empty or lacks a column."""
    missing = [c for c in columns if c not in records.columns]
    if missing:
        raise BraindashError(
            f"{what} needs the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"the table has {', '.join(map(str, records.columns)) or 'none'}.",
            "Rename or add the columns.",
        )
    if records.empty:
        raise BraindashError(
            f"{what} got a table without rows.", "Choose models, layers and regions that have results."
        )


def base_layout(theme: ThemeName, height: int, **more: Any) -> dict[str, Any]:
    """Return the plotly layout that every figure starts from."""
    colours = theme_of(theme)
    layout: dict[str, Any] = {
        "template": colours.template,
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": FONT_SIZE, "color": colours.text, "family": "Source Sans Pro, Helvetica, Arial, sans-serif"},
        "margin": {"l": 64, "r": 16, "t": 48, "b": 56},
        "hoverlabel": {"font": {"size": FONT_SIZE}},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 1.0,
            "yanchor": "top",
            "x": 0.0,
            "xanchor": "left",
            "font": {"size": FONT_SIZE},
        },
    }
    layout.update(more)
    return layout
