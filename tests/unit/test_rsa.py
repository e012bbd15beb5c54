"""Representational similarity against rsatoolbox, scipy and planted geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import RDMs, calc_rdm, compare
from scipy.spatial.distance import squareform
from scipy.stats import kendalltau, spearmanr

from braindash import rsa
from braindash.errors import BraindashError
from braindash.rsa import similarity
from braindash.rsa.inference import block_starts, draw_counts

N = 40
THEIRS = {"correlation": "corr", "cosine": "cosine", "spearman": "spearman", "kendall": "tau-a", "whitened": "corr_cov"}


@pytest.fixture(scope="module")
def values() -> list[np.ndarray]:
    """Return layers that share part of their geometry."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((N, 12))
    return [
        np.concatenate([w * shared, rng.standard_normal((N, 20))], axis=1) @ rng.standard_normal((32, 25)) + 1.5
        for w in (2.0, 1.0, 0.5, 0.0)
    ]


def theirs(values: np.ndarray, metric: str) -> Any:
    return calc_rdm(Dataset(values, obs_descriptors={"i": np.arange(len(values))}), method=metric, descriptor="i")


@pytest.mark.parametrize("metric", ["correlation", "euclidean"])
def test_dissimilarities_equal_those_of_rsatoolbox(values: list[np.ndarray], metric: str) -> None:
    ours = rsa.prepare(values[0], metric).rdm()
    np.testing.assert_allclose(squareform(ours, checks=False), theirs(values[0], metric).dissimilarities[0], rtol=2e-5)


def test_cosine_is_scipys(values: list[np.ndarray]) -> None:
    from scipy.spatial.distance import pdist

    np.testing.assert_allclose(
        squareform(rsa.prepare(values[1], "cosine").rdm(), checks=False), pdist(values[1], "cosine"), atol=2e-6
    )


def test_crossnobis_equals_rsatoolbox_and_has_no_noise_bias() -> None:
    rng = np.random.default_rng(1)
    n, p, n_repeats = 12, 15, 3
    true = rng.standard_normal((n, p))
    true[1] = true[0]  # two conditions with the same response
    noise = rng.standard_normal((n_repeats, n, p))
    precision = np.diag(rng.uniform(0.5, 2, p))
    repeats = true + noise
    data = Dataset(
        repeats.reshape(-1, p),
        obs_descriptors={"i": np.tile(np.arange(n), n_repeats), "run": np.repeat(np.arange(n_repeats), n)},
    )
    wanted: Any = calc_rdm(data, method="crossnobis", descriptor="i", cv_descriptor="run", noise=precision)
    ours = rsa.crossnobis(repeats, precision).rdm()
    np.testing.assert_allclose(squareform(ours, checks=False), wanted.dissimilarities[0], rtol=1e-4, atol=1e-5)
    many = [rsa.crossnobis(true + rng.standard_normal((n_repeats, n, p))).rdm()[0, 1] for _ in range(400)]
    assert abs(np.mean(many)) < 4 * np.std(many) / 20  # the squared distance would be 2/3 here
    plain = [
        rsa.prepare((true + rng.standard_normal((n_repeats, n, p))).mean(0), "euclidean").rdm()[0, 1] for _ in range(50)
    ]
    assert np.mean(plain) > 0.4


@pytest.mark.parametrize("method", similarity.METHODS)
def test_similarities_equal_those_of_rsatoolbox(values: list[np.ndarray], method: str) -> None:
    P = [rsa.prepare(v) for v in values]
    rdms = [theirs(v, "correlation") for v in values]
    wanted = np.array([[compare(a, b, method=THEIRS[method])[0, 0] for b in rdms[1:]] for a in rdms[:2]])
    np.testing.assert_allclose(rsa.similarities(P[:2], P[1:], method), wanted, atol=2e-5)


@pytest.mark.parametrize("method", ["spearman", "correlation", "cosine"])
def test_little_memory_changes_no_number(values: list[np.ndarray], method: str) -> None:
    P = [rsa.prepare(v) for v in values]
    whole = rsa.correlations(P, method)
    np.testing.assert_allclose(rsa.correlations(P, method, memory_gb=1e-5), whole, atol=1e-6)
    assert whole[0, 1] > whole[0, 3] + (0.01 if method == "cosine" else 0.1)  # the planted order


