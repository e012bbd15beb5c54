"""The haemodynamic response with a fixed shape: the alternative to FIR delays."""

from __future__ import annotations

import numpy as np
from scipy import stats

from braindash.errors import BraindashError

LENGTH = 32.0  # seconds after which the response has returned to baseline


def canonical_hrf(t: np.ndarray) -> np.ndarray:
    """Return the double-gamma response at ``t`` seconds after an event, largest value near 5 s.

    The difference of two gamma densities, shapes 6 and 16, unit scale, the second
    divided by 6 (Friston et al. 1998; SPM's default), divided by its sum over time (its integral is 1).
    """
    t = np.asarray(t, dtype=np.float64)
    h = stats.gamma.pdf(t, 6) - stats.gamma.pdf(t, 16) / 6
    return np.where((t >= 0) & (t <= LENGTH), h / (5 / 6), 0.0)


def convolve(X: np.ndarray, tr: float) -> np.ndarray:
    """Convolve one story's features with the canonical response.

    Parameters
    ----------
    X : (n_trs, n_features), one row a TR
    tr : float, seconds

    Returns
    -------
    (n_trs, n_features) float32; silence is assumed before the story.
    """
    X = np.asarray(X, dtype=np.float64)
    kernel = canonical_hrf(np.arange(0, LENGTH, tr)) * tr
    out = np.zeros_like(X)
    for lag, weight in enumerate(kernel[: len(X)]):
        out[lag:] += weight * X[: len(X) - lag]
    return out.astype(np.float32)


def event_response(onsets: np.ndarray, times: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the response to brief events, at exact times.

    Parameters
    ----------
    onsets : (n_events,) seconds
    times : (n_times,) seconds, the centres of the rows
    weights : (n_events,) or (n_events, d), optional

    Returns
    -------
    (n_times,) or (n_times, d) float64
    """
    onsets, times = np.asarray(onsets, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if len(onsets) == 0:
        raise BraindashError("There are no events to respond to.", "Give the story's words or phones with their times.")
    w = np.ones(len(onsets)) if weights is None else np.asarray(weights, dtype=np.float64)
    return canonical_hrf(times[:, None] - onsets[None]) @ w
