"""Which files of a folder become recordings: those that can be read, within a limit, evenly chosen."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from braindash.errors import BraindashError
from braindash.probing.base import Recording
from braindash.studies.audio import audio_duration, read_audio

DEFAULT_MINUTES = 60.0  # of a folder: thousands of examples for every task, and features in minutes
_SHOWN = 3  # names in a caveat


@dataclass(frozen=True)
class Candidate:
    """A sound that may become a recording.

    Attributes
    ----------
    name : str, unique
    file : Path
    group : str
    scored : bool
    label : str
        What the choice is kept even over, besides the groups.
    start, stop : float
        A segment of the file, in seconds; None is its end.
    """

    name: str
    file: Path
    group: str
    scored: bool = True
    label: str = ""
    start: float = 0.0
    stop: float | None = None

    def recording(
        self,
        duration: float,
        labels: Mapping[str, str],
        words: pd.DataFrame | None = None,
        phones: pd.DataFrame | None = None,
    ) -> Recording:
        """Return the recording that this becomes."""
        load = functools.partial(read_audio, self.file, self.start, self.stop)
        return Recording(
            self.name, load, duration, self.group, self.scored, words, phones, dict(labels), file=self.file
        )


@dataclass(frozen=True)
class Chosen:
    """What was kept: candidates with their durations in seconds, in the order given, and sentences on the rest."""

    kept: list[tuple[Candidate, float]]
    caveats: tuple[str, ...]


def choose(candidates: Sequence[Candidate], max_minutes: float | None, *, group_word: str) -> Chosen:
    """Keep what can be read, and of that about ``max_minutes``, evenly over labels and groups.

    Headers are read only as far as needed: of 100,000 files with a limit, those of the chosen
    ones. Scored recordings get half of the time, and what the others leave of theirs. The same
    files give the same choice.

    Raises
    ------
    BraindashError
        No candidate can be read, or none that is scored.
    """
    limit = float("inf") if max_minutes is None else max_minutes * 60
    bad: dict[str, BraindashError] = {}
    scored, others = (_readable(_evenly([c for c in candidates if c.scored is s]), bad) for s in (True, False))
    durations: dict[str, float] = {}
    total = 0.0
    for queue, until in ((scored, limit / 2), (others, limit), (scored, limit)):
        while total < until - 1e-6 and (found := next(queue, None)) is not None:
            durations[found[0].name] = found[1]
            total += found[1]
    kept = [(c, durations[c.name]) for c in candidates if c.name in durations]
    if not kept:
        first = next(iter(bad.values()), None)
        raise BraindashError(
            f"None of {len(candidates):,} recordings can be read{f' ({first.what})' if first else ''}.",
            first.remedy if first else "Check the path.",
        )
    if not any(c.scored for c, _ in kept):
        raise BraindashError(
            f"None of the {len(kept):,} recordings that can be read is scored: all are of a training part.",
            "Add the test part.",
        )
    caveats = []
    if bad:
        caveats.append(f"{count(len(bad), 'file')} cannot be read and {_is(len(bad))} left out: {shown(list(bad))}.")
    n_left = len(candidates) - len(kept) - len(bad)
    if n_left:
        caveats.append(
            f"{len(kept):,} of {len(candidates):,} recordings are used, chosen evenly over labels and {group_word}s; "
            f"{n_left:,} are left out to stay near {max_minutes:g} minutes."
        )
    return Chosen(kept, tuple(caveats))


def readable_duration(file: Path) -> float:
    """Return the length of a sound in seconds, from its header and its end; nothing between is read.

    Raises
    ------
    NotDownloadedError, BraindashError
        As :func:`braindash.studies.audio.audio_duration`; also a file cut short.
    """
    import soundfile

    duration = audio_duration(file)
    try:
        with soundfile.SoundFile(file) as sound:
            whole = True
            if sound.seekable():
                sound.seek(sound.frames - 1)
                whole = len(sound.read(1)) == 1
    except (soundfile.LibsndfileError, RuntimeError):
        whole = False
    if not whole or _promised(file) > file.stat().st_size:
        raise BraindashError(f"The audio file {file} is cut short.", "Copy or download it again.")
    return duration


def count(n: int, word: str) -> str:
    """Return a number with its noun: "1 file", "1,200 files"."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def shown(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(n if len(n) <= 80 else f"{n[:77]}…" for n in names[:_SHOWN]) + (
        f" and {more:,} more" if more > 0 else ""
    )


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _readable(candidates: Sequence[Candidate], bad: dict[str, BraindashError]) -> Iterator[tuple[Candidate, float]]:
    """Yield those whose sound is there, with their durations; what is wrong with the others goes to ``bad``."""
    known: dict[Path, float | BraindashError] = {}  # segments share a file
    for c in candidates:
        if c.file not in known:
            try:
                known[c.file] = readable_duration(c.file)
            except BraindashError as error:
                known[c.file] = error
        found = known[c.file]
        if isinstance(found, BraindashError):
            bad[c.name] = found
        else:
            yield c, min(found, c.stop or found) - c.start


def _evenly(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return an order whose every beginning is even over labels and, within a label, over groups.

    Each label takes turns, each group of a label takes turns in it; ties go by a hash of the
    name, so that neither the alphabet nor the order of the disk decides.
    """
    turns: dict[tuple[str, str], int] = {}
    within: dict[str, list[tuple[int, bytes, Candidate]]] = {}
    for c in sorted(candidates, key=lambda c: _digest(c.name)):
        turn = turns[c.label, c.group] = turns.get((c.label, c.group), -1) + 1
        within.setdefault(c.label, []).append((turn, _digest(f"{c.label}\n{c.group}"), c))
    order = []
    for label, members in within.items():
        members.sort(key=lambda m: m[:2])
        order += [(i, _digest(label), c) for i, (_, _, c) in enumerate(members)]
    return [c for _, _, c in sorted(order, key=lambda m: m[:2])]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _promised(file: Path) -> int:
    """Return the bytes that the header of a wav or NIST SPHERE file says it has; 0 where it does not say.

    libsndfile takes a cut wav for a shorter one. Layouts: Multimedia Programming Interface and Data
    Specifications 1.0 (RIFF); NIST SPHERE header, version 1A.
    """
    with file.open("rb") as f:
        head = f.read(1024)
        if head.startswith(b"NIST_1A\n"):
            return _sphere_bytes(head)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return 0
        at = 12
        while True:
            f.seek(at)
            chunk = f.read(8)
            if len(chunk) < 8:
                return 0
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                # streaming writers do not know the size and put the largest there
                return 0 if size >= 0xFFFFFF00 else at + 8 + size
            at += 8 + size + size % 2


def _sphere_bytes(head: bytes) -> int:
    lines = head.decode("latin-1").split("\n")
    fields = {parts[0]: parts[2] for parts in (line.split(None, 2) for line in lines[2:]) if len(parts) == 3}
    try:
        numbers = [int(fields[k]) for k in ("sample_count", "sample_n_bytes", "channel_count")]
        return int(lines[1]) + numbers[0] * numbers[1] * numbers[2]
    except (KeyError, ValueError):
        return 0
