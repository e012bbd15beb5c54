"""How much memory a step takes, and what to do where there is too little of it.

What a step needs is counted on one window of its largest piece and multiplied, so that
finding out never runs out of memory itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from braindash.tuning.network import Network, Step

GB = 1e9
SHARE = 0.8  # of the free memory that a step may fill before `auto` computes activations again
MOVING = 1.15  # gradients in flight on the way back, over what is kept for it; measured on base-sized blocks


@dataclass(frozen=True)
class StepMemory:
    """Bytes that one step holds between its way forth and back, on the device that trains.

    Attributes
    ----------
    kept : int
        Everything kept.
    recomputed : int
        The blocks' inputs and one block at a time (gradient checkpointing).
    """

    kept: int
    recomputed: int

    def needed(self, checkpointing: bool) -> int:
        return self.recomputed if checkpointing else self.kept


@torch.enable_grad()
def step_memory(network: Network, step: Step) -> StepMemory:
    """Count what ``step`` will hold, from one window of every length in it and the size of its responses.

    Call it under the autocast that trains. torch's random state is left as it was.
    """
    # prediction, error and what a correlation keeps besides: a few arrays of the responses' size
    head = sum(4 * part.responses.nbytes for part in step.parts)
    n_blocks = max(1, network.layer - network.first_block)
    kept = recomputed = 0
    devices = [step.states[0].h.device] if step.states and step.states[0].h.is_cuda else []
    was, network.checkpointing = network.checkpointing, False
    network.set_training(True)
    try:
        with torch.random.fork_rng(devices=devices):
            for state in step.states:
                n = len(state.h)
                one = replace(state, h=state.h[:1])
                with counted(network) as saved:
                    frames = network.frames([one])
                blocks = n * (saved["bytes"] + frames.nbytes)
                kept += blocks
                recomputed += n * n_blocks * one.h.nbytes + blocks // n_blocks
                del frames
    finally:
        network.checkpointing = was
        network.set_training(False)
    return StepMemory(int(MOVING * (kept + head)), int(MOVING * (recomputed + head)))


@contextmanager
def counted(network: Network) -> Iterator[dict[str, int]]:
    """Count the bytes that the backward pass keeps of what runs inside: ``{"bytes": n}``, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    seen: dict[int, torch.Tensor] = {}  # held, so that no address is given out twice
    total = {"bytes": 0}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights and storage.data_ptr() not in seen:
                seen[storage.data_ptr()] = tensor.detach()
                total["bytes"] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


@dataclass
class Peak:
    """This process's memory while something ran, in bytes: at the start, and at most."""

    start: int
    most: int

    @property
    def rise(self) -> int:
        return self.most - self.start


@contextmanager
def peak_memory(period: float = 0.005) -> Iterator[Peak]:
    """Watch how much memory the process holds; what it had freed before is given back first, where glibc can."""
    import psutil

    process, over = psutil.Process(), threading.Event()
    give_back()
    now = int(process.memory_info().rss)
    peak = Peak(now, now)

    def watch() -> None:
        while not over.wait(period):
            peak.most = max(peak.most, int(process.memory_info().rss))

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.most = max(peak.most, int(process.memory_info().rss))
        over.set()
        thread.join()


def give_back() -> None:
    """Hand memory that was freed back to the system, where the C library is one that keeps it."""
    import ctypes
    import gc
    import sys

    gc.collect()
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)


def free_memory(device: torch.device) -> int:
    """Return the bytes that tensors can still take on ``device``."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    return int(psutil.virtual_memory().available)


def choose_checkpointing(wanted: str, need: StepMemory, free: int) -> tuple[bool, str]:
    """Return whether activations are computed again on the way back, and the sentence that says why.

    Parameters
    ----------
    wanted : {"auto", "on", "off"}
        ``TuneConfig.gradient_checkpointing``.
    need : StepMemory
    free : int
        Bytes that a step may take.
    """
    on = wanted == "on" or (wanted == "auto" and need.kept > SHARE * free)
    of = f"a step's activations need {need.needed(on) / GB:.2g} GB of {max(free, 0) / GB:.2g} GB free"
    if wanted != "auto":
        return on, f"Gradient checkpointing is {wanted}, as set; {of}."
    if on:
        return on, f"Gradient checkpointing is on: without it {need.kept / GB:.2g} GB would be needed; {of}."
    return on, f"Gradient checkpointing is off: {of}."


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that a tensor did not fit: on a card, or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def release(device: torch.device) -> None:
    """Give cached blocks back after a step that did not fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
