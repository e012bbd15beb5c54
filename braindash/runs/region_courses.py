"""Measured and predicted responses of targets, and of regions, over the test stories of a run.

The penalties are those that the evaluation kept, so that nothing is chosen anew: one decomposition a layer and model
serves every target. Of a region the mean course is kept, and the means of what its targets gain and score one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.encoding.refit import Refit
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.runs.run import Run
    from braindash.studies.base import Study

KEPT_RESPONSES = 512 * 2**20  # bytes of a subject's responses that are kept between two questions
MOST_OPERATIONS = 3e11  # of one question: seconds on one core; beyond it large groups are thinned
LEAST_TARGETS = 100  # that a thinned group keeps


@dataclass(frozen=True, eq=False)
class GroupCourse:
    """One test story of one subject, for each of some groups of targets.

    Attributes
    ----------
    story : str
    times : (n_trs,) float64
        Centre of every row in seconds of the audio.
    measured : (n_trs, n_groups) float64
        Mean over a group's targets, each z-scored within the story.
    predicted : model -> (n_trs, n_groups) float64
        Mean over the targets' predictions, in the same units.
    gain : (n_trs, n_groups) float64
        Squared error of the first model minus that of the second, mean over the targets: targets that respond
        differently do not cancel out, as they do in a mean course.
    r : model -> (n_groups,) float64
        Correlation of measured and predicted in this story, mean over the targets that vary in it.
    """

    story: str
    times: np.ndarray
    measured: np.ndarray
    predicted: Mapping[str, np.ndarray]
    gain: np.ndarray
    r: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class GroupCourses:
    """What `group_courses` returns.

    Attributes
    ----------
    groups : names, in the order of the columns
    n_used : (n_groups,) int
        Targets of each group that the means are over.
    n_fitted : (n_groups,) int
        Targets with a fit; more than were used where a large group was thinned.
    n_excluded : (n_groups,) int
        Targets that the evaluation left out.
    stories : story -> GroupCourse
    """

    groups: tuple[str, ...]
    n_used: np.ndarray
    n_fitted: np.ndarray
    n_excluded: np.ndarray
    stories: Mapping[str, GroupCourse]


class StandardResponses:
    """A subject's responses, each target z-scored within each story, kept in memory where they are small enough."""

    def __init__(self, study: Study, subject: str, keep: int = KEPT_RESPONSES) -> None:
        from braindash.runs.encoding import fitted_stories

        self.study, self.subject = study, subject
        self.train, self.test = fitted_stories(study, subject)
        self._kept: dict[str, np.ndarray] = {}
        rows = sum(len(study.row_times(s, subject)) for s in (*self.train, *self.test))
        self._keeps = 4 * rows * len(study.targets(subject)) <= keep

    def story(self, name: str, columns: np.ndarray) -> np.ndarray:
        """Return some targets' responses to one story: (n_trs, n_columns) float32."""
        from braindash.encoding._responses import Standardised

        if not self._keeps:
            return Standardised(self.study.read_responses(name, self.subject), columns)[:, :]
        if name not in self._kept:
            with np.errstate(invalid="ignore"):  # targets with NaN are left out by who asks
                self._kept[name] = Standardised(self.study.read_responses(name, self.subject))[:, :]
        return self._kept[name][:, columns]


def open_refit(run: Run, model: str, layer: int, subject: str) -> Refit:
    """Decompose one layer of one model of a run, for one subject.

    Raises
    ------
    BraindashError
        Where the study, the model, or the features of a story are not there any more.
    """
    from braindash.runs.time_courses import kept_designs

    return Refit.of(*kept_designs(run, model, layer, subject))


