"""StoryRidgeCV against fits made fold by fold by other libraries."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from himalaya.scoring import correlation_score
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit

from braindash.encoding import Chunks, StoryRidgeCV, fit_many
from braindash.encoding._engines import TorchEngine, gemm_speed
from braindash.encoding._folds import make_folds
from braindash.errors import BraindashError

LENGTHS = [60, 50, 70, 40]
ALPHAS = 10.0 ** np.arange(-1, 6)
Stories = list[np.ndarray]


def make(
    p: int, kind: str = "plain", lengths: list[int] = LENGTHS, v: int = 40, seed: int = 0
) -> tuple[Stories, Stories]:
    """Return features and responses of a few stories; ``kind`` says what is awkward about them."""
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((n, p)) for n in lengths]
    if kind == "ill-conditioned":
        turn = np.linalg.qr(rng.standard_normal((p, p)))[0]
        X = [30 * x * 10 ** np.linspace(0, -6, p) @ turn for x in X]
    if kind == "rank-deficient":
        X = [np.concatenate([x[:, : p // 2], x[:, : p - p // 2]], axis=1) for x in X]
    if kind == "off-centre":
        X = [x + 3 * i for i, x in enumerate(X)]
    W = rng.standard_normal((p, v)) / np.sqrt(p)
    scale = np.std(np.concatenate(X) @ W)
    Y = [x @ W / scale + 1.5 * rng.standard_normal((len(x), v)) for x in X]
    return X, Y


def by_hand(
    X: Stories, Y: Stories, folds: list[np.ndarray], alphas: np.ndarray, intercept: bool, select: str
) -> np.ndarray:
    """Fit every fold anew with scikit-learn in float64: (n_alphas, v)."""
    stacked, responses = np.concatenate(X), np.concatenate(Y)
    out = np.zeros((len(alphas), responses.shape[1]))
    for held in folds:
        rest = np.setdiff1d(np.arange(len(stacked)), held)
        y = responses[held]
        for j, alpha in enumerate(alphas):
            model = Ridge(alpha=alpha, fit_intercept=intercept, solver="svd").fit(stacked[rest], responses[rest])
            p = model.predict(stacked[held])
            if select == "r":
                score = [np.corrcoef(y[:, t], p[:, t])[0, 1] for t in range(y.shape[1])]
            else:
                score = 1 - ((y - p) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
            out[j] += np.asarray(score) / len(folds)
    return out


def story_rows(lengths: list[int]) -> list[np.ndarray]:
    return np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])


CASES = [(30, "plain"), (60, "off-centre"), (400, "plain"), (200, "plain"), (100, "ill-conditioned"),
         (300, "ill-conditioned"), (60, "rank-deficient"), (300, "rank-deficient")]  # fmt: skip


@pytest.mark.parametrize(("p", "kind"), CASES)
@pytest.mark.parametrize("intercept", [True, False])
def test_held_out_scores_equal_those_of_fitting_every_fold(p: int, kind: str, intercept: bool) -> None:
    X, Y = make(p, kind)
    for select in ("r", "r2"):
        expected = by_hand(X, Y, story_rows(LENGTHS), ALPHAS, intercept, select)
        settings: dict[str, Any] = {"select": select, "fit_intercept": intercept}
        exact = StoryRidgeCV(ALPHAS, dtype="float64", **settings).fit(X, Y)
        # cv_scores_ are float32: its rounding is the tolerance
        np.testing.assert_allclose(exact.cv_scores_, expected, atol=1e-6, rtol=1e-6)
        single = StoryRidgeCV(ALPHAS, **settings).fit([x.astype(np.float32) for x in X], Y)
        np.testing.assert_allclose(single.cv_scores_, expected, atol=1e-5, rtol=1e-5)
        best = expected.max(0)
        chosen = expected[np.searchsorted(ALPHAS, single.alpha_), np.arange(len(best))]
        assert (best - chosen).max() < 2e-6  # the same penalties, but for ties


def test_single_precision_is_within_a_millionth_of_double() -> None:
    X, Y = make(120, lengths=[150, 140, 160, 130])
    X = [x.astype(np.float32) for x in X]
    expected = by_hand(X, Y, story_rows([150, 140, 160, 130]), ALPHAS, True, "r")
    fitted = StoryRidgeCV(ALPHAS).fit(X, Y)
    assert np.abs(fitted.cv_scores_ - expected).max() < 1e-6


@pytest.mark.parametrize("p", [30, 300])
def test_himalaya_chooses_the_same_penalties(p: int) -> None:
    X, Y = make(p, v=60)
    X = [x - x.mean(0) for x in X]
    fold_of = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    other = HimalayaRidgeCV(
        alphas=ALPHAS, cv=PredefinedSplit(fold_of), fit_intercept=False,
        solver_params={"score_func": correlation_score, "warn": False},
    )  # fmt: skip
    other.fit(np.concatenate(X), np.concatenate(Y))
    ours = StoryRidgeCV(ALPHAS, fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(ours.alpha_, other.best_alphas_, rtol=1e-9)
    np.testing.assert_allclose(ours.cv_scores_.max(0), other.cv_scores_, atol=1e-5)
    X_new, Y_new = make(p, seed=1, v=60)
    np.testing.assert_allclose(ours.predict(X_new[0]), other.predict(X_new[0]), atol=1e-4)
    np.testing.assert_allclose(
        ours.score(X_new[0], Y_new[0]), correlation_score(Y_new[0], other.predict(X_new[0])), atol=1e-5
    )


@pytest.mark.parametrize(("p", "lengths"), [(30, LENGTHS), (400, LENGTHS), (20, [300, 50, 250, 40])])
def test_groups_of_stories_and_rows_of_ones_own(p: int, lengths: list[int]) -> None:
    X, Y = make(p, "off-centre", lengths)
    n = sum(lengths)
    rows = story_rows(lengths)
    groups = [np.concatenate(rows[:2]), np.concatenate(rows[2:])]
    own = [np.arange(5, 40), np.arange(30, n - 10, 3), np.arange(n)[::4]]
    for select in ("r", "r2"):
        for cv, folds in (("kfold:2", groups), (own, own)):
            ours = StoryRidgeCV(ALPHAS, cv=cv, select=select, dtype="float64").fit(X, Y)
            expected = by_hand(X, Y, folds, ALPHAS, True, select)
            np.testing.assert_allclose(ours.cv_scores_, expected, atol=2e-6, rtol=2e-6)


def test_bootstrap_holds_out_chunks_and_squares_the_penalty_on_request() -> None:
    X, Y = make(25)
    chunks = Chunks(n_boots=6, chunk_len=10, n_chunks=5, seed=3)
    folds = make_folds("bootstrap", LENGTHS, chunks)
    assert len(folds) == 6
    held = [np.asarray(r) for r in folds.rows]
    assert all((np.diff(r.reshape(5, 10), axis=1) == 1).all() for r in held)
    roots = np.array([0.5, 3, 30, 300.0])
    ours = StoryRidgeCV(roots, cv="bootstrap", chunks=chunks, penalty="alpha_squared", dtype="float64").fit(X, Y)
    np.testing.assert_allclose(ours.cv_scores_, by_hand(X, Y, held, roots**2, True, "r"), atol=1e-6)
    assert set(ours.alpha_) <= set(roots)


@pytest.mark.parametrize(("p", "kind"), CASES)
def test_the_final_fit_is_scikit_learns(p: int, kind: str) -> None:
    X, Y = make(p, kind)
    ours = StoryRidgeCV([10.0], dtype="float64").fit(X, Y)
    other = Ridge(alpha=10.0, solver="svd").fit(np.concatenate(X), np.concatenate(Y))
    new = make(p, kind, seed=5)[0][0]
    np.testing.assert_allclose(ours.predict(new), other.predict(new), atol=1e-8)
    np.testing.assert_allclose(ours.coef_, other.coef_.T, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, other.intercept_, atol=1e-8)


def test_test_stories_are_scored_in_the_same_pass_without_coefficients() -> None:
    X, Y = make(30)
    X_test, Y_test = make(30, seed=9, lengths=[45, 33])
    seen: list[int] = []

    def on_block(targets: slice, observed: list[np.ndarray], predicted: list[np.ndarray]) -> None:
        seen.extend(range(targets.start, targets.stop))
        np.testing.assert_allclose(observed[1], Y_test[1][:, targets].T, atol=1e-6)
        np.testing.assert_allclose(predicted[1], kept.predict(X_test[1])[:, targets].T, atol=1e-4)

    kept = StoryRidgeCV(ALPHAS, store_coef=True).fit(X, Y)
    lean = StoryRidgeCV(ALPHAS, store_coef=False).fit(X, Y, test=(X_test, Y_test), on_block=on_block)
    assert seen == list(range(40))
    assert lean.test_ is not None
    for s in range(2):
        np.testing.assert_allclose(lean.test_.r_story()[s], kept.score(X_test[s], Y_test[s]), atol=1e-5)
    P = np.concatenate([kept.predict(x) for x in X_test])
    together = np.concatenate(Y_test)
    np.testing.assert_allclose(
        lean.test_.r(), [np.corrcoef(a, b)[0, 1] for a, b in zip(P.T, together.T, strict=True)], atol=1e-5
    )
    total = ((together - together.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(lean.test_.r2(), 1 - ((together - P) ** 2).sum(0) / total, atol=1e-5)
    with pytest.raises(BraindashError, match="coefficients of 40 targets were not kept"):
        lean.predict(X[0])


@pytest.mark.parametrize("p", [30, 400])
def test_small_memory_changes_blocks_and_passes_but_no_number(p: int) -> None:
    X, Y = make(p, v=300)
    roomy = StoryRidgeCV(ALPHAS, store_coef=True).fit(X, Y, test=(X, Y))
    tight = StoryRidgeCV(ALPHAS, memory_gb=2e-3, store_coef=True).fit(X, Y, test=(X, Y))
    np.testing.assert_allclose(tight.cv_scores_, roomy.cv_scores_, atol=2e-6)
    np.testing.assert_array_equal(tight.alpha_, roomy.alpha_)
    assert tight.test_ is not None
    assert roomy.test_ is not None
    np.testing.assert_allclose(tight.test_.r_story(), roomy.test_.r_story(), atol=2e-6)


def test_responses_stream_from_memory_maps_hdf5_and_functions(tmp_path: Path) -> None:
    X, Y = make(30, v=100)
    expected = StoryRidgeCV(ALPHAS, dtype="float64").fit(X, Y).cv_scores_
    for i, y in enumerate(Y):
        np.save(tmp_path / f"{i}.npy", y)
    maps = [np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(4)]
    with h5py.File(tmp_path / "y.hf5", "w") as f:
        for i, y in enumerate(Y):
            f[str(i)] = y
        sources: list[list[Any]] = [maps, [f[str(i)] for i in range(4)], [lambda i=i: Y[i] for i in range(4)]]
        for source in sources:
            fitted = StoryRidgeCV(ALPHAS, dtype="float64", memory_gb=1e-3).fit(X, source)
            np.testing.assert_allclose(fitted.cv_scores_, expected, atol=1e-7)


def test_many_feature_sets_in_one_pass_equal_one_at_a_time() -> None:
    sets = {str(p): make(p, seed=p)[0] for p in (10, 40, 300)}
    Y = make(10)[1]
    reads = [0]

    class Counted:
        shape = Y[0].shape

        def __getitem__(self, key: Any) -> np.ndarray:
            reads[0] += 1
            return Y[0][key]

    fitted = fit_many(sets, [Counted(), *Y[1:]], alphas=ALPHAS, dtype="float64")
    assert reads[0] == 1
    for name, X in sets.items():
        alone = StoryRidgeCV(ALPHAS, dtype="float64").fit(X, Y)
        np.testing.assert_allclose(fitted[name].cv_scores_, alone.cv_scores_, atol=1e-7)
        np.testing.assert_allclose(fitted[name].predict(X[0]), alone.predict(X[0]), atol=1e-9)


@pytest.mark.parametrize("p", [30, 400])
def test_the_torch_engine_gives_the_same_numbers(p: int) -> None:
    X, Y = make(p)
    a = StoryRidgeCV(ALPHAS, device="numpy").fit(X, Y, test=(X, Y))
    b = StoryRidgeCV(ALPHAS, device="torch").fit(X, Y, test=(X, Y))
    np.testing.assert_allclose(a.cv_scores_, b.cv_scores_, atol=2e-6)
    assert a.test_ is not None
    assert b.test_ is not None
    np.testing.assert_allclose(a.test_.r_story(), b.test_.r_story(), atol=2e-6)
    own = StoryRidgeCV(ALPHAS, device="torch", cv=[np.arange(5, 40), np.arange(30, 180, 3)]).fit(X, Y)
    same = StoryRidgeCV(ALPHAS, device="numpy", cv=[np.arange(5, 40), np.arange(30, 180, 3)]).fit(X, Y)
    np.testing.assert_allclose(own.cv_scores_, same.cv_scores_, atol=2e-6)


def test_out_of_memory_halves_the_block_says_so_and_finishes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    X, Y = make(30, v=200)
    expected = StoryRidgeCV(ALPHAS, device="torch").fit(X, Y, test=(X, Y))
    real = TorchEngine.matmul
    seen: list[int] = []

    def on_block(targets: slice, observed: list[np.ndarray], predicted: list[np.ndarray]) -> None:
        seen.extend(range(targets.start, targets.stop))

    def small(self: TorchEngine, a: Any, b: Any) -> Any:
        if len(a) > 60:
            raise self.torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(self, a, b)

    monkeypatch.setattr(TorchEngine, "matmul", small)
    with caplog.at_level(logging.WARNING):
        fitted = StoryRidgeCV(ALPHAS, device="torch").fit(X, Y, test=(X, Y), on_block=on_block)
    assert seen == list(range(200))
    assert "Out of memory on torch:cpu" in caplog.text
    np.testing.assert_allclose(fitted.cv_scores_, expected.cv_scores_, atol=2e-6)
    assert fitted.test_ is not None
    assert expected.test_ is not None
    np.testing.assert_allclose(fitted.test_.r_story(), expected.test_.r_story(), atol=2e-6)


def test_the_fastest_product_is_measured() -> None:
    speed = gemm_speed()
    assert set(speed.gflops) == {"numpy", "torch:cpu"}
    assert speed.peak == max(speed.gflops.values()) > 1


def test_mistakes_are_named() -> None:
    X, Y = make(10)
    fit = StoryRidgeCV(ALPHAS).fit
    with pytest.raises(BraindashError, match=r"penalties must be finite and above 0; got \[1, 0\]"):
        StoryRidgeCV([1, 0])
    with pytest.raises(BraindashError, match="select='mse' is not known"):
        StoryRidgeCV(select="mse")  # type: ignore[arg-type]
    with pytest.raises(BraindashError, match="Story 1 has 50 rows of features and 49 of responses"):
        fit(X, [Y[0], Y[1][:-1], *Y[2:]])
    with pytest.raises(BraindashError, match="features of 4 stories and responses to 3"):
        fit(X, Y[:3])
    with pytest.raises(BraindashError, match="Story 2 has 39 targets and story 0 has 40"):
        fit(X, [Y[0], Y[1], Y[2][:, 1:], Y[3]])
    bad = [y.copy() for y in Y]
    bad[1][3, [7, 20]] = np.nan
    with pytest.raises(BraindashError, match=r"2 of the targets 0–39 hold values that are not finite \(7, 20\)"):
        fit(X, bad)
    worse = [x.copy() for x in X]
    worse[2][:, 4] = np.inf
    with pytest.raises(BraindashError, match="story 2 hold 70 values that are not finite"):
        fit(worse, Y)
    with pytest.raises(BraindashError, match="at least 2 stories"):
        fit(X[:1], Y[:1])
    with pytest.raises(BraindashError, match="cv='kfold:9' needs between 2 and 4"):
        StoryRidgeCV(cv="kfold:9").fit(X, Y)
    with pytest.raises(BraindashError, match="X has 9 features; the model was fitted on 10"):
        fit(X, Y).predict(X[0][:, 1:])
    with pytest.raises(BraindashError, match="has not been fitted"):
        StoryRidgeCV().predict(X[0])


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    X, Y = make(10)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BraindashError, match="torch sees no CUDA device"):
        StoryRidgeCV(device="cuda").fit(X, Y)
    with pytest.raises(BraindashError, match="device='gpu' is not known"):
        StoryRidgeCV(device="gpu").fit(X, Y)
