"""Start, stop and resume the process that works a run.

The worker is a process of its own, in its own session: it outlives the page, the
server and the terminal that launched it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from braindash.errors import BraindashError, RunStateError
from braindash.files import disk_errors
from braindash.runs.liveness import identity, is_alive
from braindash.runs.run import Run
from braindash.runs.status import ACTIVE, RESUMABLE, State, Status


def launch(run: Run, detach: bool = True) -> None:
    """Start a new run's worker.

    Parameters
    ----------
    run : Run
        In the state *queued*, or one that can be resumed.
    detach : bool
        True: a process of its own, and return at once. False: work it here, and return when it has ended.

    Raises
    ------
    RunStateError
        If the run has a worker already, or is done.
    """
    _start(run, ("queued", *RESUMABLE), "launched", detach)


def resume(run: Run, detach: bool = True) -> None:
    """Go on with a run that was stopped, interrupted or failed, from its last whole checkpoint.

    Raises
    ------
    RunStateError
        If the run is in another state.
    """
    _start(run, RESUMABLE, "resumed", detach)


def _start(run: Run, allowed: tuple[State, ...], doing: str, detach: bool) -> None:
    run.check_readable()  # a configuration that cannot be read is said here, not in a log
    with _one_launcher(run):
        status = run.status
        if status.state == "queued" and is_alive(status):
            raise RunStateError(f"Run {run.id} has been launched already.", f"Follow it: braindash runs watch {run.id}")
        run.change_state(
            allowed,
            doing,
            state="queued",
            queued=time.time(),
            ended=None,
            heartbeat=None,
            error=None,
            eta_s=None,
            pid=None,
            pid_start=None,
            message="Starting.",
        )
        run.stop_path.unlink(missing_ok=True)
        if detach:
            _spawn(run)
            return
    from braindash.jobs.worker import work

    work(run)


@contextmanager
def _one_launcher(run: Run) -> Iterator[None]:
    """Let one launcher at a time start a worker, until the status names the worker's process."""
    from filelock import FileLock

    with disk_errors(run.path), FileLock(run.path / ".launch.lock", timeout=30):
        yield


def _spawn(run: Run) -> None:
    try:
        with run.log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "braindash.jobs.worker", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
    except OSError as error:
        run.update_status(state="interrupted", message=f"The worker could not be started: {error}")
        raise BraindashError(f"The worker of run {run.id} could not be started ({error}).", "Try again.") from error
    run.update_status(**identity(process.pid))
    # collects the process when it ends, so that a long-lived launcher gathers no zombies
    threading.Thread(target=process.wait, name=f"reap {run.id}", daemon=True).start()


def _environment() -> dict[str, str]:
    """Return the worker's environment: it must find the braindash that launched it, installed or not."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def stop(run: Run, now: bool = False) -> Status:
    """Ask a run's worker to write a checkpoint and stop; returns at once.

    Parameters
    ----------
    run : Run
    now : bool
        Also send SIGTERM, which ends stages that have no steps to stop between.

    Raises
    ------
    RunStateError
        If the run has no worker.
    """
    status = run.status
    if status.state == "queued" and not is_alive(status):
        return run.change_state(("queued",), "stopped", state="stopped", ended=time.time(), message="")
    status = run.change_state(
        ACTIVE, "stopped", state="stopping", message="Stopping: a checkpoint is written at the end of this step."
    )
    run.stop_path.touch()
    if now:
        _terminate(run, status)
    return status


def _terminate(run: Run, status: Status) -> None:
    if status.host not in ("", socket.gethostname()):
        raise BraindashError(
            f"Run {run.id} is worked on another machine ({status.host}).",
            "It has been asked to stop; `--now` works on that machine only.",
        )
    if status.pid and is_alive(status):
        try:
            os.kill(status.pid, signal.SIGTERM)
        except ProcessLookupError:  # it has just ended
            return
        except PermissionError:
            raise BraindashError(
                f"The worker of run {run.id} (process {status.pid}) belongs to another user.",
                "It has been asked to stop; only its owner can make it stop now.",
            ) from None
