"""Feature spaces that are no speech model: sound, articulation, word rate, word meaning.

All are at TR rate: row *i* covers half a TR on either side of the centre of response row
*i*. Delays or a haemodynamic response come later, as for a model's layers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from braindash.errors import BraindashError, closest
from braindash.studies.base import Story, Study

RATE = 16_000
FLOOR_DB = -80.0  # below a story's loudest band: silence

# Place, manner and voicing of consonants; height, backness and rounding of vowels (ARPAbet).
ARTICULATION: dict[str, frozenset[str]] = {
    name: frozenset(phones.split())
    for name, phones in {
        "bilabial": "B M P W", "labiodental": "F V", "dental": "DH TH", "alveolar": "D L N R S T Z",
        "postalveolar": "CH JH SH ZH", "palatal": "Y", "velar": "G K NG", "glottal": "HH",
        "plosive": "B D G K P T", "nasal": "M N NG", "fricative": "DH F HH S SH TH V Z ZH", "affricate": "CH JH",
        "approximant": "L R W Y", "voiced": "B D DH G JH L M N NG R V W Y Z ZH", "voiceless": "CH F HH K P S SH T TH",
        "high": "IH IY UH UW", "mid": "AH EH ER EY OW OY", "low": "AA AE AO AW AY",
        "front": "AE EH EY IH IY", "central": "AH AW AY ER", "back": "AA AO OW OY UH UW", "rounded": "AO OW OY UH UW",
        "diphthong": "AW AY EY OW OY",
    }.items()
}  # fmt: skip
PHONES: tuple[str, ...] = tuple(sorted(frozenset().union(*ARTICULATION.values())))


@dataclass(frozen=True)
class FeatureSpace:
    """One story in one feature space.

    Attributes
    ----------
    values : (n_trs, len(columns)) float32
    columns : what each column is
    skipped : how many intervals had no place in the space (unknown phones, words without a vector)
    used : how many had
    """

    values: np.ndarray
    columns: tuple[str, ...]
    used: int = 0
    skipped: int = 0
    skipped_examples: tuple[str, ...] = field(default=())


def mel_power(audio: np.ndarray, times: np.ndarray, tr: float, n_mels: int = 32) -> FeatureSpace:
    """Return the log power in mel bands, mean over each TR.

    Parameters
    ----------
    audio : (n_samples,) float32, 16 kHz mono
    times : (n_trs,) centres of the response rows, seconds of the audio
    tr : float, seconds

    Notes
    -----
    dB below the story's loudest band, floored at −80; 25-ms windows every 10 ms,
    32 bands of 50 Hz – 8 kHz. Rows outside the audio are at the floor.
    """
    import librosa

    hop = RATE // 100
    power = librosa.feature.melspectrogram(
        y=np.asarray(audio, dtype=np.float32), sr=RATE, n_fft=400, hop_length=hop, n_mels=n_mels, fmin=50.0, power=2.0
    )
    if power.max() <= 0:
        raise BraindashError("The audio is silent: it has no power spectrum.", "Check the audio file.")
    level = np.maximum(10 * np.log10(np.maximum(power / power.max(), 1e-30)), FLOOR_DB).T
    frames = np.arange(len(level)) * hop / RATE
    values = _mean_per_row(level, frames, times, tr, FLOOR_DB)
    return FeatureSpace(values, tuple(f"mel band {i}" for i in range(n_mels)), used=len(level))


def word_rate(words: pd.DataFrame, times: np.ndarray, tr: float) -> FeatureSpace:
    """Return words a second, by onset: one column."""
    spoken = words[words["text"].astype(str).str.strip() != ""]
    values = _rates(spoken["onset"].to_numpy(), np.ones((len(spoken), 1)), times, tr)
    return FeatureSpace(values, ("words a second",), used=len(spoken), skipped=len(words) - len(spoken))


def phone_rates(phones: pd.DataFrame, times: np.ndarray, tr: float) -> FeatureSpace:
    """Return occurrences a second of each of the 39 ARPAbet phones; stress marks are ignored."""
    return _phones(phones, times, tr, {p: frozenset([p]) for p in PHONES})


def articulatory_rates(phones: pd.DataFrame, times: np.ndarray, tr: float) -> FeatureSpace:
    """Return occurrences a second of each articulatory feature (place, manner, voicing; height, backness, rounding)."""
    return _phones(phones, times, tr, ARTICULATION)


def word_embedding(
    words: pd.DataFrame, vectors: Mapping[str, np.ndarray], times: np.ndarray, tr: float
) -> FeatureSpace:
    """Return the sum of word vectors a second, by onset; words without a vector are counted.

    Parameters
    ----------
    vectors : word (lower case) -> (d,) array, as from :func:`read_vectors`
    """
    if not vectors:
        raise BraindashError("There are no word vectors.", "Give a file of word vectors.")
    texts = words["text"].astype(str).map(plain_word)
    known = texts.isin(vectors.keys()).to_numpy(dtype=bool)
    unknown = texts[~known & (texts != "")]
    if not known.any():
        raise BraindashError(
            f"None of the {len(texts)} words has a vector (first: {texts.iloc[0] if len(texts) else '-'!r}).",
            "Check that the vectors are of the story's language and lower case.",
        )
    weights = np.stack([np.asarray(vectors[w], dtype=np.float64) for w in texts[known]])
    values = _rates(words["onset"].to_numpy()[known], weights, times, tr)
    return FeatureSpace(
        values,
        tuple(f"dimension {i}" for i in range(weights.shape[1])),
        used=int(known.sum()),
        skipped=len(unknown),
        skipped_examples=tuple(dict.fromkeys(unknown))[:5],
    )


def read_vectors(path: Path, words: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read static word vectors: GloVe or word2vec text, JSON (word to numbers), or a NumPy ``.npz``.

    A ``.npz`` holds the arrays ``words`` and ``vectors``.

    Parameters
    ----------
    words : keep only these (lower case), optional: a GloVe file holds 400 thousand

    Raises
    ------
    BraindashError
        A missing file, or a line whose length differs from the first; its number is named.
    """
    path = Path(path)
    if not path.exists():
        raise BraindashError(
            f"There are no word vectors at {path}.", "Give the path of a .txt, .vec, .json or .npz file."
        )
    wanted = None if words is None else {plain_word(w) for w in words}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            if not {"words", "vectors"} <= set(file.files):
                raise BraindashError(
                    f"{path.name} holds {', '.join(file.files)}.", "Save it with the arrays 'words' and 'vectors'."
                )
            pairs = zip(file["words"].astype(str), file["vectors"].astype(np.float32), strict=True)
            return {w: v for w, v in pairs if wanted is None or w in wanted}
    if path.suffix == ".json":
        return _read_json_vectors(path, wanted)
    out: dict[str, np.ndarray] = {}
    width = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            word, *numbers = line.rstrip().split(" ")
            if number == 1 and len(numbers) == 1:  # word2vec's header: how many, how wide
                continue
            width = width or len(numbers)
            if len(numbers) != width:
                raise BraindashError(
                    f"Line {number} of {path.name} has {len(numbers)} numbers, the first has {width}.",
                    "Use vectors as text: a word and its numbers on every line, separated by spaces.",
                )
            if wanted is None or word in wanted:
                try:
                    out[word] = np.asarray(numbers, dtype=np.float32)
                except ValueError:
                    raise BraindashError(
                        f"Line {number} of {path.name} holds something that is no number.",
                        "Use vectors as text: a word and its numbers on every line, separated by spaces.",
                    ) from None
    return out


