"""Presets hold what the papers say, and each value says where it is from."""

from __future__ import annotations

import re
from typing import Any

import pytest

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.tuning import presets

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
