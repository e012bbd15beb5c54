"""One job at a time on a device: a line to wait in, and a lock that the kernel releases.

The lock is a file lock held by the worker's process, so it is free the moment the
process ends, however it ends. The line is a folder of tickets, first come, first
served; a ticket whose process is gone does not count.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from braindash.config import Home
from braindash.files import atomic_write, disk_errors
from braindash.runs.files import to_json
from braindash.runs.liveness import identity, is_alive
from braindash.runs.status import Status

POLL_SECONDS = 0.5


class DeviceQueue:
    """The line for one device of this machine, shared by all runs of a home.

    Parameters
    ----------
    home : Home
    device : str
        "cpu", "cuda:0", …
        In a job of Slurm the line is that job's own: Slurm has shared out the devices.
    """

    def __init__(self, home: Home, device: str) -> None:
        # in a job of Slurm, the devices are the job's own, and their numbers start anew in each
        job = f"-slurm-{number}" if (number := os.environ.get("SLURM_JOB_ID")) else ""
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{socket.gethostname()}-{device}{job}")
        self.device = device
        self.folder = home.path / "locks"
        self.lock_path = self.folder / f"{name}.lock"
        self.line = self.folder / f"{name}.line"

    @contextmanager
    def turn(
        self, run_id: str, *, waiting: Callable[[str], None], pause: Callable[[float], None] = time.sleep
    ) -> Iterator[None]:
        """Wait for the device, hold it for the block.

        Parameters
        ----------
        run_id : str
        waiting : callable
            Told, in a sentence, what is waited for, whenever that changes.
        pause : callable
            Called between looks with seconds; raises to give up waiting.
        """
        from filelock import FileLock, Timeout

        with disk_errors(self.folder):
            self.line.mkdir(parents=True, exist_ok=True)
        ticket = self.line / f"{time.time_ns():020d}.json"
        atomic_write(ticket, to_json({"run": run_id, **identity()}))
        lock = FileLock(self.lock_path)
        said = ""
        try:
            while True:
                ahead = self._ahead(ticket)
                if not ahead:
                    try:
                        lock.acquire(blocking=False)
                        break
                    except Timeout:  # held by a process without a ticket: one that is just leaving
                        ahead = ["another job"]
                text = f"Waits for {self.device}: {ahead[0]} has it"
                text += f", {len(ahead) - 1} more before this run." if len(ahead) > 1 else "."
                if text != said:
                    said = text
                    waiting(text)
                pause(POLL_SECONDS)
            yield
        finally:
            ticket.unlink(missing_ok=True)
            lock.release()

    def _ahead(self, mine: Path) -> list[str]:
        """Return the runs whose tickets are older than ``mine`` and whose processes live; clear dead tickets."""
        runs = []
        for ticket in sorted(self.line.glob("*.json")):
            if ticket.name >= mine.name:
                break
            try:
                data = json.loads(ticket.read_text(encoding="utf-8"))
                holder = Status.model_validate({**data, "state": "queued"})
            except (OSError, ValueError):  # just taken away by its owner
                continue
            if is_alive(holder):
                runs.append(str(data.get("run", "another job")))
            else:
                ticket.unlink(missing_ok=True)
        return runs
