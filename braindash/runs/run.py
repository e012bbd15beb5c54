"""A run: one folder that says what was asked, what happened and what came of it.

::

    config.yaml      the validated TuneConfig, enough to repeat the run
    provenance.json  code, library versions, device, hashes of data and weights, seed
    status.json      what the run does now (fields: `braindash.runs.status.Status`)
    metrics.jsonl    one JSON object a row: steps, epochs, remarks
    log.txt          what the worker printed
    checkpoints/     model/     results.zarr     records.json

Every file is written whole or not at all. Nothing but the folder is needed to read
a run: there is no index that could disagree with it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from braindash.config import Home, TuneConfig, validate
from braindash.errors import BraindashError, RunStateError
from braindash.files import atomic_write, parse_yaml, read_file, read_json
from braindash.runs import files
from braindash.runs.cluster import ending_of, waiting_line
from braindash.runs.liveness import derived_state
from braindash.runs.shapes import is_count, is_number
from braindash.runs.status import STATUS_VERSION, State, Status

TWIN = ".config.json"  # config.yaml in a form that is fast to read


class Run:
    """One run's folder. Reading never raises for a run that is merely unfinished.

    Parameters
    ----------
    path : path-like
        The run's folder; its name is the run's id.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        """The label that the user gave; "" if none. Show it as text, never as markup."""
        return self.config.name

    @property
    def home(self) -> Home:
        """The home that the run's folder lies in."""
        return Home(self.path.parent.parent)

    @property
    def model_dir(self) -> Path:
        return self.path / "model"

    @property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    @property
    def results_path(self) -> Path:
        return self.path / "results.zarr"

    @property
    def log_path(self) -> Path:
        return self.path / "log.txt"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def stop_path(self) -> Path:
        """A file whose presence asks the worker to stop at the next step."""
        return self.path / "stop"

    @property
    def config(self) -> TuneConfig:
        """The run's configuration. Raises BraindashError if config.yaml is missing, damaged or newer."""
        path = self.path / "config.yaml"
        try:
            stat = path.stat()
        except OSError:
            raise _unreadable(self.id, "it has no config.yaml") from None
        return _read_config(path, stat.st_mtime_ns, stat.st_size)

    def check_readable(self) -> None:
        """Raise BraindashError if the configuration or the status cannot be read."""
        _ = self.config
        self.read_status()

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the run came from; {} where it was not recorded."""
        return _read_json(self.path / "provenance.json") or {}

    def add_provenance(self, **facts: Any) -> None:
        """Add what only the worker could find out: device, hashes of data and weights."""
        with self.locked():
            atomic_write(self.path / "provenance.json", _pretty({**self.provenance, **facts}))

    @property
    def status(self) -> Status:
        """What the run does now.

        A run that says *running* while its process is gone is reported as *interrupted*,
        and that is written back where the folder may be written.

        Raises
        ------
        BraindashError
            If status.json is missing, damaged or of a newer format.
        """
        status = self.read_status()
        state = derived_state(status)
        if state == "interrupted" != status.state:
            return self._write_interrupted(status)
        if state == "queued" and status.job:
            # Slurm's word, told but not written: it may be another one in a moment
            return _changed(status, {"state": state, "message": waiting_line(status.job)})
        return status

    def read_status(self) -> Status:
        """Return status.json as it is written, without asking whether the process lives."""
        try:
            data = read_json(self.path / "status.json")
        except FileNotFoundError:
            raise _unreadable(self.id, "it has no status.json") from None
        except (OSError, ValueError) as error:
            raise _unreadable(self.id, f"its status.json is damaged ({error})") from None
        if not isinstance(data, dict) or "state" not in data:
            raise _unreadable(self.id, "its status.json is damaged (no state in it)")
        version = data.get("braindash")
        if isinstance(version, int) and version > STATUS_VERSION:
            raise BraindashError(
                f"Run {self.id} was written by a newer braindash (format {version}, known: {STATUS_VERSION}).",
                "Upgrade braindash to read it.",
            )
        try:
            return Status.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            raise _unreadable(
                self.id, f"its status.json is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']})"
            ) from None

    def _write_interrupted(self, seen: Status) -> Status:
        try:
            with self.locked():
                now = self.read_status()
                if now.state == "interrupted" or derived_state(now) != "interrupted":
                    return now  # it ended properly, or was resumed, meanwhile
                return self._write_status(_interrupted(now))
        except (OSError, BraindashError):  # a folder that may only be read
            return _interrupted(seen)

    def _write_status(self, status: Status) -> Status:
        atomic_write(self.path / "status.json", files.to_json(status.model_dump(mode="json")) + "\n")
        return status

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's file lock: launcher, worker, pages and command line write the same status."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path / ".lock", timeout=10):
                yield
        except Timeout:
            raise RunStateError(
                f"Run {self.id} is held by another process for more than 10 s.", "Try again in a moment."
            ) from None

    def update_status(self, **changes: Any) -> Status:
        """Change some fields of status.json, atomically, and return all of them."""
        with self.locked():
            return self._write_status(_changed(self.read_status(), changes))

    def change_state(self, allowed: tuple[State, ...], doing: str, **changes: Any) -> Status:
        """Like `update_status`, but refuse (RunStateError) unless the run is in one of the ``allowed`` states."""
        with self.locked():
            status = self.read_status()
            state = derived_state(status)
            if state not in allowed:
                raise RunStateError(
                    f"Run {self.id} is {state} and cannot be {doing}.",
                    f"Only a run that is {' or '.join(allowed)} can be.",
                )
            return self._write_status(_changed(status, changes))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Every row of metrics.jsonl so far."""
        return self.metrics_since(0)[0]

    def metrics_since(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Return the rows written since ``offset`` and the offset to ask with next; start with 0."""
        rows, _, offset = self.sound_metrics_since(offset)
        return rows, offset

    def sound_metrics_since(self, offset: int) -> tuple[list[dict[str, Any]], int, int]:
        """Return what `metrics_since` does, with the number of damaged lines, which are left out, between the two.

        Raises
        ------
        BraindashError
            Where metrics.jsonl is there but cannot be read.
        """
        try:
            return files.read_rows(self.metrics_path, offset, is_sound)
        except OSError as error:
            raise BraindashError(
                f"metrics.jsonl of run {self.id} cannot be read ({error.strerror}).",
                "Restore the file or delete it: only the curves are drawn from it.",
            ) from None

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        files.append_line(self.metrics_path, row)

    def keep_metrics(self, steps: int, epochs_before: int) -> None:
        """Drop the rows that a resumed run writes again.

        Kept are steps up to ``steps``, epochs before ``epochs_before``, and every remark.
        """

        def kept(row: dict[str, Any]) -> bool:
            if row.get("kind") == "step":
                return int(row.get("step") or 0) <= steps
            if row.get("kind") == "epoch":
                return int(row.get("epoch") or 0) < epochs_before
            return True

        rows = self.metrics
        if not all(map(kept, rows)):
            atomic_write(self.metrics_path, "".join(files.to_json(r) + "\n" for r in rows if kept(r)))

    def log_tail(self, n: int = 200) -> str:
        """Return the last ``n`` lines of the worker's log. Raises BraindashError where it cannot be read."""
        try:
            return files.tail(self.log_path, n)
        except OSError as error:
            raise BraindashError(
                f"log.txt of run {self.id} cannot be read ({error.strerror}).", "Restore the file or delete it."
            ) from None

    def records(self) -> dict[str, Any] | None:
        """Return the long-format records of the evaluation, or None where there are none."""
        from braindash.runs.results import read_records

        return read_records(self.path)

    def wait(self, timeout: float | None = None, poll: float = 0.5) -> Status:
        """Wait until the run has ended, and return its status.

        Raises
        ------
        TimeoutError
            If it has not ended after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.status).active:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"run {self.id} is still {status.state} after {timeout:g} s")
            time.sleep(poll)
        return status

    def write_new(self, config: TuneConfig, provenance: Mapping[str, Any]) -> None:
        """Fill an empty folder; only `RunStore.create` calls this, before the folder has its name."""
        now = time.time()
        data = config.model_dump(mode="json")
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        atomic_write(self.path / "config.yaml", text)
        twin = {"of": _digest(text.encode()), "settings": data}
        (self.path / TWIN).write_text(json.dumps(twin, ensure_ascii=False), encoding="utf-8")
        atomic_write(self.path / "provenance.json", _pretty(provenance))
        self._write_status(Status(n_epochs=config.optimiser.epochs, created=now, queued=now))


def is_sound(row: Mapping[str, Any]) -> bool:
    """Return whether a row of metrics can be drawn: of steps and epochs, the numbers must be numbers."""
    kind = row.get("kind")
    if kind not in ("step", "epoch"):
        return True
    scores = ("loss",) if kind == "step" else ("validation_r", "head_validation_r")
    return is_count(row.get(kind)) and all(row.get(s) is None or is_number(row[s]) for s in scores)


def _changed(status: Status, changes: Mapping[str, Any]) -> Status:
    """Return ``status`` with some fields changed, validated: a misspelt field is a defect, not a shrug."""
    unknown = set(changes) - set(Status.model_fields)
    if unknown:
        raise TypeError(f"status has no field {', '.join(sorted(unknown))}")
    return Status.model_validate({**status.model_dump(), **changes})


def _interrupted(status: Status) -> Status:
    gone = "The worker's process is gone: it was killed, or the machine restarted."
    if status.job:
        ending = ending_of(status.job)
        gone = f"Slurm job {status.job} has ended before the run did{f' ({ending})' if ending else ''}."
    return _changed(
        status,
        {
            "state": "interrupted",
            "ended": status.heartbeat or status.queued,
            "eta_s": None,
            "message": f"{gone} Resume goes on from the last checkpoint.",
        },
    )


def _pretty(data: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(files.to_json(data)), indent=1, ensure_ascii=False) + "\n"


def _unreadable(run_id: str, why: str) -> BraindashError:
    return BraindashError(
        f"Run {run_id} cannot be read: {why}.", f"Delete it with `braindash runs delete {run_id}`, or restore the file."
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        data = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path.parent.name, f"its {path.name} is damaged ({error})") from None
    if not isinstance(data, dict):
        raise _unreadable(path.parent.name, f"its {path.name} is damaged (not an object)")
    return data


def _parse_config(path: Path) -> Any:
    """Return what config.yaml holds: from its twin in JSON, which is read ten times as fast, if that is of this text.

    The twin may be deleted; a configuration that was edited is read from the YAML.
    """
    raw = read_file(path)
    try:
        twin = read_json(path.with_name(TWIN))
        if twin["of"] == _digest(raw):
            return twin["settings"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
        pass
    return parse_yaml(raw.decode("utf-8"))


def _digest(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


@functools.lru_cache(maxsize=4096)
def _read_config(path: Path, mtime_ns: int, size: int) -> TuneConfig:
    """Read config.yaml; the file's time and size are in the cache's key, so a change is seen."""
    try:
        data = _parse_config(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(path.parent.name, f"its config.yaml is damaged ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise _unreadable(path.parent.name, "its config.yaml is damaged (not a mapping)")
    version = data.get("braindash")
    if isinstance(version, int) and version > 1:
        raise BraindashError(
            f"Run {path.parent.name} was written by a newer braindash (configuration version {version}, known: 1).",
            "Upgrade braindash to read it.",
        )
    return validate(TuneConfig, data, f"config.yaml of run {path.parent.name}")
