"""From a layer, pooled to one vector a TR, to the responses.

Every head is a fixed linear map over time (FIR delays, or a haemodynamic response
that is not learnt) of the z-scored layer, then a matrix shared by all subjects (in
the low-rank heads), then one matrix and offset a subject, or one for all subjects.
The z-score uses the pretrained model's statistics and stays fixed: statistics that
moved with the model would hide from the loss what tuning does to the layer's scale.
Before all that the frames of a TR are averaged, or weighed by weights that are learnt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from braindash.config import HeadConfig, TuneConfig
from braindash.encoding.hrf import canonical_hrf
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.tuning.data import TuningData
    from braindash.tuning.frame_map import FrameMap

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
    attention : bool
        Whether the frames of a row get weights that are learnt: a softmax over the row's frames
        of a linear score of the z-scored frame. The score starts at zero, which is the mean.
    shared_output : bool
        One output matrix for all subjects, who have as many targets.

    Attributes
    ----------
    history : int
        How many rows before a row its prediction looks at.
    score : Linear or None
        The score of a frame.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    hrf: torch.Tensor

    def __init__(
        self,
        kind: str,
        width: int,
        n_targets: Mapping[str, int],
        rank: int,
        delays: Sequence[int],
        tr: float,
        *,
        attention: bool = False,
        shared_output: bool = False,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.tr = tr
        self.shared_output = shared_output
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
        sizes = list(n_targets.values())[: 1 if shared_output else None]
        self.outputs = nn.ModuleList([nn.Linear(bottleneck, v) for v in sizes])
        self.score = nn.Linear(width, 1, bias=False) if attention else None
        if self.score is not None:
            nn.init.zeros_(self.score.weight)

    def owners(self) -> dict[str, tuple[str, ...]]:
        """Return which subjects every output matrix serves, by its module's name."""
        if self.shared_output:
            return {"outputs.0": self.subjects}
        return {f"outputs.{k}": (s,) for k, s in enumerate(self.subjects)}

    def closed_form(self) -> list[nn.Parameter]:
        """Return the parameters that a closed-form solution sets: all but the score of frames."""
        return [*self.shared.parameters(), *self.outputs.parameters()]

    def set_statistics(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Fix the z-score of the input: both (width,); a unit that never varies is left at scale 1."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 1e-8 * scale.max().clamp_min(1e-30), scale, torch.ones_like(scale)))

    def pool(self, frames: torch.Tensor, fmap: FrameMap) -> torch.Tensor:
        """Return one vector a row: (n_frames, width) -> (n_trs, width)."""
        if self.score is None:
            return fmap(frames)
        return fmap.attend(frames, self.score((frames - self.mean) / self.scale)[:, 0])

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
        place = self.subjects.index(subject)
        return self.outputs[0 if self.shared_output else place](bottleneck)

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
            With a shared output, any subject's: they are the same.
        """
        if shared is not None:
            assert isinstance(self.shared, nn.Linear)
            self.shared.weight.copy_(torch.from_numpy(np.ascontiguousarray(shared.T)))
        for subject, layer in zip(self.subjects, self.outputs, strict=not self.shared_output):
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
    head = Head(
        config.kind,
        width,
        n_targets,
        config.rank,
        delays,
        tr,
        attention=config.pooling == "attention",
        shared_output=config.shared_output,
    )
    if config.kind != "linear" and config.rank > head.n_inputs:
        raise BraindashError(
            f"head.rank is {config.rank}, but the layer gives the head only {head.n_inputs} inputs.",
            f"Set head.rank to {head.n_inputs} or less.",
        )
    return head


def head_for(config: TuneConfig, width: int, data: TuningData) -> Head:
    """Return a run's head at random, after asking whether its read-out and its subjects allow it.

    Parameters
    ----------
    config : TuneConfig
    width : int
        Width of the layer.
    data : TuningData

    Raises
    ------
    BraindashError
        Also for learnt weights over the frames of windows that Lanczos resamples, and for a
        shared output of subjects whose targets do not correspond.
    """
    if config.head.pooling == "attention" and config.window.readout in ("last", "mean"):
        raise BraindashError(
            f"head.pooling is attention, but window.readout {config.window.readout} takes windows to TRs by a Lanczos "
            "filter: its weights are partly negative, and a TR has no frames of its own.",
            "Set window.readout to tr_mean or tr_window, or head.pooling to mean.",
        )
    study = data.study
    if config.head.shared_output:
        chosen = {s: study.targets(s)["name"].to_numpy()[data.selections[s].index] for s in data.subjects}
        check_corresponding(chosen)
    return build_head(config.head, width, data.n_targets, config.delays, study.tr, study.signal)


def check_corresponding(targets: Mapping[str, Sequence[str]], most: int = 4) -> None:
    """Raise a BraindashError unless all subjects have the same targets, in number, name and order.

    Parameters
    ----------
    targets : mapping of subject to the names of its targets
    most : int
        Names shown of those that differ.
    """
    (first, expected), *others = targets.items()
    for subject, names in others:
        pairs = list(zip(expected, names, strict=False))
        differing = [f"{a} / {b}" for a, b in pairs if a != b]
        if len(expected) == len(names) and not differing:
            continue
        said = []
        if len(expected) != len(names):
            said.append(f"{first!r} has {len(expected)} and {subject!r} {len(names)}")
            only = {s: sorted(set(x) - set(y)) for s, x, y in ((first, expected, names), (subject, names, expected))}
            said += [f"only {s!r} has {_few(missing, most)}" for s, missing in only.items() if missing]
        else:
            said.append(f"{len(differing)} of {first!r} / {subject!r} differ: {_few(differing, most)}")
        raise BraindashError(
            f"head.shared_output needs the same targets in every subject, but {'; '.join(said)}.",
            "Choose targets that all subjects have (regions, a mask), or set head.shared_output to false.",
        )


def _few(names: Sequence[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(str(n) for n in names[:most]) + (f" and {more} more" if more > 0 else "")


def read_head(path: Path) -> Head:
    """Return the head that a model folder's ``head.safetensors`` holds, ready to predict.

    Raises
    ------
    BraindashError
        If the file is not a head that this version can read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            about = json.loads(file.metadata()["head"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sizes = [
            len(tensors[f"outputs.{k}.weight"]) for k in range(1 if about["shared_output"] else len(about["subjects"]))
        ]
        if about["shared_output"]:
            sizes *= len(about["subjects"])
        head = Head(
            about["kind"],
            len(tensors["mean"]),
            dict(zip(about["subjects"], sizes, strict=True)),
            tensors["outputs.0.weight"].shape[1],
            about["delays"],
            about["tr"],
            attention="score.weight" in tensors,
            shared_output=about["shared_output"],
        )
        head.load_state_dict(tensors)
    except (OSError, SafetensorError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise BraindashError(f"{path} cannot be read as a head ({error}).", "Train the run again.") from error
    return head


def describe_head(head: Head) -> dict[str, Any]:
    """Return what `read_head` needs besides the tensors, fit for JSON."""
    return {
        "kind": head.kind,
        "subjects": head.subjects,
        "delays": head.delays,
        "tr": head.tr,
        "shared_output": head.shared_output,
    }
