"""The embedded study: original stories, simulated subjects, planted truth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindash.config import Home
from braindash.demo import simulate
from braindash.errors import BraindashError, closest
from braindash.studies.base import PARTS, CortexMap, Finding, Split, Story, Study

CAVEATS = (
    "Simulated subjects: responses are computed from planted features, not recorded.",
    "One synthetic voice and one vocabulary in tuning and test stories: gains need not carry over to other speech.",
)


class DemoStudy(Study):
    """Twenty short stories, spoken by a synthetic voice, and two simulated subjects on the fs_LR-32k cortex.

    Parameters
    ----------
    folder : Path
        A folder written by :func:`braindash.demo.simulate.build`.
    id : str
    subjects, stories : iterable of str, optional
        Keep only these.
    """

    kind = "demo"
    title = "Embedded study: short stories, simulated subjects"
    tr = simulate.TR
    simulated = True
    caveats = CAVEATS
    word_vectors = simulate.STORIES / "word_vectors.json"

    def __init__(
        self,
        folder: Path,
        id: str = "demo",
        *,
        subjects: Iterable[str] | None = None,
        stories: Iterable[str] | None = None,
    ) -> None:
        from braindash.studies.textgrid import read_textgrid

        self.id = id
        self.folder = folder
        size = simulate.built(folder)
        if size is None:
            raise BraindashError(
                f"The demo study at {folder} is missing, incomplete or of another version.",
                "Run `braindash demo` to build it again.",
            )
        entries = {e["name"]: e for e in simulate.story_index(size == "small")}
        known = [s for s in simulate.planting.SEEDS if (folder / s).is_dir()]
        self.subjects = tuple(_chosen(subjects, known, "subject"))
        self.stories = {}
        self._sentences = {}
        for name in _chosen(stories, list(entries), "story"):
            entry = entries[name]
            grid = read_textgrid(simulate.STORIES / f"{name}.TextGrid")
            said = {tier: table[table["text"] != ""].reset_index(drop=True) for tier, table in grid.items()}
            self.stories[name] = Story(
                name, entry["part"], simulate.STORIES / f"{name}.ogg", entry["duration"], said["word"], said["phone"]
            )
            self._sentences[name] = entry["sentences"]
        self._split = Split(*(tuple(s.name for s in self.stories.values() if s.part == p) for p in PARTS))
        self._targets = pd.read_csv(folder / "targets.csv", keep_default_na=False)

    @property
    def split(self) -> Split:
        return self._split

    def row_times(self, story: str, subject: str) -> np.ndarray:
        self.check_subject(subject)
        return (np.arange(int(self.story(story).duration // self.tr)) + 0.5) * self.tr

    def _open(self, story: str, subject: str) -> np.ndarray:
        """Return the memory-mapped responses of one story: (n_repeats, n_trs, n_targets)."""
        path = self.folder / self.check_subject(subject) / f"{self.story(story).name}.npy"
        try:
            return np.asarray(np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise BraindashError(
                f"The responses of {subject} to {story} at {path} cannot be read ({error}).",
                "Run `braindash demo` to build the study again.",
            ) from None

    def read_responses(self, story: str, subject: str) -> np.ndarray:
        return np.asarray(self._open(story, subject).mean(axis=0, dtype=np.float32))

    def read_repeats(self, story: str, subject: str) -> np.ndarray | None:
        repeats = self._open(story, subject)
        return np.array(repeats) if len(repeats) > 1 else None

    def targets(self, subject: str) -> pd.DataFrame:
        """Return name, hemi, roi, n_vertices and the planted ceiling (realised, of the mean of all repeats)."""
        ceiling = self.truth(subject)["ceiling_realised"].where(lambda c: c > 0, 0.0)
        return self._targets.assign(noise_ceiling=ceiling.to_numpy(float))

    def truth(self, subject: str) -> pd.DataFrame:
        """Return what was planted, one row a target.

        Columns: ``target``; ``driver`` (acoustic, phonetic, semantic, word_rate or
        none); ``ceiling_single`` (nominal, one presentation), ``ceiling_nominal`` (of the
        mean of a test story's repeats) and ``ceiling_realised`` (correlation of the
        noiseless signal with that mean over the test stories).
        """
        return simulate.read_truth(self.folder, self.check_subject(subject))

    def sentences(self, story: str) -> pd.DataFrame:
        """Return one row a sentence: ``text, topic, unseen, onset, offset``; ``unseen`` lists its test-only words."""
        return pd.DataFrame(self._sentences[self.story(story).name])

    def unseen_rows(self, story: str, subject: str, lag: float = 5.0) -> np.ndarray:
        """Return which rows fall, ``lag`` seconds late, on sentences with test-only words: (n_trs,) bool."""
        times = self.row_times(story, subject) - lag
        rows = np.zeros(len(times), bool)
        for s in self._sentences[self.story(story).name]:
            if s["unseen"]:
                rows |= (times >= s["onset"]) & (times <= s["offset"])
        return rows

    def cortex(self, subject: str) -> CortexMap:
        self.check_subject(subject)
        return CortexMap(space="fs_LR-32k", index=np.load(self.folder / "index.npy"))

    def check(self) -> list[Finding]:
        findings = [Finding("note", caveat) for caveat in self.caveats]
        minutes = sum(s.duration for s in self.stories.values()) / 60
        findings.append(Finding("ok", f"{len(self.stories)} stories, {minutes:.1f} min.", n=len(self.stories)))
        for subject in self.subjects:
            bad = 0
            for story in self.stories:
                try:
                    shape = self._open(story, subject).shape
                except BraindashError as error:
                    findings.append(Finding("error", error.what, error.remedy))
                    continue
                if shape[1:] != (len(self.row_times(story, subject)), len(self._targets)):
                    bad += 1
            if bad:
                findings.append(
                    Finding("error", f"{subject}: {bad} stories have rows or targets that do not fit.",
                            "Run `braindash demo` to build the study again.", bad)
                )  # fmt: skip
            silent = int((self.truth(subject)["driver"] == "none").sum())
            findings.append(
                Finding("ok", f"{subject}: {len(self._targets)} targets, {silent} of them pure noise by design.",
                        n=len(self._targets))
            )  # fmt: skip
        return findings


def _chosen(wanted: Iterable[str] | None, known: list[str], what: str) -> list[str]:
    """Return ``wanted`` in the order of ``known``, or all; an unknown name is refused."""
    if wanted is None:
        return known
    names = list(wanted)
    for name in names:
        if name not in known:
            raise BraindashError(f"The demo study has no {what} {name!r}.", closest(name, known))
    return [k for k in known if k in names]


def open_demo(
    path: str | os.PathLike[str],
    id: str = "demo",
    *,
    subjects: Iterable[str] | None = None,
    stories: Iterable[str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> DemoStudy:
    """Open a built demo study; the function behind the study kind ``demo``, which takes no configuration."""
    if config:
        raise BraindashError(
            f"The demo study takes no configuration (got {', '.join(map(repr, config))}).", "Leave it out."
        )
    return DemoStudy(Path(path), id, subjects=subjects, stories=stories)


def build_demo(home: Home, progress: simulate.Progress | None = None, small: bool = False) -> DemoStudy:
    """Build the embedded study in ``home`` unless it is there already, and open it.

    Parameters
    ----------
    home : Home
    progress : callable, optional
        Called with the share done (0 to 1) and what is being done.
    small : bool
        Seven stories and fewer, larger patches: for tests. It takes the place of the whole study.
    """
    folder = home.studies / "demo"
    if simulate.built(folder) != ("small" if small else "whole"):
        simulate.build(folder, small, progress)
    return DemoStudy(folder)
