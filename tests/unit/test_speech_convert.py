"""Pickled state dicts: what is mapped and counted, and what hostile or damaged files come to."""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import save_tiny

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.speech import convert as converting
from braindash.speech import open_model
from braindash.speech.convert import convert
from braindash.speech.fitting import fit_weights
from braindash.speech.names import match_names

AUDIO = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pretrained model and, as if tuned from it, one of other weights."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny("wav2vec2", folder / "base")
    save_tiny("wav2vec2", folder / "tuned", seed=7)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def weights(models: Path) -> Tensors:
    return load_file(models / "tuned" / "model.safetensors")


def error_of(file: Path, models: Path, home: Home, **options: Any) -> str:
    with pytest.raises(BraindashError) as caught:
        convert(file, file.parent / "out", str(models / "base"), home, **options)
    assert "\n" not in str(caught.value)
    assert not (file.parent / "out").exists()
    assert not [p for p in file.parent.iterdir() if p.name.startswith(".out")]
    return str(caught.value)


# -- what is converted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "nested", "old_format"),
    [
        ("", None, False),
        ("module.", "state_dict", False),
        ("wav2vec2.", "model_state_dict", True),
        ("base_model.model.", None, False),
        ("module.speech.model.wav2vec2.", "model", False),
    ],
)
def test_a_state_dict_under_any_prefix_gives_its_own_hidden_states(
    models: Path, home: Home, tmp_path: Path, prefix: str, nested: str | None, old_format: bool
) -> None:
    state: Any = {prefix + k: v for k, v in weights(models).items()} | {"brain_head.weight": torch.zeros(4, 32)}
    content = {nested: state, "epoch": 3, "optimizer": {"lr": 0.1}} if nested else state
    torch.save(content, tmp_path / "m.pth", _use_new_zipfile_serialization=not old_format)
    done = convert(tmp_path / "m.pth", tmp_path / "out", str(models / "base"), home)
    n = len(weights(models))
    assert (done.matched, done.wanted, done.missing, done.prefix) == (n, n, (), prefix)
    assert done.unexpected == ("brain_head.weight",)
    assert done.lines()[0].startswith(f"{n} of {n} tensors matched")
    expected = open_model(models / "tuned", home).hidden_states(AUDIO)
    assert np.array_equal(open_model(tmp_path / "out", home).hidden_states(AUDIO), expected)
    assert np.abs(expected - open_model(models / "base", home).hidden_states(AUDIO)).max() > 0.01
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["braindash_model.json", "model.safetensors"]


