"""What a study check found, for people and for ``--json``."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from braindash.errors import BraindashError
from braindash.studies.base import PARTS, Study


class SubjectRow(BaseModel):
    """One subject. Counts are None where the responses could not be read."""

    subject: str
    n_stories: int
    n_targets: int | None
    n_excluded_nan: int | None
    n_excluded_constant: int | None
    hours: float  # of responses: rows × TR
    cortex: str  # "fs_LR-32k", "fsaverage5", "pycortex SUBJECT TRANSFORM" or "none"
    ceiling: str  # "given", "from N repeats" or "none"


class StoryRow(BaseModel):
    """One story."""

    name: str
    part: str
    duration_s: float
    n_rows: dict[str, int]  # by subject; a subject that did not hear it is absent
    first_row_s: float | None  # centre of the earliest and of the latest row, seconds from the story's start
    last_row_s: float | None
    words: bool
    phones: bool


class FindingRow(BaseModel):
    """One line of the report."""

    level: Literal["ok", "note", "excluded", "warning", "error"]
    what: str
    remedy: str = ""
    n: int | None = None


class StudyReport(BaseModel):
    """Everything that ``braindash study check`` says. ``ok`` is False if there is an error."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: str
    title: str
    signal: str
    tr: float
    simulated: bool
    caveats: tuple[str, ...]
    subjects: list[SubjectRow]
    stories: list[StoryRow]
    findings: list[FindingRow]
    ok: bool

    def lines(self) -> list[str]:
        """Return the report as lines of plain text."""
        rows = f"TR {self.tr:g} s" if self.signal == "bold" else f"{1 / self.tr:g} rows a second"
        out = [f"{self.title} ({self.id}, {self.kind}; {rows}{'; simulated' if self.simulated else ''})"]
        out += [f"  caveat: {c}" for c in self.caveats]
        seconds = {p: sum(s.duration_s for s in self.stories if s.part == p) for p in PARTS}
        counts = {p: sum(s.part == p for s in self.stories) for p in PARTS}
        parts = ", ".join(f"{counts[p]} {p} ({seconds[p] / 60:.1f} min)" for p in PARTS)
        out += ["", f"{len(self.stories)} stories: {parts}"]
        table = [["story", "part", "seconds", "rows", "centred at (s)", "words", "phones"]]
        for s in self.stories:
            span = "none" if s.first_row_s is None else f"{s.first_row_s:.2f} to {s.last_row_s:.2f}"
            row = [s.name, s.part, f"{s.duration_s:.1f}", _range(s.n_rows), span, _yes(s.words), _yes(s.phones)]
            table.append(row)
        out += _columns(table)
        out += ["", f"{len(self.subjects)} subject{'' if len(self.subjects) == 1 else 's'}"]
        table = [["subject", "stories", "hours", "targets", "NaN", "constant", "ceiling", "cortex"]]
        for r in self.subjects:
            numbers = [r.n_targets, r.n_excluded_nan, r.n_excluded_constant]
            shown = ["?" if n is None else str(n) for n in numbers]
            table.append([r.subject, str(r.n_stories), f"{r.hours:.2f}", *shown, r.ceiling, r.cortex])
        out += _columns(table)
        out.append("")
        for f in self.findings:
            out.append(f"{f.level}: {f.what}{' ' + f.remedy if f.remedy else ''}")
        n_errors = sum(f.level == "error" for f in self.findings)
        out.append("The study can be used." if self.ok else f"The study cannot be used: {n_errors} error(s).")
        return out


def check_study(study: Study) -> StudyReport:
    """Look at everything in a study and say what was found.

    Reads all responses once. Raises nothing for bad data: what is wrong is an
    ``error`` finding.
    """
    findings = [FindingRow(level=f.level, what=f.what, remedy=f.remedy, n=f.n) for f in study.check()]
    times = {name: _row_times(study, name) for name in study.stories}
    rows = {name: {subject: len(t) for subject, t in found.items()} for name, found in times.items()}
    stories = [
        StoryRow(
            name=name,
            part=s.part,
            duration_s=s.duration,
            n_rows=rows[name],
            first_row_s=min((float(t[0]) for t in times[name].values() if len(t)), default=None),
            last_row_s=max((float(t[-1]) for t in times[name].values() if len(t)), default=None),
            words=_has(study, name, "words"),
            phones=_has(study, name, "phones"),
        )
        for name, s in study.stories.items()
    ]
    subjects = [_subject_row(study, subject, rows) for subject in study.subjects]
    return StudyReport(
        id=study.id,
        kind=study.kind,
        title=study.title,
        signal=study.signal,
        tr=study.tr,
        simulated=study.simulated,
        caveats=study.caveats,
        subjects=subjects,
        stories=stories,
        findings=findings,
        ok=all(f.level != "error" for f in findings),
    )


def _row_times(study: Study, story: str) -> dict[str, np.ndarray]:
    times = {}
    for subject in study.subjects:
        if story in study.heard(subject):
            try:
                times[subject] = study.row_times(story, subject)
            except BraindashError:
                continue  # the check has said so
    return times


def _has(study: Study, story: str, what: Literal["words", "phones"]) -> bool:
    try:
        return getattr(study.stories[story], what) is not None
    except BraindashError:
        return False


def _subject_row(study: Study, subject: str, rows: dict[str, dict[str, int]]) -> SubjectRow:
    n_targets = n_nan = n_constant = None
    ceiling = cortex = "none"
    try:
        targets = study.targets(subject)
        n_targets = len(targets)
        ceiling = _ceiling(study, subject, "noise_ceiling" in targets)
        where = study.cortex(subject)
        if where is not None:
            cortex = " ".join(p for p in (where.space, where.subject, where.transform) if p)
        scan = study.scan(subject)
        n_nan, n_constant = int(scan.not_finite.sum()), int(np.sum(scan.constant))
    except BraindashError:
        pass  # the check has said so; what could not be read stays unknown
    return SubjectRow(
        subject=subject,
        n_stories=len(study.heard(subject)),
        n_targets=n_targets,
        n_excluded_nan=n_nan,
        n_excluded_constant=n_constant,
        hours=sum(r.get(subject, 0) for r in rows.values()) * study.tr / 3600,
        cortex=cortex,
        ceiling=ceiling,
    )


def _ceiling(study: Study, subject: str, given: bool) -> str:
    if given:
        return "given"
    counts = [study.n_repeats(story, subject) for story in study.stories_of("test", subject)]
    if not counts or max(counts) < 2:
        return "none"
    fewest, most = min(counts), max(counts)
    return f"from {most} repeats" if fewest == most else f"from {fewest} to {most} repeats"


def _range(n_rows: dict[str, int]) -> str:
    if not n_rows:
        return "none"
    low, high = min(n_rows.values()), max(n_rows.values())
    return str(low) if low == high else f"{low}-{high}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _columns(table: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
