"""The part of the speech model that tuning does not change, computed once.

With every dropout of the pretrained model off, the state that enters the first tuned
block is the same in every epoch. It is kept in memory where it is small, in
memory-mapped files under the workspace where it is not, and computed anew each time
where even the disk is too small (many overlapping windows).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from braindash.files import disk_errors
from braindash.tuning.checkpoints import RESUME_AFTER
from braindash.tuning.device import put

if TYPE_CHECKING:
    import torch

    from braindash.speech.base import SpeechModel, State

Where = Literal["memory", "disk", "nowhere"]
Span = tuple[int, int]  # samples of the story's audio
CHUNK_SECONDS = 128.0  # audio that goes through the frozen blocks at once


@dataclass
class _Kept:
    """A story's windows of one length: their prefix states, (n_windows, n_frames, width)."""

    position: dict[Span, int]
    states: Any  # torch tensor in memory, or a numpy memmap


class PrefixStates:
    """States that enter block ``first_block``, per story and window.

    Parameters
    ----------
    model : SpeechModel
    first_block : int
        First block that is tuned; front and blocks below it are frozen.
    spans : dict of story to list of (start, stop) samples
        Every window that will be asked for, each once.
    audio : callable
        ``audio(story) -> (n_samples,)`` float32 at 16 kHz.
    folder : Path
        Where memory-mapped states go.
    memory, disk : int
        Bytes that may be used of each.
    """

    def __init__(
        self,
        model: SpeechModel,
        first_block: int,
        spans: dict[str, list[Span]],
        audio: Callable[[str], np.ndarray],
        folder: Path,
        *,
        memory: int,
        disk: int,
    ) -> None:
        self.model = model
        self.first_block = first_block
        self.spans = spans
        self.audio = audio
        self.folder = folder
        self.n_bytes = prefix_bytes(model, spans)
        self.where: Where = "memory" if self.n_bytes <= memory else "disk" if self.n_bytes <= disk else "nowhere"
        self._kept: dict[tuple[str, int], _Kept] = {}
        self._extras: dict[int, dict[str, Any]] = {}

    @property
    def unfilled(self) -> int:
        """Bytes of memory that states not yet computed will take."""
        if self.where != "memory":
            return 0
        return self.n_bytes - sum(kept.states.nbytes for kept in self._kept.values())

    def fill(self, story: str) -> None:
        """Compute and keep one story's states, unless they are kept nowhere."""
        import torch

        lengths = sorted({b - a for a, b in self.spans[story]})
        for length in lengths:
            own = [s for s in self.spans[story] if s[1] - s[0] == length]
            if self.where == "nowhere" or (story, length) in self._kept:
                continue
            position = {span: k for k, span in enumerate(own)}
            shape = (len(own), self.model.n_frames(length), self.model.width)
            if self.where == "memory":
                states: Any = torch.empty(shape)
                for at, h in self._chunks(story, own):
                    states[at : at + len(h)] = h
            else:
                states = self._mapped(story, own, shape)
            self._kept[story, length] = _Kept(position, states)

    def get(self, story: str, spans: Sequence[Span]) -> State:
        """Return the states of windows of one length as a batch: ``h`` is (len(spans), n_frames, width)."""
        import torch

        from braindash.speech.base import State

        length = spans[0][1] - spans[0][0]
        if self.where == "nowhere":
            h = torch.cat([part for _, part in self._chunks(story, spans)])
        else:
            self.fill(story)
            kept = self._kept[story, length]
            at = [kept.position[s] for s in spans]
            if isinstance(kept.states, torch.Tensor):
                whole = at == list(range(len(kept.states)))
                h = kept.states if whole else kept.states[at]
            else:
                h = torch.from_numpy(np.array(kept.states[at]))
        return State(put(h, self.model.device), self._extras_of(length))

    def _extras_of(self, length: int) -> dict[str, Any]:
        if length not in self._extras:  # read back from the disk: the blocks have not run in this process
            self._run([np.zeros(length, dtype=np.float32)])
        return self._extras[length]

    def _run(self, waves: list[np.ndarray]) -> torch.Tensor:
        """Return the state that enters the first tuned block, and note what else the blocks need."""
        import torch

        # float32 also under autocast: it is computed once, and front ends leave torch on the way.
        with torch.no_grad(), torch.autocast(self.model.device.type, enabled=False):
            state = self.model.front(self.model.prepare(waves))
            for i in range(self.first_block):
                state = self.model.block(i, state)
        self._extras.setdefault(len(waves[0]), state.extras)
        return state.h.float()

    def _chunks(self, story: str, spans: Sequence[Span]) -> Any:
        audio = self.audio(story)
        length = spans[0][1] - spans[0][0]
        step = max(1, int(CHUNK_SECONDS * self.model.sample_rate / length))
        for at in range(0, len(spans), step):
            waves = [cut(audio, span) for span in spans[at : at + step]]
            h = self._run(waves)
            yield at, h if self.where == "nowhere" else h.cpu()

    def _mapped(self, story: str, spans: list[Span], shape: tuple[int, int, int]) -> np.ndarray:
        """Return the states as a read-only memory map, writing the file first where it is not whole."""
        key = json.dumps([self.model.identity, self.first_block, story, spans, shape])
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}.part")  # processes of one run may make the same file
            with disk_errors(self.folder, f"the frozen part of story {story!r}", RESUME_AFTER):
                self.folder.mkdir(parents=True, exist_ok=True)
                # Written as a stream: filling a sparse memory map on a full disk would kill the process.
                with temporary.open("wb") as f:
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(f, header)
                    for _, h in self._chunks(story, spans):
                        f.write(h.contiguous().numpy().tobytes())
                temporary.rename(path)
        return np.load(path, mmap_mode="r")

    def clear(self) -> None:
        """Remove the files of the cache."""
        self._kept.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def cut(audio: np.ndarray, span: Span) -> np.ndarray:
    """Return ``audio[start:stop]``, with silence where the span reaches past either end: (stop - start,)."""
    start, stop = span
    out = np.zeros(stop - start, dtype=np.float32)
    low, high = max(start, 0), min(stop, len(audio))
    if high > low:
        out[low - start : high - start] = audio[low:high]
    return out


def prefix_bytes(model: SpeechModel, spans: dict[str, list[Span]]) -> int:
    """Return the size of all states in bytes, float32."""
    frames = {n: model.n_frames(n) for n in {b - a for own in spans.values() for a, b in own}}
    return sum(4 * model.width * frames[b - a] for own in spans.values() for a, b in own)


def budgets(folder: Path) -> tuple[int, int]:
    """Return the bytes of memory and of disk that the cache may take: a quarter and a half of what is free."""
    import psutil

    existing = folder
    while not existing.exists():
        existing = existing.parent
    return psutil.virtual_memory().available // 4, shutil.disk_usage(existing).free // 2
