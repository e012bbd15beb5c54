"""Losses against closed forms in numpy and against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine as cosine_distance

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.tuning.objectives import LOSSES, cosine, get_loss, huber, mse, register, spatial, temporal

Pair = tuple[np.ndarray, np.ndarray]
SUMS = ("spatial+0.5*mse", "huber+cosine", "2*temporal+0.25*huber+mse")


@pytest.fixture
def pair() -> Pair:
    rng = np.random.default_rng(0)
    return 1.5 * rng.standard_normal((7, 11)) + 0.3, rng.standard_normal((7, 11))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


# Each loss written out in numpy or scipy, one TR or target at a time.
CLOSED: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse": lambda p, m: float(((p - m) ** 2).sum() / p.size),
    "huber": lambda p, m: float(
        np.mean([0.5 * d**2 if abs(d) <= 1 else abs(d) - 0.5 for d in (p - m).ravel()]),
    ),
    "spatial": lambda p, m: -float(np.mean([correlation(a, b) for a, b in zip(p, m, strict=True)])),
    "temporal": lambda p, m: -float(np.mean([correlation(a, b) for a, b in zip(p.T, m.T, strict=True)])),
    "cosine": lambda p, m: float(np.mean([cosine_distance(a, b) for a, b in zip(p, m, strict=True)])),
}


def closed(text: str, predicted: np.ndarray, measured: np.ndarray) -> float:
    total = 0.0
    for term in text.split("+"):
        weight, _, name = term.rpartition("*")
        total += float(weight or 1) * CLOSED[name](predicted, measured)
    return total


def value(text: str, predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(get_loss(text)(torch.tensor(predicted), torch.tensor(measured)))


def test_every_loss_has_a_closed_form_here() -> None:
    assert CLOSED.keys() == LOSSES.keys()


@pytest.mark.parametrize("text", [*CLOSED, *SUMS])
def test_a_loss_equals_its_closed_form(text: str, pair: Pair) -> None:
    assert value(text, *pair) == pytest.approx(closed(text, *pair), abs=1e-12)


@pytest.mark.parametrize("text", [*CLOSED, *SUMS])
def test_the_gradient_equals_finite_differences_of_the_closed_form(text: str, pair: Pair) -> None:
    predicted, measured = pair
    leaf = torch.tensor(predicted, requires_grad=True)
    get_loss(text)(leaf, torch.tensor(measured)).backward()
    step, numeric = 1e-6, np.zeros_like(predicted)
    for at in np.ndindex(*predicted.shape):
        shift = np.zeros_like(predicted)
        shift[at] = step
        numeric[at] = (closed(text, predicted + shift, measured) - closed(text, predicted - shift, measured)) / step / 2
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), numeric, atol=1e-8)


@pytest.mark.parametrize("text", [*CLOSED, *SUMS])
def test_gradcheck(text: str, pair: Pair) -> None:
    predicted, measured = (torch.tensor(x, requires_grad=k == 0) for k, x in enumerate(pair))
    assert torch.autograd.gradcheck(get_loss(text), (predicted, measured))


@pytest.mark.parametrize("n", [3, 5, 1000])
def test_of_itself_a_correlation_is_one_whatever_the_number(n: int) -> None:
    """A mix of ddof 0 and 1 would give (n - 1) / n; offsets and scales do not matter."""
    x = torch.randn(n, 4, dtype=torch.float64)
    assert float(temporal(x, 3 * x + 2)) == pytest.approx(-1.0, abs=1e-12)
    assert float(spatial(x.T, 3 * x.T + 2)) == pytest.approx(-1.0, abs=1e-12)
    assert float(cosine(x.T, 3 * x.T)) == pytest.approx(0.0, abs=1e-12)
    assert float(cosine(x.T, -x.T)) == pytest.approx(2.0, abs=1e-12)


def test_huber_is_half_the_square_inside_and_a_line_outside() -> None:
    zero = torch.zeros(1, 2, dtype=torch.float64)
    assert float(huber(zero + torch.tensor([[0.5, 3.0]]), zero)) == pytest.approx((0.125 + 2.5) / 2)


@pytest.mark.parametrize(("loss", "undefined"), [(spatial, 0.0), (temporal, 0.0), (cosine, 1.0)])
@pytest.mark.parametrize("level", [0.0, 3.7, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_pattern_counts_as_unrelated_and_gives_no_gradient(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], undefined: float, level: float, dtype: torch.dtype
) -> None:
    """Half of the patterns follow the response; the others are flat, and must not outweigh them."""
    if loss is cosine:
        level = 0.0  # without centring only zero has no direction
    torch.manual_seed(0)
    x = torch.randn(40, 40, dtype=dtype)
    flat = x.clone()
    half: tuple[slice, ...] = (slice(20),) if loss is not temporal else (slice(None), slice(20))
    flat[half] = level
    flat.requires_grad_(True)
    result = loss(flat, x)
    assert result.item() == pytest.approx(undefined - 0.5, abs=1e-5)
    result.backward()
    assert flat.grad is not None
    assert not flat.grad[half].any()
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("text", [*CLOSED, *SUMS])
def test_one_tr_is_finite(text: str) -> None:
    predicted = torch.randn(1, 6, requires_grad=True)
    result = get_loss(text)(predicted, torch.randn(1, 6))
    result.backward()
    assert torch.isfinite(result)
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()
    if text == "temporal":
        assert result.item() == 0.0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_offsets_are_ignored_by_those_losses_that_say_so(name: str, pair: Pair) -> None:
    predicted, measured = pair
    moved = value(name, predicted + np.random.default_rng(1).standard_normal(11), measured)
    same = moved == pytest.approx(value(name, predicted, measured), abs=1e-12)
    assert same == LOSSES[name].ignores_offsets
    assert get_loss(name).ignores_offsets == LOSSES[name].ignores_offsets


def test_a_sum_asks_for_what_its_terms_ask_for() -> None:
    assert get_loss("mse").least_targets == 1
    assert get_loss("mse+0.1*spatial").least_targets == 3
    assert get_loss("cosine+huber").least_targets == 2
    assert not get_loss("temporal+0.1*mse").ignores_offsets
    assert get_loss("2*temporal").ignores_offsets


@pytest.mark.parametrize("text", ["spatail", "mse+spatail", "0.5*spatail"])
def test_an_unknown_loss_offers_the_nearest(text: str) -> None:
    assert TuneConfig(study="s", model="m", loss=text).loss == text  # the configuration knows no names
    with pytest.raises(BraindashError, match="Did you mean spatial"):
        get_loss(text)


@pytest.mark.parametrize("text", ["0*mse", "spatial+0.0*mse", "x*mse", "*mse", "inf*mse", "-1*mse"])
def test_a_weight_is_a_number_above_zero(text: str) -> None:
    with pytest.raises(BraindashError, match="weight of mse"):
        get_loss(text)


@pytest.mark.parametrize("text", ["", "mse+", "mse*2"])
def test_what_is_not_a_sum_is_refused(text: str) -> None:
    with pytest.raises(BraindashError, match="no loss"):
        get_loss(text)


def test_a_name_cannot_be_taken_twice_and_a_loss_takes_two_arguments() -> None:
    with pytest.raises(ValueError, match="already"):
        register("mse", mse)
    with pytest.raises(ValueError, match="must take"):
        register("odd", lambda a: a)  # type: ignore[arg-type,misc]
    with pytest.raises(ValueError, match="lower-case"):
        register("a+b", mse)
    assert "odd" not in LOSSES
