"""The engine from study to model folder, on a tiny random-weight model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.errors import BraindashError, LeakageError
from braindash.features.windows import extract
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import TuneResult, tune
from braindash.tuning.data import TuningData
from braindash.tuning.estimate import estimate

BASE: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "precision": "fp32",
    "window": {"context": 4, "stride": 4},
    "head": {"rank": 3},
    "lora": {"dropout": 0.1},
    "optimiser": {"epochs": 2, "warmup_steps": 1},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    "delays": (1, 2),
    "permute_block": 4,
}


def settings(**changes: Any) -> TuneConfig:
    merged = {k: {**BASE.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return TuneConfig.model_validate({**BASE, **merged})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("whisper", tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder: Path) -> SpeechModel:
    return open_model(str(folder))


def go(
    model: SpeechModel,
    workspace: Path,
    config: TuneConfig,
    study: SmallStudy | None = None,
    stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> tuple[TuneResult, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    study = study or SmallStudy()
    result = tune(study, model, config, workspace, progress=rows.append, should_stop=stop, resume=resume)
    return result, rows


def of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in {"seconds", "busy"}} for r in rows if r["kind"] == kind]


def model_files(workspace: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (workspace / "model").iterdir()}


def test_a_run_reports_its_steps_and_epochs_and_leaves_the_model_as_it_was(model: SpeechModel, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    result, rows = go(model, tmp_path, settings())
    steps, epochs = of_kind(rows, "step"), of_kind(rows, "epoch")
    assert [s["step"] for s in steps] == [1, 2, 3, 4, 5, 6]
    assert {s["n_steps"] for s in steps} == {6}
    assert set(steps[0]) == {"kind", "step", "n_steps", "epoch", "loss", "lr", "grad_norm"}
    assert [e["epoch"] for e in epochs] == [0, 1, 2]
    assert epochs[0]["train_loss"] is None
    assert not epochs[0]["best"]
    assert epochs[1]["train_loss"] == pytest.approx(np.mean([s["loss"] for s in steps[:3]]))
    assert result.best_epoch == max((1, 2), key=lambda e: epochs[e]["validation_r"])
    assert result.best_validation_r == epochs[result.best_epoch]["validation_r"]
    assert (result.n_targets, result.n_excluded, result.stopped) == (11, 0, False)
    assert list(result.epochs["epoch"]) == [0, 1, 2]
    after = model.encoder.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], before[k]) for k in before)
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert not (tmp_path / "cache").exists()


CUT = settings(block_trs=8, checkpoint_steps=2)


def cut_study() -> SmallStudy:
    return SmallStudy(n_tune=2, shift={"sub-02": 0.2})


@pytest.fixture(scope="module")
def never_stopped(model: SpeechModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    workspace = tmp_path_factory.mktemp("whole")
    return workspace, go(model, workspace, CUT, cut_study())[1]


@pytest.mark.parametrize("stop_after", [0, 1, 4, 7])
def test_stopped_and_resumed_equals_never_stopped_bit_for_bit(
    model: SpeechModel, tmp_path: Path, never_stopped: tuple[Path, list[dict[str, Any]]], stop_after: int
) -> None:
    """Weights, metrics, the choice of epoch: also with dropout, blocks of a story and several subjects."""
    whole, expected = never_stopped
    seen: list[dict[str, Any]] = []

    def stop() -> bool:
        return sum(r["kind"] == "step" for r in seen) >= stop_after and any(r["kind"] == "epoch" for r in seen)

    def keep(row: dict[str, Any]) -> None:
        seen.append(row)

    first = tune(cut_study(), model, CUT, tmp_path, progress=keep, should_stop=stop)
    assert first.stopped
    assert first.model_dir is None
    torch.manual_seed(99)  # what the process did in between must not matter
    np.random.seed(99)
    _, rows = go(model, tmp_path, CUT, cut_study(), resume=True)
    assert f"Resumed from step {stop_after}." in [r.get("text") for r in rows]
    for kind in ("step", "epoch"):
        assert of_kind(seen + rows, kind) == of_kind(expected, kind)
    assert model_files(tmp_path) == model_files(whole)


def test_resuming_after_a_kill_repeats_from_the_last_checkpoint_and_passes_over_a_damaged_one(
    model: SpeechModel, tmp_path: Path
) -> None:
    config = settings(checkpoint_steps=2)
    go(model, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        _die_at(model, tmp_path / "cut", config, step=5)
    newest = sorted((tmp_path / "cut" / "checkpoints").glob("step-*"))[-1]
    assert newest.name == "step-0000004-0002"
    (newest / "tensors.safetensors").write_bytes(b"x")
    _, rows = go(model, tmp_path / "cut", config, resume=True)
    marks = [(r["resumed_from_step"], r["resumed_from_epoch"]) for r in rows if "resumed_from_step" in r]
    assert marks == [(3, 2)]
    assert any("damaged" in r.get("text", "") for r in rows)
    assert model_files(tmp_path / "cut") == model_files(tmp_path / "whole")


def _die_at(model: SpeechModel, workspace: Path, config: TuneConfig, step: int) -> None:
    def progress(row: dict[str, Any]) -> None:
        if row.get("step") == step:
            raise KeyboardInterrupt

    tune(SmallStudy(), model, config, workspace, progress=progress, should_stop=lambda: False)


def test_a_checkpoint_of_other_settings_is_not_resumed(model: SpeechModel, tmp_path: Path) -> None:
    go(model, tmp_path, settings())
    with pytest.raises(BraindashError, match="other settings"):
        go(model, tmp_path, settings(loss="spatial"), resume=True)
    go(model, tmp_path, settings(name="a new label"), resume=True)


def test_the_saved_adapter_gives_the_trained_features_when_opened(
    folder: Path, model: SpeechModel, tmp_path: Path
) -> None:
    config = settings(model=str(folder), optimiser={"epochs": 1, "lr": 1e-2})
    result, _ = go(model, tmp_path, config)
    assert result.model_dir == tmp_path / "model"
    names = {
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
        "braindash_model.json",
        "README.md",
    }
    assert {p.name for p in result.model_dir.iterdir()} == names
    about = json.loads((result.model_dir / "braindash_model.json").read_text())
    assert about["base_weights_hash"] == model.weights_hash
    assert about["stories"] == {"tune": ["s0", "s1", "s2"], "validation": ["s3"]}
    assert TuneConfig.model_validate(about["config"]) == config

    import peft

    audio = SmallStudy().audio("s4")
    tuned = open_model(str(tmp_path)).hidden_states(audio)
    fresh = open_model(str(folder))
    peft.PeftModel.from_pretrained(fresh.encoder, str(result.model_dir))
    with_adapter = fresh.hidden_states(audio)
    plain = model.hidden_states(audio)
    assert np.abs(tuned - with_adapter).max() < 1e-5 * max(1.0, np.abs(plain).max())
    assert np.array_equal(tuned[:2], plain[:2])  # below the first tuned block nothing changes
    assert np.abs(tuned[3] - plain[3]).max() > 1e-3


def teach(study: SmallStudy, model: SpeechModel, config: TuneConfig) -> None:
    """Make the study's responses what a perturbed copy of the model says, so that tuning has something to find."""
    from braindash.tuning.heads import Head
    from braindash.tuning.recipes import get_recipe

    layer = model.n_layers
    torch.manual_seed(5)
    n_targets = {s: study.n_targets[s] for s in study.subjects}
    head = Head("hrf_low_rank", model.width, n_targets, 3, (1,), study.tr)
    with get_recipe("lora")(model, config, layer) as prepared, torch.no_grad():
        for name, p in prepared.parameters():
            if "lora_B" in name:
                p.copy_(0.4 * torch.randn_like(p))
        for story, subject in study.data:
            times = study.row_times(story, subject)
            x = torch.from_numpy(extract(model, study.audio(story), times, study.tr, config.window, [layer])[0])
            head.set_statistics(x.mean(0), x.std(0))
            study.data[story, subject] = head(x, subject).numpy()


