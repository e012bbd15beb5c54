"""EEG, MEG or intracranial time series: a table study with a rate in place of a TR.

The files, the split, the segments and the targets are those of a ``table`` study
(docs/data-contract.md). What differs follows from ``signal``: responses are fitted with
lags in seconds (a temporal response function) instead of FIR delays in TRs, no
haemodynamic response is used anywhere, and blocks and gaps are counted in seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindash.errors import BraindashError
from braindash.studies import checks
from braindash.studies.base import Finding
from braindash.studies.table import TableStudy, choose
from braindash.studies.table_spec import ElectrodesSpec, find_yaml, read_spec

SLOWEST, FASTEST = 50.0, 200.0  # Hz: slower loses what electrodes are used for, faster adds rows and little else


class ElectrodesStudy(TableStudy):
    """Electrodes or sensors, described by a ``study.yaml`` with a ``rate``."""

    kind = "electrodes"

    def check(self) -> list[Finding]:
        found = super().check()
        rate = 1 / self.tr
        if not SLOWEST <= rate <= FASTEST:
            found.append(
                Finding(
                    "warning",
                    f"There are {rate:g} rows a second; {SLOWEST:g} to {FASTEST:g} are usual.",
                    "Filter and resample the series (and rate with it), unless this is meant.",
                )
            )
        without = [s for s in self.subjects if not {"x", "y", "z"} <= set(self._columns(s))]
        if without:
            found.append(
                Finding(
                    "note", f"The electrodes of {checks.names(without)} have no positions x, y, z.", "", len(without)
                )
            )
        return found

    def _columns(self, subject: str) -> list[str]:
        try:
            return list(self.targets(subject).columns)
        except BraindashError:  # an error finding has said so
            return ["x", "y", "z"]


def open_electrodes(
    path: Path,
    id: str | None = None,
    *,
    subjects: tuple[str, ...] | None = None,
    stories: tuple[str, ...] | None = None,
    config: dict[str, Any] | None = None,
) -> ElectrodesStudy:
    """Open the study at ``path`` (its folder, or its YAML file); reads headers only.

    Parameters
    ----------
    path : Path
    id : str, optional
        In place of the YAML's.
    subjects, stories : tuple of str, optional
        Use these only.
    config
        Not used: the study is configured by its YAML.

    Raises
    ------
    BraindashError
        A mistake in the YAML (line and key), or a file that is missing or not downloaded.
    """
    if config:
        raise BraindashError(
            f"An electrodes study takes no settings beside its study.yaml (got {', '.join(sorted(config))}).",
            "Write them into study.yaml.",
        )
    file = find_yaml(Path(path))
    spec = read_spec(file, ElectrodesSpec)
    chosen, heard = choose(file, spec, subjects, stories)
    return ElectrodesStudy(file.parent.resolve(), spec, id or spec.id, chosen, heard)
