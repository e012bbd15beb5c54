"""Where in a story one model predicts a response better than another, and which sound that response follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError

if TYPE_CHECKING:
    import pandas as pd

LEAST_ROWS = 3  # of a window: a row and its neighbours
LEAST_SECONDS = 2.0  # of a window: less cannot be listened to


@dataclass(frozen=True)
class Moment:
    """A stretch of a story's sound, chosen by the response that follows it.

    Attributes
    ----------
    row : int
        Of the responses, where the gain is greatest.
    response : float
        Centre of that row, seconds of the audio.
    start, end : float
        The sound it follows, seconds of the audio.
    gain : float
        Smoothed, in squared units of the response.
    """

    row: int
    response: float
    start: float
    end: float
    gain: float


def error_gain(measured: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the squared error of one prediction minus that of another, row by row.

    Parameters
    ----------
    measured, before, after : (n_trs, …)
        Of the same shape and units (z-scores).

    Returns
    -------
    (n_trs, …) float64
        Above 0 where ``after`` is nearer to what was measured.

    Raises
    ------
    BraindashError
        Where shapes differ.
    """
    shapes = {np.shape(measured), np.shape(before), np.shape(after)}
    if len(shapes) > 1:
        raise BraindashError(
            f"The measured response has shape {np.shape(measured)}, the predictions {np.shape(before)} and "
            f"{np.shape(after)}.",
            "Give one value a row for all three.",
        )
    y = np.asarray(measured, dtype=np.float64)
    return np.asarray((y - before) ** 2 - (y - after) ** 2)


def window_rows(tr: float) -> int:
    """Return the rows that a moment is made over: an odd number, at least 3 and at least about 2 s.

    >>> window_rows(2.0), window_rows(0.5), window_rows(0.01)
    (3, 5, 201)
    """
    if tr <= 0:
        raise BraindashError(f"The time from row to row is {tr} s.", "Give a number above 0.")
    return max(LEAST_ROWS, 2 * int(np.floor(LEAST_SECONDS / tr / 2 + 0.5)) + 1)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Return a weighted mean over ``width`` rows around each row, the middle weighing most (a triangle).

    At the ends the weights of the rows that are there are divided by their sum.

    Parameters
    ----------
    values : (n_trs, …)
    width : int
        Odd.

    >>> smooth(np.array([0.0, 4.0, 0.0, 0.0]), 3)
    array([1.33333333, 2.        , 1.        , 0.        ])
    """
    if width < 1 or width % 2 == 0:
        raise BraindashError(f"A window of {width} rows has no middle.", "Give an odd number of rows.")
    half = width // 2
    values = np.asarray(values, dtype=np.float64)
    total, weight = np.zeros_like(values), np.zeros(len(values))
    for shift in range(-half, half + 1):
        w = half + 1 - abs(shift)
        to = slice(max(0, -shift), max(0, len(values) - max(0, shift)))
        of = slice(max(0, shift), max(0, len(values) + min(0, shift)))
        total[to] += w * values[of]
        weight[to] += w
    return total / weight.reshape(-1, *[1] * (values.ndim - 1))


def lag_seconds(delays: Sequence[int], tr: float) -> float:
    """Return by how much a response is later than the sound it follows: the mean of the encoding's delays.

    Delays of 1 to 4 TRs of 2 s give 5 s, about the peak of a haemodynamic response.
    """
    return float(np.mean(delays)) * tr


def find_moments(
    times: np.ndarray, gain: np.ndarray, *, tr: float, width: int, lag: float, duration: float, most: int = 10
) -> list[Moment]:
    """Return the moments of greatest gain that share no row, the greatest first.

    Greedy: the row with the greatest gain, then the greatest of those at least ``width`` rows away, and so on while
    the gain is above 0. A row whose sound would lie outside the audio is passed over.

    Parameters
    ----------
    times : (n_trs,) seconds
        Centres of the response rows.
    gain : (n_trs,)
        From `error_gain`, smoothed over ``width`` rows. Rows without a number are passed over.
    tr, lag, duration : float, seconds
        From row to row; from sound to response; of the audio.
    width : int
        Rows of a moment. Its sound is as long, ``lag`` earlier.
    most : int

    Returns
    -------
    list of Moment
        Fewer than ``most`` where no more fit or none gains.
    """
    times, gain = np.asarray(times, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    half = width * tr / 2
    heard = times - lag
    allowed = np.isfinite(gain) & (gain > 0) & (heard > 0) & (heard < duration)
    found: list[Moment] = []
    for row in np.argsort(-np.where(allowed, gain, -np.inf), kind="stable"):
        if len(found) == most or not allowed[row]:
            break
        # half a row's slack: row times may carry rounding
        if any(abs(times[row] - m.response) < (width - 0.5) * tr for m in found):
            continue
        start, end = max(0.0, heard[row] - half), min(duration, heard[row] + half)
        found.append(Moment(int(row), float(times[row]), float(start), float(end), float(gain[row])))
    return found


def words_heard(words: pd.DataFrame | None, start: float, end: float) -> list[str]:
    """Return the words whose middle lies in ``[start, end)`` seconds, in order; none where times are unknown."""
    if words is None or words.empty:
        return []
    middle = (words["onset"].to_numpy(float) + words["offset"].to_numpy(float)) / 2
    texts = words["text"].astype(str).to_numpy()[(middle >= start) & (middle < end)]
    return [t.strip() for t in texts if t.strip()]
