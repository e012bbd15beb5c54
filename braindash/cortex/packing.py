"""A flatmap as bytes for a browser: the pixels' targets once, then one small vector a map.

What a pixel shows never changes for a subject; a map of other values is a byte a target. The browser
draws by look-up, so changing the layer costs a vector and no picture.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from braindash.cortex.colour import GAIN_ACCURACY, colormap
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.cortex.flatmap import FlatIndex
    from braindash.studies.base import CortexMap

OUTSIDE, BARE = -1, 0  # pixels that are not cortex, and cortex without a target
OPACITY_STEP = 5  # of 255: nobody sees 1 % of opacity, and a map is smaller by a tenth
STEPS = 255  # codes of a value: 1 … 255 from low to high; 0 is none


def pack_index(flat: FlatIndex, cortex_map: CortexMap) -> bytes:
    """Return which target each pixel shows, compressed (zlib).

    Parameters
    ----------
    flat : FlatIndex
    cortex_map : CortexMap

    Returns
    -------
    bytes
        Of one int32 a pixel, row by row from the top left: its target + 1, `BARE` or `OUTSIDE`, as the difference
        from the pixel before it (neighbours are mostly equal), in four planes of bytes, the lowest first; then one
        byte a pixel, 1 on a gyrus.
    """
    target = flat.target(cortex_map).astype(np.int32) + 1
    target[~flat.mask] = OUTSIDE
    steps = np.diff(target.ravel(), prepend=np.int32(0)).astype("<i4")
    planes = steps.view(np.uint8).reshape(-1, 4).T
    gyrus = np.append(flat.vertex_gyrus, False)[flat.pixel_vertex].astype(np.uint8)
    return zlib.compress(planes.tobytes() + gyrus.tobytes(), 6)


def unpack_index(packed: bytes, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return what `pack_index` was given, as the browser reads it: (H, W) int32 and (H, W) uint8."""
    n = shape[0] * shape[1]
    raw = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    steps = np.ascontiguousarray(raw[: 4 * n].reshape(4, n).T).view("<i4").ravel()
    return np.cumsum(steps, dtype=np.int32).reshape(shape), raw[4 * n :].reshape(shape)


def pack_values(values: np.ndarray, low: float, high: float, alpha: np.ndarray | None = None) -> bytes:
    """Return one byte of value and, where given, one of opacity a target, compressed (zlib).

    Parameters
    ----------
    values : (n_targets,) float
        NaN has the code 0; values beyond the limits have those of the limits.
    low, high : float
        Values of the codes 1 and 255.
    alpha : (n_targets,) float in [0, 1], optional
        NaN is 0. Kept to 1 % of full opacity.

    Raises
    ------
    BraindashError
        Where low is not below high.
    """
    if not low < high:
        raise BraindashError(f"A scale from {low:g} to {high:g} has no length.", "Give limits that differ.")
    share = np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0, 1)
    codes = np.where(np.isfinite(share), 1 + np.round((STEPS - 1) * np.nan_to_num(share)), 0).astype(np.uint8)
    raw = codes.tobytes()
    if alpha is not None:
        opacity = np.clip(np.where(np.isnan(alpha), 0, alpha), 0, 1)
        raw += (OPACITY_STEP * np.round(255 / OPACITY_STEP * opacity)).astype(np.uint8).tobytes()
    # noise has runs (of no value) but no repeats: looking for those takes eight times as long and packs no smaller
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(raw) + packer.flush()


def palette(name: str) -> list[int]:
    """Return a colour map's colours of the codes 1 … 255 as 0xRRGGBB."""
    table = np.asarray(colormap(name))
    if name == GAIN_ACCURACY:  # made of codes
        table = table[1:]
    at = np.round(np.linspace(0, len(table) - 1, STEPS)).astype(int)
    red, green, blue = (table[at, c].astype(int) for c in range(3))
    return [int(v) for v in (red << 16) | (green << 8) | blue]
