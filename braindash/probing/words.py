"""Words of a corpus, and the sentences that they and their phones stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindash.encoding.spaces import plain_word
from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Recording
from braindash.studies.annotations import SILENCES

NO_WORD = "silence and marks that are no word"
NO_TIMES = "recordings (not examples) without times of their words"
PAUSE = 0.25  # seconds of silence that end a sentence
LONGEST = 8.0  # seconds of speech without such a pause before it is cut all the same
UTTERANCE = 15.0  # seconds: a recording with a transcript and no longer than this is one sentence


@dataclass(frozen=True)
class Words:
    """Every word of a corpus that has times.

    Attributes
    ----------
    table : pd.DataFrame
        Columns ``recording`` (int), ``onset``, ``offset`` (seconds), ``text`` (as written), ``word`` (plain: lower
        case, no punctuation), and the further columns that were asked for; None where a recording has them not.
    left_out : reason -> count
    """

    table: pd.DataFrame
    left_out: Counter[str]


def read_words(corpus: Corpus, extra: Sequence[str] = ()) -> Words:
    """Return the words of a corpus, without silence.

    Raises
    ------
    BraindashError
        No recording has words with their times.
    """
    parts = []
    for i, recording in enumerate(corpus.recordings):
        words = recording.words
        if words is None or not len(words):
            continue
        columns = {c: words[c].to_numpy() for c in ("onset", "offset", "text")}
        for name in extra:
            columns[name] = words[name].to_numpy(dtype=object) if name in words else np.full(len(words), None)
        parts.append(pd.DataFrame({"recording": i, **columns}))
    if not parts:
        raise BraindashError(
            f"None of the {len(corpus.recordings)} recordings of {corpus.title} has words with their times.",
            "Add TextGrids with a tier of words, or align the transcripts.",
        )
    table = pd.concat(parts, ignore_index=True)
    table["text"] = table["text"].astype(str).str.strip()
    table["word"] = table["text"].map(plain_word)
    spoken = (table["word"] != "") & ~table["text"].str.lower().isin(SILENCES)
    spoken &= ~table["text"].str.match(r"[<{\[(]")  # <unk>, {LG}: noises in brackets
    left_out: Counter[str] = Counter({NO_WORD: int((~spoken).sum())})
    if len(parts) < len(corpus.recordings):
        left_out[NO_TIMES] = len(corpus.recordings) - len(parts)
    table = table[spoken].sort_values(["recording", "onset"], kind="stable").reset_index(drop=True)
    return Words(table, +left_out)


def plain_text(text: str) -> str:
    """Return a text in lower case without punctuation, so that the same words are the same text."""
    return " ".join(filter(None, map(plain_word, text.split())))


def is_utterance(recording: Recording) -> bool:
    """Return whether a recording is one sentence: short, and with a transcript of its own."""
    return bool(recording.labels.get("transcript", "").strip()) and recording.duration <= UTTERANCE


def speech_span(recording: Recording) -> tuple[float, float]:
    """Return from the first word or phone to the end of the last, or the whole recording where none has times."""
    for table in (recording.words, recording.phones):
        if table is not None and len(table):
            spoken = table[~table["text"].astype(str).str.strip().str.lower().isin(SILENCES | {"h#"})]
            start = max(0.0, float(spoken["onset"].min())) if len(spoken) else 0.0
            stop = min(recording.duration, float(spoken["offset"].max())) if len(spoken) else 0.0
            if stop > start:
                return start, stop
    return 0.0, recording.duration


def sentence_of(corpus: Corpus, table: pd.DataFrame, ends: np.ndarray) -> np.ndarray:
    """Return the number of the sentence that every word or phone stands in: (n,) int, from 0, rising.

    A short recording with a transcript is one sentence. Others are cut at silences longer than 0.25 s, after
    ``ends``, and where speech has gone on for 8 s.

    Parameters
    ----------
    table : columns ``recording, onset, offset``, in order of recording and onset
    ends : (n,) bool, the last of a sentence by its punctuation
    """
    whole = [is_utterance(r) for r in corpus.recordings]
    out = np.zeros(len(table), dtype=int)
    number, start, before = -1, 0.0, -1
    onsets, offsets = table["onset"].to_numpy(), table["offset"].to_numpy()
    for i, (recording, onset, offset) in enumerate(zip(table["recording"], onsets, offsets, strict=True)):
        if recording != before:
            new = True
        elif whole[recording]:
            new = False
        else:
            new = onset - offsets[i - 1] > PAUSE or bool(ends[i - 1]) or offset - start > LONGEST
        if new:
            number, start, before = number + 1, float(onset), int(recording)
        out[i] = number
    return out


def word_at(words: pd.DataFrame, recording: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the row of the word that holds each time, -1 where none does: (n,) int.

    Parameters
    ----------
    words : the table of :class:`Words`, its rows in order of recording and onset
    recording, times : (n,)
    """
    of, onsets, offsets = (words[c].to_numpy() for c in ("recording", "onset", "offset"))
    if not len(of):
        return np.full(len(times), -1)
    apart = 1.0 + max(float(offsets.max()), float(np.max(times, initial=0.0)))  # seconds from recording to recording
    at = np.searchsorted(of * apart + onsets, recording * apart + times + 1e-6, side="right") - 1
    inside = (at >= 0) & (of[at] == recording) & (times < offsets[at])
    return np.where(inside, at, -1)
