"""One file of response time series: rows are TRs, columns targets."""

from __future__ import annotations

import csv
import functools
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.studies.files import require_file

HDF5 = (".hf5", ".h5", ".hdf5")
FORMATS = (".csv", ".tsv", ".parquet", ".npy", *HDF5)
_TOO_LARGE = 2**31  # values of one story; more is surely not rows of TRs


def split_reference(reference: str) -> tuple[str, str | None]:
    """Split ``file.hf5:dataset`` into file and dataset; other references have no dataset."""
    name, colon, dataset = reference.rpartition(":")
    if colon and Path(name).suffix.lower() in HDF5:
        return name, dataset
    return reference, None


@dataclass(frozen=True)
class ResponseFile:
    """A file of responses, or one dataset of an HDF5 file. Only headers are read until ``read``.

    Attributes
    ----------
    path : Path
    dataset : str or None
        Name inside an HDF5 file.
    ignore : tuple of str
        Columns of csv, tsv and parquet files that are not targets.
    """

    path: Path
    dataset: str | None = None
    ignore: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        return str(self.path) + (f":{self.dataset}" if self.dataset else "")

    @property
    def format(self) -> str:
        return self.path.suffix.lower()

    @functools.cached_property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the targets, or None where the format has none (npy, hdf5)."""
        if self.format in (".csv", ".tsv"):
            header = self._header()
        elif self.format == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            require_file(self.path, "response file")
            try:
                header = list(pq.read_schema(self.path).names)
            except (pa.ArrowException, OSError) as error:
                raise self._unreadable("parquet", error) from None
            header = [h for h in header if not h.startswith("__index_level_")]
        else:
            return None
        twice = sorted({h for h in header if header.count(h) > 1})
        if twice:
            raise BraindashError(
                f"{self.label} has more than one column called {', '.join(map(repr, twice))}.", "Rename the columns."
            )
        return tuple(h for h in header if h not in self.ignore)

    @functools.cached_property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_targets), from the header; a csv's lines are counted."""
        if self.columns is not None:
            if not self.columns:
                raise BraindashError(f"{self.label} has no column that is a target.", "Check ignore_columns.")
            shape: tuple[int, ...] = (self._n_lines(), len(self.columns))
        elif self.format == ".npy":
            shape = self._npy().shape
        else:
            with self._hdf5() as f:
                shape = f[self.dataset].shape
        if len(shape) != 2:
            more = " One file holds one repeat; list several files for repeats." if len(shape) == 3 else ""
            raise BraindashError(
                f"{self.label} is an array of shape {tuple(shape)}; responses are (n_trs, n_targets).{more}",
                "Save a 2-D array.",
            )
        if shape[0] * shape[1] >= _TOO_LARGE:
            raise BraindashError(
                f"{self.label} holds {shape[0]} rows × {shape[1]} targets, which is beyond any story.",
                "Check that rows are TRs and columns targets.",
            )
        if not shape[0] or not shape[1]:
            raise BraindashError(f"{self.label} is empty: {shape[0]} rows × {shape[1]} targets.", "Export it again.")
        return int(shape[0]), int(shape[1])

    def read(self, first: int = 0, stop: int | None = None) -> np.ndarray:
        """Read rows ``first`` to ``stop``: (n, n_targets) float32, NaN kept.

        Raises
        ------
        NotDownloadedError, BraindashError
            A placeholder, missing, damaged, or holding something other than numbers.
        """
        stop = self.shape[0] if stop is None else stop
        if self.format in (".csv", ".tsv"):
            return self._read_text()[first:stop]
        if self.format == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                table = pq.read_table(self.path, columns=list(self.columns or ()))
            except (pa.ArrowException, OSError) as error:
                raise self._unreadable("parquet", error) from None
            for name in table.column_names:
                kind = table.schema.field(name).type
                if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                    raise self._not_numbers(name, str(kind))
            arrays = [table.column(i).to_numpy() for i in range(table.num_columns)]
            return np.stack(arrays, axis=1).astype(np.float32)[first:stop]
        if self.format == ".npy":
            array = self._npy()
            self._require_numbers(array.dtype)
            return np.array(array[first:stop], dtype=np.float32)
        with self._hdf5() as f:
            data = f[self.dataset]
            self._require_numbers(data.dtype)
            try:
                return np.asarray(data.astype(np.float32)[first:stop])
            except OSError as error:
                raise self._unreadable("HDF5", error) from None

    def _header(self) -> list[str]:
        require_file(self.path, "response file")
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as f:
                header = next(csv.reader(f, delimiter="," if self.format == ".csv" else "\t"), [])
        except UnicodeDecodeError as error:
            raise self._unreadable("text", error) from None
        header = [h.strip() for h in header]
        if header and all(_is_number(h) for h in header):
            raise BraindashError(
                f"{self.label}, line 1: there is no header; the first line holds numbers ({', '.join(header[:3])} …).",
                "Put the names of the targets into the first line, or save an npy file.",
            )
        return header

    def _n_lines(self) -> int:
        if self.format == ".parquet":
            import pyarrow.parquet as pq

            return int(pq.read_metadata(self.path).num_rows)
        with self.path.open("rb") as f:
            return sum(1 for line in f if line.strip()) - 1

    def _read_text(self) -> np.ndarray:
        import pandas as pd

        names = self.columns or ()
        try:
            with warnings.catch_warnings():
                # Lines longer than the header would only be warned about, and cut.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table = pd.read_csv(
                    self.path,
                    sep="," if self.format == ".csv" else "\t",
                    encoding="utf-8-sig",
                    skipinitialspace=True,
                    index_col=False,
                    float_precision="round_trip",
                )
        except (ValueError, UnicodeDecodeError, pd.errors.ParserWarning) as error:
            raise self._unreadable("text", error) from None
        if len(table) != self.shape[0]:
            raise BraindashError(
                f"{self.label} has {self.shape[0]} lines below its header but {len(table)} rows of values.",
                "Write one row a line, without line breaks in cells.",
            )
        table.columns = pd.Index([str(c).strip() for c in table.columns])
        for name in names:
            if not pd.api.types.is_numeric_dtype(table[name]) or pd.api.types.is_bool_dtype(table[name]):
                numbers = pd.to_numeric(table[name], errors="coerce")
                bad = np.flatnonzero((numbers.isna() & table[name].notna()).to_numpy())
                cell = repr(table[name].iloc[bad[0]]) if len(bad) else str(table[name].dtype)
                raise self._not_numbers(name, f"{cell} in line {bad[0] + 2}" if len(bad) else cell)
        return table[list(names)].to_numpy(dtype=np.float32)

    def _npy(self) -> np.ndarray:
        require_file(self.path, "response file")
        try:
            array: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise self._unreadable("npy", error) from None
        return array

    def _hdf5(self):  # type: ignore[no-untyped-def]  # h5py is imported late and has no types
        import h5py

        require_file(self.path, "response file")
        try:
            f = h5py.File(self.path, "r")
        except OSError as error:
            raise self._unreadable("HDF5", error) from None
        known: list[str] = []
        f.visititems(lambda name, item: known.append(name) if isinstance(item, h5py.Dataset) else None)
        if self.dataset is None or not isinstance(f.get(self.dataset), h5py.Dataset):
            f.close()
            if not known:
                raise BraindashError(f"{self.path} holds no dataset.", "Export it again.")
            raise BraindashError(
                f"{self.path} has no dataset {self.dataset or ''!r}.",
                f"{closest(self.dataset or '', known)} Write {self.path.name}:{known[0]}.",
            )
        return f

    def _require_numbers(self, dtype: np.dtype) -> None:
        if dtype.kind not in "fiu":
            raise BraindashError(f"{self.label} holds {dtype} values, not numbers.", "Save it as float32.")

    def _not_numbers(self, column: str, found: str) -> BraindashError:
        return BraindashError(
            f"{self.label}: column {column!r} is not numeric ({found}).",
            "Correct it, or name the column in ignore_columns.",
        )

    def _unreadable(self, kind: str, error: Exception) -> BraindashError:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return BraindashError(f"{self.label} cannot be read as {kind} ({first}).", "Copy or download it again.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
