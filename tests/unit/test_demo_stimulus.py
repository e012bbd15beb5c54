"""The features that drive the simulated subjects, against independent computations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma

from braindash.demo import stimulus
from braindash.demo.make_word_vectors import components
from braindash.demo.phonemes import ARPABET
from braindash.demo.planting import noise


def test_double_gamma_is_the_difference_of_two_gamma_densities():
    t = np.linspace(-2, 30, 200)
    expected = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
    np.testing.assert_allclose(stimulus.double_gamma(t), expected, atol=1e-12)
    np.testing.assert_allclose(stimulus.double_gamma(t, delay=0.4), gamma.pdf(t - 0.4, 6) - gamma.pdf(t - 0.4, 16) / 6)


def test_rows_read_the_response_at_their_centres():
    """An impulse at 10 s must come back as the haemodynamic response at (row + 1/2) TR − 10 s."""
    features = np.zeros((600, 1))
    features[100] = 1 / stimulus.BIN
    rows = stimulus.to_rows(features, tr=2.0, n_trs=30)[:, 0]
    centres = (np.arange(30) + 0.5) * 2.0
    np.testing.assert_allclose(rows, stimulus.double_gamma(centres - 10.05), atol=2e-3)
    assert rows[:5] == pytest.approx(0)
    later = stimulus.to_rows(features, 2.0, 30, delay=1.0)[:, 0]
    np.testing.assert_allclose(later, stimulus.double_gamma(centres - 11.05), atol=2e-3)


def test_held_values_last_from_onset_to_offset():
    table = pd.DataFrame({"text": ["a", "", "b"], "onset": [0.05, 0.2, 0.3], "offset": [0.2, 0.3, 0.4]})
    out = stimulus.held(table, {"a": np.array([1.0, 2.0]), "b": np.array([0.0, 4.0])}, n=5, width=2)
    np.testing.assert_allclose(out, [[0.5, 1.0], [1.0, 2.0], [0, 0], [0, 4.0], [0, 0]], atol=1e-12)


def test_acoustic_bands_follow_a_tone():
    """A low tone fills a low band, a high tone a high one, silence none, each in its own bins."""
    t = np.arange(stimulus.RATE) / stimulus.RATE
    audio = np.concatenate([np.sin(2 * np.pi * 300 * t), np.zeros(stimulus.RATE), np.sin(2 * np.pi * 5000 * t)])
    bands = stimulus.acoustic(audio.astype(np.float32), 30)
    assert bands.shape == (30, 16)
    assert bands[2:8].mean(0).argmax() < 4
    assert bands[22:28].mean(0).argmax() > 11
    assert bands[12:18].max() < 1e-6
    assert (bands >= 0).all()


def test_every_phone_has_a_class():
    assert set(ARPABET.values()) <= set(stimulus.PHONES) | {"AH"}
    assert len(stimulus.PHONETIC_CLASSES) == 15
    assert {stimulus.PHONETIC_CLASSES[i] for i in stimulus.PHONES["M"]} == {"bilabial", "nasal"}
    assert {stimulus.PHONETIC_CLASSES[i] for i in stimulus.PHONES["IY"]} == {"front", "high"}
    phones = pd.DataFrame({"text": ["M", ""], "onset": [0.0, 0.1], "offset": [0.1, 0.2]})
    np.testing.assert_array_equal(stimulus.phonetic(phones, 2).sum(1), [2, 0])


def test_word_rate_counts_onsets_once():
    words = pd.DataFrame({"text": ["a", "", "b", "c"], "onset": [0.0, 0.1, 0.32, 0.35]})
    np.testing.assert_array_equal(stimulus.word_rate(words, 5)[:, 0], [1, 0, 0, 2, 0])


def test_components_are_partly_whitened():
    x = np.random.default_rng(0).standard_normal((50, 12)) * np.arange(1, 13)
    s = np.linalg.svd(x - x.mean(0), compute_uv=False)[:4]
    got = components(x, n=4, whitening=0.5)
    np.testing.assert_allclose(got.std(0) / got.std(0)[0], np.sqrt(s / s[0]))
    np.testing.assert_allclose(components(x, 4, whitening=1.0).std(0), 1)
    assert got.var(0).mean() == pytest.approx(1)


def test_noise_has_unit_variance_from_the_first_row_and_the_planted_autocorrelation():
    e = noise((3, 40, 4000), np.random.default_rng(1))
    assert e[:, 0].std() == pytest.approx(1, abs=0.03)
    assert e.std() == pytest.approx(1, abs=0.02)
    assert (e[:, 1:] * e[:, :-1]).mean() == pytest.approx(0.4, abs=0.01)
