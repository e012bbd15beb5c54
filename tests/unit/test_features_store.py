"""The feature store: what is kept, what is a miss, and what damage and full disks do."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from tiny_models import save_tiny

from braindash.config import Home, WindowConfig
from braindash.errors import BraindashError
from braindash.features import FeatureStore, extract
from braindash.speech import SpeechModel, open_model

WINDOW = WindowConfig(context=2, stride=2)


class TinyStudy:
    """The three things the store asks of a study."""

    id = "tiny"
    tr = 1.0
    start: float = 0.0
    stop: float | None = None

    def __init__(self, folder: Path, first_row: float = 0.5) -> None:
        self.path = folder / "story.wav"
        self.first_row = first_row
        if not self.path.exists():
            self.record(0)

    def record(self, seed: int) -> None:
        soundfile.write(self.path, 0.1 * np.random.default_rng(seed).standard_normal(16000 * 6), 16000)

    def story(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(audio=self.path, start=self.start, stop=self.stop)

    def audio(self, name: str) -> np.ndarray:
        stop = None if self.stop is None else int(self.stop * 16000)
        return soundfile.read(self.path, start=int(self.start * 16000), stop=stop, dtype="float32")[0]

    def row_times(self, story: str, subject: str) -> np.ndarray:
        return np.arange(6) * self.tr + self.first_row


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return open_model(save_tiny("wav2vec2", tmp_path_factory.mktemp("m")))


@pytest.fixture
def study(tmp_path: Path) -> Any:
    return TinyStudy(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "home")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The layers of every extraction that really happened."""
    import braindash.features.windows as windows

    calls: list[list[int]] = []
    real = windows.extract

    def counting(
        model: SpeechModel, audio: Any, times: Any, tr: Any, window: Any, layers: Any = None, **kw: Any
    ) -> Any:
        calls.append(list(layers))
        return real(model, audio, times, tr, window, layers, **kw)

    monkeypatch.setattr(windows, "extract", counting)
    return calls


def test_second_call_is_a_read(store: FeatureStore, model: SpeechModel, study: Any, runs: list[list[int]]) -> None:
    first = store.get(model, study, "s", "sub-01", WINDOW)
    assert first.dtype == np.float32
    assert np.array_equal(first, extract(model, study.audio("s"), study.row_times("s", ""), 1.0, WINDOW))
    runs.clear()
    assert np.array_equal(store.get(model, study, "s", "sub-01", WINDOW), first)
    assert np.array_equal(FeatureStore(Home(store.root.parent)).get(model, study, "s", "sub-02", WINDOW), first)
    assert np.array_equal(store.get(model, study, "s", "sub-01", WINDOW, layers=[3, 1]), first[[3, 1]])
    assert runs == []


def test_only_missing_layers_are_computed(
    store: FeatureStore, model: SpeechModel, study: Any, runs: list[list[int]]
) -> None:
    top = store.get(model, study, "s", "x", WINDOW, layers=[3])
    everything = store.get(model, study, "s", "x", WINDOW)
    assert runs == [[3], [0, 1, 2]]
    assert np.array_equal(everything[3:], top)


