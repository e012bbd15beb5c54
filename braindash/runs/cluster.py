"""What Slurm says of its jobs: asked with ``squeue``, at most every few seconds for all jobs together."""

from __future__ import annotations

import functools
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

FRESH_SECONDS = 3.0  # an answer serves this long
QUIET_SECONDS = 20.0  # a cluster that did not answer is left alone this long
ANSWER_SECONDS = 5.0  # that an answer may take
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
WORKING = frozenset({"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "SIGNALING", "STAGE_OUT", "STOPPED"})
GONE = "no longer known"


@dataclass(frozen=True)
class JobState:
    """Slurm's word for a job, such as PENDING, and its reason, such as Resources."""

    word: str
    reason: str = ""

    @property
    def waiting(self) -> bool:
        """Whether it has yet to start, for the first time or again."""
        return self.word in WAITING

    @property
    def active(self) -> bool:
        """Whether it waits or works; a job that is neither has ended and does not come back by itself."""
        return self.waiting or self.word in WORKING


class JobBook:
    """Remembers Slurm's answers for a moment; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, float] = {}  # number of a job or array -> when it was last asked for
        self._known: dict[str, JobState] = {}
        self._answered: set[str] = set()
        self._when = self._failed = float("-inf")
        self.problem = ""  # why Slurm could not be asked; "" when it could

    def ask(self, job: str) -> JobState | None:
        """Return what Slurm says of ``job`` ("12", or "12_3" in an array); None where Slurm cannot be asked."""
        number = job.partition("_")[0]
        with self._lock:
            now = time.monotonic()
            self._wanted = {n: t for n, t in self._wanted.items() if now - t < 60} | {number: now}
            if now - self._when > FRESH_SECONDS or number not in self._answered:
                if now - self._failed < QUIET_SECONDS:
                    return None
                self._refresh()
            if self.problem:
                return None
            return self._known.get(job, JobState(GONE))

    def forget(self) -> None:
        """Ask anew next time: something was just submitted or cancelled."""
        with self._lock:
            self._when = self._failed = float("-inf")

    def _refresh(self) -> None:
        numbers = sorted(self._wanted)
        found, self.problem = _squeue(numbers)
        if self.problem:
            self._failed = time.monotonic()
            log.warning("Slurm cannot be asked: %s", self.problem)
            return
        self._known, self._answered, self._when = found, set(numbers), time.monotonic()


@functools.cache
def job_book() -> JobBook:
    """Return the book that this process asks."""
    return JobBook()


def _squeue(numbers: Sequence[str]) -> tuple[dict[str, JobState], str]:
    """Return the state of every job and array task of ``numbers``, and what went wrong."""
    if shutil.which("squeue") is None:
        return {}, "squeue is not installed on this machine"
    command = ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", "-j", ",".join(numbers)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return {}, f"squeue gave no answer in {ANSWER_SECONDS:g} s"
    except OSError as error:
        return {}, f"squeue cannot be run ({error})"
    if done.returncode and "Invalid job id" not in done.stderr:  # said when it knows none of them
        return {}, last_line(done.stderr) or f"squeue ended with code {done.returncode}"
    found = {}
    for line in done.stdout.splitlines():
        job, word, reason = (*line.split("|", 2), "", "")[:3]
        found[job] = JobState(word, "" if reason == "None" else reason)
    return found, ""


def ending_of(job: str) -> str:
    """Return Slurm's word for how a job ended, such as NODE_FAIL; "" where nothing knows it any more."""
    state = job_book().ask(job)
    if state is not None and state.word != GONE:
        return state.word
    if shutil.which("sacct") is None:
        return ""
    command = ["sacct", "-n", "-X", "-P", "-o", "State", "-j", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.split("\n")[0].split(" ")[0] if done.returncode == 0 else ""


def waiting_line(job: str) -> str:
    """Return a sentence about a queued job: what it waits for, or that Slurm cannot be asked."""
    state = job_book().ask(job)
    if state is None:
        return f"Slurm job {job}; Slurm cannot be asked now ({job_book().problem})."
    if not state.waiting:
        return f"Slurm job {job} is {'ending' if state.word == 'COMPLETING' else 'starting'}."
    return f"Slurm job {job} waits{f' ({state.reason})' if state.reason else ''}."


def last_line(text: str) -> str:
    """Return the last line that says something, without the program's name before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
