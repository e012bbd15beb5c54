"""Two numbers in one colour, and the best layer: against a search by hand and planted layers."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from braindash.cortex.combined import (
    N_ACCURACY,
    N_GAIN,
    best_layer,
    gain_accuracy_codes,
    gain_accuracy_colours,
)
from braindash.errors import BraindashError


def test_codes_are_the_nearest_step_of_both_scales() -> None:
    rng = np.random.default_rng(0)
    gain, accuracy = rng.uniform(-0.2, 0.2, 400), rng.uniform(0.1, 0.9, 400)
    codes = gain_accuracy_codes(gain, accuracy, 0.2, 0.1, 0.9)
    steps_gain, steps_accuracy = np.linspace(-0.2, 0.2, N_GAIN), np.linspace(0.1, 0.9, N_ACCURACY)
    for code, g, a in zip(codes.astype(int), gain, accuracy, strict=True):
        row, column = divmod(code - 1, N_GAIN)
        assert column == np.abs(steps_gain - g).argmin()
        assert row == np.abs(steps_accuracy - a).argmin()


def test_ends_and_missing_values() -> None:
    codes = gain_accuracy_codes(
        np.array([-9, 9, 9, np.nan, 0.0, 0.0]), np.array([-9, -9, 9, 0.5, np.nan, 0.5]), 1.0, 0.0, 1.0
    )
    middle = 1 + N_GAIN * (N_ACCURACY // 2) + N_GAIN // 2
    assert codes.tolist() == [1, N_GAIN, 255, 0, 0, middle]
    with pytest.raises(BraindashError, match="cannot be drawn"):
        gain_accuracy_codes(np.zeros(2), np.zeros(2), 0.0, 0.0, 1.0)


def test_colours_say_gain_by_hue_and_accuracy_by_lightness() -> None:
    colours = gain_accuracy_colours().astype(float)
    assert colours.shape == (N_ACCURACY, N_GAIN, 3)
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 255
    luminance = (colours / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance, axis=0) > 0).all()  # every column gets lighter with accuracy
    assert np.ptp(luminance, axis=1).max() < 0.12  # and rows keep their lightness
    assert (np.diff(colours[..., 0] - colours[..., 2], axis=1) > 0).all()  # ever less blue, ever more red
    assert (np.ptp(colours, axis=2) > 20).all()  # never grey: that is where there is no value
    assert 0.5 < colorsys.rgb_to_hsv(*colours[7, 0] / 255)[0] < 0.7
    assert colorsys.rgb_to_hsv(*colours[7, -1] / 255)[0] < 0.12


def test_the_planted_best_layer_is_found() -> None:
    rng = np.random.default_rng(1)
    layers = np.array([0, 3, 6, 9])
    planted = rng.integers(0, 4, 200)
    scores = rng.uniform(0, 0.3, (4, 200)).astype(np.float32)
    scores[planted, np.arange(200)] = 0.5 + rng.uniform(0, 0.1, 200)
    scores[(planted + 1) % 4, np.arange(200)] = np.nan  # one layer without a score does not matter
    scores[:, 7] = np.nan
    best, value = best_layer(scores, layers)
    keep = np.arange(200) != 7
    np.testing.assert_array_equal(best[keep], layers[planted][keep])
    np.testing.assert_array_equal(value[keep], scores[planted, np.arange(200)][keep])
    assert np.isnan(best[7])
    assert np.isnan(value[7])


def test_the_first_of_equal_layers_is_taken() -> None:
    best, _ = best_layer(np.array([[0.2, -0.5], [0.2, -0.5]]), np.array([2, 4]))
    assert best.tolist() == [2, 2]