@pytest.mark.parametrize("method", ["spearman", "correlation"])
def test_neighbours_are_left_out_within_a_story_only(values: list[np.ndarray], method: str) -> None:
    P = [rsa.prepare(v) for v in values[:2]]
    groups = np.repeat([0, 1], N // 2)
    i, j = np.triu_indices(N, 1)
    keep = ~((j - i <= 3) & (groups[i] == groups[j]))
    a, b = (p.rdm()[i, j][keep] for p in P)
    wanted = spearmanr(a, b).statistic if method == "spearman" else np.corrcoef(a, b)[0, 1]
    got = rsa.similarities(P[:1], P[1:], method, exclude=3, groups=groups, memory_gb=1e-5)
    assert got[0, 0] == pytest.approx(wanted, abs=2e-5)
    assert similarity.count_pairs(N, 3, groups) == keep.sum()


def test_kendall_counts_ties_as_neither() -> None:
    rng = np.random.default_rng(3)
    P = [rsa.prepare(rng.integers(0, 2, (14, 4)).astype(float), "euclidean") for _ in range(2)]  # exact in float32
    i, j = np.triu_indices(14, 1)
    a, b = (p.rdm()[i, j] for p in P)
    signs = np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b))
    n = len(a)
    got = rsa.similarities(P[:1], P[1:], "kendall")[0, 0]
    assert got == pytest.approx(np.triu(signs, 1).sum() / (n * (n - 1) / 2), abs=1e-6)
    assert abs(got - kendalltau(a, b).statistic) > 1e-3  # τ-b would be another number


def test_partial_similarity_is_that_of_residuals(values: list[np.ndarray]) -> None:
    P = [rsa.prepare(v) for v in values]
    C = rsa.correlations(P, "correlation")
    vectors = [squareform(p.rdm(), checks=False).astype(float) for p in P]
    Z = np.stack([np.ones_like(vectors[0]), vectors[2], vectors[3]], axis=1)
    rest = [v - Z @ np.linalg.lstsq(Z, v, rcond=None)[0] for v in vectors[:2]]
    assert rsa.partial_correlation(C, 0, 1, [2, 3]) == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-4)
    assert rsa.partial_correlation(C, 0, 1, []) == pytest.approx(C[0, 1], abs=1e-9)
    with pytest.raises(BraindashError, match="combination of the others"):
        rsa.partial_correlation(rsa.correlations([P[0], P[1], P[1]], "correlation"), 0, 1, [2])


def test_ceiling_equals_rsatoolbox() -> None:
    rng = np.random.default_rng(4)
    shared = rng.uniform(size=300)
    rdms = np.stack([shared + s * rng.uniform(size=300) for s in (0.5, 1.0, 1.5, 2.0)])
    for method in ("correlation", "cosine", "spearman"):
        wanted = boot_noise_ceiling(RDMs(rdms), method=THEIRS[method])
        np.testing.assert_allclose(rsa.noise_ceiling(rdms, method), wanted, atol=1e-6)
    with pytest.raises(BraindashError, match="2 subjects or more; there is 1"):
        rsa.noise_ceiling(rdms[:1])


def test_bootstrap_equals_rsatoolbox_on_the_same_draws(values: list[np.ndarray]) -> None:
    P = [rsa.prepare(v) for v in values[:2]]
    ours = rsa.condition_bootstrap(P[:1], P[1:], "correlation", n_boot=5, seed=7)
    counts = draw_counts(N, 5, 1, None, 7)
    for k, row in enumerate(counts):
        drawn = np.repeat(np.arange(N), row.astype(int))
        a, b = (theirs(v, "correlation").subsample_pattern("i", drawn) for v in values[:2])
        assert ours[k, 0, 0] == pytest.approx(compare(a, b, method="corr")[0, 0], abs=1e-5)