def test_older_names_of_weight_norm_half_precision_and_shared_memory(models: Path, home: Home, tmp_path: Path) -> None:
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for name, tensor in weights(models).items():
        for new, before in old.items():
            name = name.replace(new, before)
        state[name] = tensor.half()
    whole = torch.cat([t.reshape(-1) for t in state.values()])  # views of one storage, as some optimisers keep them
    views, at = {}, 0
    for name, tensor in state.items():
        views[name] = whole[at : at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    torch.save(views, tmp_path / "m.bin")
    assert convert(tmp_path / "m.bin", tmp_path / "out", str(models / "base"), home).missing == ()
    expected = open_model(models / "tuned", home).hidden_states(AUDIO)
    assert np.abs(open_model(tmp_path / "out", home).hidden_states(AUDIO) - expected).max() < 0.02


def test_the_transformer_alone_takes_the_rest_from_the_base_only_when_told(
    models: Path, home: Home, tmp_path: Path
) -> None:
    inner = {k.removeprefix("encoder."): v for k, v in weights(models).items() if k.startswith("encoder.layers")}
    torch.save(inner, tmp_path / "m.pt")
    said = error_of(tmp_path / "m.pt", models, home)
    n = len(weights(models))
    assert f"{len(inner)} of {n} tensors" in said
    assert f"{n - len(inner) - 1} are missing" in said  # the mask's embedding is not read
    assert "--fill-missing" in said
    done = convert(tmp_path / "m.pt", tmp_path / "out", str(models / "base"), home, fill_missing=True)
    assert done.matched == len(inner)
    made, base = load_file(tmp_path / "out" / "model.safetensors"), load_file(models / "base" / "model.safetensors")
    tuned = weights(models)
    for name, tensor in made.items():
        assert torch.equal(tensor, (tuned if name.startswith("encoder.layers") else base)[name]), name


def test_two_encoders_in_a_file_must_be_told_apart(models: Path, home: Home, tmp_path: Path) -> None:
    base = load_file(models / "base" / "model.safetensors")
    both = {f"teacher.{k}": v for k, v in base.items()} | {f"student.{k}": v for k, v in weights(models).items()}
    torch.save(both, tmp_path / "m.pth")
    said = error_of(tmp_path / "m.pth", models, home)
    assert "2 encoders, under 'student.' and 'teacher.'" in said
    assert "--prefix" in said
    convert(tmp_path / "m.pth", tmp_path / "out", str(models / "base"), home, prefix="student.")
    assert torch.equal(load_file(tmp_path / "out" / "model.safetensors")["encoder.layers.0.attention.k_proj.weight"],
                       weights(models)["encoder.layers.0.attention.k_proj.weight"])  # fmt: skip
    shutil.rmtree(tmp_path / "out")
    assert "None of its" in error_of(tmp_path / "m.pth", models, home, prefix="nobody.")


def test_a_decoder_with_layers_of_the_same_names_is_not_the_encoder(tmp_path: Path, home: Home) -> None:
    save_tiny("whisper", tmp_path / "base", decoder_layers=3)
    state = load_file(tmp_path / "base" / "model.safetensors")
    model = open_model(tmp_path / "base", home)
    fitted, report = fit_weights({f"net.{k}": v for k, v in state.items()}, model)
    assert report.prefix == "net.model.encoder."
    assert all(torch.equal(fitted[k], state[f"model.encoder.{k}"]) for k in fitted)
    match = match_names([f"model.{part}.layers.0.self_attn.q_proj" for part in ("encoder", "decoder")],
                        ["layers.0.self_attn.q_proj"], heads=model.heads)  # fmt: skip
    assert match.prefix == "model.encoder."


def test_an_adapter_saved_as_bin_needs_its_settings(models: Path, home: Home, tmp_path: Path) -> None:
    import peft
    import transformers

    encoder = transformers.Wav2Vec2Model.from_pretrained(models / "base").eval()
    wrapped = peft.get_peft_model(encoder, peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_B" in name:
                p.normal_(generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wave = torch.from_numpy((AUDIO - AUDIO.mean()) / np.sqrt(AUDIO.var() + 1e-7))
        states = wrapped(wave[None], output_hidden_states=True).hidden_states
    torch.save(peft.get_peft_model_state_dict(wrapped), tmp_path / "adapter_model.bin")
    assert "no adapter_config.json beside it" in error_of(tmp_path / "adapter_model.bin", models, home)
    wrapped.peft_config["default"].save_pretrained(str(tmp_path))
    done = convert(tmp_path / "adapter_model.bin", tmp_path / "out", str(models / "base"), home)
    assert (done.matched, done.unexpected) == (12, ())
    got = open_model(tmp_path / "out", home).hidden_states(AUDIO)
    assert np.abs(got - np.stack([s[0].numpy() for s in states])).max() < 1e-5


# -- what is refused -------------------------------------------------------------------------------


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_hostile_pickle_is_refused_and_does_nothing(models: Path, home: Home, tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    bomb = Payload(f"touch {fuse}")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(bomb))
    torch.save({"state_dict": weights(models), "x": bomb}, tmp_path / "zip.pth")
    torch.save({"state_dict": weights(models), "x": bomb}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("plain.pth", "zip.pth", "old.pth"):
        said = error_of(tmp_path / name, models, home)
        assert "holds more than tensors" in said, said
        assert "posix.system" in said or name == "plain.pth"
        assert "weights_only" not in said  # torch's own advice is to trust the file
        assert not fuse.exists()
    # the payload is a real one: whoever trusts the file runs it
    torch.load(tmp_path / "zip.pth", weights_only=False)
    assert fuse.exists()


def test_the_reading_process_can_run_nothing_even_if_torch_were_fooled(tmp_path: Path) -> None:
    """The second guard by itself: with torch's own check taken away, the audit hook still refuses."""
    fuse = tmp_path / "fuse"
    torch.save({"w": torch.zeros(2), "x": Payload(f"touch {fuse}")}, tmp_path / "m.pth")
    code = (
        "import sys, torch\n"
        "from braindash.speech import unpickle\n"
        "real = torch.load\n"
        "torch.load = lambda file, **options: real(file, weights_only=False)\n"
        f"sys.exit(unpickle.main([{str(tmp_path / 'm.pth')!r}, {str(tmp_path / 'o')!r}, '2000000000', '60']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_source())
    assert '"outcome": "refused"' in done.stdout, done.stdout + done.stderr
    assert "the file asked for" in done.stdout
    assert not fuse.exists()


def test_what_holds_more_than_tensors_is_told_how_to_be_saved(models: Path, home: Home, tmp_path: Path) -> None:
    torch.save({"args": argparse.Namespace(lr=1), "model": weights(models)}, tmp_path / "fairseq.pt")
    said = error_of(tmp_path / "fairseq.pt", models, home)
    assert "argparse.Namespace" in said
    assert "state_dict()" in said


@pytest.mark.parametrize(("keep", "old_format"), [(0.02, False), (0.98, False), (0.02, True), (0.98, True)])
def test_truncated_files_are_one_line(models: Path, home: Home, tmp_path: Path, keep: float, old_format: bool) -> None:
    torch.save(weights(models), tmp_path / "whole.pth", _use_new_zipfile_serialization=not old_format)
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "m.pth").write_bytes(content[: int(len(content) * keep)])
    assert "is damaged or cut short" in error_of(tmp_path / "m.pth", models, home)


def test_zip_bombs_are_refused_unread(
    models: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "m.pth", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        out.writestr("archive/data/0", bytes(50_000_000))
    monkeypatch.setattr(converting, "_read_apart", lambda *_: pytest.fail("it was read"))
    said = error_of(tmp_path / "m.pth", models, home)
    assert "would unpack to 50,000,006 bytes" in said


def test_a_file_that_asks_for_much_memory_is_stopped(models: Path, home: Home, tmp_path: Path) -> None:
    """A few bytes that stand for 2.4 GB: a tensor of one stored number, expanded."""
    huge = torch.zeros(1).expand(600_000_000)
    torch.save({"encoder.layers.0.attention.k_proj.weight": huge}, tmp_path / "m.pth")
    assert (tmp_path / "m.pth").stat().st_size < 10_000
    assert "needs more memory than" in error_of(tmp_path / "m.pth", models, home)


def test_files_that_are_no_weights_are_said(models: Path, home: Home, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "none.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"a": torch.zeros(3), "b": torch.ones(2)}, tmp_path / "other.pth")
    assert "0 bytes" in error_of(tmp_path / "none.pth", models, home)
    assert "holds no weights: it holds a list" in error_of(tmp_path / "list.pth", models, home)
    assert "None of its 2 tensors is one of the encoder's" in error_of(tmp_path / "other.pth", models, home)
    assert "text.pth" in error_of(tmp_path / "text.pth", models, home)
    assert "There is no file" in error_of(tmp_path / "nothing.pth", models, home)
    assert "safetensors already" in error_of(
        Path(shutil.copy(models / "base" / "model.safetensors", tmp_path)), models, home
    )


def test_weights_that_cannot_be_those_of_the_base(models: Path, home: Home, tmp_path: Path) -> None:
    state = weights(models)
    name = "encoder.layers.1.attention.k_proj.weight"
    torch.save(state | {name: torch.zeros(5, 32)}, tmp_path / "shape.pth")
    assert "[5, 32], not [32, 32]" in error_of(tmp_path / "shape.pth", models, home)
    torch.save(state | {name: torch.full((32, 32), float("nan"))}, tmp_path / "nan.pth")
    assert f"{name} holds values that are not finite" in error_of(tmp_path / "nan.pth", models, home)
    torch.save(state | {name.replace("weight", "lora_A.default.weight"): torch.zeros(2, 32)}, tmp_path / "lora.pth")
    assert "adapters that are not merged" in error_of(tmp_path / "lora.pth", models, home)


def test_what_is_there_is_not_replaced(models: Path, home: Home, tmp_path: Path) -> None:
    torch.save(weights(models), tmp_path / "m.pth")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(BraindashError, match="is there already"):
        convert(tmp_path / "m.pth", tmp_path / "out", str(models / "base"), home)
    assert (tmp_path / "out" / "precious").exists()


def _source() -> Path:
    return Path(__file__).resolve().parents[2]
