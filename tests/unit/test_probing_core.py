"""Folds that keep groups and word types apart; probes that answer as scikit-learn's estimators do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.covariance import empirical_covariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from braindash.errors import BraindashError
from braindash.probing.base import Kind
from braindash.probing.folds import Fold, plan_folds
from braindash.probing.linear import DEFAULT_PENALTY, PENALTIES, fit_and_answer, make_blocks

# --- folds ---------------------------------------------------------------------------------------


def random_corpus(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return groups, scored and items of a corpus whose shape is drawn too."""
    rng = np.random.default_rng(seed)
    n, n_groups = int(rng.integers(60, 400)), int(rng.integers(2, 12))
    group = rng.choice(n_groups, n, p=rng.dirichlet(np.full(n_groups, 3.0)))
    scored = np.isin(group, rng.choice(n_groups, int(rng.integers(1, n_groups + 1)), replace=False))
    scored &= rng.random(n) < rng.choice([0.7, 1.0])  # some groups are scored in part
    scored[np.argmax(np.isin(group, group[0]))] = True
    items = np.array([f"word{i}" for i in rng.zipf(1.6, n) % 30])
    return np.array([f"story{g}" for g in group]), scored, items


@pytest.mark.parametrize("lexical", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_on_both_sides_and_every_scored_example_is_tested_once(seed: int, lexical: bool) -> None:
    groups, scored, words = random_corpus(seed)
    items = words if lexical else None
    folds = plan_folds(groups, scored, items, n_folds=int(2 + seed % 5), seed=seed)
    tested = np.concatenate([f.test for f in folds])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(scored))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert set(fold.held_out) == set(groups[fold.test])
        assert set(fold.inner_train) | set(fold.inner_test) <= set(fold.train)
        assert not set(fold.inner_train) & set(fold.inner_test)
        if len(set(groups[fold.train])) > 1 and not lexical:
            assert len(fold.inner_test) > 0
            assert not set(groups[fold.inner_train]) & set(groups[fold.inner_test])
        if lexical:
            assert not set(words[fold.train]) & set(words[fold.test])
            assert not set(words[fold.inner_train]) & set(words[fold.inner_test])
            assert fold.held_items == len(set(words[fold.test]))
        else:  # all that may be learnt from is
            held = np.isin(groups, fold.held_out)
            assert set(np.flatnonzero(~held)) >= set(fold.train)
            assert fold.held_items == 0


def test_folds_are_balanced_and_train_on_every_other_group() -> None:
    groups = np.repeat([f"s{i}" for i in range(9)], [10, 20, 30, 40, 50, 10, 20, 30, 40])
    scored = np.isin(groups, ["s0", "s1", "s2", "s3", "s4", "s5"])
    folds = plan_folds(groups, scored, n_folds=3)
    assert len(folds) == 3
    sizes = [len(f.test) for f in folds]
    assert max(sizes) - min(sizes) <= 10
    for fold in folds:
        assert set(groups[fold.train]) == set(groups) - set(fold.held_out)
        assert 0.1 < len(fold.inner_test) / len(fold.train) < 0.45


def test_one_scored_story_is_one_fold_and_with_words_one_for_every_part_of_them() -> None:
    groups = np.repeat(["tuned", "also tuned", "test"], 50)
    scored = groups == "test"
    (fold,) = plan_folds(groups, scored)
    np.testing.assert_array_equal(fold.train, np.arange(100))
    np.testing.assert_array_equal(fold.test, np.arange(100, 150))
    words = np.tile([f"w{i}" for i in range(10)], 15)
    folds = plan_folds(groups, scored, words)
    assert sorted(len(f.test) for f in folds) == [5, 5, 10, 10, 10, 10]
    assert all(len(f.train) == 100 - 2 * len(f.test) for f in folds)


@pytest.mark.parametrize(("n_scored", "n_folds"), [(1, 6), (2, 12), (5, 12), (6, 12), (10, 12)])
def test_word_types_are_held_out_a_few_at_a_time(n_scored: int, n_folds: int) -> None:
    """Types are scarcer than stories: each fold learns from most of them."""
    groups = np.repeat([f"s{i}" for i in range(10)], 60)
    words = np.tile(np.arange(60), 10).astype(str)
    folds = plan_folds(groups, groups < f"s{n_scored}" if n_scored < 10 else np.ones(600, dtype=bool), words)
    assert len(folds) == n_folds
    for fold in folds:
        assert len(set(words[fold.train])) >= 45
        assert len(set(groups[fold.train])) >= 5
        assert len(set(words[fold.inner_train])) >= 30


