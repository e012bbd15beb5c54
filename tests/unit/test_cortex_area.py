"""An area on a flatmap: its targets against a test of every pixel, its table against means by hand."""

from __future__ import annotations

import itertools

import cortex_samples
import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from braindash.cortex.area import format_area, parse_area, region_table, targets_inside
from braindash.cortex.flatmap import flat_index
from braindash.errors import BraindashError


def test_targets_inside_are_those_of_the_pixels_inside(tmp_path_factory: pytest.TempPathFactory) -> None:
    cortex_map = cortex_samples.fs_lr_map(seed=3)
    flat = flat_index(cortex_map, cortex_samples.shared_home(tmp_path_factory), 320)
    height, width = flat.shape
    area = ((120, 300), (300, 180), (380, 520), (260, 430), (170, 600))  # not convex
    corners = np.array(area) * [width / 1000, height / 1000]
    rows, columns = np.mgrid[:height, :width]
    pixels = np.column_stack([columns.ravel(), rows.ravel()])

    def shown(mask: np.ndarray) -> set[int]:
        return set(flat.target(cortex_map)[mask.reshape(height, width)]) - {-1}

    found = set(targets_inside(area, flat, cortex_map))
    assert len(found) > 500
    # the edge is a pixel wide: what lies deeper inside is found, what lies farther outside is not
    edge = Polygon(np.vstack([corners, corners[:1]])).to_polygons()[0]
    near = np.zeros(len(pixels), dtype=bool)
    for a, b in itertools.pairwise(edge):
        t = np.clip(((pixels - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        near |= np.linalg.norm(pixels - (a + t[:, None] * (b - a)), axis=1) < 1.5
    inside = Polygon(corners).contains_points(pixels)
    assert shown(inside & ~near) <= found <= shown(inside | near)


def test_areas_of_the_address() -> None:
    area = ((0, 0), (1000, 0), (500, 1000))
    assert parse_area(format_area(area)) == area
    for wrong in (None, "", "1,2;3,4", "a,b;c,d;e,f", "0,0;5,5;2000,1", "1,2,3;4,5,6;7,8,9", "-1,0;2,2;3,3"):
        assert parse_area(wrong) is None
    assert parse_area(";".join(["1,1"] * 201)) is None
    with pytest.raises(BraindashError, match="2 corners"):
        targets_inside(((0, 0), (1, 1)), None, None)  # type: ignore[arg-type]


def test_the_table_holds_means_of_the_chosen_targets() -> None:
    regions = np.array([0, 0, 1, 1, 1, 2])
    pretrained = np.array([0.1, 0.3, 0.2, np.nan, 0.4, 0.5])
    tuned = np.array([0.2, 0.2, 0.5, 0.9, 0.5, 0.9])
    chosen = np.array([True, True, True, True, True, False])
    table = region_table(regions, ["A", "B", "C"], pretrained, tuned, chosen).set_index("region")
    assert list(table.index) == ["All", "B", "A"]  # the largest change first; C was not chosen
    assert table["n"].tolist() == [4, 2, 2]
    assert table.loc["B", ["pretrained", "tuned", "difference"]].tolist() == pytest.approx([0.3, 0.5, 0.2])
    assert table.loc["A", ["pretrained", "tuned", "difference"]].tolist() == pytest.approx([0.2, 0.2, 0.0])
    assert table.loc["All", "difference"] == pytest.approx((0.1 - 0.1 + 0.3 + 0.1) / 4)
