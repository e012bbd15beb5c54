"""Runs that wait in line on this machine: ``python -m braindash.jobs.line`` works them one after the other.

A process for each run that waits would hold memory and turn its hand to nothing; here one small
process waits for all of them. Its runs are *queued* and name it as theirs; when one's turn comes it
starts that run's worker, a process of its own, which outlives the line. When the line is killed, the
runs that waited are *interrupted*, and resuming them makes a new line.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from braindash.config import ExecutorConfig
from braindash.errors import BraindashError
from braindash.files import disk_errors
from braindash.runs.liveness import identity
from braindash.runs.run import Run
from braindash.runs.status import RESUMABLE, Status

log = logging.getLogger("braindash.line")

POLL_SECONDS = 0.5
BEAT_SECONDS = 20.0  # a machine that shares the home judges the runs by their heartbeat


def start_line(runs: Sequence[Run], executor: ExecutorConfig | None = None) -> None:
    """Put runs in line, in the order given, and return at once.

    Parameters
    ----------
    runs : sequence of Run
        New, or in a state that can be resumed.
    executor : ExecutorConfig, optional
        Its ``processes`` share every run's steps.

    Raises
    ------
    BraindashError
        Where a configuration cannot be read, or the line cannot be started; no run is in line then.
    RunStateError
        Where a run has a worker already, or is done; those before it are in line.
    """
    from braindash.jobs.launch import environment

    if not runs:
        return
    for run in runs:
        run.check_readable()
    chosen = executor or ExecutorConfig()
    folder = runs[0].home.path / "locks"
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "line.log").open("ab") as said:
                process = subprocess.Popen(
                    [sys.executable, "-m", "braindash.jobs.line", str(chosen.processes)],
                    stdin=subprocess.PIPE,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env=environment(),
                    start_new_session=True,
                )
    except OSError as error:
        raise BraindashError(f"The runs could not be started ({error}).", "Try again: braindash runs resume") from error
    threading.Thread(target=process.wait, name="reap line", daemon=True).start()
    who = identity(process.pid)
    assert process.stdin is not None
    with process.stdin as pipe:  # the line begins when the pipe is closed, also if this process is killed
        for run in runs:
            _claim(run, chosen, who)
            pipe.write(f"{run.path.absolute()}\n".encode())


def _claim(run: Run, executor: ExecutorConfig, who: dict[str, Any]) -> None:
    """Make a run wait for the process ``who``."""
    from braindash.jobs.executors import Placement, write_placement
    from braindash.jobs.launch import one_launcher, refuse_second_launch, write_queued

    with one_launcher(run):
        refuse_second_launch(run, run.status)
        write_queued(run, ("queued", *RESUMABLE), "launched")
        write_placement(run, Placement(executor=executor))
        run.update_status(message="Waits in line.", heartbeat=time.time(), **who)


class Line:
    """Works runs one after the other, and lets those that wait be stopped.

    Parameters
    ----------
    runs : sequence of Run
        Queued in this process's name.
    processes : int
    """

    def __init__(self, runs: Sequence[Run], processes: int = 1) -> None:
        self._waiting = deque(runs)
        self._processes = processes
        self._asked = False
        self._beaten = time.monotonic()

    def work(self) -> None:
        """Work all of them to their ends; return when none is left, or when asked to end."""
        while self._waiting and self._tend():
            run = self._waiting.popleft()
            if run.stop_path.exists():
                self._stop(run)
            elif self._is_mine(run) and not self._work_one(run):
                return

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note that somebody sent SIGTERM: one that waits is to stop, or the line is to end."""
        self._asked = True

    def _work_one(self, run: Run) -> bool:
        """Start a run's worker and wait for its end; False if asked to end meanwhile (the worker goes on)."""
        from braindash.jobs.processes import command

        log.info("%s begins", run.id)
        with run.log_path.open("ab") as said:
            worker = subprocess.Popen(
                command(self._processes, run.path),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while worker.poll() is None:
            if not self._tend():
                return False
            time.sleep(POLL_SECONDS)
        log.info("%s: its worker ended with %d", run.id, worker.returncode)
        if self._is_mine(run):  # the worker ended before it could say anything
            run.update_status(
                state="interrupted",
                ended=time.time(),
                message=f"Its worker ended at once (code {worker.returncode}); the log says why.",
            )
        return True

    def _tend(self) -> bool:
        """Look after those that wait: stop those that are to stop, beat for the others. False if asked to end."""
        asked, self._asked = self._asked, False
        stopped = [run for run in self._waiting if run.stop_path.exists()]
        for run in stopped:
            self._waiting.remove(run)
            self._stop(run)
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beaten = time.monotonic()
            for run in self._waiting:
                if self._is_mine(run):
                    run.update_status(state="queued", heartbeat=time.time())
        return not asked or bool(stopped)  # `runs stop --now` on one that waits is no reason to end

    @staticmethod
    def _stop(run: Run) -> None:
        """Write that a run that waited was stopped."""
        try:
            run.change_state(
                ("queued", "stopping"),
                "stopped",
                state="stopped",
                ended=time.time(),
                message="Stopped before it began.",
            )
            run.stop_path.unlink(missing_ok=True)
        except BraindashError as error:  # deleted, or launched anew by someone
            log.warning("%s", error)

    @staticmethod
    def _is_mine(run: Run) -> bool:
        """Whether the run still waits for this process; one that was stopped, deleted or relaunched does not."""
        try:
            status: Status = run.read_status()
        except BraindashError:
            return False
        # another machine may have taken a late heartbeat for the end
        return status.state in ("queued", "interrupted") and status.pid == os.getpid()


def main(arguments: list[str] | None = None) -> int:
    """Work the runs whose paths come on standard input, once it is closed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    if len(arguments) != 1 or not arguments[0].isdigit():
        log.error("usage: python -m braindash.jobs.line PROCESSES < PATHS")
        return 2
    runs = [Run(Path(line)) for line in sys.stdin.read().splitlines() if line]
    line = Line(runs, int(arguments[0]))
    signal.signal(signal.SIGTERM, line.on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line.work()
    return 0


if __name__ == "__main__":
    sys.exit(main())
