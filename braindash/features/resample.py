"""Resampling in time: from where windows end to where TRs are centred."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def lanczos(
    data: np.ndarray, old_times: np.ndarray, new_times: np.ndarray, lobes: int = 3, cutoff: float | None = None
) -> np.ndarray:
    """Resample by a Lanczos-windowed sinc, low-pass at half the cutoff rate.

    Each new row is the mean of old rows weighted by
    ``sinc(c * dt) * sinc(c * dt / lobes)`` for ``|c * dt| < lobes`` (Duchon 1979).
    The weights are divided by their sum, so a constant stays that constant, also
    at the ends and where ``old_times`` are uneven.

    Parameters
    ----------
    data : (n_old, ...)
    old_times : (n_old,) seconds
    new_times : (n_new,) seconds
    lobes : int
        Half width of the kernel, in periods of the cutoff.
    cutoff : float, optional
        c in Hz; the lower of the two mean rates when None, so that nothing
        above the new rate's Nyquist frequency is folded into it.

    Returns
    -------
    (n_new, ...) float32

    Raises
    ------
    ValueError
        If a new time has no old time near enough to be computed from.
    """
    matrix = lanczos_matrix(old_times, new_times, lobes, cutoff)
    flat = np.asarray(data, dtype=np.float32).reshape(len(old_times), -1)
    return np.asarray(matrix @ flat, dtype=np.float32).reshape(len(new_times), *data.shape[1:])


def lanczos_matrix(
    old_times: np.ndarray, new_times: np.ndarray, lobes: int = 3, cutoff: float | None = None
) -> sparse.csr_array:
    """Return the weights of :func:`lanczos`: (n_new, n_old), rows sum to 1."""
    old = np.asarray(old_times, dtype=np.float64)
    new = np.asarray(new_times, dtype=np.float64)
    if (np.diff(old) <= 0).any():
        raise ValueError("old_times must increase")
    if cutoff is None:
        rates = [(len(t) - 1) / (t[-1] - t[0]) for t in (old, new) if len(t) > 1]
        if not rates:
            raise ValueError("one old and one new time do not give a rate; pass cutoff")
        cutoff = min(rates)
    reach = lobes / cutoff
    first, last = np.searchsorted(old, new - reach), np.searchsorted(old, new + reach, side="right")
    counts = last - first
    rows = np.repeat(np.arange(len(new)), counts)
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    phase = (new[rows] - old[columns]) * cutoff
    weights = np.sinc(phase) * np.sinc(phase / lobes)
    total = np.bincount(rows, weights, minlength=len(new))
    # a whole kernel's weights sum to about (old rate / cutoff) >= 1, half of one to half of that
    poor = total < 0.25
    if poor.any():
        raise ValueError(f"new time {new[poor][0]:g} s is too far from the old times ({old[0]:g} to {old[-1]:g} s)")
    weights = (weights / total[rows]).astype(np.float32)
    return sparse.csr_array((weights, (rows, columns)), shape=(len(new), len(old)))
