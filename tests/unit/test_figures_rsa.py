"""Figures of RSA: what is drawn is what was given; names lie apart; nothing given is a message."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import squareform

from braindash.errors import BraindashError
from braindash.figures import cka_map, mds_plane, moved_curves, rdm, similarity_curves, similarity_map
from braindash.figures.rdms import percentiles, square
from braindash.figures.rsa import cell_number


def test_percentiles_rank_what_is_compared_and_nothing_else() -> None:
    values = np.array([5.0, 1.0, np.nan, 9.0, 1.0, 7.0])
    compared = np.array([True, True, True, False, True, True])
    np.testing.assert_allclose(percentiles(values, compared), [200 / 3, 50 / 3, np.nan, np.nan, 50 / 3, 100])
    assert np.isnan(percentiles(values, np.zeros(6, dtype=bool))).all()
    assert percentiles(np.array([3.0])) == [0.0]


def test_the_square_is_that_of_scipy_with_a_blank_diagonal() -> None:
    pairs = np.random.default_rng(0).uniform(1, 2, 45)
    expected = squareform(pairs)
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(square(pairs, 10), expected)
    with pytest.raises(BraindashError, match="10 conditions have 45 pairs; the RDM has 44"):
        square(pairs[1:], 10)


@pytest.mark.parametrize("n", [12, 120])
def test_every_pair_below_the_diagonal_answers_clicks(n: int) -> None:
    ranks = square(np.random.default_rng(1).uniform(0, 100, n * (n - 1) // 2), n)
    ranks[3, 1] = ranks[1, 3] = np.nan  # not compared
    figure = rdm(ranks, [f"c{k}" for k in range(n)], name="a layer", chosen=(2, 5))
    points = figure.data[1]
    where = set(zip(points.x.tolist(), points.y.tolist(), strict=True))
    assert where == {(j, i) for i in range(n) for j in range(i)} - {(1, 3)}
    at = next(k for k, p in enumerate(zip(points.x, points.y, strict=True)) if p == (2, 7))
    assert points.customdata[at] == round(ranks[7, 2])
    assert list(figure.data[2].x) == [2, 5]
    assert list(figure.layout.xaxis.ticktext) == [f"c{k}" for k in range(n)], (
        "the hover text reads names from the ticks"
    )


def test_cells_carry_their_indices_numbers_and_stars() -> None:
    matrix = np.array([[0.1, np.nan], [-0.02, 0.3], [0.0, 0.25]])
    marked = np.zeros((3, 2), dtype=bool)
    marked[1, 1] = True
    figure = similarity_map(
        matrix, [0, 4, 8], ["A", "<b>B</b>"], label="s", marked=marked, chosen=(2, 1), diverging=True
    )
    np.testing.assert_array_equal(figure.data[0].z, matrix.T)
    assert figure.data[0].zmax == -figure.data[0].zmin == pytest.approx(0.3)
    points = figure.data[1]
    cell = {(int(i), int(j)): t for i, j, t in zip(points.x, points.y, points.hovertext, strict=True)}
    assert cell[1, 1].startswith("<b>&lt;b&gt;B&lt;/b&gt;</b>, layer 4<br>s: +0.300")
    assert "–" in cell[0, 1]
    written = {(a.x, a.y): a.text for a in figure.layout.annotations}
    assert written == {(0, 0): "+.10", (1, 0): "−.020", (1, 1): "+.30*", (2, 0): "0", (2, 1): "+.25"}
    many = similarity_map(np.full((25, 3), 0.1), range(25), list("abc"), label="s", marked=np.eye(25, 3, dtype=bool))
    assert not many.layout.annotations
    starred = many.data[2]
    assert starred.marker.symbol == "asterisk-open"
    assert list(zip(starred.x, starred.y, strict=True)) == [(0, 0), (1, 1), (2, 2)]


def test_numbers_of_cells() -> None:
    given = [(0.123, False), (-0.001, False), (1.0, False), (0.034, True), (-0.2, True), (0.0, True)]
    assert [cell_number(v, s) for v, s in given] == [".12", ".00", "1.00", "+.034", "−.20", "0"]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BraindashError, match=r"Shape of the table: \(2, 2\); there are 1 layers"):
        similarity_map(np.zeros((2, 2)), [0], ["A"], label="s")
    with pytest.raises(BraindashError, match="2 and 3 layers"):
        cka_map(np.zeros((2, 2)), [0, 1], [0, 1, 2], row_title="a", column_title="b")
    with pytest.raises(BraindashError, match=r"shape \(2, 3\); there are 2 conditions"):
        rdm(np.zeros((2, 3)), ["a", "b"], name="x")


@pytest.mark.parametrize(("high", "drawn"), [(0.3, True), (0.9, False)])
def test_a_ceiling_far_above_is_said_and_not_drawn(high: float, drawn: bool) -> None:
    rows = pd.DataFrame(
        [
            {"model": "pretrained", "layer": k, "roi": "A", "value": 0.1, "low": 0.05, "high": 0.15, "n": 3}
            for k in range(4)
        ]
    )
    figure = similarity_curves(rows, y_label="s", ceiling=(0.2, high))
    assert any(s.type == "rect" for s in figure.layout.shapes) is drawn
    assert any("above this axis" in a.text for a in figure.layout.annotations) is not drawn
    assert (figure.layout.yaxis.range[1] > high) is drawn


def test_names_of_regions_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(2)
    rows = [{"what": "layer", "model": "pretrained", "layer": k, "name": "", "x": k * 0.1, "y": 0.0} for k in range(5)]
    places = [*rng.normal(0, 0.004, (7, 2)), *rng.uniform(-1, 1, (6, 2))]  # seven all but on one spot
    rows += [
        {"what": "region", "model": None, "layer": None, "name": f"R{i}", "x": x, "y": y}
        for i, (x, y) in enumerate(places)
    ]
    figure = mds_plane(pd.DataFrame(rows))
    notes = figure.layout.annotations
    assert len(notes) == 13
    xs, ys = figure.layout.xaxis.range, figure.layout.yaxis.range
    scale = min(880 / (xs[1] - xs[0]), 470 / (ys[1] - ys[0]))
    at = np.array([(a.x * scale + a.ax, -a.y * scale + a.ay) for a in notes])
    for i in range(13):
        for j in range(i):
            assert abs(at[i, 0] - at[j, 0]) > 100 or abs(at[i, 1] - at[j, 1]) > 14, (notes[i].text, notes[j].text)


def test_layers_are_joined_in_order_and_points_without_place_are_left_out() -> None:
    rows = [
        {"what": "layer", "model": "pretrained", "layer": k, "name": "", "x": float(k), "y": 0.0} for k in (2, 0, 1)
    ]
    rows += [{"what": "region", "model": None, "layer": None, "name": "A", "x": np.nan, "y": 0.0}]
    figure = mds_plane(pd.DataFrame(rows))
    assert [list(t.x) for t in figure.data] == [[0.0, 1.0, 2.0]]


def test_how_far_layers_moved_shows_a_small_move_too() -> None:
    figure = moved_curves({"brain_tuned": [1.0, 0.999]}, [0, 1])
    low, high = figure.layout.yaxis.range
    assert high - low < 0.06
    assert moved_curves({"brain_tuned": [1.0, -0.1]}, [0, 1]).layout.yaxis.range[0] < -0.1
