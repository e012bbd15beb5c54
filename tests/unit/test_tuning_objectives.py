"""Losses against closed forms in numpy and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindash.errors import BraindashError
from braindash.tuning.objectives import LOSSES, get_loss, mse, register, spatial


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((7, 11)), rng.standard_normal((7, 11))


def test_spatial_is_the_mean_correlation_across_targets(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = pair
    expected = -np.mean([np.corrcoef(p, m)[0, 1] for p, m in zip(predicted, measured, strict=True)])
    assert float(spatial(torch.tensor(predicted), torch.tensor(measured))) == pytest.approx(expected, abs=1e-12)


def test_spatial_of_itself_is_minus_one_whatever_the_number_of_targets() -> None:
    # a mix of ddof 0 and 1 would give (n - 1) / n here
    for n in (3, 5, 1000):
        x = torch.randn(4, n, dtype=torch.float64)
        assert float(spatial(x, 3 * x + 2)) == pytest.approx(-1.0, abs=1e-9)


def test_mse_is_the_mean_over_all_entries(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = pair
    expected = ((predicted - measured) ** 2).sum() / predicted.size
    assert float(mse(torch.tensor(predicted), torch.tensor(measured))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradient_equals_finite_differences(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, measured = (torch.tensor(x) for x in pair)
    predicted.requires_grad_(True)
    get_loss(name)(predicted, measured).backward()
    step = 1e-6
    numeric = torch.zeros_like(predicted)
    with torch.no_grad():
        for i in range(predicted.shape[0]):
            for j in range(predicted.shape[1]):
                up, down = predicted.clone(), predicted.clone()
                up[i, j] += step
                down[i, j] -= step
                numeric[i, j] = (get_loss(name)(up, measured) - get_loss(name)(down, measured)) / (2 * step)
    assert predicted.grad is not None
    assert torch.allclose(predicted.grad, numeric, atol=1e-8)


def test_a_flat_pattern_counts_as_no_correlation_and_keeps_the_gradient_finite() -> None:
    x = torch.randn(2, 5)
    flat = x.clone()
    flat[0] = 0.0
    flat.requires_grad_(True)
    loss = spatial(flat, x)
    loss.backward()
    assert loss.item() == pytest.approx(-0.5, abs=1e-6)
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


def test_an_unknown_loss_offers_the_nearest() -> None:
    with pytest.raises(BraindashError, match="Did you mean spatial"):
        get_loss("spatail")


def test_a_name_cannot_be_taken_twice_and_a_loss_takes_two_arguments() -> None:
    with pytest.raises(ValueError, match="already"):
        register("mse", mse)
    with pytest.raises(ValueError, match="must take"):
        register("odd", lambda a: a)  # type: ignore[arg-type,misc]
    assert "odd" not in LOSSES
