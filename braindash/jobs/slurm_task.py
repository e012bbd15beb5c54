"""What a Slurm job of a run does: work the run, and go back into the line with a checkpoint when it must leave."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.errors import RunStateError
from braindash.jobs.executors import read_placement, write_placement
from braindash.jobs.slurm import notice, requeue, this_job
from braindash.runs.cluster import job_book
from braindash.runs.liveness import identity
from braindash.runs.run import Run
from braindash.runs.status import RunError, Status

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

log = logging.getLogger("braindash.slurm")

HANDED_BACK = 75  # exit code of a job that has left with a checkpoint and is to be started again
SIGNAL_SLACK = 90.0  # Slurm may send the signal up to a minute before it was asked for


@dataclass(frozen=True)
class RunTask:
    """The job of one run. Only its path and its ticket are pickled; everything else is in the run's folder."""

    path: str
    ticket: str

    def checkpoint(self) -> DelayedSubmission:
        """Return what is submitted again when the job is interrupted before the worker has started: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> None:
        began = time.time()
        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # Slurm sends it before each SIGTERM; submitit logs it
        run, job = Run(Path(self.path)), this_job()
        _into_log(run)
        placement = read_placement(run)
        if placement.ticket != self.ticket:
            log.warning("Slurm job %s is of an earlier launch of run %s: nothing to do", job, run.id)
            return
        if not claim(run, job):
            return

        def handed_back() -> bool:
            if run.read_status().state != "queued":
                return False
            limit = 60.0 * placement.executor.time - notice(placement.executor) - SIGNAL_SLACK
            hand_back(run, job, at_limit=time.time() - began >= limit)
            return True

        code = _work(run, placement.executor.processes, lambda: os._exit(HANDED_BACK if handed_back() else 0))
        if handed_back():
            raise SystemExit(HANDED_BACK)
        if code:
            raise SystemExit(code)


def _into_log(run: Run) -> None:
    """Let everything that this process and its children print go to the run's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    with run.log_path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def claim(run: Run, job: str) -> bool:
    """Write this job into the run's status; False where the run is not to be worked, for instance stopped meanwhile."""
    try:
        run.change_state(
            ("queued", "running", "interrupted"),
            "worked by its Slurm job",
            state="queued",
            message="Starting.",
            job=job,
            ended=None,
            error=None,
            eta_s=None,
            heartbeat=time.time(),
            **identity(),
        )
    except RunStateError as error:
        if run.read_status().state == "stopping":  # asked while the job was out of the way
            run.stop_path.unlink(missing_ok=True)
            run.update_status(state="stopped", ended=time.time(), message="Stopped as asked.")
        log.info("nothing to do: %s", error)
        return False
    return True


def _work(run: Run, processes: int, leave: Callable[[], None]) -> int:
    if processes == 1:
        from braindash.jobs.worker import main

        return main([str(run.path)], leave)
    from braindash.jobs.processes import command

    # Slurm sends its signals to every process of the step: what this one would pass on has been heard
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # inherited: only the worker listens, and tells the others
    return subprocess.Popen(command(processes, run.path)).wait()


def hand_back(run: Run, job: str, *, at_limit: bool) -> None:
    """Make sure that Slurm starts this job again; say why not where it will not."""
    job_book().forget()
    state = job_book().ask(job)
    if state is not None and state.word not in ("RUNNING", "SIGNALING"):
        return  # Slurm is ending it: requeued, or cancelled by somebody
    if at_limit and _fruitless(run):
        minutes = read_placement(run).executor.time
        run.update_status(
            state="failed",
            ended=time.time(),
            message="",
            error=RunError(
                what=f"Slurm's time limit of {minutes} minutes ended two jobs of the run at the same point.",
                remedy="Launch it again with more time (--time).",
                kind="user",
            ),
        )
        return
    said = requeue(job)
    if said:
        run.update_status(
            state="interrupted", ended=time.time(), message=f"Slurm did not take the job back: {said} Resume goes on."
        )


def _fruitless(run: Run) -> bool:
    """Whether the run is no further than when a time limit last ended its job; remember how far it is."""
    placement, mark = read_placement(run), _mark(run.read_status())
    write_placement(run, placement.model_copy(update={"mark": mark}))
    return placement.mark == mark


def _mark(status: Status) -> str:
    parts: list[Any] = [status.step, status.tuned, round(status.fraction or 0, 3) if status.tuned else 0]
    return " ".join(map(str, parts))
