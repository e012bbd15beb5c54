"""A run that was stopped and resumed, at any point, is the run that was never stopped: bit for bit."""

from __future__ import annotations

import gc
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_tuning_control_runs import save_pretraining
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.jobs.reporting import Reporter
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import checks, loop, position, tune
from braindash.tuning.checkpoints import listed, read_checkpoint, read_newest

PRETRAINING = "with its pretraining head"
BASE: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "device": "cpu",
    "precision": "fp32",
    "window": {"context": 2, "stride": 2},
    "head": {"rank": 2},
    "lora": {"dropout": 0.2},
    "optimiser": {"epochs": 2, "warmup_steps": 1, "lr": 1e-2, "head_lr": 1e-2},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1,)},
    "checkpoint_steps": 1000,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {},
    "full": {"recipe": "full"},
    "head": {"recipe": "head"},
    "blocks of a story": {"block_trs": 4},
    "several stories a step": {"stories_per_step": 2, "block_trs": 4},
    "pairs": {"pairs": True},
    "refit": {"head": {"rank": 2, "refit": "epoch"}},
    "patience": {"optimiser": {**BASE["optimiser"], "epochs": 4, "patience": 1, "lr": 0.3}},
    "another loss, another head": {"loss": "spatial+0.5*mse", "head": {"kind": "linear", "init": "random"}},
    "Adam, linear": {"optimiser": {**BASE["optimiser"], "kind": "adam", "schedule": "linear"}},
    "the last epoch": {"keep": "last"},
    "activations computed again": {"gradient_checkpointing": "on"},
    "learnt pooling": {"head": {"rank": 2, "pooling": "attention"}},
    "shuffled responses": {"control": "block-permuted", "permute_block": 2},
    "noise for responses": {"control": "random-responses"},
    "random weights": {"control": "random-model"},
    "continued pretraining": {"control": "stimulus-only", "model": PRETRAINING},
}
CLOCK = {"time", "seconds", "busy"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SpeechModel]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    saved = {"tiny": save_tiny("whisper", folder / "a"), PRETRAINING: save_pretraining(folder / "b")}
    opened = {name: open_model(str(path)) for name, path in saved.items()}
    gc.freeze()  # every session ends with a collection: without what was imported it takes no time
    yield opened
    gc.unfreeze()
    torch.set_num_threads(threads)


@pytest.fixture
def model(models: dict[str, SpeechModel]) -> SpeechModel:
    return models["tiny"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, float]]:
    """Let every step draw from all three generators, and return what it drew."""
    draws: list[tuple[float, float, float]] = []
    real = checks.check_loss

    def draw(value: float, step: int) -> None:
        draws.append((float(torch.rand(1)), float(np.random.standard_normal()), random.gauss(0, 1)))
        real(value, step)

    monkeypatch.setattr(checks, "check_loss", draw)
    return draws


def study() -> SmallStudy:
    return SmallStudy(n_tune=2, seconds=5.0, n_targets={"a": 4, "b": 4}, shift={"b": 0.1})


def session(model: SpeechModel, run: Run, *, rows_before_stop: int | None = None, resume: bool = False) -> bool:
    """Work the run's tuning as the worker does; return whether it was stopped.

    It is stopped after ``rows_before_stop`` steps and validations.
    """
    told: list[dict[str, Any]] = []
    with Reporter(run, period=600) as report:

        def progress(row: dict[str, Any]) -> None:
            report.row(row)
            if row["kind"] != "log":
                told.append(row)

        def stop() -> bool:
            return rows_before_stop is not None and len(told) >= rows_before_stop

        return tune(study(), model, run.config, run.path, progress=progress, should_stop=stop, resume=resume).stopped


def make(home: Path, **changes: Any) -> Run:
    return RunStore(Home(home)).create(TuneConfig.model_validate({**BASE, **changes}))


def rows(run: Run) -> list[dict[str, Any]]:
    """Return what metrics.jsonl says of steps and epochs, without the clock."""
    return [{k: v for k, v in r.items() if k not in CLOCK} for r in run.metrics if r["kind"] != "log"]


def last_checkpoint(run: Run) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    found = read_newest(run.checkpoints_dir, pytest.fail)
    assert found is not None
    state = dict(found.state)
    state["last_row"] = {k: v for k, v in state["last_row"].items() if k not in CLOCK}
    return found.tensors, state


def assert_same(run: Run, whole: Run) -> None:
    """Compare metrics, model files, and all that the last checkpoint holds: weights, optimiser, random states."""
    assert rows(run) == rows(whole)
    for file in sorted(whole.model_dir.iterdir()):
        assert (run.model_dir / file.name).read_bytes() == file.read_bytes(), file.name
    tensors, state = last_checkpoint(run)
    wanted, wanted_state = last_checkpoint(whole)
    assert tensors.keys() == wanted.keys()
    assert {"random.torch", "random.numpy", "random.python"} < wanted.keys()
    assert any(k.startswith("optimiser.") for k in wanted)
    for name, tensor in wanted.items():
        assert torch.equal(tensors[name], tensor), name
    assert state == wanted_state


