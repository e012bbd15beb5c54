"""How a phone is articulated."""

from __future__ import annotations

import numpy as np

from braindash.encoding.spaces import ARTICULATION
from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import Cut, settle
from braindash.probing.phones import read_phones, spans_of


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every phone with its place, manner and voicing, or height, backness and rounding."""
    phones = read_phones(corpus)
    if phones.label_set == "other":
        some = ", ".join(dict.fromkeys(phones.table["phone"].head(200)).keys())[:40]
        raise BraindashError(
            f"The phones of {corpus.title} are not ARPAbet (some of them: {some or 'none'}).",
            "Label them in ARPAbet or as TIMIT does.",
        )
    of = {p: [p in members for members in ARTICULATION.values()] for p in phones.table["arpabet"].unique()}
    y = np.array([of[p] for p in phones.table["arpabet"]], dtype=bool).reshape(-1, len(ARTICULATION))
    recording = phones.table["recording"].to_numpy()
    return settle(
        corpus,
        limits,
        Cut(recording, spans_of(phones.table), y, tuple(ARTICULATION), left_out=phones.left_out, unit="phones"),
    )


TASK = Task(
    "articulation",
    "Articulation",
    "Place, manner and voicing of consonants, height, backness and rounding of vowels, "
    "from the layer's mean state over the phone.",
    "multilabel",
    "phonetic",
    make,
)
