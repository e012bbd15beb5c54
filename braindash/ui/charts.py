"""How a page draws its charts: one call, which also tells the bookmark button what there is to keep.

The router calls `begin` before a page runs and `shown` after it; between the two, `chart`, `offer_map` and
`offer_text` note what the page shows. Nothing is copied, and the notes last for one run of the page only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.ui import kept

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from braindash.figures.style import ThemeName

PLOT_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    # eight more elements a panel, invisible, drawn anew with every change: half the time of a figure of many panels
    "showAxisDragHandles": False,
}
MOST = 60  # things of one page that can be bookmarked
_SHOWN = "_charts_shown"

Draw = Callable[["ThemeName", Literal["png", "svg"]], bytes]


@dataclass(frozen=True, eq=False)
class Shown:
    """One thing on a page that can be bookmarked.

    Attributes
    ----------
    key : str
        The same at every visit of the page.
    title, alt : str
        What it is called, and what it shows in words.
    n, statistics : str
        How many of what, and the sentence with intervals and tests.
    runs : sequence of str
        Ids of the runs whose numbers it shows; empty: the run that the address names.
    figure : plotly Figure, optional
    draw : callable, optional
        Of a picture that is not a plotly figure: from a theme and "png" or "svg" to the file.
    points : sequence of str
        Of a text: its paragraphs.
    """

    key: str
    title: str
    alt: str = ""
    n: str = ""
    statistics: str = ""
    runs: Sequence[str] = ()
    figure: go.Figure | None = None
    draw: Draw | None = None
    points: Sequence[str] = ()


def theme() -> Literal["light", "dark"]:
    """Return the theme in which the reader's page is drawn."""
    return "dark" if st.context.theme.type == "dark" else "light"


def chart(
    figure: go.Figure,
    key: str,
    *,
    title: str = "",
    n: str = "",
    statistics: str = "",
    runs: Sequence[str] = (),
    clicked: Callable[[], None] | None = None,
    bar: bool = True,
) -> None:
    """Draw a figure of `braindash.figures` with its description for those who cannot see it.

    Parameters
    ----------
    figure : plotly Figure
        ``layout.meta["alt"]`` says what it shows.
    key : str
        Unique on the page.
    title, n, statistics, runs
        What a bookmark of it says; see `Shown`.
    clicked : callable, optional
        Called when a point is clicked, before the page runs anew.
    bar : bool
        Show plotly's buttons.
    """
    meta = figure.layout.meta
    alt = meta.get("alt") if isinstance(meta, dict) else None
    config = PLOT_CONFIG if bar else {**PLOT_CONFIG, "displayModeBar": False}
    sent = kept.sent(figure, answers_clicks=clicked is not None)
    if clicked is None:
        st.plotly_chart(sent, key=key, theme=None, config=config, alt=alt)
    else:
        st.plotly_chart(sent, key=key, theme=None, config=config, alt=alt, on_select=clicked, selection_mode="points")
    offer(Shown(key, title, alt or "", n, statistics, tuple(runs), figure=figure))


def offer(thing: Shown) -> None:
    """Note something that the page shows, so that it can be bookmarked."""
    noted: list[Shown] | None = st.session_state.get(_SHOWN)
    if noted is not None and len(noted) < MOST:  # None within a fragment, which runs without the router
        noted.append(thing)


def offer_map(key: str, title: str, draw: Draw, **said: Any) -> None:
    """Note a picture that is not a plotly figure: ``draw(theme, kind)`` makes the file; ``said`` is as of `Shown`."""
    offer(Shown(key, title, draw=draw, **said))


def offer_text(key: str, title: str, points: Sequence[str], **said: Any) -> None:
    """Note a text, such as an answer in sentences, as a slide of its own."""
    if points:
        offer(Shown(key, title, points=tuple(points), **said))


def begin() -> None:
    """Forget what the page showed before; called by the router before a page runs."""
    st.session_state[_SHOWN] = []


def shown() -> list[Shown]:
    """Return what the page showed, and note no more; called by the router after a page has run."""
    noted: list[Shown] = st.session_state.pop(_SHOWN, None) or []
    return noted
