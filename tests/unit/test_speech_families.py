"""Hidden states equal transformers' own, for every family, seam by seam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_models import TINY, save_tiny

from braindash.errors import BraindashError
from braindash.speech import FAMILIES, SpeechModel, open_model, register_family
from braindash.speech.base import conv_frames


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {name: save_tiny(name, root / name) for name in TINY}


def waves(n: int, seconds: float = 1.3) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    return [(0.3 * rng.standard_normal(int(16000 * seconds)) + 0.2).astype(np.float32) for _ in range(n)]


def reference(folder: Path, name: str, audio: list[np.ndarray]) -> list[torch.Tensor]:
    """transformers' own path: feature extractor, model, output_hidden_states; the last is last_hidden_state."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = getattr(transformers, TINY[name][1]).from_pretrained(folder, attn_implementation="eager").eval()
    inputs = extractor(audio, sampling_rate=16000, return_tensors="pt")
    encoder = model.get_encoder() if name in {"whisper", "moonshine"} else model
    key = "input_features" if name == "whisper" else "input_values"
    with torch.no_grad():
        out = encoder(inputs[key], output_hidden_states=True)
    return [*out.hidden_states[:-1], out.last_hidden_state]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", [n for n in TINY if n != "whisper"])
def test_states_equal_transformers(folders: dict[str, Path], name: str, n: int) -> None:
    audio = waves(n)
    model = open_model(folders[name])
    expected = reference(folders[name], name, audio)
    assert model.n_layers == 3
    assert model.width == 32
    with torch.no_grad():
        ours = dict(model.iterate_layers(model.prepare(audio)))
    assert len(ours) == len(expected) == 4
    for k, states in enumerate(expected):
        assert ours[k].shape == states.shape
        assert (ours[k] - states).abs().max() < 1e-5, f"layer {k}"
    single = model.hidden_states(audio[0])
    assert single.shape == (4, model.n_frames(len(audio[0])), 32)
    assert np.abs(single - np.stack([s[0] for s in expected])).max() < 1e-5


def test_whisper_equals_transformers_on_30_seconds(folders: dict[str, Path]) -> None:
    """Padded to 30 s as transformers does, the states are its own; shorter windows are not padded."""
    audio = waves(2)
    expected = reference(folders["whisper"], "whisper", audio)
    model = open_model(folders["whisper"])
    padded = [np.pad(a, (0, 480000 - len(a))) for a in audio]
    with torch.no_grad():
        for k, states in model.iterate_layers(model.prepare(padded)):
            assert (states - expected[k]).abs().max() < 1e-5, f"layer {k}"
    assert model.hidden_states(audio[0]).shape == (4, 65, 32)


def test_whisper_short_window_equals_sliced_positions(folders: dict[str, Path]) -> None:
    """A 2-s window is what transformers' encoder gives when its position table is cut to 100 rows."""
    audio = waves(1, 2.0)
    encoder = transformers.WhisperModel.from_pretrained(folders["whisper"]).encoder.eval()
    encoder.config.max_source_positions = 100
    cut = torch.nn.Embedding(100, 32)
    cut.weight = torch.nn.Parameter(encoder.embed_positions.weight[:100].clone())
    encoder.embed_positions = cut
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folders["whisper"])
    mel = extractor(audio, sampling_rate=16000, padding="do_not_pad", return_tensors="pt")["input_features"]
    with torch.no_grad():
        out = encoder(mel, output_hidden_states=True)
    ours = open_model(folders["whisper"]).hidden_states(audio[0])
    assert np.abs(ours - torch.cat(out.hidden_states).numpy()).max() < 1e-5


@pytest.mark.parametrize("name", TINY)
def test_encoder_is_frozen_and_states_may_be_sliced(folders: dict[str, Path], name: str) -> None:
    """A cached state of several windows can be cut along the batch and go on through the blocks."""
    model = open_model(folders[name])
    assert not model.encoder.training
    assert not any(p.requires_grad for p in model.encoder.parameters())
    with torch.no_grad():
        state = model.block(0, model.front(model.prepare(waves(3))))
        whole = model.finish(model.block(2, model.block(1, state)))
        state.h = state.h[1:2]
        part = model.finish(model.block(2, model.block(1, state)))
    assert (whole[1:2] - part).abs().max() < 1e-5