def test_the_same_seed_gives_the_same_folds() -> None:
    groups, scored, items = random_corpus(3)
    first, again = (plan_folds(groups, scored, items, seed=5) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.test, b.test)
        np.testing.assert_array_equal(a.inner_test, b.inner_test)


@pytest.mark.parametrize(
    ("groups", "scored", "items", "says"),
    [
        (["a"] * 6, [True] * 6, None, "one group, 'a'"),
        (["a", "b"] * 3, [False] * 6, None, "None of the recordings"),
        (["a", "b"] * 3, [True] * 6, ["x", "y"] * 3, "2 word types"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_reason(groups: Any, scored: Any, items: Any, says: str) -> None:
    with pytest.raises(BraindashError, match=says):
        plan_folds(np.array(groups), np.array(scored), np.array(items) if items else None)


# --- estimators ----------------------------------------------------------------------------------

N, P = 420, 25
GROUPS = np.repeat([f"s{i}" for i in range(7)], N // 7)
SCORED = GROUPS >= "s3"


class TowardsIdentity(BaseEstimator):
    """The covariance (1 − s)·S + s·I."""

    def __init__(self, s: float) -> None:
        self.s = s

    def fit(self, X: np.ndarray) -> TowardsIdentity:
        self.covariance_ = (1 - self.s) * empirical_covariance(X) + self.s * np.eye(X.shape[1])
        return self


def lda(penalty: float) -> Any:
    estimator = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=TowardsIdentity(penalty / (1 + penalty)))
    return make_pipeline(StandardScaler(), estimator)


def answer_by_sklearn(
    kind: Kind, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, penalty: float
) -> np.ndarray:
    """Return predicted values, classes, or log odds of labels."""
    if kind == "regression":
        model = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(train)))
        return np.asarray(model.fit(X[train], y[train]).predict(X[test])).reshape(len(test), -1)
    if kind == "classification":
        return np.asarray(lda(penalty).fit(X[train], y[train]).predict(X[test]))
    return np.column_stack([lda(penalty).fit(X[train], label[train]).decision_function(X[test]) for label in y.T])


def cut_by_frequency(odds: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return where each label's odds are cut so that as many lie above as the share says."""
    ranked = -np.sort(-odds, axis=0)
    many = np.maximum(1, np.rint(share * len(odds)).astype(int))
    return np.array([(ranked[m - 1, j] + ranked[m, j]) / 2 for j, m in enumerate(many)])


def score_by_sklearn(kind: Kind, y: np.ndarray, answer: np.ndarray, mean: np.ndarray) -> float:
    if kind == "regression":
        return float(np.mean(1 - ((y - answer) ** 2).sum(0) / ((y - mean) ** 2).sum(0)))
    if kind == "classification":
        return float(f1_score(y, answer, labels=np.unique(y), average="macro", zero_division=0))
    some = y.any(0)
    return float(f1_score(y[:, some], answer[:, some], average="macro", zero_division=0))


def loop_over_folds(kind: Kind, X: np.ndarray, y: np.ndarray, folds: list[Fold]) -> tuple[np.ndarray, list[float]]:
    """Return answers and penalties by fitting every pipeline anew."""
    answers = np.full(y.shape, np.nan)
    penalties = []
    for fold in folds:
        inner_mean, best, chosen, cut = y[fold.inner_train].mean(0), -np.inf, 0.0, None
        for penalty in PENALTIES:
            answer = answer_by_sklearn(kind, X, y, fold.inner_train, fold.inner_test, penalty)
            at = None
            if kind == "multilabel":
                at = cut_by_frequency(answer, inner_mean)
                answer = answer > at
            value = score_by_sklearn(kind, y[fold.inner_test], answer, inner_mean)
            if value > best:
                best, chosen, cut = value, penalty, at
        answer = answer_by_sklearn(kind, X, y, fold.train, fold.test, chosen)
        answers[fold.test] = answer > cut if cut is not None else answer
        penalties.append(chosen)
    return answers, penalties


def planted(kind: Kind, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (with an offset, uneven scales, a constant one), labels, and labels as numbers."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((N, 6))
    X = signal @ rng.standard_normal((6, P)) + 0.8 * rng.standard_normal((N, P))
    X = X * np.logspace(-1, 1.5, P) + 4 * rng.standard_normal(P)
    X[:, 3] = 1.5
    noisy = signal + rng.standard_normal(signal.shape)
    if kind == "regression":
        y = noisy[:, :3] * [1, 20, 0.1] + 5
        return X.astype(np.float32), y, y
    if kind == "classification":
        y = noisy[:, :5].argmax(1) + (noisy[:, 5] > 1.5)
        return X.astype(np.float32), y, np.eye(6)[y]
    y = noisy[:, :4] > [-0.8, 0.0, 0.8, 2.0]
    return X.astype(np.float32), y, y


@pytest.mark.parametrize("kind", ["regression", "classification", "multilabel"])
@pytest.mark.parametrize("lexical", [False, True])
@pytest.mark.filterwarnings("ignore:Only one sample available")
def test_answers_and_penalties_are_those_of_scikit_learn(kind: Kind, lexical: bool) -> None:
    X32, y, labels = planted(kind)
    X = X32.astype(np.float64)
    items = np.random.default_rng(5).integers(0, 40, N).astype(str) if lexical else None
    folds = plan_folds(GROUPS, SCORED, items, n_folds=3)
    wanted, penalties = loop_over_folds(kind, X, y, folds)
    other = np.random.default_rng(1).permutation(N)  # a second set of labels leaves the first alone
    Y = np.stack([labels, labels[other]], axis=1).astype(np.float32)
    got = fit_and_answer(X32, Y, kind, folds, make_blocks(folds, N))
    assert got.penalties[:, 0].tolist() == penalties
    assert set(penalties) != {DEFAULT_PENALTY}
    ours = got.values[SCORED, 0]
    assert np.isnan(got.values[~SCORED]).all()
    if kind == "regression":
        np.testing.assert_allclose(ours, wanted[SCORED], rtol=1e-5, atol=1e-5 * y.std(0).min())
    elif kind == "classification":
        np.testing.assert_array_equal(ours.argmax(1), wanted[SCORED])
        np.testing.assert_array_equal(ours.sum(1), 1)
    else:
        np.testing.assert_array_equal(ours, wanted[SCORED])
    alone = fit_and_answer(X32, Y[:, 1:], kind, folds, make_blocks(folds, N))
    np.testing.assert_allclose(got.values[SCORED, 1], alone.values[SCORED, 0], rtol=1e-4, atol=1e-4)


def test_a_feature_that_is_constant_in_training_alone_says_nothing() -> None:
    """A unit that wakes up only in the story that is tested cannot be scaled by what was learnt."""
    X, y, _ = planted("regression")
    folds = plan_folds(GROUPS, GROUPS == "s6")
    X[:, 3] = np.where(GROUPS == "s6", np.random.default_rng(0).standard_normal(N) * 100, 0)
    got = fit_and_answer(X, y[:, None].astype(np.float32), "regression", folds, make_blocks(folds, N))
    X[:, 3] = 0
    without = fit_and_answer(X, y[:, None].astype(np.float32), "regression", folds, make_blocks(folds, N))
    np.testing.assert_allclose(got.values[SCORED], without.values[SCORED], rtol=1e-3, atol=1e-3)


def test_a_training_part_with_one_class_answers_it_and_a_class_never_seen_is_never_answered() -> None:
    rng = np.random.default_rng(0)
    y = np.where(GROUPS == "s6", rng.integers(0, 3, N), 0)
    folds = plan_folds(GROUPS, GROUPS >= "s5")
    X = rng.standard_normal((N, P)).astype(np.float32)
    got = fit_and_answer(X, np.eye(4, dtype=np.float32)[y][:, None], "classification", folds, make_blocks(folds, N))
    answered = got.values[:, 0].argmax(1)
    assert (answered[GROUPS == "s6"] == 0).all()
    assert not got.values[GROUPS >= "s5", 0, 3].any()
    labels = np.column_stack([y > 0, y == 0])
    got = fit_and_answer(X, labels[:, None].astype(np.float32), "multilabel", folds, make_blocks(folds, N))
    np.testing.assert_array_equal(got.values[GROUPS == "s6", 0], [[0, 1]] * (N // 7))


def test_more_features_than_examples_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 600)).astype(np.float32)
    y = X[:, :2] @ [[1.0], [1.0]] * 3 + rng.standard_normal((N, 1))
    folds = plan_folds(GROUPS, SCORED, n_folds=2)
    got = fit_and_answer(X, y[:, None].astype(np.float32), "regression", folds, make_blocks(folds, N))
    wanted, penalties = loop_over_folds("regression", X.astype(np.float64), y, folds)
    assert got.penalties[:, 0].tolist() == penalties
    np.testing.assert_allclose(got.values[SCORED, 0], wanted[SCORED], rtol=1e-5, atol=1e-5)
