"""Words and phones of a story, read when they are first asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from braindash.errors import BraindashError, closest
from braindash.studies.base import Story
from braindash.studies.files import require_file
from braindash.studies.textgrid import COLUMNS, read_textgrid

Annotation = tuple[pd.DataFrame | None, pd.DataFrame | None]  # words, phones

SILENCES = frozenset({"", "sp", "sil", "spn", "<s>", "</s>", "<sil>", "_", "#"})  # marks that are not speech
_WORD_TIERS = ("words", "word")
_PHONE_TIERS = ("phones", "phone", "phonemes", "phoneme")


@dataclass(frozen=True)
class AnnotatedStory(Story):
    """A story whose words and phones are read on first use, so that opening a study reads no TextGrid.

    ``read`` returns both tables, or raises BraindashError where the file is bad.
    """

    read: Callable[[], Annotation] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The dataclass stored None under both names; without them the cached properties answer.
        for name in ("words", "phones"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def _annotation(self) -> Annotation:
        if self.read is None:
            return None, None
        words, phones = self.read()
        end = None if self.stop is None else self.stop - self.start
        return clip(words, self.start, end), clip(phones, self.start, end)

    @functools.cached_property  # type: ignore[misc]
    def words(self) -> pd.DataFrame | None:
        return self._annotation[0]

    @functools.cached_property  # type: ignore[misc]
    def phones(self) -> pd.DataFrame | None:
        return self._annotation[1]


def clip(table: pd.DataFrame | None, start: float, duration: float | None) -> pd.DataFrame | None:
    """Return the intervals whose middle lies in a segment, cut to it, with times counted from its start."""
    if table is None or (start == 0 and duration is None):
        return table
    middle = (table["onset"] + table["offset"]) / 2 - start
    inside = middle >= 0
    if duration is not None:
        inside &= middle < duration
    out = table[inside].reset_index(drop=True)
    return out.assign(onset=(out["onset"] - start).clip(lower=0), offset=(out["offset"] - start).clip(upper=duration))


def from_textgrid(path: Path, words: str | int | None = None, phones: str | int | None = None) -> Annotation:
    """Read words and phones from a TextGrid, without its silences.

    ``words`` and ``phones`` name a tier or number it from 0; None looks for
    tiers called word(s), phone(s) or phoneme(s), in any case.
    """
    tiers = read_textgrid(path)
    return _tier(path, tiers, words, _WORD_TIERS), _tier(path, tiers, phones, _PHONE_TIERS)


def from_table(path: Path) -> Annotation:
    """Read words from a tsv or csv file with columns word, onset, offset (seconds)."""
    path = require_file(path, "words file")
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        # Words such as "null" and "nan" are words; quotes are text in a tsv.
        quoting: Literal[0, 3] = 0 if separator == "," else 3
        table = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig", quoting=quoting
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BraindashError(f"The words file {path} cannot be read ({error}).", "Save it as UTF-8 tsv.") from None
    missing = [c for c in ("word", "onset", "offset") if c not in table]
    if missing:
        raise BraindashError(
            f"The words file {path} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}.",
            "Give it the columns word, onset and offset, in seconds.",
        )
    times = {}
    for name in ("onset", "offset"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = np.flatnonzero(~np.isfinite(numbers.to_numpy(dtype=float)))
        if len(bad):
            raise BraindashError(
                f"{path}, line {bad[0] + 2}: the {name} {table[name].iloc[bad[0]]!r} is not a number of seconds.",
                "Correct it.",
            )
        times[name] = numbers.astype(float)
    wrong = np.flatnonzero((times["offset"] < times["onset"]).to_numpy())
    if len(wrong):
        row = wrong[0]
        raise BraindashError(
            f"{path}, line {row + 2}: the word {table['word'].iloc[row]!r} ends before it begins.", "Correct its times."
        )
    words = pd.DataFrame({"text": table["word"].astype(object), **times})
    return _speech(words), None


def _tier(
    path: Path, tiers: dict[str, pd.DataFrame], wanted: str | int | None, usual: tuple[str, ...]
) -> pd.DataFrame | None:
    if isinstance(wanted, int):
        names = list(tiers)
        return _speech(tiers[names[wanted]]) if wanted < len(names) else None
    if wanted is not None:
        if wanted not in tiers:
            raise BraindashError(f"{path} has no tier {wanted!r}.", closest(wanted, tiers))
        return _speech(tiers[wanted])
    return next((_speech(t) for name, t in tiers.items() if name.strip().lower() in usual), None)


def _speech(table: pd.DataFrame) -> pd.DataFrame:
    spoken = ~table["text"].str.strip().str.lower().isin(SILENCES)
    return table.loc[spoken, COLUMNS].sort_values("onset", kind="stable").reset_index(drop=True)
