"""What is checked in the same way for every kind of study. Each function returns findings and raises nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Literal

from braindash.errors import BraindashError
from braindash.studies.audio import verify_audio
from braindash.studies.base import PARTS, Finding, Story, Study

# seconds between segments of different parts: the response outlasts its cause by about this
MIN_GAP = {"bold": 10.0, "electrodes": 1.0}
MIN_ROWS = 4  # fewer cannot hold even the usual delays
FEW_ROWS = 10
LATE_ROWS = 2.0  # TRs by which a row's centre may lie outside the audio
LATE_SECONDS = 0.1  # the same for electrodes
FEW_SECONDS = 10.0  # of electrodes: as FEW_ROWS
UNCOVERED = 30.0  # seconds of audio without rows that are worth a word


def names(items: list[str], most: int = 6) -> str:
    """Return names joined by commas, cut after ``most`` with the number left out."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def check_split(study: Study) -> list[Finding]:
    """A study needs stories to tune on, to choose by and to test on; each subject too."""
    found = []
    for part in PARTS:
        level: Literal["warning", "error"] = "warning" if part == "validation" else "error"
        purpose = {
            "tune": "to tune and fit on",
            "validation": "to choose the best epoch by",
            "test": "to evaluate on",
        }[part]
        if not study.stories_of(part):
            found.append(Finding(level, f"There is no {part} story {purpose}.", f"Give a story the part {part!r}."))
            continue
        without = [s for s in study.subjects if not study.stories_of(part, s)]
        if without:
            found.append(
                Finding(
                    level,
                    f"No {part} story {purpose} was heard by {names(without)}.",
                    "Leave the subject out or add its responses.",
                    len(without),
                )
            )
    if not study.subjects:
        found.append(Finding("error", "There is no subject with responses.", "Add response files."))
    return found


def check_segments(study: Study) -> list[Finding]:
    """Nothing heard in one part may be heard in another: same file, copy of it, overlapping segments."""
    found = []
    for a, b in combinations(_by_audio(study), 2):
        if a[0] != b[0]:
            continue
        first, second = sorted((a[1], b[1]), key=lambda s: s.start)
        gap = second.start - _end(first)
        parts = f"{first.name!r} ({first.part}) and {second.name!r} ({second.part})"
        if gap < -1e-9:
            level: Literal["warning", "error"] = "warning" if first.part == second.part else "error"
            leak = "" if first.part == second.part else ": what one part is tested on, the other has heard"
            found.append(
                Finding(
                    level,
                    f"The stories {parts} share {-gap:.1f} s of the same audio ({second.audio.name}){leak}.",
                    "Give them one part, or set start and stop so that they do not overlap.",
                )
            )
        elif gap < MIN_GAP[study.signal] and first.part != second.part:
            found.append(
                Finding(
                    "warning",
                    f"The segments {parts} of {second.audio.name} are {gap:.1f} s apart; the response to the end "
                    f"of one spills over into the other.",
                    f"Leave {MIN_GAP[study.signal]:g} s between segments of different parts.",
                )
            )
    return found


def check_audio(study: Study) -> list[Finding]:
    """Every audio file is decoded once."""
    found = []
    for path in sorted({s.audio for s in study.stories.values()}):
        try:
            peak = verify_audio(path)
        except BraindashError as error:
            found.append(Finding("error", error.what, error.remedy))
            continue
        if peak == 0:
            found.append(Finding("error", f"The audio file {path} is silent from end to end.", "Export it again."))
    return found


