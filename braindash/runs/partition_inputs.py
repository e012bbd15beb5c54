"""What a partition is fitted on: groups of subjects, the feature spaces that can be filled, designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import EncodingConfig
from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    from braindash.studies.base import Study

MODEL = "model"  # the feature space that is the model's layer
DEFAULT_SPACES = ("spectral", "articulatory", "word_rate", "meaning")
MOST_ROWS = 12_000  # kernels of more rows do not fit an ordinary machine's memory

Split = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Group:
    """Subjects who heard the same stories at the same times: features and kernels serve all of them."""

    subjects: list[str]
    train: list[str]
    test: list[str]


class Vectors:
    """Word vectors, read once, of the words that the stories hold."""

    def __init__(self, study: Study, path: Path | None) -> None:
        self.path = path or study.word_vectors
        self.name = self.path.name if self.path else None
        self.given = path is not None
        self._study = study
        self._read: dict[str, np.ndarray] | None = None

    def read(self) -> dict[str, np.ndarray]:
        from braindash.encoding.spaces import read_vectors

        if self._read is None:
            assert self.path is not None
            tables = [s.words for s in self._study.stories.values() if s.words is not None]
            self._read = read_vectors(self.path, sorted({str(w) for t in tables for w in t["text"]}))
        return self._read


def choose_spaces(
    study: Study, subjects: Sequence[str], wanted: Sequence[str] | None, words: Vectors
) -> tuple[list[str], list[dict[str, str]]]:
    """Return the spaces that can be filled, and why the others cannot; one that was asked for must be."""
    from braindash.encoding.partition import MOST_SPACES
    from braindash.encoding.spaces import SPACES

    known = [*SPACES, "meaning"]
    for name in wanted or ():
        if name not in known:
            raise BraindashError(f"Feature space {name!r} is not known.", closest(name, known))
    if words.given and wanted is not None and "meaning" not in wanted:
        raise BraindashError("Word vectors are given, but not the space that uses them.", "Add meaning to the spaces.")
    heard = [study.story(s) for s in dict.fromkeys(s for subject in subjects for s in study.heard(subject))]
    names: list[str] = []
    left_out = []
    for name in dict.fromkeys(wanted or DEFAULT_SPACES):
        table = {"word_rate": "words", "meaning": "words", "articulatory": "phones", "phones": "phones"}.get(name)
        without = [s.name for s in heard if table and (getattr(s, table) is None or not len(getattr(s, table)))]
        why = ""
        if without:
            why = f"{len(without)} of {len(heard)} stories have no {table} with their times (first: {without[0]})"
        elif name == "meaning" and words.path is None:
            why = "there are no word vectors; give a file with --vectors"
        if why and wanted:
            raise BraindashError(f"Feature space {name!r} cannot be filled: {why}.", "Leave it out, or add what lacks.")
        if why:
            left_out.append({"space": name, "why": why})
        else:
            names.append(name)
    if not names:
        raise BraindashError("There is no feature space besides the model's.", f"Choose of {', '.join(known)}.")
    if len(names) >= MOST_SPACES:
        raise BraindashError(
            f"{len(names)} feature spaces are asked for; {MOST_SPACES - 1} and the model's layer can be told apart.",
            "Choose articulatory or phones, and leave one out.",
        )
    return names, left_out


def group_subjects(study: Study, subjects: Sequence[str]) -> list[Group]:
    found: dict[Any, Group] = {}
    for subject in subjects:
        train = [*study.stories_of("tune", subject), *study.stories_of("validation", subject)]
        test = list(study.stories_of("test", subject))
        study.split.refuse_test(train, "Fitting the encoding model")
        if not test or len(train) < 2:
            raise BraindashError(
                f"Subject {subject!r} heard {len(test)} test and {len(train)} other stories; 1 and 2 are needed.",
                "Choose other subjects.",
            )
        times = [np.asarray(study.row_times(s, subject)) for s in (*train, *test)]
        n = sum(map(len, times))
        if n > MOST_ROWS:
            raise BraindashError(
                f"{n:,} rows of {subject} would need kernels of {n * n * 4 / 1e9:.1f} GB for every feature space.",
                f"Partition studies of up to {MOST_ROWS:,} rows; add the study again with fewer stories.",
            )
        key = (tuple(train), tuple(test), *(t.tobytes() for t in times))
        found.setdefault(key, Group([], train, test)).subjects.append(subject)
    return list(found.values())


class Reader:
    """Features of one group of subjects, at TR rate, z-scored, delayed where asked."""

    def __init__(self, study: Study, group: Group, words: Vectors, store: Any, settings: EncodingConfig) -> None:
        self.study, self.group, self.words, self.store, self.settings = study, group, words, store, settings
        self.told: dict[str, dict[str, Any]] = {}
        self._at_rows: dict[str, dict[str, np.ndarray]] = {}

    def space(self, name: str) -> dict[str, np.ndarray]:
        """Return one space, every story: (n_trs, width); counts what was used and what had no place in it."""
        from braindash.encoding.spaces import story_space, word_embedding

        if name not in self._at_rows:
            subject, filled = self.group.subjects[0], {}
            for story in (*self.group.train, *self.group.test):
                if name == "meaning":
                    words = self.study.story(story).words
                    assert words is not None
                    times = np.asarray(self.study.row_times(story, subject))
                    filled[story] = word_embedding(words, self.words.read(), times, self.study.tr)
                else:
                    filled[story] = story_space(name, self.study, story, subject)
            self._at_rows[name] = {s: f.values for s, f in filled.items()}
            self.told[name] = {
                "width": len(next(iter(filled.values())).columns),
                "used": sum(f.used for f in filled.values()),
                "skipped": sum(f.skipped for f in filled.values()),
                "skipped_examples": list(dict.fromkeys(e for f in filled.values() for e in f.skipped_examples))[:5],
            }
        return self._at_rows[name]

    def model(self, model: Any, layer: int) -> dict[str, np.ndarray]:
        window, subject = self.settings.window, self.group.subjects[0]
        self.told[MODEL] = {"width": model.width}
        return {
            s: np.asarray(self.store.get(model, self.study, s, subject, window, layers=(layer,))[0])
            for s in (*self.group.train, *self.group.test)
        }

    def design(self, values: Mapping[str, np.ndarray]) -> Split:
        """Z-score, reduce where the study's signal asks for it, and delay."""
        from braindash.features.lags import story_designs

        train, test = story_designs(lambda s: values[s], self.group.train, self.group.test, self.settings)
        return train, [test[s] for s in self.group.test]

    def less(self, values: Mapping[str, np.ndarray], nuisance: Mapping[str, np.ndarray]) -> Split:
        """Remove what is linear in the nuisance features, then delay; not z-scored again (`remove_features`)."""
        from braindash.encoding.partition import remove_features
        from braindash.features.design import delay, zscore

        def cut(v: Mapping[str, np.ndarray]) -> Split:
            return [zscore(v[s]) for s in self.group.train], [zscore(v[s]) for s in self.group.test]

        train, test = remove_features(cut(values), cut(nuisance), alphas=self.settings.alphas)
        delays = self.settings.delays
        return [delay(x, delays) for x in train], [delay(x, delays) for x in test]
