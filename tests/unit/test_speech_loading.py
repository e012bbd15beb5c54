"""What may be opened as a model, and what is refused with a remedy."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny

from braindash.errors import BraindashError
from braindash.speech import describe, list_models, open_model
from braindash.speech.tuned import write_tuned_info

AUDIO = (0.1 * np.random.default_rng(0).standard_normal(9000)).astype(np.float32)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return save_tiny("wav2vec2", tmp_path / "tiny-wav2vec2")


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / "model.safetensors"
    tensors = {k: v.clone() for k, v in load_file(path).items()}
    save_file({k: v.contiguous() for k, v in change(tensors).items()}, path, metadata={"format": "pt"})


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# -- what is opened ----------------------------------------------------------------------------


@pytest.mark.parametrize("naming", ["weight_g", "original0"])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert-large", "wavlm"])
def test_weight_norm_is_read_under_both_names(tmp_path: Path, family: str, naming: str) -> None:
    """The positional convolution is g * v / |v| of the file, norms taken over all but the kernel axis."""
    folder = save_tiny(family, tmp_path / "m")
    old = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    if naming == "weight_g":

        def rename(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {_replace(_replace(k, old["weight_g"], "weight_g"), old["weight_v"], "weight_v"): v
                    for k, v in tensors.items()}  # fmt: skip

        edit_tensors(folder, rename)
    tensors = load_file(folder / "model.safetensors")
    g, v = (next(t for k, t in tensors.items() if k.endswith(end)) for end in (
        ("weight_g", "weight_v") if naming == "weight_g" else tuple(old.values())))  # fmt: skip
    expected = g * v / v.square().sum((0, 1), keepdim=True).sqrt()
    model = open_model(folder)
    weight = model.encoder.encoder.pos_conv_embed.conv.weight
    assert torch.allclose(weight, expected, atol=1e-6)


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def test_a_parameter_left_at_its_initial_value_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers reports nothing, yet the positional convolution is not the file's."""
    real = transformers.Wav2Vec2Model.from_pretrained

    def forgetful(*args: Any, **kwargs: Any) -> Any:
        model, info = real(*args, **kwargs)
        with torch.no_grad():
            model.encoder.pos_conv_embed.conv.parametrizations.weight.original1.normal_()
        return model, info

    monkeypatch.setattr(transformers.Wav2Vec2Model, "from_pretrained", forgetful)
    with pytest.raises(BraindashError, match=r"pos_conv_embed\.conv\.parametrizations\.weight\.original1"):
        open_model(tiny)


def test_prefixes_heads_shards_and_half_precision_make_no_difference(tiny: Path, tmp_path: Path) -> None:
    expected = open_model(tiny).hidden_states(AUDIO)
    tensors = load_file(tiny / "model.safetensors")
    headed = shutil.copytree(tiny, tmp_path / "ctc")
    edit_tensors(headed, lambda t: {f"wav2vec2.{k}": v for k, v in t.items()} | {"lm_head.weight": torch.zeros(5, 32)})
    assert np.array_equal(open_model(headed).hidden_states(AUDIO), expected)

    sharded = shutil.copytree(tiny, tmp_path / "sharded")
    (sharded / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({n: tensors[n] for n in part}, sharded / file)
    weight_map = {n: file for file, part in parts.items() for n in part}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    model = open_model(sharded)
    assert np.array_equal(model.hidden_states(AUDIO), expected)
    assert model.weights_hash == open_model(tiny).weights_hash
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BraindashError, match="model-00002-of-00002"):
        open_model(sharded)

    half = shutil.copytree(tiny, tmp_path / "half")
    edit_tensors(half, lambda t: {k: v.half() for k, v in t.items()})
    model = open_model(half)
    assert next(model.encoder.parameters()).dtype == torch.float32
    assert np.abs(model.hidden_states(AUDIO) - expected).max() < 0.05


def test_masked_spec_embed_may_be_missing(tiny: Path) -> None:
    expected = open_model(tiny).hidden_states(AUDIO)
    edit_tensors(tiny, lambda t: {k: v for k, v in t.items() if k != "masked_spec_embed"})
    assert np.array_equal(open_model(tiny).hidden_states(AUDIO), expected)


