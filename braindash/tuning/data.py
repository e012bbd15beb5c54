"""The responses a fine-tune sees: masked, z-scored per story, and guarded against the test stories."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.studies.base import Study
from braindash.tuning.controls import get_control
from braindash.tuning.selection import Selection, select_targets

__all__ = ["MEMORY_BUDGET", "Selection", "TuningData", "select_targets"]

MEMORY_BUDGET = 4 * 2**30  # bytes of responses kept between steps; beyond it they are read again


class TuningData:
    """Stories, subjects, targets and responses of one fine-tune.

    Parameters
    ----------
    study : Study
    config : TuneConfig

    Raises
    ------
    LeakageError
        If a test story would be tuned on or used to choose.
    BraindashError
        For an unknown subject, a missing part of the split, or a mask that leaves no target.
    """

    def __init__(self, study: Study, config: TuneConfig) -> None:
        self.study = study
        self.config = config
        self.subjects = tuple(study.check_subject(s) for s in (config.subjects or study.subjects))
        self.tune = {s: study.stories_of("tune", s) for s in self.subjects}
        self.validation = {s: study.stories_of("validation", s) for s in self.subjects}
        for subject in self.subjects:
            study.split.refuse_test(self.tune[subject], "Tuning")
            study.split.refuse_test(self.validation[subject], "Choosing the epoch")
            for part, stories in (("tuning", self.tune[subject]), ("validation", self.validation[subject])):
                if not stories:
                    raise BraindashError(
                        f"Subject {subject!r} of study {study.id!r} heard no {part} story.",
                        f"Give a story that it heard the {'tune' if part == 'tuning' else 'validation'} part "
                        "of the split, or leave the subject out.",
                    )
        self._control = get_control(config.control)
        self._cache: dict[tuple[str, str], np.ndarray] = {}
        self._cached_bytes = 0

    @property
    def tune_stories(self) -> tuple[str, ...]:
        """Stories tuned on by any subject, in study order."""
        heard = {story for stories in self.tune.values() for story in stories}
        return tuple(s for s in self.study.stories if s in heard)

    @property
    def validation_stories(self) -> tuple[str, ...]:
        """Stories used to choose, by any subject, in study order."""
        heard = {story for stories in self.validation.values() for story in stories}
        return tuple(s for s in self.study.stories if s in heard)

    def listeners(self, story: str) -> tuple[str, ...]:
        """Return the subjects, of those tuned on, that heard a tuning or validation story."""
        return tuple(s for s in self.subjects if story in self.tune[s] or story in self.validation[s])

    @cached_property
    def selections(self) -> dict[str, Selection]:
        """Subject to the targets that are tuned on. Reads every story once."""
        return {s: select_targets(self.study, s, self.config) for s in self.subjects}

    @property
    def n_targets(self) -> dict[str, int]:
        return {s: sel.n_targets for s, sel in self.selections.items()}

    def times(self, story: str, subject: str) -> np.ndarray:
        """Return the audio time of every row's centre: (n_trs,) float64, seconds."""
        return np.asarray(self.study.row_times(story, subject), dtype=np.float64)

    def responses(self, story: str, subject: str) -> np.ndarray:
        """Return the selected targets, z-scored over the story, under the control: (n_trs, n_targets) float32."""
        key = (story, subject)
        if key in self._cache:
            return self._cache[key]
        if self._control.whole and self._cached_bytes + self._bytes_of(subject) <= MEMORY_BUDGET:
            for other, made in self._control.whole(self, subject).items():
                self._keep(other, subject, made)
            return self._cache[key]
        Y = np.ascontiguousarray(self._control.responses(self, story, subject))
        self._keep(story, subject, Y)
        return Y

    def _keep(self, story: str, subject: str, Y: np.ndarray) -> None:
        """Keep responses for the next step where they fit into the budget."""
        if (story, subject) not in self._cache and self._cached_bytes + Y.nbytes <= MEMORY_BUDGET:
            self._cache[story, subject] = Y
            self._cached_bytes += Y.nbytes

    def _bytes_of(self, subject: str) -> int:
        """Return the size of all responses of a subject."""
        rows = sum(len(self.times(s, subject)) for s in (*self.tune[subject], *self.validation[subject]))
        return 4 * rows * self.n_targets[subject]

    def real_responses(self, story: str, subject: str) -> np.ndarray:
        """Return the selected targets, z-scored over the story, whatever the control: (n_trs, n_targets) float32."""
        self.study.split.refuse_test([story], "Tuning")
        Y = self.study.read_responses(story, subject)[:, self.selections[subject].index]
        mean = Y.mean(axis=0, dtype=np.float64)
        std = Y.std(axis=0, dtype=np.float64)
        if not (std > 0).all():  # NaN fails this as well
            raise BraindashError(
                f"{int((~(std > 0)).sum())} targets of subject {subject!r} changed on disk since they were checked: "
                f"they are constant or not finite in story {story!r} now.",
                f"Run `braindash study check {self.study.id}` and start again.",
            )
        return ((Y - mean) / std).astype(np.float32)
