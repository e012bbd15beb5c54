"""What a model's features are kept under: known without the model, and never another model's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny

import braindash.speech
from braindash.config import Home
from braindash.errors import BraindashError
from braindash.features.identities import FOLDER, Identified, identify, open_identified
from braindash.speech import open_model
from braindash.speech.tuned import write_tuned_info


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A pretrained model and three tuned from it: adapters, whole weights, a head alone."""
    from peft import LoraConfig, get_peft_model

    home = Home(tmp_path)
    save_tiny("wav2vec2", home.models / "base")
    for recipe in ("lora", "full", "head"):
        base = open_model("base", home)
        folder = home.runs / recipe / "model"
        folder.mkdir(parents=True)
        write_tuned_info(folder, base, "base", recipe=recipe)
        if recipe == "lora":
            targets = list(base.linear_targets(2).values())
            get_peft_model(base.encoder, LoraConfig(r=2, target_modules=targets)).save_pretrained(
                folder, save_embedding_layers=False
            )
        elif recipe == "full":
            changed = {k: v.contiguous() + 0.01 for k, v in base.encoder.state_dict().items()}
            save_file(changed, folder / "model.safetensors")
    return home


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were opened."""
    names: list[str] = []

    def seen(ref: str, home: Any = None) -> Any:
        names.append(ref)
        return open_model(ref, home)

    monkeypatch.setattr(braindash.speech, "open_model", seen, raising=False)
    return names


def by_opening(ref: str, home: Home) -> Identified:
    model = open_model(ref, home)
    return Identified(model.identity, model.n_layers, model.width)


@pytest.mark.parametrize("ref", ["base", "lora", "full", "head"])
def test_a_model_is_opened_once(home: Home, opened: list[str], ref: str) -> None:
    first = identify(ref, home)
    assert first == by_opening(ref, home) == identify(ref, home)
    assert opened == [ref]


def test_what_an_evaluation_opened_is_known(home: Home, opened: list[str]) -> None:
    model = open_identified("lora", home)
    assert identify("lora", home).identity == model.identity
    assert opened == ["lora"]


def test_models_of_one_home_are_told_apart(home: Home) -> None:
    found = {ref: identify(ref, home).identity for ref in ("base", "lora", "full", "head")}
    assert len({found["base"], found["lora"], found["full"]}) == 3
    assert found["head"] == found["base"]  # only its head was tuned: the features are the same
    assert {ref: identify(ref, home).identity for ref in found} == found


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(path: Path) -> None:
    tensors = load_file(path)
    name = next(n for n in sorted(tensors) if torch.is_floating_point(tensors[n]) and "layers.2" in n)
    save_file(tensors | {name: tensors[name] + 0.5}, path, metadata={"format": "pt"})


CHANGES: dict[str, tuple[str, Callable[[Home], None]]] = {
    "weights": ("base", lambda h: edit_weights(h.models / "base/model.safetensors")),
    "architecture": ("base", lambda h: edit_json(h.models / "base/config.json", layer_norm_eps=1e-3)),
    "preprocessing": ("base", lambda h: edit_json(h.models / "base/preprocessor_config.json", do_normalize=False)),
    "adapter": ("lora", lambda h: edit_weights(h.runs / "lora/model/adapter_model.safetensors")),
    "scale": ("lora", lambda h: edit_json(h.runs / "lora/model/adapter_config.json", lora_alpha=64)),
    "whole weights": ("full", lambda h: edit_weights(h.runs / "full/model/model.safetensors")),
    "the base's preprocessing": (
        "lora",
        lambda h: edit_json(h.models / "base/preprocessor_config.json", do_normalize=False),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_files_are_another_model(home: Home, opened: list[str], what: str) -> None:
    ref, change = CHANGES[what]
    before = identify(ref, home)
    change(home)
    after = identify(ref, home)
    assert after.identity != before.identity
    assert after == by_opening(ref, home)
    assert opened == [ref, ref]


@pytest.mark.parametrize("ref", ["lora", "full", "head"])
def test_another_base_is_refused_as_when_it_is_opened(home: Home, ref: str) -> None:
    identify(ref, home)
    shutil.rmtree(home.models / "base")
    save_tiny("wav2vec2", home.models / "base", seed=9)
    with pytest.raises(BraindashError, match="tuned from other weights of base"):
        identify(ref, home)


def test_other_libraries_are_asked_anew(home: Home, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    identify("base", home)
    monkeypatch.setattr("braindash.speech.fingerprint._version", lambda library: "99")
    identify("base", home)
    assert opened == ["base", "base"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"identity": "x", "n_layers": 3, "width": 8}',
                '{"identity": "' + "a" * 64 + '", "n_layers": -1, "width": 8}']
)  # fmt: skip
def test_what_is_damaged_is_not_believed(home: Home, content: str) -> None:
    expected = identify("base", home)
    (file,) = (home.features / FOLDER).iterdir()
    whole = file.read_text()
    file.write_text(content)
    assert identify("base", home) == expected
    assert file.read_text() == whole


def test_a_model_that_is_gone_is_said(home: Home) -> None:
    identify("base", home)
    shutil.rmtree(home.models / "base")
    with pytest.raises(BraindashError, match="base"):
        identify("base", home)


def test_nothing_is_kept_of_files_that_changed_while_the_model_was_opened(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(ref: str, home: Any = None) -> Any:
        model = open_model(ref, home)
        edit_weights(home.models / "base/model.safetensors")
        return model

    monkeypatch.setattr(braindash.speech, "open_model", slow, raising=False)
    open_identified("base", home)
    monkeypatch.undo()
    assert not (home.features / FOLDER).exists()
    assert identify("base", home) == by_opening("base", home)
