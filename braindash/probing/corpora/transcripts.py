"""A folder of sounds and a file of transcripts: Asterisk's prompts, as Debian has them too, LJSpeech, or a table.

There are no times: :func:`braindash.probing.alignment.aligned` finds words and phones.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.probing.corpora.choosing import DEFAULT_MINUTES, Candidate, choose, count, shown

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".gsm")  # the best first
_TELEPHONE = (".g722", ".g729", ".sln", ".sln16", ".ulaw", ".alaw", ".siren7", ".siren14")  # no library here reads them
_PROMPTS = ("core-sounds-*.txt", "core-sounds-*.txt.gz", "extra-sounds-*.txt", "extra-sounds-*.txt.gz")
_TABLES = ("transcripts.csv", "transcripts.tsv")
_LJSPEECH = "metadata.csv"
_LARGEST = 64 << 20  # bytes of a file of transcripts
_ASIDE = re.compile(r"\[[^\[\]]*\]|\([^()]*\)")  # what is described, not said


@dataclass(frozen=True)
class _Line:
    """One sound: its name as the file of transcripts has it, what is said, and the speaker if known."""

    name: str
    text: str
    speaker: str = ""
    chapter: str = ""


def recognise(path: Path) -> bool:
    """Return whether there is a file of transcripts of a known name."""
    return path.is_dir() and bool(_transcript_files(path))


def open_transcripts(path: Path, *, max_minutes: float | None = DEFAULT_MINUTES) -> Corpus:
    """Open a folder of sounds with a file of transcripts, or the file of transcripts in that folder.

    One of ``transcripts.csv`` or ``transcripts.tsv`` (columns file, text, and speaker if wanted),
    ``metadata.csv`` (LJSpeech: ``ID|text|normalised text``, sounds in ``wavs/``), or
    ``core-sounds-en.txt`` (Asterisk: ``name: text``; Debian's sounds find it, packed, in
    ``/usr/share/doc``). What stands in brackets there is described, not said; prompts without
    words are left out.

    Groups are speakers where the table has them, chapters in LJSpeech, else the sentences: two
    sounds with the same words are one group. Labels: ``transcript``, and ``speaker`` where known.

    Parameters
    ----------
    path : Path
    max_minutes : float, optional
        Evenly over groups; None takes everything.

    Raises
    ------
    BraindashError
        No file of transcripts, several, a mistake in it (with its line), or no sound that can be read.
    """
    file = _transcript_file(path)
    folder = path if path.is_dir() else path.parent
    read = _reader(file)
    lines = list(read(file))
    if read is _read_prompts:
        folder = _sound_folder(folder, lines)
    elif file.name.lower() == _LJSPEECH and (folder / "wavs").is_dir():
        folder = folder / "wavs"
    spoken = [line for line in lines if re.search(r"\w", line.text)]
    found, absent, foreign = _find(folder, spoken)
    if not found:
        what = f"the first, {absent[0]!r}, is not there" if absent else f"they are {', '.join(foreign) or 'empty'}"
        raise BraindashError(
            f"None of the {len(lines):,} sounds that {file} names can be read: {what}.",
            "Put it beside the sounds, or convert them to wav.",
        )
    group_word, groups = _group(found)
    chosen = choose(
        [Candidate(line.name, sound, groups[line.name]) for line, sound in found], max_minutes, group_word=group_word
    )
    labels = {
        line.name: {"transcript": line.text, **({"speaker": line.speaker} if line.speaker else {})} for line, _ in found
    }
    caveats = list(chosen.caveats)
    if len(spoken) < len(lines):
        caveats.append(f"{len(lines) - len(spoken):,} of {len(lines):,} sounds hold no words and are left out.")
    if absent:
        caveats.append(f"{count(len(absent), 'transcript')} without a sound left out: {shown(absent)}.")
    for suffix, n in foreign.items():
        caveats.append(f"{count(n, 'sound')} of format {suffix} cannot be read and left out.")
    recordings = tuple(c.recording(duration, labels[c.name]) for c, duration in chosen.kept)
    name = folder.parent.resolve().name if folder.name == "wavs" else folder.resolve().name
    return Corpus(
        "transcripts", f"Transcribed speech ({name})", "transcripts", recordings, group_word, caveats=tuple(caveats)
    )


def _transcript_files(path: Path) -> list[Path]:
    found = [path / name for name in (*_TABLES, _LJSPEECH) if (path / name).is_file()]
    found += [p for pattern in _PROMPTS for p in sorted(path.glob(pattern))]
    return found or _debian(path)


def _debian(path: Path) -> list[Path]:
    """Return Debian's packed list of prompts for a folder such as /usr/share/asterisk/sounds/en_US_f_Allison."""
    here = path.resolve()
    if here.parent.name != "sounds" or here.parent.parent.name != "asterisk":
        return []
    language = re.match(r"[a-z]{2}", here.name)
    if language is None:
        return []
    name = f"core-sounds-{language[0]}"
    doc = here.parent.parent.parent / "doc" / f"asterisk-{name}"
    return [p for p in (doc / f"{name}.txt", doc / f"{name}.txt.gz") if p.is_file()][:1]


def _transcript_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = _transcript_files(path)
    if not found:
        raise BraindashError(
            f"{path} has no file of transcripts.",
            "Add transcripts.csv with the columns file and text (docs/probing.md has the other layouts).",
        )
    if len(found) > 1:
        raise BraindashError(
            f"{path} has {len(found)} files of transcripts: {', '.join(p.name for p in found)}.",
            f"Name the one that is meant, as in transcripts:{found[0]}",
        )
    return found[0]