def test_weights_hash_follows_the_tensors(tiny: Path) -> None:
    first = open_model(tiny).weights_hash
    assert open_model(tiny).weights_hash == first
    edit_tensors(tiny, lambda t: t)
    assert open_model(tiny).weights_hash == first
    edit_tensors(tiny, lambda t: {**t, "masked_spec_embed": t["masked_spec_embed"] + 1})
    assert open_model(tiny).weights_hash != first


def test_model_of_the_home_is_found_by_name(home: Path) -> None:
    folder = save_tiny("hubert", home / "models" / "my-hubert")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# mine\n")
    model = open_model("my-hubert", home)
    assert (model.id, model.family, model.licence) == ("my-hubert", "hubert", "apache-2.0")
    info = describe("my-hubert", home)
    assert (info.kind, info.n_layers, info.width, info.weights_hash) == ("folder", 3, 32, model.weights_hash)
    assert info.n_bytes == (folder / "model.safetensors").stat().st_size
    (home / "models" / "broken").mkdir()
    listed = {m.id: m for m in list_models(home)}
    assert set(listed) == {"whisper-tiny.en", "my-hubert", "broken"}
    assert "config.json does not exist" in listed["broken"].problem


def test_hub_id_is_read_from_the_local_cache(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "hub"
    commit = "0" * 40
    repo = cache / "models--someone--tiny-hubert"
    save_tiny("hubert", repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = open_model("someone/tiny-hubert", home)
    assert model.id == "someone/tiny-hubert"
    assert "Hugging Face cache" in model.source
    assert model.hidden_states(AUDIO).shape[0] == 4
    assert describe("someone/tiny-hubert", home).kind == "hub"
    with pytest.raises(BraindashError, match=r"cannot be reached.*give its path instead"):
        open_model("someone/another", home)


# -- tuned models ------------------------------------------------------------------------------


def tune_a_little(base_folder: str | Path, run: Path, base_ref: str, home: Path) -> np.ndarray:
    """Write a LoRA-tuned model as a run would; return its last layer."""
    from peft import LoraConfig, get_peft_model

    base = open_model(base_folder, home)
    (run / "model").mkdir(parents=True)
    write_tuned_info(run / "model", base, base_ref, layer=3)
    targets = list(base.linear_targets(2).values())
    tuned = get_peft_model(base.encoder, LoraConfig(r=2, lora_alpha=8, target_modules=targets))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in tuned.named_parameters():
            if "lora_B" in name:
                p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    tuned.save_pretrained(run / "model", save_embedding_layers=False)
    return base.hidden_states(AUDIO)


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "whisper"])
def test_tuned_run_is_base_plus_adapter(home: Path, family: str) -> None:
    folder = save_tiny(family, home / "models" / "base")
    run = home / "runs" / "20260101-abcd"
    expected = tune_a_little(folder, run, "base", home)
    pretrained = open_model("base", home)
    for ref in ("20260101-abcd", str(run), str(run / "model")):
        model = open_model(ref, home)
        states = model.hidden_states(AUDIO)
        assert np.abs(states - expected).max() < 1e-4
        assert model.id == "20260101-abcd"
    assert np.abs(states[:3] - pretrained.hidden_states(AUDIO)[:3]).max() < 1e-6
    assert np.abs(states[3] - pretrained.hidden_states(AUDIO)[3]).max() > 1e-2
    assert model.weights_hash != pretrained.weights_hash
    assert model.weights_hash == open_model(str(run), home).weights_hash
    assert not any("lora" in name for name, _ in model.encoder.named_parameters())
    assert model.source == f"tuned by the run 20260101-abcd, from base ({pretrained.source})"
    info = describe("20260101-abcd", home)
    assert (info.kind, info.base, info.n_layers) == ("tuned", "base", 3)
    assert info.weights_hash == model.weights_hash
    assert {m.id for m in list_models(home)} == {"whisper-tiny.en", "base", "20260101-abcd"}


