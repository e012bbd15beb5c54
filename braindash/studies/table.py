"""Bring your own: audio files and tables of time series, described by one ``study.yaml``.

docs/data-contract.md explains every key.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindash.errors import BraindashError, closest
from braindash.studies import checks
from braindash.studies.annotations import AnnotatedStory, Annotation, from_table, from_textgrid
from braindash.studies.audio import audio_duration
from braindash.studies.base import PARTS, CortexMap, Finding, Split, Study
from braindash.studies.files import require_file
from braindash.studies.responses import ResponseFile, split_reference
from braindash.studies.table_example import init_table
from braindash.studies.table_spec import (
    ElectrodesSpec,
    PycortexSpec,
    StorySpec,
    StudySpec,
    TableSpec,
    find_yaml,
    read_spec,
)
from braindash.studies.table_targets import default_targets, read_targets, spec_map, surface_map

__all__ = ["TableStudy", "init_table", "open_table"]


def open_table(
    path: Path,
    id: str | None = None,
    *,
    subjects: tuple[str, ...] | None = None,
    stories: tuple[str, ...] | None = None,
    config: dict[str, Any] | None = None,
) -> TableStudy:
    """Open the table study at ``path`` (its folder, or its YAML file); reads headers only.

    Parameters
    ----------
    path : Path
    id : str, optional
        In place of the YAML's.
    subjects, stories : tuple of str, optional
        Use these only.
    config
        Not used: a table study is configured by its YAML.

    Raises
    ------
    BraindashError
        A mistake in the YAML (line and key), or a file that is missing or not downloaded.
    """
    if config:
        raise BraindashError(
            f"A table study takes no settings beside its study.yaml (got {', '.join(sorted(config))}).",
            "Write them into study.yaml.",
        )
    file = find_yaml(Path(path))
    spec = read_spec(file, TableSpec)
    chosen, heard = choose(file, spec, subjects, stories)
    return TableStudy(file.parent.resolve(), spec, id or spec.id, chosen, heard)


def choose(
    file: Path, spec: TableSpec | ElectrodesSpec, subjects: tuple[str, ...] | None, stories: tuple[str, ...] | None
) -> tuple[list[StorySpec], list[str]]:
    """Return the stories and subjects asked for; all when None.

    Raises
    ------
    BraindashError
        For a name that the file does not have.
    """
    known = [s.name for s in spec.stories]
    for name in stories or ():
        if name not in known:
            raise BraindashError(f"{file} has no story {name!r}.", closest(name, known))
    chosen = [s for s in spec.stories if stories is None or s.name in stories]
    heard = list(dict.fromkeys(subject for s in chosen for subject in s.responses))
    for name in subjects or ():
        if name not in heard:
            raise BraindashError(f"{file} has no subject {name!r}.", closest(name, heard))
    return chosen, [s for s in heard if subjects is None or s in subjects]


@dataclass(frozen=True)
class _Recording:
    """One subject's responses to one story: a file for each repeat, and when its rows are."""

    files: tuple[ResponseFile, ...]
    first_row: float  # seconds of the audio file
    start: float | None
    stop: float | None
    tr: float

    @functools.cached_property
    def rows(self) -> tuple[int, int]:
        """First row that belongs to the story, and the one after the last."""
        times = self.first_row + self.tr * np.arange(self.files[0].shape[0])
        first = 0 if self.start is None else int(np.searchsorted(times, self.start - 1e-9))
        stop = len(times) if self.stop is None else int(np.searchsorted(times, self.stop - 1e-9))
        return first, max(first, stop)

    def times(self) -> np.ndarray:
        """Centres of the story's rows, seconds from the story's start."""
        first, stop = self.rows
        return self.first_row + self.tr * np.arange(first, stop, dtype=np.float64) - (self.start or 0.0)


