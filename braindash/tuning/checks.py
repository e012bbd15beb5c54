"""Assertions that training really trains what it says, and nothing else.

Some attention implementations read a projection's weight past the module that
holds it. An adapter wrapped around such a module never runs in the graph: the
loss falls (the head learns) while the speech model stays as it was. The checks
here turn that into an error in the first steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from braindash.errors import BraindashError

if TYPE_CHECKING:
    import torch

    Named = Iterable[tuple[str, torch.nn.Parameter]]


def check_gradients(parameters: Named, step: int) -> None:
    """Check every parameter's gradient after the backward pass of ``step`` (from 1), before it is clipped.

    A trainable tensor must have a gradient that is there, finite, and somewhere
    not zero. A LoRA A matrix multiplies a B that starts at zero, so its gradient
    is zero at step 1 by construction and is asked for from step 2. A frozen
    tensor must have none.

    Parameters
    ----------
    parameters : iterable of (name, parameter)
    step : int

    Raises
    ------
    BraindashError
        Naming the modules that get no gradient, or a frozen tensor that got one.
    """
    import torch

    missing: list[str] = []
    dead: list[str] = []
    unruly: list[str] = []
    leaking: list[str] = []
    for name, parameter in parameters:
        grad = parameter.grad
        if not parameter.requires_grad:
            if grad is not None:
                leaking.append(name)
        elif grad is None:
            missing.append(name)
        elif not torch.isfinite(grad).all():
            unruly.append(name)
        elif not grad.any() and not (step == 1 and is_lora_a(name)):
            dead.append(name)
    if unruly:
        raise not_finite(f"the gradient of {names(unruly)}", step)
    if missing or dead:
        raise BraindashError(
            f"After step {step}, {len(missing) + len(dead)} trained tensors had no gradient, so these modules would "
            f"never learn: {names(missing + dead)}.",
            "Choose other lora.targets (the layer bypasses these modules), or report the model family.",
        )
    if leaking:
        raise BraindashError(
            f"After step {step}, frozen tensors had a gradient: {names(leaking)}.",
            "Something unfroze them after set-up; load the model afresh and start again.",
        )


def check_moved(before: dict[str, torch.Tensor], parameters: Named, step: int) -> None:
    """Check that every trainable tensor differs from ``before``; tensors at rate 0 must be left out.

    Raises
    ------
    BraindashError
        Naming the modules that did not move.
    """
    import torch

    still = [n for n, p in parameters if n in before and torch.equal(before[n], p.detach())]
    if still:
        raise BraindashError(
            f"After step {step}, {len(still)} trained tensors had not moved: {names(still)}.",
            "Raise optimiser.lr, or choose other lora.targets.",
        )


def check_loss(loss: float, step: int) -> None:
    """Raise a BraindashError with a remedy if ``loss`` is NaN or infinite."""
    import math

    if not math.isfinite(loss):
        raise not_finite(f"the loss ({loss})", step)


def not_finite(what: str, step: int) -> BraindashError:
    """Return the error for a NaN or an infinity that training produced."""
    return BraindashError(
        f"At step {step}, {what} stopped being finite.",
        "Lower optimiser.lr (a third of it, say), lower optimiser.clip, or set precision to fp32; "
        "then resume from the last checkpoint or start again.",
    )


def is_lora_a(name: str) -> bool:
    """Return whether ``name`` is the LoRA matrix whose gradient is zero while B is zero."""
    return "lora_A" in name


def names(tensors: list[str], most: int = 6) -> str:
    """Return the modules of ``tensors`` as a phrase of at most ``most`` of them."""
    modules = list(dict.fromkeys(t.removesuffix(".weight").removesuffix(".bias") for t in tensors))
    shown = ", ".join(modules[:most])
    return shown if len(modules) <= most else f"{shown} and {len(modules) - most} more"
