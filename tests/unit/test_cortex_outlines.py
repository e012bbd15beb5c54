from __future__ import annotations

import numpy as np
import pytest
from cortex_samples import fs_lr_map, shared_home

from braindash.config import Home
from braindash.cortex.flatmap import flat_index, flatmap_image, mesh_rim
from braindash.cortex.outlines import Outline, main_regions, region_lines, region_mask, region_outlines
from braindash.cortex.parcellation import hemi_of_vertex, parcel_names, parcel_of_vertex
from braindash.errors import BraindashError

HEIGHT = 256


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shared_home(tmp_path_factory)


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    corner = (u * side + v)[:-1, :-1].ravel()
    first = np.column_stack([corner, corner + side, corner + 1])
    second = np.column_stack([corner + 1, corner + side, corner + side + 1])
    return np.column_stack([u.ravel(), v.ravel()]).astype(float), np.concatenate([first, second])


def area(line: np.ndarray) -> float:
    x, y = line[:-1].T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def test_a_disc_gets_one_closed_line_around_its_area() -> None:
    points, triangles = grid(41)
    inside = np.hypot(*(points - 20).T) < 12.2
    (line,) = region_lines(inside, points, triangles)
    np.testing.assert_array_equal(line[0], line[-1])
    assert area(line) == pytest.approx(np.pi * 12.2**2, rel=0.04)
    assert np.abs(np.hypot(*(line - 20).T) - 12.2).max() < 1


def test_a_ring_gets_two_lines_and_nothing_none() -> None:
    points, triangles = grid(41)
    far = np.hypot(*(points - 20).T)
    assert sorted(area(x) for x in region_lines((far < 15) & (far > 6), points, triangles)) == pytest.approx(
        [np.pi * 36, np.pi * 225], rel=0.08
    )
    assert region_lines(np.zeros(len(points), bool), points, triangles) == []


def test_a_region_at_the_cut_edge_is_closed_along_it() -> None:
    points, triangles = grid(21)
    (line,) = region_lines(points[:, 0] < 5.5, points, triangles)
    np.testing.assert_array_equal(line[0], line[-1])
    assert area(line) == pytest.approx(5.5 * 20, rel=0.03)
    (all_of_it,) = region_lines(np.ones(len(points), bool), points, triangles)
    assert area(all_of_it) == pytest.approx(400, rel=0.02)
    assert len(mesh_rim(triangles)) == 80


@pytest.mark.parametrize("name", ["A1", "PGi", "TGd"])
def test_outlines_run_where_the_picture_changes(name: str, home: Home) -> None:
    flat = flat_index("fs_LR-32k", home, HEIGHT)
    (outline,) = region_outlines(flat, "fs_LR-32k", {name: [name]})
    inside = np.append(parcel_of_vertex() == name, False)[flat.pixel_vertex]
    up, left = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    rows, columns = np.nonzero(up)
    border = [np.column_stack([columns, rows + 0.5])]
    rows, columns = np.nonzero(left)
    border = np.vstack([*border, np.column_stack([columns + 0.5, rows])])
    lines = np.vstack([_dense(line) for line in outline.lines])
    # the picture is a mosaic of cells about 2 pixels wide at this height
    there = np.array([np.hypot(*(lines - b).T).min() for b in border])
    back = np.array([np.hypot(*(border - p).T).min() for p in lines])
    assert np.median(there) < 1
    assert there.max() < 4
    assert back.max() < 4


def _dense(line: np.ndarray) -> np.ndarray:
    t = np.linspace(0, len(line) - 1, 6 * len(line))
    return np.column_stack([np.interp(t, np.arange(len(line)), c) for c in line.T])


def boxes(outlines: list[Outline]) -> list[tuple[float, float, float, float]]:
    """The rectangles that labels take, a bold letter being about 0.65 as wide as it is high."""
    found = []
    for o in outlines:
        wide, tall = 0.33 * len(o.label) * o.label_height, o.label_height / 2
        found += [(x - wide, y - tall, x + wide, y + tall) for x, y in o.anchors]
    return found


def test_labels_of_the_main_regions_stand_apart_within_the_picture(home: Home) -> None:
    flat = flat_index("fs_LR-32k", home, HEIGHT)
    outlines = region_outlines(flat, "fs_LR-32k", main_regions())
    assert [o.label for o in outlines] == ["A1", "Early auditory", "AG", "LTC", "IFG", "MFG"]
    assert all(len(o.anchors) == 2 for o in outlines)
    found = boxes(outlines)
    for i, a in enumerate(found):
        assert a[0] >= 0
        assert a[1] >= 0
        assert a[2] <= flat.shape[1]
        assert a[3] <= flat.shape[0]
        for b in found[:i]:
            assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])
    left, right = outlines[0].anchors
    assert left[0] < flat.shape[1] / 2 < right[0]


def test_with_many_regions_a_label_stays_in_its_own(home: Home) -> None:
    flat = flat_index("fs_LR-32k", home, HEIGHT)
    regions = {name: [name] for name in parcel_names()[:40]}
    parcels = np.append(parcel_of_vertex(), "")[flat.pixel_vertex]
    for o in region_outlines(flat, "fs_LR-32k", regions):
        for x, y in o.anchors:
            assert parcels[round(y), round(x)] == o.label


def test_lines_change_only_the_pixels_they_cover(home: Home) -> None:
    cortex_map = fs_lr_map()
    values = np.random.default_rng(0).uniform(size=59_412)
    options = {"vmin": 0.0, "vmax": 1.0, "height": HEIGHT}
    plain = flatmap_image(values, cortex_map, home, **options)
    lined = flatmap_image(values, cortex_map, home, outlines=main_regions(), labels=False, **options)
    named = flatmap_image(values, cortex_map, home, outlines=main_regions(), labels=True, **options)
    lines, names = ((p != plain).any(axis=2).mean() for p in (lined, named))
    assert 0.005 < lines < 0.06
    assert lines < names < 0.12
    again = flatmap_image(values, cortex_map, home, outlines=main_regions(), labels=True, **options)
    np.testing.assert_array_equal(named, again)


def test_region_mask_takes_parcels_or_points() -> None:
    both = region_mask(["A1", "RI"], "fs_LR-32k", 64_984)
    assert set(parcel_of_vertex()[both]) == {"A1", "RI"}
    assert set(hemi_of_vertex()[both]) == {"L", "R"}
    with pytest.raises(BraindashError, match=r"no HCP-MMP1 parcel 'STSd'.*Did you mean"):
        region_mask(["STSd"], "fs_LR-32k", 64_984)
    with pytest.raises(BraindashError, match="no HCP-MMP1 parcels on 'fsaverage5'"):
        region_mask(["A1"], "fsaverage5", 20_484)
    with pytest.raises(BraindashError, match="mask has shape"):
        region_mask(np.zeros(3, bool), "fs_LR-32k", 64_984)
    assert main_regions("fsaverage5") == {}
