"""Which phone is said."""

from __future__ import annotations

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.phones import classes, read_phones, spans_of


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every phone with its class: 39 ARPAbet phones, TIMIT's 39, or the labels as they are."""
    phones = read_phones(corpus)
    y, names = classes(phones.table["phone"])
    recording = phones.table["recording"].to_numpy()
    return settle(
        corpus,
        limits,
        Cut(recording, spans_of(phones.table), y, names, left_out=phones.left_out, unit="phones"),
    )


TASK = Task(
    "phone",
    "Phone identity",
    "Which phone it is, from the layer's mean state over the phone; silence is left out.",
    "classification",
    "phonetic",
    make,
)
