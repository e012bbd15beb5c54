"""What the browser gets of a flatmap: every pixel's target again, values to a 255th of the scale, small enough."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from braindash.config import Home
from braindash.cortex.colour import colormap
from braindash.cortex.packing import pack_index, pack_values, palette, unpack_index
from braindash.errors import BraindashError


def test_every_pixel_comes_back(tmp_path: Path) -> None:
    from braindash.cortex.flatmap import flat_index
    from braindash.studies.base import CortexMap

    flat = flat_index("fsaverage5", Home(tmp_path), 256)
    index = np.random.default_rng(0).permutation(flat.n_points).astype(np.int32)
    index[::7] = -1  # points without a target
    cortex_map = CortexMap("fsaverage5", index)
    target, gyrus = unpack_index(pack_index(flat, cortex_map), flat.shape)
    np.testing.assert_array_equal(target[flat.mask], flat.target(cortex_map)[flat.mask] + 1)
    assert (target[~flat.mask] == -1).all()
    assert (target[flat.mask] == 0).any()
    np.testing.assert_array_equal(gyrus[flat.mask], flat.vertex_gyrus[flat.pixel_vertex[flat.mask]])


def unpacked(packed: bytes) -> np.ndarray:
    return np.frombuffer(zlib.decompress(packed), dtype=np.uint8)


def test_values_come_back_to_a_255th_of_the_scale() -> None:
    values = np.random.default_rng(1).uniform(-0.2, 0.8, 5000)
    codes = unpacked(pack_values(values, -0.2, 0.8))
    assert codes.min() >= 1
    np.testing.assert_allclose(-0.2 + (codes - 1.0) / 254, values, atol=0.5 / 254 + 1e-9)


def test_missing_values_and_those_beyond_the_scale_are_told_apart() -> None:
    codes = unpacked(pack_values(np.array([np.nan, -5.0, 0.0, 1.0, 9.0]), 0.0, 1.0, np.array([1, 1, np.nan, 0.5, 2])))
    assert codes.tolist() == [0, 1, 1, 255, 255, 255, 255, 0, 130, 255]


def test_opacity_comes_back_to_a_hundredth() -> None:
    alpha = np.random.default_rng(3).uniform(0, 1, 5000)
    back = unpacked(pack_values(np.ones(5000), 0.0, 1.0, alpha))[5000:]
    np.testing.assert_allclose(back / 255, alpha, atol=0.01)


def test_a_scale_without_length_is_refused() -> None:
    with pytest.raises(BraindashError, match="no length"):
        pack_values(np.zeros(3), 1.0, 1.0)


def test_a_map_of_a_large_subject_is_small() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0.2, 0.1, 80_000)
    assert len(pack_values(values, 0, 0.6)) <= 100_000


def test_the_palette_is_the_colour_map() -> None:
    colours = palette("diverging")
    assert len(colours) == 255
    table = colormap("diverging").astype(int)
    for code, row in ((0, 0), (254, 255)):
        assert colours[code] == (table[row, 0] << 16) + (table[row, 1] << 8) + table[row, 2]