def _read_json_vectors(path: Path, wanted: set[str] | None) -> dict[str, np.ndarray]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        vectors = {str(w): np.asarray(v, dtype=np.float32) for w, v in data.items() if wanted is None or w in wanted}
    except (ValueError, TypeError, AttributeError) as error:
        raise BraindashError(
            f"{path.name} holds no word vectors ({error}).", "Map every word to a list of numbers."
        ) from None
    widths = {v.shape for v in vectors.values()}
    if len(widths) > 1:
        raise BraindashError(
            f"The vectors in {path.name} differ in length: {sorted(widths)}.", "Give all the same length."
        )
    return vectors


def plain_word(text: str) -> str:
    """Return a word as vectors know it: lower case, without punctuation but for apostrophes inside."""
    return re.sub(r"[^\w']+", "", text.lower()).strip("'")


def _phones(phones: pd.DataFrame, times: np.ndarray, tr: float, classes: Mapping[str, frozenset[str]]) -> FeatureSpace:
    symbols = phones["text"].astype(str).str.strip().str.upper().str.replace(r"\d$", "", regex=True)
    known = symbols.isin(PHONES).to_numpy(dtype=bool)
    if not known.any():
        raise BraindashError(
            f"None of the {len(phones)} phone intervals is an ARPAbet phone.",
            "Check that the phone tier of the TextGrid uses ARPAbet.",
        )
    marks = symbols[known].to_numpy()
    weights = np.array([[m in members for members in classes.values()] for m in marks], dtype=np.float64)
    odd = symbols[~known]
    return FeatureSpace(
        _rates(phones["onset"].to_numpy()[known], weights, times, tr),
        tuple(classes),
        used=int(known.sum()),
        skipped=len(odd),
        skipped_examples=tuple(dict.fromkeys(s for s in odd if s))[:5],
    )


