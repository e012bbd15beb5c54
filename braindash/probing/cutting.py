"""From all that a task could use to the examples that it does use, with every one left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits
from braindash.wording import plural

OUTSIDE = "outside the recording, or without length"
RARE = "of a class too rare to learn or to score"
RARE_LABELS = "labels (not examples) that too few examples have, or lack"


@dataclass(frozen=True)
class Cut:
    """All that a task found in a corpus, before limits.

    Attributes
    ----------
    recording : (n,) int
    spans : (n, 2) seconds
    y : (n,) int, (n, d) bool or (n, d) float
    names : tuple of str, classes or columns
    items : (n,) str or None
    left_out : reason -> count
    unit : str
        What an example is, in the plural: "phones", "words".
    """

    recording: np.ndarray
    spans: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    items: np.ndarray | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    unit: str = "examples"

    def keep(self, mask: np.ndarray, reason: str) -> Cut:
        """Return the examples of a (n,) bool mask; the others are counted under ``reason``."""
        lost = int(np.count_nonzero(~mask))
        if not lost:
            return self
        return replace(
            self,
            recording=self.recording[mask],
            spans=self.spans[mask],
            y=self.y[mask],
            items=None if self.items is None else self.items[mask],
            left_out=Counter(self.left_out) + Counter({reason: lost}),
        )


def beyond(limits: Limits) -> str:
    """Return the reason of an example that was not needed."""
    return f"more than {limits.max_examples} examples (chosen evenly)"


def settle(corpus: Corpus, limits: Limits, cut: Cut, *, apart: str = "group") -> Examples:
    """Return the examples of a task: inside their recordings, no rare classes, as many as the limits allow.

    Half of the examples are for scoring where the corpus keeps recordings for learning alone, an
    equal number from every group, within a group of every class, and within a class of every item, as far as
    there are so many.

    Parameters
    ----------
    apart : "group" or "recording"
        What never straddles train and test in this task.

    Raises
    ------
    BraindashError
        Too few examples, classes or groups are left to learn from and to score on.
    """
    cut = _inside(corpus, cut)
    _check_groups(corpus, cut, apart)
    cut = _drop_rare(corpus, limits, cut, apart)
    if len(cut.spans) > limits.max_examples:
        groups, scored = sides(corpus, cut.recording, apart)
        classes = cut.y if is_classes(cut.y) else np.zeros(len(cut.y), dtype=int)
        items = classes if cut.items is None else cut.items
        chosen = choose_evenly([scored, groups, classes, items], limits.max_examples, limits.seed)
        cut = _drop_rare(corpus, limits, cut.keep(chosen, beyond(limits)), apart)
    _check_enough(corpus, limits, cut)
    y, names = cut.y, cut.names
    if is_classes(y):
        present = np.unique(y)
        y, names = np.searchsorted(present, y), tuple(names[k] for k in present)
    return Examples(cut.recording, cut.spans, y, names, cut.items, dict(cut.left_out))


def sides(corpus: Corpus, recording: np.ndarray, apart: str = "group") -> tuple[np.ndarray, np.ndarray]:
    """Return the group of every example, (n,) str, and whether it may be scored, (n,) bool."""
    groups = np.array([r.name if apart == "recording" else r.group for r in corpus.recordings], dtype=str)
    scored = np.array([r.scored for r in corpus.recordings], dtype=bool)
    return groups[recording], scored[recording]


def is_classes(y: np.ndarray) -> bool:
    """Return whether ``y`` holds classes, rather than values or labels."""
    return y.ndim == 1 and np.issubdtype(y.dtype, np.integer)


def common(
    y: np.ndarray, n: int, groups: np.ndarray, scored: np.ndarray, items: np.ndarray | None, fewest: int
) -> np.ndarray:
    """Return which classes or labels can be learned and scored: (n,) bool.

    Such a class has ``fewest`` scored examples, and ``fewest`` are left to learn from when the group, or
    the item, that has most of it is held out.

    Parameters
    ----------
    y : (n_examples,) int below ``n``, or (n_examples, n) bool
    """
    rows, of = (np.arange(len(y)), y) if is_classes(y) else np.nonzero(y)
    total = np.bincount(of, minlength=n)
    enough = np.bincount(of[scored[rows]], minlength=n) >= fewest
    for apart, held in ((groups, scored), (items, np.ones(len(scored), dtype=bool))):
        if apart is not None and len(rows):
            _, index = np.unique(apart, return_inverse=True)
            able = held[rows]  # what is never scored is never held out
            pairs, counts = np.unique((of * (index.max() + 1) + index[rows])[able], return_counts=True)
            most = np.zeros(n, dtype=int)
            np.maximum.at(most, pairs // (index.max() + 1), counts)
            enough &= total - most >= fewest
    return enough


def choose_evenly(levels: list[np.ndarray], most: int, seed: int) -> np.ndarray:
    """Return ``most`` of n examples as a (n,) bool mask, as even as can be over nested strata.

    Parameters
    ----------
    levels : list of (n,) arrays
        Each is shared out within the one before it.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(levels[0]), dtype=bool)

    def share_out(rows: np.ndarray, depth: int, quota: int) -> None:
        if quota >= len(rows):
            chosen[rows] = True
        elif depth == len(levels):
            chosen[rng.permutation(rows)[:quota]] = True
        else:
            _, index, counts = np.unique(levels[depth][rows], return_inverse=True, return_counts=True)
            for k, part in enumerate(_shares(counts, quota, rng)):
                share_out(rows[index == k], depth + 1, int(part))

    share_out(np.arange(len(chosen)), 0, most)
    return chosen


