"""Presets hold what the papers say, and each value says where it is from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.speech.loading import open_model
from braindash.tuning import presets, tune

# What the papers state, written down apart from the files.
PUBLISHED: dict[str, dict[str, Any]] = {
    "a-iclr": {
        "recipe": "full", "full.first_block": 0, "layer": None, "loss": "mse", "window.context": 10,
        "window.readout": "tr_window", "delays": (0,), "head.kind": "linear", "optimiser.kind": "adam",
        "optimiser.lr": 5e-5, "optimiser.head_lr": 1e-4, "optimiser.warmup_fraction": 0.1,
        "optimiser.schedule": "linear", "optimiser.epochs": 30, "block_trs": 128, "min_ceiling": 0.4, "keep": "best",
    },
    "a-multi": {
        "recipe": "lora", "lora.rank": 8, "lora.alpha": 32, "lora.dropout": 0.1,
        "lora.targets": ("q", "k", "v", "out"), "loss": "mse", "window.context": 10, "window.readout": "tr_window",
        "delays": (0,), "head.kind": "linear", "head.shared_output": True, "optimiser.lr": 1e-4,
        "optimiser.head_lr": 1e-4, "optimiser.epochs": 30, "pairs": True, "rois": ("auditory_language",),
        "keep": "last",
    },
    "b-brainwavlm": {
        "model": "microsoft/wavlm-base-plus", "layer": 9, "recipe": "lora", "lora.rank": 4, "lora.alpha": 4,
        "lora.dropout": 0.1, "lora.targets": ("q", "k", "v"), "loss": "spatial", "window.context": 4,
        "window.stride": 0.25, "window.readout": "last", "delays": (1, 2, 3, 4), "head.kind": "low_rank",
        "head.rank": 100, "optimiser.kind": "adam", "optimiser.lr": 1e-4, "optimiser.epochs": 20, "block_trs": 10,
        "keep": "best", "rois": (), "hemi": "both",
    },
}  # fmt: skip
EVALUATION = {
    "encoding.window.context": 16, "encoding.window.stride": 0.1, "encoding.window.readout": "last",
    "encoding.delays": (1, 2, 3, 4),
}  # fmt: skip


def at(config: TuneConfig, path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part)
    return value


def test_every_preset_is_pinned() -> None:
    assert presets.names() == tuple(sorted(PUBLISHED))


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_a_configuration_with_the_published_values(name: str) -> None:
    config = TuneConfig.model_validate({**presets.load(name), "study": "any"})
    expected = PUBLISHED[name] | EVALUATION
    assert {path: at(config, path) for path in expected} == expected


@pytest.mark.parametrize("name", presets.names())
def test_every_value_says_where_it_is_from(name: str) -> None:
    lines = (presets.FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if re.match(r"\s*\w+: \S", line)]
    assert len(values) > 25
    for line in values:
        comment = line.partition(" # ")[2]
        assert re.search(r"\b2\d{3}\.\d{5}\b|our choice|not used|released code|of the paper", comment), line


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(BraindashError, match="Did you mean b-brainwavlm"):
        presets.load("brainwavlm")


def test_what_is_changed_in_a_loaded_preset_stays_there() -> None:
    presets.load("a-iclr")["optimiser"]["lr"] = 1.0
    assert presets.load("a-iclr")["optimiser"]["lr"] == 5e-5


PARCELS = ["A1", "LBelt", "A5", "44", "55b", "PGi", "V1", "V2"]


def listeners(seconds: float, tr: float) -> SmallStudy:
    """Two subjects with the same eight targets, six of them auditory or language."""
    study = SmallStudy(n_tune=2, seconds=seconds, tr=tr, n_targets={"sub-01": 8, "sub-02": 8})
    for subject, table in study.table.items():
        study.table[subject] = table.assign(roi=PARCELS)
    return study


# What a test's time forces: two epochs, two short stories, narrow models of three blocks, or of the nine asked for.
TINY: dict[str, tuple[str, dict[str, int], float, float]] = {
    "a-iclr": ("hubert", {}, 16, 2),
    "a-multi": ("hubert", {}, 16, 2),
    "b-brainwavlm": ("wavlm", {"num_hidden_layers": 9}, 6, 0.75),
}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_tunes(name: str, tmp_path: Path) -> None:
    family, changes, seconds, tr = TINY[name]
    base = save_tiny(family, tmp_path / "base", **changes)
    settings = presets.load(name)
    settings["optimiser"]["epochs"] = 2
    config = TuneConfig.model_validate({**settings, "study": "small", "model": str(base), "precision": "fp32"})
    rows: list[dict[str, Any]] = []
    model = open_model(base)
    study = listeners(seconds, tr)
    result = tune(study, model, config, tmp_path / "run", progress=rows.append, should_stop=lambda: False)
    assert result.model_dir is not None
    steps = [r for r in rows if r["kind"] == "step"]
    assert len(steps) == 2 * 2 * 2  # epochs, stories, subjects: one pair a step
    about = json.loads((result.model_dir / "braindash_model.json").read_text())
    n_targets = {"a-iclr": 5, "a-multi": 6, "b-brainwavlm": 8}[name]  # above the ceiling; of the regions; all
    assert {c["n_targets"] for c in about["targets"].values()} == {n_targets}
    if name == "a-iclr":
        saved = load_file(result.model_dir / "model.safetensors")
        assert about["trained"].startswith("all weights of blocks 0 to 2")
        pretrained = model.encoder.state_dict()  # as it was: a recipe leaves the model alone when it ends
        changed = {k for k in saved if not np.array_equal(saved[k].numpy(), pretrained[k].numpy())}
        assert {k.split("layers.")[1][0] for k in changed} == {"0", "1", "2"}
        assert all(k.startswith("encoder.layers.") for k in changed)
    else:
        adapter = json.loads((result.model_dir / "adapter_config.json").read_text())
        adapted = {k.partition(".lora_")[0] for k in load_file(result.model_dir / "adapter_model.safetensors")}
        expected = {"a-multi": (8, 32, 0.1), "b-brainwavlm": (4, 4, 0.1)}[name]
        assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == expected
        kinds = {"q_proj", "k_proj", "v_proj"} | ({"out_proj"} if name == "a-multi" else set())
        assert {m.rpartition(".")[2] for m in adapted} == kinds
        assert len(adapted) == len(kinds) * model.n_layers
    head = load_file(result.model_dir / "head.safetensors")
    if name == "a-multi":
        assert result.best_epoch == 2  # the last, whatever the validation says
        assert [k for k in head if k.startswith("outputs")] == ["outputs.0.bias", "outputs.0.weight"]
        assert head["outputs.0.weight"].shape == (6, 32)
    if name == "b-brainwavlm":
        assert head["shared.weight"].shape == (100, 4 * 32)
        assert len({s["lr"] for s in steps}) == 1
        assert about["layer"] == 9
    else:
        assert steps[0]["lr"] == pytest.approx(config.optimiser.lr)  # 10 % of 8 steps is one step of warm-up
        assert np.all(np.diff([s["lr"] for s in steps[1:]]) < 0)
    assert (result.epochs["validation_r"].abs() <= 1).all()
