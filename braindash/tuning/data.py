"""The responses a fine-tune sees: masked, z-scored per story, and guarded against the test stories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.studies.base import Study
from braindash.tuning.controls import get_control

MEMORY_BUDGET = 4 * 2**30  # bytes of responses kept between steps; beyond it they are read again


@dataclass(frozen=True)
class Selection:
    """Which of a subject's targets are tuned on.

    Attributes
    ----------
    index : (n_targets,) int64
        Rows of ``study.targets(subject)``.
    n_all : int
        Targets that the study has.
    n_outside, n_below_ceiling, n_excluded : int
        Targets not in the regions asked for; of the rest, below the ceiling asked
        for (or without one); of the rest, excluded as not finite or constant.
    """

    index: np.ndarray
    n_all: int
    n_outside: int
    n_below_ceiling: int
    n_excluded: int

    @property
    def n_targets(self) -> int:
        return len(self.index)

    def counts(self) -> dict[str, int]:
        """Return the counts as a row."""
        return {
            "n_targets": self.n_targets,
            "n_all": self.n_all,
            "n_outside": self.n_outside,
            "n_below_ceiling": self.n_below_ceiling,
            "n_excluded": self.n_excluded,
        }


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
        Y = self.real_responses(story, subject)
        Y = np.ascontiguousarray(self._control(Y, self.config.permute_block, self.config.seed, story))
        if self._cached_bytes + Y.nbytes <= MEMORY_BUDGET:
            self._cache[key] = Y
            self._cached_bytes += Y.nbytes
        return Y

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


def select_targets(study: Study, subject: str, config: TuneConfig, *, read: bool = True) -> Selection:
    """Return the targets of ``subject`` in the regions, above the ceiling and usable.

    With ``read=False`` no response is read, and every target counts as usable.

    Raises
    ------
    BraindashError
        If none is left, with the count of what each condition took away.
    """
    table = study.targets(subject)
    n_all = len(table)
    inside = np.ones(n_all, dtype=bool)
    if config.rois:
        from braindash.encoding.regions import region_mask

        inside = np.zeros(n_all, dtype=bool)
        for roi in config.rois:
            inside |= region_mask(table, roi)  # raises where the region holds no target
    reliable = inside.copy()
    if config.min_ceiling > 0:
        ceilings = tuning_ceilings(study, subject)
        with np.errstate(invalid="ignore"):
            reliable &= ceilings >= config.min_ceiling  # False where there is no ceiling
    usable = reliable & study.usable(subject) if read else reliable
    selection = Selection(
        index=np.flatnonzero(usable),
        n_all=n_all,
        n_outside=n_all - int(inside.sum()),
        n_below_ceiling=int((inside & ~reliable).sum()),
        n_excluded=int((reliable & ~usable).sum()),
    )
    least = 3 if config.loss == "spatial" else 1
    if selection.n_targets < least:
        need = "" if least == 1 else f"; the spatial loss needs at least {least}"
        raise BraindashError(
            f"{selection.n_targets} of {n_all} targets of subject {subject!r} are left to tune on: "
            f"{selection.n_outside} lie outside the regions, {selection.n_below_ceiling} are below min_ceiling = "
            f"{config.min_ceiling:g}, {selection.n_excluded} are not finite or constant{need}.",
            "Choose more regions or a lower min_ceiling.",
        )
    return selection


def tuning_ceilings(study: Study, subject: str) -> np.ndarray:
    """Return noise ceilings that no test story had a part in: (n_targets,) float, NaN where there is none.

    The study's own column, or else repeats of tuning and validation stories.
    """
    table = study.targets(subject)
    if "noise_ceiling" in table:
        return table["noise_ceiling"].to_numpy(dtype=float)
    from braindash.encoding.ceiling import noise_ceiling

    found = []
    for story in (*study.stories_of("tune", subject), *study.stories_of("validation", subject)):
        repeats = study.read_repeats(story, subject)
        if repeats is not None:
            found.append(np.asarray(noise_ceiling(repeats), dtype=float))
    if not found:
        raise BraindashError(
            f"min_ceiling is set, but subject {subject!r} of study {study.id!r} has no noise ceilings: no column "
            "noise_ceiling in its targets, and no repeats of a tuning or validation story.",
            "Set min_ceiling to 0, or give the targets table a noise_ceiling column.",
        )
    stack = np.stack(found)
    counted = np.isfinite(stack).sum(axis=0)
    total = np.where(np.isfinite(stack), stack, 0.0).sum(axis=0)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)
