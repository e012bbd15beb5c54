"""What was heard and what the brain did: the types every study kind fills."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import pandas as pd

from braindash.errors import BraindashError, LeakageError, closest

Part = Literal["tune", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Split:
    """Which stories tune, choose and test. Fixed in the study, recorded in every run."""

    tune: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for part in PARTS:
            for story in getattr(self, part):
                if story in seen:
                    raise LeakageError(
                        f"Story {story!r} is in both the {seen[story]} and the {part} part of the split.",
                        "Give every story one part.",
                    )
                seen[story] = part

    def part(self, story: str) -> Part:
        for part in PARTS:
            if story in getattr(self, part):
                return part
        raise KeyError(story)

    def refuse_test(self, stories: Iterable[str], doing: str) -> None:
        """Raise LeakageError if any of ``stories`` is a test story.

        Parameters
        ----------
        stories : iterable of str
        doing : str
            What was about to see them, for the message: "tuning", "choosing the epoch".
        """
        leaked = sorted(set(stories) & set(self.test))
        if leaked:
            raise LeakageError(
                f"{doing} would see the test {'story' if len(leaked) == 1 else 'stories'} {', '.join(leaked)}.",
                "Take it out of the tuning and validation stories, or make another story the test.",
            )


@dataclass(frozen=True)
class Story:
    """One stimulus: its audio and, where known, what was said when.

    A story may be a segment of its audio file, ``[start, stop)`` seconds; every
    time is then counted from ``start``. Use ``Study.audio`` to read it: two
    stories may share one file. ``words`` and ``phones`` are tables with columns
    ``text, onset, offset`` in seconds from the story's start, in order of
    onset; None where unknown.
    """

    name: str
    part: Part
    audio: Path
    duration: float  # seconds, of the segment
    words: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    phones: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    start: float = 0.0  # second of the audio file at which the story starts
    stop: float | None = None  # and ends; None: the end of the file


@dataclass(frozen=True)
class CortexMap:
    """Where each target lies on a cortical surface or volume.

    Attributes
    ----------
    space : str
        "fs_LR-32k" (64,984 points, left then right), "fsaverage5" (20,484), or
        "pycortex" (the voxels of a transform's mask, in its order).
    index : (n_points,) int32 array
        Target shown at each point; -1 where there is none (medial wall, not measured).
    filestore, subject, transform : str or None
        For "pycortex": the database folder, the subject and the transform in it.
    """

    space: Literal["fs_LR-32k", "fsaverage5", "pycortex"]
    index: np.ndarray
    filestore: str | None = None
    subject: str | None = None
    transform: str | None = None


@dataclass(frozen=True)
class TargetScan:
    """What is wrong with a subject's targets: two (n_targets,) bool arrays.

    ``not_finite``: NaN or infinite somewhere. ``constant``: finite, but without
    change in at least one story.
    """

    not_finite: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class Finding:
    """One line of a study's check report."""

    level: Literal["ok", "note", "excluded", "warning", "error"]
    what: str
    remedy: str = ""
    n: int | None = None


class Study(ABC):
    """A set of stories and the responses to them. Responses are opened lazily.

    Study kinds subclass this and fill the attributes in ``__init__``; they
    implement the four methods below.
    """

    id: str
    kind: str
    title: str
    tr: float  # seconds from row to row
    signal: Literal["bold", "electrodes"] = "bold"
    stories: dict[str, Story]
    subjects: tuple[str, ...]
    simulated: bool = False
    word_vectors: Path | None = None  # a file of static word vectors that comes with the study
    caveats: tuple[str, ...] = ()  # sentences that every figure made from the study must carry

    @property
    @abstractmethod
    def split(self) -> Split:
        """The study's split."""

    @abstractmethod
    def row_times(self, story: str, subject: str) -> np.ndarray:
        """Return the audio time of every response row's centre: (n_trs,) float64, seconds."""

    @abstractmethod
    def read_responses(self, story: str, subject: str) -> np.ndarray:
        """Read one story's responses, mean over repeats: (n_trs, n_targets) float32, NaN kept."""

    @abstractmethod
    def read_repeats(self, story: str, subject: str) -> np.ndarray | None:
        """Read single repeats, (n_repeats, n_trs, n_targets) float32, or None where there is one only."""

    @abstractmethod
    def targets(self, subject: str) -> pd.DataFrame:
        """Return one row a target: ``name`` str, ``hemi`` "L" | "R" | "", ``roi`` str (parcel or "").

        A column ``noise_ceiling`` (float, the largest reachable correlation) holds
        known or planted ceilings where the study has them. The index is 0 … n-1.
        """

    def cortex(self, subject: str) -> CortexMap | None:
        """Return where the subject's targets lie, or None."""
        return None

    def heard(self, subject: str) -> tuple[str, ...]:
        """Return the stories for which this subject has responses."""
        return tuple(self.stories)

    def stories_of(self, part: Part, subject: str | None = None) -> tuple[str, ...]:
        """Return the names of one part's stories, in study order; only those the subject heard, if given."""
        known = set(self.stories if subject is None else self.heard(subject))
        return tuple(s for s in cast("tuple[str, ...]", getattr(self.split, part)) if s in known)

    def audio(self, story: str) -> np.ndarray:
        """Return the story as 16 kHz mono float32 in [-1, 1]: (n_samples,)."""
        from braindash.studies.audio import read_audio

        s = self.story(story)
        return read_audio(s.audio, start=s.start, stop=s.stop)

    def n_repeats(self, story: str, subject: str) -> int:
        """Return how many single repeats of a story the subject's data hold; 1 where only a mean or one pass."""
        repeats = self.read_repeats(story, subject)
        return 1 if repeats is None else len(repeats)

    def story(self, name: str) -> Story:
        try:
            return self.stories[name]
        except KeyError:
            raise BraindashError(f"Study {self.id!r} has no story {name!r}.", closest(name, self.stories)) from None

    def check_subject(self, name: str) -> str:
        if name not in self.subjects:
            raise BraindashError(f"Study {self.id!r} has no subject {name!r}.", closest(name, self.subjects))
        return name

    @functools.cached_property
    def _scans(self) -> dict[str, TargetScan]:
        return {}

    def scan(self, subject: str) -> TargetScan:
        """Read every story of a subject once and say which targets cannot be used; cached."""
        if subject not in self._scans:
            scan: TargetScan | None = None
            for story in self.heard(subject):
                y = self.read_responses(story, subject)
                finite = np.isfinite(y).all(axis=0)
                constant = finite.copy()
                constant[finite] = np.ptp(y[:, finite], axis=0) == 0
                if scan is None:
                    scan = TargetScan(~finite, constant)
                else:
                    not_finite = scan.not_finite | ~finite
                    scan = TargetScan(not_finite, (scan.constant | constant) & ~not_finite)
            if scan is None:
                raise BraindashError(
                    f"Subject {subject!r} of study {self.id!r} has no responses.", "Add response files for it."
                )
            self._scans[subject] = scan
        return self._scans[subject]

    def usable(self, subject: str) -> np.ndarray:
        """Return which targets are finite and vary in every story: (n_targets,) bool.

        Reads every story once; cached. Excluded targets are never filled in:
        callers leave them out and report how many.
        """
        scan = self.scan(subject)
        return ~(scan.not_finite | scan.constant)

    @abstractmethod
    def check(self) -> list[Finding]:
        """Look at everything and say what was found; raises nothing for bad data."""

    def fingerprint(self) -> str:
        """Return a hash of what the study is made of (names, sizes, times of change; not the content)."""
        import hashlib

        h = hashlib.sha256(f"{self.kind}:{self.id}:{self.tr}".encode())
        for s in self.stories.values():
            h.update(f"{s.name}:{s.part}:{s.start:.3f}:{s.duration:.3f}".encode())
            if s.audio.exists():
                h.update(str(s.audio.stat().st_size).encode())
        h.update(",".join(self.subjects).encode())
        return h.hexdigest()[:16]