def _shares(counts: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Share ``total`` out over strata: equal parts, none above its count, the remainder at random."""
    level = 0  # highest equal part whose sum is within the total
    low, high = 0, int(counts.max())
    while low <= high:
        middle = (low + high) // 2
        if np.minimum(counts, middle).sum() <= total:
            level, low = middle, middle + 1
        else:
            high = middle - 1
    parts = np.minimum(counts, level)
    room = np.flatnonzero(counts > level)
    parts[rng.permutation(room)[: total - int(parts.sum())]] += 1
    return parts


def _inside(corpus: Corpus, cut: Cut) -> Cut:
    """Clip spans to their recordings; what is outside, or has no length, is left out."""
    if not len(cut.spans):
        return cut
    ends = np.array([r.duration for r in corpus.recordings])[cut.recording]
    spans = np.clip(cut.spans, 0.0, ends[:, None])
    return replace(cut, spans=spans).keep(spans[:, 1] > spans[:, 0], OUTSIDE)


def _drop_rare(corpus: Corpus, limits: Limits, cut: Cut, apart: str) -> Cut:
    """Leave out rare classes with their examples, and rare labels; until none is left, as one may make another rare."""
    if np.issubdtype(cut.y.dtype, np.floating) or not len(cut.y):
        return cut
    groups, scored = sides(corpus, cut.recording, apart)
    if is_classes(cut.y):
        enough = common(cut.y, len(cut.names), groups, scored, cut.items, limits.fewest_per_class)
        smaller = cut.keep(enough[cut.y], RARE)
        return cut if smaller is cut else _drop_rare(corpus, limits, smaller, apart)
    y = cut.y.astype(bool)
    enough = common(y, y.shape[1], groups, scored, None, limits.fewest_per_class)
    enough &= common(~y, y.shape[1], groups, scored, None, limits.fewest_per_class)
    lost = int((~enough).sum())
    if not lost:
        return cut
    names = tuple(n for n, ok in zip(cut.names, enough, strict=True) if ok)
    left_out = Counter(cut.left_out) + Counter({RARE_LABELS: lost})
    return replace(cut, y=y[:, enough], names=names, left_out=left_out)


def _check_groups(corpus: Corpus, cut: Cut, apart: str) -> None:
    if not len(cut.recording):
        return
    groups, _ = sides(corpus, cut.recording, apart)
    word = apart if apart == "recording" else corpus.group_word
    if len(np.unique(groups)) < 2:
        raise BraindashError(
            f"All {cut.unit} are of one {word}, {str(groups[0])!r}; nothing would be left to learn from.",
            f"Use recordings of two or more {plural(word)}.",
        )


def _check_enough(corpus: Corpus, limits: Limits, cut: Cut) -> None:
    n_scored = sum(corpus.recordings[i].scored for i in cut.recording)
    if n_scored < limits.fewest_examples:
        raise BraindashError(
            f"{n_scored} {cut.unit} can be scored{_reasons(cut)}; {limits.fewest_examples} are needed.",
            "Use more recordings, or lower the fewest examples.",
        )
    n_items = limits.fewest_per_class if cut.items is None else len(np.unique(cut.items))
    if n_items < limits.fewest_per_class:
        raise BraindashError(
            f"The {len(cut.spans)} {cut.unit} are of {n_items} types; {limits.fewest_per_class} are needed, "
            "since a type never stands on both sides.",
            "Use more recordings.",
        )
    if cut.y.dtype == bool and not cut.names:
        raise BraindashError(
            f"No label is common enough among {len(cut.spans)} {cut.unit}; "
            f"{limits.fewest_per_class} must have it and {limits.fewest_per_class} lack it, in training and in test.",
            "Use more recordings.",
        )
    if is_classes(cut.y) and len(np.unique(cut.y)) < 2:
        raise BraindashError(
            f"Of the {cut.unit}, {len(np.unique(cut.y))} class has {limits.fewest_per_class} examples or more "
            "in training and in test; two are needed.",
            "Use more recordings, or allow more examples.",
        )


def _reasons(cut: Cut) -> str:
    found = [f"{n} {reason}" for reason, n in cut.left_out.items() if n and reason != RARE_LABELS]
    return f" (left out: {'; '.join(found)})" if found else ""
