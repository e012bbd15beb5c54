"""The screened search: exact at its nodes, close between them, and honest about where it does not pay."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from braindash.encoding import StoryRidgeCV
from braindash.encoding._engines import TorchEngine
from braindash.encoding._screen import choose_nodes

ALPHAS = np.logspace(0, 5, 16)
LENGTHS = [60, 50, 70, 55, 65] * 3  # short beside p, so that folds get no decomposition of their own
Stories = list[np.ndarray]


@pytest.fixture(scope="module")
def stories() -> tuple[Stories, Stories]:
    """Return features with a falling spectrum and responses of very different signal."""
    rng = np.random.default_rng(5)
    p, v = 200, 300
    turn = np.linalg.qr(rng.standard_normal((p, p)))[0]
    scale = np.arange(1, p + 1) ** -0.6 * 8
    X = [(rng.standard_normal((n, p)) * scale) @ turn for n in LENGTHS]
    W = rng.standard_normal((p, v)) * np.logspace(-2, 0, v)
    Y = [x @ W * 0.3 + rng.standard_normal((len(x), v)) for x in X]
    return X, Y


def lost(exact: StoryRidgeCV, quick: StoryRidgeCV) -> np.ndarray:
    """Return how much lower the exact score is at the other search's penalties: another is taken only where as good."""
    chosen = np.searchsorted(ALPHAS, quick.alpha_)
    return np.asarray(exact.cv_scores_.max(0) - np.take_along_axis(exact.cv_scores_, chosen[None], 0)[0])


def test_nodes_are_exact_and_the_others_close() -> None:
    rng = np.random.default_rng(0)
    spectrum = np.sort(rng.gamma(0.5, 200, 400))
    power = spectrum * rng.gamma(1.0, 1.0, 400)
    screen = choose_nodes(spectrum, power, ALPHAS)
    assert len(screen.nodes) == 6
    curves = 1 / (spectrum + ALPHAS[:, None])
    made = screen.weights @ curves[screen.nodes]
    weight = np.sqrt(spectrum * power)
    error = np.linalg.norm((made - curves) * weight, axis=1) / np.linalg.norm(curves * weight, axis=1)
    assert error[screen.nodes].max() == 0
    assert error.max() < 1e-2
    assert error.max() > 0  # the others are not computed


@pytest.mark.parametrize("select", ["r", "r2"])
def test_scores_follow_the_exact_search(stories: tuple[Stories, Stories], select: str) -> None:
    exact = StoryRidgeCV(ALPHAS, dtype="float64", select=select).fit(*stories)
    quick = StoryRidgeCV(ALPHAS, dtype="float64", select=select, search="screened").fit(*stories)
    difference = np.abs(exact.cv_scores_ - quick.cv_scores_)
    screen = quick._job.screen
    assert screen is not None
    assert difference[screen.nodes].max() < 1e-6
    assert 0 < difference.max() < 0.01
    same = exact.alpha_ == quick.alpha_
    assert same.mean() > 0.95
    assert lost(exact, quick).max() < 0.005
    np.testing.assert_allclose(quick.coef_[:, same], exact.coef_[:, same], atol=1e-10)  # the fit itself is exact


def test_products_in_bfloat16_choose_the_same_penalties(
    stories: tuple[Stories, Stories], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TorchEngine, "_has_bfloat16", lambda self: True)
    exact = StoryRidgeCV(ALPHAS, device="numpy").fit(*stories)
    quick = StoryRidgeCV(ALPHAS, device="torch", search="screened").fit(*stories)
    assert np.abs(exact.cv_scores_ - quick.cv_scores_).max() < 0.02
    assert (exact.alpha_ == quick.alpha_).mean() > 0.9
    assert lost(exact, quick).max() < 0.005


def test_few_penalties_or_little_memory_search_exactly(
    stories: tuple[Stories, Stories], caplog: pytest.LogCaptureFixture
) -> None:
    few = ALPHAS[::3]
    assert np.array_equal(
        StoryRidgeCV(few, search="screened").fit(*stories).cv_scores_, StoryRidgeCV(few).fit(*stories).cv_scores_
    )
    with caplog.at_level(logging.INFO, "braindash"):
        small = StoryRidgeCV(ALPHAS, search="screened", memory_gb=0.001).fit(*stories)
    np.testing.assert_allclose(small.cv_scores_, StoryRidgeCV(ALPHAS).fit(*stories).cv_scores_, atol=1e-5)
    assert "not screened" in caplog.text