def disturb(seed: int) -> None:
    """Leave the generators as another process would have them."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_after_every_step_and_every_validation(
    models: dict[str, SpeechModel], tmp_path: Path, drawn: list[tuple[float, float, float]], variant: str
) -> None:
    """One run stopped wherever it can be stopped, in as many sessions, against one session."""
    model = models[VARIANTS[variant].get("model", "tiny")]
    whole, stopped = (make(tmp_path, **VARIANTS[variant]) for _ in range(2))
    assert not session(model, whole)
    expected, drawn[:] = drawn[:], []
    n = 0
    while session(model, stopped, rows_before_stop=1, resume=n > 0):
        n += 1
        disturb(n)
    assert n == len(rows(whole)) - 1  # after the last there is nothing left to stop
    assert drawn == expected
    assert_same(stopped, whole)
    if variant == "patience":
        assert rows(whole)[-1]["epoch"] < 4  # it did stop early


def test_killed_after_any_checkpoint(model: SpeechModel, tmp_path: Path) -> None:
    """From every checkpoint of a run, as it lies on the disk, the rest comes out the same."""
    whole = make(tmp_path, checkpoint_steps=1, keep_checkpoints=99)
    session(model, whole)
    kept = listed(whole.checkpoints_dir, "step")
    assert len(kept) == 4  # after every step, the last of an epoch with its validation
    for checkpoint in kept[:-1]:
        cut = make(tmp_path, checkpoint_steps=1, keep_checkpoints=99)
        state = read_checkpoint(checkpoint).state
        for row in whole.metrics:  # and rows that were written after it
            cut.append_metrics(row)
        for path in (checkpoint, *listed(whole.checkpoints_dir, "best")):
            shutil.copytree(path, cut.checkpoints_dir / path.name)
        assert not session(model, cut, resume=True)
        marks = [r["resumed_from_step"] for r in cut.metrics if "resumed_from_step" in r]
        assert marks == [state["step"]]
        assert_same(cut, whole)


def test_the_generators_are_given_back_as_they_were(model: SpeechModel, tmp_path: Path) -> None:
    disturb(7)
    expected = torch.rand(1), np.random.rand(), random.random()
    disturb(7)
    session(model, make(tmp_path))
    assert (torch.rand(1), np.random.rand(), random.random()) == expected


def test_a_damaged_best_epoch_is_seen_in_time_and_made_again(model: SpeechModel, tmp_path: Path) -> None:
    """Without it the run could go on, but not end: the checkpoint before, which does not need it, is used."""
    whole, cut = (make(tmp_path, checkpoint_steps=1, keep_checkpoints=3) for _ in range(2))
    session(model, whole)
    assert session(model, cut, rows_before_stop=4)  # epoch 0, two steps, epoch 1
    assert read_newest(cut.checkpoints_dir, pytest.fail).state["best_checkpoint"] == "best-0001"  # type: ignore[union-attr]
    weights = cut.checkpoints_dir / "best-0001" / "tensors.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 4
    weights.write_bytes(data)
    assert not session(model, cut, resume=True)
    texts = [r["text"] for r in cut.metrics if r["kind"] == "log"]
    assert any("damaged" in t and "best-0001" in t for t in texts)
    assert_same(cut, whole)


def test_nothing_whole_left_it_says_so_and_starts_again(model: SpeechModel, tmp_path: Path) -> None:
    whole, cut = make(tmp_path), make(tmp_path)
    session(model, whole)
    assert session(model, cut, rows_before_stop=2)
    for path in listed(cut.checkpoints_dir, "step"):
        (path / "state.json").write_text("{}")
    assert not session(model, cut, resume=True)
    assert any("starting again" in r.get("text", "") for r in cut.metrics)
    assert_same(cut, whole)


def test_a_long_step_does_not_keep_the_position_from_the_disk(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked to stop in the middle of a step that does not end in time, and killed: only that step is done again."""
    whole, cut = make(tmp_path), make(tmp_path)
    session(model, whole)
    monkeypatch.setattr(position, "LONG_STEP", 0.05)
    real = loop.add_gradients
    asked = False

    def endless(*arguments: Any, **named: Any) -> Any:
        nonlocal asked
        step = next(a for a in arguments if type(a) is int)
        out = real(*arguments, **named)  # draws from the generators, as the half of a step does
        if step == 4:
            asked = True
            deadline = time.monotonic() + 60
            while not listed(cut.checkpoints_dir, "step")[-1].name.startswith("step-0000003"):
                _ = torch.rand(1), np.random.rand(), random.random()
                assert time.monotonic() < deadline
            raise KeyboardInterrupt  # killed: nothing after this is written
        return out

    monkeypatch.setattr(loop, "add_gradients", endless)
    said: list[dict[str, Any]] = []

    def progress(row: dict[str, Any]) -> None:
        said.append(row)
        cut.append_metrics(row)

    with pytest.raises(KeyboardInterrupt):
        tune(study(), model, cut.config, cut.path, progress=progress, should_stop=lambda: asked)
    monkeypatch.undo()
    assert any("takes long" in r.get("text", "") for r in said)
    assert not session(model, cut, resume=True)
    assert [r["resumed_from_step"] for r in cut.metrics if "resumed_from_step" in r] == [3]
    assert_same(cut, whole)


def test_nothing_is_written_after_a_change_that_failed(model: SpeechModel, tmp_path: Path) -> None:
    """A second SIGTERM in the middle of an optimiser step: what is then in memory is no position."""
    from braindash.tuning.position import Keeper, Position

    class Network:
        head = torch.nn.Linear(2, 2)

    Network.head.mean = torch.zeros(1)  # type: ignore[assignment]
    keeper = Keeper(Network(), None, Position(step=1), tmp_path, {}, 2)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt), keeper.changing():
        raise KeyboardInterrupt
    keeper.save()
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint_and_says_what_to_do(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, checkpoint_steps=1)
    real = checks.check_loss

    def explode(value: float, step: int) -> None:
        real(float("nan") if step == 4 else value, step)

    monkeypatch.setattr(checks, "check_loss", explode)
    with pytest.raises(BraindashError, match="step 4") as caught:
        session(model, run)
    assert "lr" in caught.value.remedy
    found = read_newest(run.checkpoints_dir, pytest.fail)
    assert found is not None
    assert found.state["step"] == 3
    assert not run.model_dir.exists()