def test_tuned_run_with_whole_weights(home: Path) -> None:
    base = open_model(save_tiny("hubert", home / "models" / "base"), home)
    other = open_model(save_tiny("hubert", home / "models" / "other", seed=5), home)
    folder = home / "runs" / "full" / "model"
    folder.mkdir(parents=True)
    write_tuned_info(folder, base, "base")
    save_file({k: v.contiguous() for k, v in other.encoder.state_dict().items()}, folder / "model.safetensors")
    model = open_model("full", home)
    assert np.array_equal(model.hidden_states(AUDIO), other.hidden_states(AUDIO))
    edit_tensors(folder, lambda t: {k: v for k, v in t.items() if "layers.1.attention.q_proj" not in k})
    with pytest.raises(BraindashError, match=r"do not fit.*q_proj"):
        open_model("full", home)


def test_tuned_head_leaves_the_encoder_be(home: Path) -> None:
    base = open_model(save_tiny("hubert", home / "models" / "base"), home)
    folder = home / "runs" / "head" / "model"
    folder.mkdir(parents=True)
    write_tuned_info(folder, base, "base", recipe="head")
    model = open_model("head", home)
    assert np.array_equal(model.hidden_states(AUDIO), base.hidden_states(AUDIO))
    assert model.weights_hash == base.weights_hash == describe("head", home).weights_hash
    write_tuned_info(folder, base, "base", recipe="lora")
    with pytest.raises(BraindashError, match=r"holds no model\.safetensors"):
        open_model("head", home)


def test_tuned_run_of_a_tuned_run(home: Path) -> None:
    folder = save_tiny("wav2vec2", home / "models" / "base")
    tune_a_little(folder, home / "runs" / "r1", "base", home)
    expected = tune_a_little("r1", home / "runs" / "r2", "r1", home)
    assert np.abs(open_model("r2", home).hidden_states(AUDIO) - expected).max() < 1e-4
    assert open_model("r2", home).source.startswith("tuned by the run r2, from r1 (tuned by the run r1, from base")


def test_tuned_run_on_changed_base_is_refused(home: Path) -> None:
    folder = save_tiny("wav2vec2", home / "models" / "base")
    tune_a_little(folder, home / "runs" / "r1", "base", home)
    shutil.rmtree(folder)
    save_tiny("wav2vec2", folder, seed=9)
    with pytest.raises(BraindashError, match="tuned from other weights of base"):
        open_model("r1", home)


def test_tuned_run_with_foreign_or_pickled_adapter_is_refused(home: Path) -> None:
    tune_a_little(save_tiny("wav2vec2", home / "models" / "base"), home / "runs" / "r1", "base", home)
    adapter = home / "runs" / "r1" / "model" / "adapter_model.safetensors"
    tensors = load_file(adapter)
    name = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != name}, adapter)
    with pytest.raises(BraindashError, match="1 tensors differ"):
        open_model("r1", home)
    adapter.rename(adapter.with_suffix(".bin"))
    with pytest.raises(BraindashError, match=r"adapter_model\.bin.*safetensors only"):
        open_model("r1", home)


def test_tuned_from_itself_and_unfinished_runs_are_refused(home: Path) -> None:
    folder = home / "runs" / "loop" / "model"
    folder.mkdir(parents=True)
    with pytest.raises(BraindashError, match="'loop' has no tuned model"):
        open_model("loop", home)
    (folder / "braindash_model.json").write_text('{"base": "loop"}')
    for opener in (open_model, describe):
        with pytest.raises(BraindashError, match="tuned from itself"):
            opener("loop", home)
    (folder / "braindash_model.json").write_text("{}")
    with pytest.raises(BraindashError, match="does not name the model"):
        open_model("loop", home)


# -- what is refused ---------------------------------------------------------------------------


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_pickle_is_refused_and_never_opened(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tiny / "model.safetensors").unlink()
    (tiny / file).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BraindashError, match=rf"{file}.*safetensors only.*save_pretrained"):
        open_model(tiny)
    assert not Path("exploded").exists()