def kept_penalties(run: Run, models: Sequence[str], layer: int, subject: str) -> dict[str, np.ndarray]:
    """Return every target's penalty as the evaluation chose it: model -> (n_targets,), NaN where it was left out.

    Raises
    ------
    BraindashError
        Where the results do not hold the model, the layer, the subject, or any penalty.
    """
    from braindash.runs.results import open_results

    data = open_results(run.path)["encoding"].to_dataset()
    mine = np.flatnonzero(data["subject"].values == subject)
    lacking = [m for m in models if m not in data["model"].values]
    if lacking or layer not in data["layer"].values or not mine.size or "alpha" not in data:
        raise BraindashError(
            f"The results of run {run.id} hold no fits of layer {layer} of {', '.join(lacking or models)} "
            f"to {subject}.",
            f"Evaluate it again: braindash evaluate {run.id}",
        )
    where = data["target_index"].values[mine].astype(int) if "target_index" in data.coords else np.arange(mine.size)
    out = {}
    for model in models:
        values = data["alpha"].sel(model=model, layer=layer).values[mine]
        out[model] = np.full(int(where.max()) + 1, np.nan)
        out[model][where] = values
    return out


def group_courses(
    refits: Mapping[str, Refit],
    penalties: Mapping[str, np.ndarray],
    responses: StandardResponses,
    groups: Mapping[str, np.ndarray],
) -> GroupCourses:
    """Return the courses of each group of targets in every test story, measured and as two models predict them.

    Parameters
    ----------
    refits : model -> Refit
        Two models at one layer, from `open_refit`; the gain is that of the second over the first.
    penalties : model -> (n_targets,)
        From `kept_penalties`. Targets without one, in either model, are left out and counted.
    responses : StandardResponses
    groups : name -> indices of targets

    Raises
    ------
    BraindashError
        Where none of a group's targets was fitted.
    """
    from braindash.comparing.moments import error_gain
    from braindash.encoding.scoring import correlation

    before, after = refits
    fitted = np.isfinite(penalties[before]) & np.isfinite(penalties[after])
    members = {name: np.asarray(index, dtype=np.intp) for name, index in groups.items()}
    whole = {name: index[fitted[index]] for name, index in members.items()}
    for name, index in whole.items():
        if not len(index):
            raise BraindashError(
                f"All {len(members[name])} targets of {name} were left out of this run: they have no fit.",
                "Choose another region or target.",
            )
    used = thinned(whole, int(MOST_OPERATIONS / sum(2.0 * f.rows.size for f in refits.values())))
    columns = np.unique(np.concatenate(list(used.values())))
    places = [np.searchsorted(columns, index) for index in used.values()]
    train = np.concatenate([responses.story(s, columns) for s in responses.train])
    predicted = {m: refit.predict(train, penalties[m][columns]) for m, refit in refits.items()}

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([values[..., at].mean(axis=-1, dtype=np.float64) for at in places], axis=-1)

    def mean_r(y: np.ndarray, p: np.ndarray) -> np.ndarray:
        r = correlation(y, p)
        known = [r[at][np.isfinite(r[at])] for at in places]
        return np.array([k.mean() if len(k) else np.nan for k in known])

    stories = {}
    for s in responses.test:
        y = responses.story(s, columns)
        two = {m: predicted[m][s] for m in refits}
        stories[s] = GroupCourse(
            s,
            np.asarray(responses.study.row_times(s, responses.subject), dtype=np.float64),
            mean(y),
            {m: mean(p) for m, p in two.items()},
            mean(error_gain(y, two[before], two[after])),
            {m: mean_r(y, p) for m, p in two.items()},
        )
    n_fitted = np.array([len(i) for i in whole.values()])
    return GroupCourses(
        tuple(used),
        np.array([len(i) for i in used.values()]),
        n_fitted,
        np.array([len(i) for i in members.values()]) - n_fitted,
        stories,
    )


def thinned(groups: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    """Return groups of which large ones are taken evenly, so that all together have about ``most`` targets.

    A group keeps at least `LEAST_TARGETS`, and nothing is taken from any where all fit.

    Parameters
    ----------
    groups : name -> indices of targets
    """
    if not groups or len(np.unique(np.concatenate(list(groups.values())))) <= most:
        return dict(groups)
    each = max(LEAST_TARGETS, most // len(groups))
    return {
        name: index if len(index) <= each else index[np.linspace(0, len(index) - 1, each).astype(np.intp)]
        for name, index in groups.items()
    }