@pytest.mark.parametrize("name", TINY)
def test_adapters_on_every_linear_target_get_gradients(folders: dict[str, Path], name: str) -> None:
    """Also WavLM's: LoRA's B has a gradient at the first step, A at the second."""
    from peft import LoraConfig, inject_adapter_in_model

    model = open_model(folders[name])
    targets = [path for i in (1, 2) for path in model.linear_targets(i).values()]
    assert len(targets) == 12
    assert all(isinstance(model.encoder.get_submodule(p), torch.nn.Linear) for p in targets)
    before = model.hidden_states(waves(1)[0])
    torch.manual_seed(0)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=targets, lora_alpha=4), model.encoder)
    assert np.abs(model.hidden_states(waves(1)[0]) - before).max() < 1e-6
    adapters = {n: p for n, p in model.encoder.named_parameters() if p.requires_grad}
    assert len(adapters) == 24
    optimiser = torch.optim.SGD(adapters.values(), lr=0.1)
    for part in ("lora_B", "lora_A"):
        optimiser.zero_grad()
        out = dict(model.iterate_layers(model.prepare(waves(2))))[3]
        (out * torch.linspace(-1, 1, 32)).square().mean().backward()
        # a bias on k moves every score of a query alike, but q, k, v and the rest must all be reached
        dead = [n for n, p in adapters.items() if part in n and (p.grad is None or not p.grad.abs().max() > 0)]
        assert not dead
        optimiser.step()
    assert np.abs(model.hidden_states(waves(1)[0]) - before).max() > 1e-5


def test_transformers_wavlm_gives_adapters_no_gradient(folders: dict[str, Path]) -> None:
    """The reason for our own attention; when this fails, transformers has mended it."""
    from peft import LoraConfig, inject_adapter_in_model

    model = transformers.WavLMModel.from_pretrained(folders["wavlm"]).eval().requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["q_proj", "fc_x", "output_dense"]), model)
    model(torch.randn(1, 8000)).last_hidden_state.square().mean().backward()
    grads = {n: p.grad for n, p in model.named_parameters() if "lora_B" in n}
    assert all(g is None for n, g in grads.items() if "q_proj" in n)
    assert all(g is not None for n, g in grads.items() if "output_dense" in n)


