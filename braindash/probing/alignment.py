"""Words and phones of speech that has a transcript but no times, by forced alignment (optional: pocketsphinx).

Two passes with the acoustic model and the dictionary that come with pocketsphinx (US English,
ARPAbet): words with silences and pronunciations of choice, then the phones of the words found.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import atomic_write, disk_errors
from braindash.probing.base import Corpus, Recording
from braindash.probing.corpora.choosing import count
from braindash.studies.textgrid import COLUMNS

if TYPE_CHECKING:
    from pocketsphinx import Decoder

RATE = 16_000
VERSION = 1  # of what is kept; another one is aligned again
_FRAME = 0.01  # seconds
_LAG = 0.02  # seconds: the model hears changes coming; measured on the word times of LJSpeech utterances
_LONGEST = 120.0  # seconds of one recording: memory grows with seconds times words, 0.4 GB here
_LOUD = 25.0  # dB below the loudest 10 ms: speech, not silence
_OUTSIDE = 0.25  # share of what is loud that may lie between the words
_SHOWN = 5

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})
_READ_ALOUD = re.compile(r"[\d#*%&$€£@+=/<>^~|\\]")  # digits and signs: nobody knows how they were spoken
_WORD = re.compile(r"[^\W_]+(?:['.-][^\W_]+)*'?")


class AlignmentError(BraindashError):
    """A recording that cannot be aligned. ``reason`` is one of REASONS; ``words`` are those at fault."""

    def __init__(self, what: str, remedy: str, reason: str, words: tuple[str, ...] = ()) -> None:
        super().__init__(what, remedy)
        self.reason, self.words = reason, words


REASONS = {
    "signs": "with digits or signs",
    "unknown": "with words that the dictionary lacks",
    "empty": "whose transcript has no words",
    "misfit": "whose transcript does not fit the sound",
    "long": f"longer than {_LONGEST:.0f} s",
}


def spoken_words(transcript: str) -> list[str]:
    """Return the words of a transcript as dictionaries write them: lower case, no punctuation.

    >>> spoken_words("Well — “It’s eleven o'clock,” she said.")
    ['well', "it's", 'eleven', "o'clock", 'she', 'said']
    """
    text = unicodedata.normalize("NFC", transcript).translate(_APOSTROPHES).lower()
    return _WORD.findall(text.replace("--", " "))


class Aligner:
    """Pocketsphinx with its own model and dictionary, loaded once for many recordings.

    Raises
    ------
    BraindashError
        Pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError:
            raise BraindashError(
                "Aligning speech to its transcript needs pocketsphinx, which is not installed.",
                "Run `pip install pocketsphinx`, or give words and phones with their times as TextGrids.",
            ) from None
        self.version = importlib.metadata.version("pocketsphinx")
        # The phone pass fails after a word lattice was searched for its best path.
        self._decoder: Decoder = pocketsphinx.Decoder(lm=None, bestpath=False, loglevel="FATAL")

    def words_of(self, transcript: str) -> list[str]:
        """Return the transcript as words of the dictionary.

        Raises
        ------
        AlignmentError
            Nothing to read, digits or signs, or words that the dictionary lacks.
        """
        signs = tuple(dict.fromkeys(w for w in transcript.split() if _READ_ALOUD.search(w)))
        if signs:
            raise AlignmentError(
                f"The transcript has {', '.join(signs[:_SHOWN])}: how it was read aloud is not known.",
                "Write numbers and signs as words.", "signs", signs,
            )  # fmt: skip
        words: list[str] = []
        unknown: dict[str, None] = {}
        for written in spoken_words(transcript):
            found = self._look_up(written)
            words += found
            if not found:
                unknown[written] = None
        if unknown:
            raise AlignmentError(
                f"The dictionary of pocketsphinx lacks {', '.join(list(unknown)[:_SHOWN])}.",
                "Give words and phones of this recording as a TextGrid.", "unknown", tuple(unknown),
            )  # fmt: skip
        if not words:
            raise AlignmentError("The transcript has no words.", "Write what is said.", "empty")
        return words

    def align(self, audio: np.ndarray, transcript: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return when every word and phone was spoken; see :func:`align`."""
        words = self.words_of(transcript)
        seconds = len(audio) / RATE
        if seconds > _LONGEST:
            raise AlignmentError(
                f"The recording is {seconds:.0f} s long; at most {_LONGEST:.0f} s are aligned at once.",
                "Cut it into sentences.", "long",
            )  # fmt: skip
        sound = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(" ".join(words))
            self._pass(sound)
            self._decoder.set_alignment()
            self._pass(sound)
            entries = self._decoder.get_alignment()
        except RuntimeError:
            entries = None
        rows = [] if entries is None else _rows(entries, seconds)
        spans = [(on, off) for _, on, off, _ in rows]
        if [_plain(name) for name, *_ in rows] != words or _loud_outside(audio, spans) > _OUTSIDE:
            raise AlignmentError(
                "The transcript does not fit the recording.",
                "Check that it is what is said, all of it, in English.", "misfit",
            )  # fmt: skip
        return (
            pd.DataFrame([(_plain(name), on, off) for name, on, off, _ in rows], columns=COLUMNS),
            pd.DataFrame([phone for *_, phones in rows for phone in phones], columns=COLUMNS),
        )

    def _pass(self, sound: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()

    def _look_up(self, word: str) -> list[str]:
        """Return the word as the dictionary has it, or its hyphenated parts; empty if it lacks one."""
        for spelling in (word, word.rstrip("'"), word.replace(".", "")):
            if self._decoder.lookup_word(spelling) is not None:
                return [spelling]
        parts = [p for p in re.split(r"[-.]", word) if p]
        if len(parts) > 1 and all(self._decoder.lookup_word(p) is not None for p in parts):
            return parts
        return []


def align(audio: np.ndarray, transcript: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find when every word and phone of a transcript was spoken.

    Parameters
    ----------
    audio : (n_samples,) float, 16 kHz mono
    transcript : str
        English; case and punctuation do not matter.

    Returns
    -------
    words, phones : DataFrame
        Columns ``text, onset, offset`` (seconds, in steps of 10 ms); words in lower case, phones
        in ARPAbet without stress. Silences have no row.

    Raises
    ------
    AlignmentError
        Digits, signs or words that the dictionary lacks, a transcript that does not fit, too long a recording.
    BraindashError
        Pocketsphinx is not installed.
    """
    return Aligner().align(audio, transcript)


def aligned(
    corpus: Corpus,
    home: Home | str | os.PathLike[str] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Corpus:
    """Return the corpus with words and phones for its recordings that have a transcript but no times.

    A recording that cannot be aligned stays, without words and phones. Caveats say how many were
    aligned, and count the others by reason.

    Parameters
    ----------
    corpus : Corpus
    home : Home or path, optional
        What was found is kept in ``alignments`` there, by sound, transcript and version of pocketsphinx.
    progress : callable, optional
        ``progress(fraction, what)``.

    Raises
    ------
    BraindashError
        Pocketsphinx is not installed, or a sound that cannot be read.
    """
    todo = [i for i, r in enumerate(corpus.recordings) if _without_times(r)]
    if not todo:
        return corpus
    aligner = Aligner()
    folder = None if home is None else (home if isinstance(home, Home) else Home.resolve(home)).path / "alignments"
    recordings = list(corpus.recordings)
    left_out = _LeftOut()
    for n, i in enumerate(todo):
        if progress is not None:
            progress(n / len(todo), f"Aligning {n + 1} of {len(todo)} recordings")
        r = recordings[i]
        try:
            words, phones = _kept(folder, aligner, r)
        except AlignmentError as error:
            left_out.add(r.name, error)
        else:
            recordings[i] = replace(r, words=words, phones=phones)
    n_done = len(todo) - left_out.n
    caveats = list(corpus.caveats)
    if n_done:
        caveats.append(
            f"Words and phones of {n_done:,} of {len(recordings):,} recordings were aligned by machine "
            f"(pocketsphinx {aligner.version}) and not checked by ear: boundaries are off by tens of milliseconds."
        )
    caveats += left_out.sentences()
    return replace(corpus, recordings=tuple(recordings), caveats=tuple(caveats))


@dataclass
class _LeftOut:
    """Recordings that could not be aligned: names and words by reason."""

    names: dict[str, list[str]] = field(default_factory=dict)
    words: dict[str, dict[str, None]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return sum(map(len, self.names.values()))

    def add(self, name: str, error: AlignmentError) -> None:
        self.names.setdefault(error.reason, []).append(name)
        self.words.setdefault(error.reason, {}).update(dict.fromkeys(error.words))

    def sentences(self) -> list[str]:
        out = []
        for reason, names in self.names.items():
            first = list(self.words[reason])[:_SHOWN] or names[:_SHOWN]
            out.append(
                f"Not aligned, and without tasks of words and phones: {count(len(names), 'recording')} "
                f"{REASONS[reason]} (first: {', '.join(w[:80] for w in first)})."
            )
        return out


def _without_times(r: Recording) -> bool:
    return r.words is None and r.phones is None and bool(r.labels.get("transcript", "").strip())


def _kept(folder: Path | None, aligner: Aligner, r: Recording) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was found before for this sound and transcript, or find it and keep it."""
    transcript = r.labels["transcript"]
    words = aligner.words_of(transcript)
    audio = r.load()
    if folder is None:
        return aligner.align(audio, transcript)
    key = hashlib.sha256(np.ascontiguousarray(audio, dtype="<f4").tobytes())
    key.update("\n".join([str(VERSION), aligner.version, *words]).encode())
    file = folder / f"{key.hexdigest()[:32]}.json"
    found = _read(file)
    if found is not None:
        return found
    tables = aligner.align(audio, transcript)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    document = {"braindash": 1, "pocketsphinx": aligner.version}
    rows = {name: t.to_numpy().tolist() for name, t in zip(("words", "phones"), tables, strict=True)}
    atomic_write(file, json.dumps({**document, **rows}) + "\n")
    return tables


def _read(file: Path) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Return a kept alignment; None where there is none or it is damaged."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        words, phones = ([(str(t), float(on), float(off)) for t, on, off in document[k]] for k in ("words", "phones"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pd.DataFrame(words, columns=COLUMNS), pd.DataFrame(phones, columns=COLUMNS)


def _rows(entries: Any, seconds: float) -> list[tuple[str, float, float, list[tuple[str, float, float]]]]:
    """Return the words of an alignment with their phones, in seconds; silences and noises left out."""
    out = []
    for word in entries:
        if word.name.startswith(("<", "[", "+")) or word.name == "(NULL)":
            continue
        phones = [(p.name, *_times(p, seconds)) for p in word]
        out.append((word.name, *_times(word, seconds), phones))
    return out


def _times(entry: Any, seconds: float) -> tuple[float, float]:
    first = 0.0 if entry.start == 0 else entry.start * _FRAME + _LAG
    return first, min((entry.start + entry.duration) * _FRAME + _LAG, seconds)


def _loud_outside(audio: np.ndarray, spans: list[tuple[float, float]]) -> float:
    """Return the share of the loud 10-ms frames that no word covers: much of it, and other words were said."""
    n = round(_FRAME * RATE)
    frames = np.asarray(audio[: len(audio) // n * n], dtype=np.float64).reshape(-1, n)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    # where the background is within reach of speech, halfway between the two
    loud = level > max(level.max() - _LOUD, (level.max() + np.quantile(level, 0.1)) / 2)
    covered = np.zeros(len(level), dtype=bool)
    for onset, offset in spans:
        covered[int(onset / _FRAME) : int(np.ceil(offset / _FRAME))] = True
    return float((loud & ~covered).sum() / max(1, loud.sum()))


def _plain(name: str) -> str:
    """Return a word of the dictionary without the number of its pronunciation."""
    return re.sub(r"\(\d+\)$", "", name)
