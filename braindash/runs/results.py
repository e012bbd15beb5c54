"""What an evaluation leaves in a run's folder, and how it is read back.

``results.zarr`` holds labelled arrays (groups ``encoding`` and, later, others);
``records.json`` holds the same findings as long-format rows, which pages and
reports show. Both are written beside their final name and renamed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.errors import BraindashError
from braindash.files import disk_errors, read_file, read_json, sync_folder, sync_tree, write_synced
from braindash.runs import shapes

if TYPE_CHECKING:
    import xarray as xr

RESULTS = "results.zarr"
RECORDS = "records.json"
ATTRS = ".zattrs"  # of the root group; rewritten last with WHOLE in it, so that a store without it was cut off
WHOLE = "complete"
FILES = "files"  # how many there are besides: a chunk that is missing would be read as not-a-number
FREE_SPACE = "Free some disk space (braindash cache prune) and evaluate again; nothing was lost."


def write_results(folder: Path, groups: Mapping[str, xr.Dataset], records: Mapping[str, Any]) -> None:
    """Write both files, so that a reader sees the old pair or the new one.

    Raises
    ------
    BraindashError
        When the disk is full; the earlier results stay.
    """
    import xarray as xr

    beside = folder / f".{RESULTS}.{uuid.uuid4().hex[:8]}"
    new_records = folder / f".{RECORDS}.{uuid.uuid4().hex[:8]}"
    try:
        with disk_errors(folder, "the results", FREE_SPACE):
            tree = xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items()})
            tree.to_zarr(beside, mode="w", consolidated=False, zarr_format=2)  # format 3 has no stable text arrays yet
            (beside / ATTRS).write_text(json.dumps({WHOLE: True, FILES: _count_files(beside)[0]}), encoding="ascii")
            text = json.dumps(_plain(records), indent=1, allow_nan=False)
            write_synced(new_records, text.encode())
            sync_tree(beside)
            old = folder / f".old.{uuid.uuid4().hex[:8]}"
            if (folder / RESULTS).exists():
                (folder / RESULTS).rename(old)
            beside.rename(folder / RESULTS)
            new_records.replace(folder / RECORDS)
            sync_folder(folder)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        new_records.unlink(missing_ok=True)


def read_records(folder: Path) -> dict[str, Any] | None:
    """Return the rows of an evaluated run, or None where it has not been evaluated.

    Not-a-number is stored as null and comes back as NaN.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    path = folder / RECORDS
    try:
        data = shapes.checked(read_json(path), shapes.RECORDS)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BraindashError(
            f"The results of run {folder.name} cannot be read ({error}).",
            f"Evaluate it again: braindash evaluate {folder.name}",
        ) from None
    for name in ("encoding", "differences", "against_controls", "peaks"):
        for row in data.get(name) or ():
            for key, value in row.items():
                if value is None:
                    row[key] = math.nan
    return data


def open_results(folder: Path) -> xr.DataTree:
    """Open ``results.zarr`` lazily.

    Raises
    ------
    BraindashError
        Where the run has not been evaluated, or the store was cut off or damaged.
    """
    import xarray as xr

    store = folder / RESULTS
    remedy = f"Evaluate it: braindash evaluate {folder.name}"
    if not store.exists():
        raise BraindashError(f"Run {folder.name} has no results yet.", remedy)
    attributes = store / ATTRS
    if not attributes.exists() or f'"{WHOLE}"' not in read_file(attributes).decode("ascii", "replace"):
        raise BraindashError(f"The results of run {folder.name} were cut off while being written.", remedy)
    n_files, odd = _count_files(store)
    if odd is not None:  # reading would wait for a pipe
        raise BraindashError(f"The results of run {folder.name} cannot be read ({odd} is not a regular file).", remedy)
    try:
        written = read_json(attributes).get(FILES)
    except (OSError, ValueError, AttributeError) as error:
        raise BraindashError(f"The results of run {folder.name} cannot be read ({error}).", remedy) from None
    if isinstance(written, int) and n_files < written:
        raise BraindashError(
            f"The results of run {folder.name} cannot be read ({written - n_files} of {written} files are missing).",
            remedy,
        )
    try:
        return xr.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
    except Exception as error:  # zarr and xarray raise many kinds for a damaged store
        raise BraindashError(f"The results of run {folder.name} cannot be read ({error}).", remedy) from error


def _count_files(store: Path) -> tuple[int, Path | None]:
    """Return how many files are below ``store`` besides its `ATTRS`, and the first that is not a regular one."""
    n = 0
    for folder, _, names in os.walk(store):
        for name in names:
            path = Path(folder) / name
            if not path.is_file():
                return n, path
            n += path != store / ATTRS
    return n, None


def _plain(value: Any) -> Any:
    """Make numpy numbers and NaN fit for JSON (NaN becomes null)."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
