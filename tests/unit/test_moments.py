"""Moments of greatest gain: planted ones found, and everything equal to a naive loop."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from braindash.comparing.moments import error_gain, find_moments, lag_seconds, smooth, window_rows, words_heard
from braindash.errors import BraindashError


def naive_smooth(values: np.ndarray, width: int) -> np.ndarray:
    out = np.empty(len(values))
    half = width // 2
    for i in range(len(values)):
        total = weight = 0.0
        for j in range(max(0, i - half), min(len(values), i + half + 1)):
            w = half + 1 - abs(i - j)
            total, weight = total + w * values[j], weight + w
        out[i] = total / weight
    return out


def naive_moments(times: np.ndarray, gain: np.ndarray, tr: float, width: int, lag: float, duration: float) -> list[int]:
    rows: list[int] = []
    while len(rows) < 10:
        best = None
        for i, value in enumerate(gain):
            heard = times[i] - lag
            free = all(abs(i - j) >= width for j in rows)
            if value > 0 and 0 < heard < duration and free and (best is None or value > gain[best]):
                best = i
        if best is None:
            break
        rows.append(best)
    return rows


@pytest.mark.parametrize("width", [1, 3, 5, 9])
@pytest.mark.parametrize("n", [4, 57])
def test_smoothing_and_choice_are_those_of_a_loop(width: int, n: int) -> None:
    rng = np.random.default_rng(n + width)
    measured, before, after = rng.normal(size=(3, n))
    gain = error_gain(measured, before, after)
    for i in range(n):
        assert gain[i] == pytest.approx((measured[i] - before[i]) ** 2 - (measured[i] - after[i]) ** 2)
    smoothed = smooth(gain, width)
    np.testing.assert_allclose(smoothed, naive_smooth(gain, width), atol=1e-12)
    two = smooth(np.stack([gain, -gain], axis=1), width)
    np.testing.assert_allclose(two[:, 1], -smoothed, atol=1e-12)
    tr, lag = 1.5, 3.75
    times = 0.75 + tr * np.arange(n)
    found = find_moments(times, smoothed, tr=tr, width=width, lag=lag, duration=1.5 * n - 4)
    assert [m.row for m in found] == naive_moments(times, smoothed, tr, width, lag, 1.5 * n - 4)
    for m in found:
        assert m.gain == smoothed[m.row] > 0
        assert 0 <= m.start < m.end <= 1.5 * n - 4
        assert m.response == times[m.row]


def test_planted_moments_are_found_with_the_sound_that_caused_them() -> None:
    rng = np.random.default_rng(3)
    n, tr, lag = 120, 2.0, 5.0
    times = 1.0 + tr * np.arange(n)
    causes = {21.0: 3.0, 71.0: 2.0, 141.0: 1.5}  # seconds of the sound, size
    signal = np.zeros(n)
    for at, size in causes.items():
        for row in np.flatnonzero(np.abs(times - lag - at) <= 2):
            signal[row] += size
    measured = signal + 0.1 * rng.normal(size=n)
    gain = smooth(error_gain(measured, 0.05 * rng.normal(size=n), 0.9 * signal), window_rows(tr))
    found = find_moments(times, gain, tr=tr, width=window_rows(tr), lag=lag_seconds((1, 2, 3, 4), tr), duration=240.0)
    assert lag_seconds((1, 2, 3, 4), tr) == lag
    for moment, (at, _) in zip(found, causes.items(), strict=False):
        assert moment.start <= at <= moment.end
        assert moment.end - moment.start == pytest.approx(6.0)
        assert (moment.start + moment.end) / 2 == pytest.approx(moment.response - lag)
        assert abs((moment.start + moment.end) / 2 - at) <= 2
    spans = sorted((m.start, m.end) for m in found)
    assert len(found) == 10
    assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(spans)), "sounds do not overlap"


def test_no_moment_where_nothing_gains_or_is_known() -> None:
    times = 1.0 + 2.0 * np.arange(20)
    ask = {"tr": 2.0, "width": 3, "lag": 5.0, "duration": 40.0}
    assert find_moments(times, -np.ones(20), **ask) == []
    assert find_moments(times, np.full(20, np.nan), **ask) == []
    only_early = np.where(times < 5, 1.0, -1.0)  # caused by sound before the story
    assert find_moments(times, only_early, **ask) == []
    holes = np.where(np.arange(20) == 10, 2.0, np.nan)
    (one,) = find_moments(times, holes, **ask)
    assert (one.row, one.start, one.end) == (10, 13.0, 19.0)


def test_windows_of_slow_and_fast_signals() -> None:
    assert [window_rows(tr) for tr in (2.0, 1.5, 2.0045, 0.5, 0.01)] == [3, 3, 3, 5, 201]
    with pytest.raises(BraindashError, match=r"0\.0 s"):
        window_rows(0.0)
    with pytest.raises(BraindashError, match="no middle"):
        smooth(np.ones(5), 4)
    with pytest.raises(BraindashError, match="shape"):
        error_gain(np.ones(3), np.ones(3), np.ones(4))


def test_words_are_those_whose_middle_is_heard() -> None:
    words = pd.DataFrame(
        {"text": ["a", " ", "b", "<b>c</b>", "d"], "onset": [0, 1, 2, 3, 4.0], "offset": [1, 2, 3, 4, 5.0]}
    )
    assert words_heard(words, 0.6, 3.6) == ["b", "<b>c</b>"]
    assert words_heard(words, 0.5, 0.6) == ["a"]
    assert words_heard(None, 0, 9) == []


def test_the_figure_of_a_story_shows_the_gain_below_its_curves() -> None:
    from braindash.figures.courses import response_courses

    times = np.arange(6) * 2.0
    y, gain = np.sin(times), np.array([0.1, -0.2, 0.0, 0.3, np.nan, -0.1])
    both = {"pretrained": y, "brain_tuned": -y}
    figure = response_courses(times, y, both, dict.fromkeys(both, 0.5), gain=gain)
    above, below = (np.asarray(t.y, float) for t in figure.data if t.yaxis == "y2")
    np.testing.assert_allclose(np.nan_to_num(above + below), np.nan_to_num(gain), atol=1e-12)
    assert np.nanmin(above) >= 0 >= np.nanmax(below)
    assert figure.layout.yaxis2.title.text == "Gain (z²)"
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
    with pytest.raises(BraindashError, match="gain has shape"):
        response_courses(times, y, both, dict.fromkeys(both, 0.5), gain=gain[:2])
