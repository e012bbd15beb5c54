"""What every speech model can do, whatever its family."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from braindash.errors import BraindashError

SAMPLE_RATE = 16000


@dataclass
class State:
    """What travels from block to block.

    Attributes
    ----------
    h : (batch, n_frames, width) tensor
        The hidden state.
    extras : dict
        What a family's blocks need besides (rotary tables, a relative position
        bias). It depends on the number of frames and on the weights only, never
        on the batch, so that a cached ``h`` may be sliced along its first axis.
    """

    h: torch.Tensor
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preprocessing:
    """What a model does to a waveform first, from its ``preprocessor_config.json``."""

    do_normalize: bool = False


class SpeechModel(ABC):
    """A frozen pretrained speech encoder, cut at its seams.

    Layer *k* of ``n_layers + 1`` is what enters block *k*; the last is the
    output of the last block after the family's final norm, where it has one,
    i.e. transformers' ``last_hidden_state``. (For encoders that normalise before
    each block, transformers 5 lists the last state before that norm instead.)

    Attributes
    ----------
    id : str
        Name shown to people.
    n_layers, width : int
        Blocks, and size of a hidden state.
    frame_period : float
        Seconds from frame to frame.
    weights_hash : str
        Hash of the tensors that were loaded.
    source, licence : str
        Where the weights came from, and their licence, for people.
    encoder : torch.nn.Module
        In eval mode, no parameter requires a gradient. Adapters injected into
        its linear layers take part in :meth:`block`.
    """

    family: ClassVar[str]
    model_class: ClassVar[str]  # name of the encoder in transformers
    model_module: ClassVar[str] = "transformers"
    config_class: ClassVar[str]
    prefixes: ClassVar[tuple[str, ...]]  # of the encoder's tensors in a checkpoint, longest first
    heads: ClassVar[tuple[str, ...]]  # prefixes of tensors a checkpoint may hold that the encoder does not use
    attention: ClassVar[str] = "sdpa"
    layers_key: ClassVar[str] = "num_hidden_layers"  # where config.json says how many blocks there are
    needs_preprocessor: ClassVar[bool] = True  # whether a missing preprocessor_config.json leaves something open
    normalises: ClassVar[bool] = True  # what do_normalize is when that file does not say
    # parameters of a block that have no gradient by construction, by the end of their names: why
    never_trained: ClassVar[dict[str, str]] = {}
    sample_rate: int = SAMPLE_RATE
    frame_period: float
    ref: str = ""  # what opens it again: the name that open_model was given, a folder's absolute path
    folder: Path | None = None  # of the pretrained checkpoint; of a tuned model's base
    min_samples: int  # shortest waveform that gives a frame
    max_samples: int | None = None  # longest waveform the model can take

    def __init__(
        self,
        encoder: torch.nn.Module,
        preprocessing: Preprocessing,
        *,
        id: str,
        weights_hash: str,
        source: str = "",
        licence: str = "",
    ) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.config: Any = encoder.config
        self.preprocessing = preprocessing
        self.id = id
        self.weights_hash = weights_hash
        self.source = source
        self.licence = licence

    def __repr__(self) -> str:
        return f"<SpeechModel {self.id} ({self.family}, {self.n_layers} layers x {self.width})>"

    @property
    def n_layers(self) -> int:
        return int(getattr(self.config, self.layers_key))

    @property
    def width(self) -> int:
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    @property
    def identity(self) -> str:
        """Hash of everything that decides the hidden states: weights, architecture, preprocessing."""
        config = {k: v for k, v in self.config.to_dict().items() if k not in {"_name_or_path", "transformers_version"}}
        settings = json.dumps(config, sort_keys=True, default=str)
        parts = [self.family, self.weights_hash, repr(self.preprocessing), settings]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @abstractmethod
    def frame_times(self, n_samples: int) -> np.ndarray:
        """Return the centre of every frame of a waveform of ``n_samples``: (n_frames,) float64, seconds."""

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames ``n_samples`` give."""
        return len(self.frame_times(n_samples))

    def prepare(self, windows: Sequence[np.ndarray]) -> torch.Tensor:
        """Make waveforms of one length the encoder's input.

        Nothing is padded, so no attention mask is ever needed: group waveforms
        by length instead.

        Parameters
        ----------
        windows : list of (n_samples,) float32
            16 kHz mono, all of one length.

        Raises
        ------
        BraindashError
            If the windows are shorter or longer than the model can take.
        """
        lengths = {len(w) for w in windows}
        if len(lengths) != 1:
            raise ValueError(f"windows of one length are needed; got lengths {sorted(lengths)}")
        n = lengths.pop()
        if n < self.min_samples:
            raise BraindashError(
                f"A window of {n} samples ({n / self.sample_rate:.3f} s) is too short for {self.id}.",
                f"Use at least {self.min_samples} samples ({self.min_samples / self.sample_rate:.3f} s).",
            )
        if self.max_samples is not None and n > self.max_samples:
            raise BraindashError(
                f"A window of {n / self.sample_rate:g} s is longer than {self.id} can take.",
                f"Set context to at most {self.max_samples / self.sample_rate:g} s.",
            )
        return self._prepare(np.stack([np.asarray(w, dtype=np.float32) for w in windows]))

    @abstractmethod
    def _prepare(self, waves: np.ndarray) -> torch.Tensor:
        """Turn (batch, n_samples) float32 into the encoder's input."""

    @abstractmethod
    def front(self, batch: torch.Tensor) -> State:
        """Return the state that enters block 0 (layer 0)."""

    @abstractmethod
    def block(self, i: int, state: State) -> State:
        """Return the state after block ``i``."""

    def finish(self, state: State) -> torch.Tensor:
        """Return the last layer from the state after the last block: (batch, n_frames, width)."""
        return state.h

    def read_layer(self, state: State, k: int) -> torch.Tensor:
        """Return layer ``k`` from the state after ``k`` blocks: (batch, n_frames, width)."""
        return self.finish(state) if k == self.n_layers else state.h

    def check_layers(self, layers: Sequence[int] | None) -> list[int]:
        """Return the wanted layers as a list; all when None.

        Raises
        ------
        BraindashError
            If one does not exist.
        """
        if layers is None:
            return list(range(self.n_layers + 1))
        for k in layers:
            if not 0 <= k <= self.n_layers:
                raise BraindashError(f"{self.id} has no layer {k}.", f"Layers are 0 to {self.n_layers}.")
        return list(layers)

    def iterate_layers(self, batch: torch.Tensor, last: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield ``(k, layer k)`` up to layer ``last``; no block above it is run."""
        last = self.n_layers if last is None else last
        state = self.front(batch)
        yield 0, self.read_layer(state, 0)
        for i in range(last):
            state = self.block(i, state)
            yield i + 1, self.read_layer(state, i + 1)

    @torch.inference_mode()
    def hidden_states(self, audio: np.ndarray, layers: Sequence[int] | None = None) -> np.ndarray:
        """Return the hidden states of one waveform, taken as one window.

        Parameters
        ----------
        audio : (n_samples,) float32
            16 kHz mono.
        layers : sequence of int, optional
            Layers wanted, in the order wanted; all when None.

        Returns
        -------
        (n_layers + 1 or len(layers), n_frames, width) float32
        """
        wanted = self.check_layers(layers)
        states: dict[int, np.ndarray] = {}
        for k, h in self.iterate_layers(self.prepare([audio]), max(wanted)):
            if k in wanted:
                states[k] = h[0].float().cpu().numpy()
        return np.stack([states[k] for k in wanted])

    @abstractmethod
    def block_path(self, i: int) -> str:
        """Return the path of block ``i`` inside ``encoder``."""

    @property
    def norm_path(self) -> str:
        """The path of the norm that `finish` applies; "" where there is none."""
        return ""

    def trainable(self, first: int, layer: int) -> dict[str, torch.nn.Parameter]:
        """Return the parameters between what enters block ``first`` and layer ``layer``, by name inside ``encoder``.

        Those of the blocks, and of the final norm where the layer is the last; without
        `never_trained`. Nothing below block 0 is among them.
        """
        paths = [self.block_path(i) for i in range(first, layer)]
        if self.norm_path and layer == self.n_layers:
            paths.append(self.norm_path)
        within = tuple(f"{path}." for path in paths)
        return {
            name: p
            for name, p in self.encoder.named_parameters()
            if name.startswith(within) and not name.endswith(tuple(self.never_trained))
        }

    def shift_of(self, layer: int) -> str:
        """Return the parameter that does no more than add a constant to layer ``layer``; "" where there is none.

        A loss that ignores offsets over time gives it no gradient.
        """
        norm = self.norm_path if layer == self.n_layers else ""
        name = f"{norm or self.last_linear(layer - 1)}.bias"
        return name if name in dict(self.encoder.named_parameters()) else ""

    def last_linear(self, i: int) -> str:
        """Return the path of the module whose output is added, or put out, last in block ``i``."""
        return self.linear_targets(i)["fc2"]

    @abstractmethod
    def linear_targets(self, i: int) -> dict[str, str]:
        """Return the linear layers of block ``i``: q, k, v, out, fc1, fc2 -> path inside ``encoder``."""


def normalise_waves(waves: np.ndarray) -> np.ndarray:
    """Scale each row to mean 0 and variance 1, as the wav2vec2 feature extractor does (eps 1e-7).

    >>> normalise_waves(np.array([[1.0, 3.0]], dtype=np.float32)).round(3).tolist()
    [[-1.0, 1.0]]
    """
    mean = waves.mean(axis=1, keepdims=True)
    return (waves - mean) / np.sqrt(waves.var(axis=1, keepdims=True) + 1e-7)


def conv_frames(n_samples: int, kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int, int]:
    """Return (n_frames, receptive field, hop) of unpadded convolutions, in samples.

    >>> conv_frames(16000, (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    (49, 400, 320)
    """
    n, field_size, hop = n_samples, 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        n = (n - kernel) // stride + 1 if n >= kernel else 0
        field_size += (kernel - 1) * hop
        hop *= stride
    return n, field_size, hop
