"""Which word is said."""

from __future__ import annotations

import numpy as np

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, common, settle, sides
from braindash.probing.phones import classes, spans_of
from braindash.probing.words import read_words

MOST_WORDS = 35  # as Speech Commands has
OTHER = f"not among the {MOST_WORDS} most frequent words"


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every occurrence of the most frequent words; the word is the class, so only the group is kept apart."""
    words = read_words(corpus)
    y, names = classes(words.table["word"])
    recording = words.table["recording"].to_numpy()
    cut = Cut(recording, spans_of(words.table), y, names, left_out=words.left_out, unit="words")
    if len(y):
        usable = common(y, len(names), *sides(corpus, recording), None, limits.fewest_per_class)
        counts = np.where(usable, np.bincount(y, minlength=len(names)), 0)
        frequent = np.zeros(len(names), dtype=bool)
        frequent[np.argsort(-counts, kind="stable")[:MOST_WORDS]] = True
        cut = cut.keep((frequent & usable)[y], OTHER)
    return settle(corpus, limits, cut)


TASK = Task(
    "word",
    "Word identity",
    f"Which of the {MOST_WORDS} most frequent words it is, from the layer's mean state over the word.",
    "classification",
    "lexical",
    make,
)
