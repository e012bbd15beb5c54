"""What a step makes smaller.

A loss is a function of the prediction and the response of some consecutive TRs,
both ``(n_trs, n_targets)`` torch tensors, and returns a scalar. ``LOSSES`` maps
the names used in the configuration to these functions; a configuration may also
name a weighted sum of them, ``spatial+0.5*mse``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    import torch

    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

HUBER_DELTA = 1.0  # standard deviations of a response


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


def huber(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return the Huber loss with delta 1 on z-scored responses, averaged over TRs and targets.

    Half the squared error up to one standard deviation, beyond it the absolute error less one half.

    Parameters
    ----------
    predicted, measured : (n_trs, n_targets) tensors

    Returns
    -------
    scalar tensor

    References
    ----------
    Huber (1964), Annals of Mathematical Statistics 35:73-101.
    """
    from torch.nn.functional import huber_loss

    return huber_loss(predicted, measured, delta=HUBER_DELTA)


def spatial(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return minus the mean over TRs of the Pearson correlation across targets.

    A TR whose pattern is flat has no correlation: it counts as 0 and gives no gradient.

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
    return -_alike(predicted, measured, dim=1, centre=True).mean()


def temporal(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return minus the mean over targets of the Pearson correlation across the step's TRs.

    A target that does not vary over these TRs (or a step of one TR) has no correlation:
    it counts as 0 and gives no gradient.

    Parameters
    ----------
    predicted, measured : (n_trs, n_targets) tensors

    Returns
    -------
    scalar tensor in [-1, 1]
    """
    return -_alike(predicted, measured, dim=0, centre=True).mean()


def cosine(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return 1 minus the mean over TRs of the cosine similarity of the patterns over targets.

    A TR whose pattern is zero is similar to nothing: it counts as 0 and gives no gradient.

    Parameters
    ----------
    predicted, measured : (n_trs, n_targets) tensors

    Returns
    -------
    scalar tensor in [0, 2]
    """
    return 1.0 - _alike(predicted, measured, dim=1, centre=False).mean()


def _alike(a: torch.Tensor, b: torch.Tensor, *, dim: int, centre: bool) -> torch.Tensor:
    """Return cosine similarities along ``dim``, of deviations from the mean when ``centre``; 0 where undefined.

    Each vector is divided by its own Euclidean norm, so no choice of degrees of freedom enters.
    """
    import torch

    # What centring leaves of a flat vector is rounding error, this large at most.
    least = [(10 * torch.finfo(x.dtype).eps) ** 2 * x.detach().square().sum(dim) for x in (a, b)]
    if centre:
        a, b = (x - x.mean(dim, keepdim=True) for x in (a, b))
    squares = [x.square().sum(dim) for x in (a, b)]
    defined = (squares[0] > least[0]) & (squares[1] > least[1])
    # Dividing by 1 where it is undefined keeps 0/0 out of the gradient too.
    norms = [torch.where(defined, s, 1.0).sqrt() for s in squares]
    return torch.where(defined, (a * b).sum(dim) / norms[0] / norms[1], 0.0)


@dataclass(frozen=True)
class Term:
    """A loss and what it asks for.

    Attributes
    ----------
    loss : callable
    least_targets : int
        Fewest targets for which it means anything.
    ignores_offsets : bool
        Whether a constant added to a target over time leaves it as it is: offsets then have no gradient.
    """

    loss: Loss
    least_targets: int = 1
    ignores_offsets: bool = False


@dataclass(frozen=True)
class Objective:
    """A weighted sum of losses; called like one.

    Attributes
    ----------
    terms : tuple of (weight, name)
    """

    terms: tuple[tuple[float, str], ...]

    def __call__(self, predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """Return the sum of the weighted losses of (n_trs, n_targets) tensors: a scalar tensor."""
        (weight, name), *others = self.terms
        total = _times(weight, LOSSES[name].loss(predicted, measured))
        for weight, name in others:
            total = total + _times(weight, LOSSES[name].loss(predicted, measured))
        return total

    @property
    def least_targets(self) -> int:
        """Fewest targets for which every term means something."""
        return max(LOSSES[name].least_targets for _, name in self.terms)

    @property
    def ignores_offsets(self) -> bool:
        """Whether no term changes when a constant is added to a target over time."""
        return all(LOSSES[name].ignores_offsets for _, name in self.terms)


def _times(weight: float, loss: torch.Tensor) -> torch.Tensor:
    return loss if weight == 1.0 else weight * loss


LOSSES: dict[str, Term] = {}


def register(name: str, loss: Loss, *, least_targets: int = 1, ignores_offsets: bool = False) -> None:
    """Add ``loss`` to ``LOSSES``.

    Raises
    ------
    ValueError
        If the name is taken or cannot stand in a sum, or the function does not take (predicted, measured).
    """
    if name in LOSSES:
        raise ValueError(f"a loss called {name!r} is registered already")
    if not name.replace("_", "a").isalpha() or not name.islower():
        raise ValueError(f"a loss is called by lower-case letters and _, not {name!r}")
    required = [p for p in inspect.signature(loss).parameters.values() if p.default is p.empty]
    if len(required) != 2:
        raise ValueError(f"loss {name!r} must take (predicted, measured), it takes {len(required)} arguments")
    LOSSES[name] = Term(loss, least_targets, ignores_offsets)


register("mse", mse)
register("huber", huber)
register("spatial", spatial, least_targets=3)  # across 2 targets every correlation is 1 or -1
register("temporal", temporal, ignores_offsets=True)
register("cosine", cosine, least_targets=2)  # of 1 target every similarity is 1 or -1


def get_loss(text: str) -> Objective:
    """Return the loss that ``text`` names: one of ``LOSSES``, or a weighted sum such as ``spatial+0.5*mse``.

    Raises
    ------
    BraindashError
        For an unknown name (it offers the nearest), a weight of 0, or what is not a sum.
    """
    terms = []
    for term in text.replace(" ", "").split("+"):
        factor, star, name = term.rpartition("*")
        if name not in LOSSES:
            raise BraindashError(f"There is no loss {name!r}.", closest(name, LOSSES))
        try:
            weight = float(factor) if star else 1.0
        except ValueError:
            raise BraindashError(
                f"The weight of {name} in loss {text!r} is {factor!r}.", "Give a number above 0: spatial+0.5*mse."
            ) from None
        if not 0 < weight < float("inf"):
            raise BraindashError(f"The weight of {name} in loss {text!r} is {factor}.", "Give a number above 0.")
        terms.append((weight, name))
    return Objective(tuple(terms))
