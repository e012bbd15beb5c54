"""What people have written on runs: a star, tags, a note. One small file a run, outside the run's folder.

``home/marks/<run>.json`` says nothing about what was computed, so a run with marks is the same run. A change is
made to what the file holds at that moment, under a lock: two people who mark a run at once both find their change.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import atomic_write, disk_errors, read_json
from braindash.runs.record import MARKS, RunStore

VERSION = 1
TAG_LENGTH = 40  # characters
NOTE_LENGTH = 4000  # characters
MOST_TAGS = 30  # of one run
MAX_BYTES = 100_000  # of a file of marks: all that it may hold, escaped, is half of that
LOCK_SECONDS = 10.0
_TURNS_TEXT = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they change the order in which other text is read


@dataclass(frozen=True)
class Marks:
    """What is written on one run. ``problem`` says why its file cannot be read; "" if it can."""

    tags: tuple[str, ...] = ()
    note: str = ""
    starred: bool = False
    problem: str = ""

    def has_tag(self, tag: str) -> bool:
        """Whether the run has a tag, in capitals or not."""
        return tag.casefold() in {t.casefold() for t in self.tags}

    def as_dict(self) -> dict[str, Any]:
        problem = {"marks_problem": self.problem} if self.problem else {}
        return {"starred": self.starred, "tags": list(self.tags), "note": self.note, **problem}

    def text(self) -> str:
        """Return what the file of marks holds."""
        return json.dumps({"braindash": VERSION, **self.as_dict()}, indent=1, ensure_ascii=False)

    def said(self) -> str:
        """Return what there is, in words: "a star, 2 tags and a note"; "" if there is nothing."""
        n = len(self.tags)
        parts = ["a star"] * self.starred + [f"{n} tag{'s' * (n > 1)}"] * bool(n) + ["a note"] * bool(self.note)
        return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def marks_path(home: Home, run_id: str) -> Path:
    return home.path / MARKS / f"{run_id}.json"


def read_marks(home: Home, run_id: str) -> Marks:
    """Return the marks of a run; none where there is no file. Never raises: see ``Marks.problem``."""
    path = marks_path(home, run_id)
    try:
        data = read_json(path)
    except FileNotFoundError:
        return Marks()
    except (OSError, ValueError) as error:
        return Marks(problem=f"The marks of this run cannot be read ({error}).")
    version = data.get("braindash") if isinstance(data, dict) else None
    if isinstance(version, int) and version > VERSION:
        return Marks(problem=f"The marks of this run were written by a newer braindash (format {version}).")
    try:
        tags = _without_repeats(clean_tag(str(t)) for t in data.get("tags") or ())
        return Marks(tuple(tags), _clean(str(data.get("note") or ""))[:NOTE_LENGTH], data.get("starred") is True)
    except (BraindashError, TypeError, AttributeError) as error:
        return Marks(problem=f"The marks of this run are damaged ({error}).")


def marked_ids(home: Home) -> set[str]:
    """Return the ids for which there is a file of marks."""
    try:
        return {path.stem for path in (home.path / MARKS).iterdir() if path.suffix == ".json"}
    except OSError:
        return set()


def change_marks(
    home: Home,
    run_id: str,
    *,
    starred: bool | None = None,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    note: str | None = None,
    note_was: str | None = None,
) -> Marks:
    """Change what is written on a run, and return all of it.

    Parameters
    ----------
    home : Home
    run_id : str
    starred : bool, optional
        None leaves the star as it is.
    add, remove : sequence of str
        Tags; one that is there, or is not there, already is no mistake. Capitals make no difference.
    note : str, optional
        Replaces the note.
    note_was : str, optional
        The note that the writer has seen: where another stands there by now, nothing is changed.

    Raises
    ------
    BraindashError
        If there is no such run, a tag or the note is too long, the note was changed meanwhile, the file holds what
        this braindash does not understand, or the home may not be written.
    """
    RunStore(home).get(run_id)
    added, removed = [clean_tag(t) for t in add], {_clean(t).strip().casefold() for t in remove}
    if note is not None:
        note = clean_note(note)
    path = marks_path(home, run_id)
    with _writing(path, run_id):
        path.parent.mkdir(exist_ok=True)
        with _locked(path, run_id):
            now = read_marks(home, run_id)
            if now.problem:
                raise BraindashError(now.problem, f"Upgrade braindash, or repair or delete {path}.")
            if note_was is not None and note is not None and now.note not in (note_was, note):
                raise BraindashError(
                    f"The note of run {run_id} was changed by someone else meanwhile.",
                    "Read it, then save yours again.",
                )
            tags = [t for t in _without_repeats([*now.tags, *added]) if t.casefold() not in removed]
            if len(tags) > MOST_TAGS:
                raise BraindashError(f"A run has at most {MOST_TAGS} tags; it would have {len(tags)}.", "Remove some.")
            after = Marks(tuple(tags), now.note if note is None else note, now.starred if starred is None else starred)
            if after == Marks():
                path.unlink(missing_ok=True)
            elif after != now:
                atomic_write(path, after.text())
    return after


def parse_marks(data: Any) -> Marks:
    """Return the marks that somebody else's file holds, none of which is believed.

    Raises
    ------
    ValueError
        If it is of another version, a value is of another type, or a tag, the note or their number is too long.
    """
    if not isinstance(data, dict) or data.get("braindash") != VERSION:
        raise ValueError(f"not marks of version {VERSION}")
    tags, note, starred = data.get("tags"), data.get("note"), data.get("starred")
    if not isinstance(tags, list) or not all(isinstance(t, str) for t in tags):
        raise ValueError("its tags are no list of texts")
    if not isinstance(note, str) or not isinstance(starred, bool):
        raise ValueError("its note is no text, or its star neither true nor false")
    if len(tags) > MOST_TAGS:
        raise ValueError(f"{len(tags):,} tags; a run has at most {MOST_TAGS}")
    try:
        return Marks(tuple(_without_repeats(map(clean_tag, tags))), clean_note(note), starred)
    except BraindashError as error:
        raise ValueError(error.what) from None


def scrubbed_marks(marks: Marks, clean: Callable[[str], str]) -> Marks:
    """Return marks for others, each text cleaned; a cleaned text may be longer, and is cut then."""
    tags = (" ".join(_clean(clean(tag)).replace(",", " ").split())[:TAG_LENGTH].strip() for tag in marks.tags)
    note = clean_note(_clean(clean(marks.note))[:NOTE_LENGTH])
    return Marks(tuple(_without_repeats(filter(None, tags))), note, marks.starred)


def adopt_marks(home: Home, run_id: str, marks: Marks) -> bool:
    """Write marks that came with a run, where there are none for its id yet; return whether they were written.

    Raises
    ------
    BraindashError
        If there is no such run, or the home may not be written.
    """
    RunStore(home).get(run_id)
    path = marks_path(home, run_id)
    with _writing(path, run_id):
        path.parent.mkdir(exist_ok=True)
        with _locked(path, run_id):
            if path.exists() or path.is_symlink():
                return False
            atomic_write(path, marks.text())
    return True


def clean_tag(text: str) -> str:
    """Return a tag as it is kept: one line without commas.

    Raises
    ------
    BraindashError
        If nothing is left of it, it holds a comma, or it is too long.
    """
    tag = " ".join(_clean(text).split())
    if not tag:
        raise BraindashError("A tag is empty.", "Give a word or two.")
    if "," in tag:
        raise BraindashError(f"The tag {tag!r} holds a comma.", "Give several tags one by one.")
    if len(tag) > TAG_LENGTH:
        raise BraindashError(f"A tag has {len(tag)} characters ({tag[:20]}…).", f"It may have {TAG_LENGTH}.")
    return tag


def clean_note(text: str) -> str:
    """Return a note as it is kept. Raises BraindashError if it is too long."""
    note = "\n".join(line.rstrip() for line in _clean(text).split("\n")).strip()
    if len(note) > NOTE_LENGTH:
        raise BraindashError(f"The note has {len(note):,} characters.", f"It may have {NOTE_LENGTH:,}.")
    return note


def _clean(text: str) -> str:
    """Return text without what is not text: control characters, halves of characters, changes of direction."""
    text = _TURNS_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def _without_repeats(tags: Iterable[str]) -> list[str]:
    kept: dict[str, str] = {}
    for tag in tags:
        kept.setdefault(tag.casefold(), tag)
    return list(kept.values())


@contextmanager
def _writing(path: Path, run_id: str) -> Iterator[None]:
    """Say every error of the disk in words, also that it is not there any more."""
    try:
        with disk_errors(path, f"The marks of run {run_id}"):
            yield
    except OSError as error:
        raise BraindashError(
            f"The marks of run {run_id} could not be written ({error.strerror or error}).",
            f"Check that the disk of the home is there: {path.parent.parent}.",
        ) from error


@contextmanager
def _locked(path: Path, run_id: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path.with_name(f".{run_id}.lock"), timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise BraindashError(
            f"The marks of run {run_id} are held by another process for more than {LOCK_SECONDS:g} s.",
            "Try again in a moment.",
        ) from None
