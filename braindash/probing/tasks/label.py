"""The label of a recording: the word of Speech Commands, the emotion of CREMA-D, an intent."""

from __future__ import annotations

from dataclasses import replace

from braindash.errors import BraindashError
from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.cutting import settle
from braindash.probing.recordings import label_cut

NO_LABEL = "recordings without a label"
NAMES = ("label", "emotion", "intent")  # of labels, the first that a corpus has


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return every recording with its label."""
    found = next((n for n in NAMES if any(r.labels.get(n, "").strip() for r in corpus.recordings)), None)
    if found is None:
        raise BraindashError(f"No recording of {corpus.title} has a label.", "Give the recordings a label.")
    labels = [r.labels.get(found, "").strip() for r in corpus.recordings]
    return settle(corpus, limits, label_cut(corpus, labels, NO_LABEL))


def described(corpus: Corpus, examples: Examples) -> Task:
    """Return the task under the title that the corpus gives to its label, or under the name of the label."""
    given = {r.labels["label_title"].strip() for r in corpus.recordings if r.labels.get("label_title", "").strip()}
    if len(given) == 1:
        return replace(TASK, title=given.pop())
    found = next(n for n in NAMES if any(r.labels.get(n, "").strip() for r in corpus.recordings))
    return TASK if found == NAMES[0] else replace(TASK, title=found.capitalize())


TASK = Task(
    "label",
    "Label of the recording",
    "The label that the corpus gives to a recording, such as its word, its emotion or its intent, from the layer's "
    "mean state over it.",
    "classification",
    "sentence",
    make,
)
