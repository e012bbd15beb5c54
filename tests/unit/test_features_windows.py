"""Windows, read-outs and rows: equal to one window at a time, and each sound in its own row."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny

from braindash.config import PAPER_WINDOW, WindowConfig
from braindash.errors import BraindashError
from braindash.features import extract
from braindash.features.windows import Window, count_padded_rows, plan_rows, row_weights
from braindash.speech import SpeechModel, open_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return open_model(save_tiny("wav2vec2", tmp_path_factory.mktemp("m")))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return open_model(save_tiny("whisper", tmp_path_factory.mktemp("w")))


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


def naive_tr_mean(
    model: SpeechModel, audio: np.ndarray, times: np.ndarray, tr: float, context: float, per_window: int
) -> np.ndarray:
    """Row by row, window by window, without batches or matrices."""
    rows = []
    for i, t in enumerate(times):
        group = min((i // per_window + 1) * per_window, len(times))
        end = round((times[group - 1] + tr / 2) * 16000)
        start = max(0, end - round(context * 16000))
        states = model.hidden_states(audio[start:end])
        centres = start / 16000 + model.frame_times(end - start)
        inside = [j for j, c in enumerate(centres) if t - tr / 2 <= c < t + tr / 2]
        rows.append(states[:, inside].mean(axis=1))
    return np.stack(rows, axis=1)


@pytest.mark.parametrize(("context", "stride", "per_window"), [(4, 4, 4), (4, 2.5, 2), (3, 0.5, 1), (4, 1, 1)])
@pytest.mark.parametrize("which", ["model", "whisper"])
def test_tr_mean_against_loops(
    which: str, context: float, stride: float, per_window: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(which)
    audio, times = noise(11), np.arange(11) * 1.0 + 0.5
    config = WindowConfig(context=context, stride=stride)
    got = extract(model, audio, times, 1.0, config)
    assert got.shape == (4, 11, 32)
    assert got.dtype == np.float32
    assert np.abs(got - naive_tr_mean(model, audio, times, 1.0, context, per_window)).max() < 1e-5


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_last_and_mean_against_loops(model: SpeechModel, readout: str) -> None:
    """The field's definition: a window every stride, one vector, Lanczos to the TR."""
    audio, tr = noise(9), 1.5
    times = np.arange(6) * tr + 0.75
    vectors, ends = [], []
    for end in np.arange(0.25, 9.01, 0.25):
        window = audio[max(0, round((end - 2) * 16000)) : round(end * 16000)]
        states = model.hidden_states(window)
        vectors.append(states[:, -1] if readout == "last" else states.mean(axis=1))
        ends.append(end)
    old, expected = np.array(ends), np.zeros((4, 6, 32))
    for i, t in enumerate(times):
        x = (t - old) / tr
        w = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
        expected[:, i] = np.tensordot(w / w.sum(), np.stack(vectors), axes=1)
    got = extract(model, audio, times, tr, WindowConfig(context=2, stride=0.25, readout=readout))
    assert np.abs(got - expected).max() < 1e-4


@pytest.mark.parametrize("which", ["model", "whisper"])
@pytest.mark.parametrize(("first", "tr"), [(0.75, 1.5), (-0.4, 1.5), (3.0, 2.0045)])
def test_tr_window_against_a_loop(which: str, first: float, tr: float, request: pytest.FixtureRequest) -> None:
    """A window a row, cut by hand: it ends at the row's centre, and before the audio there is silence."""
    model = request.getfixturevalue(which)
    audio, times = noise(9), first + np.arange(5) * tr
    padded = np.pad(audio, 16000 * 10)
    expected = []
    for t in times:
        end = round(t * 16000)
        begin = max(end - round(3.2 * 16000), min(0, round((t - tr / 2) * 16000)))
        states = model.hidden_states(padded[16000 * 10 + begin : 16000 * 10 + end])
        expected.append(states.mean(axis=1))
    config = WindowConfig(context=3.2, stride=3.2, readout="tr_window")
    got = extract(model, audio, times, tr, config)
    assert got.shape == (4, 5, 32)
    assert np.abs(got - np.stack(expected, axis=1)).max() < 1e-5
    later = audio.copy()
    later[round(times[2] * 16000) :] = 0.5
    change = np.abs(extract(model, later, times, tr, config) - got).max(axis=(0, 2))
    assert (change[:3] < 1e-6).all()  # nothing after a row's centre is heard
    assert (change[3:] > 1e-3).all()


