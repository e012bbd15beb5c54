"""The same arithmetic with fewer passes over memory: linear layers of the blocks while they are tuned.

Three things, each exact to rounding:

- A frozen weight is cast to bfloat16 once. Autocast caches only casts of weights that are
  trained, and would cast a frozen one at every call.
- A layer with an adapter is one operation, ``y = x W' + b + s (x A') B'``, whose second term is
  added in place. PEFT's own forward makes three more arrays of the layer's output size, and under
  autocast casts the input to float32 and back.
- On a CPU, frozen float32 weights go through oneDNN where that was measured to be much faster than
  torch's default (MKL takes a slow path on some processors). Elsewhere they are left alone.

The modules and what is saved of them stay as they are; only their ``forward`` is replaced while
the context lasts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel

DEFAULT_PRODUCTS = "torch's default"
MUCH_FASTER = 1.3  # oneDNN over the default: a lead that does not depend on how busy the machine is
ROWS, WIDTH = 400, 768  # of the product that is timed


@contextmanager
def fast_linears(model: SpeechModel, first: int, layer: int, device: torch.device) -> Iterator[str]:
    """Replace the forward of the linear layers in blocks [first, layer); yield how frozen weights are multiplied.

    Call it after a recipe has put its adapters in; ``device`` is where they will run. Layers whose
    weights are trained, or whose adapter has dropout, are left alone.
    """
    onednn = device.type == "cpu" and onednn_gain() >= MUCH_FASTER
    replaced: list[nn.Module] = []
    try:
        for i in range(first, layer):
            for path in model.linear_targets(i).values():
                module: Any = model.encoder.get_submodule(path)
                forward = fast_forward(module, onednn)
                if forward is not None:
                    module.forward = forward
                    replaced.append(module)
        yield "oneDNN" if onednn else DEFAULT_PRODUCTS
    finally:
        for module in replaced:
            del module.forward


def fast_forward(module: Any, onednn: bool = False) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return a faster forward of a frozen linear layer, adapted or not; None where there is none."""
    base = getattr(module, "base_layer", module)
    if type(base) is not nn.Linear or base.weight.requires_grad:
        return None
    times = Times(base, onednn)
    if base is module:
        return times.forward if onednn else times.half_forward
    if getattr(module, "active_adapters", []) != ["default"] or module.merged or module.use_dora.get("default"):
        return None
    if not isinstance(module.lora_dropout["default"], nn.Identity):
        return None
    A, B, scaling = module.lora_A["default"].weight, module.lora_B["default"].weight, module.scaling["default"]
    if module.lora_B["default"].bias is not None:
        return None

    def forward(x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = _Adapted.apply(x, A, B, scaling, times)
        return out

    return forward


class Times:
    """A frozen weight, ready to be multiplied from either side.

    Parameters
    ----------
    linear : nn.Linear
    onednn : bool
        Pack the weight for oneDNN in float32, once for each side.
    """

    def __init__(self, linear: nn.Linear, onednn: bool) -> None:
        self.linear = linear
        self.onednn = onednn
        self._halves: tuple[torch.Tensor, torch.Tensor | None] | None = None
        self._packed: tuple[torch.Tensor, torch.Tensor] | None = None

    def half(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return weight and bias in bfloat16."""
        if self._halves is None:
            bias = self.linear.bias
            self._halves = self.linear.weight.detach().bfloat16(), None if bias is None else bias.detach().bfloat16()
        return self._halves

    def packed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight and its transpose in oneDNN's own layout."""
        if self._packed is None:
            W = self.linear.weight.detach()
            pack: Any = torch.ops.mkldnn._reorder_linear_weight
            self._packed = pack(W), pack(W.t().contiguous())
        return self._packed

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x W' + b``: (…, n_in) -> (…, n_out)."""
        if x.dtype == torch.bfloat16:
            return functional.linear(x, *self.half())
        if self.onednn:
            return _onednn(x, self.packed()[0], self.linear.bias)
        return functional.linear(x, self.linear.weight, self.linear.bias)

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        """Return ``grad W``: (n_rows, n_out) -> (n_rows, n_in)."""
        if grad.dtype == torch.bfloat16:
            return grad @ self.half()[0]
        if self.onednn:
            return _onednn(grad, self.packed()[1], None)
        return grad @ self.linear.weight

    def half_forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply as autocast would, without casting the weight again."""
        if torch.is_autocast_enabled(x.device.type) and torch.get_autocast_dtype(x.device.type) == torch.bfloat16:
            return functional.linear(x, *self.half())
        return functional.linear(x, self.linear.weight, self.linear.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same with oneDNN in float32."""
        if torch.is_autocast_enabled(x.device.type) or x.dtype != torch.float32:
            return self.half_forward(x)
        out: torch.Tensor = _Frozen.apply(x, self)
        return out


def _onednn(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    multiply: Any = torch.ops.mkldnn._linear_pointwise
    out: torch.Tensor = multiply(x, packed, bias, "none", [], "")
    return out


class _Frozen(torch.autograd.Function):
    """A frozen linear layer through oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, times: Times) -> torch.Tensor:
        ctx.times = times
        return times.apply(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        g = grads[0]
        return ctx.times.back(g.reshape(-1, g.shape[-1])).view(*g.shape[:-1], -1), None


class _Adapted(torch.autograd.Function):
    """A frozen linear layer and its adapter: ``x W' + b + s (x A') B'``."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, A: torch.Tensor, B: torch.Tensor, scaling: float, times: Times
    ) -> torch.Tensor:
        ctx.times, ctx.scaling, ctx.dtype = times, scaling, x.dtype
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        with torch.autocast(kind, enabled=False):
            rows = x.reshape(-1, x.shape[-1])
            A, B = A.to(x.dtype), B.to(x.dtype)
            low = rows @ A.t()
            out = times.apply(rows)
            out.addmm_(low, B.t(), alpha=scaling)
        ctx.save_for_backward(rows, low, A, B)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, A, B = ctx.saved_tensors
        shape = (*grads[0].shape[:-1], rows.shape[-1])
        g = grads[0].reshape(-1, grads[0].shape[-1])
        back = (g @ B).mul_(ctx.scaling)  # (n_rows, rank)
        grad_A = (back.t() @ rows).float()
        grad_B = (g.t() @ low).mul_(ctx.scaling).float()
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = ctx.times.back(g)
            grad_x = grad_x.addmm_(back, A).view(shape).to(ctx.dtype)
        return grad_x, grad_A, grad_B, None, None


@cache
def onednn_gain() -> float:
    """Return how many times faster oneDNN multiplies by a float32 weight than torch's default does here.

    Timed once a process, the better of several interleaved tries each; 0 where oneDNN is not built in.
    """
    if not torch.backends.mkldnn.is_available():
        return 0.0
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, WIDTH, generator=generator)
    linear = nn.utils.skip_init(nn.Linear, WIDTH, WIDTH)  # torch's own random state is left alone
    with torch.no_grad():
        for p in linear.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    times = Times(linear, onednn=True)
    best = {"default": float("inf"), "onednn": float("inf")}
    with torch.no_grad():
        for _ in range(6):
            for name, multiply in (("default", linear), ("onednn", times.apply)):
                began = time.perf_counter()
                multiply(x)
                best[name] = min(best[name], time.perf_counter() - began)
    return best["default"] / best["onednn"]


def keep_freed_memory() -> bool:
    """Let this process keep large blocks that it frees, for the next step to take; return whether it could.

    glibc hands every block of more than some megabytes back to the system, and each new one is then
    filled with zeros page by page: a tenth to a third of a step on a CPU. Only for a process that
    computes and ends; its memory stays at its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    # malloc.h: M_TRIM_THRESHOLD -1, M_TOP_PAD -2, M_MMAP_THRESHOLD -3 (1 GiB: mmap beyond it)
    return all([mallopt(-3, 2**30), mallopt(-1, 2**31 - 1), mallopt(-2, 2**26)])
