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
THEIRS = {
    "correlation": "corr", "cosine": "cosine", "spearman": "spearman", "kendall": "tau-a", "whitened": "corr_cov",
    "whitened_cosine": "cosine_cov",
}  # fmt: skip


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


@pytest.mark.parametrize("method", similarity.METHODS)
def test_neighbours_left_out_are_missing_to_rsatoolbox(values: list[np.ndarray], method: str) -> None:
    P = [rsa.prepare(v) for v in values]
    groups = np.repeat([0, 1], [15, N - 15])
    rdms = [without_neighbours(v, 3, groups) for v in values]
    wanted = np.array([[compare(a, b, method=THEIRS[method])[0, 0] for b in rdms] for a in rdms])
    np.testing.assert_allclose(rsa.correlations(P, method, exclude=3, groups=groups), wanted, atol=2e-5)


def without_neighbours(values: np.ndarray, exclude: int, groups: np.ndarray) -> Any:
    out = theirs(values, "correlation")
    i, j = np.triu_indices(len(values), 1)
    out.dissimilarities[:, (j - i <= exclude) & (groups[i] == groups[j])] = np.nan
    return out


@pytest.mark.parametrize("method", ["correlation", "cosine", "whitened", "whitened_cosine"])
def test_many_tiles_add_up_to_the_whole(method: str) -> None:
    rng = np.random.default_rng(2)
    n = 3 * similarity.TILE[0] // 2 + 7
    shared = rng.standard_normal((n, 6))
    values = [np.concatenate([shared, rng.standard_normal((n, 6))], axis=1) for _ in range(2)]
    P = [rsa.prepare(v) for v in values]
    groups = np.repeat([0, 1], [200, n - 200])
    i, j = np.triu_indices(n, 1)
    keep = ~((j - i <= 5) & (groups[i] == groups[j]))
    a, b = (1 - np.corrcoef(v)[i[keep], j[keep]] for v in values)
    if method in similarity.CENTRED:
        a, b = a - a.mean(), b - b.mean()
    x = b
    if method in similarity.WHITENED:
        from scipy.sparse import coo_array, eye_array
        from scipy.sparse.linalg import spsolve

        m = np.arange(len(a))
        B = coo_array((np.ones(2 * len(a)), (np.r_[i[keep], j[keep]], np.r_[m, m])), shape=(n, len(a))).tocsr()

        def solve(v: np.ndarray) -> Any:  # V = 2I + B'B by its Schur complement in the conditions
            return (v - B.T @ spsolve((2 * eye_array(n) + B @ B.T).tocsc(), B @ v)) / 2

        V = (2 * eye_array(len(a)) + (B.T @ B)).tocsr()[:50]
        np.testing.assert_allclose(V @ solve(b), b[:50], atol=1e-8)
        x, norm = solve(b), float(np.sqrt((a @ solve(a)) * (b @ solve(b))))
    else:
        norm = float(np.sqrt((a @ a) * (b @ b)))
    got = rsa.similarities(P[:1], P[1:], method, exclude=5, groups=groups)[0, 0]
    assert got == pytest.approx(float(a @ x) / norm, abs=2e-6)
    assert rsa.similarities(P[:1], P[1:], method, exclude=5, groups=groups, memory_gb=1e-4)[0, 0] == pytest.approx(
        got, abs=1e-6
    )


@pytest.mark.parametrize("method", ["spearman", "correlation", "cosine", "whitened"])
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
    for method in similarity.METHODS:
        wanted = boot_noise_ceiling(RDMs(rdms), method=THEIRS[method])
        np.testing.assert_allclose(rsa.noise_ceiling(rdms, method), wanted, atol=1e-6)
    with pytest.raises(BraindashError, match="2 subjects or more; there is 1"):
        rsa.noise_ceiling(rdms[:1])
    with pytest.raises(BraindashError, match="25 conditions have 253 pairs that are compared; the RDMs have 300"):
        rsa.noise_ceiling(rdms, "whitened", exclude=2, groups=np.zeros(25))


