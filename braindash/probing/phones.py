"""Phones of a corpus: which label sets they come in, and what each label stands for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindash.encoding.spaces import PHONES
from braindash.errors import BraindashError
from braindash.probing.base import Corpus
from braindash.studies.annotations import SILENCES

SILENT = "silence"
NO_PHONE = "labels that are no phone"
NO_TIMES = "recordings (not examples) without times of their phones"
KNOWN_SHARE = 0.9  # of the labels must be ARPAbet before a corpus is read as such

# TIMIT's 61 labels to 39 classes, silence with the closures among them (Lee and Hon 1989); q is left out.
TIMIT: dict[str, str] = {
    label: name
    for name, labels in {
        "AA": "aa ao", "AE": "ae", "AH": "ah ax ax-h", "AW": "aw", "AY": "ay", "B": "b", "CH": "ch", "D": "d",
        "DH": "dh", "DX": "dx", "EH": "eh", "ER": "er axr", "EY": "ey", "F": "f", "G": "g", "HH": "hh hv",
        "IH": "ih ix", "IY": "iy", "JH": "jh", "K": "k", "L": "l el", "M": "m em", "N": "n en nx", "NG": "ng eng",
        "OW": "ow", "OY": "oy", "P": "p", "R": "r", "S": "s", "SH": "sh zh", "T": "t", "TH": "th", "UH": "uh",
        "UW": "uw ux", "V": "v", "W": "w", "Y": "y", "Z": "z",
        "SIL": "bcl dcl gcl pcl tcl kcl pau epi h#",
    }.items()
    for label in labels.split()
}  # fmt: skip
TIMIT_LABELS = frozenset({*TIMIT, "q"})
# what no other set of labels holds
TIMIT_ONLY = frozenset({"bcl", "dcl", "gcl", "pcl", "tcl", "kcl", "ax-h", "h#"})
# wider sets of ARPAbet: the phone of the 39 that each is a variant of
VARIANTS = {
    "AX": "AH", "AX-H": "AH", "IX": "IH", "AXR": "ER", "UX": "UW", "EL": "L", "EM": "M", "EN": "N", "NX": "N",
    "ENG": "NG", "HV": "HH",
}  # fmt: skip
FLAP = "DX"  # a class of its own; as to articulation it is a voiced alveolar plosive, as D is


@dataclass(frozen=True)
class Phones:
    """Every phone of a corpus that has times.

    Attributes
    ----------
    table : pd.DataFrame
        Columns ``recording`` (int), ``onset``, ``offset`` (seconds), ``phone`` (the class), and ``arpabet``
        (one of the 39 of the CMU dictionary that is articulated alike, "" where the labels are another set).
    label_set : "ARPAbet", "TIMIT" or "other"
    left_out : reason -> count
    """

    table: pd.DataFrame
    label_set: str
    left_out: Counter[str]


def read_phones(corpus: Corpus) -> Phones:
    """Return the phones of a corpus, without silence and without labels that are no phone.

    TIMIT's 61 labels become the usual classes, ARPAbet loses its stress digits, and any other set is taken
    as it is.

    Raises
    ------
    BraindashError
        No recording has phones with their times.
    """
    parts = [
        pd.DataFrame({"recording": i, **{c: r.phones[c].to_numpy() for c in ("onset", "offset", "text")}})
        for i, r in enumerate(corpus.recordings)
        if r.phones is not None and len(r.phones)
    ]
    if not parts:
        raise BraindashError(
            f"None of the {len(corpus.recordings)} recordings of {corpus.title} has phones with their times.",
            "Add TextGrids with a tier of phones, or align the transcripts.",
        )
    table = pd.concat(parts, ignore_index=True)
    labels = table.pop("text").astype(str).str.strip()
    left_out: Counter[str] = Counter()
    if len(parts) < len(corpus.recordings):
        left_out[NO_TIMES] = len(corpus.recordings) - len(parts)
    silent = labels.str.lower().isin(SILENCES).to_numpy(dtype=bool, copy=True)
    label_set = _label_set(labels[~silent])
    plain = arpabet(labels)
    plain = plain.map(VARIANTS).fillna(plain)
    plain = plain.where(plain.isin([*PHONES, FLAP]), "")
    if label_set == "TIMIT":
        labels = labels.str.lower().map(TIMIT).fillna("")
        silent |= (labels == "SIL").to_numpy(dtype=bool)
    elif label_set == "ARPAbet":
        labels = plain
    known = (labels != "").to_numpy(dtype=bool)
    left_out[SILENT] = int(silent.sum())
    left_out[NO_PHONE] = int((~silent & ~known).sum())
    table = table.assign(phone=labels, arpabet="" if label_set == "other" else plain.replace(FLAP, "D"))[
        ~silent & known
    ]
    table = table.sort_values(["recording", "onset"], kind="stable").reset_index(drop=True)
    return Phones(table, label_set, +left_out)


def arpabet(labels: pd.Series) -> pd.Series:
    """Return labels in upper case without the digits of stress."""
    return labels.str.upper().str.replace(r"\d$", "", regex=True)


def _label_set(spoken: pd.Series) -> str:
    if not len(spoken):
        return "other"
    low = spoken.str.lower()
    if low.isin(TIMIT_ONLY).any() and low.isin(TIMIT_LABELS).mean() >= KNOWN_SHARE:
        return "TIMIT"
    return "ARPAbet" if arpabet(spoken).isin([*PHONES, *VARIANTS, FLAP]).mean() >= KNOWN_SHARE else "other"


def classes(values: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class of every value, (n,) int, and the names of the classes in order of the alphabet."""
    names, index = np.unique(values.to_numpy(dtype=str), return_inverse=True)
    return index.astype(int), tuple(str(n) for n in names)


def spans_of(table: pd.DataFrame) -> np.ndarray:
    """Return the onsets and offsets of a table: (n, 2) seconds."""
    return table[["onset", "offset"]].to_numpy(dtype=float).reshape(-1, 2)
