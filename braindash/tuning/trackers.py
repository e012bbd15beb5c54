"""Sends a run's steps and epochs to the experiment trackers that a lab has: TensorBoard, Weights & Biases, MLflow.

accelerate's trackers do the sending, into ``<run>/trackers/``. The run's own files stay the
record: a tracker that fails is left out for the rest of the session, and the run goes on.
A resumed session goes on in the same tracker run, and no step is there twice.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.errors import BraindashError
from braindash.files import atomic_write

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

    from braindash.tuning.position import Position

PROJECT = "braindash"
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
COUNTS = frozenset({"step", "n_steps", "epoch", "n_epochs", "n_targets", "resumed_from_step", "resumed_from_epoch"})
MLFLOW_RUN = "mlflow-run"  # holds the id of MLflow's run
WANDB_SENT = "wandb-sent.json"  # the last step of every metric that Weights & Biases was sent

Row = Mapping[str, Any]
Report = Callable[[dict[str, Any]], None]
log = logging.getLogger(__name__)


def check_trackers(names: Sequence[str]) -> None:
    """Raise BraindashError, with the command that installs it, for a tracker whose package is not here."""
    missing = [PACKAGES[n] for n in names if importlib.util.find_spec(PACKAGES[n]) is None]
    if missing:
        raise BraindashError(
            f"trackers names {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            f"Run `pip install {' '.join(missing)}`, or leave it out; the run's own files hold every number.",
        )


def scalars(row: Row) -> dict[str, float]:
    """Return the numbers of a step or epoch row that a tracker plots; counts are left out, a dict is one a key.

    >>> scalars({"kind": "epoch", "epoch": 1, "validation_r": 0.5, "validation_r_by_subject": {"s1": 0.4}})
    {'epoch': 1.0, 'validation_r': 0.5, 'validation_r_by_subject/s1': 0.4}
    """
    out: dict[str, float] = {"epoch": float(row["epoch"])} if row.get("epoch") is not None else {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            out |= {f"{name}/{k}": v for k, v in scalars(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            out |= {} if name in COUNTS else {name: float(value)}
    return out


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings in one level, as trackers show them.

    >>> flat({"optimiser": {"lr": 0.1}, "delays": (1, 2), "layer": None})
    {'optimiser.lr': 0.1, 'delays': '1, 2', 'layer': ''}
    """
    out: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            out[prefix + name] = ", ".join(map(str, value))
        else:
            out[prefix + name] = "" if value is None else value
    return out


@contextmanager
def followed(
    names: Sequence[str], folder: Path, at: Position | None, settings: Mapping[str, Any], report: Report
) -> Iterator[Report]:
    """Give a report that also goes to the trackers while the block runs.

    Parameters
    ----------
    names : sequence of {"tensorboard", "wandb", "mlflow"}
    folder : Path
        ``<run>/trackers``; its parent's name is that of the tracker's run.
    at : Position or None
        Where the session goes on; None at a run's start.
    settings : mapping
        The run's settings, for trackers that show them.
    report : callable
        What takes every row first.

    Raises
    ------
    BraindashError
        For a tracker that is not installed.
    """
    check_trackers(names)
    if not names:
        yield report
        return
    trackers = Trackers(folder, report)
    for name in names:
        trackers.open(name, at, settings)

    def both(row: dict[str, Any]) -> None:
        report(row)
        trackers.send(row)

    try:
        yield both
    finally:
        trackers.close()


