"""Several processes, one a device, that share one fine-tune.

Every process calls `braindash.tuning.tune` with the same arguments under torch's environment
variables (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT). A step's stories are divided over them
and the gradients are added up, so the result is that of one process but for rounding. Process 0
writes, reports, validates and decides; the others learn of it.

No process enters an exchange before all have come to it (`Team.agree`). One that fails says
so in the store they share, and one that is gone is noticed, so none waits for ever.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from braindash.errors import BraindashError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

PATIENCE = timedelta(days=7)  # a process may wait this long for the others: process 0 may be in a queue
LOOK_SECONDS = 1.0  # between looks whether the others still live
BUCKET = 2**24  # numbers that are added up at once
AGAIN = "Resume the run: it goes on from the last checkpoint."


class ElsewhereError(BraindashError):
    """Another process of the run met a mistake that the user can mend."""


class ElsewhereDefectError(Exception):
    """Another process of the run failed in a way that it should not; its log has the details."""


class Team:
    """The processes that share a fine-tune; one alone where there are no others.

    Attributes
    ----------
    rank, size : int
    main : bool
        Whether this is process 0.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Any = None) -> None:
        self.rank, self.size = rank, size
        self.main = rank == 0
        self._store = store
        self._meetings = 0
        if size > 1:
            store.set(f"process/{rank}", json.dumps([socket.gethostname(), os.getpid(), _started(os.getpid())]))

    def agree(self, flag: bool = False) -> bool:
        """Wait for all processes; return whether any of them says ``flag``.

        Raises
        ------
        ElsewhereError, ElsewhereDefectError
            If another process failed.
        BraindashError
            If another process is gone.
        """
        if self.size == 1:
            return flag
        self._meetings += 1
        name = f"meeting/{self._meetings}"
        with self._contact():
            if flag:
                self._store.add(f"{name}/yes", 1)
            self._store.add(f"{name}/here", 1)
            began = looked = time.monotonic()
            while self._store.add(f"{name}/here", 0) < self.size:
                now = time.monotonic()
                self._heed_errors()
                if now - looked > LOOK_SECONDS:
                    looked = now
                    self._check_alive()
                time.sleep(min(0.2, max(0.0005, (now - began) / 50)))
            answer: bool = self._store.add(f"{name}/yes", 0) > 0
            if self.main and self._meetings > 1:  # all have left the meeting before this one
                for key in ("here", "yes"):
                    self._store.delete_key(f"meeting/{self._meetings - 1}/{key}")
        return answer

    def from_main(self, make: Callable[[], T]) -> T:
        """Return what ``make()`` returns in process 0, in every process; the others do not call it."""
        if self.size == 1:
            return make()
        import torch.distributed as dist

        box = [make() if self.main else None]
        self.agree()
        with self._contact():
            dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Return every process's ``value``, in order, in process 0; an empty list in the others."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        self.agree()
        out: list[Any] = [None] * self.size
        with self._contact():
            dist.gather_object(value, out if self.main else None, dst=0)
        return out if self.main else []

    def share(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite ``tensors`` with those of process 0."""
        if self.size == 1:
            return
        import torch.distributed as dist

        self.agree()
        with self._contact():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def add_up(self, parameters: Sequence[torch.nn.Parameter], value: float) -> float:
        """Add the gradients of all processes up, in place, and return the sum of every process's ``value``.

        A parameter without a gradient in any process is left without.
        """
        if self.size == 1:
            return value
        import torch
        import torch.distributed as dist

        self.agree()
        device = parameters[0].device
        with self._contact(), torch.no_grad():
            total = torch.tensor([value], dtype=torch.float64, device=device)
            dist.all_reduce(total)
            held = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=device)
            dist.all_reduce(held)
            wanted = [p for p, n in zip(parameters, held.tolist(), strict=True) if n]
            for bucket in _buckets(wanted):
                grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
                flat = torch.cat([g.reshape(-1).float() for g in grads])
                dist.all_reduce(flat)
                for p, g, part in zip(bucket, grads, flat.split([g.numel() for g in grads]), strict=True):
                    p.grad = part.reshape(g.shape).to(g.dtype)
        return float(total)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell the others of an error in here, and leave together where there was none."""
        if self.size == 1:
            yield
            return
        try:
            yield
            self.agree()
        except (ElsewhereError, ElsewhereDefectError):
            raise
        except BaseException as error:
            self._tell(error)
            raise

    def _tell(self, error: BaseException) -> None:
        own = isinstance(error, BraindashError)
        said = {
            "rank": self.rank,
            "mistake": own,
            "what": error.what if isinstance(error, BraindashError) else f"{type(error).__name__}: {error}",
            "remedy": error.remedy if isinstance(error, BraindashError) else AGAIN,
        }
        try:
            self._store.set("error", json.dumps(said))
        except RuntimeError:  # the store is gone: so is process 0, and the others notice by themselves
            return

    def _heed_errors(self) -> None:
        if not self._store.check(["error"]):
            return
        said = json.loads(self._store.get("error"))
        what = f"Process {said['rank']} of {self.size} failed: {said['what']}"
        raise ElsewhereError(what, said["remedy"]) if said["mistake"] else ElsewhereDefectError(what)

    def _check_alive(self) -> None:
        for rank in range(self.size):
            if rank == self.rank or not self._store.check([f"process/{rank}"]):
                continue
            host, pid, started = json.loads(self._store.get(f"process/{rank}"))
            if host == socket.gethostname() and _started(pid) != started:
                self._heed_errors()
                raise BraindashError(f"Process {rank} of {self.size} (pid {pid}) ended without a word.", AGAIN)

    @contextmanager
    def _contact(self) -> Iterator[None]:
        """Turn a lost connection (torch: RuntimeError) into what the other process said, or a BraindashError."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            lost = BraindashError(
                f"Process {self.rank} of {self.size} lost contact with the others: {str(error).splitlines()[0]}", AGAIN
            )
            try:
                self._heed_errors()
            except RuntimeError:
                raise lost from error
            raise lost from error


def _started(pid: int) -> float | None:
    """Return when a process began; None if it is not there or a zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _buckets(parameters: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Yield the parameters in turn, about ``BUCKET`` numbers at a time."""
    bucket: list[torch.nn.Parameter] = []
    n = 0
    for p in parameters:
        bucket.append(p)
        n += p.numel()
        if n >= BUCKET:
            yield bucket
            bucket, n = [], 0
    if bucket:
        yield bucket


def in_group() -> bool:
    """Return whether torch's environment says that this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_size() -> int:
    """Return how many processes of the team this machine holds: they share its memory and its disk."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1"))) if in_group() else 1


def join() -> Team:
    """Return the team of this process, waiting for the others where the environment says there are some.

    The process group lasts as long as the process: a second fine-tune in the same processes uses it again.

    Raises
    ------
    BraindashError
        If a variable is missing, or the others cannot be reached.
    """
    if not in_group():
        return Team()
    import torch.distributed as dist

    connect()
    store = dist.distributed_c10d._get_default_store()
    rank, size = dist.get_rank(), dist.get_world_size()
    nth = store.add(f"braindash/{rank}", 1)  # a name of its own for every fine-tune of these processes
    return Team(rank, size, dist.PrefixStore(f"braindash/{nth}", store))


def open_store(n: int) -> Any:
    """Return the store through which ``n`` processes of this machine find one another; it has a free ``port``."""
    from torch.distributed import TCPStore

    return TCPStore("127.0.0.1", 0, n, is_master=True, wait_for_workers=False)


def connect() -> None:
    """Wait for the other processes, if there are any; raises as `join`, which does so too and makes a team."""
    if not in_group():
        return
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        missing = [k for k in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(k)]
        if missing:
            raise BraindashError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not set.",
                "Start the processes with `python -m braindash.jobs.processes`, torchrun or srun, or unset WORLD_SIZE.",
            )
        os.environ.setdefault("LOCAL_RANK", os.environ.get("SLURM_LOCALID", os.environ["RANK"]))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        except RuntimeError as error:
            raise BraindashError(
                f"The other processes could not be reached: {str(error).splitlines()[0]}",
                "Check MASTER_ADDR and MASTER_PORT, and that all processes were started.",
            ) from error


def own_device(name: str) -> str:
    """Return the device of this process for a ``TuneConfig.device``: of several processes each has its own GPU.

    Raises
    ------
    BraindashError
        If several processes are to use one and the same GPU.
    """
    import torch

    if not in_group() or name == "cpu" or not torch.cuda.is_available():
        return name
    if name.startswith("cuda:"):
        raise BraindashError(
            f"device is {name}, but {os.environ['WORLD_SIZE']} processes need a GPU each.", "Set device to auto."
        )
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}" if name != "mps" else name
