"""Figures that are kept: the same for the same numbers, another one for others, the theme among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from braindash.errors import BraindashError
from braindash.figures import ProbeLine, layer_curves, probe_curves
from braindash.ui import kept


def rows(top: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"model": "pretrained", "layer": [0, 1], "roi": "A1", "value": [0.1, top], "low": 0.0, "high": 0.9, "n": 5.0}
    )


def curves(top: float, **more: Any) -> Any:
    return kept.figure(layer_curves, rows(top), y_label="r", **{"theme": "light"} | more)


def test_equal_numbers_are_drawn_once_and_others_are_not_taken_for_them() -> None:
    first = curves(0.2)
    assert curves(0.2) is first  # another table of the same numbers
    assert curves(0.2, theme="dark") is not first
    other = curves(0.3)
    assert other is not first
    assert other.to_json() == layer_curves(rows(0.3), y_label="r", theme="light").to_json()
    assert kept.sent(other) is kept.sent(other)  # packed once
    assert kept.sent(other, answers_clicks=True) is not kept.sent(other)
    assert set(kept.sent(other).to_dict()) == {"data", "layout"}


def test_what_a_dataclass_holds_tells_figures_apart() -> None:
    def panel(last: float) -> Any:
        score = np.array([0.1, 0.2, last])
        line = ProbeLine("pretrained", score, score - 0.1, score + 0.1, score * np.nan)
        options: dict[str, Any] = {"title": "Phones", "note": "", "y_label": "F1", "chance": 0.1, "baseline": 0.1}
        return kept.figure(probe_curves, [line], (0, 1, 2), **options, picked=None, theme="light")

    assert panel(0.3) is panel(0.3)
    assert panel(0.3) is not panel(0.4)


def test_what_cannot_be_drawn_is_said_every_time() -> None:
    for _ in range(2):
        with pytest.raises(BraindashError, match="without rows"):
            kept.figure(layer_curves, rows(0.2).iloc[:0], y_label="r", theme="light")