class Trackers:
    """The open trackers of one session.

    An epoch's row is sent with the step it came after. TensorBoard's files drop what an earlier
    session wrote from the position's step on, and that step's rows are sent again; to the others
    only what they do not have yet is sent.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder, self._report = folder, report
        self._open: dict[str, GeneralTracker] = {}
        self._sent: dict[str, dict[str, int]] = {}  # last step by tracker and metric, where it would keep both
        self._step = 0

    def open(self, name: str, at: Position | None, settings: Mapping[str, Any]) -> None:
        """Open one tracker and bring it to the position."""
        self._step = at.step if at else 0
        with self._surviving(name):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open[name], self._sent[name] = OPENERS[name](self._folder, self._step)
            if at is None:
                if name != "tensorboard":  # whose own way makes a second run of the settings
                    self._open[name].store_init_configuration(flat(settings))
                return
            for row in (at.last_row, *at.epochs[-1:]):
                if row and (row["kind"] == "step" or at.done == 0):
                    self._send(name, row)

    def send(self, row: Row) -> None:
        """Send a step's or an epoch's numbers to every tracker that is still open; other rows are passed over."""
        if row.get("kind") not in ("step", "epoch"):
            return
        self._step = int(row.get("step", self._step))
        for name in tuple(self._open):
            with self._surviving(name):
                self._send(name, row)

    def _send(self, name: str, row: Row) -> None:
        values = scalars(row)
        if row["kind"] == "epoch":
            values.pop("epoch")  # the step's row of the same step has it
        sent = self._sent[name]
        values = {k: v for k, v in values.items() if self._step > sent.get(k, -1)}
        if values:
            self._open[name].log(values, step=self._step)
        if name == "wandb":  # offline it cannot be asked what it has
            sent |= dict.fromkeys(values, self._step)
            (self._folder / WANDB_SENT).write_text(json.dumps(sent))

    def close(self) -> None:
        """Close every tracker."""
        for name in tuple(self._open):
            with self._surviving(name):
                self._open[name].finish()

    @contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        """Leave a tracker out from its first failure on, and say so once."""
        try:
            yield
        except Exception as error:
            tracker = self._open.pop(name, None)
            with contextlib.suppress(Exception):
                if tracker is not None:
                    tracker.finish()
            line = " ".join(str(error).split())[:300] or type(error).__name__
            log.warning("tracker %s failed", name, exc_info=True)
            self._report(
                {
                    "kind": "log",
                    "text": f"Tracker {name} failed and gets nothing more in this session ({line}). "
                    "The run goes on; metrics.jsonl has every row.",
                }
            )


def _open_tensorboard(folder: Path, step: int) -> tuple[GeneralTracker, dict[str, int]]:
    from accelerate.tracking import TensorBoardTracker

    tracker = TensorBoardTracker("tensorboard", folder, purge_step=step)
    tracker.start()
    return tracker, {}


def _open_wandb(folder: Path, step: int) -> tuple[GeneralTracker, dict[str, int]]:
    from accelerate.tracking import WandBTracker

    run = folder.parent.name
    tracker = WandBTracker(
        PROJECT,
        dir=str(folder),
        id=run,
        name=run,
        resume="allow",
        mode=os.environ.get("WANDB_MODE", "offline"),
    )
    tracker.start()
    try:
        return tracker, json.loads((folder / WANDB_SENT).read_text())
    except (OSError, ValueError):  # none yet, or cut short by a crash
        return tracker, {}


def _open_mlflow(folder: Path, step: int) -> tuple[GeneralTracker, dict[str, int]]:
    import mlflow
    from accelerate.tracking import MLflowTracker

    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    known = folder / MLFLOW_RUN
    run_id = known.read_text().strip() if known.exists() else None
    tracker = MLflowTracker(PROJECT, (folder / "mlflow").as_uri(), run_id=run_id, run_name=folder.parent.name)
    tracker.start()
    run_id = str(tracker.tracker.info.run_id)
    atomic_write(known, run_id)
    client = mlflow.MlflowClient()
    names = client.get_run(run_id).data.metrics
    return tracker, {name: max(m.step for m in client.get_metric_history(run_id, name)) for name in names}


OPENERS: dict[str, Callable[[Path, int], tuple[GeneralTracker, dict[str, int]]]] = {
    "tensorboard": _open_tensorboard,
    "wandb": _open_wandb,
    "mlflow": _open_mlflow,
}
