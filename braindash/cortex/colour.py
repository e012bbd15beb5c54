"""Colour maps and their limits.

Scores use matplotlib's viridis. Differences use a map of our own from blue over
near-white to brown: lightness in CIELAB is the same at equal distance from zero
on both sides and falls evenly, and blue against brown survives red-green and
blue-yellow colour-vision deficiencies. A lab may choose others that pass the same
checks (`SEQUENTIAL_MAPS`, `DIVERGING_MAPS`); `use_maps` says which stand for the
two roles in this process.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from braindash.errors import BraindashError, closest

SEQUENTIAL, DIVERGING = "sequential", "diverging"
GAIN_ACCURACY = "gain_accuracy"  # of codes, see braindash.cortex.combined

# CIELAB (L*, a*, b*) from the most negative value to the most positive one: (n, 3)
_DIVERGING_LAB: dict[str, tuple[tuple[float, float, float], ...]] = {
    "blue_brown": (
        (25.0, 10.0, -36.0),
        (50.0, -4.0, -40.0),
        (74.0, -10.0, -24.0),
        (96.0, 0.0, 0.0),
        (74.0, 18.0, 34.0),
        (50.0, 34.0, 44.0),
        (25.0, 28.0, 30.0),
    ),
    "purple_green": (
        (25.0, 38.0, -38.0),
        (50.0, 44.0, -36.0),
        (74.0, 32.0, -22.0),
        (96.0, 0.0, 0.0),
        (74.0, -28.0, 40.0),
        (50.0, -30.0, 44.0),
        (25.0, -22.0, 26.0),
    ),
    "teal_rust": (
        (25.0, -8.0, -22.0),
        (50.0, -18.0, -28.0),
        (74.0, -20.0, -18.0),
        (96.0, 0.0, 0.0),
        (74.0, 28.0, 38.0),
        (50.0, 46.0, 48.0),
        (25.0, 34.0, 32.0),
    ),
}
# what a lab may choose from, in words; tests/unit/test_cortex_colour.py checks every one for even lightness
# and for eyes without one kind of cone
SEQUENTIAL_MAPS = {
    "viridis": "Viridis: dark purple to yellow",
    "cividis": "Cividis: dark blue to yellow",
    "magma": "Magma: black over purple to cream",
    "inferno": "Inferno: black over red to pale yellow",
    "plasma": "Plasma: dark blue over pink to yellow",
}
DIVERGING_MAPS = {
    "blue_brown": "Blue to brown",
    "purple_green": "Purple to green",
    "teal_rust": "Teal to rust",
}
# which map stands for a role in this process
_IN_USE = {SEQUENTIAL: "viridis", DIVERGING: "blue_brown"}


def use_maps(sequential: str = "viridis", diverging: str = "blue_brown") -> bool:
    """Let "sequential" and "diverging" mean these maps from now on; return whether that is a change.

    Raises
    ------
    BraindashError
        For a map that is not in `SEQUENTIAL_MAPS` or `DIVERGING_MAPS`.
    """
    check_map(SEQUENTIAL, sequential)
    check_map(DIVERGING, diverging)
    chosen = {SEQUENTIAL: sequential, DIVERGING: diverging}
    if chosen == _IN_USE:
        return False
    _IN_USE.update(chosen)
    return True


def check_map(role: str, name: str) -> None:
    """Raise BraindashError for a map that may not stand for "sequential" or "diverging"."""
    known = DIVERGING_MAPS if role == DIVERGING else SEQUENTIAL_MAPS
    if name not in known:
        raise BraindashError(f"{name!r} is not among the {role} colour maps.", closest(name, known))


def map_in_use(role: str) -> str:
    """Return the name of the map that stands for "sequential" or "diverging"; any other name is its own."""
    return _IN_USE.get(role, role)


def colormap(name: str = SEQUENTIAL) -> np.ndarray:
    """Return a colour map as a table: (256, 3) uint8, read-only.

    Parameters
    ----------
    name : "sequential" | "diverging" | "gain_accuracy" | one of DIVERGING_MAPS | a matplotlib colour map
        The first two are roles (`use_maps`). Row k of "gain_accuracy" is the colour of code k of
        :func:`~braindash.cortex.combined.gain_accuracy_codes`.

    Raises
    ------
    BraindashError
        If there is no such map.
    """
    return _table(map_in_use(name))


@lru_cache(maxsize=32)
def _table(name: str) -> np.ndarray:
    if name in _DIVERGING_LAB:
        anchors = np.array(_DIVERGING_LAB[name])
        t = np.linspace(0, len(anchors) - 1, 256)
        lab = np.column_stack([np.interp(t, np.arange(len(anchors)), c) for c in anchors.T])
        table = np.round(lab_to_srgb(lab) * 255).astype(np.uint8)
    elif name == GAIN_ACCURACY:
        from braindash.cortex.combined import gain_accuracy_colours

        table = np.vstack([np.zeros((1, 3), np.uint8), gain_accuracy_colours().reshape(-1, 3)])
    else:
        from matplotlib import colormaps

        if name not in colormaps:
            known = [SEQUENTIAL, DIVERGING, *DIVERGING_MAPS, *colormaps]
            raise BraindashError(f"There is no colour map {name!r}.", closest(name, known))
        table = np.round(colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIELAB (D65, 2°) to sRGB in [0, 1], clipped to the gamut: (n, 3) → (n, 3). IEC 61966-2-1."""
    fy = (lab[:, 0] + 16) / 116
    f = np.column_stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.95047, 1.0, 1.08883)
    to_rgb = np.array(
        [(3.2404542, -1.5371385, -0.4985314), (-0.9692660, 1.8760108, 0.0415560), (0.0556434, -0.2040259, 1.0572252)]
    )
    linear = np.clip(xyz @ to_rgb.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def plotly_scale(name: str = SEQUENTIAL, steps: int = 33) -> list[list[Any]]:
    """Return a colour map as plotly's list of [position, "rgb(r,g,b)"]."""
    table = colormap(name)[np.linspace(0, 255, steps).round().astype(int)]
    return [[i / (steps - 1), "rgb({},{},{})".format(*map(int, c))] for i, c in enumerate(table)]


def matplotlib_map(name: str = SEQUENTIAL) -> Any:
    """Return a colour map as a matplotlib ``ListedColormap``."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormap(name) / 255.0, name=name)


def colour_values(values: np.ndarray, cmap: str, vmin: float, vmax: float) -> np.ndarray:
    """Map values to colours: (n,) → (n, 3) uint8. Beyond the limits the end colours; NaN gives the first colour."""
    if not (np.isfinite(vmin) and np.isfinite(vmax) and vmin < vmax):
        raise BraindashError(f"Colour limits must be finite and rising; got {vmin!r} to {vmax!r}.", "Give vmin < vmax.")
    place = (np.asarray(values, dtype=np.float64) - vmin) / (vmax - vmin) * 256
    place = np.where(np.isfinite(place), place, np.where(place == np.inf, 255, 0))
    return colormap(cmap)[np.clip(place, 0, 255).astype(np.uint8)]


def shared_limits(*maps: np.ndarray, percentile: float = 99.0) -> tuple[float, float]:
    """Return one colour range that serves all maps: robust, and rounded outwards to a readable step.

    Parameters
    ----------
    *maps : arrays of any shape
        NaN is left out.
    percentile : float
        The range spans from ``100 - percentile`` to ``percentile`` of all values.
        Where nothing in it is negative, it starts at zero.

    Raises
    ------
    BraindashError
        If no value is finite.
    """
    values = _finite(maps)
    low, high = np.percentile(values, [100 - percentile, percentile])
    if low >= 0:
        low = 0.0
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = _nice_step((high - low) / 10)
    return float(_round(np.floor(low / step + 1e-9) * step)), float(_round(np.ceil(high / step - 1e-9) * step))


def symmetric_limit(*maps: np.ndarray, percentile: float = 99.0) -> float:
    """Return the limit L of a zero-centred range [-L, L]: robust, rounded up. Same arguments and errors as above."""
    high = float(np.percentile(np.abs(_finite(maps)), percentile))
    if high == 0:
        return 1.0
    step = _nice_step(high / 5)
    return float(_round(np.ceil(high / step - 1e-9) * step))


def _finite(maps: tuple[np.ndarray, ...]) -> np.ndarray:
    values = np.concatenate([np.asarray(m, dtype=np.float64).ravel() for m in maps]) if maps else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        raise BraindashError("No target has a finite value to show.", "Choose a layer, subject or score with results.")
    return values


def _nice_step(step: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 × 10^k that is at least ``step``."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(m for m in (1, 2, 2.5, 5, 10) if m * power >= step * (1 - 1e-9)) * power)


def _round(value: float) -> float:
    return round(float(value), 12) + 0.0  # + 0.0: no negative zero
