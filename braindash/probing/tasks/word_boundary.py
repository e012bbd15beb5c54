"""Whether a word begins."""

from __future__ import annotations

import numpy as np

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.phones import read_phones, spans_of
from braindash.probing.words import read_words, word_at

PAUSE = 0.05  # seconds of silence that give a boundary away
NO_WORD = "phones outside any word"
AFTER_PAUSE = "first phones after a pause"


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every phone inside running speech: the first of its word, or a later one. Items are word types."""
    phones = read_phones(corpus)
    words = read_words(corpus).table
    table = phones.table
    recording = table["recording"].to_numpy()
    onsets, offsets = table["onset"].to_numpy(), table["offset"].to_numpy()
    word = word_at(words, recording, (onsets + offsets) / 2)
    if not (word >= 0).any():
        raise BraindashError(
            f"The times of words and phones of {corpus.title} do not agree: no phone lies in a word.",
            "Check that both are of the same recording.",
        )
    first = np.append(True, word[1:] != word[:-1]) if len(word) else np.empty(0, dtype=bool)
    gap = onsets - np.append(-np.inf, offsets[:-1])
    gap[np.append(True, recording[1:] != recording[:-1])] = np.inf
    cut = Cut(
        recording,
        spans_of(table),
        first.astype(int),
        ("inside a word", "word onset"),
        np.append(words["word"].to_numpy(dtype=str), "")[word],
        phones.left_out,
        "phones",
    )
    after_pause = first & (gap > PAUSE) & (word >= 0)
    spoken = word[~after_pause] >= 0
    return settle(corpus, limits, cut.keep(~after_pause, AFTER_PAUSE).keep(spoken, NO_WORD))


TASK = Task(
    "word_boundary",
    "Word boundary",
    "Whether a phone is the first of its word or a later one, from the layer's mean state over the phone; "
    "words after a pause are left out, and no word is on both sides.",
    "classification",
    "lexical",
    make,
)