def test_layers_are_chosen_in_order_and_no_block_above_is_run(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_model(folders["hubert"])
    audio = waves(1)[0]
    everything = model.hidden_states(audio)
    ran: list[int] = []
    block = type(model).block
    monkeypatch.setattr(type(model), "block", lambda self, i, s: (ran.append(i), block(self, i, s))[1])
    chosen = model.hidden_states(audio, layers=[2, 0])
    assert ran == [0, 1]
    assert np.array_equal(chosen, everything[[2, 0]])
    with pytest.raises(BraindashError, match=r"no layer 4.*0 to 3"):
        model.hidden_states(audio, layers=[4])


def test_do_normalize_is_honoured(tmp_path: Path) -> None:
    audio = waves(1)[0]
    loud = open_model(save_tiny("wav2vec2-large", tmp_path / "on", do_normalize=True))
    plain = open_model(save_tiny("wav2vec2-large", tmp_path / "off", do_normalize=False))
    assert loud.weights_hash == plain.weights_hash
    assert loud.identity != plain.identity
    normalised = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
    assert np.abs(loud.hidden_states(audio) - plain.hidden_states(normalised)).max() < 1e-5
    assert np.abs(loud.hidden_states(audio) - plain.hidden_states(audio)).max() > 1e-3


@pytest.mark.parametrize("name", TINY)
def test_frame_times_point_at_the_sound(folders: dict[str, Path], name: str) -> None:
    """A click moves the front end most in the frames whose time is the click's."""
    model = open_model(folders[name])
    n = 16000 * 3
    times = model.frame_times(n)
    assert np.allclose(np.diff(times), model.frame_period)
    assert model.min_samples > 0
    assert model.n_frames(model.min_samples) == 1
    rng = np.random.default_rng(0)
    audio = (0.01 * rng.standard_normal(n)).astype(np.float32)
    click = audio.copy()
    at = 1.7
    click[int(at * 16000) : int(at * 16000) + 4] += 0.5
    model.preprocessing = type(model.preprocessing)(do_normalize=False)
    with torch.no_grad():
        if name == "whisper":
            front = model.encoder.conv1
            a, b = (front(model.prepare([x]))[0, :, ::2].T for x in (audio, click))
        elif name == "moonshine":
            e = model.encoder
            a, b = (e.conv3(e.conv2(e.conv1(model.prepare([x])[:, None])))[0].T for x in (audio, click))
        else:
            a, b = (
                model.encoder.feature_extractor.conv_layers[0].conv(model.prepare([x])[:, None]) for x in (audio, click)
            )
            # follow the first convolution's frames through the plain strides of the rest
            c = model.config
            period, width = 5 / 16000, (conv_frames(0, c.conv_kernel, c.conv_stride)[1] - 10) / 2 / 16000
            change = (a - b)[0].abs().sum(0).numpy()
            first = np.arange(len(change)) * period + 5 / 16000
            assert abs(first[change.argmax()] - at) < 0.001
            assert abs(times[0] - (width + 5 / 16000)) < 1e-9
            return
    change = (a - b).abs().sum(1).numpy()
    moved = times[: len(change)][change > 0.1 * change.max()]
    assert abs(moved.mean() - at) < model.frame_period
    assert abs(times[change.argmax()] - at) <= 1.5 * model.frame_period


def test_window_length_limits(folders: dict[str, Path]) -> None:
    whisper = open_model(folders["whisper"])
    assert whisper.hidden_states(np.zeros(480000, np.float32), layers=[0]).shape[1] == 1500
    with pytest.raises(BraindashError, match=r"30\.0\d* s is longer.*at most 30 s"):
        whisper.hidden_states(np.zeros(480160, np.float32))
    with pytest.raises(BraindashError, match=r"399 samples.*at least 400"):
        open_model(folders["hubert"]).hidden_states(np.zeros(399, np.float32))
    with pytest.raises(ValueError, match="one length"):
        whisper.prepare([np.zeros(16000, np.float32), np.zeros(16001, np.float32)])


def test_register_family_validates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("braindash.speech.families.FAMILIES", dict(FAMILIES))
    with pytest.raises(ValueError, match="already registered"):
        register_family("hubert", "a.b:C")
    with pytest.raises(ValueError, match="lower case"):
        register_family("My Model", "a.b:C")
    with pytest.raises(ValueError, match="module:class"):
        register_family("mine", "a.b.C")


def test_a_new_family_is_one_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from braindash.speech.families import family_class

    known = dict(FAMILIES)
    known.pop("hubert")
    monkeypatch.setattr("braindash.speech.families.FAMILIES", known)
    folder = save_tiny("hubert", tmp_path)
    with pytest.raises(BraindashError, match="model_type 'hubert'"):
        open_model(folder)
    register_family("hubert", "braindash.speech.families.hubert:Hubert")
    assert isinstance(open_model(folder), SpeechModel)
    assert family_class("hubert").family == "hubert"


def test_conv_frames_counts_as_torch_does() -> None:
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    for n in (399, 400, 719, 720, 16000, 16123):
        x = torch.zeros(1, 1, n)
        for kernel, stride in zip(kernels, strides, strict=True):
            x = (
                torch.nn.functional.conv1d(x, torch.zeros(1, 1, kernel), stride=stride)
                if x.shape[-1] >= kernel
                else x[..., :0]
            )
        assert conv_frames(n, kernels, strides) == (x.shape[-1], 400, 320)
