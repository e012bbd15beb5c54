"""The process that works one run: ``python -m braindash.jobs.worker RUN_PATH``.

Prepares, tunes, evaluates; says what it does in status.json and metrics.jsonl; stops at
the next step when asked (a file named ``stop``, SIGTERM), with a checkpoint written. In a
job of Slurm, SIGTERM and SIGUSR2 without that file mean that the cluster wants its nodes
back: the run is then *queued* again.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from braindash.errors import BraindashError, RunStateError
from braindash.files import FULL
from braindash.jobs.queue import DeviceQueue
from braindash.jobs.reporting import Reporter
from braindash.runs.run import Run
from braindash.runs.status import RunError, Status

log = logging.getLogger("braindash.worker")
_ANALYSES = {"probe": "probes", "rsa": "RSA"}

LEAVE_SECONDS = 20.0  # after SIGTERM, whatever is under way is left: schedulers kill after 30 s or so


class Stopped(BaseException):
    """The run was asked to stop, and everything worth keeping is written.

    Raised out of a signal's handler wherever the work is, so it must not be taken for a failure there.
    """


class Worker:
    """Works one run in this process.

    Parameters
    ----------
    run : Run
    tune, evaluate : callable, optional
        Stand-ins for `braindash.tuning.tune` and `braindash.runs.whole.evaluate_whole`, for tests.
    leave : callable, optional
        Ends the process where what is under way, after SIGTERM, does not end by itself in `LEAVE_SECONDS`.
    """

    def __init__(
        self,
        run: Run,
        tune: Callable[..., Any] | None = None,
        evaluate: Callable[..., Any] | None = None,
        *,
        leave: Callable[[], None] | None = None,
    ) -> None:
        self.run, self._end = run, leave
        self._tune, self._evaluate = tune, evaluate
        self._asked = threading.Event()
        self._patient = False  # True where the engine itself polls for a stop between steps
        self._over = False  # True when only the last words are left to write
        self._leaving: threading.Timer | None = None
        self._in_job = bool(run.read_status().job) and "SLURM_JOB_ID" in os.environ
        self._taken_back = False  # True when Slurm asked, not the user

    def work(self) -> Status:
        """Work the run to its end, whatever that is, and return the status that was written."""
        with self._alone(), self._signals(), Reporter(self.run) as report:
            try:
                self._work(report)
                ending: dict[str, Any] = {"state": "done", "fraction": 1.0, "message": ""}
            except Stopped:
                ending = self._stopped()
            except BraindashError as error:
                log.error("%s", error)
                ending = _failed(error.what, error.remedy, "user")
            except Exception as error:
                log.exception("The worker failed")
                ending = explain(error)
            self._over = True
            report.last_words(**{"eta_s": None, "ended": time.time(), **ending})
            if self._leaving is not None:
                self._leaving.cancel()
        self.run.stop_path.unlink(missing_ok=True)
        log.info("ended: %s", ending["state"])
        self._complete_set()
        return self.run.read_status()

    def _complete_set(self) -> None:
        """Evaluate the real run of this run's matched set again where it lacks a control that has ended."""
        if self._asked.is_set():  # by a signal: the machine wants its process back
            return
        from braindash.jobs.matched import claim_evaluation

        real = claim_evaluation(self.run)
        if real is not None:
            Worker(real, self._tune, self._evaluate).work()

    def _stopped(self) -> dict[str, Any]:
        if self._taken_back and not self.run.stop_path.exists():
            return {"state": "queued", "message": "Slurm took the job back, with a checkpoint written.", "ended": None}
        return {"state": "stopped", "message": "Stopped as asked. Resume goes on from the last checkpoint."}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the run for this process: two workers on one run would ruin each other's files."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.run.path / ".worker.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RunStateError(f"Run {self.run.id} has a worker already.", "Wait for it, or stop it.") from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR2] if self._in_job else [])]
        before = {s: signal.signal(s, self._on_signal) for s in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again = self._asked.is_set()
        self._asked.set()
        if self._end is not None and self._leaving is None:
            self._leaving = threading.Timer(LEAVE_SECONDS, self._leave)
            self._leaving.daemon = True
            self._leaving.start()
        if self._in_job:
            self._taken_back = True
            if again:  # Slurm repeats itself; a worker that takes too long it kills by itself
                return
        if not self._over and (again or not self._patient):
            raise Stopped

    def _leave(self) -> None:
        """End the process in the middle of whatever does not end by itself.

        Nothing is lost but that: the engine has written where it stood before a long step, and every file
        is whole or not there.
        """
        assert self._end is not None
        try:
            ending = self._stopped()
            self.run.update_status(**{"eta_s": None, "ended": time.time(), **ending})
            log.warning("left in the middle of a step, %.0f s after SIGTERM", LEAVE_SECONDS)
        except (OSError, BraindashError):
            log.exception("the last status could not be written")
        self._end()

    def should_stop(self) -> bool:
        """Whether the run was asked to stop, by signal or by file."""
        return self._asked.is_set() or self.run.stop_path.exists()

    def _check_stop(self) -> None:
        if self.should_stop():
            raise Stopped

    def _pause(self, seconds: float) -> None:
        self._check_stop()
        time.sleep(seconds)

    def _work(self, report: Reporter) -> None:
        from braindash.tuning.device import choose_device

        config = self.run.config
        chosen = choose_device(config.device)
        device = f"{chosen.type}:{chosen.index or 0}" if chosen.type == "cuda" else chosen.type
        queue = DeviceQueue(self.run.home, device)
        with queue.turn(self.run.id, waiting=lambda text: report.flush(message=text), pause=self._pause):
            self._check_stop()
            try:
                self.run.change_state(("queued",), "begun", state="running", started=time.time(), device=device)
            except RunStateError:  # asked to stop between the check and here
                raise Stopped from None
            if device == "cpu":
                from braindash.tuning.fast import keep_freed_memory

                keep_freed_memory()  # this process computes and ends
            if not self.run.read_status().tuned:
                self._tuning(report, device)
            if config.evaluate:
                self._evaluating(report)

    def _tuning(self, report: Reporter, device: str) -> None:
        report.stage("preparing", "Opening the study and the model.")
        from braindash.runs.leaks import refuse_leaks
        from braindash.runs.provenance import data_fingerprint
        from braindash.speech.loading import open_model
        from braindash.studies.library import open_study

        run, config = self.run, self.run.config
        study = open_study(config.study, run.home)
        refuse_leaks(study, [config.model], run.home)
        model = open_model(config.model, run.home)
        self._check_stop()
        run.add_provenance(
            device=device,
            weights={"id": model.id, "hash": model.weights_hash, "source": model.source, "licence": model.licence},
            data=data_fingerprint(study, config.subjects),
            split={"tune": study.split.tune, "validation": study.split.validation, "test": study.split.test},
        )
        self._check_stop()
        resume = any(run.checkpoints_dir.glob("step-*"))
        report.stage("features", "Computing what the frozen layers give, and the head to start from.")
        self._patient = True
        try:
            result = self._engine()(
                study,
                model,
                config,
                run.path,
                progress=report.row,
                should_stop=self.should_stop,
                resume=resume,
            )
        finally:
            self._patient = False
        if result.stopped:
            raise Stopped
        report.flush(tuned=True, fraction=1.0)

    def _evaluating(self, report: Reporter) -> None:
        self._check_stop()
        words = ", ".join(("Encoding", *(_ANALYSES[part] for part in self.run.config.analyses)))
        report.stage("evaluating", f"Every layer of both models: {words}.")

        def progress(fraction: float, message: str = "") -> None:
            self._check_stop()
            report.fraction(fraction, message)

        self._evaluation()(self.run, parts=("encode", *self.run.config.analyses), progress=progress)

    def _engine(self) -> Callable[..., Any]:
        if self._tune is not None:
            return self._tune
        from braindash.tuning.engine import tune

        return tune

    def _evaluation(self) -> Callable[..., Any]:
        if self._evaluate is not None:
            return self._evaluate
        from braindash.runs.whole import evaluate_whole

        return evaluate_whole


def _failed(what: str, remedy: str, kind: str) -> dict[str, Any]:
    return {"state": "failed", "message": "", "error": RunError(what=what, remedy=remedy, kind=kind)}  # type: ignore[arg-type]


def explain(error: BaseException) -> dict[str, Any]:
    """Return the status of a failure that is not a BraindashError: one line, and what to do about the known ones."""
    line = " ".join(str(error).split())[:300]
    if isinstance(error, OSError) and error.errno in FULL:
        return _failed("The disk is full.", "Free some space (braindash cache prune), then resume the run.", "user")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _failed(
            f"There was not enough memory ({line or 'no details'}).",
            "Set block_trs to fewer TRs a step, or tune on fewer targets (rois, min_ceiling), and launch a new run.",
            "user",
        )
    return _failed(
        f"{type(error).__name__}: {line}" if line else type(error).__name__,
        "This is a defect of braindash; the run's log.txt has the details. Resume tries again.",
        "defect",
    )


def work(run: Run) -> Status:
    """Work a run in this process, to its end."""
    return Worker(run).work()


def main(arguments: list[str] | None = None, leave: Callable[[], None] = lambda: os._exit(0)) -> int:
    """Work the run at the path given, in a process of its own.

    Returns
    -------
    int
        The exit code: 0 done or stopped, 2 the user's to mend, 1 failed.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    if len(arguments) != 1:
        log.error("usage: python -m braindash.jobs.worker RUN_PATH")
        return 2
    run = Run(Path(arguments[0]).absolute())
    log.info("worker %d of run %s", os.getpid(), run.id)
    try:
        status = Worker(run, leave=leave).work()
    except BraindashError as error:
        log.error("%s", error)
        return 2
    if status.state == "failed":
        return 2 if status.error and status.error.kind == "user" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
