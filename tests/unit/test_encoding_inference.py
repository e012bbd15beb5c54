"""Permutation tests, false discovery rates and intervals, on planted truth and on a real resting brain."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import signal, stats

from braindash.encoding.inference import (
    across_subjects,
    block_shares,
    correlation_interval,
    fdr,
    memory_factor,
    paired_test,
    permutation_test,
)
from braindash.encoding.scoring import correlation
from braindash.errors import BraindashError


def smooth(rng: np.random.Generator, n: int, v: int, rho: float) -> np.ndarray:
    """Return AR(1) series: (n, v)."""
    out: np.ndarray = signal.lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.standard_normal((n + 200, v)), axis=0)[200:]
    return out


def test_every_permutation_equals_a_loop_over_reordered_blocks() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.standard_normal((2, 63, 9))
    p += 0.3 * y
    found = permutation_test([y], [p], block=9, n_permutations=300, seed=5, correct=False)
    assert (found.n_blocks, found.n_left_out) == (7, 0)
    np.testing.assert_allclose(found.value, correlation(y, p), atol=1e-6)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(7), (300, 1)), axis=1)
    null = np.stack([correlation(y, p.reshape(7, 9, -1)[order].reshape(63, -1)) for order in orders])
    expected = (1 + (null >= found.value - 1e-6).sum(0)) / 301
    np.testing.assert_allclose(found.p, expected, atol=1e-12)


def test_rows_that_fill_no_block_are_counted() -> None:
    rng = np.random.default_rng(0)
    stories = [rng.standard_normal((n, 3)) for n in (47, 33)]
    found = permutation_test(stories, stories, block=10, n_permutations=50)
    assert (found.n_blocks, found.n_left_out) == (7, 10)
    assert (found.p < 0.05).all()
    with pytest.raises(BraindashError, match="have 4 blocks of 17 TRs; a permutation test needs 5"):
        permutation_test([rng.standard_normal((70, 3))], [rng.standard_normal((70, 3))], block=17)


def test_constant_predictions_have_no_p() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.standard_normal((2, 80, 4))
    p[:, 2] = 1.0
    assert np.isnan(permutation_test([y], [p]).p).tolist() == [False, False, True, False]
    assert np.isnan(paired_test([y], [p], [y]).p).tolist() == [False, False, True, False]


@pytest.mark.parametrize(("rho", "block"), [(0.0, 10), (0.5, 10), (0.9, 10)])
def test_noise_with_memory_passes_as_often_as_alpha_says(rho: float, block: int) -> None:
    rates, paired, naive = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y, p, other = (smooth(rng, 300, 200, rho) for _ in range(3))
        rates.append((permutation_test([y], [p], block=block, n_permutations=400, seed=seed).p < 0.05).mean())
        paired.append((paired_test([y], [p], [other], block=block, n_permutations=400, seed=seed).p < 0.05).mean())
        naive.append((permutation_test([y], [p], block=1, n_permutations=400, correct=False).p < 0.05).mean())
    assert 0.035 < np.mean(rates) < 0.065
    assert 0.03 < np.mean(paired) < 0.065
    if rho == 0.9:
        assert np.mean(naive) > 0.15  # single TRs exchanged: three times too often
        y, p = smooth(np.random.default_rng(0), 300, 200, rho), smooth(np.random.default_rng(1), 300, 200, rho)
        assert memory_factor([y], [p], block) > 1.1


def test_planted_signal_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(2)
    y, p = smooth(rng, 400, 600, 0.5), smooth(rng, 400, 600, 0.5)
    p[:, :200] += 0.6 * y[:, :200]
    q = fdr(permutation_test([y], [p]).p)
    assert (q[:200] < 0.05).mean() > 0.99
    assert (q[200:] < 0.05).sum() < 25  # a twentieth of the discoveries, with room


def test_a_better_model_is_found_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(3)
    stories = []
    for n in (150, 120, 130):
        truth = smooth(rng, n, 400, 0.5)
        y = truth + smooth(rng, n, 400, 0.5)
        good, equal = truth + smooth(rng, n, 400, 0.5), truth + smooth(rng, n, 400, 0.5)
        worse = truth + 2.5 * smooth(rng, n, 400, 0.5)
        stories.append((y, good, equal, worse))
    y_, good_, equal_, worse_ = ([s[i] for s in stories] for i in range(4))
    better = paired_test(y_, good_, worse_)
    assert (better.value > 0).mean() > 0.99
    assert (better.p < 0.05).mean() > 0.8
    assert 0.03 < (paired_test(y_, good_, equal_).p < 0.05).mean() < 0.08
    shares = block_shares(y_, good_, 10).r
    assert shares.shape == (40, 400)
    centred = [[x - x.mean(0) for x in side] for side in (y_, good_)]
    np.testing.assert_allclose(shares.sum(0), correlation(*(np.concatenate(s) for s in centred)), atol=1e-5)


def test_swaps_equal_correlations_of_swapped_predictions() -> None:
    rng = np.random.default_rng(7)
    y, one, two = (x - x.mean(0) for x in rng.standard_normal((3, 60, 5)))
    one, two = one + 0.5 * y, (two + 0.2 * y) * 3  # scales must not matter
    found = paired_test([y], [one], [two], block=10, n_permutations=200, seed=3, correct=False)
    np.testing.assert_allclose(found.value, correlation(y, one) - correlation(y, two), atol=1e-6)
    swapped = np.random.default_rng(3).integers(0, 2, (200, 6)).repeat(10, axis=1)[:, :, None]
    a, b = one / np.sqrt((one**2).sum(0)), two / np.sqrt((two**2).sum(0))

    def r(p: np.ndarray) -> np.ndarray:
        return (y * p).sum(0) / np.sqrt((y**2).sum(0) * (p**2).sum(0))

    null = np.stack([r(np.where(s, b, a)) - r(np.where(s, a, b)) for s in swapped])
    expected = (1 + (np.abs(null) >= np.abs(found.value) * (1 - 1e-6)).sum(0)) / 201
    np.testing.assert_allclose(found.p, expected, atol=1e-12)


def test_false_discovery_rates_equal_scipys() -> None:
    p = np.random.default_rng(0).uniform(size=50) ** 2
    np.testing.assert_allclose(fdr(p), stats.false_discovery_control(p, method="bh"))
    np.testing.assert_allclose(fdr(p, "by"), stats.false_discovery_control(p, method="by"))
    p[7] = np.nan
    assert np.isnan(fdr(p)).tolist() == np.isnan(p).tolist()


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_intervals_cover_the_truth(rho: float) -> None:
    rng = np.random.default_rng(4)
    shared, y, p = (smooth(rng, 400, 3000, rho) for _ in range(3))
    interval = correlation_interval([shared + y], [shared + 0.5 * p], n_boot=400)
    truth = 1 / np.sqrt(2 * 1.25)
    covered = (interval.low < truth) & (truth < interval.high)
    assert 0.925 < covered.mean() < 0.975


def test_subjects_sign_flips_are_exact_and_refused_when_they_cannot_tell() -> None:
    values = np.array([0.3, 0.5, 0.2, 0.4, 0.1, 0.6])
    mean, p = across_subjects(values)
    assert float(mean) == pytest.approx(0.35)
    assert float(p) == pytest.approx(2 / 64)
    with pytest.raises(BraindashError, match=r"With 3 subjects the smallest p that sign flips can give is 0\.25"):
        across_subjects(values[:3])
    many = np.random.default_rng(0).standard_normal((20, 500)) + np.r_[np.zeros(400), np.ones(100)]
    _, p = across_subjects(many)
    expected = stats.ttest_1samp(many, 0).pvalue
    assert np.abs(p - expected).mean() < 0.01


def calibration() -> ModuleType:
    """Load benchmarks/calibration.py, which draws the figure of docs/methods.md from the same code."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nobody_who_heard_nothing_is_predicted_from_speech() -> None:
    pytest.importorskip("brainspace", reason="brainspace carries the resting-state run")
    bench = calibration()
    rates = bench.encode_rest(bench.resting_run(600), n_stimuli=24, n_permutations=400)
    assert 0.04 <= rates["against zero"].mean() <= 0.06
    assert 0.04 <= rates["paired"].mean() <= 0.06
    assert rates["after FDR"].mean() < 0.005
    assert rates["paired, after FDR"].mean() < 0.005
    assert rates["single TRs"].mean() > 0.15
    assert rates["paired, single TRs"].mean() > 0.15
