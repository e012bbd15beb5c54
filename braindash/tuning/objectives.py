"""What a step makes smaller.

A loss is a function of the prediction and the response of some consecutive TRs,
both ``(n_trs, n_targets)`` torch tensors, and returns a scalar. ``LOSSES`` maps
the names used in the configuration to these functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    import torch

    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def mse(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return the squared error, averaged over TRs and targets.

    Parameters
    ----------
    predicted, measured : (n_trs, n_targets) tensors

    Returns
    -------
    scalar tensor
    """
    return (predicted - measured).square().mean()


def spatial(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return minus the mean over TRs of the Pearson correlation across targets.

    For every TR the pattern over targets is centred and divided by its Euclidean
    norm, so the result does not depend on a choice of degrees of freedom. A TR
    whose pattern is flat has no correlation and counts as 0.

    Parameters
    ----------
    predicted, measured : (n_trs, n_targets) tensors

    Returns
    -------
    scalar tensor in [-1, 1]

    References
    ----------
    Vattikonda, Vaidya, Antonello & Huth (2025), arXiv 2502.08866.
    """
    p = predicted - predicted.mean(dim=1, keepdim=True)
    m = measured - measured.mean(dim=1, keepdim=True)
    # The floor is far below any pattern that carries signal; it only keeps 0/0 out of the gradient.
    floor = 1e-12
    norms = (p.square().sum(dim=1).clamp_min(floor) * m.square().sum(dim=1).clamp_min(floor)).sqrt()
    return -((p * m).sum(dim=1) / norms).mean()


LOSSES: dict[str, Loss] = {}


def register(name: str, loss: Loss) -> None:
    """Add ``loss`` to ``LOSSES``.

    Raises
    ------
    ValueError
        If the name is taken or the function does not take (predicted, measured).
    """
    if name in LOSSES:
        raise ValueError(f"a loss called {name!r} is registered already")
    required = [p for p in inspect.signature(loss).parameters.values() if p.default is p.empty]
    if len(required) != 2:
        raise ValueError(f"loss {name!r} must take (predicted, measured), it takes {len(required)} arguments")
    LOSSES[name] = loss


register("mse", mse)
register("spatial", spatial)


def get_loss(name: str) -> Loss:
    """Return the loss called ``name``; an unknown name is a BraindashError that offers the nearest."""
    if name not in LOSSES:
        raise BraindashError(f"There is no loss {name!r}.", closest(name, LOSSES))
    return LOSSES[name]
