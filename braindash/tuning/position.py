"""Where a run stands, and everything that a later step depends on: taken into a checkpoint, put back from one.

What is not here follows from the seed and the position: the order of the stories, the learning rate.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from braindash.errors import BraindashError
from braindash.tuning.checkpoints import Checkpoint, remove_old, write_checkpoint
from braindash.tuning.network import Network

LONG_STEP = 5.0  # seconds after which a step that is under way is not waited for when a stop is asked for


@dataclass
class Position:
    """Where a run stands; the JSON half of a checkpoint.

    Attributes
    ----------
    step, epoch, done : int
        Steps taken in all; the epoch (from 1) that is running; its steps taken.
    losses : list of float
        Losses of this epoch's steps.
    best_epoch, best_r, best_checkpoint : int, float or None, str or None
        Of the epochs trained so far; 0, None, None before the first is validated.
    epochs : list of dict
        The epoch rows reported so far.
    last_row : dict or None
        The row of the last step.
    alpha : float or None
        Penalty that the head was first solved with, which a refit uses again.
    halved : int
        How often steps were halved for want of memory before this epoch.
    cuts : list of int
        Steps of this epoch that were done each time its remaining ones were halved.
    """

    step: int = 0
    epoch: int = 1
    done: int = 0
    losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_r: float | None = None
    best_checkpoint: str | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    last_row: dict[str, Any] | None = None
    alpha: float | None = None
    halved: int = 0
    cuts: list[int] = field(default_factory=list)


def checkpoint_name(at: Position) -> str:
    """Return a name that sorts by progress; the epoch tells apart the moments before and after a validation.

    >>> checkpoint_name(Position(step=14, epoch=2))
    'step-0000014-0002'
    """
    return f"step-{at.step:07d}-{at.epoch:04d}"


class Keeper:
    """Keeps the checkpoints of one session.

    A stop that is asked for while a step is under way is heard when that step ends. Where
    steps are long, and the process may be killed before, the position before the step is
    written meanwhile, by a thread: the step is then all that is lost.

    Parameters
    ----------
    network : Network
    optimiser : torch optimiser
    at : Position
    folder : Path
    identity : dict
        What a checkpoint must agree with to be resumed from.
    keep : int
        Checkpoints kept besides the best.
    saved : str
        Name of the checkpoint that holds the position already, if one does.
    """

    def __init__(
        self,
        network: Network,
        optimiser: Any,
        at: Position,
        folder: Path,
        identity: dict[str, Any],
        keep: int,
        saved: str = "",
    ) -> None:
        self._network, self._optimiser, self._at = network, optimiser, at
        self._folder, self._identity, self._keep, self._saved = folder, identity, keep, saved
        self.writes = True  # False: another process of the same run writes
        self._lock = threading.RLock()
        self._whole = True  # False while a change is under way, and for good after one that failed
        self._random = random_states(network.head.mean.device)
        self._changed = time.monotonic()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold off the thread while weights, optimiser or position change; they agree again when the block ends.

        After a block that failed they may not agree, and nothing is written any more.
        """
        with self._lock:
            self._whole = False
            yield
            self._random = random_states(self._network.head.mean.device)
            self._changed = time.monotonic()
            self._whole = True

    @property
    def whole(self) -> bool:
        """Whether weights, optimiser and position agree, so that training can go on from them."""
        return self._whole

    def save(self, again: bool = False) -> None:
        """Write the checkpoint of the position, unless it is there, and remove what is no longer needed.

        With ``again`` one of that name is replaced.

        The random states are those at the end of the last change: of a step given up half-way nothing is kept.
        """
        with self._lock:
            name = checkpoint_name(self._at)
            if (name == self._saved and not again) or not self._whole or not self.writes:
                return
            tensors, numbers = self._random
            state = {**asdict(self._at), "identity": self._identity, "random": numbers}
            everything = {**trained_tensors(self._network), **optimiser_tensors(self._optimiser), **tensors}
            write_checkpoint(self._folder, name, everything, state)
            self._saved = name
            remove_old(self._folder, self._keep)

    @contextmanager
    def watching(self, should_stop: Callable[[], bool], log: Callable[[str], None]) -> Iterator[None]:
        """Write the position once a stop is asked for and nothing has changed for `LONG_STEP` seconds."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(min(1.0, LONG_STEP)):
                if time.monotonic() - self._changed > LONG_STEP and should_stop():
                    try:
                        self.save()
                        log(f"Step {self._at.step + 1} takes long; a checkpoint of the one before is written.")
                    except (BraindashError, OSError) as error:
                        log(f"No checkpoint could be written while step {self._at.step + 1} runs: {error}")
                    return

        thread = threading.Thread(target=watch, name="keeper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def restore(checkpoint: Checkpoint, network: Network, optimiser: Any) -> Position:
    """Put a checkpoint's weights, optimiser and random states back, and return its position."""
    tensors = checkpoint.tensors
    load_trained(network, tensors)
    whole = optimiser.state_dict()
    whole["state"] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            whole["state"].setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(whole)
    set_random_states(tensors, checkpoint.state["random"], network.head.mean.device)
    return position_of(checkpoint)


def position_of(checkpoint: Checkpoint) -> Position:
    """Return the position that a checkpoint holds."""
    return Position(**{f.name: checkpoint.state[f.name] for f in fields(Position)})


def trained_tensors(network: Network) -> dict[str, torch.Tensor]:
    """Return what tuning learnt, with the head's fixed statistics."""
    tensors = {f"trained.{name}": p.detach() for name, p in network.trained()}
    tensors |= {f"fixed.{name}": b for name, b in network.head.named_buffers()}
    return tensors


@torch.no_grad()
def load_trained(network: Network, tensors: dict[str, torch.Tensor]) -> None:
    """Put `trained_tensors` back."""
    for name, p in network.trained():
        p.copy_(tensors[f"trained.{name}"])
    for name, b in network.head.named_buffers():
        b.copy_(tensors[f"fixed.{name}"])


def optimiser_tensors(optimiser: Any) -> dict[str, torch.Tensor]:
    """Return the optimiser's moments and counts by ``optimiser.<parameter>.<name>``."""
    states = optimiser.state_dict()["state"]
    return {f"optimiser.{index}.{key}": value for index, values in states.items() for key, value in values.items()}


def random_states(device: torch.device) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the states of all generators: what goes into tensors, and the rest, fit for JSON."""
    kind, keys, *rest = np.random.get_state()
    version, numbers, spare = random.getstate()
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "random.python": torch.tensor(numbers, dtype=torch.int64),
    }
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    return tensors, {"numpy": [kind, *rest], "python": [version, spare]}


def set_random_states(tensors: dict[str, torch.Tensor], numbers: dict[str, Any], device: torch.device) -> None:
    """Put `random_states` back."""
    torch.set_rng_state(tensors["random.torch"])
    kind, *rest = numbers["numpy"]
    np.random.set_state((kind, tensors["random.numpy"].numpy().astype(np.uint32), *rest))
    version, spare = numbers["python"]
    random.setstate((version, tuple(tensors["random.python"].tolist()), spare))
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed every generator for the block; afterwards they are as they were."""
    before = random_states(device)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        set_random_states(*before, device)
