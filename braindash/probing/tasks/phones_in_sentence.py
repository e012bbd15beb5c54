"""Which phones occur in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.phones import NO_TIMES, read_phones
from braindash.probing.words import is_utterance, plain_text, read_words, sentence_of, word_at


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every sentence with the phones that occur in it; a sentence that is said again is the same item."""
    phones = read_phones(corpus)
    table = phones.table
    word, texts, closing = _words(corpus, table)
    last = np.append(word[1:] != word[:-1], True)
    sentence = sentence_of(corpus, table, closing[word] & last)
    names, which = np.unique(table["phone"].to_numpy(dtype=str), return_inverse=True)
    starts = np.flatnonzero(np.diff(sentence, prepend=-1))
    parts = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(table)], strict=True)]
    y = np.zeros((len(parts), len(names)), dtype=bool)
    y[sentence, which] = True
    onsets, offsets, symbols = (table[c].to_numpy() for c in ("onset", "offset", "phone"))
    recording = table["recording"].to_numpy()[starts]
    spans = np.array([(onsets[p.start], offsets[p].max()) for p in parts]).reshape(-1, 2)
    items = []
    for i, part in zip(recording, parts, strict=True):
        said = [texts[k] for k in dict.fromkeys(word[part]) if texts[k]]
        if is_utterance(corpus.recordings[i]):
            said = [plain_text(corpus.recordings[i].labels["transcript"])]
        items.append(" ".join(said or symbols[part]))
    left_out = {NO_TIMES: phones.left_out[NO_TIMES]} if phones.left_out[NO_TIMES] else {}
    cut = Cut(recording, spans, y, tuple(map(str, names)), np.array(items, dtype=str), left_out, "sentences")
    return settle(corpus, limits, cut)


def _words(corpus: Corpus, phones: pd.DataFrame) -> tuple[np.ndarray, Sequence[str], np.ndarray]:
    """Return the word of every phone, and of every word its plain text and whether it ends a sentence.

    A last word without text stands for none.
    """
    middle = phones[["onset", "offset"]].mean(axis=1).to_numpy()
    if all(r.words is None or not len(r.words) for r in corpus.recordings):
        return np.full(len(phones), -1), [""], np.array([False])
    words = read_words(corpus).table
    closing = words["text"].str.contains(r"[.?!]['\")\]]*$").to_numpy(dtype=bool)
    return word_at(words, phones["recording"].to_numpy(), middle), [*words["word"], ""], np.append(closing, False)


TASK = Task(
    "phones_in_sentence",
    "Phones in a sentence",
    "Which phones occur in a sentence, from the layer's mean state over it. A sentence is a short recording with its "
    "transcript, or speech between silences of more than 0.25 s, and is never on both sides in the same words.",
    "multilabel",
    "phonetic",
    make,
)
