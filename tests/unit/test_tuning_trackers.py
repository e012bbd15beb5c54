"""Trackers: the run's numbers in TensorBoard's files, read back by TensorBoard, also when a run was resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import trackers, tune
from braindash.tuning.position import Position
from braindash.tuning.trackers import check_trackers, flat, followed, scalars

CONFIG = TuneConfig.model_validate(
    {
        "study": "small",
        "model": "tiny",
        "precision": "fp32",
        "window": {"context": 4, "stride": 4},
        "head": {"rank": 3},
        "optimiser": {"epochs": 2, "warmup_steps": 1},
        "checkpoint_steps": 2,
        "trackers": ["tensorboard"],
    }
)
Points = dict[str, dict[int, float]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return open_model(str(save_tiny("whisper", tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(autouse=True)
def accelerate_state() -> None:
    from accelerate import PartialState

    PartialState(cpu=True)  # as the engine has it when it opens the trackers


def read_tensorboard(workspace: Path) -> Points:
    """Return {metric: {step: value}} as TensorBoard shows it; a step that is there twice is refused."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(workspace / "trackers" / "tensorboard"))
    events.Reload()
    found: Points = {}
    for tag in events.Tags()["scalars"]:
        points = [(e.step, e.value) for e in events.Scalars(tag)]
        assert len(dict(points)) == len(points), f"{tag} has a step twice: {points}"
        found[tag] = dict(points)
    return found


def expected(rows: Sequence[dict[str, Any]]) -> Points:
    """Return the same from the run's own rows; a later row of a step or epoch replaces the earlier."""
    out: Points = {}
    step = 0
    for row in rows:
        if row["kind"] == "step":
            step = row["step"]
            for name in ("loss", "lr", "grad_norm", "seconds", "epoch"):
                out.setdefault(name, {})[step] = row[name]
        elif row["kind"] == "epoch":
            for name in ("train_loss", "validation_loss", "validation_r"):
                if row[name] is not None:
                    out.setdefault(name, {})[step] = row[name]
            for subject, r in row["validation_r_by_subject"].items():
                out.setdefault(f"validation_r_by_subject/{subject}", {})[step] = r
        elif "resumed_from_step" in row:
            step = row["resumed_from_step"]
    return out


def agree(found: Points, wanted: Points, but: Sequence[str] = ()) -> None:
    for tag in wanted.keys() - set(but):
        assert found[tag] == pytest.approx(wanted[tag], rel=1e-6), tag  # TensorBoard keeps float32


def go(model: SpeechModel, workspace: Path, die_at: int | None = None, resume: bool = False) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        rows.append(row)

    def stop() -> bool:
        if die_at is not None and any(r.get("step") == die_at for r in rows):
            raise KeyboardInterrupt  # as a kill would: nothing is written
        return False

    try:
        tune(SmallStudy(), model, CONFIG, workspace, progress=report, should_stop=stop, resume=resume)
    except KeyboardInterrupt:
        assert die_at is not None
    return rows


def test_tensorboard_gets_every_step_and_epoch(model: SpeechModel, tmp_path: Path) -> None:
    rows = go(model, tmp_path)
    found = read_tensorboard(tmp_path)
    wanted = expected(rows)
    assert set(wanted["loss"]) == {1, 2, 3, 4, 5, 6}
    assert set(wanted["validation_r"]) == {0, 3, 6}
    assert not set(wanted) - set(found)
    agree(found, wanted)


@pytest.mark.parametrize("die_at", [1, 3, 5])
def test_a_resumed_run_has_no_step_twice_and_none_missing(model: SpeechModel, tmp_path: Path, die_at: int) -> None:
    """Killed after step 5 it goes on from step 4; from before its first checkpoint it starts again."""
    whole = go(model, tmp_path / "whole")
    first = go(model, tmp_path / "cut", die_at=die_at)
    assert read_tensorboard(tmp_path / "cut")["loss"].keys() == set(range(1, die_at + 1))
    rest = go(model, tmp_path / "cut", resume=True)
    found = read_tensorboard(tmp_path / "cut")
    agree(found, expected(first + rest), but=["seconds", "busy"])  # those of the last step kept are from either session
    agree(found, expected(whole), but=["seconds", "busy"])


def test_only_numbers_are_sent() -> None:
    row = {"kind": "epoch", "epoch": 2, "best": True, "validation_r": float("nan"), "train_loss": 0.5, "n_targets": 7}
    assert scalars({**row, "by": {"a": 0.25}, "text": "x", "none": None}) == {
        "epoch": 2.0,
        "train_loss": 0.5,
        "by/a": 0.25,
    }
    assert flat({"lora": {"rank": 8, "targets": ("q", "v")}}) == {"lora.rank": 8, "lora.targets": "q, v"}