class TableStudy(Study):
    """A study described by a ``study.yaml``."""

    kind = "table"

    def __init__(
        self,
        folder: Path,
        spec: TableSpec | ElectrodesSpec,
        id: str,
        stories: list[StorySpec],
        subjects: list[str],
    ) -> None:
        self.id = id
        self.title = spec.title or id
        self.tr = float(spec.tr)
        self.signal = spec.signal
        self.caveats = tuple(spec.caveats)
        self.subjects = tuple(subjects)
        self._folder = folder
        self._spec = spec
        durations: dict[Path, float] = {}
        self.stories = {}
        self._recordings: dict[tuple[str, str], _Recording] = {}
        for s in stories:
            audio = (folder / s.audio).absolute()
            if audio not in durations:
                durations[audio] = audio_duration(audio)
            self.stories[s.name] = self._story(s, audio, durations[audio])
            for subject, listed in s.responses.items():
                if subject in subjects:
                    self._recordings[s.name, subject] = self._recording(s, listed)
        self._split = Split(*(tuple(s.name for s in stories if s.split == part) for part in PARTS))

    def _story(self, s: StorySpec, audio: Path, length: float) -> AnnotatedStory:
        start = s.start or 0.0
        stop = length if s.stop is None else s.stop
        if stop > length + 0.05 or start >= length:
            raise BraindashError(
                f"Story {s.name!r} is the segment {start:g} to {stop:g} s of {audio}, which is {length:.2f} s long.",
                "Correct start and stop in study.yaml.",
            )
        for name in (s.textgrid, s.words):
            if name:
                require_file(self._folder / name, "annotation file")
        read = functools.partial(_annotation, self._folder, s, self._spec) if s.textgrid or s.words else None
        return AnnotatedStory(
            name=s.name,
            part=s.split,
            audio=audio,
            duration=min(stop, length) - start,
            start=start,
            stop=None if s.stop is None else min(stop, length),
            read=read,
        )

    def _recording(self, s: StorySpec, listed: str | list[str]) -> _Recording:
        files = []
        for reference in [listed] if isinstance(listed, str) else listed:
            name, dataset = split_reference(reference)
            path = require_file((self._folder / name).absolute(), "response file")
            files.append(ResponseFile(path, dataset, tuple(self._spec.ignore_columns)))
        first = s.first_row if s.first_row is not None else self._spec.first_row
        return _Recording(tuple(files), self.tr / 2 if first is None else first, s.start, s.stop, self.tr)

    @property
    def split(self) -> Split:
        return self._split

    def heard(self, subject: str) -> tuple[str, ...]:
        self.check_subject(subject)
        return tuple(s for s in self.stories if (s, subject) in self._recordings)

    def row_times(self, story: str, subject: str) -> np.ndarray:
        return self._find(story, subject).times()

    def n_repeats(self, story: str, subject: str) -> int:
        return len(self._find(story, subject).files)

    def read_responses(self, story: str, subject: str) -> np.ndarray:
        repeats = list(self._read(story, subject))
        if len(repeats) == 1:
            return repeats[0]
        return np.stack(repeats).mean(axis=0, dtype=np.float64).astype(np.float32)

    def read_repeats(self, story: str, subject: str) -> np.ndarray | None:
        if self.n_repeats(story, subject) < 2:
            return None
        return np.stack(list(self._read(story, subject)))

    def targets(self, subject: str) -> pd.DataFrame:
        return self._targets(self.check_subject(subject)).copy()

    def cortex(self, subject: str) -> CortexMap | None:
        where = self._spec.cortex
        targets = self._targets(self.check_subject(subject))
        if isinstance(where, PycortexSpec):
            return spec_map(where, self._folder, subject, len(targets))
        return None if where == "none" else surface_map(where, targets)

    def check(self) -> list[Finding]:
        found = checks.check_split(self) + checks.check_segments(self)
        found += checks.check_audio(self) + checks.check_annotations(self)
        for subject in self.subjects:
            found += self._check_subject(subject)
        if not any(f.level == "error" for f in found):
            found += self._note_left_out()
            n = sum(len(self.heard(s)) for s in self.subjects)
            found.append(Finding("ok", f"{n} response series of {len(self.subjects)} subjects fit their audio.", "", n))
        return found

    def fingerprint(self) -> str:
        """Also the sizes and times of change of the response files."""
        h = hashlib.sha256(super().fingerprint().encode())
        for (story, subject), recording in sorted(self._recordings.items()):
            h.update(f"{story}:{subject}:{recording.first_row}:{recording.start}:{recording.stop}".encode())
            for file in recording.files:
                if file.path.exists():
                    stat = file.path.stat()
                    h.update(f"{file.label}:{stat.st_size}:{stat.st_mtime_ns}".encode())
        return h.hexdigest()[:16]

    def _check_subject(self, subject: str) -> list[Finding]:
        found: list[Finding] = []
        try:
            self._targets(subject)
            self.cortex(subject)
        except BraindashError as error:
            return [Finding("error", error.what, error.remedy)]
        for story in self.heard(subject):
            try:
                self._agree(story, subject)
                found += checks.check_times(self, story, subject)
            except BraindashError as error:
                found.append(Finding("error", error.what, error.remedy))
        if not any(f.level == "error" for f in found):
            try:
                found += checks.check_targets(self, subject)
            except BraindashError as error:
                found.append(Finding("error", error.what, error.remedy))
        return found

    def _note_left_out(self) -> list[Finding]:
        counts: dict[int, list[str]] = {}
        for subject in self.subjects:
            counts.setdefault(self._rows_left_out(subject), []).append(subject)
        return [
            Finding(
                "note", f"{n} rows of {checks.names(who)} lie in no segment of their audio and are not used.", "", n
            )
            for n, who in counts.items()
            if n
        ]

    def _rows_left_out(self, subject: str) -> int:
        """Count the rows of segmented files that no story uses."""
        used: dict[tuple[ResponseFile, ...], np.ndarray] = {}
        for story in self.heard(subject):
            recording = self._find(story, subject)
            mask = used.setdefault(recording.files, np.zeros(recording.files[0].shape[0], dtype=bool))
            mask[slice(*recording.rows)] = True
        return sum(int((~mask).sum()) for mask in used.values())

    def _find(self, story: str, subject: str) -> _Recording:
        self.story(story)
        self.check_subject(subject)
        try:
            return self._recordings[story, subject]
        except KeyError:
            raise BraindashError(
                f"Subject {subject!r} of study {self.id!r} has no responses to story {story!r}.",
                f"It heard {checks.names(list(self.heard(subject)))}.",
            ) from None

    def _read(self, story: str, subject: str) -> Iterator[np.ndarray]:
        self._agree(story, subject)
        recording = self._find(story, subject)
        for file in recording.files:
            yield file.read(*recording.rows)

    def _agree(self, story: str, subject: str) -> None:
        """Refuse files whose rows or columns differ: averaging or stacking them would mix targets up."""
        expected = self._targets(subject)["name"].tolist()
        recording = self._find(story, subject)
        for file in recording.files:
            n_rows, n_columns = file.shape
            if n_columns != len(expected):
                raise BraindashError(
                    f"{file.label} has {n_columns} targets; subject {subject!r} has {len(expected)} "
                    f"({checks.names(expected, 3)}).",
                    "Give every file of a subject, and targets.csv, the same targets.",
                )
            for i, (name, wanted) in enumerate(zip(file.columns or (), expected, strict=False)):
                if name != wanted:
                    raise BraindashError(
                        f"{file.label}: target column {i + 1} is {name!r}, where {wanted!r} is expected.",
                        "Give every file of a subject, and targets.csv, the same columns in the same order.",
                    )
            if n_rows != recording.files[0].shape[0]:
                raise BraindashError(
                    f"{file.label} has {n_rows} rows, but {recording.files[0].label}, a repeat of the same story, "
                    f"has {recording.files[0].shape[0]}.",
                    "Give all repeats of a story the same rows.",
                )

    @functools.cached_property
    def _target_tables(self) -> dict[str, pd.DataFrame]:
        return {}

    def _targets(self, subject: str) -> pd.DataFrame:
        if subject not in self._target_tables:
            self._target_tables[subject] = self._read_targets(subject)
        return self._target_tables[subject]

    def _read_targets(self, subject: str) -> pd.DataFrame:
        listed = self._spec.targets
        if isinstance(listed, dict):
            if subject not in listed:
                raise BraindashError(f"targets has no entry for subject {subject!r}.", closest(subject, listed))
            listed = listed[subject]
        if listed is not None:
            return read_targets(self._folder / listed)
        first = self._find(self.heard(subject)[0], subject).files[0]
        space = self._spec.cortex if isinstance(self._spec.cortex, str) else None
        return default_targets(first.columns, first.shape[1], space)


def _annotation(folder: Path, s: StorySpec, spec: StudySpec) -> Annotation:
    if s.textgrid:
        return from_textgrid(folder / s.textgrid, spec.tiers.words, spec.tiers.phones)
    return from_table(folder / str(s.words))
