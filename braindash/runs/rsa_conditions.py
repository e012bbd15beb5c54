"""The conditions of an RSA: which stretches of the test stories, and what layers, sound and brain were like then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.studies.base import Study

UNITS = ("segment", "tr", "word")
MOST_CONDITIONS = 1_500  # more are thinned evenly: permutations take n² time
FEWEST_CONDITIONS = 10
FEWEST_OCCURRENCES = 2  # of a word: the mean of one is the noise of one
N_MELS = 40


@dataclass(frozen=True)
class Conditions:
    """Occurrences in time, and the condition that each belongs to.

    Attributes
    ----------
    unit : str
    labels : list of str, one a condition
    stories : list of str
    story : (n_occurrences,) int, into ``stories``
    spans : (n_occurrences, 2) seconds of the story
    condition : (n_occurrences,) int, into ``labels``
    delay : float, seconds from sound to response
    groups : (n_conditions,) int or None
        The story of every condition where conditions follow one another in time; None for words.
    left_out, n_all : int
        Occurrences without a response in every subject's recording, and all of them.
    """

    unit: str
    labels: list[str]
    stories: list[str]
    story: np.ndarray
    spans: np.ndarray
    condition: np.ndarray
    delay: float
    groups: np.ndarray | None
    left_out: int
    n_all: int

    def of_story(self, story: str) -> np.ndarray:
        """Return the occurrences in one story: int."""
        return np.flatnonzero(self.story == self.stories.index(story))

    def counts(self) -> np.ndarray:
        """Return the occurrences of every condition: (n_conditions,)."""
        return np.bincount(self.condition, minlength=len(self.labels))


def choose_conditions(
    study: Study, subjects: Sequence[str], unit: str, seconds: float, delay: float, *, repeated: bool = False
) -> Conditions:
    """Return the conditions in the test stories that all subjects heard; twice or more where ``repeated``.

    Raises
    ------
    BraindashError
        For no common test story, stories without words where words are asked for, and fewer than 10 conditions.
    """
    stories = [s for s in study.stories_of("test", subjects[0]) if all(s in study.heard(x) for x in subjects)]
    if not stories:
        raise BraindashError("No test story was heard by all the subjects.", "Choose subjects who share one.")
    if repeated:
        counts = {s: min(study.n_repeats(s, x) for x in subjects) for s in stories}
        stories = [s for s, n in counts.items() if n > 1]
        if not stories:
            raise BraindashError(
                f"Crossnobis needs test stories that every subject heard twice or more; there are {len(counts)} test "
                "stories, each with one response a subject.",
                "Use correlation, cosine or euclidean.",
            )
    names: list[str] = []
    spans: list[tuple[float, float]] = []
    where: list[int] = []
    n_all = 0
    for i, story in enumerate(stories):
        times = [np.asarray(study.row_times(story, x), dtype=float) for x in subjects]
        first, last = max(float(t[0]) for t in times), min(float(t[-1]) for t in times)
        end = min(study.story(story).duration, last - delay + study.tr / 2)
        begin = max(0.0, first - delay - study.tr / 2)
        for name, start, stop in _occurrences(study, story, subjects[0], unit, seconds):
            n_all += 1
            if start >= begin - 1e-9 and stop <= end + 1e-9:
                names.append(name)
                spans.append((start, stop))
                where.append(i)
    left_out = n_all - len(names)
    if unit == "word":
        counted = {n: names.count(n) for n in dict.fromkeys(names)}
        labels = [n for n, c in counted.items() if c >= FEWEST_OCCURRENCES]
    else:
        labels = names
    if len(labels) > MOST_CONDITIONS:
        labels = [labels[k] for k in np.linspace(0, len(labels) - 1, MOST_CONDITIONS).round().astype(int)]
    if len(labels) < FEWEST_CONDITIONS:
        more = f" that occur {FEWEST_OCCURRENCES} times or more" if unit == "word" else ""
        raise BraindashError(
            f"The test stories hold {len(labels)} {unit}s{more}; {FEWEST_CONDITIONS} are needed.",
            "Use a shorter unit, or more test stories.",
        )
    index = {name: k for k, name in enumerate(labels)}
    kept = [k for k, name in enumerate(names) if name in index]
    condition = np.array([index[names[k]] for k in kept])
    story_of = np.array([where[k] for k in kept])
    groups = None
    if unit != "word":
        groups = np.zeros(len(labels), dtype=int)
        groups[condition] = story_of
    return Conditions(
        unit, labels, stories, story_of, np.array([spans[k] for k in kept]), condition, delay, groups, left_out, n_all
    )


def _occurrences(study: Study, story: str, subject: str, unit: str, seconds: float) -> list[tuple[str, float, float]]:
    """Return (name, start, stop) of everything in one story that may be a condition."""
    if unit == "word":
        words = study.story(story).words
        if words is None or not len(words):
            raise BraindashError(
                f"Story {story!r} has no words with their times.", "Use segment or tr, or add a TextGrid."
            )
        columns = (words["text"].astype(str), words["onset"].astype(float), words["offset"].astype(float))
        return [(text.lower(), on, off) for text, on, off in zip(*columns, strict=True) if text.strip()]
    duration = study.story(story).duration
    if unit == "tr":
        times = np.asarray(study.row_times(story, subject), dtype=float)
        edges = [(t - study.tr / 2, t + study.tr / 2) for t in times]
    else:
        edges = [(a, a + seconds) for a in np.arange(0, duration - seconds + 1e-9, seconds)]
    inside = [(max(a, 0.0), b) for a, b in edges if b > 0 and b <= duration + 1e-9]
    return [(f"{story}, {a:.1f} to {b:.1f} s", a, b) for a, b in inside]


def response_patterns(study: Study, subject: str, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Return every condition's response, z-scored within stories: (n_conditions, n_targets), and which are usable.

    The response to an occurrence is the mean of the rows whose centre lies ``delay`` seconds after it,
    or, where none does, what lies between the two rows around that time.
    """
    usable = np.asarray(study.usable(subject), dtype=bool)
    total = np.zeros((len(conditions.labels), len(usable)))
    for story in conditions.stories:
        Y = np.asarray(study.read_responses(story, subject), dtype=np.float64)
        _add_rows(total, (Y - Y.mean(axis=0)) / _spread(Y), study, subject, conditions, story)
    return total / conditions.counts()[:, None], usable & np.isfinite(total).all(axis=0)