class Failing:
    """A tracker that fails from its second row on."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, float], int]] = []
        self.finished = False

    def log(self, values: dict[str, float], step: int) -> None:
        if self.rows:
            raise ConnectionError("no route\nto host")
        self.rows.append((values, step))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        pass

    def finish(self) -> None:
        self.finished = True


def step_row(step: int) -> dict[str, Any]:
    return {"kind": "step", "step": step, "n_steps": 5, "epoch": 1, "loss": 1.0 / step}


def test_a_tracker_that_fails_is_said_once_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing()
    monkeypatch.setitem(trackers.OPENERS, "wandb", lambda folder, step: (failing, {}))
    monkeypatch.setitem(trackers.PACKAGES, "wandb", "json")
    rows: list[dict[str, Any]] = []
    with followed(("wandb", "tensorboard"), tmp_path / "trackers", None, {}, rows.append) as report:
        for step in range(1, 6):
            report(step_row(step))
    said = [r["text"] for r in rows if r["kind"] == "log"]
    assert len(said) == 1
    assert "wandb failed" in said[0]
    assert "no route to host" in said[0]
    assert [r["step"] for r in rows if r["kind"] == "step"] == [1, 2, 3, 4, 5]
    assert failing.finished
    assert set(read_tensorboard(tmp_path)["loss"]) == {1, 2, 3, 4, 5}  # the other one is not touched


def test_a_tracker_that_cannot_be_opened_does_not_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, step: int) -> Any:
        raise OSError("read-only")

    monkeypatch.setitem(trackers.OPENERS, "tensorboard", refuse)
    rows: list[dict[str, Any]] = []
    with followed(("tensorboard",), tmp_path, None, {}, rows.append) as report:
        report(step_row(1))
    assert [r["kind"] for r in rows] == ["log", "step"]


def test_a_failure_of_the_run_itself_passes_through(tmp_path: Path) -> None:
    def fail() -> None:
        with followed(("tensorboard",), tmp_path / "trackers", None, {}, lambda row: None) as report:
            report(step_row(1))
            raise BraindashError("the disk", "mend it")

    with pytest.raises(BraindashError, match="the disk"):
        fail()
    assert read_tensorboard(tmp_path)["loss"] == {1: 1.0}


def test_a_tracker_that_is_not_installed_is_refused_with_the_command(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trackers.PACKAGES, "wandb", "wandb_that_is_not_here")
    with pytest.raises(BraindashError, match=r"wandb_that_is_not_here.*pip install wandb_that_is_not_here"):
        check_trackers(["tensorboard", "wandb"])
    check_trackers([])
    config = CONFIG.model_copy(update={"trackers": ("wandb",)})
    with pytest.raises(BraindashError, match="pip install"):
        tune(SmallStudy(), model, config, tmp_path, progress=lambda row: None, should_stop=lambda: False)


def test_trackers_do_not_change_the_run(model: SpeechModel, tmp_path: Path) -> None:
    def losses(config: TuneConfig, folder: Path) -> list[float]:
        rows: list[dict[str, Any]] = []
        torch.manual_seed(1)
        tune(SmallStudy(), model, config, folder, progress=rows.append, should_stop=lambda: False)
        return [r["loss"] for r in rows if r["kind"] == "step"]

    without = CONFIG.model_copy(update={"trackers": ()})
    assert losses(CONFIG, tmp_path / "with") == losses(without, tmp_path / "without")
    assert not (tmp_path / "without" / "trackers").exists()


def test_nothing_of_a_tracker_is_imported_before_it_is_wanted() -> None:
    code = (
        "import sys, braindash.tuning.trackers\n"
        "print([m for m in ('torch', 'accelerate', 'tensorboard', 'wandb', 'mlflow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def two_sessions(names: Sequence[str], folder: Path) -> None:
    """Send steps 1 to 5 with an epoch after 3, then go on from step 3."""
    epoch = {"kind": "epoch", "epoch": 1, "validation_r": 0.5}
    with followed(names, folder, None, {"seed": 0}, lambda row: None) as report:
        for step in range(1, 6):
            report(step_row(step))
            if step == 3:
                report(epoch)
    at = Position(step=3, epoch=2, done=0, epochs=[epoch], last_row=step_row(3))
    with followed(names, folder, at, {"seed": 0}, lambda row: None) as report:
        for step in range(4, 8):
            report(step_row(step))


def test_mlflow_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "run-a" / "trackers"
    two_sessions(["mlflow"], folder)
    client = mlflow.MlflowClient()
    run = client.get_run((folder / trackers.MLFLOW_RUN).read_text())
    assert run.info.run_name == "run-a"
    assert run.data.params == {"seed": "0"}
    losses = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")]
    assert losses == [(s, pytest.approx(1 / s)) for s in range(1, 8)]
    assert [m.step for m in client.get_metric_history(run.info.run_id, "validation_r")] == [3]


def test_wandb_is_offline_unless_asked_and_sends_no_step_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    folder = tmp_path / "run-a" / "trackers"
    two_sessions(["wandb"], folder)
    assert json.loads((folder / trackers.WANDB_SENT).read_text())["loss"] == 7
    sessions = [p for p in (folder / "wandb").iterdir() if p.name.startswith("offline-run-")]
    assert len(sessions) == 2
    assert all(p.name.endswith("-run-a") for p in sessions)
    assert "WANDB_MODE" not in os.environ
