"""What stands in the cells of a table that is drawn in colours: text that can be read on its fill, and stars."""

from __future__ import annotations

from typing import Any

import numpy as np


def ink(values: np.ndarray, cmap: str, low: float, high: float) -> list[str]:
    """Return the colour in which text can be read on each value's colour: (n,) → n."""
    from braindash.cortex.colour import colour_values

    dark = colour_values(values, cmap, low, high) @ np.array([0.299, 0.587, 0.114]) < 140
    return np.where(dark, "#FFFFFF", "#111111").tolist()


def stars(table: np.ndarray, starred: np.ndarray, cmap: str, low: float, high: float) -> dict[str, Any]:
    """Return a trace of stars, as marks: letters would be measured one by one, which takes plotly twice the time.

    Parameters
    ----------
    table : (n_rows, n_columns) float
        The values whose colours the stars lie on; a row's number is its y.
    starred : (n_rows, n_columns) bool
    cmap, low, high
        The scale of colours and its ends.
    """
    y, x = np.nonzero(starred)
    return {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "hoverinfo": "skip", "showlegend": False,
        "marker": {
            "symbol": "asterisk-open", "size": 7, "color": ink(table[y, x], cmap, low, high), "line": {"width": 1.3}
        },
        "unselected": {"marker": {"opacity": 1}},  # a click shows its details elsewhere and must not fade them
    }  # fmt: skip