def test_tr_window_counts_rows_whose_centre_lies_outside(model: SpeechModel, caplog: pytest.LogCaptureFixture) -> None:
    config = WindowConfig(context=2, stride=2, readout="tr_window")
    with caplog.at_level(logging.WARNING):
        extract(model, noise(4), np.array([0.5, 1.5, 3.9]), 1.0, config)
        assert not caplog.records
        extract(model, noise(4), np.array([-0.5, 1.5, 4.5]), 1.0, config)
    assert "2 of 3 rows reach past the audio" in caplog.text


def test_layers_batches_and_progress(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    audio, times = noise(12), np.arange(12) + 0.5
    config = WindowConfig(context=3, stride=2)
    everything = extract(model, audio, times, 1.0, config, batch_size=1)
    calls: list[tuple[int, int]] = []
    again = extract(model, audio, times, 1.0, config, batch_size=5, progress=lambda i, n: calls.append((i, n)))
    assert np.abs(everything - again).max() < 1e-5
    assert calls[-1] == (6, 6)
    assert [i for i, _ in calls] == sorted(i for i, _ in calls)
    ran: set[int] = set()
    block = type(model).block
    monkeypatch.setattr(type(model), "block", lambda self, i, s: (ran.add(i), block(self, i, s))[1])
    chosen = extract(model, audio, times, 1.0, config, layers=[2, 0, 2], batch_size=1)
    assert ran == {0, 1}
    assert np.array_equal(chosen, everything[[2, 0, 2]])
    with pytest.raises(BraindashError, match="no layer 9"):
        extract(model, audio, times, 1.0, config, layers=[9])


@pytest.mark.parametrize("first", [1.0, 11.0])
@pytest.mark.parametrize("tr", [2.0, 2.0045])
@pytest.mark.parametrize("at_row", [0, 5, 9])
def test_an_event_shows_up_in_its_own_row(whisper: SpeechModel, first: float, tr: float, at_row: int) -> None:
    """A burst at a row's centre moves that row most; one row late or early would fail."""
    times = first + np.arange(10) * tr
    audio = noise(times[-1] + tr)
    burst = audio.copy()
    at = round(times[at_row] * 16000)
    burst[at - 800 : at + 800] += 0.8 * np.sin(np.arange(1600))
    config = WindowConfig(context=8, stride=8)
    a, b = (extract(whisper, x, times, tr, config, layers=[0])[0] for x in (audio, burst))
    change = np.linalg.norm(b - a, axis=1)
    assert change.argmax() == at_row
    others = np.delete(change, at_row)
    assert change[at_row] > 2 * others.max()


def test_an_event_at_a_rows_edge_goes_to_the_row_that_holds_it(model: SpeechModel) -> None:
    """Rows are half open: just before t - tr/2 is the row before, from it on the row itself."""
    window = Window(0, 16000 * 8, 0, 4)
    times = np.arange(4) * 2.0 + 1.0
    weights = row_weights(model, window, times, 2.0)
    frames = model.frame_times(16000 * 8)
    for j, t in enumerate(frames):
        owner = [i for i in range(4) if weights[i, j] > 0]
        assert owner == [int(t // 2)]
    assert np.allclose(weights.sum(axis=1), 1)
    assert (weights > 0).sum() == len(frames)


def test_last_readout_places_an_event_in_time(model: SpeechModel) -> None:
    """With the last frame at the window's end, a change from silence to noise is seen at its own time."""
    audio = np.concatenate([np.zeros(16000 * 10, np.float32), noise(10)])
    times = np.arange(20) + 0.5
    values = extract(model, audio, times, 1.0, WindowConfig(context=1, stride=0.1, readout="last"), layers=[0])[0]
    quiet, loud = values[3], values[16]
    share = (values - quiet) @ (loud - quiet) / np.square(loud - quiet).sum()
    assert share[:9].max() < 0.3
    assert share[11:].min() > 0.5


def test_windows_at_the_start_are_shorter_not_padded(model: SpeechModel) -> None:
    plan = plan_rows(model, np.arange(10) + 0.5, 1.0, WindowConfig(context=4, stride=2))
    assert [(w.start, w.stop) for w in plan[:3]] == [(0, 32000), (0, 64000), (32000, 96000)]
    assert [(w.first, w.last) for w in plan] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]


def test_rows_with_gaps_are_grouped_by_time(model: SpeechModel) -> None:
    times = np.array([0.5, 1.5, 2.5, 8.5, 9.5, 30.5])
    plan = plan_rows(model, times, 1.0, WindowConfig(context=4, stride=4))
    assert [(w.first, w.last) for w in plan] == [(0, 3), (3, 5), (5, 6)]
    audio = noise(31)
    got = extract(model, audio, times, 1.0, WindowConfig(context=4, stride=4))
    alone = extract(model, audio, times[3:5], 1.0, WindowConfig(context=4, stride=4))
    assert np.abs(got[:, 3:5] - alone).max() < 1e-5


def test_rows_past_the_audio_hear_silence_and_are_counted(model: SpeechModel, caplog: pytest.LogCaptureFixture) -> None:
    audio, times = noise(6.5), np.arange(10) * 1.0 - 0.5  # row 0 lies before the audio, rows 7 to 9 end after it
    with caplog.at_level(logging.WARNING):
        got = extract(model, audio, times, 1.0, WindowConfig(context=2, stride=1))
    assert "4 of 10 rows reach past the audio (6.5 s)" in caplog.text
    assert count_padded_rows(len(audio), times, 1.0) == 4
    config = WindowConfig(context=2, stride=1)
    padded = np.concatenate([np.zeros(16000, np.float32), audio, np.zeros(40000, np.float32)])
    silent = extract(model, padded, times + 1, 1.0, config)
    others = [0, *range(2, 10)]  # row 1 starts with the audio: its window is short, not padded
    assert np.abs(got[:, others] - silent[:, others]).max() < 1e-5
    first = extract(model, audio[:16000], times[1:2], 1.0, config)
    assert np.abs(got[:, 1:2] - first).max() < 1e-5
    for readout in ("last", "mean"):
        assert np.isfinite(extract(model, audio, times, 1.0, WindowConfig(context=2, stride=1, readout=readout))).all()


def test_cut_fills_with_silence_on_both_sides() -> None:
    audio = np.arange(1, 6, dtype=np.float32)
    assert Window(-2, 3, 0, 1).cut(audio).tolist() == [0, 0, 1, 2, 3]
    assert Window(3, 8, 0, 1).cut(audio).tolist() == [4, 5, 0, 0, 0]
    assert Window(-4, -1, 0, 1).cut(audio).tolist() == [0, 0, 0]
    assert Window(7, 9, 0, 1).cut(audio).tolist() == [0, 0]
    assert Window(1, 4, 0, 1).cut(audio).tolist() == [2, 3, 4]


def test_short_rows_take_the_nearest_frame(model: SpeechModel) -> None:
    """Rows of 20 ms, one frame each: none is empty although the last frame ends before the window."""
    times = np.arange(50) * 0.02 + 0.01
    got = extract(model, noise(1), times, 0.02, WindowConfig(context=1, stride=1))
    assert np.isfinite(got).all()
    states = model.hidden_states(noise(1))
    assert np.abs(got[:, -1] - states[:, -1]).max() < 1e-5


@pytest.mark.parametrize(
    ("audio", "tr", "config", "message"),
    [
        (noise(0), 1.0, WindowConfig(context=4, stride=4), "audio is empty"),
        (np.full(32000, np.nan, np.float32), 1.0, WindowConfig(context=4, stride=4), "not finite"),
        (noise(4), 1.0, WindowConfig(context=31, stride=4), r"31 s is longer.*30 s"),
        (noise(4), 8.0, WindowConfig(context=4, stride=4), r"a row is 8 s"),
    ],
)
def test_refusals(whisper: SpeechModel, audio: np.ndarray, tr: float, config: WindowConfig, message: str) -> None:
    with pytest.raises(BraindashError, match=message):
        extract(whisper, audio, np.array([0.5, 1.5]), tr, config)


def test_the_papers_window_runs(whisper: SpeechModel) -> None:
    times = np.array([1.0, 3.0])
    assert np.isfinite(extract(whisper, noise(4), times, 2.0, PAPER_WINDOW)).all()


def test_no_file_is_written(model: SpeechModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    extract(model, noise(2), np.array([0.5, 1.5]), 1.0, WindowConfig(context=2, stride=2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [50, 64, 100, 200])
@pytest.mark.parametrize("which", ["model", "whisper"])
def test_fast_rows_are_interpolated_between_frames(which: str, rate: int, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    audio, tr = noise(3), 1 / rate
    times = (np.arange(3 * rate) + 0.5) * tr
    got = extract(model, audio, times, tr, WindowConfig(context=1.5, stride=1.5), layers=[3])[0]
    expected = np.empty_like(got)
    half = len(times) // 2
    for first, rows in ((0, slice(0, half)), (1.5, slice(half, None))):
        begin = round(first * 16000)
        states = model.hidden_states(audio[begin : begin + 24000], layers=[3])[0]
        centres = first + model.frame_times(24000)
        for column in range(states.shape[1]):
            expected[rows, column] = np.interp(times[rows], centres, states[:, column])
    assert np.abs(got - expected).max() < 1e-5


@pytest.mark.parametrize("rate", [50, 100, 200])
def test_fast_rows_carry_their_own_time(model: SpeechModel, rate: int) -> None:
    """Frames that hold their own centre give rows that hold theirs: half a row off would fail."""
    times = (np.arange(rate) + 0.5) / rate + 7.0
    window = Window(7 * 16000, 8 * 16000, 0, rate)
    frames = 7.0 + model.frame_times(16000)
    weights = row_weights(model, window, times, 1 / rate)
    inside = (times >= frames[0]) & (times <= frames[-1])
    assert inside.mean() > 0.9
    assert np.abs(weights @ frames - times)[inside].max() < 1e-5
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.allclose(weights[-1] @ frames, frames[-1])


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_fast_rows_of_strided_windows_hold_no_later_sound(model: SpeechModel, readout: str) -> None:
    """With tr_mean a row's window goes on after it; with last and mean it ends by the row's centre."""
    times = (np.arange(200) + 0.5) * 0.01
    quiet = 0.01 * noise(2)
    loud = quiet.copy()
    loud[16000:] += noise(1, 1)
    config = WindowConfig(context=0.5, stride=0.05, readout=readout)
    a, b = (extract(model, x, times, 0.01, config, layers=[3])[0] for x in (quiet, loud))
    change = np.abs(b - a).max(axis=1)
    assert change[times <= 1.0].max() == 0
    assert change[times > 1.06].min() > 0
    both = WindowConfig(context=2, stride=2)
    a, b = (extract(model, x, times, 0.01, both, layers=[3])[0] for x in (quiet, loud))
    assert np.abs(b - a).max(axis=1)[times <= 1.0].max() > 0