def repeat_patterns(study: Study, subject: str, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Return `response_patterns` of single repeats: (n_repeats, n_conditions, n_targets), and which are usable.

    All repeats of a story are scaled alike, by their mean's spread. Of stories with more repeats than the one with
    the fewest, the first are taken.
    """
    usable = np.asarray(study.usable(subject), dtype=bool)
    n_repeats = min(study.n_repeats(s, subject) for s in conditions.stories)
    total = np.zeros((n_repeats, len(conditions.labels), len(usable)))
    for story in conditions.stories:
        R = study.read_repeats(story, subject)
        assert R is not None  # choose_conditions(repeated=True) left no other
        R = np.asarray(R[:n_repeats], dtype=np.float64)
        spread = _spread(R.mean(axis=0))
        for own, Y in zip(total, R, strict=True):
            _add_rows(own, (Y - Y.mean(axis=0)) / spread, study, subject, conditions, story)
    return total / conditions.counts()[None, :, None], usable & np.isfinite(total).all(axis=(0, 1))


def _spread(Y: np.ndarray) -> np.ndarray:
    spread = Y.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _add_rows(total: np.ndarray, Z: np.ndarray, study: Study, subject: str, conditions: Conditions, story: str) -> None:
    """Add one story's responses to the conditions that occur in it."""
    own = conditions.of_story(story)
    times = np.asarray(study.row_times(story, subject), dtype=np.float64)
    spans = conditions.spans[own] + conditions.delay
    first, last = np.searchsorted(times, spans[:, 0] - 1e-9), np.searchsorted(times, spans[:, 1] - 1e-9)
    centre = np.interp(spans.mean(axis=1), times, np.arange(len(times)))
    for row, (a, b, at) in enumerate(zip(first, last, centre, strict=True)):
        if b > a:
            value = Z[a:b].mean(axis=0)
        else:
            low = int(np.floor(at))
            share = at - low
            value = (1 - share) * Z[low] + share * Z[min(low + 1, len(Z) - 1)]
        total[conditions.condition[own[row]]] += value


def mel_patterns(study: Study, conditions: Conditions) -> np.ndarray:
    """Return every condition's mean log-mel spectrum: (n_conditions, 40)."""
    import librosa

    total = np.zeros((len(conditions.labels), N_MELS))
    rate, hop = 16000, 160
    for story in conditions.stories:
        own = conditions.of_story(story)
        power = librosa.feature.melspectrogram(
            y=study.audio(story), sr=rate, n_fft=400, hop_length=hop, n_mels=N_MELS, fmax=rate / 2
        )
        frames = np.log(power.T + 1e-8)
        for k in own:
            a, b = (conditions.spans[k] * rate / hop).round().astype(int)
            a = min(max(a, 0), len(frames) - 1)
            total[conditions.condition[k]] += frames[a : max(a + 1, b)].mean(axis=0)
    return np.asarray(total / conditions.counts()[:, None])
