"""Whole-block tuning from study to model folder, its optimisers, and what is refused before it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from mini_study import write_mini_study
from safetensors.torch import load_file
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import Home, OptimiserConfig, TuneConfig
from braindash.encoding.regions import region_groups
from braindash.errors import BraindashError
from braindash.features.windows import extract
from braindash.jobs.preflight import preflight
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.studies.library import add_study
from braindash.tuning import TuneResult, presets, tune
from braindash.tuning.estimate import estimate
from braindash.tuning.heads import Head
from braindash.tuning.network import Network
from braindash.tuning.objectives import LOSSES, get_loss
from braindash.tuning.optimiser import make_optimiser
from braindash.tuning.recipes import RECIPES, blocks, get_recipe, register

BASE: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "recipe": "full",
    "full": {"first_block": 1},
    "precision": "fp32",
    "window": {"context": 4, "stride": 4},
    "head": {"rank": 3},
    "optimiser": {"epochs": 2, "warmup_steps": 1, "lr": 1e-3, "kind": "adam"},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    "delays": (1, 2),
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
    stop_after: int | None = None,
    resume: bool = False,
) -> tuple[TuneResult, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []

    def stop() -> bool:
        return stop_after is not None and sum(r["kind"] == "step" for r in rows) >= stop_after

    result = tune(
        study or SmallStudy(), model, config, workspace, progress=rows.append, should_stop=stop, resume=resume
    )
    return result, rows


def test_whole_blocks_are_tuned_saved_and_read_back(folder: Path, model: SpeechModel, tmp_path: Path) -> None:
    before = {n: t.clone() for n, t in model.encoder.state_dict().items()}
    result, _ = go(model, tmp_path, settings(model=str(folder), optimiser={"lr": 1e-2}))
    assert result.model_dir == tmp_path / "model"
    files = {"model.safetensors", "head.safetensors", "braindash_model.json", "README.md"}
    assert {p.name for p in result.model_dir.iterdir()} == files
    saved = load_file(result.model_dir / "model.safetensors")
    assert saved.keys() == before.keys()
    changed = {n for n in saved if not torch.equal(saved[n], before[n])}
    assert changed == {n for n in saved if n.startswith(("layers.1.", "layers.2.", "layer_norm."))}
    assert all(torch.equal(t, before[n]) for n, t in model.encoder.state_dict().items())

    audio = SmallStudy().audio("s4")
    tuned, plain = open_model(str(tmp_path)).hidden_states(audio), model.hidden_states(audio)
    assert np.array_equal(tuned[:2], plain[:2])
    assert np.abs(tuned[2:] - plain[2:]).max() > 1e-3

    about = json.loads((result.model_dir / "braindash_model.json").read_text())
    n_trained = sum(before[n].numel() for n in changed)
    assert (about["recipe"], about["n_trained"]) == ("full", n_trained)
    card = (result.model_dir / "README.md").read_text()
    assert f"- trained: all weights of blocks 1 to 2 and the final norm ({n_trained:,} weights), and the head" in card
    assert "load_state_dict" in card
    assert "library_name: transformers" in card


def test_the_card_says_what_else_was_trained_or_left_out(tmp_path: Path) -> None:
    wavlm = open_model(str(save_tiny("wavlm", tmp_path / "wavlm")))
    mask = tmp_path / "mine.npy"
    np.save(mask, np.array([1, 1, 0, 1, 1, 0]))
    one = SmallStudy(n_targets={"sub-01": 6})
    epochs = {"epochs": 1}
    go(wavlm, tmp_path / "a", settings(optimiser=epochs, layer=2, mask=str(mask), loss="temporal"), one)
    card = (tmp_path / "a" / "model" / "README.md").read_text()
    assert "all weights of block 1; not attention.k_proj.bias (it adds the same to a query's score" in card
    assert "encoder.layers.1.final_layer_norm.bias (the loss temporal ignores offsets)" in card
    assert "every target, mask mine.npy" in card
    assert "| sub-01 | 4 | 0 | 0 | 2 | 0 |" in card
    lora = {"rank": 3, "targets": ("q", "fc2"), "first_block": 0}
    go(wavlm, tmp_path / "b", settings(recipe="lora", lora=lora, optimiser=epochs, hemi="left"), one)
    card = (tmp_path / "b" / "model" / "README.md").read_text()
    assert "- trained: adapters of rank 3 on q, fc2 of blocks 0 to 2 (" in card
    assert "every target, left hemisphere" in card
    go(wavlm, tmp_path / "c", settings(recipe="head", optimiser=epochs), one)
    card = (tmp_path / "c" / "model" / "README.md").read_text()
    assert "- trained: nothing of the speech model (0 weights), and the head" in card


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_stopped_and_resumed_equals_never_stopped(model: SpeechModel, tmp_path: Path, kind: str) -> None:
    config = settings(optimiser={"kind": kind}, block_trs=8)
    go(model, tmp_path / "whole", config)
    assert go(model, tmp_path / "cut", config, stop_after=5)[0].stopped
    torch.manual_seed(99)
    _, rows = go(model, tmp_path / "cut", config, resume=True)
    assert any(r.get("resumed_from_step") == 5 for r in rows)
    for file in (tmp_path / "whole" / "model").iterdir():
        assert file.read_bytes() == (tmp_path / "cut" / "model" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("name", ["wav2vec2-large", "wavlm", "data2vec-audio", "moonshine"])
def test_whole_blocks_of_other_families_come_back_from_a_run(name: str, tmp_path: Path) -> None:
    base = open_model(str(save_tiny(name, tmp_path / "base")))
    study = SmallStudy(n_tune=2, n_targets={"sub-01": 6})
    config = settings(model=str(tmp_path / "base"), full={"first_block": 0}, optimiser={"epochs": 1, "lr": 1e-2})
    go(base, tmp_path / "run", config, study)
    audio = study.audio("s3")
    tuned, plain = open_model(str(tmp_path / "run")).hidden_states(audio), base.hidden_states(audio)
    assert np.array_equal(tuned[0], plain[0])
    assert all(np.abs(tuned[k] - plain[k]).max() > 1e-3 for k in (1, 2, 3))
    saved, before = load_file(tmp_path / "run" / "model" / "model.safetensors"), base.encoder.state_dict()
    assert {n for n in saved if not torch.equal(saved[n], before[n])} == set(base.trainable(0, 3))


@pytest.mark.parametrize("changes", [{"gradient_checkpointing": "on"}, {"precision": "bf16"}], ids=str)
def test_whole_blocks_train_alike_with_less_memory_or_precision(
    model: SpeechModel, tmp_path: Path, changes: dict[str, str]
) -> None:
    losses = []
    for name, more in (("plain", {}), ("changed", changes)):
        _, rows = go(model, tmp_path / name, settings(**more))
        losses.append([r["loss"] for r in rows if r["kind"] == "step"])
    assert len(losses[0]) == 6
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-2 if "precision" in changes else 1e-5)


def test_a_changed_mask_is_another_run(model: SpeechModel, tmp_path: Path) -> None:
    mask = tmp_path / "m.npy"
    config = settings(mask=str(mask), optimiser={"epochs": 1})
    study = SmallStudy(n_targets={"sub-01": 6})
    np.save(mask, np.array([1, 1, 1, 0, 0, 0]))
    go(model, tmp_path / "run", config, study)
    np.save(mask, np.array([0, 1, 1, 1, 0, 0]))
    with pytest.raises(BraindashError, match="other settings, stories or targets"):
        go(model, tmp_path / "run", config, study, resume=True)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_frozen_blocks_run_once_whatever_the_number_of_epochs(
    model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    block, front = type(model).block, type(model).front
    calls: list[int] = []

    def counted_block(self: SpeechModel, i: int, state: Any) -> Any:
        calls.append(i)
        return block(self, i, state)

    def counted_front(self: SpeechModel, batch: Any) -> Any:
        calls.append(-1)
        return front(self, batch)

    monkeypatch.setattr(type(model), "block", counted_block)
    monkeypatch.setattr(type(model), "front", counted_front)
    counts = []
    for epochs in (1, 3):
        calls.clear()
        go(model, tmp_path / str(epochs), settings(full={"first_block": first}, optimiser={"epochs": epochs}))
        counts.append([calls.count(i) for i in (-1, 0, 1, 2)])
    frozen = first + 1  # the front end and the blocks below the first that is tuned
    assert counts[0][:frozen] == counts[1][:frozen]
    assert all(a < b for a, b in zip(counts[0][frozen:], counts[1][frozen:], strict=True))


def teach(study: SmallStudy, model: SpeechModel, config: TuneConfig) -> None:
    """Make the study's responses what a copy with other weights in its upper blocks says."""
    torch.manual_seed(5)
    head = Head("hrf_low_rank", model.width, study.n_targets, 3, (1,), study.tr)
    with get_recipe("lora")(model, config, model.n_layers) as prepared, torch.no_grad():
        for name, p in prepared.parameters():
            if "lora_B" in name:
                p.copy_(0.4 * torch.randn_like(p))
        for story, subject in study.data:
            times = study.row_times(story, subject)
            x = torch.from_numpy(extract(model, study.audio(story), times, study.tr, config.window, [3])[0])
            head.set_statistics(x.mean(0), x.std(0))
            study.data[story, subject] = head(x, subject).numpy()


