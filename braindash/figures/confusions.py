"""Which class a probe reads as which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.cells import ink
from braindash.figures.probes import beneath, heading
from braindash.figures.style import ThemeName, base_layout, label_room, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

_LONGEST = 18  # characters of a name
_MOST_NUMBERS = 8  # classes; with more, numbers do not fit their cells
_MOST_GAPS = 20  # classes; with more, lines between cells would hide them
_AXIS_TITLE = 26  # px: "True", turned, and what lies between it and the labels
_FLAT = 330  # px; names under the table that need more are turned


def confusion_map(
    shares: np.ndarray,
    names: Sequence[str],
    *,
    title: str,
    counts: Sequence[np.ndarray],
    drawn: Sequence[int] | np.ndarray | None = None,
    models: Sequence[str] = (),
    limit: float | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw which class is read as which: true classes down, predicted ones across, in % of each true class.

    Parameters
    ----------
    shares : (n_classes, n_classes) float
        Percent of a row; with ``limit``, a difference in percentage points.
    names : sequence of str
    title : str
    counts : one or two square int arrays
        What the shares are of, for the hover text: the model's, or those of the two compared.
    drawn : (n_classes,) int, optional
        Where the classes stand in ``counts``, where those hold more of them.
    models : sequence of str
        What those are called.
    limit : float, optional
        Makes the scale one of differences, from -limit to limit.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import DIVERGING, SEQUENTIAL, plotly_scale
    from braindash.figures.alt import alt_text

    k = len(names)
    if shares.shape != (k, k):
        raise BraindashError(f"The table has shape {shares.shape}; there are {k} classes.", "Give one row a class.")
    unit = "%" if limit is None else "percentage points"
    label = "% of the true class" if limit is None else unit
    at = np.arange(k) if drawn is None else np.asarray(drawn)
    totals = [np.asarray(c).sum(axis=1) for c in counts]
    who = [f"{plain(m, 40)}: " for m in models] if len(counts) > 1 else [""]
    shown = [plain(name, _LONGEST) for name in names]
    # a text a cell would be hundreds of kilobytes a table: plotly puts counts, and the names of the axes, into one
    pairs = [a for c, t in zip(counts, totals, strict=True) for a in (np.asarray(c)[np.ix_(at, at)], t[at][:, None])]
    told = np.stack(np.broadcast_arrays(*pairs), axis=-1).astype(np.int32)
    said = "".join(f"<br>{w}%{{customdata[{2 * i}]:,d}} of %{{customdata[{2 * i + 1}]:,d}}" for i, w in enumerate(who))
    names_of = "true: <b>{}</b><br>read as: <b>{}</b>"
    pair = names_of.format("%{y}", "%{x}")
    whole: dict[str, Any] = {}
    if max(map(len, names), default=0) > _LONGEST:  # the axes' names are cut, which the text must not be
        whole = {"hovertext": [[names_of.format(plain(a, 60), plain(b, 60)) for b in names] for a in names]}
        pair = "%{hovertext}"
    numbers = k <= _MOST_NUMBERS
    scale, low, high = (SEQUENTIAL, 0.0, 100.0) if limit is None else (DIVERGING, -limit, limit)
    step = 34 if numbers else 22 if k <= _MOST_GAPS else 14
    longest = max(map(len, shown), default=1)
    turned = 0 if 7 * longest * k <= _FLAT else -90
    below = 104 + (6 * longest if turned else 14)
    height = max(step * k, 130)
    heat = {
        "type": "heatmap", "z": shares, "colorscale": plotly_scale(scale), "zmin": low, "zmax": high,
        "xgap": 1 if k <= _MOST_GAPS else 0, "ygap": 1 if k <= _MOST_GAPS else 0, "customdata": told,
        "hovertemplate": f"{pair}{said}<br>%{{z:.1f}} {unit}<extra></extra>", **whole,
        "colorbar": {
            "title": {"text": label, "side": "bottom"}, "orientation": "h", "thickness": 12, "len": 0.8,
            "nticks": 6, "tickfont": {"size": 12}, **beneath(below - 58, height),
        },
    }  # fmt: skip
    rows, columns = np.nonzero(np.isfinite(shares)) if numbers else (np.empty(0, int),) * 2
    values = shares[rows, columns]
    text = {
        "type": "scatter", "mode": "text", "x": columns, "y": rows, "hoverinfo": "skip", "showlegend": False,
        "text": [_percent(float(v), limit is not None) for v in values],
        "textfont": {"size": 13, "color": ink(values, scale, low, high)},
    }  # fmt: skip
    alt = alt_text("confusion_map", shares=shares, names=list(names), title=title, difference=limit is not None)
    layout = base_layout(
        theme, 40 + height + below, margin={"l": _AXIS_TITLE + label_room(shown), "r": 8, "t": 40, "b": below}
    )
    axis = {
        "tickvals": list(range(k)),
        "ticktext": shown,
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"size": 12},
    }
    layout |= {
        "annotations": [heading(plain(title, 60), "", 40)],
        "xaxis": {
            **axis, "title": {"text": "Read as", "standoff": 6, "font": {"size": 13}}, "tickangle": turned,
            "range": [-0.5, k - 0.5],
        },
        "yaxis": {
            **axis, "title": {"text": "True", "standoff": 8, "font": {"size": 13}}, "automargin": False,
            "range": [k - 0.5, -0.5],
        },
        "dragmode": False,
        "meta": {"alt": alt},
    }  # fmt: skip
    return go.Figure({"data": [heat, text], "layout": layout})


def _percent(value: float, signed: bool) -> str:
    text = f"{value:{'+' if signed else ''}.0f}".replace("-", "−")
    return "0" if text in ("+0", "−0") else text
