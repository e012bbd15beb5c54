"""A configuration becomes a command, and the command becomes the same configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from braindash.config import (
    EncodingConfig,
    FullConfig,
    HeadConfig,
    LoraConfig,
    OptimiserConfig,
    TuneConfig,
    WindowConfig,
)
from braindash.errors import BraindashError
from braindash.jobs.command import build_config, command_for

EVERYTHING = TuneConfig(
    study="my_study-1",
    model="/a folder/with 'quotes'",
    subjects=("sub-01", "sub-02"),
    recipe="head",
    loss="spatial+0.5*mse",
    control="block-permuted",
    permute_block=7,
    rois=("late_language", "ifg"),
    hemi="left",
    mask="masks/{subject} 1.npy",
    min_ceiling=0.15,
    layer=6,
    full=FullConfig(first_block=3),
    pairs=True,
    stories_per_step=4,
    keep="last",
    gradient_checkpointing="off",
    halve_on_memory=True,
    trackers=("tensorboard", "mlflow"),
    analyses=("rsa",),
    group="a sweep",
    preset="a-iclr",
    window=WindowConfig(context=8.0, stride=0.5, readout="mean"),
    delays=(2, 3),
    lora=LoraConfig(rank=4, alpha=1e-05, dropout=0.1, targets=("q", "v"), first_block=0),
    head=HeadConfig(kind="linear", rank=3, init="random", refit="epoch", pooling="attention", shared_output=True),
    optimiser=OptimiserConfig(
        kind="adam",
        warmup_fraction=0.1,
        lr=1e-7,
        head_lr=0,
        warmup_steps=0,
        schedule="linear",
        epochs=9,
        patience=2,
        clip=1e20,
    ),
    block_trs=50,
    precision="bf16",
    device="cuda:1",
    checkpoint_steps=3,
    keep_checkpoints=5,
    seed=2**32 - 1,
    name="-- ¿no: 'yes'; $(rm -rf ~) `x` \n \"#null\" 🧠",
    evaluate=False,
    encoding=EncodingConfig(layers=(0, 3), alphas=(1e-3, 1e12), n_boot=100, ceiling_threshold=0.0, seed=3),
)


@pytest.mark.parametrize(
    "config",
    [
        TuneConfig(study="demo", model="whisper-tiny.en"),
        EVERYTHING,
        TuneConfig(study="demo", model="m", rois=("a,b", "c"), subjects=()),
        TuneConfig(study="demo", model="m", rois=(" padded ",), subjects=("",)),
        TuneConfig(study="demo", model="m", name="-x", rois=("-a",)),
        TuneConfig(study="no", model="null", name="null", subjects=("1", "2")),
        TuneConfig(study="1", model="1e3", device="cpu"),
        TuneConfig(study="demo", model="m", rois=("1", "null", "[x]", "yes")),
    ],
)
def test_the_command_line_parser_gives_the_configuration_back(config: TuneConfig) -> None:
    from braindash.cli import config_of_command

    command = command_for(config)
    assert config_of_command(shlex.split(command)[1:]) == config


def test_defaults_are_not_spelt_out() -> None:
    assert command_for(TuneConfig(study="demo", model="whisper-tiny.en")) == (
        "braindash tune --study demo --model whisper-tiny.en"
    )
    config = TuneConfig(study="demo", model="m", loss="spatial", lora=LoraConfig(rank=4))
    assert command_for(config, Path("/data/home")) == (
        "braindash tune --study demo --model m --loss spatial --set lora.rank=4 --home /data/home"
    )


PRESETS = ("a-iclr", "a-multi", "b-brainwavlm")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_named_in_the_command_and_given_back(preset: str) -> None:
    from braindash.cli import config_of_command

    config = config_of_command(["tune", "--study", "demo", "--preset", preset, "--set", "optimiser.epochs=2"])
    assert config.preset == preset
    assert config.optimiser.epochs == 2
    command = command_for(config)
    assert command == (f"braindash tune --preset {preset} --study demo --model {config.model} --set optimiser.epochs=2")
    assert config_of_command(shlex.split(command)[1:]) == config
    # back at a default that the preset changes: the default must be spelt out
    plain = TuneConfig(study="demo", model="m", preset=preset)
    assert config_of_command(shlex.split(command_for(plain))[1:]) == plain


def test_a_preset_gives_way_to_the_file_the_options_and_set(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("study: a\noptimiser: {lr: 7.0e-5}\nblock_trs: 64\nhead: {kind: low_rank}\n")
    config = build_config(preset="a-iclr", file=file, named={"hemi": "left"}, settings=["block_trs=32"])
    assert (config.recipe, config.optimiser.kind) == ("full", "adam")  # of the preset
    assert config.head.init == "random"  # beside what the file says of the head
    assert (config.optimiser.lr, config.head.kind) == (7e-5, "low_rank")  # of the file
    assert (config.hemi, config.block_trs) == ("left", 32)
    assert config.preset == "a-iclr"
    with pytest.raises(BraindashError, match="Did you mean a-iclr"):
        build_config(preset="a-icrl", named={"study": "a"})


def test_a_preset_that_is_no_more_is_a_label() -> None:
    config = TuneConfig(study="demo", model="m", preset="long-gone", loss="spatial")
    assert "--set 'preset=\"long-gone\"'" in command_for(config)


def test_words_that_yaml_takes_for_truth_values_stay_words() -> None:
    named = {"study": "a", "model": "m"}
    assert build_config(named=named, settings=["gradient_checkpointing=off"]).gradient_checkpointing == "off"
    assert build_config(named=named, settings=["pairs=yes", "evaluate=false"]).pairs is True


def test_every_setting_differs_in_the_full_example() -> None:
    """Guards the parse-back test: a setting left at its default would not be tested."""
    default = TuneConfig(study="x", model="y").model_dump()
    for key, value in EVERYTHING.model_dump().items():
        assert key == "braindash" or value != default[key], key


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("study: a\nmodel: m\nseed: 1\nlora: {rank: 2, dropout: 0.5}\n")
    config = build_config(file=file, named={"seed": 2, "loss": None}, settings=["lora.rank=4", "seed=3"])
    assert (config.seed, config.lora.rank, config.lora.dropout) == (3, 4, 0.5)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("lora.rnak=4", ["lora.rnak", "Did you mean rank"]),
        ("optimizer.lr=1", ["'optimizer'", "optimiser"]),
        ("lora=4", ["lora is a section", "lora.rank"]),
        ("lora.rank.x=1", ["lora.rank"]),
        ("seed.x=1", ["seed"]),
        ("seed", ["not KEY=VALUE"]),
        ("=4", ["not KEY=VALUE"]),
        ("lora.rank=many", ["lora.rank", "'many'"]),
        ("lora.rank=[", ["lora.rank", "'['"]),
        ("lora.rank=-1", ["lora.rank", "-1"]),
        ("window.stride=99", ["stride (99 s) must not exceed context"]),
    ],
)
def test_a_wrong_setting_is_named(setting: str, words: list[str]) -> None:
    with pytest.raises(BraindashError) as caught:
        build_config(named={"study": "a", "model": "m"}, settings=[setting])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"study: a\nmodel: [\n", ["line 3", "not YAML"]),
        (b"- a\n", ["does not hold settings"]),
        (b"", ["does not hold settings"]),
        (b"\xff\xfe", ["UTF-8"]),
        (b"study: a\nmodel: m\nlosss: mse\n", ["losss", "Did you mean loss"]),
        (b"study: a\n", ["No model is named"]),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: bytes, words: list[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(text)
    with pytest.raises(BraindashError) as caught:
        build_config(file=file)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match=r"nowhere\.yaml cannot be read"):
        build_config(file=tmp_path / "nowhere.yaml")