def _reader(file: Path) -> Callable[[Path], Iterable[_Line]]:
    name = file.name.lower()
    if name == _LJSPEECH:
        return _read_ljspeech
    if name.endswith((".txt", ".txt.gz")):
        return _read_prompts
    if name.endswith((".csv", ".tsv")):
        return _read_table
    raise BraindashError(f"{file} is no file of transcripts.", "Use csv or tsv with the columns file and text, or txt.")


def _text(file: Path) -> str:
    try:
        if file.suffix.lower() == ".gz":
            with gzip.open(file) as packed:
                data = packed.read(_LARGEST + 1)
        else:
            with file.open("rb") as plain:
                data = plain.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BraindashError(f"The transcripts {file} cannot be read ({error}).", "Copy the file again.") from None
    if len(data) > _LARGEST:
        raise BraindashError(f"The transcripts {file} are larger than {_LARGEST >> 20} MB.", "Check the file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _read_prompts(file: Path) -> Iterable[_Line]:
    seen: dict[str, int] = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        name, colon, text = line.partition(":")
        if not colon or not name.strip():
            raise BraindashError(f"{file}, line {number}: {line[:60]!r} is not 'name: text'.", "Correct that line.")
        if name.strip() in seen:  # the lists of some languages name a prompt twice
            continue
        seen[name.strip()] = number
        yield _Line(name.strip(), " ".join(_ASIDE.sub(" ", text).split()))


def _read_ljspeech(file: Path) -> Iterable[_Line]:
    seen: dict[str, int] = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        name, *texts = line.split("|")
        if not texts or not name.strip():
            raise BraindashError(f"{file}, line {number}: {line[:60]!r} is not 'ID|text'.", "Correct that line.")
        _refuse_twice(file, number, name.strip(), seen)
        text = next((t for t in reversed(texts) if t.strip()), "")  # the last field has numbers as words
        yield _Line(name.strip(), " ".join(text.split()), chapter=name.strip().partition("-")[0])


def _read_table(file: Path) -> Iterable[_Line]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    rows = csv.reader(_text(file).splitlines(), delimiter=delimiter, quoting=quoting)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        missing = [c for c in ("file", "text") if c not in header]
        if missing:
            raise BraindashError(
                f"{file} has no column {' or '.join(missing)}; it has {', '.join(header) or 'none'}.",
                "Give it the columns file and text.",
            )
        seen: dict[str, int] = {}
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise BraindashError(
                    f"{file}, line {rows.line_num}: {len(row)} cells where the first line has {len(header)}.",
                    "Correct that line; text with a comma needs quotes.",
                )
            cells = dict(zip(header, row, strict=True))
            name = cells["file"].strip()
            _refuse_twice(file, rows.line_num, name, seen)
            yield _Line(name, " ".join(cells["text"].split()), cells.get("speaker", "").strip())
    except csv.Error as error:
        raise BraindashError(f"{file}, line {rows.line_num}: {error}.", "Correct that line.") from None


def _refuse_twice(file: Path, number: int, name: str, seen: dict[str, int]) -> None:
    if name in seen:
        raise BraindashError(
            f"{file}, line {number}: {name!r} is there already, in line {seen[name]}.", "Remove one of them."
        )
    seen[name] = number


def _sound_folder(folder: Path, lines: list[_Line]) -> Path:
    """Return the folder or its one subfolder that holds most of the prompts: Asterisk keeps one a language."""
    folders = [folder, *(p for p in sorted(folder.iterdir()) if p.is_dir())]
    hits = [sum(_sound(f, line.name) is not None for line in lines[:50]) for f in folders]
    return folders[hits.index(max(hits))]


def _find(folder: Path, lines: list[_Line]) -> tuple[list[tuple[_Line, Path]], list[str], dict[str, int]]:
    """Return lines with their sounds, names without one, and how many have a format that cannot be read."""
    found, absent = [], []
    foreign: dict[str, int] = {}
    for line in lines:
        sound = _sound(folder, line.name)
        if sound is not None:
            found.append((line, sound))
            continue
        suffix = next((s for s in _TELEPHONE if _beside(folder, line.name, s) is not None), None)
        if suffix is None:
            absent.append(line.name)
        else:
            foreign[suffix] = foreign.get(suffix, 0) + 1
    return found, absent, foreign


def _sound(folder: Path, name: str) -> Path | None:
    if Path(name).suffix.lower() in SUFFIXES:
        return _beside(folder, name, "")
    return next((p for s in SUFFIXES if (p := _beside(folder, name, s)) is not None), None)


def _beside(folder: Path, name: str, suffix: str) -> Path | None:
    path = folder / f"{name}{suffix}"
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # a name that no file system takes
        return None


def _group(found: list[tuple[_Line, Path]]) -> tuple[str, dict[str, str]]:
    """Return what a group is, and the group of every name."""
    if any(line.speaker for line, _ in found):
        return "speaker", {line.name: line.speaker or line.name for line, _ in found}
    if len({line.chapter for line, _ in found}) > 1:
        return "chapter", {line.name: line.chapter for line, _ in found}
    first: dict[str, str] = {}
    return "sentence", {
        line.name: first.setdefault(" ".join(re.findall(r"\w+", line.text.lower())), line.name) for line, _ in found
    }
