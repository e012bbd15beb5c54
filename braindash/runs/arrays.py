"""Labelled arrays beside a run's JSON documents, as netCDF: small ones that a page reads whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from braindash.errors import BraindashError
from braindash.files import atomic_write, read_file

if TYPE_CHECKING:
    import xarray as xr

MAX_BYTES = 512 * 10**6  # what is larger was not written here


def write_arrays(path: Path, data: xr.Dataset) -> None:
    """Write ``data`` as netCDF 3, whole or not at all."""
    packed = data.to_netcdf(engine="scipy", format="NETCDF3_64BIT")
    atomic_write(path, bytes(packed))


def read_arrays(path: Path, what: str, verb: str) -> xr.Dataset | None:
    """Return what `write_arrays` wrote, in memory, or None where there is nothing.

    Parameters
    ----------
    path : Path
        A file in a run's folder.
    what, verb : str
        What it holds, and the verb of the command line that makes it again.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    import xarray as xr

    run = path.parent.name
    remedy = f"Make it again: braindash {verb} {run}"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BraindashError(f"{path.name} of run {run} is larger than {MAX_BYTES // 10**6} MB.", remedy)
        packed = read_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BraindashError(f"The {what} of run {run} cannot be read ({error.strerror}).", remedy) from None
    try:
        return xr.load_dataset(io.BytesIO(packed), engine="scipy")
    except Exception as error:  # a damaged file raises whatever its bytes happen to mean
        raise BraindashError(f"The {what} of run {run} cannot be read ({error}).", remedy) from None
