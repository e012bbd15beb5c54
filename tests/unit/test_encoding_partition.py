"""Variance partitioning and removal of features, on planted mixtures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindash.encoding import StoryRidgeCV
from braindash.encoding.partition import partition, remove_features
from braindash.errors import BraindashError

TRAIN, TEST = [90, 80, 100, 90], [150, 140]


def zscore(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / x.std(0)


def cut(x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pieces = np.split(x, np.cumsum(TRAIN + TEST)[:-1])
    pieces = [zscore(p) for p in pieces]
    return pieces[: len(TRAIN)], pieces[len(TRAIN) :]


def test_unique_and_shared_parts_are_those_planted() -> None:
    rng = np.random.default_rng(0)
    n = sum(TRAIN + TEST)
    common, own_a, own_b = (rng.standard_normal((n, 3)) for _ in range(3))
    a, b = np.c_[common, own_a], np.c_[common, own_b]
    noise = rng.standard_normal((n, 4))
    y = np.stack([own_a[:, 0], own_b[:, 0], common[:, 0], np.zeros(n)], axis=1) + noise
    Y, Y_test = cut(y)
    ds = partition({"a": cut(a), "b": cut(b)}, Y, Y_test, n_iter=5, alphas=np.logspace(-3, 3, 7))
    assert ds["combination"].values.tolist() == ["a", "b", "a + b"]
    np.testing.assert_allclose(ds["unique"].sel(space="a"), [0.5, 0, 0, 0], atol=0.1)
    np.testing.assert_allclose(ds["unique"].sel(space="b"), [0, 0.5, 0, 0], atol=0.1)
    np.testing.assert_allclose(ds["shared"], [0, 0, 0.5, 0], atol=0.1)
    # Parts are an exact decomposition of the whole.
    np.testing.assert_allclose(ds["part"].sum("combination"), ds["r2"].sel(combination="a + b"), atol=1e-6)
    np.testing.assert_allclose(ds["part"].sel(combination="a"), ds["unique"].sel(space="a"), atol=1e-6)


def test_three_spaces_decompose_exactly_and_one_or_six_are_refused() -> None:
    rng = np.random.default_rng(1)
    n = sum(TRAIN + TEST)
    spaces = {name: cut(rng.standard_normal((n, 4))) for name in "abc"}
    Y, Y_test = cut(rng.standard_normal((n, 5)) + np.concatenate([np.concatenate(s) for s in spaces["b"]])[:, :1])
    ds = partition(spaces, Y, Y_test, n_iter=2, n_folds=2, alphas=[1, 100])
    assert len(ds["combination"]) == 7
    np.testing.assert_allclose(ds["part"].sum("combination"), ds["r2"].sel(combination="a + b + c"), atol=1e-6)
    assert float(ds["unique"].sel(space="b").min()) > 0.3
    with pytest.raises(BraindashError, match="2 to 5 feature spaces; got 1"):
        partition({"a": spaces["a"]}, Y, Y_test)
    with pytest.raises(BraindashError, match="'b' has other rows"):
        partition({"a": spaces["a"], "b": (spaces["b"][0][1:], spaces["b"][1])}, Y, Y_test)


def test_removed_features_no_longer_predict_and_the_rest_stays() -> None:
    rng = np.random.default_rng(2)
    n = sum(TRAIN + TEST)
    low = rng.standard_normal((n, 3))
    high = rng.standard_normal((n, 3))
    mixed = np.c_[low @ rng.standard_normal((3, 5)) + high @ rng.standard_normal((3, 5)), 2 * low[:, 0]]
    model = cut(mixed + 0.3 * rng.standard_normal((n, 6)))
    left = remove_features(model, cut(low), alphas=[0.01, 1, 100])
    assert left[0][0].shape == (90, 6)
    y_low, y_high = low[:, :1] + 0.5 * rng.standard_normal((n, 1)), high[:, :1] + 0.5 * rng.standard_normal((n, 1))
    Y, Y_test = cut(np.c_[y_low, y_high])

    def r(features: tuple[list[np.ndarray], list[np.ndarray]]) -> np.ndarray:
        fitted = StoryRidgeCV([0.1, 1, 10, 100]).fit(features[0], Y, test=(features[1], Y_test))
        assert fitted.test_ is not None
        return fitted.test_.r()

    before, after = r(model), r(left)
    assert before[0] > 0.7
    assert abs(after[0]) < 2.5 * stats.norm.ppf(0.95) / np.sqrt(sum(TEST))
    assert after[1] > before[1] - 0.05
