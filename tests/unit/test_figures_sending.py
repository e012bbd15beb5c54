"""The form in which figures are sent: what a browser needs to draw them once, and nothing that it does not."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
from figure_samples import SAMPLES

from braindash.figures.sending import Sent, drawn_once


def test_clicks_are_asked_for_as_streamlit_does() -> None:
    spec = SAMPLES["similarity_map"]("light").to_dict()
    layout = drawn_once(spec, answers_clicks=True)["layout"]
    assert (layout["clickmode"], layout["hovermode"], layout["dragmode"]) == ("event+select", "closest", "pan")
    assert "clickmode" not in drawn_once(spec)["layout"]


def test_another_figure_is_drawn() -> None:
    """Equal shapes, other numbers: what tells plotly that an array is the one it has must not say so here."""
    first, other = SAMPLES["histogram"]("light"), SAMPLES["histogram"]("light")
    assert drawn_once(first.to_dict()) == drawn_once(other.to_dict())
    values = np.asarray(other.data[0].y, dtype=float)
    values[0] += 5
    other.data[0].y = values
    a, b = (drawn_once(f.to_dict()) for f in (first, other))
    assert a["layout"].pop("datarevision") != b["layout"].pop("datarevision")
    assert a["layout"] == b["layout"]


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_left_that_plotly_takes_for_new(name: str) -> None:
    out = drawn_once(SAMPLES[name]("dark").to_dict())
    assert not {"template", "meta"} & set(out["layout"])
    packed = [part for part in _dicts(out) if "bdata" in part]
    assert all("shape" in part for part in packed)  # of two dimensions


def _dicts(part: object) -> list[dict[str, object]]:
    if isinstance(part, dict):
        return [part, *(d for value in part.values() for d in _dicts(value))]
    return [d for value in part for d in _dicts(value)] if isinstance(part, list) else []


def test_arrays_keep_their_numbers_and_gaps() -> None:
    values = np.array([0.1, np.nan, -2.5, np.inf], dtype=np.float32)
    figure = go.Figure(go.Scatter(x=np.array([1, 2, 3, 4], dtype=np.int16), y=values, error_y={"array": values**2}))
    trace = drawn_once(figure.to_dict())["data"][0]
    assert trace["x"] == [1, 2, 3, 4]
    assert trace["y"] == [0.1, None, -2.5, None]
    assert trace["error_y"]["array"] == [pytest.approx(0.01), None, 6.25, None]
    assert json.loads(plotly.io.to_json(Sent({"data": [trace], "layout": {}}), validate=False))["data"] == [trace]


def test_a_large_array_stays_packed() -> None:
    figure = go.Figure(go.Scattergl(y=np.zeros(50_000)))
    assert "bdata" in drawn_once(figure.to_dict())["data"][0]["y"]


def test_what_a_figure_says_itself_goes_before_its_template() -> None:
    figure = go.Figure(go.Scatter(y=[1, 2]), layout={"template": "plotly_white", "xaxis": {"gridcolor": "#123456"}})
    layout = drawn_once(figure.to_dict())["layout"]
    assert layout["xaxis"]["gridcolor"] == "#123456"
    assert layout["yaxis"]["gridcolor"] == figure.layout.template.layout.yaxis.gridcolor
    assert layout["xaxis"]["automargin"] is True
    assert "polar" not in layout


def test_ranges_of_equal_units_are_left_to_plotly_between_the_same_ends() -> None:
    axes = {"xaxis": {"range": [0, 4]}, "yaxis": {"range": [-1, 1], "scaleanchor": "x"}}
    layout = drawn_once(go.Figure(go.Scatter(y=[0, 1]), layout=axes).to_dict())["layout"]
    for name, ends in (("xaxis", (0, 4)), ("yaxis", (-1, 1))):
        assert "range" not in layout[name]
        assert layout[name]["autorange"] is True
        assert layout[name]["autorangeoptions"] == {"minallowed": ends[0], "maxallowed": ends[1]}
    axes["xaxis"]["constrain"] = "domain"
    kept = drawn_once(go.Figure(go.Scatter(y=[0, 1]), layout=axes).to_dict())["layout"]
    assert kept["xaxis"]["range"] == [0, 4]
    assert kept["yaxis"]["range"] == [-1, 1]