def test_whole_block_tuning_finds_what_was_hidden_in_the_responses(model: SpeechModel, tmp_path: Path) -> None:
    """The head alone cannot find it, and neither can the same tuning on permuted responses."""
    config = settings(optimiser={"epochs": 12, "lr": 6e-4, "head_lr": 1e-3})
    study = SmallStudy(n_tune=6, n_validation=2, n_targets={"a": 12, "b": 10})
    teach(study, model, config)
    end, start = {}, {}
    for name, changes in (("full", {}), ("head", {"recipe": "head"}), ("control", {"control": "block-permuted"})):
        changed = config.model_copy(update={**changes, "permute_block": 4})
        epochs = [r["validation_loss"] for r in go(model, tmp_path / name, changed, study)[1] if r["kind"] == "epoch"]
        start[name], end[name] = epochs[0], min(epochs)
    assert end["full"] < 0.9 * start["full"]
    assert end["head"] > 0.97 * start["head"]
    assert end["control"] > end["full"] + 0.3


@pytest.fixture
def network(model: SpeechModel) -> Any:
    config = settings()
    with get_recipe("full")(model, config, 3) as prepared:
        yield Network(model, prepared, 3, Head("low_rank", 32, {"a": 4}, 2, (0,), 2.0), get_loss("mse"))


