"""How frequent a word is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.phones import spans_of
from braindash.probing.words import read_words

NO_FREQUENCY = "without a frequency"
FEWEST_KNOWN = 0.5  # of the words must be known to the package: else it is the wrong language


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every word with the logarithm of its frequency; the name of the value says where that is from."""
    words = read_words(corpus, extra=("frequency",))
    table = words.table
    values, name = _given(table) or _from_package(corpus, table) or _counted(table)
    has = np.isfinite(values)
    if has.any() and np.ptp(values[has]) == 0:
        raise BraindashError(
            f"All words of {corpus.title} are equally frequent ({name}).", "Give the words a frequency column."
        )
    cut = Cut(
        table["recording"].to_numpy(),
        spans_of(table),
        values[:, None],
        (name,),
        table["word"].to_numpy(dtype=str),
        words.left_out,
        "words",
    )
    return settle(corpus, limits, cut.keep(has, NO_FREQUENCY))


def _given(table: pd.DataFrame) -> tuple[np.ndarray, str] | None:
    """Return log10 of the words' own frequencies, NaN where there is none."""
    values = pd.to_numeric(table["frequency"], errors="coerce").to_numpy(dtype=float)
    usable = np.isfinite(values) & (values > 0)
    if not usable.any():
        return None
    return np.log10(np.where(usable, values, np.nan)), "log10 of the words' own frequency"


def _from_package(corpus: Corpus, table: pd.DataFrame) -> tuple[np.ndarray, str] | None:
    """Return Zipf frequencies of the package wordfreq, log10 of uses in a thousand million words.

    None where it is not installed or does not know the language.
    """
    try:
        import wordfreq
    except ImportError:
        return None
    languages = {r.labels.get("language", "en") for r in corpus.recordings}
    if len(languages) > 1:
        return None
    language = languages.pop()
    try:
        of = {str(w): float(wordfreq.zipf_frequency(str(w), language)) for w in table["word"].unique()}
    except LookupError:  # a language that it does not have
        return None
    values = np.array([of[w] for w in table["word"]])
    values[values == 0] = np.nan
    if not len(values) or np.isfinite(values).mean() < FEWEST_KNOWN:
        return None
    return values, f"Zipf frequency (wordfreq, {language})"


def _counted(table: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Return log10 of how often each word occurs in the corpus itself."""
    counts = Counter(table["word"])
    return np.log10([counts[w] for w in table["word"]]), "log10 of occurrences in this corpus alone"


TASK = Task(
    "word_frequency",
    "Word frequency",
    "The logarithm of how frequent a word is, from the layer's mean state over the word; no word is on both sides. "
    "From the corpus's own column, else from the package wordfreq, else counted in the corpus itself, which is rough "
    "for a small one.",
    "regression",
    "lexical",
    make,
)


def described(corpus: Corpus, examples: Examples) -> Task:
    """Return the task with where the frequencies of this corpus are from."""
    return replace(TASK, explanation=f"{TASK.explanation} Here: {examples.names[0]}.")
