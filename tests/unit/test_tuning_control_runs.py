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

from braindash.config import CONTROL_NAMES, TuneConfig
from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel
from braindash.speech.catalogue import describe
from braindash.speech.loading import open_model
from braindash.speech.random_weights import randomised
from braindash.tuning import TuneResult, tune
from braindash.tuning.controls import available
from braindash.tuning.data import TuningData
from braindash.tuning.estimate import estimate
from braindash.tuning.recipes import get_recipe
from braindash.tuning.self_supervised import Sound, StimulusNetwork, hidden_frames, windows_over

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


def test_the_read_out_of_noise_starts_at_the_real_runs_penalty_but_not_at_its_weights(
    model: SpeechModel, tmp_path: Path
) -> None:
    def start(control: str) -> list[str]:
        _, rows = go(model, tmp_path / control, settings(control=control, optimiser={"epochs": 1}))
        line = next(r["text"] for r in of(rows, "log") if "starts at ridge" in r["text"])
        return str(line).split(", ")  # the penalty; the r on the validation stories of what it is fitted to

    found = {c: start(c) for c in ("none", "random-responses", "story-permuted", "block-permuted", "head-only")}
    assert len({alpha for alpha, _ in found.values()}) == 1
    assert len({r for _, r in found.values()}) == 4  # each fitted to its own responses; head-only to the real ones
    assert found["head-only"] == found["none"]


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


def their_loss(folder: Path, waves: np.ndarray, masked: np.ndarray, negatives: np.ndarray) -> tuple[float, float]:
    """Return transformers' own loss of one window (from its own encoder), and a loss written out from its outputs."""
    import transformers

    whole = transformers.Wav2Vec2ForPreTraining.from_pretrained(folder).eval()
    n_frames = int(whole._get_feat_extract_output_lengths(torch.tensor(waves.shape[1])))
    mask = torch.zeros(1, n_frames, dtype=torch.bool)
    mask[0, masked] = True
    among_all = torch.zeros(1, n_frames, negatives.shape[1], dtype=torch.long)
    among_all[0, masked] = torch.from_numpy(masked[negatives])
    x = torch.from_numpy((waves - waves.mean()) / np.sqrt(waves.var() + 1e-7))
    with torch.no_grad():
        out = whole(x, mask_time_indices=mask, sampled_negative_indices=among_all)
        c = torch.nn.functional.normalize(out.projected_states[0, masked], dim=-1)
        q = torch.nn.functional.normalize(out.projected_quantized_states[0, masked], dim=-1)
        total = 0.0
        for t in range(len(masked)):
            logits = [float(c[t] @ q[t]) / 0.1]
            for k in negatives[t]:
                same = torch.equal(
                    out.projected_quantized_states[0, masked[k]], out.projected_quantized_states[0, masked[t]]
                )
                logits += [] if same else [float(c[t] @ q[k]) / 0.1]
            total += float(torch.logsumexp(torch.tensor(logits), 0)) - logits[0]
        hidden = whole.wav2vec2(x, mask_time_indices=mask).extract_features[0, masked]
        entries = whole.quantizer.weight_proj(hidden).view(len(masked), 2, -1).argmax(dim=-1)
        perplexity = 0.0
        for g in range(2):
            share = torch.bincount(entries[:, g], minlength=8).float() / len(masked)
            perplexity += float(torch.exp(-torch.xlogy(share, share).sum()))
        total += 0.1 * (16 - perplexity) / 16 * len(masked)
    return float(out.loss), total


def test_the_pretraining_loss_is_transformers_own_and_what_the_paper_writes(folders: dict[str, Path]) -> None:
    model = open_model(str(folders["pretraining"]))
    config = settings(control="stimulus-only")
    waves = [np.random.default_rng(k).standard_normal(32000).astype(np.float32) for k in range(3)]
    masked, negatives = hidden_frames(3, model.n_frames(32000), 5, seed=1)
    with get_recipe("lora")(model, config, model.n_layers) as prepared:
        network = StimulusNetwork(model, prepared, model.n_layers, config)
        network.set_training(False)
        with torch.no_grad():
            ours = float(network(Sound(waves, masked, negatives)))
    expected = [
        their_loss(folders["pretraining"], w[None], m, n) for w, m, n in zip(waves, masked, negatives, strict=True)
    ]
    n_masked = sum(map(len, masked))
    assert ours == pytest.approx(sum(e[0] for e in expected) / n_masked, rel=1e-4)
    assert ours == pytest.approx(sum(e[1] for e in expected) / n_masked, rel=1e-4)


def test_masks_cover_spans_and_negatives_are_other_masked_frames() -> None:
    masked, negatives = hidden_frames(20, 99, 7, seed=4)
    again, _ = hidden_frames(20, 99, 7, seed=4)
    other, _ = hidden_frames(20, 99, 7, seed=5)
    assert all((a == b).all() for a, b in zip(masked, again, strict=True))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(masked, other, strict=True))
    for at, against in zip(masked, negatives, strict=True):
        assert 20 <= len(at) <= 65
        runs = np.split(at, np.flatnonzero(np.diff(at) != 1) + 1)
        assert all(len(r) >= 10 for r in runs)
        assert against.shape == (len(at), 7)
        assert (against != np.arange(len(at))[:, None]).all()
        assert against.min() >= 0
        assert against.max() < len(at)
    state = np.random.get_state()[1].copy()
    hidden_frames(2, 50, 3, seed=0)
    assert (np.random.get_state()[1] == state).all()
    with pytest.raises(BraindashError, match="21 frames"):
        hidden_frames(1, 20, 3, seed=0)


