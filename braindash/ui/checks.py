"""The report of ``braindash study check``, made when asked for and kept beside the studies."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from braindash.errors import BraindashError
from braindash.files import read_json
from braindash.ui import readers
from braindash.ui.text import shorten

if TYPE_CHECKING:
    from pathlib import Path

    from braindash.studies.report import StudyReport

CHECK_SECONDS = 900


@dataclass(frozen=True)
class Checked:
    """One check: what was found, the lag scans, and when."""

    report: StudyReport
    scans: tuple[dict[str, Any], ...]
    timing: tuple[dict[str, Any], ...]  # findings of the lag scan: level, what, remedy
    when: float


def file_of(study_id: str) -> Path:
    """Return where a study's check is kept; another version of the study has another file."""
    return readers.home().path / "checks" / f"{study_id}-{readers.study(study_id).fingerprint()}.json"


def stored(study_id: str) -> Checked | None:
    """Return the kept check of the study as it is now, or None; a damaged one is made again."""
    from braindash.studies.report import StudyReport

    file = file_of(study_id)
    try:
        data = read_json(file)
        timing = data.get("timing") or {}
        return Checked(
            StudyReport.model_validate(data["report"]),
            tuple(timing.get("scans") or ()),
            tuple(timing.get("findings") or ()),
            file.stat().st_mtime,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def make(study_id: str) -> None:
    """Run ``braindash study check`` as a process of its own, so that the pages' process stays small; keep its report.

    Raises
    ------
    BraindashError
        If it takes longer than 15 minutes, ends without a report, or the report cannot be kept.
    """
    from braindash.files import atomic_write

    command = [sys.executable, "-m", "braindash", "study", "check", study_id, "--json"]
    command += ["--home", str(readers.home().path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BraindashError(
            f"The check took longer than {CHECK_SECONDS // 60} minutes.",
            f"Run it in a terminal: braindash study check {study_id}",
        ) from None
    try:
        json.loads(done.stdout)["report"]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise BraindashError(
            f"The check ended without a report ({shorten(said, 300)}).",
            f"Run it in a terminal to see why: braindash study check {study_id}",
        ) from None
    file = file_of(study_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, done.stdout)
