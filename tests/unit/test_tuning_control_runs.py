"""Every control as a run of its own on a tiny model: what it trains, what it keeps, and what reopens."""

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

from braindash.config import CONTROL_NAMES, Home, TuneConfig
from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel
from braindash.speech.catalogue import describe
from braindash.speech.loading import open_model
from braindash.speech.random_weights import randomised
from braindash.tuning import TuneResult, tune
from braindash.tuning.controls import available
from braindash.tuning.data import TuningData
from braindash.tuning.estimate import estimate

BASE: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "precision": "fp32",
    "window": {"context": 2, "stride": 2},
    "head": {"rank": 3},
    "lora": {"dropout": 0.1, "first_block": 1},
    "optimiser": {"epochs": 2, "warmup_steps": 1},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    "permute_block": 4,
    "block_trs": 8,
}


def settings(**changes: Any) -> TuneConfig:
    merged = {k: {**BASE.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return TuneConfig.model_validate({**BASE, **merged})


def save_pretraining(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write a tiny wav2vec 2.0 checkpoint with its pretraining head, as `Wav2Vec2ForPreTraining` saves it."""
    import transformers
    from tiny_models import BASE as TINY_BASE

    save_tiny("wav2vec2", folder, seed=seed)  # the preprocessor's file
    config = transformers.Wav2Vec2Config(
        **{
            **TINY_BASE,
            "num_codevectors_per_group": 8,
            "codevector_dim": 8,
            "proj_codevector_dim": 8,
            "num_negatives": 5,
            **changes,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        whole = transformers.Wav2Vec2ForPreTraining(config)
        with torch.no_grad():
            for name, p in whole.named_parameters():
                p.add_(0.05 * torch.randn(p.shape))
                if name.endswith("original0"):
                    p.abs_()
    whole.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "pretraining": save_pretraining(root / "pretraining"),
        "wav2vec2": save_tiny("wav2vec2", root / "wav2vec2"),
        "whisper": save_tiny("whisper", root / "whisper"),
    }


@pytest.fixture(scope="module")
def model(folders: dict[str, Path]) -> SpeechModel:
    return open_model(str(folders["pretraining"]))


def go(
    model: SpeechModel,
    workspace: Path,
    config: TuneConfig,
    study: SmallStudy | None = None,
    stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> tuple[TuneResult, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    config = config.model_copy(update={"model": model.ref})
    result = tune(
        study or SmallStudy(), model, config, workspace, progress=rows.append, should_stop=stop, resume=resume
    )
    return result, rows


def of(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [r for r in rows if r["kind"] == kind]


def stop_after(n: int) -> Callable[[], bool]:
    """Return a function that asks to stop once ``n`` steps were reported (asked before each)."""
    state = {"asked": 0}

    def should_stop() -> bool:
        state["asked"] += 1
        return state["asked"] > n

    return should_stop


@pytest.mark.parametrize("control", CONTROL_NAMES)
def test_every_control_takes_the_real_runs_steps_and_reopens(model: SpeechModel, tmp_path: Path, control: str) -> None:
    real = settings()
    config = settings(control=control)
    assert config.matching_key() == real.matching_key()
    assert available(SmallStudy(), describe(model.ref), real)[0] == CONTROL_NAMES
    before = {n: t.clone() for n, t in model.encoder.state_dict().items()}
    result, rows = go(model, tmp_path / "c", config)
    _, real_rows = go(model, tmp_path / "r", real)
    steps, real_steps = of(rows, "step"), of(real_rows, "step")
    assert [r["lr"] for r in steps] == [r["lr"] for r in real_steps]
    assert [r["n_steps"] for r in steps] == [r["n_steps"] for r in real_steps]
    assert all(np.isfinite(r["loss"]) for r in steps)
    assert [r["epoch"] for r in of(rows, "epoch")] == [0, 1, 2]
    assert all(np.isfinite(r["validation_loss"]) for r in of(rows, "epoch"))
    assert result.best_epoch == max(of(rows, "epoch")[1:], key=lambda r: r["validation_r"])["epoch"]

    after = model.encoder.state_dict()  # the model that was handed over is as it was
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)

    assert result.model_dir is not None
    card = (result.model_dir / "README.md").read_text()
    assert "This is a control" in card
    tuned = open_model(str(result.model_dir))
    shown = describe(str(result.model_dir))
    assert shown.weights_hash == tuned.weights_hash
    if control == "head-only":
        assert tuned.weights_hash == model.weights_hash
    else:
        assert tuned.weights_hash != model.weights_hash
        x = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
        moved = np.abs(tuned.hidden_states(x) - model.hidden_states(x)).max(axis=(1, 2))
        assert moved[-1] > 1e-4
        assert (moved[:2] < 1e-6).all() if control != "random-model" else (moved > 1e-2).all()


def test_random_weights_are_drawn_by_seed_and_tuned_from(model: SpeechModel, tmp_path: Path) -> None:
    result, rows = go(model, tmp_path, settings(control="random-model", seed=3))
    assert result.model_dir is not None
    about = json.loads((result.model_dir / "braindash_model.json").read_text())
    base = randomised(model, 3)
    assert about["base_random_seed"] == 3
    assert about["base_weights_hash"] == base.weights_hash != model.weights_hash
    assert randomised(model, 4).weights_hash != base.weights_hash
    # exactly: the drawn base under the adapter that was saved, the adapter's B put to zero gives the base
    tuned = open_model(str(result.model_dir))
    frozen = {n: t for n, t in base.encoder.state_dict().items() if "layers.1" not in n and "layers.2" not in n}
    assert all(torch.equal(t, tuned.encoder.state_dict()[n]) for n, t in frozen.items())
    # epoch 0 is the random model, not the pretrained one
    _, plain = go(model, tmp_path / "plain", settings(seed=3))
    assert of(rows, "epoch")[0]["validation_r"] != of(plain, "epoch")[0]["validation_r"]


def test_other_random_weights_than_those_tuned_from_are_refused(model: SpeechModel, tmp_path: Path) -> None:
    result, _ = go(model, tmp_path, settings(control="random-model", optimiser={"epochs": 1}))
    assert result.model_dir is not None
    file = result.model_dir / "braindash_model.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "base_random_seed": 99}))
    with pytest.raises(BraindashError, match="random weights"):
        open_model(str(result.model_dir))


@pytest.mark.parametrize("family", ["wav2vec2-large", "hubert", "wavlm", "data2vec-audio", "whisper", "moonshine"])
def test_every_family_is_drawn_whole(family: str, tmp_path: Path) -> None:
    pretrained = open_model(str(save_tiny(family, tmp_path)))
    state = torch.get_rng_state()
    one, two = randomised(pretrained, 0), randomised(pretrained, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert one.weights_hash == two.weights_hash != pretrained.weights_hash
    assert one.identity != pretrained.identity
    x = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    np.testing.assert_array_equal(one.hidden_states(x), two.hidden_states(x))
    assert np.isfinite(one.hidden_states(x)).all()
    theirs, ours = pretrained.encoder.state_dict(), one.encoder.state_dict()
    assert theirs.keys() == ours.keys()
    assert not any(torch.equal(theirs[n], ours[n]) for n in ours)


def test_the_head_only_control_trains_the_head_alone(model: SpeechModel, tmp_path: Path) -> None:
    result, rows = go(model, tmp_path, settings(control="head-only"))
    assert result.model_dir is not None
    assert not (result.model_dir / "adapter_model.safetensors").exists()
    assert (result.model_dir / "head.safetensors").exists()
    assert json.loads((result.model_dir / "braindash_model.json").read_text())["recipe"] == "head"
    assert any("Training" in r["text"] and "blocks" not in r["text"] for r in of(rows, "log"))


def test_the_read_out_of_noise_starts_at_the_real_runs_penalty(model: SpeechModel, tmp_path: Path) -> None:
    def start(control: str) -> str:
        _, rows = go(model, tmp_path / control, settings(control=control, optimiser={"epochs": 1}))
        line = next(r["text"] for r in of(rows, "log") if "starts at ridge" in r["text"])
        return str(line.split(",")[0])

    real = start("none")
    assert start("random-responses") == start("story-permuted") == real


def test_random_responses_are_what_is_trained_and_chosen_on(model: SpeechModel, tmp_path: Path) -> None:
    study = SmallStudy()
    _, rows = go(model, tmp_path / "a", settings(control="random-responses"), study)
    noise = TuningData(study, settings(control="random-responses"))
    study.data = {
        **study.data,
        **{(t, s): noise.responses(t, s) for s in noise.subjects for t in ("s0", "s1", "s2", "s3")},
    }
    # a real run on that very noise: the head may start elsewhere, so only what precedes training is compared
    _, same = go(model, tmp_path / "b", settings(), study)
    assert of(rows, "epoch")[0]["validation_r"] == pytest.approx(of(same, "epoch")[0]["validation_r"], abs=1e-6)
