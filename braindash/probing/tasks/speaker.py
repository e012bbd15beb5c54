"""Who speaks."""

from __future__ import annotations

import numpy as np

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import settle
from braindash.probing.recordings import label_cut

NO_SPEAKER = "stretches of recordings without a speaker"
NOT_SCORED = "stretches of recordings that are not scored, of speakers who are in none that is"
STRETCH = 1.0  # seconds


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return stretches of about a second with their speaker.

    The speaker is the class, so it is the recording that must not straddle train and test: folds are made over
    recordings, whatever the corpus's groups are (:func:`braindash.probing.tasks.example_groups`).
    """
    speakers = [r.labels.get("speaker", "").strip() for r in corpus.recordings]
    if not any(speakers):
        raise BraindashError(f"No recording of {corpus.title} has a speaker.", "Give the recordings a speaker.")
    if len(set(speakers) - {""}) < 2:
        raise BraindashError(
            f"All recordings of {corpus.title} are of one speaker, {next(filter(None, speakers))!r}.",
            "Use a corpus of two or more speakers.",
        )
    heard: dict[str, int] = {}
    for speaker in filter(None, speakers):
        heard[speaker] = heard.get(speaker, 0) + 1
    if max(heard.values()) < 2:
        raise BraindashError(
            f"Every speaker of {corpus.title} is in one recording alone; a recording never is on both sides.",
            "Use a corpus with two or more recordings of a speaker.",
        )
    cut = label_cut(corpus, speakers, NO_SPEAKER, stretch=STRETCH)
    tested = {s for s, r in zip(speakers, corpus.recordings, strict=True) if r.scored}
    useful = np.array([speakers[i] in tested for i in cut.recording], dtype=bool)
    return settle(corpus, limits, cut.keep(useful, NOT_SCORED), apart="recording")


TASK = Task(
    "speaker",
    "Speaker",
    "Who speaks, from the layer's mean state over about a second; the recordings of test and training are different, "
    "the speakers are the same.",
    "classification",
    "speaker",
    make,
)
