"""Bring your own: a table of files and what is known of them (csv, tsv or Parquet)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.probing.corpora.choosing import DEFAULT_MINUTES, Candidate, choose, readable_duration

SUFFIXES = (".csv", ".tsv", ".parquet")
_SPLITS = {"train": False, "test": True}
_OWN = ("file", "start", "stop", "speaker", "group", "split", "transcript", "textgrid")  # columns with a meaning
_LONGEST_LABEL = 200  # characters of a label or group: it becomes the name of a class
_LONGEST_TEXT = 10_000  # characters of a transcript
_MOST_COLUMNS = 100
_SLACK = 0.05  # seconds that a rounded stop may lie behind the end
_TRANSCRIPTS = ("transcripts.csv", "transcripts.tsv", "metadata.csv")


def recognise(path: Path) -> bool:
    """Return whether this is a table with a column ``file``, or a folder with one such table."""
    try:
        file = _find(path)
        return file.name.lower() not in _TRANSCRIPTS and "file" in _read(file).columns
    except BraindashError:
        return False


def open_table_corpus(path: Path, *, max_minutes: float | None = DEFAULT_MINUTES) -> Corpus:
    """Open the files that a table names, with its labels.

    ``file`` is a path from the table's folder. Optional: ``start`` and ``stop`` (seconds),
    ``speaker``, ``group`` (what must not straddle train and test; else the speaker, else the
    file), ``split`` (train or test; only test is scored), ``transcript``, ``textgrid`` (a path).
    Every other column NAME becomes the label NAME; ``label`` is what the label task reads.

    Parameters
    ----------
    path : Path
        The table, or a folder with one table.
    max_minutes : float, optional
        Evenly over ``label`` and groups; None takes everything.

    Raises
    ------
    BraindashError
        A table that cannot be read, and any mistake in it, with its row and column.
    """
    file = _find(path)
    table = _read(file)
    if "file" not in table:
        raise BraindashError(
            f"{file} has no column file; it has {', '.join(map(str, table.columns)) or 'none'}.",
            "Name the sounds in a column called file, as paths from the table's folder.",
        )
    if table.empty:
        raise BraindashError(f"{file} has no rows.", "Name at least one sound.")
    if len(table.columns) > _MOST_COLUMNS:
        raise BraindashError(
            f"{file} has {len(table.columns)} columns; at most {_MOST_COLUMNS} are read.", "Keep the labels to probe."
        )
    rows = _Rows(file, table)
    candidates = rows.candidates()
    by_name = {c.name: i for i, c in enumerate(candidates)}
    group_word = "group" if "group" in table else "speaker" if "speaker" in table else "file"
    chosen = choose(candidates, max_minutes, group_word=group_word)
    recordings = []
    for c, duration in chosen.kept:
        words, phones = rows.annotation(by_name[c.name], c, duration)
        recordings.append(c.recording(duration, rows.labels(by_name[c.name]), words, phones))
    return Corpus(file.stem, f"Table {file.name}", "table", tuple(recordings), group_word, caveats=chosen.caveats)


@dataclass(frozen=True)
class _Rows:
    """A table whose cells are read with the row and column of a mistake."""

    file: Path
    table: pd.DataFrame

    def candidates(self) -> list[Candidate]:
        files = [self._path(i, "file") for i in range(len(self.table))]
        self._refuse_absent("file", files)
        if "textgrid" in self.table:
            grids = [self._path(i, "textgrid") if self._cell(i, "textgrid") else None for i in range(len(files))]
            self._refuse_absent("textgrid", grids)
        out: list[Candidate] = []
        seen: dict[tuple[Path, float, float | None], int] = {}
        names: set[str] = set()
        durations: dict[Path, float | None] = {}
        for i, file in enumerate(files):
            start, stop = self._seconds(i, "start") or 0.0, self._seconds(i, "stop")
            if start or stop is not None:
                stop = self._segment(i, file, start, stop, durations)
            segment = (file, start, stop)
            if segment in seen:
                raise self._mistake(i, "file", f"the same sound is in row {seen[segment] + 1}", "Remove one of them.")
            seen[segment] = i
            name = self._shown(i)
            if start or stop is not None:
                name += f" {start:g}-{'' if stop is None else f'{stop:g}'} s"
            if name in names:  # two files of other folders
                name += f" (row {i + 1})"
            names.add(name)
            group = self._text(i, "group") or self._text(i, "speaker")
            if "group" in self.table and not self._cell(i, "group"):
                raise self._mistake(i, "group", "is empty", "Give every row a group, or drop the column.")
            label = self._text(i, "label")
            out.append(Candidate(name, file, group or self._shown(i), self._split(i), label, start, stop))
        return out

    def labels(self, i: int) -> dict[str, str]:
        """Return the labels of row i; empty cells give none."""
        names = [n for n in self.table.columns if n not in _OWN or n in ("speaker", "transcript")]
        limits = {"transcript": _LONGEST_TEXT}
        found = {n: self._text(i, n, limits.get(n, _LONGEST_LABEL)) for n in names}
        return {n: text for n, text in found.items() if text}

    def annotation(self, i: int, c: Candidate, duration: float) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        from braindash.studies.annotations import clip, from_textgrid

        if not self._cell(i, "textgrid"):
            return None, None
        try:
            words, phones = from_textgrid(self._path(i, "textgrid"))
        except BraindashError as error:
            raise self._mistake(i, "textgrid", error.what.rstrip("."), error.remedy) from None
        end = duration if c.start or c.stop is not None else None
        return clip(words, c.start, end), clip(phones, c.start, end)

    def _cell(self, i: int, column: str) -> str:
        return str(self.table[column].iat[i]).strip() if column in self.table else ""

    def _text(self, i: int, column: str, longest: int = _LONGEST_LABEL) -> str:
        text = " ".join(self._cell(i, column).split())
        if len(text) > longest:
            raise self._mistake(i, column, f"has {len(text):,} characters, {text[:30]!r}…", f"Use at most {longest:,}.")
        return text

    def _path(self, i: int, column: str) -> Path:
        text = self._cell(i, column)
        if not text:
            raise self._mistake(i, column, "is empty", "Name a file.")
        if "\0" in text or len(text) > 4096:
            raise self._mistake(i, column, f"{text[:30]!r}… is no path", "Name a file.")
        return self.file.parent / text

    def _seconds(self, i: int, column: str) -> float | None:
        text = self._cell(i, column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0:
            raise self._mistake(i, column, f"{text[:30]!r} is no number of seconds", "Count from the file's start.")
        return value

    def _segment(
        self, i: int, file: Path, start: float, stop: float | None, durations: dict[Path, float | None]
    ) -> float | None:
        """Return where the segment ends; a file that cannot be read is left out later, and counted."""
        if file not in durations:
            try:
                durations[file] = readable_duration(file)
            except BraindashError:
                durations[file] = None
        length = durations[file]
        if stop is not None and stop <= start:
            raise self._mistake(i, "stop", f"{stop:g} s does not lie after start, {start:g} s", "Correct the times.")
        if length is None:
            return stop
        for column, value, last in (("start", start, length - 1e-6), ("stop", stop or 0.0, length + _SLACK)):
            if value > last:
                what = f"{value:g} s lies outside the file, which is {length:.2f} s long"
                raise self._mistake(i, column, what, "Correct the times.")
        return None if stop is None else min(stop, length)

    def _split(self, i: int) -> bool:
        if "split" not in self.table:
            return True
        text = self._cell(i, "split").lower()
        if text not in _SPLITS:
            raise self._mistake(i, "split", f"{text[:30]!r} is neither train nor test", "Write train or test.")
        return _SPLITS[text]

    def _shown(self, i: int) -> str:
        """Return the file as the table has it; of an absolute path outside the folder only the last part."""
        path = Path(self._cell(i, "file"))
        if not path.is_absolute():
            return path.as_posix()
        base = self.file.parent
        return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name

    def _refuse_absent(self, column: str, paths: list[Path | None] | list[Path]) -> None:
        absent = [i for i, p in enumerate(paths) if p is not None and not _there(p)]
        if absent:
            more = f"; {len(absent) - 1:,} more rows name files that are not there" if len(absent) > 1 else ""
            raise self._mistake(
                absent[0], column, f"there is no file {self._cell(absent[0], column)[:200]!r}{more}",
                f"Paths start at the table's folder, {self.file.parent}.",
            )  # fmt: skip

    def _mistake(self, i: int, column: str, what: str, remedy: str) -> BraindashError:
        return BraindashError(f"{self.file.name}, row {i + 1}, column {column}: {what}.", remedy)


def _there(path: Path) -> bool:
    try:
        # a broken link is there, and said to be not downloaded when its sound is read
        return path.is_file() or path.is_symlink()
    except (OSError, ValueError):
        return False


def _find(path: Path) -> Path:
    path = path.absolute()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise BraindashError(f"{path} is no table.", f"Use one of {', '.join(SUFFIXES)}.")
        return path
    found = [p for p in sorted(path.iterdir()) if p.suffix.lower() in SUFFIXES and p.is_file()] if path.is_dir() else []
    if len(found) != 1:
        names = ": " + ", ".join(p.name for p in found[:5]) if found else ""
        raise BraindashError(f"{path} holds {len(found)} tables{names}.", "Name the table itself, as in table:PATH.csv")
    return found[0]


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose named index is columns again."""
    return table.reset_index(drop=all(name is None for name in table.index.names))


def _read(file: Path) -> pd.DataFrame:
    read: dict[str, Callable[[], pd.DataFrame]] = {
        ".csv": lambda: pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig"),
        ".tsv": lambda: pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig", quoting=3),
        ".parquet": lambda: _flat(pd.read_parquet(file)),
    }
    try:
        table = read[file.suffix.lower()]()
    except Exception as error:  # pandas and pyarrow raise many kinds
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BraindashError(f"The table {file} cannot be read ({first[:200]}).", "Save it as UTF-8 csv.") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes more cells than columns for an index
        raise BraindashError(
            f"The table {file} has rows with more cells than columns.", "Put text with commas into quotes."
        )
    table.columns = [str(name).strip() for name in table.columns]
    lower = {name: name.lower() for name in table.columns if name.lower() in _OWN}
    table = table.rename(columns=lower)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise BraindashError(f"The table {file} has the column {twice[0]!r} twice.", "Rename one of them.")
    table = table[[n for n in table.columns if n and not n.startswith("Unnamed: ")]]  # an index that was saved too
    return table.astype(object).where(table.notna(), "")
