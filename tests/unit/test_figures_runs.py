"""Figures of several runs: colours that everyone can tell apart, letters that do not overlap, the right numbers."""

from __future__ import annotations

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.figures.run_curves import RUN_STYLES, RunCurve, apart, run_curves, thinned
from braindash.figures.run_scores import ScoreColumn, ScoreDot, score_dots
from braindash.figures.style import THEMES

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colours: list[str]) -> np.ndarray:
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_eight_runs_stay_apart_for_every_kind_of_colour_vision(theme: str, sight: str) -> None:
    color = pytest.importorskip("skimage.color")
    colours = [s.color(theme) for s in RUN_STYLES]  # type: ignore[arg-type]
    seen = (linear(colours) @ np.array(SIGHT[sight]).T).clip(0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = color.rgb2lab(seen[None])[0]
    apart_by = color.deltaE_ciede2000(lab[:, None], lab[None])
    assert apart_by[~np.eye(8, dtype=bool)].min() > 10  # 1 is just visible side by side; 10, at a glance
    weights = (0.2126, 0.7152, 0.0722)
    page, lines = linear([THEMES[theme].page]) @ weights, linear(colours) @ weights
    assert ((np.maximum(page, lines) + 0.05) / (np.minimum(page, lines) + 0.05)).min() >= 3  # WCAG 2.1, 1.4.11
    assert len({s.symbol for s in RUN_STYLES}) == len({s.letter for s in RUN_STYLES}) == 8


def curve(place: int | None, shift: float = 0.0, **more: object) -> RunCurve:
    x = np.arange(5.0)
    return RunCurve(place, f"run <b>{place}</b>", x, 0.1 * x + shift, **more)  # type: ignore[arg-type]


def test_a_run_has_its_colour_letter_and_numbers() -> None:
    low = np.full(5, -0.1)
    fig = run_curves(
        [curve(1, low=low, high=low + 1, n=np.full(5, 90)), curve(4, 0.3), curve(None)],
        x_label="Layer", y_label="Δ r", what="x", zero=True,
    )  # fmt: skip
    lines = {t.name: t for t in fig.data if t.name}
    assert list(lines) == [
        "<b>B</b> run &lt;b&gt;1&lt;/b&gt;",
        "<b>E</b> run &lt;b&gt;4&lt;/b&gt;",
        "run &lt;b&gt;None&lt;/b&gt;",
    ]
    second = lines["<b>E</b> run &lt;b&gt;4&lt;/b&gt;"]
    np.testing.assert_allclose(np.asarray(second.y, float), 0.1 * np.arange(5) + 0.3)
    assert second.line.color == RUN_STYLES[4].light
    assert [t.fill for t in fig.data].count("toself") == 1  # the band of the one that has an interval
    assert {a.text for a in fig.layout.annotations} == {"<b>B</b>", "<b>E</b>"}
    assert "2 runs" in fig.layout.meta["alt"]
    many = run_curves([curve(i, i, low=low, high=low + 1) for i in range(8)], x_label="", y_label="", what="")
    assert not any(t.fill == "toself" for t in many.data)


def test_nothing_and_too_much_are_refused() -> None:
    empty = RunCurve(0, "a", np.array([]), np.array([]))
    for nothing in ([], [empty], [curve(None)], [RunCurve(0, "a", np.zeros(2), np.full(2, np.nan))]):
        with pytest.raises(BraindashError, match="anything to draw"):
            run_curves(nothing, x_label="", y_label="", what="")
    with pytest.raises(BraindashError, match="at most 8"):
        run_curves([curve(0)] * 9, x_label="", y_label="", what="")


def test_letters_are_moved_apart_and_no_further() -> None:
    assert apart([0.0, 100.0, 200.0], 15) == [0.0, 100.0, 200.0]
    assert apart([10.0, 10.0], 15) == [2.5, 17.5]
    placed = apart(sorted(np.random.default_rng(0).uniform(0, 60, 8)), 15)
    assert min(np.diff(placed)) >= 15 - 1e-9


def test_a_long_line_is_thinned_to_means() -> None:
    x = np.arange(1001.0)
    few_x, few_y = thinned(x, 3 * x, 100)
    assert len(few_x) == 100
    np.testing.assert_allclose(few_y, 3 * few_x)
    np.testing.assert_allclose(few_x[0], x[:10].mean())
    assert thinned(x[:5], x[:5], 100)[0].tolist() == x[:5].tolist()


def test_dots_have_mean_and_spread_and_one_alone_its_own_interval() -> None:
    dots = [ScoreDot(0, "seed 0", 0.1, 0.05, 0.15), ScoreDot(1, "seed 1", 0.3, 0.2, 0.4)]
    columns = [
        ScoreColumn("Late language", "A B", 0, dots, 0.2, 0.1414, 180),
        ScoreColumn("Late language", "C", 0, [ScoreDot(2, "seed 0", -0.1, -0.2, 0.0)], -0.1, float("nan"), 90),
        ScoreColumn("Primary auditory", "C", 0),
    ]
    fig = score_dots(columns, y_label="Δ r", what="differences")
    marks = [t for t in fig.data if t.mode == "markers"]
    assert [t.y[0] for t in marks] == [0.1, 0.3, -0.1]
    assert [bool(t.error_y.visible) for t in marks] == [False, False, True]
    means = [t for t in fig.data if t.mode == "lines"]
    assert [(t.y[0], t.error_y.array[1]) for t in means] == [(0.2, 0.1414)]
    assert list(fig.layout.xaxis.ticktext) == ["<b>A B</b>", "<b>C</b>"]
    titles = " ".join(a.text for a in fig.layout.annotations)
    assert "n = 90–180 targets" in titles
    assert "Primary" not in titles  # no panel without a number
    assert "Late language, A B: 0.200 ± 0.141 (n = 2)" in fig.layout.meta["alt"]
    with pytest.raises(BraindashError, match="score"):
        score_dots(columns[2:], y_label="", what="")


def test_before_and_after_of_a_run_are_joined() -> None:
    before = ScoreColumn("Late", "A B", -1, [ScoreDot(0, "a", 0.5), ScoreDot(1, "b", 0.6)], 0.55, 0.07, 9)
    after = ScoreColumn("Late", "A B", 1, [ScoreDot(0, "a", 0.7), ScoreDot(1, "c", 0.6)], 0.65, 0.07, 9)
    fig = score_dots([before, after], y_label="r", what="scores")
    joins = [t for t in fig.data if t.mode == "lines" and t.line.width == 1]
    assert [tuple(t.y) for t in joins] == [(0.5, 0.7)]
    symbols = [t.marker.symbol for t in fig.data if t.mode == "markers"]
    assert symbols[:2] == ["circle-open", "square-open"]
