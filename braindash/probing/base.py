"""What a probe is made of: recordings with labels, and the examples that a task cuts out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

Kind = Literal["regression", "classification", "multilabel"]
Level = Literal["acoustic", "phonetic", "lexical", "semantic", "sentence", "speaker"]

# from sound to meaning: the order that a hierarchy of layers is compared with
LEVELS: tuple[Level, ...] = ("acoustic", "phonetic", "lexical", "semantic")


@dataclass(frozen=True)
class Recording:
    """One sound of a corpus, and what is known of it.

    Attributes
    ----------
    name : str
        Unique in its corpus.
    load : callable
        Returns the audio: (n_samples,) float32, 16 kHz mono.
    duration : float, seconds
    group : str
        What never straddles train and test: the story, or the speaker.
    scored : bool
        False where probes may learn from the recording but are not scored on it: a story that
        the model was tuned on, a corpus's own training part.
    words, phones : pd.DataFrame or None
        Columns ``text, onset, offset`` in seconds; words may have further columns, such as ``pos``.
    labels : mapping of str to str
        Labels of the whole recording, such as ``speaker``, ``sentence_type``, ``emotion``, ``transcript``.
    file : Path or None
        Where it lies, so that a recording which a model was tuned on is known again.
    """

    name: str
    load: Callable[[], np.ndarray]
    duration: float
    group: str
    scored: bool = True
    words: pd.DataFrame | None = None
    phones: pd.DataFrame | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None


@dataclass(frozen=True)
class Corpus:
    """Recordings to probe with.

    Attributes
    ----------
    id, title, kind : str
        ``kind`` names the layout that it was read from.
    recordings : tuple of Recording
    group_word : str
        What a group of recordings is, in the singular: "story", "speaker".
    vectors : mapping of str to (d,) float array, optional
        Static word vectors, by lower-case word.
    vectors_title : str
        Where they are from.
    caveats : tuple of str
        What everybody who sees a figure must know: aligned by machine, a synthetic voice, files left out.
    """

    id: str
    title: str
    kind: str
    recordings: tuple[Recording, ...]
    group_word: str = "story"
    vectors: Mapping[str, np.ndarray] | None = None
    vectors_title: str = ""
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """How much a task may use, so that a grid of tasks, layers and models stays a matter of minutes.

    Attributes
    ----------
    max_examples : int
        More are thinned, evenly over groups, and counted.
    fewest_examples, fewest_per_class : int
        Fewer scored examples and the task is refused; rarer classes are left out, and counted.
    seed : int
    """

    max_examples: int = 4000
    fewest_examples: int = 50
    fewest_per_class: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Examples:
    """What a task cuts out of a corpus, one row an example.

    Attributes
    ----------
    recording : (n,) int, into the corpus's recordings
    spans : (n, 2) float, seconds of the recording
    y : (n,) int, (n, d) float or (n, d) bool
        Class, values, or labels present; as the task's kind is classification, regression, multilabel.
    names : tuple of str
        Classes, or the columns of ``y``.
    items : (n,) str or None
        What must not straddle train and test besides the group: the word type of lexical tasks.
    left_out : mapping of str to int
        Reason to count of what was not used.
    """

    recording: np.ndarray
    spans: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    items: np.ndarray | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True)
class Task:
    """One thing that a layer may know.

    Attributes
    ----------
    name, title, explanation : str
        ``explanation`` is one sentence for the page: what is read from what.
    kind : "regression", "classification" or "multilabel"
        Scored by R², macro F1, and F1 averaged over labels.
    level : str
        Its place in the order of `LEVELS`; "sentence" and "speaker" stand outside it.
    make : callable
        ``make(corpus, limits) -> Examples``; raises BraindashError where the corpus has not what it needs.
    """

    name: str
    title: str
    explanation: str
    kind: Kind
    level: Level
    make: Callable[[Corpus, Limits], Examples]

    @property
    def metric(self) -> str:
        return "r2" if self.kind == "regression" else "f1"
