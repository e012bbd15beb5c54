"""Electrodes lie where the 10-20 system puts them, whatever the head's size and place; maps keep their scales."""

from __future__ import annotations

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.figures import HeadMap, head_maps
from braindash.figures.head import head_places

R = 92.0  # mm


def on_sphere(angle: float, turn: float) -> list[float]:
    """A point ``angle`` degrees from the vertex, ``turn`` degrees from the right ear towards the nose."""
    a, t = np.deg2rad([angle, turn])
    return [R * np.sin(a) * np.cos(t), R * np.sin(a) * np.sin(t), R * np.cos(a)]


TEN_TWENTY = {  # angle from the vertex, turn; and where that is seen from above
    "Cz": (0, 0, (0, 0)),
    "Fpz": (90, 90, (0, 1)),
    "Oz": (90, 270, (0, -1)),
    "T8": (90, 0, (1, 0)),
    "T7": (90, 180, (-1, 0)),
    "Fz": (45, 90, (0, 0.5)),
    "C4": (45, 0, (0.5, 0)),
    "TP10": (110, 330, (110 / 90 * np.cos(np.deg2rad(330)), 110 / 90 * np.sin(np.deg2rad(330)))),
}


@pytest.mark.parametrize("moved", [(0, 0, 0), (3.0, -17.0, 40.0)])
def test_electrodes_of_the_ten_twenty_system_lie_where_they_should(moved: tuple[float, float, float]) -> None:
    positions = np.array([on_sphere(a, t) for a, t, _ in TEN_TWENTY.values()]) + moved
    places = head_places(positions)
    assert not places.inside
    np.testing.assert_allclose(places.points, [at for *_, at in TEN_TWENTY.values()], atol=1e-6)
    np.testing.assert_allclose(head_places(positions / 1000).points, places.points, atol=1e-6)  # metres


def test_a_head_that_is_no_sphere_and_an_unknown_place() -> None:
    rng = np.random.default_rng(0)
    true = np.array([on_sphere(a, t) for a in (20, 50, 80) for t in range(0, 360, 40)])
    places = head_places(true * [0.95, 1.05, 1.0] + rng.normal(0, 2, true.shape))
    assert not places.inside
    exact = head_places(true).points
    assert np.abs(places.points - exact).max() < 0.12
    lost = true.copy()
    lost[3, 1] = np.nan
    assert np.isnan(head_places(lost).points[3]).all()
    np.testing.assert_allclose(np.delete(head_places(lost).points, 3, 0), np.delete(exact, 3, 0), atol=1e-6)


def test_contacts_inside_the_head_are_seen_from_above() -> None:
    depth = np.array([[10.0 * i, 5.0, 2.0 * i] for i in range(8)] + [[-20.0, 8.0 * i, -30.0] for i in range(8)])
    places = head_places(depth)
    assert places.inside
    seen, true = places.points - places.points[0], depth[:, :2] - depth[0, :2]
    scale = seen[1, 0] / true[1, 0]
    np.testing.assert_allclose(seen, scale * true, atol=1e-9)
    assert np.linalg.norm(places.points, axis=1).max() == pytest.approx(0.85)


def maps(values: np.ndarray) -> list[HeadMap]:
    return [
        HeadMap("Pretrained", values, "sequential", 0.0, 0.4, "r"),
        HeadMap("Difference", values - 0.2, "diverging", -0.3, 0.3, "change in r"),
    ]


def test_every_electrode_has_its_value_name_and_scale_on_each_map() -> None:
    positions = np.array([on_sphere(a, t) for a, t, _ in TEN_TWENTY.values()])
    positions[2] = np.nan
    values = np.linspace(0.1, 0.5, len(positions))
    values[1] = np.nan
    names = [*list(TEN_TWENTY)[:-1], "<b>TP10</b>"]
    fig = head_maps(maps(values), positions, names, selected=0)
    drawn = {t.xaxis: t for t in fig.data if t.customdata is not None and t.marker.colorbar.orientation == "h"}
    keep = [0, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(drawn["x"].marker.color, values[keep])
    np.testing.assert_allclose(drawn["x2"].marker.color, values[keep] - 0.2)
    assert (drawn["x"].marker.cmin, drawn["x"].marker.cmax) == (0.0, 0.4)
    assert (drawn["x2"].marker.cmin, drawn["x2"].marker.cmax) == (-0.3, 0.3)
    np.testing.assert_allclose(
        np.column_stack([drawn["x"].x, drawn["x"].y]), head_places(positions).points[keep], atol=1e-9
    )
    without = [t for t in fig.data if t.customdata is not None and "no value" in t.hovertemplate]
    assert [t.customdata[0][0] for t in without] == ["Fpz", "Fpz"]
    assert "&lt;b&gt;TP10" in drawn["x"].customdata[-1][0]
    assert "7 electrodes on the head" in fig.layout.meta["alt"]
    assert "largest at <b>TP10</b>, 0.500" in fig.layout.meta["alt"]
    ears = [t for t in fig.data if t.mode == "lines" and t.xaxis == "x"]
    assert len(ears) == 4
    nose = ears[1]
    assert max(nose.y) > 1.05  # up


@pytest.mark.parametrize(
    ("positions", "values", "said"),
    [
        (np.full((3, 3), np.nan), np.zeros(3), "No electrode has a position"),
        (np.zeros((3, 2)), np.zeros(3), "shape"),
        (np.zeros((3, 3)), np.zeros(2), "one of each"),
    ],
)
def test_what_cannot_be_drawn_is_said(positions: np.ndarray, values: np.ndarray, said: str) -> None:
    with pytest.raises(BraindashError, match=said):
        head_maps(maps(values), positions, ["a", "b", "c"])
    with pytest.raises(BraindashError, match="needs a map"):
        head_maps([], positions, ["a", "b", "c"])