@pytest.mark.parametrize("exclude", [0, 3])
@pytest.mark.parametrize("method", ["correlation", "cosine", "kendall", "whitened", "whitened_cosine"])
def test_bootstrap_equals_rsatoolbox_on_the_same_draws(values: list[np.ndarray], method: str, exclude: int) -> None:
    P = [rsa.prepare(v) for v in values[:2]]
    groups = np.repeat([0, 1], N // 2)
    ours = rsa.condition_bootstrap(P[:1], P[1:], method, n_boot=5, seed=7, exclude=exclude, groups=groups)
    counts = draw_counts(N, 5, 1, groups, 7)
    for k, row in enumerate(counts):
        drawn = np.repeat(np.arange(N), row.astype(int))
        a, b = (without_neighbours(v, exclude, groups).subsample_pattern("i", drawn) for v in values[:2])
        assert ours[k, 0, 0] == pytest.approx(compare(a, b, method=THEIRS[method])[0, 0], abs=1e-5)


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


@pytest.mark.parametrize("method", similarity.METHODS)
def test_p_counts_comparisons_made_anew_for_every_order(values: list[np.ndarray], method: str) -> None:
    P = [rsa.prepare(v) for v in values]
    orders = rsa.block_permutations(N, 19, block=4, seed=1)
    r, p = rsa.mantel(P[:2], P[2:], orders, method)
    observed = rsa.similarities(P[:2], P[2:], method)
    np.testing.assert_allclose(r, observed, atol=1e-5)
    reached = sum(
        rsa.similarities([rsa.prepare(v[order]) for v in values[:2]], P[2:], method) >= observed for order in orders
    )
    np.testing.assert_allclose(p, (1 + reached) / 20)


def test_a_plane_shows_distances_that_lie_in_one() -> None:
    angles = np.array([0.0, 0.3, 0.5, 1.2, 2.9])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    xy, stress = rsa.classical_mds(points @ points.T)
    assert stress < 1e-7
    for a, b in ((0, 1), (2, 4), (1, 3)):
        assert np.linalg.norm(xy[a] - xy[b]) == pytest.approx(np.linalg.norm(points[a] - points[b]))
    np.testing.assert_array_equal(xy, rsa.classical_mds(points @ points.T)[0])
    corners = np.eye(5)  # all equally far: no plane holds that
    xy, stress = rsa.classical_mds(corners)
    i, j = np.triu_indices(5, 1)
    shown = np.linalg.norm(xy[i] - xy[j], axis=1)
    assert stress == pytest.approx(np.sqrt(((shown - np.sqrt(2)) ** 2).sum() / 20))
    assert stress > 0.2
    with pytest.raises(BraindashError, match="3 RDMs or more"):
        rsa.classical_mds(np.eye(2))


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
    with pytest.raises(BraindashError, match="kendall over 5,000 conditions would take hours"):
        rsa.similarities(P[:1], P[1:], "kendall")
    few = [p.take(np.arange(200)) for p in P]
    with pytest.raises(BraindashError, match="200 conditions are more than the 150"):
        rsa.condition_bootstrap(few[:1], few[1:], "kendall")


@pytest.mark.parametrize(
    ("method", "n", "n_rdms", "most"), [("whitened", 4_000, 2, 0.03e9), ("spearman", 2_000, 12, 0.08e9)]
)
def test_memory_is_less_than_the_rdms_take(method: str, n: int, n_rdms: int, most: float) -> None:
    import tracemalloc

    rng = np.random.default_rng(9)
    P = [rsa.prepare(rng.standard_normal((n, 4)), "euclidean") for _ in range(n_rdms)]
    tracemalloc.start()
    rsa.correlations(P, method, memory_gb=0.02)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most < 4 * n_rdms * n * (n - 1) / 2
