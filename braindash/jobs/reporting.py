"""What a worker says while it works: status, heartbeat, metrics, time left."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

from braindash.errors import BraindashError
from braindash.runs.liveness import HEARTBEAT_SECONDS, identity
from braindash.runs.run import Run

log = logging.getLogger(__name__)

RESERVE_BYTES = 64 * 1024  # held on the disk while a run is worked, for its last words when the disk is full
_COUNTS = ("step", "n_steps", "epoch", "n_epochs")


class Reporter:
    """Writes a run's progress; a thread keeps the heartbeat going while the worker computes.

    Use as a context manager. Steps come many times a second, so their counts are
    kept here and written with the next heartbeat; stages and states at once.
    """

    def __init__(self, run: Run, period: float = HEARTBEAT_SECONDS) -> None:
        self._run, self._period = run, period
        self._lock = threading.Lock()
        self._pending: dict[str, Any] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._steps: deque[tuple[float, int]] = deque(maxlen=21)
        self._stage = ""
        self._stage_began = time.monotonic()
        self._reserve = run.path / ".reserve"

    def __enter__(self) -> Reporter:
        self._run.update_status(heartbeat=time.time(), **identity())
        with contextlib.suppress(OSError):  # then the last words may be missing: the run says *interrupted*
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._reserve.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(self._period):
            try:
                self.flush()
            except (OSError, BraindashError) as error:  # a full disk must not end the work before its checkpoint
                log.warning("heartbeat not written: %s", error)

    def flush(self, **changes: Any) -> None:
        """Write what has gathered, with ``changes`` and a fresh heartbeat."""
        with self._lock:
            pending, self._pending = self._pending, {}
        self._run.update_status(**{**pending, **changes, "heartbeat": time.time()})

    def last_words(self, **changes: Any) -> None:
        """Like `flush`, but on a full disk make room first: what ended the run must be told."""
        try:
            self.flush(**changes)
        except (OSError, BraindashError) as error:
            log.warning("status not written: %s", error)
            self._reserve.unlink(missing_ok=True)
            self.flush(**changes)

    def stage(self, stage: str, message: str = "") -> None:
        """Begin a stage."""
        self._stage, self._stage_began = stage, time.monotonic()
        self._steps.clear()
        log.info("%s%s", stage, f": {message}" if message else "")
        self.flush(stage=stage, message=message, fraction=0.0, eta_s=None)

    def row(self, row: Mapping[str, Any]) -> None:
        """Take one row of the tuning engine: append it to the metrics, derive fraction and time left."""
        if row.get("resumed_from_step") is not None:
            self._run.keep_metrics(int(row["resumed_from_step"]), int(row["resumed_from_epoch"]))
        elif row.get("kind") == "epoch" and row.get("epoch") == 0:  # from the start: an earlier try left no checkpoint
            self._run.keep_metrics(steps=0, epochs_before=0)
        self._run.append_metrics({"time": time.time(), **row})
        changes: dict[str, Any] = {k: int(row[k]) for k in _COUNTS if row.get(k) is not None}
        if row.get("kind") == "epoch" and row.get("validation_r") is not None:
            changes |= self._validated(int(row["epoch"]), float(row["validation_r"]), bool(row.get("best")))
        if row.get("kind") == "log":
            changes["message"] = str(row.get("text", ""))
            log.info("%s", changes["message"])
        elif row.get("kind") == "step":
            if self._stage != "tuning":
                self.stage("tuning")
            changes |= {"message": "", **self._time_left(int(row["step"]), int(row["n_steps"]))}
        with self._lock:
            self._pending |= changes

    def _validated(self, epoch: int, r: float, best: bool) -> dict[str, Any]:
        """Return what the status says of an epoch's validation r: that before tuning, and that of the epoch kept."""
        if epoch == 0:
            return {"pretrained_r": r}
        return {"validation_r": r} if best or self._run.config.keep == "last" else {}

    def _time_left(self, step: int, n_steps: int) -> dict[str, Any]:
        self._steps.append((time.monotonic(), step))
        pairs = list(self._steps)
        rates = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in itertools.pairwise(pairs) if b[1] > a[1]]
        # the mean keeps the pauses for validation in the estimate, the median keeps one odd step out of it
        eta = (n_steps - step) * max(median(rates), sum(rates) / len(rates)) if rates else None
        return {"fraction": min(1.0, step / n_steps), "eta_s": eta}

    def fraction(self, fraction: float, message: str = "") -> None:
        """Say how much of the present stage is done, 0 to 1."""
        fraction = min(1.0, max(0.0, float(fraction)))
        spent = time.monotonic() - self._stage_began
        eta = spent * (1 - fraction) / fraction if fraction > 0.02 else None
        with self._lock:
            self._pending |= {"fraction": fraction, "eta_s": eta, "message": message}