def smooth(n: int, p: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    x = np.empty((n, p))
    x[0] = rng.standard_normal(p)
    for t in range(1, n):
        x[t] = memory * x[t - 1] + np.sqrt(1 - memory**2) * rng.standard_normal(p)
    return x


def passing(memory: float, block: int, exclude: int, n_sets: int = 50, n: int = 64) -> float:
    """Return the share of unrelated pairs of smooth series with p < .05."""
    passed = 0
    for seed in range(n_sets):
        rng = np.random.default_rng(seed)
        a, b = (rsa.prepare(smooth(n, 12, memory, rng)) for _ in range(2))
        orders = rsa.block_permutations(n, 59, block=block, seed=seed)
        passed += rsa.mantel([a], [b], orders, "correlation", exclude=exclude)[1][0, 0] <= 0.05
    return passed / n_sets


def test_blocks_keep_the_false_positives_of_slow_signals_down() -> None:
    naive = passing(0.7, 1, 0)
    ours = passing(0.7, 8, 7)
    assert naive > 0.5  # every unrelated slow signal would look alike
    assert ours < 0.13


def test_a_planted_similarity_is_found_and_an_absent_one_is_not(values: list[np.ndarray]) -> None:
    P = [rsa.prepare(v) for v in values]
    orders = rsa.block_permutations(N, 199, seed=0)
    r, p = rsa.mantel(P[:1], P[1:], orders, "spearman")
    np.testing.assert_allclose(r, rsa.similarities(P[:1], P[1:], "spearman"), atol=1e-5)
    assert p[0, 0] == pytest.approx(1 / 200)
    assert p[0, 2] > 0.05
    r_t, _ = rsa.mantel(P[1:], P[:1], orders, "spearman")
    np.testing.assert_allclose(r_t.T, r, atol=1e-6)


def test_blocks_stay_whole_and_inside_their_story() -> None:
    groups = np.repeat([0, 1], [23, 31])
    assert block_starts(54, 5, groups).tolist() == [0, 5, 10, 15, 23, 28, 33, 38, 43, 48]
    orders = rsa.block_permutations(54, 20, block=5, groups=groups, seed=0)
    for order in orders:
        assert sorted(order) == list(range(54))
        assert (order[20:23] == [20, 21, 22]).all()
        for start in (0, 23, 48):
            assert (np.diff(order[start : start + 5]) == 1).all()
    assert (orders[0] != np.arange(54)).any()


def test_cka_is_one_for_turned_layers_and_zero_for_unrelated_ones() -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 40))
    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    out = rsa.cka_matrix([X, X * 3 + 2], [X @ turn, rng.standard_normal((60, 500))])
    np.testing.assert_allclose(out[:, 0], 1.0, atol=1e-9)
    unrelated = [rsa.cka_matrix([X], [rng.standard_normal((60, 500))])[0, 0] for _ in range(40)]
    assert abs(np.mean(unrelated)) < 4 * np.std(unrelated) / np.sqrt(40)  # the biased estimate is about .5 here


def test_cka_follows_its_definition() -> None:
    rng = np.random.default_rng(6)
    X, Y = rng.standard_normal((20, 5)), rng.standard_normal((20, 7))
    Y[:, :3] += X[:, :3]

    def hsic(K: np.ndarray, L: np.ndarray) -> Any:
        n = len(K)
        K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        one = np.ones(n)
        return np.trace(K @ L) + one @ K @ one * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ K @ L @ one

    X0, Y0 = X - X.mean(0), Y - Y.mean(0)
    K, L = X0 @ X0.T, Y0 @ Y0.T
    assert rsa.cka_matrix([X], [Y])[0, 0] == pytest.approx(hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L)))


def test_what_cannot_be_inferred_is_refused_with_the_reason(values: list[np.ndarray]) -> None:
    P = [rsa.prepare(v) for v in values[:2]]
    for call, said in (
        (lambda: rsa.prepare(values[0][:3]), "4 conditions or more"),
        (lambda: rsa.prepare(np.ones((9, 5))), "do not vary over channels"),
        (lambda: rsa.prepare(np.full((9, 5), np.nan)), "not finite"),
        (lambda: rsa.prepare(values[0], "corelation"), "Did you mean correlation"),
        (lambda: rsa.crossnobis(values[0][None]), "2 repeats"),
        (lambda: rsa.block_permutations(30, 10, block=8), "3 whole blocks of 8"),
        (lambda: rsa.similarities(P[:1], [rsa.prepare(values[0][:9])]), "cannot be compared"),
        (lambda: rsa.similarities(P[:1], P[1:], exclude=50), "are left to compare"),
        (lambda: rsa.cka_matrix([values[0][:4]], [values[1][:4]]), "5 conditions"),
    ):
        with pytest.raises(BraindashError, match=said):
            call()


def test_many_conditions_fit_a_bounded_memory() -> None:
    import tracemalloc

    rng = np.random.default_rng(8)
    P = [rsa.prepare(rng.standard_normal((5_000, 4)), "euclidean") for _ in range(2)]
    tracemalloc.start()
    rsa.correlations(P, "correlation", memory_gb=0.04)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.08e9  # one RDM of 12 million pairs is 0.05 GB, both as matrices 0.2 GB
    with pytest.raises(BraindashError, match="5,000 conditions are more than"):
        rsa.mantel(P[:1], P[1:], np.zeros((0, 5_000), dtype=int))
