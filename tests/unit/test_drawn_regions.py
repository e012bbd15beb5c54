"""Regions drawn on a native subject's flatmap: what lies inside, hostile files, and their outlines."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cortex_samples import shared_home, write_pycortex_subject
from drawing_samples import (
    AC_LEFT,
    AC_RIGHT,
    BROCA,
    SCALE,
    TRUTH,
    ellipse_path,
    flat,
    in_ellipse,
    overlays_svg,
    units,
    write_drawing,
)

from braindash.config import Home
from braindash.cortex.drawn import drawn_names, drawn_regions
from braindash.cortex.flatmap import PAGE_HEIGHT, flat_index, flatmap_image
from braindash.errors import BraindashError, NotDownloadedError
from braindash.studies import drawn_regions as reader
from braindash.studies.base import CortexMap
from braindash.studies.drawn_regions import read_drawing
from braindash.studies.svg_paths import BrokenPathError, path_polygons, transform_matrix


def inside(tmp_path: Path, shapes: str, **options: str) -> np.ndarray:
    """Which points a drawing of one region X encloses."""
    file = tmp_path / "overlays.svg"
    file.write_text(overlays_svg({"X": [shapes]}, **options))
    drawing = read_drawing(file)
    assert drawing.problems == ()
    return drawing.inside(*flat())["X"]


def test_planted_points_lie_inside(tmp_path: Path) -> None:
    drawing = read_drawing(write_drawing(tmp_path))
    assert drawing.problems == ()
    found = drawing.inside(*flat())
    assert list(found) == ["AC", "Broca"]
    for name, truth in TRUTH.items():
        assert truth.sum() > 5
        np.testing.assert_array_equal(found[name], truth)


def test_pycortex_finds_the_same_points_where_nothing_is_transformed(tmp_path: Path) -> None:
    from braindash.cortex.surfaces import pycortex

    file = write_drawing(tmp_path)
    points, _ = flat()
    with pycortex(Home(tmp_path / "home")):
        from cortex.svgoverlay import SVGOverlay

        theirs = SVGOverlay(str(file), coords=points.astype(np.float64), overlays_available=("rois",))
        there = np.unique(theirs.rois.get_mask("AC"))
    np.testing.assert_array_equal(np.flatnonzero(read_drawing(file).inside(*flat())["AC"]), there)


def test_points_of_no_triangle_lie_in_no_region(tmp_path: Path) -> None:
    points, triangles = flat()
    cut = np.flatnonzero(TRUTH["AC"])[3]
    found = read_drawing(write_drawing(tmp_path)).inside(points, triangles[~(triangles == cut).any(axis=1)])
    assert np.flatnonzero(found["AC"] ^ TRUTH["AC"]).tolist() == [cut]


def test_every_way_to_draw_the_same_ellipse(tmp_path: Path) -> None:
    x, y, rx, ry = AC_LEFT
    truth = in_ellipse(*AC_LEFT)
    (cx, cy), a, b = units(x, y), rx * SCALE, ry * SCALE
    ways = [
        f'<path d="{ellipse_path(*AC_LEFT)}"/>',
        f'<path d="{ellipse_path(*AC_LEFT)[:-2]}"/>',  # left open
        f'<ellipse cx="{cx}" cy="{cy}" rx="{a}" ry="{b}"/>',
        f'<path d="M{cx - a},{cy}A{a},{b},0,1,1,{cx + a},{cy}A{a},{b},0,1,1,{cx - a},{cy}Z"/>',
        f'<path d="m{cx - a} {cy}a{a} {b} 0 01{2 * a} 0 {a} {b} 0 01-{2 * a} 0z"/>',  # flags without spaces
        f'<g transform="translate({cx} {cy}) scale({a},{b})"><circle r="1"/></g>',
        f'<circle r="1" transform="matrix({a},0,0,{b},{cx},{cy}) rotate(77)"/>',
        f'<ellipse cx="{cx}" cy="{cy}" rx="{b}" ry="{a}" transform="rotate(90 {cx} {cy})"/>',
    ]
    for way in ways:
        np.testing.assert_array_equal(inside(tmp_path, way), truth, err_msg=way)
    moved = f'<path d="{ellipse_path(x - 8, y, rx, ry)}"/>'
    np.testing.assert_array_equal(inside(tmp_path, moved, rois=f'transform="translate({8 * SCALE})"'), truth)
    half = f'<ellipse cx="{cx / 2 + 7}" cy="{cy / 2}" rx="{a / 2}" ry="{b / 2}"/>'
    size = 'width="300mm" height="9cm" viewBox="7 0 {w} {h}"'.replace("{w}", "1024").replace("{h}", "512")
    np.testing.assert_array_equal(inside(tmp_path, half, size=size), truth)


@pytest.mark.parametrize(
    ("d", "corners"),
    [
        ("M1 1h2v3H1z", [(1, 1), (3, 1), (3, 4), (1, 4)]),
        ("m1,1 2,0 0,3 -2,0z", [(1, 1), (3, 1), (3, 4), (1, 4)]),
        ("M1-1L3-1 3,.5.5.5", [(1, -1), (3, -1), (3, 0.5), (0.5, 0.5)]),
        ("M1e0 1V4 L3 4", [(1, 1), (1, 4), (3, 4)]),
    ],
)
def test_lines_of_a_path(d: str, corners: list[tuple[float, float]]) -> None:
    (polygon,) = path_polygons(d)
    np.testing.assert_allclose(polygon, corners)


def test_curves_pass_where_their_formulas_say() -> None:
    (smooth,) = path_polygons("M0,0C0,1 1,1 1,0S2-1 2,0")
    np.testing.assert_allclose(smooth[[8, 16, 24]], [(0.5, 0.75), (1, 0), (1.5, -0.75)])  # halves, and the join
    (square,) = path_polygons("M0,0q1,2 2,0t2,0")
    np.testing.assert_allclose(square[[8, 24]], [(1, 1), (3, -1)])
    first, second = path_polygons("M0,0l1,0 0,1z l-1,0 0,-1z")  # after z the pen is back at the start
    np.testing.assert_allclose(first[0], second[0])
    np.testing.assert_allclose(
        transform_matrix("translate(1,2) skewX(45) scale(2)") @ [1, 1, 1], [1 + 2 + 2, 2 + 2, 1], atol=1e-12
    )


@pytest.mark.parametrize(
    "d", ["", "L1 1", "M", "M1", "M0,0 L1,x 2,2", "M0,0L1,1", "M0 0 1e999 0 1 1", "M0 0zz5", "junk"]
)
def test_a_broken_path_is_refused(d: str) -> None:
    with pytest.raises(BrokenPathError):
        path_polygons(d)


def test_a_region_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    good = f'<path d="{ellipse_path(*AC_LEFT)}"/>'
    file = tmp_path / "overlays.svg"
    bad = {"Bad": [good, '<path d="M 0,0 nonsense"/>'], "Turned": [good.replace("/>", ' transform="twist(3)"/>')]}
    file.write_text(overlays_svg({**bad, "AC": [good], "Empty": []}))
    drawing = read_drawing(file)
    assert list(drawing.regions) == ["AC"]
    assert len(drawing.problems) == 2
    assert "'Bad'" in drawing.problems[0]
    assert "nonsense" in drawing.problems[0]
    assert "twist(3)" in drawing.problems[1]


BOMB = '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (overlays_svg({}, head=BOMB), "entity"),
        (overlays_svg({}, head='<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "entity"),
        (overlays_svg({})[:-30], "not XML"),
        ("<html/>", "no SVG"),
        ('<?xml version="1.0" encoding="klingon"?><svg/>', "not XML"),
        (overlays_svg({}, size='width="wide" height="3"'), "width and height"),
        (overlays_svg({}, size='viewBox="0 0 0 1"'), "width and height"),
        (overlays_svg({}, size=""), "width and height"),
    ],
)
def test_a_hostile_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "overlays.svg"
    file.write_text(text)
    with pytest.raises(BraindashError, match=said):
        read_drawing(file)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_drawing(tmp_path)
    drawing = read_drawing(file)
    monkeypatch.setattr(reader, "_MAX_TESTS", 100)
    with pytest.raises(BraindashError, match="corners"):
        drawing.inside(*flat())
    monkeypatch.setattr(reader, "_MAX_BYTES", 100)
    with pytest.raises(BraindashError, match="MiB"):
        read_drawing(file)
    monkeypatch.undo()
    monkeypatch.setattr(reader, "_MAX_PATH", 300)
    os.utime(file, ns=(1, 1))
    with pytest.raises(BraindashError, match="longer"):
        read_drawing(file)
    monkeypatch.undo()
    monkeypatch.setattr(reader, "_MAX_REGIONS", 1)
    os.utime(file, ns=(2, 2))
    with pytest.raises(BraindashError, match="more than 1"):
        read_drawing(file)


def test_outlines_of_a_native_subject(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = shared_home(tmp_path_factory)
    n = int(write_pycortex_subject(tmp_path / "db").sum())
    cortex_map = CortexMap("pycortex", np.arange(n, dtype=np.int32), str(tmp_path / "db"), "S1", "S1_auto")
    assert drawn_names(cortex_map) == ()
    assert drawn_regions(cortex_map, home) == {}, "no drawing: no outlines"
    file = write_drawing(tmp_path / "db" / "S1")
    assert drawn_names(cortex_map) == ("AC", "Broca")
    found = drawn_regions(cortex_map, home)
    for name, truth in TRUTH.items():
        np.testing.assert_array_equal(found[name], truth)
    flat_map = flat_index(cortex_map, home, PAGE_HEIGHT)
    options = {"vmin": 0.0, "vmax": 1.0, "height": PAGE_HEIGHT}
    plain, drawn = (
        flatmap_image(np.zeros(n), cortex_map, home, outlines=o, labels=False, **options)  # type: ignore[arg-type]
        for o in (None, found)
    )
    changed = (plain != drawn).any(axis=2)
    # lines run along the ellipses, less than a mesh edge away, and nowhere else
    row, column = np.nonzero(changed)
    left, right, bottom, top = flat_map.extent
    x = left + column / (changed.shape[1] - 1) * (right - left)
    y = top - row / (changed.shape[0] - 1) * (top - bottom)
    off = [np.abs(np.hypot((x - e[0]) / e[2], (y - e[1]) / e[3]) - 1) * max(e[2:]) for e in (AC_LEFT, AC_RIGHT, BROCA)]
    assert changed.sum() > 500
    assert np.min(off, axis=0).max() < 4.0 + 1.0
    assert all((o < 1).sum() > 50 for o in off)
    # a changed file is read anew
    file.write_text(overlays_svg({r"$\frac$": [f'<path d="{ellipse_path(*AC_LEFT)}"/>']}))
    assert list(drawn_regions(cortex_map, home)) == [r"$\frac$"]
    named = flatmap_image(np.zeros(n), cortex_map, home, outlines=drawn_regions(cortex_map, home), **options)  # type: ignore[arg-type]
    assert (named != plain).any(), "a name that is no formula is drawn as it is"
    file.unlink()
    file.symlink_to("../.git/annex/objects/x/y")
    assert drawn_regions(cortex_map, home) == {}
    with pytest.raises(NotDownloadedError):
        read_drawing(file)
