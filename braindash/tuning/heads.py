"""From a layer, pooled to one vector a TR, to the responses.

Every head is a fixed linear map over time (FIR delays, or a haemodynamic response
that is not learnt) of the z-scored layer, then a matrix shared by all subjects (in
the low-rank heads), then one matrix and offset a subject. The z-score uses the
pretrained model's statistics and stays fixed: statistics that moved with the model
would hide from the loss what tuning does to the layer's scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from braindash.config import HeadConfig
from braindash.encoding.hrf import canonical_hrf
from braindash.errors import BraindashError

HRF_SECONDS = 16.0  # as far as the trough of the undershoot; eight taps at a TR of 2 s


def double_gamma(tr: float, seconds: float = HRF_SECONDS) -> np.ndarray:
    """Return a canonical haemodynamic response sampled every TR from 0 s: (n_taps,) float64, sum 1.

    The difference of two gamma densities of unit scale, the response with shape 6
    (peak at 5 s) and a sixth of the undershoot with shape 16, as in SPM.

    Parameters
    ----------
    tr : float
        Seconds from row to row.
    seconds : float
        Length; ``ceil(seconds / tr)`` taps, two at least.

    References
    ----------
    Glover (1999), NeuroImage 9:416-429; Friston et al. (1998), NeuroImage 7:30-40.
    """
    h = canonical_hrf(np.arange(max(2, math.ceil(seconds / tr - 1e-9))) * tr)
    return h / h.sum()


def shifted(rows: torch.Tensor, by: int) -> torch.Tensor:
    """Return ``rows`` (n_trs, width) moved ``by`` TRs later, zeros before the start."""
    if by == 0:
        return rows
    out = torch.zeros_like(rows)
    if by < len(rows):
        out[by:] = rows[: len(rows) - by]
    return out


class Head(nn.Module):
    """A read-out of the pooled layer.

    Parameters
    ----------
    kind : {"linear", "low_rank", "hrf_low_rank"}
    width : int
        Width of the layer.
    n_targets : mapping of subject to int
        Targets of every subject, in a fixed order.
    rank : int
        Width of the shared bottleneck (low-rank kinds).
    delays : sequence of int
        FIR delays in TRs (``linear``, ``low_rank``), 0 or more.
    tr : float
        Seconds from row to row (``hrf_low_rank``).

    Attributes
    ----------
    history : int
        How many rows before a row its prediction looks at.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    hrf: torch.Tensor

    def __init__(
        self, kind: str, width: int, n_targets: Mapping[str, int], rank: int, delays: Sequence[int], tr: float
    ) -> None:
        super().__init__()
        self.kind = kind
        self.subjects = tuple(n_targets)
        self.delays = tuple(delays)
        if kind != "hrf_low_rank" and min(self.delays) < 0:
            raise BraindashError(
                f"delays holds {min(self.delays)}: a prediction cannot look at sound that comes after it.",
                "Use delays of 0 TRs or more.",
            )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("hrf", torch.from_numpy(double_gamma(tr)).float(), persistent=False)
        self.history = len(self.hrf) - 1 if kind == "hrf_low_rank" else max(self.delays)
        self.n_inputs = width if kind == "hrf_low_rank" else width * len(self.delays)
        self.shared: nn.Module = nn.Identity() if kind == "linear" else nn.Linear(self.n_inputs, rank, bias=False)
        bottleneck = self.n_inputs if kind == "linear" else rank
        self.outputs = nn.ModuleList([nn.Linear(bottleneck, v) for v in n_targets.values()])

    def owners(self) -> dict[str, tuple[str, ...]]:
        """Return which subjects every output matrix serves, by its module's name."""
        return {f"outputs.{k}": (s,) for k, s in enumerate(self.subjects)}

    def set_statistics(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Fix the z-score of the input: both (width,); a unit that never varies is left at scale 1."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 1e-8 * scale.max().clamp_min(1e-30), scale, torch.ones_like(scale)))

    def design(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return what the learnt matrices see: (n_trs, width) -> (n_trs, n_inputs).

        Rows before the first are taken as zero (after z-scoring), as at the start of a story.
        """
        z = (pooled.to(self.mean.dtype) - self.mean) / self.scale
        if self.kind == "hrf_low_rank":
            out = torch.zeros_like(z)
            for tap, weight in enumerate(self.hrf):
                out = out + weight * shifted(z, tap)
            return out
        return torch.cat([shifted(z, d) for d in self.delays], dim=1)

    def bottleneck(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the part that all subjects share: (n_trs, rank), or the design itself for ``linear``."""
        return self.shared(self.design(pooled))

    def read(self, bottleneck: torch.Tensor, subject: str) -> torch.Tensor:
        """Return one subject's prediction from `bottleneck`'s rows: (n_trs, n_targets)."""
        return self.outputs[self.subjects.index(subject)](bottleneck)

    def forward(self, pooled: torch.Tensor, subject: str) -> torch.Tensor:
        """Predict a subject's responses: (n_trs, width) -> (n_trs, n_targets)."""
        return self.read(self.bottleneck(pooled), subject)

    @torch.no_grad()
    def set_weights(self, shared: np.ndarray | None, outputs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Set the learnt matrices.

        Parameters
        ----------
        shared : (n_inputs, rank) array, or None for ``linear``
        outputs : mapping of subject to ((rank or n_inputs, n_targets) weights, (n_targets,) offsets)
        """
        if shared is not None:
            assert isinstance(self.shared, nn.Linear)
            self.shared.weight.copy_(torch.from_numpy(np.ascontiguousarray(shared.T)))
        for subject, layer in zip(self.subjects, self.outputs, strict=True):
            assert isinstance(layer, nn.Linear)
            weights, offsets = outputs[subject]
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.T)))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(offsets)))


def build_head(
    config: HeadConfig, width: int, n_targets: Mapping[str, int], delays: Sequence[int], tr: float, signal: str
) -> Head:
    """Return a head at random (drawn from torch's generator).

    Raises
    ------
    BraindashError
        For a haemodynamic head on electrodes, or a bottleneck wider than what goes in.
    """
    if config.kind == "hrf_low_rank" and signal != "bold":
        raise BraindashError(
            f"head.kind is hrf_low_rank, but the study's signal is {signal!r}, which has no haemodynamic response.",
            "Set head.kind to low_rank or linear: their delays are then lags in the range of encoding.lags.",
        )
    head = Head(config.kind, width, n_targets, config.rank, delays, tr)
    if config.kind != "linear" and config.rank > head.n_inputs:
        raise BraindashError(
            f"head.rank is {config.rank}, but the layer gives the head only {head.n_inputs} inputs.",
            f"Set head.rank to {head.n_inputs} or less.",
        )
    return head
