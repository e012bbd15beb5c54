from __future__ import annotations

import numpy as np
import pytest

from braindash.cortex.colour import (
    DIVERGING_MAPS,
    SEQUENTIAL_MAPS,
    colormap,
    colour_values,
    lab_to_srgb,
    map_in_use,
    matplotlib_map,
    plotly_scale,
    shared_limits,
    symmetric_limit,
    use_maps,
)
from braindash.errors import BraindashError

# Machado, Oliveira & Fernandes 2009, severity 1.0; they act on linear RGB
DEFICIENCIES = {
    "protan": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deutan": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritan": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}


def lab(table: np.ndarray) -> np.ndarray:
    color = pytest.importorskip("skimage.color")
    return color.rgb2lab(table[None] / 255.0)[0]


def seen_with(table: np.ndarray, deficiency: str) -> np.ndarray:
    rgb = table / 255.0
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    changed = np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1)
    return 255 * np.where(changed <= 0.0031308, changed * 12.92, 1.055 * changed ** (1 / 2.4) - 0.055)


def test_lab_conversion_agrees_with_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    rgb = np.random.default_rng(0).uniform(0.02, 0.98, (200, 3))
    np.testing.assert_allclose(lab_to_srgb(color.rgb2lab(rgb[None])[0]), rgb, atol=2e-3)


@pytest.mark.parametrize("name", DIVERGING_MAPS)
def test_diverging_lightness_is_even_and_the_same_on_both_sides(name: str) -> None:
    light = lab(colormap(name))[:, 0]
    assert np.abs(light - light[::-1]).max() < 3
    assert (np.diff(light[:127]) > 0).all()
    assert (np.diff(light[129:]) < 0).all()
    assert light[127:129].min() > 94
    steps = np.abs(np.diff(light))
    assert steps[(steps > 0)].max() < 1.2


@pytest.mark.parametrize("name", DIVERGING_MAPS)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_both_sides_stay_apart_for_colour_blind_eyes(deficiency: str, name: str) -> None:
    seen = lab(seen_with(colormap(name), deficiency))
    for distance in (60, 90, 120):
        assert np.linalg.norm(seen[128 - distance] - seen[127 + distance]) > 25


@pytest.mark.parametrize("name", SEQUENTIAL_MAPS)
def test_sequential_lightness_rises_also_for_colour_blind_eyes(name: str) -> None:
    table = colormap(name)
    for seen in (table, *(seen_with(table, d) for d in DEFICIENCIES)):
        light = lab(seen)[:, 0]
        assert (np.diff(light) > -0.5).all()
        assert light[-1] - light[0] > 60
        steps = np.linalg.norm(np.diff(lab(seen)[::8], axis=0), axis=1)
        assert steps.min() > 1  # no stretch of values looks alike


def test_a_lab_chooses_what_stands_for_a_role_among_the_checked_maps() -> None:
    usual = colormap("sequential")
    try:
        assert use_maps("cividis", "teal_rust")
        assert not use_maps("cividis", "teal_rust"), "nothing has changed"
        np.testing.assert_array_equal(colormap("sequential"), colormap("cividis"))
        assert plotly_scale("diverging") == plotly_scale("teal_rust")
        assert map_in_use("diverging") == "teal_rust"
        assert map_in_use("gain_accuracy") == "gain_accuracy"
        with pytest.raises(BraindashError, match=r"'jet' is not among the sequential"):
            use_maps("jet")
        with pytest.raises(BraindashError, match=r"'viridis' is not among the diverging"):
            use_maps(diverging="viridis")
        assert map_in_use("sequential") == "cividis", "a refused choice changes nothing"
    finally:
        use_maps()
    np.testing.assert_array_equal(colormap("sequential"), usual)


def test_values_beyond_the_limits_get_the_end_colours() -> None:
    table = colormap("sequential")
    got = colour_values(np.array([-np.inf, -1.0, 0.0, 0.5, 1.0, 9.0, np.inf]), "sequential", 0, 1)
    np.testing.assert_array_equal(got, table[[0, 0, 0, 128, 255, 255, 255]])


def test_the_same_map_for_plotly_and_matplotlib() -> None:
    scale = plotly_scale("diverging", 3)
    table = colormap("diverging")
    assert [s[0] for s in scale] == [0.0, 0.5, 1.0]
    assert scale[2][1] == "rgb({},{},{})".format(*table[255])
    np.testing.assert_allclose(np.multiply(matplotlib_map("diverging")(0.0)[:3], 255), table[0], atol=1e-6)


def test_unknown_maps_and_bad_limits_are_named() -> None:
    with pytest.raises(BraindashError, match=r"'viridus'.*viridis"):
        colormap("viridus")
    with pytest.raises(BraindashError, match="finite and rising"):
        colour_values(np.zeros(2), "sequential", 0, np.nan)


def test_shared_limits_hold_both_maps_and_are_readable() -> None:
    a, b = np.linspace(0.03, 0.61, 1000), np.linspace(0.03, 0.73, 1000)
    low, high = shared_limits(a, b)
    assert low == 0
    assert high == pytest.approx(0.8)
    assert shared_limits(a, b) == shared_limits(b, a) == shared_limits(np.append(a, np.nan), b)
    assert shared_limits(np.append(a, 1e6), np.append(b, 1e6))[1] == pytest.approx(0.8), (
        "one wild target does not matter"
    )
    low, high = shared_limits(a - 0.3)
    assert low < -0.25
    assert high > 0.28
    assert shared_limits(np.zeros(3)) == (0.0, 1.0)


def test_symmetric_limit_holds_the_larger_side() -> None:
    assert symmetric_limit(np.linspace(-0.08, 0.02, 500)) == pytest.approx(0.08)
    assert symmetric_limit(np.linspace(-0.02, 0.031, 500), percentile=100) == pytest.approx(0.04)
    assert symmetric_limit(np.zeros(4)) == 1.0
    with pytest.raises(BraindashError, match="No target has a finite value"):
        symmetric_limit(np.full(3, np.nan))