def test_anything_that_matters_is_a_miss(
    store: FeatureStore, model: SpeechModel, study: Any, runs: list[list[int]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def get(m: SpeechModel = model, s: Any = study, window: WindowConfig = WINDOW) -> np.ndarray:
        return store.get(m, s, "s", "x", window, layers=[2])

    before = get()
    get(window=WindowConfig(context=3, stride=2))
    get(s=TinyStudy(tmp_path, first_row=1.5))
    other = open_model(save_tiny("wav2vec2", tmp_path / "other", seed=3))
    get(m=other)
    unnormalised = open_model(save_tiny("wav2vec2", tmp_path / "raw", do_normalize=False))
    assert unnormalised.weights_hash == model.weights_hash
    get(m=unnormalised)
    study.record(1)
    changed = get()
    monkeypatch.setattr("braindash.features.store.CODE_VERSION", 999)
    get()
    assert len(runs) == 7
    assert store.size()[0] == 7
    assert np.abs(changed - before).max() > 1e-3


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_damaged_entry_is_recomputed_and_logged(
    store: FeatureStore, model: SpeechModel, study: Any, runs: list[list[int]], damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    first = store.get(model, study, "s", "x", WINDOW)
    path = next(store.root.rglob("layer-02-*.npy"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x40
    damaged = {"truncate": content[:-100], "flip": content, "empty": b"", "text": b"not an array"}
    path.write_bytes(damaged[damage])
    runs.clear()
    with caplog.at_level(logging.WARNING):
        again = store.get(model, study, "s", "x", WINDOW)
    assert runs == [[2]]
    assert np.array_equal(again, first)
    assert "layer-02" in caplog.text
    assert "computed again" in caplog.text
    store.get(model, study, "s", "x", WINDOW)
    assert runs == [[2]]


def test_full_disk_leaves_no_half_file(store: FeatureStore, model: SpeechModel, study: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # a write beyond it fails, as on a full disk
    try:
        with pytest.raises(BraindashError, match=r"cannot be written.*cache prune"):
            store.get(model, study, "s", "x", WINDOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [p for p in store.root.rglob("*") if p.is_file()]
    assert store.get(model, study, "s", "x", WINDOW).shape == (4, 6, 32)


def test_prune_removes_what_was_used_longest_ago(
    store: FeatureStore, model: SpeechModel, study: Any, tmp_path: Path, runs: list[list[int]]
) -> None:
    windows = [WindowConfig(context=c, stride=2) for c in (2, 3, 4)]
    for i, window in enumerate(windows):
        store.get(model, study, "s", "x", window)
        newest = max(store.root.rglob("entry.json"), key=lambda p: p.stat().st_mtime_ns)
        os.utime(newest, (1000 + i, 1000 + i))
    n, total = store.size()
    assert n == 3
    store.get(model, study, "s", "x", windows[0])  # a read counts as use
    report = store.prune(total // 3 + 10)
    assert (report.n_removed, report.n_kept) == (2, 1)
    assert store.size() == (1, report.bytes_kept)
    runs.clear()
    store.get(model, study, "s", "x", windows[0])
    assert runs == []
    assert store.prune(0).n_kept == 0
    assert FeatureStore(tmp_path / "nowhere").prune(0).n_removed == 0


def test_audio_that_is_no_file_is_hashed_by_content(
    store: FeatureStore, model: SpeechModel, study: Any, runs: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = study.audio("s")
    monkeypatch.setattr(study, "story", lambda name: SimpleNamespace(audio=Path("no-such-file")), raising=False)
    monkeypatch.setattr(study, "audio", lambda name: sound, raising=False)
    for _ in range(2):
        store.get(model, study, "s", "x", WINDOW)
    assert len(runs) == 1


def test_two_segments_of_one_file_with_equal_rows_are_two_entries(
    store: FeatureStore, model: SpeechModel, tmp_path: Path
) -> None:
    """Rows are counted from the segment's start, so only the segment itself tells them apart."""

    class Segment(TinyStudy):
        def row_times(self, story: str, subject: str) -> np.ndarray:
            return np.arange(3) * self.tr + self.first_row

    first, second = Segment(tmp_path), Segment(tmp_path)
    first.stop = 3.0
    second.start, second.stop = 3.0, 6.0
    a = store.get(model, first, "s", "x", WINDOW)  # type: ignore[arg-type]
    b = store.get(model, second, "s", "x", WINDOW)  # type: ignore[arg-type]
    expected = extract(model, second.audio("s"), second.row_times("s", "x"), 1.0, WINDOW)
    np.testing.assert_allclose(b, expected, atol=1e-6)
    assert not np.allclose(a, b)