def test_one_rate_for_the_encoder_and_one_for_the_head(network: Network) -> None:
    optimiser = make_optimiser(network, OptimiserConfig(lr=2e-4, head_lr=3e-3))
    encoder, head = optimiser.param_groups
    assert (encoder["lr"], encoder["peak"], head["lr"], head["peak"]) == (2e-4, 2e-4, 3e-3, 3e-3)
    assert {id(p) for p in encoder["params"]} == {id(p) for _, p in network.adapters()}
    assert {id(p) for p in head["params"]} == {id(p) for p in network.head.parameters()}
    assert len(make_optimiser(network, OptimiserConfig(head_lr=0)).param_groups) == 1
    assert not any(p.requires_grad for p in network.head.parameters())


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_a_step_is_the_textbooks(network: Network, kind: str) -> None:
    """Adam with an L2 penalty, or AdamW with decoupled decay: two steps, written out."""
    lr, decay, betas, eps = 1e-2, 0.1, (0.9, 0.999), 1e-8
    optimiser = make_optimiser(network, OptimiserConfig(kind=kind, lr=lr, head_lr=1.0, weight_decay=decay))  # type: ignore[arg-type]
    p = next(p for _, p in network.adapters())
    x = p.detach().double().numpy().copy()
    m, v = np.zeros_like(x), np.zeros_like(x)
    rng = np.random.default_rng(0)
    for t in (1, 2):
        g = rng.standard_normal(x.shape)
        p.grad = torch.from_numpy(g).float()
        optimiser.step()
        if kind == "adam":
            g = g + decay * x
        else:
            x = x * (1 - lr * decay)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        x = x - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-4, atol=1e-6)


