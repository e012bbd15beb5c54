"""Statement, question or exclamation."""

from __future__ import annotations

import re

import numpy as np

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Recording, Task
from braindash.probing.cutting import settle
from braindash.probing.recordings import label_cut
from braindash.probing.words import plain_text

NO_TYPE = "recordings without a sentence type or final punctuation"
ENDS = {".": "statement", "?": "question", "!": "exclamation"}


def type_of(recording: Recording) -> str:
    """Return the recording's own label, else what its transcript's last mark says, else ""."""
    given = recording.labels.get("sentence_type", "").strip()
    if given:
        return given
    mark = re.search(r"([.?!])['\")\]”’]*$", recording.labels.get("transcript", "").strip())
    return ENDS[mark[1]] if mark else ""


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every recording of a sentence with its type; the same text is the same item."""
    types = [type_of(r) for r in corpus.recordings]
    if not any(types):
        raise BraindashError(
            f"No recording of {corpus.title} has a sentence type, or a transcript with its final punctuation.",
            "Give the recordings a sentence_type, or transcripts with . ? or ! at their end.",
        )
    texts = [plain_text(r.labels.get("transcript", "")) for r in corpus.recordings]
    items = np.array([t or r.name for t, r in zip(texts, corpus.recordings, strict=True)], dtype=str)
    return settle(corpus, limits, label_cut(corpus, types, NO_TYPE, items=items))


TASK = Task(
    "sentence_type",
    "Sentence type",
    "Statement, question or exclamation, from the layer's mean state over the sentence: its label, "
    "or the last mark of its transcript. No text is on both sides.",
    "classification",
    "sentence",
    make,
)
