"""``braindash demo``: from an empty home to a page that says what tuning changed.

Five steps, all of them the ones that a lab's own study would go through: the
weights, the study, the fine-tune, its matched control, the evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.runs.record import Run

MODEL = "whisper-tiny.en"
POLL = 0.5  # seconds between looks at a run's folder


@dataclass(frozen=True)
class DemoProgress:
    """What is being done and how long it should still take."""

    step: int  # from 1
    n_steps: int
    title: str
    fraction: float  # of this step, 0 to 1
    eta_s: float | None  # seconds left in this step
    detail: str = ""


Reporter = Callable[[DemoProgress], None]

# (title, typical seconds on two cores): the first estimate shown, before a step has begun to tell
STEPS = (
    ("Load Whisper tiny.en", 10.0),
    ("Build the study: stories and simulated subjects", 30.0),
    ("Brain-tune", 110.0),
    ("Tune the control on block-permuted responses", 110.0),
    ("Evaluate: encode, probe and compare every layer of every model", 150.0),
)


def demo_config(*, control: str = "none", **changes: Any) -> TuneConfig:
    """Return the configuration of the demo's fine-tune (or of its control).

    Three quarters of the cortex answer to nothing in a story; tuning on them would fit
    noise and cost time, so targets without a ceiling worth the name are left out.
    """
    name = "Demo: brain-tuned" if control == "none" else "Demo: control, block-permuted responses"
    return TuneConfig.model_validate(
        {"study": "demo", "model": MODEL, "control": control, "name": name, "evaluate": False, "min_ceiling": 0.1}
        | changes
    )


def run_demo(
    home: Home, *, progress: Reporter | None = None, small: bool = False, fresh: bool = False
) -> dict[str, Any]:
    """Build the embedded study, tune on it, tune the control, evaluate both.

    Parameters
    ----------
    home : Home
    progress : callable, optional
        Called with a `DemoProgress` several times a second at most.
    small : bool
        Fewer stories and targets: for tests.
    fresh : bool
        Tune again although a finished demo run is there.

    Returns
    -------
    dict
        ``run``, ``control`` (ids), ``status``, ``answer`` (sentences), ``seconds``, ``reused``.

    Raises
    ------
    BraindashError
        With what the failing step said.
    """
    from braindash.runs.results import read_records
    from braindash.runs.whole import evaluate_whole

    report = _Steps(progress)
    began = time.monotonic()

    with report.step():
        from braindash.speech import open_model

        open_model(MODEL, home)
    with report.step() as tell:
        from braindash.demo.study import build_demo

        build_demo(home, progress=tell, small=small)

    settings: dict[str, Any] = {}
    real, control = demo_config(**settings), demo_config(control="block-permuted", **settings)
    reused = None if fresh else _finished_pair(home, real, control)
    if reused:
        run, control_run = reused
        report.skip("already tuned")
        report.skip("already tuned")
    else:
        with report.step() as tell:
            run = _tune(home, real, tell)
        with report.step() as tell:
            control_run = _tune(home, control, tell)
    records = read_records(run.path) if reused else None
    if records and control.control.replace("-", "_") in records.get("models", []):
        report.skip("already evaluated")
    else:
        with report.step() as tell:
            records = evaluate_whole(run, progress=tell)
    return {
        "run": run.id,
        "control": control_run.id,
        "status": "done",
        "study": "demo",
        "answer": records["summary"]["answer"],
        "verdict": records["summary"]["verdict"],
        "caveats": records["caveats"],
        "seconds": round(time.monotonic() - began, 1),
        "reused": bool(reused),
    }


def _tune(home: Home, config: TuneConfig, tell: Callable[..., None]) -> Run:
    """Launch a run as its own process, as the form does, and follow it to its end."""
    from braindash.jobs.launch import launch, stop
    from braindash.runs.provenance import collect
    from braindash.runs.record import RunStore

    store = RunStore(home)
    run = store.create(config, provenance=collect(config, "braindash demo"))
    launch(run, detach=True)
    try:
        while True:
            run = store.get(run.id)
            status = run.status
            if status.state in {"done", "failed", "interrupted", "stopped"}:
                break
            tell(status.fraction or 0.0, status.message or "", status.eta_s)
            time.sleep(POLL)
    except KeyboardInterrupt:
        stop(run)
        raise
    if status.state != "done":
        error = status.error
        raise BraindashError(
            f"The fine-tune {run.id} ended as {status.state}: {error.what if error else status.message}",
            (error.remedy if error else "") or f"See its log: braindash runs show {run.id}",
        )
    return run


def _finished_pair(home: Home, real: TuneConfig, control: TuneConfig) -> tuple[Run, Run] | None:
    """Return the newest finished runs of both configurations, if both are there."""
    from braindash.runs.record import RunStore

    store = RunStore(home)
    found: dict[str, Run] = {}
    for row in store.list():
        if row.state != "done" or row.problem:
            continue
        run = store.get(row.id)
        for wanted in (real, control):
            same = run.config.matching_key() == wanted.matching_key() and run.config.control == wanted.control
            if same and (wanted.control not in found or found[wanted.control].id < run.id):
                found[wanted.control] = run
    if len(found) == 2:
        return found[real.control], found[control.control]
    return None


class _Steps:
    """Numbers the steps and turns fractions into estimates of the time left."""

    def __init__(self, progress: Reporter | None) -> None:
        self._progress = progress
        self._at = 0

    def _report(self, fraction: float, eta: float | None, detail: str = "") -> None:
        if self._progress:
            title = STEPS[self._at - 1][0]
            self._progress(DemoProgress(self._at, len(STEPS), title, min(1.0, fraction), eta, detail))

    def skip(self, why: str) -> None:
        self._at += 1
        self._report(1.0, 0.0, why)

    def step(self) -> _Step:
        self._at += 1
        return _Step(self, STEPS[self._at - 1][1])


class _Step:
    def __init__(self, steps: _Steps, typical: float) -> None:
        self._steps, self._typical = steps, typical

    def __enter__(self) -> Callable[..., None]:
        self._began = time.monotonic()
        self._steps._report(0.0, self._typical)
        return self._tell

    def _tell(self, fraction: float, detail: str = "", eta: float | None = None) -> None:
        spent = time.monotonic() - self._began
        if eta is None:
            eta = spent * (1 - fraction) / fraction if fraction > 0.05 else max(0.0, self._typical - spent)
        self._steps._report(fraction, eta, detail)

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._steps._report(1.0, 0.0)