def test_windows_cover_the_sound_of_a_step() -> None:
    for low, high, n in ((0, 25, 10), (3, 7, 10), (16, 20, 10), (40, 80, 10)):
        spans = windows_over(low, high, n)
        assert {b - a for a, b in spans} == {n}
        covered = {i for a, b in spans for i in range(a, b)}
        assert set(range(low, high)) <= covered
        assert min(covered) >= 0


def test_stimulus_only_learns_its_task_without_reading_a_response_in_training(
    model: SpeechModel, tmp_path: Path
) -> None:
    study, other = SmallStudy(n_tune=2), SmallStudy(n_tune=2)
    other.data = {k: np.roll(y, 3, axis=0)[:, ::-1] for k, y in other.data.items()}
    config = settings(
        control="stimulus-only", keep="last", optimiser={"epochs": 12, "head_lr": 3e-3}, lora={"dropout": 0}
    )
    _, rows = go(model, tmp_path / "a", config, study)
    losses = [r["validation_loss"] for r in of(rows, "epoch")]
    assert np.mean(losses[-3:]) < losses[0] - 0.05
    _, same = go(model, tmp_path / "b", config, other)  # other responses: the same steps, to the last digit
    assert [r["loss"] for r in of(same, "step")] == [r["loss"] for r in of(rows, "step")]
    assert [r["validation_loss"] for r in of(same, "epoch")] == losses
    assert [r["validation_r"] for r in of(same, "epoch")] != [r["validation_r"] for r in of(rows, "epoch")]
    assert all(r["head_validation_r"] is None for r in of(rows, "epoch"))


@pytest.mark.parametrize("control", ["stimulus-only", "random-model", "story-permuted"])
def test_a_stopped_control_goes_on_exactly(model: SpeechModel, tmp_path: Path, control: str) -> None:
    config = settings(control=control)
    whole, rows = go(model, tmp_path / "whole", config)
    part, first = go(model, tmp_path / "part", config, stop=stop_after(8))
    assert part.stopped
    assert 0 < len(of(first, "step")) < len(of(rows, "step"))
    rest, second = go(model, tmp_path / "part", config, resume=True)
    assert [r["loss"] for r in (*of(first, "step"), *of(second, "step"))] == [r["loss"] for r in of(rows, "step")]
    assert whole.model_dir is not None
    assert rest.model_dir is not None
    for name in ("adapter_model.safetensors", "head.safetensors", "braindash_model.json"):
        assert (whole.model_dir / name).read_bytes() == (rest.model_dir / name).read_bytes()


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("whisper", {"control": "stimulus-only"}, "whisper is none"),
        ("wav2vec2", {"control": "stimulus-only"}, "pretraining head .* lacks"),
        ("pretraining", {"control": "stimulus-only", "recipe": "head"}, "recipe is head"),
        ("pretraining", {"control": "stimulus-only", "window": {"context": 0.4, "stride": 0.4}}, "0.4 s are 19 frames"),
        ("pretraining", {"control": "head-only", "recipe": "head"}, "is the run itself"),
    ],
)
def test_controls_that_cannot_be_made_are_refused_before_a_step(
    folders: dict[str, Path], tmp_path: Path, family: str, changes: dict[str, Any], message: str
) -> None:
    chosen = open_model(str(folders[family]))
    config = settings(**changes)
    with pytest.raises(BraindashError, match=message):
        go(chosen, tmp_path, config)
    with pytest.raises(BraindashError, match=message):
        estimate(SmallStudy(), chosen, config)
    if "window" not in changes:
        names, reasons = available(SmallStudy(), describe(chosen.ref), settings(**{**changes, "control": "none"}))
        assert changes["control"] in reasons
        assert changes["control"] not in names


@pytest.mark.parametrize("control", CONTROL_NAMES)
def test_a_control_is_estimated(model: SpeechModel, control: str) -> None:
    found = estimate(SmallStudy(), model, settings(control=control))
    real = estimate(SmallStudy(), model, settings())
    assert found["n_steps"] == real["n_steps"]
    assert found["seconds_per_step"] > 0
    if control != "stimulus-only":
        less = found["n_parameters_trained"] < real["n_parameters_trained"]
        assert less == (control == "head-only")


@pytest.mark.parametrize("control", ["stimulus-only", "random-model", "head-only"])
@pytest.mark.parametrize("large", [False, True])
def test_whole_blocks_below_the_last_layer_are_tuned_and_reopen(tmp_path: Path, control: str, large: bool) -> None:
    kind = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"} if large else {}
    chosen = open_model(str(save_pretraining(tmp_path / "m", **kind)))
    config = settings(
        control=control, recipe="full", layer=2, full={"first_block": 1}, optimiser={"epochs": 1, "lr": 1e-4}
    )
    result, rows = go(chosen, tmp_path / "w", config)
    assert all(np.isfinite(r["loss"]) for r in of(rows, "step"))
    assert result.model_dir is not None
    start = randomised(chosen, 0) if control == "random-model" else chosen
    before, after = start.encoder.state_dict(), open_model(str(result.model_dir)).encoder.state_dict()
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert all(".layers.1." in n for n in moved)  # block 1 alone: 0 is below it, 2 above the layer
    assert bool(moved) == (control != "head-only")