def check_annotations(study: Study) -> list[Finding]:
    """Words and phones can be read and lie within the audio."""
    found = []
    without = []
    for story in study.stories.values():
        try:
            tables = {"word": story.words, "phone": story.phones}
        except BraindashError as error:
            bad = Finding("error", error.what, error.remedy)
            if bad not in found:  # segments of one recording share a file
                found.append(bad)
            continue
        if tables["word"] is None:
            without.append(story.name)
        for what, table in tables.items():
            if table is None or table.empty:
                continue
            last = float(table["offset"].max())
            if last > story.duration + 1:
                found.append(
                    Finding(
                        "error",
                        f"Story {story.name!r}: its last {what} ends at {last:.1f} s, but its audio at "
                        f"{story.duration:.1f} s.",
                        "Check that the annotation belongs to this audio.",
                    )
                )
    if without:
        found.append(Finding("note", f"{len(without)} stories have no words: {names(without)}.", "", len(without)))
    return found


def check_times(study: Study, story: str, subject: str) -> Iterator[Finding]:
    """A story's rows fit its audio. May raise BraindashError where the rows cannot be counted."""
    times = study.row_times(story, subject)
    duration = study.story(story).duration
    where = f"Story {story!r}, subject {subject!r}"
    if len(times) < MIN_ROWS:
        yield Finding(
            "error",
            f"{where}: {len(times)} response rows fall in its {duration:.1f} s; at least {MIN_ROWS} are needed.",
            "Check first_row, start and stop, or leave the story out.",
        )
        return
    electrodes = study.signal == "electrodes"
    if len(times) < (FEW_SECONDS / study.tr if electrodes else FEW_ROWS):
        yield Finding(
            "warning",
            f"{where}: {len(times)} response rows are few for a correlation.",
            "Join short stories, or use longer segments.",
        )
    early, late = -float(times[0]) / study.tr, (float(times[-1]) - duration) / study.tr
    allowed = max(LATE_ROWS, LATE_SECONDS / study.tr) if electrodes else LATE_ROWS
    if max(early, late) > allowed:
        unit = "rows" if electrodes else "TR"
        side = "after the audio ends" if late >= early else "before the audio starts"
        yield Finding(
            "error",
            f"{where}: {len(times)} rows every {study.tr:g} s are centred from {times[0]:.2f} to {times[-1]:.2f} s, "
            f"up to {max(early, late):.1f} {unit} {side} (0 to {duration:.2f} s; {allowed:g} {unit} are allowed).",
            f"Correct {'rate' if electrodes else 'tr'} or first_row, trim the rows, or set start and stop.",
        )
    elif duration - float(times[-1]) > UNCOVERED:
        yield Finding(
            "warning",
            f"{where}: the last row is centred at {times[-1]:.1f} s; the audio goes on to {duration:.1f} s.",
            f"Check {'rate' if electrodes else 'tr'} if the responses should cover all of it.",
        )


def check_targets(study: Study, subject: str) -> Iterator[Finding]:
    """Every response is read once; targets that cannot be used are counted. May raise BraindashError."""
    scan = study.scan(subject)
    n, n_nan, n_constant = len(scan.constant), int(scan.not_finite.sum()), int(scan.constant.sum())
    for count, what in ((n_nan, "NaN or infinite values"), (n_constant, "no change over a story")):
        if count:
            yield Finding("excluded", f"Subject {subject!r}: {count} of {n} targets have {what}.", "", count)
    if n_nan + n_constant == n:
        yield Finding("error", f"Subject {subject!r}: none of its {n} targets can be used.", "Check its responses.")


def _end(story: Story) -> float:
    return story.start + story.duration


def _by_audio(study: Study) -> list[tuple[str, Story]]:
    """Return every story with a key that equals another's where both are cut from the same recording."""
    sizes: defaultdict[int, set[Path]] = defaultdict(set)
    for s in study.stories.values():
        if s.audio.is_file():
            sizes[s.audio.stat().st_size].add(s.audio.resolve())
    keys: dict[Path, str] = {}
    for paths in sizes.values():
        for path in paths:
            # Only files of one size can be copies of each other, so few are ever hashed.
            keys[path] = str(path) if len(paths) == 1 else _digest(path)
    return [(keys.get(s.audio.resolve(), str(s.audio)), s) for s in study.stories.values()]


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
