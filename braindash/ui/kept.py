"""Figures are kept by what they are drawn from: to build one costs more than all else that a page does.

plotly checks every property of every trace, some milliseconds a trace, and packs every array each time a figure is
sent, as much again; most runs of a page draw what was drawn before. What is sent is kept with its figure.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from braindash.figures.sending import Sent

MOST = 128  # figures, of all sessions together


def figure(draw: Callable[..., go.Figure], /, *args: Any, **kwargs: Any) -> go.Figure:
    """Return ``draw(*args, **kwargs)``, drawn once for equal arguments. Nobody may change it: sessions share it.

    Parameters
    ----------
    draw : callable
        A function of a module of `braindash.figures`.
    *args, **kwargs
        Tables, arrays and plain values, all told apart by what they hold.
    """
    return _drawn(draw.__module__, draw.__qualname__, args, kwargs)


@st.cache_resource(max_entries=MOST, show_spinner=False)
def _drawn(module: str, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> go.Figure:
    draw: Callable[..., go.Figure] = getattr(importlib.import_module(module), name)
    return draw(*args, **kwargs)


def sent(figure: go.Figure, answers_clicks: bool = False) -> Sent:
    """Return a figure as the browser draws it once, made at its first use. Nobody may change the figure afterwards."""
    from braindash.figures.sending import Sent, drawn_once

    name = "_sent_for_clicks" if answers_clicks else "_sent"
    if not hasattr(figure, name):
        setattr(figure, name, Sent(drawn_once(figure.to_dict(), answers_clicks)))
    return getattr(figure, name)
