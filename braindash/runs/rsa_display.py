"""The RDMs of an RSA as people look at them: ``rsa.nc``, small enough to send, and a plane of all RDMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.files import atomic_write
from braindash.runs.arrays import read_arrays

if TYPE_CHECKING:
    import xarray as xr

    from braindash.rsa import Patterns
    from braindash.runs.rsa_conditions import Conditions

RDMS = "rsa.nc"
MOST_SHOWN = 300  # conditions: a picture of more has less than a pixel for each
MOST_BYTES = 10_000_000
STEPS, MISSING = 65_534, -32_768  # an RDM's range in 16-bit integers: what is lost no picture shows

Key = tuple[str, Any]  # (model, layer) or (subject, region)


def write_rdms(
    folder: Path,
    layers: Mapping[Key, Patterns],
    regions: Mapping[Key, Patterns],
    conditions: Conditions,
    facts: Mapping[str, Any],
) -> int:
    """Write ``rsa.nc``, whole or not at all, and return how many conditions it shows.

    Parameters
    ----------
    folder : Path
        The run's.
    layers : mapping of (model, layer) to Patterns
    regions : mapping of (subject, roi) to Patterns
    conditions : Conditions
        More than 300 (fewer where there are many RDMs, so that the file stays below 10 MB) are thinned evenly.
    facts : mapping of str to text or number
        Attributes of the file.
    """
    import xarray as xr

    n = len(conditions.labels)
    fits = int(np.sqrt(MOST_BYTES / (len(layers) + len(regions))))
    shown = np.unique(np.linspace(0, n - 1, min(n, MOST_SHOWN, fits)).round().astype(int))
    first = np.array([int(np.flatnonzero(conditions.condition == k)[0]) for k in shown])
    ds = xr.Dataset(
        coords={
            "condition": ("condition", shown.astype(np.int32)),
            "label": ("condition", [conditions.labels[k] for k in shown]),
            "story": ("condition", [conditions.stories[k] for k in conditions.story[first]]),
            "start": ("condition", conditions.spans[first, 0]),
            "stop": ("condition", conditions.spans[first, 1]),
            "occurrences": ("condition", conditions.counts()[shown].astype(np.int32)),
        },
        attrs={"braindash": 1, "n_conditions": n, **facts},
    )
    for name, (outer, inner), side in (
        ("layer_rdm", ("model", "layer"), layers),
        ("region_rdm", ("subject", "roi"), regions),
    ):
        first_keys, second_keys = (list(dict.fromkeys(key[i] for key in side)) for i in (0, 1))
        size = (len(first_keys), len(second_keys))
        codes = np.full((*size, len(shown) * (len(shown) - 1) // 2), MISSING, dtype=np.int16)
        low, high = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
        for key, patterns in side.items():
            at = first_keys.index(key[0]), second_keys.index(key[1])
            values = patterns.take(shown).rdm()[np.triu_indices(len(shown), 1)]
            low[at], high[at] = values.min(), values.max()
            codes[at] = _encode(values, low[at], high[at])
        ds = ds.assign_coords({outer: first_keys, inner: second_keys}).assign(
            {name: ((outer, inner, "pair"), codes), f"{name}_low": ((outer, inner), low),
             f"{name}_high": ((outer, inner), high)}
        )  # fmt: skip
    atomic_write(folder / RDMS, bytes(ds.to_netcdf(engine="scipy")))
    return len(shown)


def read_rdms(folder: Path) -> xr.Dataset | None:
    """Return the RDMs that `braindash.runs.rsa.rsa_run` left in a run's folder, or None.

    Returns
    -------
    xr.Dataset
        ``layer_rdm (model, layer, pair)`` and ``region_rdm (subject, roi, pair)``, float32, NaN where a
        subject lacks a region. Pairs i < j of the conditions shown, rows one after another
        (:func:`scipy.spatial.distance.squareform` makes a square of them). Coordinates on ``condition``:
        its number among all, ``label``, ``story``, ``start`` and ``stop`` in seconds (of the first occurrence),
        ``occurrences``.
        Attributes: ``n_conditions`` in all, ``unit``, ``metric``, ``written`` (as in ``rsa.json``).

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    raw = read_arrays(folder / RDMS, "file of RDMs", "rsa")
    if raw is None:
        return None
    try:
        out = raw.drop_vars(list(raw.data_vars))
        for name in ("layer_rdm", "region_rdm"):
            low, high = raw[f"{name}_low"], raw[f"{name}_high"]
            share = (raw[name].astype(np.float32) - (MISSING + 1)) / STEPS
            out[name] = (low + (high - low) * share).where(raw[name] != MISSING).astype(np.float32)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BraindashError(
            f"The RDMs of run {folder.name} cannot be read ({error}).", f"Make them again: braindash rsa {folder.name}"
        ) from None
    return out


def plane(
    similarity: np.ndarray, layers: Sequence[Key], regions: Sequence[Key]
) -> tuple[list[dict[str, Any]], float | None]:
    """Return where every layer and region lies in a plane by their similarities, and its stress.

    Parameters
    ----------
    similarity : (n, n) array
        Of layers, then regions.
    """
    from braindash.rsa import classical_mds

    xy, stress = classical_mds(similarity)
    rows = [{"what": "layer", "model": m, "layer": k, "subject": None, "roi": None} for m, k in layers]
    rows += [{"what": "region", "model": None, "layer": None, "subject": s, "roi": r} for s, r in regions]
    return [{**row, "x": float(x), "y": float(y)} for row, (x, y) in zip(rows, xy, strict=True)], stress


def _encode(values: np.ndarray, low: float, high: float) -> np.ndarray:
    span = high - low
    share = (values - low) / span if span > 0 else np.zeros_like(values)
    return np.asarray(np.round(share * STEPS) + MISSING + 1).astype(np.int16)