@pytest.mark.parametrize(
    ("loss", "init", "head_lr", "least"),
    # the ridge start leaves the encoder to gain; the spatial loss starts from nothing
    [("mse", "ridge", 1e-3, 0.05), ("spatial", "random", 1e-2, 0.3)],
)
def test_tuning_finds_what_a_perturbed_model_hid_in_the_responses(
    model: SpeechModel, tmp_path: Path, loss: str, init: str, head_lr: float, least: float
) -> None:
    optimiser = {"epochs": 8, "lr": 3e-3, "head_lr": head_lr}
    config = settings(loss=loss, lora={"dropout": 0.0}, head={"init": init}, optimiser=optimiser)
    study = SmallStudy(n_tune=6, n_validation=2, n_targets={"a": 12, "b": 10})
    teach(study, model, config)
    _, rows = go(model, tmp_path, config, study)
    epochs = of_kind(rows, "epoch")
    end = min(e["validation_loss"] for e in epochs)
    assert end < epochs[0]["validation_loss"] - least
    _, rows = go(model, tmp_path / "control", config.model_copy(update={"control": "block-permuted"}), study)
    assert min(e["validation_loss"] for e in of_kind(rows, "epoch")) > end + least
    assert "This is a control" in (tmp_path / "control" / "model" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["linear", "low_rank", "hrf_low_rank"])
