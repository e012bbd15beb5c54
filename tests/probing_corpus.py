"""A small corpus with words, phones, labels and sound, for tests of probes."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from braindash.probing.base import Corpus, Recording

RATE = 16_000
SAID = {
    "the": "DH AH0", "a": "AH0", "of": "AH1 V", "and": "AE1 N D", "was": "W AA1 Z", "she": "SH IY1", "on": "AA1 N",
    "with": "W IH1 DH", "but": "B AH1 T", "because": "B IH0 K AO1 Z", "it": "IH1 T", "had": "HH AE1 D",
    "every": "EH1 V R IY0", "they": "DH EY1", "boat": "B OW1 T", "sea": "S IY1", "fish": "F IH1 SH", "cook": "K UH1 K",
    "music": "M Y UW1 Z IH0 K", "garden": "G AA1 R D AH0 N", "school": "S K UW1 L", "young": "Y AH1 NG",
    "judge": "JH AH1 JH", "choir": "K W AY1 ER0", "loud": "L AW1 D", "thing": "TH IH1 NG", "pie": "P AY1",
    "that": "DH AE1 T",
}  # fmt: skip
CONTENT = ("boat", "sea", "fish", "cook", "music", "garden", "school", "young", "judge", "choir", "loud", "pie")


def tone(seconds: float, f0: float = 120.0, level: float = 0.1, n_harmonics: int = 10) -> np.ndarray:
    """Return a harmonic tone whose root mean square is ``level``."""
    t = np.arange(round(seconds * RATE)) / RATE
    x = sum(np.sin(2 * np.pi * f0 * k * t + k) / k for k in range(1, n_harmonics + 1))
    return np.asarray(level * x / np.sqrt(np.mean(np.square(x))), dtype=np.float32)


def speech(seed: int, n_words: int = 60) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Return words, phones and the duration of random words, each phone 80 ms, with a pause after about every sixth."""
    rng = np.random.default_rng(seed)
    words, phones, at = [], [], 0.5
    for word in rng.choice(list(SAID), n_words):
        start = at
        for phone in SAID[word].split():
            phones.append((phone, at, at + 0.08))
            at += 0.08
        words.append((str(word), start, at))
        if rng.random() < 1 / 6:
            at += 0.4
    columns = ["text", "onset", "offset"]
    return pd.DataFrame(words, columns=columns), pd.DataFrame(phones, columns=columns), at + 0.5


def sound(seed: int, duration: float) -> np.ndarray:
    """Return a second each of tone, noise and silence, over and over."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(int(duration) + 1):
        parts.append([tone(1.0, 90 + 30 * (i % 5)), 0.05 * rng.standard_normal(RATE), np.zeros(RATE)][i % 3])
    return np.concatenate(parts)[: round(duration * RATE)].astype(np.float32)


def whole_corpus(n: int = 8) -> Corpus:
    """Return ``n`` recordings of two speakers and three sentence types; every other one is scored."""
    recordings = []
    for i in range(n):
        words, phones, duration = speech(i)
        labels = {
            "speaker": "AB"[i // 2 % 2],
            "sentence_type": ("statement", "question")[i // 2 % 2],
            "label": "xy"[i // 4],
        }
        load = functools.partial(sound, i, duration)
        recordings.append(Recording(f"r{i}", load, duration, f"story{i}", i % 2 == 0, words, phones, labels))
    rng = np.random.default_rng(0)
    vectors = {w: rng.standard_normal(5) for w in CONTENT}
    return Corpus("made", "Made up", "table", tuple(recordings), vectors=vectors)


def corpus_of(*recordings: Recording, **kwargs: object) -> Corpus:
    """Return a corpus of recordings."""
    return Corpus("hand", "Hand-made", "table", tuple(recordings), **kwargs)  # type: ignore[arg-type]


def intervals(text: str, start: float = 0.0, length: float = 0.1) -> pd.DataFrame:
    """Return equal intervals of words in a text one after another; ``.`` is a gap of one length."""
    rows = []
    for i, mark in enumerate(text.split()):
        if mark != ".":
            rows.append((mark, start + i * length, start + (i + 1) * length))
    return pd.DataFrame(rows, columns=["text", "onset", "offset"])


def hand_made(name: str = "one", duration: float = 100.0, **kwargs: object) -> Recording:
    """Return a silent recording, its own group."""
    load = functools.partial(np.zeros, round(duration * RATE), np.float32)
    return Recording(name, load, duration, **{"group": name, **kwargs})  # type: ignore[arg-type]
