"""Start, stop and resume the process that works a run: on this machine, or as a job of Slurm.

On this machine the worker is a process of its own, in its own session: it outlives the
page, the server and the terminal that launched it. A run keeps where it was launched
(`braindash.jobs.executors`), and is resumed and stopped there.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from braindash.config import ExecutorConfig
from braindash.errors import BraindashError, RunStateError
from braindash.files import disk_errors
from braindash.jobs import slurm
from braindash.jobs.executors import Placement, new_ticket, read_placement, write_placement
from braindash.jobs.processes import command as worker_command
from braindash.jobs.slurm_task import RunTask
from braindash.runs.liveness import identity, is_alive
from braindash.runs.run import Run
from braindash.runs.status import ACTIVE, RESUMABLE, State, Status

STOPPING = "Stopping: a checkpoint is written at the end of this step."


def launch(run: Run, detach: bool = True, executor: ExecutorConfig | None = None) -> None:
    """Start a new run's worker.

    Parameters
    ----------
    run : Run
        In the state *queued*, or one that can be resumed.
    detach : bool
        True: return at once. False: return when it has ended (on this machine, work it in this process).
    executor : ExecutorConfig, optional
        Where; where it was last launched if not given, and first on this machine.

    Raises
    ------
    RunStateError
        If the run has a worker already, or is done.
    BraindashError
        If Slurm is not there or refuses the job; the run is then *interrupted*.
    """
    _start(run, ("queued", *RESUMABLE), "launched", detach, executor)


def resume(run: Run, detach: bool = True, executor: ExecutorConfig | None = None) -> None:
    """Go on with a run that was stopped, interrupted or failed, from its last whole checkpoint.

    Parameters as of `launch`; without ``executor`` it goes on where it was launched.

    Raises
    ------
    RunStateError
        If the run is in another state.
    """
    _start(run, RESUMABLE, "resumed", detach, executor)


def launch_many(runs: Sequence[Run], executor: ExecutorConfig | None = None) -> None:
    """Launch, or resume, several runs: here in line, with Slurm as one array, ``parallel`` jobs at a time.

    Nothing is launched if one of the runs cannot be.

    Raises
    ------
    RunStateError, BraindashError
        As `launch`.
    """
    chosen = executor or ExecutorConfig()
    for run in runs:
        run.check_readable()
        refuse_second_launch(run, run.status)
        if run.status.state not in ("queued", *RESUMABLE):
            raise RunStateError(
                f"Run {run.id} is {run.status.state} and cannot be launched.", "Launch the others without it."
            )
    if chosen.executor == "local":
        from braindash.jobs.line import start_line

        start_line(runs, chosen)
        return
    with ExitStack() as locks:
        for run in sorted(runs, key=lambda r: r.id):  # in one order: two launchers cannot wait for one another
            locks.enter_context(one_launcher(run))
        for run in runs:
            write_queued(run, ("queued", *RESUMABLE), "launched")
        _submit(runs, chosen)


def _start(
    run: Run, allowed: tuple[State, ...], doing: str, detach: bool, executor: ExecutorConfig | None = None
) -> None:
    run.check_readable()  # a configuration that cannot be read is said here, not in a log
    chosen = executor or read_placement(run).executor
    with one_launcher(run):
        refuse_second_launch(run, run.status)
        write_queued(run, allowed, doing)
        if chosen.executor == "slurm":
            _submit([run], chosen)
        else:
            write_placement(run, Placement(executor=chosen))
            if detach or chosen.processes > 1:
                _spawn(run, chosen)
    if detach:
        return
    if chosen.executor == "slurm" or chosen.processes > 1:
        run.wait()
        return
    from braindash.jobs.worker import work

    work(run)


def refuse_second_launch(run: Run, status: Status) -> None:
    """Raise RunStateError if a process or a job has the run already."""
    if status.state == "queued" and is_alive(status):
        raise RunStateError(f"Run {run.id} has been launched already.", f"Follow it: braindash runs watch {run.id}")


def write_queued(run: Run, allowed: tuple[State, ...], doing: str) -> None:
    """Write *queued*; an earlier job of Slurm that may still be there is ended."""
    before = run.status
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
        job="",
        message="Starting.",
    )
    run.stop_path.unlink(missing_ok=True)
    if before.job and is_alive(before):
        slurm.cancel(before.job)


def _submit(runs: Sequence[Run], executor: ExecutorConfig) -> None:
    """Submit the jobs of runs that are *queued*, and write the jobs' numbers into them."""
    home = runs[0].home
    tasks = []
    for run in runs:
        run.update_status(message="Submitting to Slurm.", **identity())  # until Slurm has it, this process has
        mark = read_placement(run).mark
        placement = Placement(executor=executor, ticket=new_ticket(), mark=mark)
        write_placement(run, placement)
        tasks.append(RunTask(str(run.path.absolute()), placement.ticket))
    folder = runs[0].path / "slurm" if len(runs) == 1 else home.path / "slurm" / tasks[0].ticket
    name = f"braindash {runs[0].id}" if len(runs) == 1 else f"braindash {len(runs)} runs"
    try:
        jobs = slurm.submit(tasks, executor, folder.absolute(), name=name)
    except BraindashError as error:
        for run in runs:
            run.update_status(state="interrupted", pid=None, message=f"Not submitted. {error.what}")
        raise
    for run, job in zip(runs, jobs, strict=True):
        with suppress(RunStateError):  # it has started, and has written its own number
            run.change_state(("queued",), "submitted", job=job, pid=None, pid_start=None, message="")


@contextmanager
def one_launcher(run: Run) -> Iterator[None]:
    """Let one launcher at a time start a worker, until the status names the worker's process."""
    from filelock import FileLock

    with disk_errors(run.path), FileLock(run.path / ".launch.lock", timeout=30):
        yield


def _spawn(run: Run, executor: ExecutorConfig) -> None:
    try:
        with run.log_path.open("ab") as log:
            process = subprocess.Popen(
                worker_command(executor.processes, run.path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )
    except OSError as error:
        run.update_status(state="interrupted", message=f"The worker could not be started: {error}")
        raise BraindashError(f"The worker of run {run.id} could not be started ({error}).", "Try again.") from error
    run.update_status(**identity(process.pid))
    # collects the process when it ends, so that a long-lived launcher gathers no zombies
    threading.Thread(target=process.wait, name=f"reap {run.id}", daemon=True).start()


def environment() -> dict[str, str]:
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
        Also send SIGTERM, which ends stages that have no steps to stop between. A job of Slurm always gets it;
        with ``now`` it is cancelled, so that it is killed when it has not ended after the cluster's KillWait.

    Raises
    ------
    RunStateError
        If the run has no worker.
    """
    status = run.status
    if status.job:
        return _stop_job(run, status, now)
    if status.state == "queued" and not is_alive(status):
        return run.change_state(("queued",), "stopped", state="stopped", ended=time.time(), message="")
    status = run.change_state(ACTIVE, "stopped", state="stopping", message=STOPPING)
    run.stop_path.touch()
    if now:
        _terminate(run, status)
    return status


def _stop_job(run: Run, status: Status, now: bool) -> Status:
    if status.state == "queued":
        status = run.change_state(("queued",), "stopped", state="stopped", ended=time.time(), message="")
        slurm.cancel(status.job)
        return status
    status = run.change_state(ACTIVE, "stopped", state="stopping", message=STOPPING)
    run.stop_path.touch()
    slurm.cancel(status.job, signal="" if now else "TERM")
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
