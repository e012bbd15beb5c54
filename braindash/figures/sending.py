"""How a figure is sent to a page, so that the browser draws it once.

Streamlit hands every chart to plotly twice, the second time as a copy of the first. plotly looks for what is new in the
copy and draws nothing where it finds nothing; but it takes some things for new whatever they hold: a template, the
``meta`` of a layout, an array that came packed. `drawn_once` writes the same figure without them.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from plotly.basedatatypes import BaseFigure
from plotly.utils import PlotlyJSONEncoder

from braindash.figures.plotly_spec import decoded

_MOST_LISTED = 20_000  # numbers of an array; a larger one costs more to write out than to draw twice
_AXIS = re.compile(r"([xy])axis\d*$")
_SUBPLOTS = ("geo", "polar", "scene", "ternary", "map", "mapbox", "coloraxis", "title")
# plotly measures all labels of an axis again for each of them, to hide what stands beyond the figure; ours have room
_EVERY_AXIS = {"ticklabeloverflow": "allow"}
_DEFAULTS = {"annotationdefaults": "annotations", "shapedefaults": "shapes"}


def drawn_once(spec: Mapping[str, Any], answers_clicks: bool = False) -> dict[str, Any]:
    """Return a figure that looks as ``spec`` does, in the form in which plotly finds nothing new in its copy.

    Parameters
    ----------
    spec : mapping
        ``Figure.to_dict()``; stays as it is.
    answers_clicks : bool
        Whether clicks on its points are asked for: Streamlit would set what that needs, and have all drawn anew.

    Returns
    -------
    dict
        ``data`` and ``layout``. The template is written into the parts that it holds for, ``meta`` is left out, arrays
        of one dimension are lists, and ``layout.datarevision`` says which figure this is.
    """
    layout = _listed(dict(spec.get("layout") or {}))
    layout.pop("meta", None)
    template = layout.pop("template", None) or {}
    traces = [_listed(dict(trace)) for trace in spec.get("data") or ()]
    layout = _with_defaults(layout, traces, template.get("layout") or {})
    counted: dict[str, int] = {}
    for i, trace in enumerate(traces):
        kind = trace.setdefault("type", "scatter")
        defaults = (template.get("data") or {}).get(kind) or ()
        if defaults:
            k = counted[kind] = counted.get(kind, -1) + 1
            traces[i] = _filled(trace, _for_trace(trace, defaults[k % len(defaults)]))
    if answers_clicks:
        layout |= {"clickmode": "event+select", "dragmode": "pan"}
        layout.setdefault("hovermode", "closest")
    out = {"data": traces, "layout": layout}
    _free_ranges(layout)
    # with it, plotly takes arrays for those that it has; another figure must have another
    layout["datarevision"] = zlib.crc32(json.dumps(out, sort_keys=True, cls=PlotlyJSONEncoder).encode())
    return out


def _with_defaults(layout: dict[str, Any], traces: list[dict[str, Any]], template: Mapping[str, Any]) -> dict[str, Any]:
    """Write a template's layout into the parts of a layout that it holds for."""
    axes = {key for key in layout if _AXIS.match(key)}
    axes |= {f"{k}axis{t.get(f'{k}axis', k)[1:]}" for t in traces for k in "xy"}
    for own in axes:
        layout[own] = _EVERY_AXIS | (layout.get(own) or {})
    for key, value in template.items():
        if axis := _AXIS.match(key):
            for own in (name for name in axes if name.startswith(axis.group(1))):
                layout[own] = _filled_axis(layout.get(own) or {}, value)
        elif key in _DEFAULTS:
            many = _DEFAULTS[key]
            if layout.get(many):
                layout[many] = [_filled(item, value) for item in layout[many]]
        elif key not in _SUBPLOTS or layout.get(key):
            layout[key] = _filled(layout[key], value) if isinstance(layout.get(key), dict) else layout.get(key, value)
    return layout


def _free_ranges(layout: dict[str, Any]) -> None:
    """Let plotly find the ranges of axes with equal units itself, from the same ends.

    It widens one of them until the units are equal, and takes a copy's range, which is not widened, for new.
    """
    for key in [key for key in layout if _AXIS.match(key)]:
        anchor = layout[key].get("scaleanchor")
        if not anchor:
            continue
        pair = {key, f"{anchor[0]}axis{anchor[1:]}"} & layout.keys()
        if any(layout[name].get("constrain") == "domain" for name in pair):  # there the ranges stay as they are
            continue
        for name in pair:
            low, high = layout[name].get("range") or (None, None)
            if low is not None and high is not None and low < high:
                own = {k: v for k, v in layout[name].items() if k != "range"}
                layout[name] = own | {
                    "autorange": True,
                    "autorangeoptions": {"minallowed": low, "maxallowed": high},
                }


def _for_trace(trace: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds for a trace; a scale of colours that its marks do not have would appear with its first word."""
    out = {key: value for key, value in defaults.items() if key != "type"}
    marks = out.get("marker")
    if marks and "colorbar" in marks and "colorbar" not in (trace.get("marker") or {}):
        out["marker"] = {key: value for key, value in marks.items() if key != "colorbar"}
    return out


def _filled_axis(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    out = _filled(own, defaults)
    if "linecolor" not in own:  # plotly draws the line of an axis that names its colour, but for one of a template
        out.pop("linecolor", None)
    return out


def _filled(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``own`` with what it does not say taken from ``defaults``, at every depth."""
    out = dict(own)
    for key, value in defaults.items():
        if key not in out:
            out[key] = value
        elif isinstance(out[key], dict) and isinstance(value, Mapping):
            out[key] = _filled(out[key], value)
    return out


def _listed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a figure with its packed arrays of one dimension written out."""
    return {key: _list_of(part) if isinstance(part, dict) else part for key, part in value.items()}


def _list_of(part: dict[str, Any]) -> Any:
    if "bdata" not in part:
        return _listed(part)
    array = decoded(part)
    if array.ndim > 1 or array.size > _MOST_LISTED:
        return part
    if array.dtype.kind == "f":
        # a float32 as short as it can be told from its neighbours, not with the digits of a float64
        return [float(str(v)) if np.isfinite(v) else None for v in array]
    return array.tolist()


class Sent(BaseFigure):  # type: ignore[misc]
    """A figure in the form in which Streamlit sends it; it holds nothing else and checks nothing again."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec

    def to_dict(self) -> dict[str, Any]:
        return self._spec