def _rates(onsets: np.ndarray, weights: np.ndarray, times: np.ndarray, tr: float) -> np.ndarray:
    """Sum the weights of the events in every row, a second: (n_trs, d) float32."""
    out = np.zeros((len(times), weights.shape[1]))
    rows = np.floor((onsets - (times[0] - tr / 2)) / tr).astype(int) if len(times) else np.empty(0, int)
    inside = (rows >= 0) & (rows < len(times))
    np.add.at(out, rows[inside], weights[inside])
    return (out / tr).astype(np.float32)


def _mean_per_row(values: np.ndarray, at: np.ndarray, times: np.ndarray, tr: float, empty: float) -> np.ndarray:
    rows = np.floor((at - (times[0] - tr / 2)) / tr).astype(int)
    inside = (rows >= 0) & (rows < len(times))
    total, n = np.zeros((len(times), values.shape[1])), np.zeros(len(times))
    np.add.at(total, rows[inside], values[inside])
    np.add.at(n, rows[inside], 1)
    return np.where(n[:, None] > 0, total / np.maximum(n, 1)[:, None], empty).astype(np.float32)


def _needs(story: Story, table: str) -> pd.DataFrame:
    found = getattr(story, table)
    if found is None or len(found) == 0:
        raise BraindashError(
            f"Story {story.name!r} has no {table} with their times.", "Add a TextGrid, or leave this feature space out."
        )
    return found


def _spectral(study: Study, story: str, times: np.ndarray) -> FeatureSpace:
    return mel_power(study.audio(story), times, study.tr)


def _articulatory(study: Study, story: str, times: np.ndarray) -> FeatureSpace:
    return articulatory_rates(_needs(study.story(story), "phones"), times, study.tr)


def _phonetic(study: Study, story: str, times: np.ndarray) -> FeatureSpace:
    return phone_rates(_needs(study.story(story), "phones"), times, study.tr)


def _word_rate(study: Study, story: str, times: np.ndarray) -> FeatureSpace:
    return word_rate(_needs(study.story(story), "words"), times, study.tr)


# name -> what fills it for one story at the given row times
SPACES: dict[str, Callable[[Study, str, np.ndarray], FeatureSpace]] = {
    "spectral": _spectral,
    "articulatory": _articulatory,
    "phones": _phonetic,
    "word_rate": _word_rate,
}


def story_space(name: str, study: Study, story: str, subject: str) -> FeatureSpace:
    """Return one story of a study in a named feature space, at the subject's row times.

    Raises
    ------
    BraindashError
        An unknown space, or a story without the words or phones it needs.
    """
    if name not in SPACES:
        raise BraindashError(f"Feature space {name!r} is not known.", closest(name, SPACES))
    return SPACES[name](study, story, np.asarray(study.row_times(story, subject)))