def test_code_in_the_model_folder_is_never_run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tiny / "evil.py").write_text("from pathlib import Path\nPath('exploded').touch()\nclass M: ...\n")
    edit_json(tiny / "config.json", auto_map={"AutoModel": "evil.M", "AutoConfig": "evil.M"})
    with pytest.raises(BraindashError, match="auto_map"):
        open_model(tiny)
    edit_json(tiny / "config.json", auto_map=None, model_type="evil")
    with pytest.raises(BraindashError):
        open_model(tiny)
    assert not Path("exploded").exists()


def test_damaged_weights(tiny: Path) -> None:
    path = tiny / "model.safetensors"
    content = path.read_bytes()
    for damage in (content[: len(content) // 2], b"", b"\xff" * 4096, content[:7]):
        path.write_bytes(damage)
        with pytest.raises(BraindashError, match=r"damaged or cut short.*Fetch the file again"):
            open_model(tiny)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "wavlm"}, "gru_rel_pos"),
        ({"model_type": "hubbert"}, r"'hubbert'.*Did you mean hubert"),
        ({"model_type": "whisper"}, "holds tensors that a whisper does not have"),
        ({"num_hidden_layers": 2}, r"num_hidden_layers 2.*3 blocks"),
        ({"num_hidden_layers": 10**9}, r"1000000000.*3 blocks"),
        ({"hidden_size": 64}, "another shape"),
        ({"hidden_size": 1_600_000}, "another shape"),
        ({"hidden_size": 10**9}, "cannot be built"),
        ({"intermediate_size": 50}, "another shape"),
        ({"num_attention_heads": 5}, "cannot be built|not a valid"),
        ({"hidden_act": "no-such"}, "cannot be built|not a valid"),
        ({"conv_dim": "x"}, "cannot be built|not a valid"),
        ({"add_adapter": True}, "add_adapter"),
    ],
)
def test_config_that_does_not_fit_the_weights(tiny: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(tiny / "config.json", **changes)
    with pytest.raises(BraindashError, match=message):
        open_model(tiny)


def test_tensors_missing_or_left_over(tiny: Path, tmp_path: Path) -> None:
    name = "encoder.layers.1.attention.q_proj.weight"
    lacking = shutil.copytree(tiny, tmp_path / "lacking")
    edit_tensors(lacking, lambda t: {k: v for k, v in t.items() if k != name})
    with pytest.raises(BraindashError, match=f"lacks tensors.*{name}"):
        open_model(lacking)
    edit_tensors(tiny, lambda t: {**t, "surprise.weight": torch.zeros(2)})
    with pytest.raises(BraindashError, match=r"surprise\.weight"):
        open_model(tiny)


def test_preprocessor_config_is_needed_where_it_decides(tiny: Path, tmp_path: Path) -> None:
    (tiny / "preprocessor_config.json").unlink()
    with pytest.raises(BraindashError, match=r"preprocessor_config\.json.*Copy"):
        open_model(tiny)
    whisper = save_tiny("whisper", tmp_path / "w")
    (whisper / "preprocessor_config.json").unlink()
    assert open_model(whisper).n_layers == 3
    hubert = save_tiny("hubert", tmp_path / "h")
    edit_json(hubert / "preprocessor_config.json", sampling_rate=8000)
    with pytest.raises(BraindashError, match="8000 Hz"):
        open_model(hubert)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("whisper-tinyen", r"whisper-tinyen.*Did you mean whisper-tiny\.en"),
        ("wavlm-base-plus", r"microsoft/wavlm-base-plus"),
        ("", "empty"),
        ("/no/such/folder", "does not exist"),
        ("./nowhere", "does not exist"),
        ("a b/c", "No model is called"),
    ],
)
def test_unknown_names(home: Path, ref: str, message: str) -> None:
    with pytest.raises(BraindashError, match=message):
        open_model(ref, home)


def test_file_instead_of_folder(tiny: Path) -> None:
    with pytest.raises(BraindashError, match="is a file"):
        open_model(tiny / "model.safetensors")


def test_damaged_config(tiny: Path) -> None:
    for content in ("{", "[]", ""):
        (tiny / "config.json").write_text(content)
        with pytest.raises(BraindashError, match=r"config\.json"):
            open_model(tiny)
