"""Is the process that a run names still there?

A process id alone is not an answer: ids are used again, and a restart of the
machine starts them afresh. A process is named by its id, its start time and
the kernel's boot id; where it ran on another machine, by its heartbeat. A job of
Slurm lives as long as Slurm says so; where Slurm cannot be asked, its heartbeat is asked.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from braindash.runs.cluster import job_book
from braindash.runs.status import ACTIVE, State, Status

HEARTBEAT_SECONDS = 2.0
OTHER_HOST_SECONDS = 60.0  # a shared file system may show another machine's heartbeat late
JOB_BEAT_SECONDS = 8.0  # a job whose heartbeat is older is asked for at Slurm
START_SECONDS = 12.0  # a queued run has this long to get a process


def boot_id() -> str:
    """Return the kernel's id of this boot; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_mark(pid: int) -> float | None:
    """Return when process ``pid`` started, in a unit that only equality may be asked of.

    None if there is no such process or it is a zombie: dead, but not yet collected.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        fields = stat.read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else float(fields[19])  # ticks since boot: no clock change moves it
    except (OSError, IndexError, ValueError):
        if Path("/proc/self/stat").exists():
            return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def identity(pid: int | None = None) -> dict[str, Any]:
    """Return the status fields that name a process (default: this one)."""
    pid = pid or os.getpid()
    return {"pid": pid, "pid_start": start_mark(pid), "boot_id": boot_id(), "host": socket.gethostname()}


def is_alive(status: Status, now: float | None = None) -> bool:
    """Return whether the process named in ``status`` still runs, or Slurm still has its job."""
    if not status.job:
        return _process_lives(status, OTHER_HOST_SECONDS, now)
    if _process_lives(status, JOB_BEAT_SECONDS, now):
        return True
    state = job_book().ask(status.job)
    if state is not None:
        return state.active
    # Slurm cannot be asked: nobody has cancelled what waits, and the heartbeat tells of the rest
    return status.state == "queued" or _process_lives(status, OTHER_HOST_SECONDS, now)


def _process_lives(status: Status, silence: float, now: float | None) -> bool:
    if not status.pid or status.pid < 0:
        return False
    if status.host and status.host != socket.gethostname():
        beat = status.heartbeat or status.queued
        return (time.time() if now is None else now) - beat < silence
    if status.boot_id != boot_id():
        return False
    started = start_mark(status.pid)
    return started is not None and started == status.pid_start


def derived_state(status: Status, now: float | None = None) -> State:
    """Return the state that is true now.

    A run whose process is gone is *interrupted*; one whose job Slurm has taken back to start it again is *queued*.
    """
    if status.job and status.state in ACTIVE:
        return _state_of_job(status, now)
    if status.state in ("running", "stopping") and not is_alive(status, now):
        return "interrupted"
    if status.state == "queued" and not is_alive(status, now):
        waited = (time.time() if now is None else now) - status.queued
        if status.pid or waited > START_SECONDS:
            return "interrupted"
    return status.state


def _state_of_job(status: Status, now: float | None) -> State:
    if not is_alive(status, now):
        return "interrupted"
    if status.state == "running" and not _process_lives(status, JOB_BEAT_SECONDS, now):
        state = job_book().ask(status.job)
        if state is not None and state.waiting:
            return "queued"
    return status.state