def test_an_estimate_counts_what_is_trained_and_leaves_the_model_as_it_was(model: SpeechModel) -> None:
    before = {n: t.clone() for n, t in model.encoder.state_dict().items()}
    n_blocks = sum(p.numel() for p in model.trainable(1, 3).values())
    found = estimate(SmallStudy(n_targets={"sub-01": 6}), model, settings())
    assert found["n_parameters_trained"] == n_blocks + 3 * 32 + 6 * 3 + 6  # of a head of rank 3
    assert all(torch.equal(t, before[n]) for n, t in model.encoder.state_dict().items())


def test_a_recipe_is_one_registration() -> None:
    assert RECIPES["full"] == "braindash.tuning.recipes.full:prepared"
    with pytest.raises(ValueError, match="already"):
        register("full", "a:b")
    with pytest.raises(BraindashError, match="Did you mean full"):
        get_recipe("ful")
    assert (blocks(0, 1), blocks(1, 3)) == ("block 0", "blocks 1 to 2")


def test_a_first_block_that_feeds_nothing_is_refused(model: SpeechModel, tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match=r"full\.first_block is 2, but only blocks 0 to 1 feed layer 2"):
        go(model, tmp_path, settings(full={"first_block": 2}, layer=2))
    assert not any(p.requires_grad for p in model.encoder.parameters())


def test_preflight_refuses_unknown_losses_and_blocks_and_counts_the_mask(folder: Path, tmp_path: Path) -> None:
    home = Home.resolve(tmp_path / "home")
    add_study(home, "table", write_mini_study(tmp_path / "mini"))
    np.save(tmp_path / "m.npy", np.r_[np.ones(10), np.zeros(4)])

    def look(**changes: Any) -> Any:
        config = TuneConfig.model_validate({"study": "mini", "model": str(folder), "recipe": "full", **changes})
        return preflight(config, home, timed=False)

    found = look(mask=str(tmp_path / "m.npy"), rois=("loud", "quiet"), hemi="left", optimiser={"lr": 5e-5})
    assert found.ok, found.problems
    assert any("5 of 14 (7 outside the regions, 2 outside the mask, 0 below the ceiling)" in x for x in found.lines())
    assert not any("optimiser.lr" in n for n in found.notes)
    told = [f"{p.what} {p.remedy}" for p in look(loss="mse+spatail").problems]
    assert told == ["There is no loss 'spatail'. Did you mean spatial?"]
    assert "Did you mean spatial" in look(loss="spatail", study="nowhere").problems[0].remedy
    (problem,) = look(full={"first_block": 3}).problems
    assert problem.what == "full.first_block is 3, but the head reads layer 3: no block would be tuned."
    assert "no mask file" in look(mask="nowhere.npy").problems[0].what
    assert any("optimiser.lr" in n for n in look().notes)  # the default suits adapters, not whole blocks
    assert look().disk_needed > look(recipe="lora").disk_needed  # checkpoints hold all that is trained


def test_the_command_line_refuses_an_unknown_loss_with_exit_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from braindash import cli

    home = tmp_path / "home"
    add_study(Home.resolve(home), "table", write_mini_study(tmp_path / "mini"))
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"study": "mini", "model": str(folder), "loss": "spatail"}))
    assert cli.run(["tune", "--config", str(file), "--home", str(home)]) == 2
    assert "Did you mean spatial" in capsys.readouterr().err
    assert not list((home / "runs").glob("*"))


def test_the_guide_names_every_recipe_loss_region_group_and_preset() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    for name in (*RECIPES, *LOSSES, *region_groups(), *presets.names()):
        assert f"`{name}`" in text, name