@pytest.mark.parametrize("recipe", ["head", "lora"])
def test_every_head_trains_under_every_recipe(model: SpeechModel, tmp_path: Path, recipe: str, kind: str) -> None:
    config = settings(recipe=recipe, head={"kind": kind, "init": "random"}, loss="spatial")
    result, rows = go(model, tmp_path, config)
    assert len(of_kind(rows, "step")) == 6
    assert result.model_dir is not None
    assert (result.model_dir / "adapter_model.safetensors").exists() == (recipe == "lora")


def test_a_tuned_head_leaves_the_model_its_base_when_opened(folder: Path, tmp_path: Path) -> None:
    base = open_model(str(folder))
    go(base, tmp_path, settings(model=str(folder), recipe="head"))
    opened = open_model(str(tmp_path))
    assert opened.weights_hash == base.weights_hash
    audio = SmallStudy().audio("s0")
    assert np.array_equal(opened.hidden_states(audio), base.hidden_states(audio))


@pytest.mark.parametrize("family", ["wavlm", "wav2vec2", "moonshine"])
def test_adapters_of_other_families_get_gradients_and_reload(family: str, tmp_path: Path) -> None:
    base = save_tiny(family, tmp_path / "base")
    model = open_model(str(base))
    result, _ = go(model, tmp_path / "run", settings(model=str(base), optimiser={"epochs": 1, "lr": 1e-2}))
    assert result.best_epoch == 1
    audio = SmallStudy().audio("s4")
    tuned = open_model(str(tmp_path / "run")).hidden_states(audio, [3])
    assert np.abs(tuned - model.hidden_states(audio, [3])).max() > 1e-3


def test_layers_above_the_one_read_never_run(model: SpeechModel, tmp_path: Path, monkeypatch: Any) -> None:
    ran: set[int] = set()
    block = type(model).block

    def watched(self: SpeechModel, i: int, state: Any) -> Any:
        ran.add(i)
        return block(self, i, state)

    monkeypatch.setattr(type(model), "block", watched)
    go(model, tmp_path, settings(layer=2, optimiser={"epochs": 1}))
    assert ran == {0, 1}


def test_unusable_and_masked_targets_are_left_out_and_counted(model: SpeechModel, tmp_path: Path) -> None:
    study = SmallStudy(n_targets={"a": 8})
    study.data["s1", "a"][2, 7] = np.nan
    study.data["s2", "a"][:, 6] = 3.0
    result, _ = go(model, tmp_path, settings(rois=("left",), min_ceiling=0.3), study)
    # targets 1, 3, 5, 7 are left; 1 has a ceiling of 0.21; 7 is not finite
    assert result.targets["a"] == {
        "n_targets": 2, "n_all": 8, "n_outside": 4, "n_outside_mask": 0, "n_below_ceiling": 1, "n_excluded": 1
    }  # fmt: skip
    assert result.n_excluded == 1


