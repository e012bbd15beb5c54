"""One run worked by several processes of one machine: ``python -m braindash.jobs.processes N RUN_PATH``.

Process 0 is the worker (`braindash.jobs.worker`): it alone writes the run's status, metrics and
checkpoints, and evaluates. The others only take their share of every step. They find each other
through torch's environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT); a job that another
launcher spreads over machines needs no more than the same variables, ``braindash.jobs.worker`` in
process 0 and ``python -m braindash.jobs.processes member RUN_PATH`` in the others.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from braindash.errors import BraindashError

log = logging.getLogger("braindash.processes")

GRACE_SECONDS = 60.0  # that processes have to end by themselves after one failed, before they are ended


def command(n: int, run_path: Path) -> list[str]:
    """Return the command that works the run at ``run_path`` with ``n`` processes of this machine.

    With one process it is the worker's own. The command's exit code is the worst of its processes';
    SIGTERM asks all of them to stop after the step that they are at.
    """
    if n < 1:
        raise BraindashError(f"processes is {n}.", "Set processes to 1 or more.")
    if n == 1:
        return [sys.executable, "-m", "braindash.jobs.worker", str(run_path)]
    return [sys.executable, "-m", "braindash.jobs.processes", str(n), str(run_path)]


def launch(commands: Sequence[Sequence[str]], environment: Mapping[str, str], grace: float = GRACE_SECONDS) -> int:
    """Run one process a command, all of one group, and return the worst exit code (128 + n for signal n).

    When process 0 has ended, the others are not waited for longer than ``grace`` seconds. When one fails,
    the others have ``grace`` seconds to say so and end; then they get SIGTERM, and as much later SIGKILL.
    """
    from braindash.tuning.devices import open_store

    n = len(commands)
    store = open_store(n)
    shared = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // n)),
        **environment,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is in this process: no port to lose to another
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with _forwarded(processes):
            for rank, arguments in enumerate(commands):
                own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                processes.append(subprocess.Popen(arguments, env=own))
            return _watch(processes, grace)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _watch(processes: Sequence[subprocess.Popen[bytes]], grace: float) -> int:
    """Wait until all have ended; see `launch`."""
    since: float | None = None  # when the others should have begun to end
    sent: set[int] = set()
    counted = list(processes)  # those that ended by themselves: to be ended from here is no failure of the run
    while any(p.poll() is None for p in processes):
        time.sleep(0.05)
        if since is None and (processes[0].poll() is not None or any(p.poll() for p in processes)):
            since = time.monotonic()
        for number, after in ((signal.SIGTERM, grace), (signal.SIGKILL, 2 * grace)):
            if since is not None and number not in sent and time.monotonic() - since > after:
                counted = [p for p in counted if p.poll() is not None]
                sent.add(number)
                for rank, process in enumerate(processes):
                    if process.poll() is None:
                        log.warning("process %d is still there: sending it %s", rank, number.name)
                        process.send_signal(number)
    return max(code if code >= 0 else 128 - code for code in (p.returncode for p in counted))


@contextmanager
def _forwarded(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass SIGTERM and SIGINT on to every process, as SIGTERM."""

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    before = {s: signal.signal(s, forward) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Asked:
    """SIGTERM, kept as a wish to stop; a second one ends the process, but in a job of Slurm, which repeats itself."""

    def __init__(self) -> None:
        self.to_stop = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.to_stop and "SLURM_JOB_ID" not in os.environ:
            raise SystemExit(128 + number)
        self.to_stop = True


def member(run_path: Path, tune: Callable[..., Any] | None = None) -> None:
    """Take this process's share in the tuning of a run; process 0 says what is done and keeps the results."""
    from braindash.runs.run import Run
    from braindash.speech.loading import open_model
    from braindash.studies.library import open_study
    from braindash.tuning.devices import connect

    run = Run(run_path)
    asked = _Asked()
    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; process 0 decides what it means
    connect()  # process 0 may first wait for its turn on the device
    if tune is None:
        from braindash.tuning.engine import tune as engine

        tune = engine
    tune(
        open_study(run.config.study, run.home),
        open_model(run.config.model, run.home),
        run.config,
        run.path,
        progress=lambda row: None,
        should_stop=lambda: asked.to_stop,
        resume=any(run.checkpoints_dir.glob("step-*")),
    )


def main(arguments: list[str] | None = None) -> int:
    """Work a run with N processes, or be one of them; return the exit code as the worker does."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    first, path = arguments if len(arguments) == 2 else ("", "")
    if first == "member":
        try:
            member(Path(path).absolute())
        except BraindashError as error:
            log.error("%s", error)
            return 2
        return 0
    if not first.isdigit() or int(first) < 1:
        log.error("usage: python -m braindash.jobs.processes N RUN_PATH")
        return 2
    run_path = Path(path).absolute()
    others = [sys.executable, "-m", "braindash.jobs.processes", "member", str(run_path)]
    return launch([command(1, run_path), *[others] * (int(first) - 1)], os.environ)


if __name__ == "__main__":
    sys.exit(main())
