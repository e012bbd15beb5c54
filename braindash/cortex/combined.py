"""Two numbers a target in one colour: gain and accuracy; and the layer that predicts a target best."""

from __future__ import annotations

import numpy as np

from braindash.errors import BraindashError

N_GAIN, N_ACCURACY = 17, 15  # steps of change and of accuracy: 255 colours, what a byte can tell apart


def gain_accuracy_codes(gain: np.ndarray, accuracy: np.ndarray, limit: float, low: float, high: float) -> np.ndarray:
    """Return which colour of the two-dimensional scale each target has.

    Parameters
    ----------
    gain, accuracy : (n_targets,) float
        Beyond the scale they count as its ends.
    limit : float
        The scale of ``gain`` goes from ``-limit`` to ``limit``.
    low, high : float
        The scale of ``accuracy``.

    Returns
    -------
    (n_targets,) uint8
        1 + ``N_GAIN`` · (step of accuracy) + (step of gain), both from 0 at the low end; 0 where one of the two is NaN.

    Raises
    ------
    BraindashError
        Where a scale has no length.
    """
    if not (limit > 0 and low < high):
        raise BraindashError(
            f"Scales from {-limit:g} to {limit:g} and from {low:g} to {high:g} cannot be drawn.",
            "Give limits that differ.",
        )
    across = np.clip((np.asarray(gain, dtype=np.float64) + limit) / (2 * limit), 0, 1)
    up = np.clip((np.asarray(accuracy, dtype=np.float64) - low) / (high - low), 0, 1)
    known = np.isfinite(across) & np.isfinite(up)
    column = np.round((N_GAIN - 1) * np.where(known, across, 0))
    row = np.round((N_ACCURACY - 1) * np.where(known, up, 0))
    return np.where(known, 1 + N_GAIN * row + column, 0).astype(np.uint8)


def gain_accuracy_colours() -> np.ndarray:
    """Return the colours of the codes 1 … 255: (15, 17, 3) uint8, accuracy upwards from row 0, gain by column.

    The hue goes from blue (worse) over mauve (no change) to orange (better), so that its blue-yellow part only
    rises and colour-blind readers can follow it; lightness in CIELAB rises evenly with accuracy. Grey is nowhere:
    it is left to cortex without a value.
    """
    from braindash.cortex.colour import lab_to_srgb

    across = np.linspace(-1, 1, N_GAIN)
    a = np.interp(across, [-1, 0, 1], [2.0, 20.0, 26.0])
    b = np.interp(across, [-1, 0, 1], [-42.0, -14.0, 44.0])
    light = np.linspace(24.0, 82.0, N_ACCURACY)
    strength = np.linspace(0.75, 1.0, N_ACCURACY)
    lab = np.stack(
        [
            np.repeat(light[:, None], N_GAIN, axis=1),
            strength[:, None] * a[None, :],
            strength[:, None] * b[None, :],
        ],
        axis=-1,
    )
    return np.round(lab_to_srgb(lab.reshape(-1, 3)) * 255).astype(np.uint8).reshape(N_ACCURACY, N_GAIN, 3)


def best_layer(scores: np.ndarray, layers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the layer at which each target is predicted best, and how well it is there.

    Parameters
    ----------
    scores : (n_layers, n_targets) float
        NaN is left out; the first of equal layers is taken.
    layers : (n_layers,) int

    Returns
    -------
    (n_targets,) float32, (n_targets,) float32
        NaN where a target has no score at any layer.
    """
    scores = np.asarray(scores, dtype=np.float32)
    known = np.isfinite(scores)
    filled = np.where(known, scores, -np.inf)
    at = filled.argmax(0)
    any_known = known.any(0)
    best = np.where(any_known, np.asarray(layers, dtype=np.float32)[at], np.float32(np.nan))
    value = np.where(any_known, filled.max(0), np.float32(np.nan))
    return best.astype(np.float32), value.astype(np.float32)
