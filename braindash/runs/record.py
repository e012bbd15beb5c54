"""All runs of a home: make, find, list and delete their folders.

There is no index: the table is read from the folders, so it cannot disagree with them.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, RunStateError, closest
from braindash.files import disk_errors, sync_folder
from braindash.runs.liveness import is_alive
from braindash.runs.run import Run
from braindash.runs.status import Status

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")
DECKS = "decks"  # in the home: how a run's slides were arranged
MARKS = "marks"  # in the home: the star, the tags and the note of a run
_SUFFIX = "abcdefghjkmnpqrstuvwxyz23456789"  # no characters that are read as one another
_LEFTOVER_SECONDS = 3600.0


@dataclass(frozen=True)
class RunRow:
    """One line of the table of runs. ``problem`` says why a folder could not be read; "" if it could."""

    id: str
    state: str  # a State, or "unreadable"
    problem: str = ""
    name: str = ""
    study: str = ""
    model: str = ""
    recipe: str = ""
    loss: str = ""
    control: str = ""
    subjects: tuple[str, ...] | None = None
    stage: str | None = None
    step: int | None = None
    n_steps: int | None = None
    epoch: int | None = None
    n_epochs: int | None = None
    fraction: float | None = None
    eta_s: float | None = None
    message: str = ""
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    has_results: bool = False
    matching_key: str = ""
    group: str = ""  # the runs that it was launched with
    seed: int | None = None
    validation_r: float | None = None  # of the best epoch so far
    pretrained_r: float | None = None  # the same, before tuning

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class RunStore:
    """The runs of one home.

    >>> store = RunStore(Home.resolve("cache"))
    """

    def __init__(self, home: Home) -> None:
        self.home = home

    def create(self, config: TuneConfig, *, provenance: Mapping[str, Any] | None = None) -> Run:
        """Make a run's folder, whole from the moment it has its name, and return the run (state *queued*)."""
        folder = self.home.runs
        config = self._pinned(config)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                path = folder / new_run_id(config)
                temporary = folder / f".creating-{path.name}"
                temporary.mkdir()
                try:
                    Run(temporary).write_new(config, provenance or {})
                    if not path.exists():
                        temporary.rename(path)
                        break
                finally:
                    if temporary.exists():
                        shutil.rmtree(temporary, ignore_errors=True)
            sync_folder(folder)
        return Run(path)

    def _pinned(self, config: TuneConfig) -> TuneConfig:
        """Make a model's relative folder absolute: the run is resumed from other working directories."""
        from braindash.speech.bundled import NAMES

        ref = config.model
        if ref in NAMES or ("/" not in ref and ((self.home.runs / ref).is_dir() or (self.home.models / ref).is_dir())):
            return config
        path = Path(ref).expanduser()
        return config.model_copy(update={"model": str(path.resolve())}) if path.is_dir() else config

    def get(self, run_id: str) -> Run:
        """Return a run by id. Raises BraindashError, with the closest ids, if there is none."""
        path = self._path(run_id)
        if path is None or not path.is_dir():
            raise BraindashError(f"There is no run {run_id!r} in {self.home.runs}.", closest(run_id, self.ids()))
        return Run(path)

    def _path(self, run_id: str) -> Path | None:
        """Return where ``run_id`` would be; None if it is not an id, so that no id can lead out of the folder."""
        return self.home.runs / run_id if RUN_ID.fullmatch(run_id) else None

    def ids(self) -> Sequence[str]:
        """Return the ids of all runs, newest first."""
        try:
            with os.scandir(self.home.runs) as entries:
                found = [e.name for e in entries if RUN_ID.fullmatch(e.name) and _is_folder(e)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BraindashError(
                f"The runs in {self.home.runs} cannot be listed ({error.strerror}).", "It must be a folder to be read."
            ) from None
        return sorted(found, reverse=True)

    def list(self) -> list[RunRow]:
        """Return one row a run, newest first; a folder that cannot be read is a row that says why."""
        return [self.row(run_id) for run_id in self.ids()]

    def row(self, run_id: str) -> RunRow:
        """Return one run's row of the table; never raises for what is wrong in the folder."""
        run = Run(self.home.runs / run_id)
        try:
            status = run.status
            config = run.config
            has_results = (run.path / "records.json").exists()
        except BraindashError as error:
            return RunRow(run_id, "unreadable", problem=str(error))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            return RunRow(run_id, "unreadable", problem=f"Run {run_id} cannot be read: {error}.")
        return RunRow(
            run_id,
            status.state,
            name=config.name,
            study=config.study,
            model=config.model,
            recipe=config.recipe,
            loss=config.loss,
            control=config.control,
            subjects=config.subjects,
            stage=status.stage,
            step=status.step,
            n_steps=status.n_steps,
            epoch=status.epoch,
            n_epochs=status.n_epochs,
            fraction=status.fraction,
            eta_s=status.eta_s,
            message=status.error.what if status.error else status.message,
            created=status.created,
            started=status.started,
            ended=status.ended,
            has_results=has_results,
            matching_key=config.matching_key(),
            group=config.group,
            seed=config.seed,
            validation_r=status.validation_r,
            pretrained_r=status.pretrained_r,
        )

    def delete(self, run_id: str) -> None:
        """Delete a run's folder, readable or not. Refused (RunStateError) while its worker lives."""
        run = self.get(run_id)
        try:
            status: Status | None = run.status
        except BraindashError:
            status = None
        if status and status.active and is_alive(status):
            raise RunStateError(
                f"Run {run_id} is {status.state} and cannot be deleted.", f"Stop it first: braindash runs stop {run_id}"
            )
        for name in (f"{DECKS}/{run_id}.json", f"{MARKS}/{run_id}.json", f"{MARKS}/.{run_id}.lock"):
            beside = self.home.path / name
            if beside.is_file():
                with disk_errors(beside):
                    beside.unlink()
        if run.path.is_symlink():
            run.path.unlink()
            return
        doomed = run.path.with_name(f".deleting-{run_id}-{secrets.token_hex(2)}")
        with disk_errors(run.path):
            run.path.rename(doomed)  # gone from the table at once, also if removing is cut short
            shutil.rmtree(doomed)

    def leftovers(self) -> Sequence[Path]:
        """Return folders whose making or deleting was cut short more than an hour ago."""
        if not self.home.runs.is_dir():
            return []
        old = time.time() - _LEFTOVER_SECONDS
        found = [*self.home.runs.glob(".creating-*"), *self.home.runs.glob(".deleting-*")]
        return sorted(p for p in found if p.stat().st_mtime < old)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def new_run_id(config: TuneConfig) -> str:
    """Return date-time, recipe and study, and a random suffix: ``20261121-221530-lora-demo-k3f9``."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{config.recipe}-{config.study}".lower()).strip("-")[:40].strip("-")
    if config.control != "none":
        words += "-control"
    suffix = "".join(secrets.choice(_SUFFIX) for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{words}-{suffix}"
