"""What a word means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.phones import spans_of
from braindash.probing.words import read_words

MOST_DIMENSIONS = 50
NO_VECTOR = "without a word vector"


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every word that has a vector, with the vector; more than 50 dimensions are reduced to components."""
    if not corpus.vectors:
        raise BraindashError(
            f"{corpus.title} comes without word vectors.", "Give a file of word vectors (GloVe or word2vec text, JSON)."
        )
    words = read_words(corpus)
    known = words.table["word"].isin(corpus.vectors.keys()).to_numpy(dtype=bool)
    if not known.any():
        some = ", ".join(dict.fromkeys(words.table["word"].head(50)))[:60]
        raise BraindashError(
            f"None of the {len(known)} words of {corpus.title} has a vector (some of them: {some}).",
            "Check that the vectors are of its language and lower case.",
        )
    left_out = {**words.left_out, NO_VECTOR: int((~known).sum())}
    table = words.table[known]
    items = table["word"].to_numpy(dtype=str)
    types, which = np.unique(items, return_inverse=True)
    values, names = reduce(np.stack([np.asarray(corpus.vectors[str(t)], dtype=np.float64) for t in types]))
    left_out = {reason: n for reason, n in left_out.items() if n}
    recording = table["recording"].to_numpy()
    return settle(
        corpus, limits, Cut(recording, spans_of(table), values[which], names, items, left_out, "words with a vector")
    )


def reduce(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return vectors of at most 50 dimensions, and what the dimensions are.

    Wider ones become principal components of the word types: (n_types, d) to (n_types, 50 or fewer).
    """
    width = vectors.shape[1]
    if width <= MOST_DIMENSIONS:
        return vectors, tuple(f"dimension {i}" for i in range(width))
    centred = vectors - vectors.mean(axis=0)
    U, s, _ = np.linalg.svd(centred, full_matrices=False)
    n = min(MOST_DIMENSIONS, int((s > s[0] * 1e-10).sum()))
    return U[:, :n] * s[:n], tuple(f"component {i} of {width} dimensions" for i in range(n))


TASK = Task(
    "word_meaning",
    "Word meaning",
    "The word's static vector from the layer's mean state over the word. No word of the test was seen in training. "
    f"Vectors of more than {MOST_DIMENSIONS} dimensions are reduced to the first {MOST_DIMENSIONS} principal "
    "components of the corpus's words.",
    "regression",
    "semantic",
    make,
)


def described(corpus: Corpus, examples: Examples) -> Task:
    """Return the task with the vectors of this corpus."""
    types = len(np.unique(examples.items)) if examples.items is not None else 0
    title = corpus.vectors_title or "vectors"
    return replace(
        TASK, explanation=f"{TASK.explanation} Here: {title}, {len(examples.names)} dimensions, {types} words."
    )
