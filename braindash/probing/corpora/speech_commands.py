"""Speech Commands: ``WORD/SPEAKER_nohash_N.wav``, one word a file.

Layout: Warden, Speech Commands: a dataset for limited-vocabulary speech recognition (arXiv 1804.03209).
"""

from __future__ import annotations

import os
from pathlib import Path

from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.probing.corpora.choosing import DEFAULT_MINUTES, Candidate, choose, count, shown

_LIST = "testing_list.txt"
_MARK = "_nohash_"


def recognise(path: Path) -> bool:
    """Return whether the folder has the list of test files, or folders with names of its kind."""
    if not path.is_dir():
        return False
    if (path / _LIST).is_file() and (path / "validation_list.txt").is_file():
        return True
    return any(_MARK in name for word in _folders(path)[:3] for name in _files(path / word)[:20])


def open_speech_commands(path: Path, *, max_minutes: float | None = DEFAULT_MINUTES) -> Corpus:
    """Open a folder in the layout of Speech Commands, version 1 or 2.

    Groups are speakers. Files in ``testing_list.txt`` are scored, the others are for learning only;
    without that list all are scored. Labels: ``label`` and ``transcript`` (the word), ``speaker``.
    Folders that start with ``_`` (background noise) are not read.

    Parameters
    ----------
    path : Path
        The folder with one folder a word.
    max_minutes : float, optional
        Evenly over words and speakers; None takes everything.

    Raises
    ------
    BraindashError
        Another layout, a list that names other files, or no file that can be read.
    """
    if not path.is_dir():
        raise BraindashError(f"{path} is not a folder.", "Give the folder with one folder a word.")
    files: list[tuple[str, str]] = []  # word, file name
    odd: list[str] = []
    for word in _folders(path):
        for name in _files(path / word):
            if not name.lower().endswith(".wav"):
                continue
            if _MARK in name:
                files.append((word, name))
            else:
                odd.append(f"{word}/{name}")
    if not files:
        raise BraindashError(
            f"{path} is not in the layout of Speech Commands: there is no WORD/SPEAKER{_MARK}N.wav.",
            "Give the folder with one folder a word.",
        )
    test = _test_files(path)
    names = {f"{word}/{name}" for word, name in files}
    absent = sorted(test - names) if test is not None else []
    if test is not None and not test & names:
        raise BraindashError(
            f"None of the {len(test):,} files in {path / _LIST} is in the folder.",
            "Give the folder that the list belongs to, or remove the list to have everything scored.",
        )
    chosen = choose(
        [
            Candidate(
                f"{word}/{name}", path / word / name, name.partition(_MARK)[0],
                test is None or f"{word}/{name}" in test, label=word,
            )
            for word, name in files
        ],
        max_minutes, group_word="speaker",
    )  # fmt: skip
    caveats = list(chosen.caveats)
    if odd:
        caveats.append(f"{count(len(odd), 'file')} not named SPEAKER{_MARK}N.wav, and not used: {shown(odd)}.")
    if absent:
        caveats.append(f"{count(len(absent), 'file')} of {_LIST} not in the folder: {shown(absent)}.")
    recordings = tuple(
        c.recording(duration, {"label": c.label, "transcript": c.label, "speaker": c.group})
        for c, duration in chosen.kept
    )
    title = f"Speech Commands ({path.resolve().name})"
    return Corpus("speech_commands", title, "speech_commands", recordings, "speaker", caveats=tuple(caveats))


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:  # knows folders from files without asking of each
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(("_", ".")))


def _files(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries)


def _test_files(path: Path) -> set[str] | None:
    file = path / _LIST
    if not file.is_file():
        return None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BraindashError(f"{file} is not text ({error.reason}).", "Copy it again, or remove it.") from None
    return {line.strip().replace("\\", "/") for line in lines if line.strip()}
