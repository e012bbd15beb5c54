"""Noun, verb, preposition: the part of speech of a word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.function_words import CLOSED, ENGLISH_SHARE, OPEN, english_class, is_listed
from braindash.probing.phones import classes, spans_of
from braindash.probing.words import read_words

NO_TAG = "without a part of speech"
UNCLEAR = "English words of several parts of speech"


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every word with its part of speech; items are word types."""
    words = read_words(corpus, extra=("pos",))
    table = words.table
    tags, without = _given(corpus, table), NO_TAG
    if not (tags != "").any():
        tags, without = _by_list(corpus, table), UNCLEAR
    y, names = classes(tags)
    cut = Cut(
        table["recording"].to_numpy(),
        spans_of(table),
        y,
        names,
        table["word"].to_numpy(dtype=str),
        words.left_out,
        "words",
    )
    return settle(corpus, limits, cut.keep((tags != "").to_numpy(dtype=bool), without))


def _given(corpus: Corpus, table: pd.DataFrame) -> pd.Series:
    """Return the words' own tags, or that of their recording where it is one word; "" where there is none."""
    own = table["pos"].where(table["pos"].notna(), "").astype(str).str.strip()
    labels = pd.Series([r.labels.get("pos", "").strip() for r in corpus.recordings], dtype=object)
    alone = table.groupby("recording")["word"].transform("size") == 1
    of_recording = pd.Series(labels.iloc[table["recording"]].to_numpy(), index=table.index)
    return own.where(own != "", of_recording.where(alone, ""))


def _by_list(corpus: Corpus, table: pd.DataFrame) -> pd.Series:
    """Return the closed class of English function words, and one class for all the others."""
    share = float(np.mean([is_listed(w) for w in table["word"]])) if len(table) else 0.0
    if share < ENGLISH_SHARE:
        raise BraindashError(
            f"The words of {corpus.title} have no parts of speech, and only {share:.0%} of them are English function "
            "words, by which they could be told.",
            "Give the words a pos column.",
        )
    return table["word"].map(english_class)


TASK = Task(
    "part_of_speech",
    "Part of speech",
    "The word's part of speech from the layer's mean state over it; no word is on both sides. From the corpus's own "
    "tags; without them, English function words by a list and one class for all other words.",
    "classification",
    "lexical",
    make,
)


def described(corpus: Corpus, examples: Examples) -> Task:
    """Return the task with how the parts of speech of this corpus are told."""
    by_list = set(examples.names) <= {*CLOSED, OPEN}
    return replace(TASK, explanation=f"{TASK.explanation} Here: {'by the list' if by_list else 'tags of the corpus'}.")
