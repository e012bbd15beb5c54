"""Design matrices and resampling against plain loops and planted events."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.features import delay, lanczos, stack_stories, trim, zscore
from braindash.features.design import constant_columns
from braindash.features.resample import lanczos_matrix


def test_zscore_per_story_and_constant_columns_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((50, 6)) * [1, 10, 0.01, 1, 1, 1] + [0, 5, 1000, 0, 0, 0]).astype(np.float32)
    X[:, 3], X[:, 4] = 7.25, 0.1 + 1e-9
    with caplog.at_level(logging.WARNING):
        Z = zscore(X)
    assert Z.dtype == np.float32
    for j in (0, 1, 2, 5):
        column = X[:, j].astype(np.float64)
        assert np.allclose(Z[:, j], [(v - sum(column) / 50) / (sum((column - sum(column) / 50) ** 2) / 50) ** 0.5
                                     for v in column], atol=1e-5)  # fmt: skip
    assert np.array_equal(constant_columns(X), [False, False, False, True, True, False])
    assert not Z[:, 3:5].any()
    assert "2 of 6 feature columns do not vary" in caplog.text


def test_zscore_refuses_nan() -> None:
    X = np.zeros((4, 3), np.float32)
    X[1, 2] = np.nan
    with pytest.raises(BraindashError, match=r"1 of 3.*column 2"):
        zscore(X)


@pytest.mark.parametrize("delays", [(1, 2, 3, 4), (0,), (-2, 0, 3), (7, 8, 100, -100)])
def test_delay_against_loops(delays: tuple[int, ...]) -> None:
    X = np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)
    expected = np.zeros((7, 3 * len(delays)), np.float32)
    for t in range(7):
        for j, d in enumerate(delays):
            for c in range(3):
                if 0 <= t - d < 7:
                    expected[t, 3 * j + c] = X[t - d, c]
    assert np.array_equal(delay(X, delays), expected)


def test_delays_do_not_cross_stories() -> None:
    """The last rows of one story must not predict the first of the next."""
    first, second = np.ones((5, 2), np.float32), np.full((5, 2), 2, np.float32)
    X, edges = stack_stories([delay(s, (1, 2)) for s in (first, second)])
    assert edges.tolist() == [0, 5, 10]
    assert not X[edges[1]].any()
    crossing = delay(np.concatenate([first, second]), (1, 2))
    assert crossing[5].any()
    with pytest.raises(ValueError, match="one number of columns"):
        stack_stories([first, np.ones((5, 3), np.float32)])


def test_trim() -> None:
    X = np.arange(10)[:, None]
    assert trim(X, 2, 3)[:, 0].tolist() == [2, 3, 4, 5, 6]
    assert trim(X, 0, 0).shape == (10, 1)
    with pytest.raises(BraindashError, match="leaves none of 10"):
        trim(X, 5, 5)
    with pytest.raises(ValueError, match="negative"):
        trim(X, -1, 0)


def naive_lanczos(data: np.ndarray, old: np.ndarray, new: np.ndarray, lobes: int, cutoff: float) -> np.ndarray:
    """The Huth lab's kernel, term by term, each row divided by the sum of its weights."""
    out = np.zeros((len(new), data.shape[1]))
    for i, t_new in enumerate(new):
        total = 0.0
        for j, t_old in enumerate(old):
            t = (t_new - t_old) * cutoff
            if abs(t) > lobes:
                w = 0.0
            elif t == 0:
                w = 1.0
            else:
                w = lobes * np.sin(np.pi * t) * np.sin(np.pi * t / lobes) / (np.pi**2 * t**2)
            out[i] += w * data[j]
            total += w
        out[i] /= total
    return out


@pytest.mark.parametrize("lobes", [2, 3])
def test_lanczos_against_loops(lobes: int) -> None:
    rng = np.random.default_rng(2)
    old = np.arange(1, 300) * 0.1 + rng.uniform(-0.02, 0.02, 299)
    new = np.arange(14) * 2.0045 + 1.3
    data = rng.standard_normal((299, 4))
    expected = naive_lanczos(data, old, new, lobes, 1 / 2.0045)
    got = lanczos(data, old, new, lobes)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-5
    cube = lanczos(data.reshape(299, 2, 2), old, new, lobes)
    assert np.array_equal(cube.reshape(14, 4), got)


def test_lanczos_keeps_constants_and_slow_waves_and_drops_fast_ones() -> None:
    old, new = np.arange(1, 1000) * 0.1, np.arange(48) * 2.0 + 2.0
    assert np.abs(lanczos(np.ones((999, 1)), old, new) - 1).max() < 1e-5
    inner = slice(4, -4)
    slow = lanczos(np.sin(2 * np.pi * 0.05 * old)[:, None], old, new)[inner, 0]
    assert np.abs(slow - np.sin(2 * np.pi * 0.05 * new[inner])).max() < 0.02
    fast = lanczos(np.sin(2 * np.pi * 0.9 * old)[:, None], old, new)[inner, 0]
    assert np.abs(fast).max() < 0.02


def test_lanczos_to_a_faster_rate_interpolates() -> None:
    old, new = np.arange(100) * 0.1, np.arange(300, 600) * 0.01
    wave = np.sin(2 * np.pi * 1.0 * old)[:, None]
    assert np.abs(lanczos(wave, old, new)[:, 0] - np.sin(2 * np.pi * new)).max() < 0.03


def test_lanczos_refuses_times_out_of_reach() -> None:
    old = np.arange(100) * 0.1
    with pytest.raises(ValueError, match="too far from the old times"):
        lanczos(np.ones((100, 1)), old, np.array([2.0, 4.0, 30.0]))
    with pytest.raises(ValueError, match="must increase"):
        lanczos(np.ones((3, 1)), np.array([0.0, 0.0, 1.0]), np.array([0.5]))
    rows = lanczos_matrix(old, np.array([0.0, 2.0, 4.0]))
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)
