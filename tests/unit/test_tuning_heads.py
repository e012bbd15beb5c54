"""Heads against scipy, and their closed-form start against independent solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import Ridge

from braindash.config import HeadConfig
from braindash.errors import BraindashError
from braindash.features.design import delay
from braindash.tuning.heads import Head, build_head, check_corresponding, double_gamma
from braindash.tuning.warm_start import reduced_rank_ridge

KINDS = ("linear", "low_rank", "hrf_low_rank")


def make(kind: str, width: int = 5, tr: float = 2.0, **n_targets: int) -> Head:
    torch.manual_seed(0)
    return Head(kind, width, n_targets or {"a": 4, "b": 3}, 2, (1, 2, 4), tr).double()


def test_double_gamma_is_the_difference_of_two_gamma_densities() -> None:
    t = 2.0 * np.arange(8)
    expected = stats.gamma.pdf(t, 6) - stats.gamma.pdf(t, 16) / 6
    assert np.allclose(double_gamma(2.0), expected / expected.sum(), atol=1e-12)
    assert len(double_gamma(1.0)) == 16
    assert double_gamma(1.5).sum() == pytest.approx(1.0)


def test_hrf_head_convolves_each_z_scored_unit_from_the_start_of_the_story() -> None:
    head = make("hrf_low_rank")
    x = torch.randn(20, 5, dtype=torch.float64)
    mean, scale = torch.randn(5).double(), torch.rand(5).double() + 0.5
    head.set_statistics(mean, scale)
    z = ((x - mean) / scale).numpy()
    expected = np.stack([np.convolve(z[:, j], head.hrf.numpy())[:20] for j in range(5)], axis=1)
    assert np.allclose(head.design(x).numpy(), expected, atol=1e-10)


def test_fir_heads_see_the_delays_of_the_encoding_model() -> None:
    x = torch.randn(12, 5, dtype=torch.float64)
    for kind in ("linear", "low_rank"):
        assert np.allclose(make(kind).design(x).numpy(), delay(x.numpy().astype(np.float32), (1, 2, 4)), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_with_its_history_is_predicted_as_within_the_story(kind: str) -> None:
    head, x = make(kind), torch.randn(30, 5, dtype=torch.float64)
    first = 15 - head.history
    assert torch.allclose(head(x, "b")[15:22], head(x[first:22], "b")[15 - first :], atol=1e-12)
    shorter = head(x[first + 1 : 22], "b")[14 - first :]
    assert not torch.allclose(head(x, "b")[15:22], shorter, atol=1e-12)  # history is no longer than it must be


@pytest.mark.parametrize("kind", KINDS)
def test_subjects_have_outputs_of_their_own(kind: str) -> None:
    head, x = make(kind), torch.randn(9, 5, dtype=torch.float64)
    assert head(x, "a").shape == (9, 4)
    assert head(x, "b").shape == (9, 3)


def test_a_haemodynamic_head_refuses_electrodes_and_a_rank_wider_than_its_input() -> None:
    with pytest.raises(BraindashError, match="electrodes"):
        build_head(HeadConfig(), 32, {"a": 3}, (1,), 0.01, "electrodes")
    with pytest.raises(BraindashError, match="16 or less"):
        build_head(HeadConfig(rank=24), 16, {"a": 3}, (1,), 2.0, "bold")
    with pytest.raises(BraindashError, match="-1"):
        build_head(HeadConfig(kind="linear"), 16, {"a": 3}, (-1, 1), 2.0, "bold")


def problem(seed: int = 0, p: int = 6) -> tuple[dict, dict, dict, dict]:
    rng = np.random.default_rng(seed)
    stories = {f"s{i}": rng.standard_normal((25 + i, p)) + 0.7 for i in range(4)}
    truth = rng.standard_normal((p, 2)) @ rng.standard_normal((2, 9))
    Y = {t: (X @ truth + rng.standard_normal((len(X), 9))).astype(np.float32) for t, X in stories.items()}
    Y = {t: y - y.mean(axis=0) for t, y in Y.items()}
    designs = {(t, s): X for t, X in stories.items() for s in ("a", "b")}
    responses = {(t, s): (Y[t][:, :5] if s == "a" else Y[t][:, 5:]) for t in Y for s in ("a", "b")}
    tune = {"a": ("s0", "s1", "s2"), "b": ("s0", "s1", "s2")}
    return designs, responses, tune, {"a": ("s3",), "b": ("s3",)}


def test_without_a_bottleneck_the_start_is_ridge() -> None:
    designs, responses, tune, validation = problem()
    fit = reduced_rank_ridge(designs, lambda t, s: responses[t, s], tune, validation, None, [10.0])
    assert fit.shared is None
    for s in ("a", "b"):
        X = np.concatenate([designs[t, s] for t in tune[s]])
        Y = np.concatenate([responses[t, s] for t in tune[s]]).astype(float)
        ridge = Ridge(10.0).fit(X - X.mean(axis=0), Y)
        weights, offset = fit.outputs[s]
        assert np.allclose(weights, ridge.coef_.T, atol=1e-5)
        assert np.allclose(X @ weights + offset, ridge.predict(X - X.mean(axis=0)) - ridge.intercept_, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_low_rank_start_is_the_best_of_its_rank(rank: int) -> None:
    """Against reduced-rank ridge by the textbook way: SVD of the fitted values of the augmented problem."""
    designs, responses, tune, validation = problem()
    fit = reduced_rank_ridge(designs, lambda t, s: responses[t, s], tune, validation, rank, [5.0])
    X = np.concatenate([designs[t, "a"] for t in tune["a"]])
    X = X - X.mean(axis=0)
    Y = np.concatenate([np.concatenate([responses[t, "a"], responses[t, "b"]], axis=1) for t in tune["a"]])
    augmented = np.vstack([X, np.sqrt(5.0) * np.eye(6)])
    B = np.linalg.lstsq(augmented, np.vstack([Y, np.zeros((6, 9))]), rcond=None)[0]
    _, _, Vt = np.linalg.svd(augmented @ B, full_matrices=False)
    expected = B @ Vt[:rank].T @ Vt[:rank]
    assert fit.shared is not None
    assert fit.shared.shape == (6, rank)
    got = fit.shared @ np.concatenate([fit.outputs["a"][0], fit.outputs["b"][0]], axis=1)
    assert np.allclose(got, expected, atol=1e-4)


def test_the_penalty_is_the_best_on_the_validation_stories() -> None:
    designs, responses, tune, validation = problem()
    alphas = [1e-2, 1.0, 1e2, 1e6]
    fit = reduced_rank_ridge(designs, lambda t, s: responses[t, s], tune, validation, None, alphas)
    expected = {}
    for alpha in alphas:
        r = []
        for s in ("a", "b"):
            X = np.concatenate([designs[t, s] for t in tune[s]])
            ridge = Ridge(alpha).fit(X, np.concatenate([responses[t, s] for t in tune[s]]))
            P, Y = ridge.predict(designs["s3", s]), responses["s3", s]
            r.append(np.mean([np.corrcoef(P[:, j], Y[:, j])[0, 1] for j in range(Y.shape[1])]))
        expected[alpha] = np.mean(r)
    assert fit.alpha == max(alphas, key=lambda a: expected[a])
    assert fit.scores == pytest.approx(expected, abs=1e-4)


def test_subjects_with_rows_of_their_own_are_fitted_too() -> None:
    designs, responses, tune, validation = problem()
    designs = {k: (X if k[1] == "a" else X[:-3]) for k, X in designs.items()}
    responses = {k: (Y if k[1] == "a" else Y[:-3]) for k, Y in responses.items()}
    fit = reduced_rank_ridge(designs, lambda t, s: responses[t, s], tune, validation, 2, [1.0])
    for s in ("a", "b"):
        weights, offset = fit.outputs[s]
        P = designs["s3", s] @ fit.shared @ weights + offset
        assert np.mean([np.corrcoef(P[:, j], responses["s3", s][:, j])[0, 1] for j in range(P.shape[1])]) > 0.6


def test_set_weights_makes_the_head_predict_the_fit() -> None:
    designs, responses, tune, validation = problem(p=5)
    head = make("hrf_low_rank", a=5, b=4).float()
    with torch.no_grad():
        hrf = {k: head.design(torch.from_numpy(X).float()).numpy() for k, X in designs.items()}
    fit = reduced_rank_ridge(hrf, lambda t, s: responses[t, s], tune, validation, 2, [1.0])
    head.set_weights(fit.shared, fit.outputs)
    for s in ("a", "b"):
        expected = hrf["s3", s] @ fit.shared @ fit.outputs[s][0] + fit.outputs[s][1]
        got = head(torch.from_numpy(designs["s3", s]).float(), s).detach().numpy()
        assert np.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("rank", [None, 2])
def test_with_a_shared_output_the_start_is_ridge_on_all_pairs(rank: int | None) -> None:
    designs, responses, tune, validation = problem()
    rng = np.random.default_rng(3)
    designs = {k: (X if k[1] == "a" else X[:-2] + rng.standard_normal((len(X) - 2, 6))) for k, X in designs.items()}
    responses = {k: (Y if k[1] == "a" else responses[k[0], "a"][:-2]) for k, Y in responses.items()}
    tune = {"a": ("s0", "s1", "s2"), "b": ("s0", "s2")}
    fit = reduced_rank_ridge(designs, lambda t, s: responses[t, s], tune, validation, rank, [5.0], shared_output=True)
    X = np.concatenate([designs[t, s] for s in tune for t in tune[s]])
    Y = np.concatenate([responses[t, s] for s in tune for t in tune[s]]).astype(float)
    X = X - X.mean(axis=0)
    B = Ridge(5.0, fit_intercept=False).fit(X, Y).coef_.T
    if rank is not None:
        augmented = np.vstack([X, np.sqrt(5.0) * np.eye(6)])
        _, _, Vt = np.linalg.svd(augmented @ B, full_matrices=False)
        B = B @ Vt[:rank].T @ Vt[:rank]
    weights = fit.outputs["a"][0] if fit.shared is None else fit.shared @ fit.outputs["a"][0]
    assert np.allclose(weights, B, atol=1e-4)
    assert fit.outputs["b"][0] is fit.outputs["a"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_shared_output_says_the_same_of_the_same_sound_for_every_subject(kind: str) -> None:
    head = Head(kind, 5, {"a": 4, "b": 4}, 2, (1, 2), 2.0, shared_output=True)
    x = torch.randn(9, 5)
    assert torch.equal(head(x, "a"), head(x, "b"))
    assert len(head.outputs) == 1
    shared = None if kind == "linear" else np.ones((head.n_inputs, 2), np.float32)
    output = (np.ones((head.n_inputs if kind == "linear" else 2, 4), np.float32), np.arange(4, dtype=np.float32))
    head.set_weights(shared, {"a": output, "b": output})
    assert head.outputs[0].bias.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_targets_that_do_not_correspond_are_named() -> None:
    check_corresponding({"a": ["x", "y"], "b": ["x", "y"]})
    with pytest.raises(BraindashError, match=r"'a' has 3 and 'b' 2; only 'a' has x, y; only 'b' has w\."):
        check_corresponding({"a": ["x", "y", "z"], "b": ["w", "z"]})
    with pytest.raises(BraindashError, match=r"2 of 'a' / 'b' differ: x / y, y / x\."):
        check_corresponding({"a": ["x", "y"], "b": ["y", "x"]})
    with pytest.raises(BraindashError, match=r"t3 / u3 and 5 more"):
        check_corresponding({"a": [f"t{i}" for i in range(9)], "b": [f"u{i}" for i in range(9)]})
