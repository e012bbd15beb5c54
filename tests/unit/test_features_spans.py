"""Spans of time: the mean of their frames, whatever windows they were read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny

from braindash.errors import BraindashError
from braindash.features.spans import plan_windows, pool_spans
from braindash.speech import SpeechModel, open_model


@pytest.fixture(scope="module", params=["wav2vec2", "whisper"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    folder: Path = tmp_path_factory.mktemp(request.param)
    return open_model(save_tiny(request.param, folder))


def noise(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds))).astype(np.float32)


def test_a_recording_of_one_window_is_read_frame_by_frame(model: SpeechModel) -> None:
    audio = noise(3.0)
    spans = np.array([[0.0, 0.5], [0.31, 0.92], [2.0031, 2.0032], [2.4, 3.0], [0.31, 0.92]])
    states, n_frames = pool_spans(model, audio, spans, [2, 0])
    whole = model.hidden_states(audio, [2, 0])
    times = model.frame_times(len(audio))
    for s, (start, stop) in enumerate(spans):
        inside = np.flatnonzero((times >= start) & (times < stop))
        assert n_frames[s] == len(inside)
        if not len(inside):
            inside = np.array([np.abs(times - (start + stop) / 2).argmin()])
        np.testing.assert_allclose(states[:, s], whole[:, inside].mean(axis=1), atol=1e-5)
    assert n_frames[2] == 0  # so short that it holds no frame: the nearest stands for it


def test_windows_overlap_and_every_frame_is_read_once_from_the_middle(model: SpeechModel) -> None:
    audio = noise(11.3)
    context, margin = 4.0, 0.5
    windows = plan_windows(len(audio), model, context, margin)
    assert windows[-1][1] == len(audio)
    for start, stop, low, high in windows[1:-1]:
        assert low >= start / 16000 + margin - 1e-9
        assert high <= stop / 16000 - margin + 1e-9
    spans = np.array([[a, a + 0.7] for a in np.arange(0, 10.5, 0.35)])
    states, n_frames = pool_spans(model, audio, spans, context=context, margin=margin)
    seen = np.zeros((model.n_layers + 1, len(spans), model.width))
    counted = np.zeros(len(spans), dtype=int)
    for start, stop, low, high in windows:
        h = model.hidden_states(audio[start:stop])
        for j, t in enumerate(start / 16000 + model.frame_times(stop - start)):
            for s, (a, b) in enumerate(spans):
                if low <= t < high and a <= t < b:
                    seen[:, s] += h[:, j]
                    counted[s] += 1
    assert (counted == n_frames).all()
    np.testing.assert_allclose(states, seen / counted[:, None], atol=1e-4)


def test_spans_that_are_not_of_this_recording_are_refused(model: SpeechModel) -> None:
    for spans, said in (
        ([[0.5, 9.0]], "1 of 1 spans do not lie in the 2.00 s"),
        ([[1.0, 0.5]], "first: 1 to 0.5 s"),
        ([[np.nan, 1.0]], "do not lie"),
        ([], "no spans"),
    ):
        with pytest.raises(BraindashError, match=said):
            pool_spans(model, noise(2.0), np.array(spans))