def test_responses_are_z_scored_per_story_and_permuted_alike_in_tuning_and_validation() -> None:
    study = SmallStudy()
    real, control = TuningData(study, settings()), TuningData(study, settings(control="block-permuted"))
    for story in ("s0", "s3"):
        Y, P = real.responses(story, "sub-01"), control.responses(story, "sub-01")
        assert np.abs(Y.mean(0)).max() < 1e-6
        assert np.abs(Y.std(0) - 1).max() < 1e-6
        assert not np.array_equal(Y, P)
        assert np.array_equal(np.sort(Y, axis=0), np.sort(P, axis=0))


def test_a_test_story_is_refused_by_name() -> None:
    with pytest.raises(LeakageError, match="s4"):
        TuningData(SmallStudy(), settings()).responses("s4", "sub-01")

    class Leaking(SmallStudy):
        def stories_of(self, part: Any, subject: str | None = None) -> tuple[str, ...]:
            return ("s0", "s4") if part == "tune" else super().stories_of(part, subject)

    with pytest.raises(LeakageError, match="Tuning would see the test story s4"):
        TuningData(Leaking(), settings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rois": ("primary_auditory",)}, "None of the 6 targets"),
        ({"rois": ("lat_language",)}, "Did you mean late_language"),
        ({"min_ceiling": 0.95}, "below the ceiling"),
        ({"subjects": ("sub-03",)}, "no subject 'sub-03'"),
        ({"layer": 9}, "layers 1 to 3"),
        ({"lora": {"first_block": 3}}, "first_block is 3"),
        ({"lora": {"targets": ("query",)}}, "'query'"),
        ({"head": {"rank": 64}}, "32 or less"),
        ({"device": "cuda:7"}, "not here"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"control": "block-permuted", "permute_block": 40}, "permute_block"),
        ({"recipe": "head", "optimiser": {"head_lr": 0.0}}, "Nothing would be trained"),
        ({"window": {"context": 60, "stride": 60}}, "longer than"),
    ],
)
def test_mistakes_are_refused_before_a_step(
    model: SpeechModel, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BraindashError, match=message):
        go(model, tmp_path, settings(**changes))
    assert not (tmp_path / "model").exists()
    assert not any("lora" in n for n, _ in model.encoder.named_parameters())


def test_a_loss_that_explodes_is_an_error_with_a_remedy(model: SpeechModel, tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match="stopped being finite"):
        go(model, tmp_path, settings(optimiser={"lr": 1e20, "clip": 1e20, "epochs": 3}))


def test_patience_stops_early(model: SpeechModel, tmp_path: Path) -> None:
    config = settings(optimiser={"epochs": 30, "patience": 1, "lr": 1e-2})
    result, rows = go(model, tmp_path, config)
    epochs = of_kind(rows, "epoch")
    assert len(epochs) < 31
    assert epochs[-1]["epoch"] == result.best_epoch + 1


def test_one_tuning_story_is_enough(model: SpeechModel, tmp_path: Path) -> None:
    result, _ = go(model, tmp_path, settings(), SmallStudy(n_tune=1))
    assert result.best_epoch > 0


def test_the_estimate_counts_what_then_happens(model: SpeechModel, tmp_path: Path) -> None:
    config = settings(block_trs=8)
    study = SmallStudy()
    said = estimate(study, model, config)
    assert study.read == []
    _, rows = go(model, tmp_path, config, study)
    assert said["n_steps"] == of_kind(rows, "step")[0]["n_steps"]
    assert said["n_targets"] == 11
    # A and B of rank 8 on two blocks of q, k, v, out (32 -> 32) and fc1, fc2 (32 <-> 48), and the head
    adapters = 2 * 8 * (4 * 64 + 2 * 80)
    assert said["n_parameters_trained"] == adapters + 32 * 3 + 11 * 4
    assert 0 < said["seconds_per_step"] < 5
    assert 0.05 < said["memory_gb"] < 8
