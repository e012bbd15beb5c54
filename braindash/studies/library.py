"""The studies a home knows: one small record each; the data stay where they are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from braindash.config import Home
from braindash.errors import BraindashError, closest
from braindash.files import atomic_write, disk_errors, read_file
from braindash.studies.base import Finding, Study
from braindash.studies.registry import KINDS, opener

DEMO = "demo"  # needs no record: it lives in the home itself
_ID = re.compile(r"[A-Za-z0-9_-]+")


class StudyRecord(BaseModel):
    """What is remembered of a study: enough to open it again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    braindash: int = Field(default=1, ge=1, le=1)
    id: str
    kind: str
    path: str
    title: str = ""
    subjects: tuple[str, ...] | None = None
    stories: tuple[str, ...] | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class StudyEntry(BaseModel):
    """One row of the list of studies. ``problem`` says why a record cannot be used; it never breaks the list."""

    id: str
    kind: str = ""
    path: str = ""
    title: str = ""
    problem: str = ""


def add_study(
    home: Home | str | os.PathLike[str] | None,
    kind: str,
    path: str | os.PathLike[str],
    *,
    id: str | None = None,
    subjects: Sequence[str] | None = None,
    stories: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Study:
    """Open a study, check all of it, and remember it under its id.

    Nothing is written unless the check finds no error. Adding the same path
    again under the same id replaces the record.

    Parameters
    ----------
    home : Home or path
    kind : str
        A registered study kind.
    path : path
        The study's folder (for ``table`` also its YAML file).
    id : str, optional
        Letters, digits, - and _; by default what the study calls itself, else its folder's name.
    subjects, stories : sequence of str, optional
        Use these only.
    config : mapping, optional
        Settings of the kind.

    Raises
    ------
    BraindashError
        Unknown kind, bad or taken id, or the errors that the check found.
    """
    where = _home(home)
    if id is not None:
        _check_id(id)
    source = Path(path).expanduser().resolve()
    study = opener(kind)(
        source,
        id,
        subjects=tuple(subjects) if subjects is not None else None,
        stories=tuple(stories) if stories is not None else None,
        config=dict(config) if config is not None else None,
    )
    _check_id(study.id)
    if study.id == DEMO and kind != DEMO:
        raise BraindashError("The id 'demo' is kept for the embedded study.", "Choose another id with --id.")
    file = _record_path(where, study.id)
    if file.exists():
        old = _read_record(file)
        if Path(old.path) != source or old.kind != kind:
            raise BraindashError(
                f"The id {study.id!r} is taken by the study at {old.path}.",
                "Choose another with --id, or remove it.",
            )
    refuse_errors(study, study.check())
    record = StudyRecord(
        id=study.id,
        kind=kind,
        path=str(source),
        title=study.title,
        subjects=tuple(subjects) if subjects is not None else None,
        stories=tuple(stories) if stories is not None else None,
        config=dict(config or {}),
    )
    with disk_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, record.model_dump_json(indent=2) + "\n")
    return study


def refuse_errors(study: Study, findings: Sequence[Finding]) -> None:
    """Raise one BraindashError for the errors among ``findings``, if any."""
    errors = [f for f in findings if f.level == "error"]
    if errors:
        shown = " ".join(f.what for f in errors[:5])
        more = f" (and {len(errors) - 5} more)" if len(errors) > 5 else ""
        raise BraindashError(
            f"Study {study.id!r} cannot be used: {shown}{more}", errors[0].remedy or "Correct it and add it again."
        )


def open_study(id: str, home: Home | str | os.PathLike[str] | None = None) -> Study:
    """Open a study that was added, or the embedded one (``demo``). Reads headers only.

    Raises
    ------
    BraindashError
        Unknown id (closest names offered), moved or damaged data.
    """
    where = _home(home)
    file = _record_path(where, _check_id(id))
    if not file.exists():
        if id == DEMO:
            return opener(DEMO)(where.studies / DEMO, DEMO)
        known = [e.id for e in list_studies(where)]
        raise BraindashError(
            f"There is no study {id!r} in {where.path}.",
            f"{closest(id, [*known, DEMO])} Add one with `braindash study add KIND PATH`.",
        )
    record = _read_record(file)
    path = Path(record.path)
    if not _is_there(record.path):
        raise BraindashError(
            f"The data of study {id!r} are no longer at {record.path[:300]}.",
            f"Put them back, or `braindash study remove {id}` and add it from its new place.",
        )
    return opener(record.kind)(
        path, record.id, subjects=record.subjects, stories=record.stories, config=record.config or None
    )


def list_studies(home: Home | str | os.PathLike[str] | None = None) -> list[StudyEntry]:
    """Return the studies of a home by id, the embedded one first if it is built."""
    where = _home(home)
    entries = []
    for file in sorted(where.studies.glob("*.json"), key=lambda p: p.stem):
        try:
            record = _read_record(file)
        except BraindashError as error:
            entries.append(StudyEntry(id=file.stem, problem=error.what))
            continue
        problem = "" if _is_there(record.path) else f"nothing at {record.path[:300]}"
        if record.kind not in KINDS:
            problem = f"unknown kind {record.kind!r}"
        entries.append(
            StudyEntry(id=record.id, kind=record.kind, path=record.path, title=record.title, problem=problem)
        )
    built = where.studies / DEMO
    if built.is_dir() and all(e.id != DEMO for e in entries):
        entries.insert(0, StudyEntry(id=DEMO, kind=DEMO, path=str(built), title="The embedded study"))
    return entries


def remove_study(home: Home | str | os.PathLike[str] | None, id: str) -> None:
    """Forget a study. Its data are not touched."""
    where = _home(home)
    file = _record_path(where, _check_id(id))
    if not file.exists():
        known = [e.id for e in list_studies(where) if e.id != DEMO]
        raise BraindashError(f"There is no study record {id!r} in {where.path}.", closest(id, known))
    file.unlink()


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # no file can have such a name
        return False


def _home(home: Home | str | os.PathLike[str] | None) -> Home:
    return home if isinstance(home, Home) else Home.resolve(home)


def _record_path(home: Home, id: str) -> Path:
    return home.studies / f"{id}.json"


def _check_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise BraindashError(f"{id!r} is not a study id.", "Use letters, digits, - and _ only.")
    if len(id) > 100:
        raise BraindashError(f"The study id {id[:30]!r}… has {len(id)} characters.", "Use at most 100.")
    return id


def _read_record(file: Path) -> StudyRecord:
    try:
        return StudyRecord.model_validate_json(read_file(file))
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise BraindashError(
            f"The study record {file} cannot be read ({first}).", "Delete it and add the study again."
        ) from None
