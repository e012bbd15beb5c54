"""The same training, without what the responses say about the stories.

A control differs from the real run in one thing and in nothing else: the responses, the
weights it starts from, or what is trained. Stories, steps, seeds, schedule and the rule
that keeps an epoch are those of the real run. What replaces the responses replaces those of
tuning **and** validation stories: otherwise the epoch and early stopping would be chosen on
real responses and a little of what they say would leak into the control.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from braindash.config import CONTROL_NAMES, TuneConfig
from braindash.errors import BraindashError, closest
from braindash.tuning.surrogates import FEWEST_ROWS, block_order, randomise_phases, seeded, story_order, zscored

if TYPE_CHECKING:
    from braindash.speech.catalogue import ModelInfo
    from braindash.studies.base import Study


SELF_SUPERVISED = ("wav2vec2",)  # families whose pretraining loss is known here


class Source(Protocol):
    """What a control reads: the real responses of the stories tuned and chosen on."""

    @property
    def config(self) -> TuneConfig: ...
    @property
    def subjects(self) -> tuple[str, ...]: ...
    @property
    def tune(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def validation(self) -> Mapping[str, Sequence[str]]: ...
    def times(self, story: str, subject: str) -> np.ndarray: ...
    def real_responses(self, story: str, subject: str) -> np.ndarray: ...


@dataclass(frozen=True)
class Facts:
    """What a control must know of the speech model; ``pretraining_head`` is None where it is not known."""

    family: str
    pretraining_head: bool | None = None


def real(source: Source, story: str, subject: str) -> np.ndarray:
    """Return the responses as they are."""
    return source.real_responses(story, subject)


def nothing_missing(source: Source, facts: Facts) -> None:
    """Raise nothing: the control can always be made."""


@dataclass(frozen=True)
class Control:
    """What a control changes.

    Attributes
    ----------
    responses : callable
        ``responses(source, story, subject) -> (n_trs, n_targets)`` float32, z-scored: what is
        used in place of the responses of a tuning or validation story.
    whole : callable, optional
        ``whole(source, subject)`` returns all stories' at once where that spares reading.
    check : callable
        ``check(source, facts)`` raises a BraindashError, with a remedy, where the control cannot be made.
    recipe : str
        Recipe used in place of the run's own; "": the run's.
    random_weights : bool
        Whether the speech model starts from random weights.
    stimulus_only : bool
        Whether the pretraining goes on with the stories' audio in place of tuning on responses.
    """

    responses: Callable[[Source, str, str], np.ndarray] = real
    whole: Callable[[Source, str], dict[str, np.ndarray]] | None = None
    check: Callable[[Source, Facts], None] = nothing_missing
    recipe: str = ""
    random_weights: bool = False
    stimulus_only: bool = False


def block_permuted(source: Source, story: str, subject: str) -> np.ndarray:
    """Return the story's rows in shuffled blocks of ``permute_block`` TRs.

    All targets (and all subjects with as many rows) share the permutation, so
    the pattern over targets within a TR and the autocorrelation within a block
    stay; what goes is the pairing with the story. No block stays where it was.
    """
    Y = source.real_responses(story, subject)
    return Y[block_order(len(Y), source.config.permute_block, source.config.seed, story)]


def story_permuted(source: Source, story: str, subject: str) -> np.ndarray:
    """Return rows of other stories in place of the story's own: blocks of ``permute_block`` TRs change stories.

    Tuning stories exchange blocks among themselves, validation stories among themselves; a
    single validation story gets blocks of the tuning stories. All targets, and all subjects
    with the same stories and rows, share the permutation. The rows that a story gets are
    z-scored again.
    """
    return gather(source, subject, [story])[story]


def all_story_permuted(source: Source, subject: str) -> dict[str, np.ndarray]:
    """Return `story_permuted` of every story of a subject, each read once."""
    return gather(source, subject, [*source.tune[subject], *source.validation[subject]])


def gather(source: Source, subject: str, stories: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what `story_permuted` gives to some stories; every story whose rows they get is read once."""
    wanted: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    out: dict[str, np.ndarray] = {}
    for story in stories:
        origins, order = source_rows(source, story, subject)
        starts = np.concatenate([[0], np.cumsum([len(source.times(s, subject)) for s in origins])])
        owner = np.searchsorted(starts, order, side="right") - 1
        for k in np.unique(owner):
            to = np.flatnonzero(owner == k)
            wanted.setdefault(origins[k], []).append((story, to, order[to] - starts[k]))
    for origin, moves in wanted.items():
        Y = source.real_responses(origin, subject)
        for story, to, rows in moves:
            if story not in out:
                out[story] = np.empty((len(source.times(story, subject)), Y.shape[1]), dtype=np.float32)
            out[story][to] = Y[rows]
    for story in stories:
        out[story] = zscored(out[story], f"the rows of other stories that {story!r} gets of subject {subject!r}")
    return out


def source_rows(source: Source, story: str, subject: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the stories that a story's responses come from, and the rows of these joined: (n_trs,) int64.

    Raises
    ------
    BraindashError
        If there is only one tuning story, or no permutation moves every row.
    """
    tune, validation = tuple(source.tune[subject]), tuple(source.validation[subject])
    n = {s: len(source.times(s, subject)) for s in (*tune, *validation)}
    block, seed = source.config.permute_block, source.config.seed
    if len(tune) < 2:
        raise BraindashError(
            f"Control 'story-permuted' needs two tuning stories or more; subject {subject!r} heard {len(tune)}.",
            "Use the control block-permuted, which shuffles blocks within a story.",
        )
    if story in tune or len(validation) > 1:
        part = tune if story in tune else validation
        order = story_order([n[s] for s in part], block, seed, *part)
        first = sum(n[s] for s in part[: part.index(story)])
        return part, order[first : first + n[story]]
    if sum(n[s] for s in tune) < n[story]:
        raise BraindashError(
            f"Control 'story-permuted' fills validation story {story!r} ({n[story]} TRs) with blocks of the tuning "
            f"stories, but subject {subject!r} has only {sum(n[s] for s in tune)} TRs of these.",
            "Use the control block-permuted, or a study with two validation stories.",
        )
    order = story_order([n[s] for s in tune], block, seed, story, *tune)
    return tune, order[: n[story]]


def random_responses(source: Source, story: str, subject: str) -> np.ndarray:
    """Return noise that varies as slowly as the responses do: their phases randomised, seeded by story and subject.

    Every target keeps its power spectrum, so its temporal autocorrelation, and targets keep
    their correlations; nothing keeps its time.
    """
    Y = source.real_responses(story, subject)
    noise = randomise_phases(Y, seeded("random-responses", source.config.seed, story, subject))
    return zscored(noise, f"story {story!r} of subject {subject!r}")


def check_blocks(source: Source, facts: Facts) -> None:
    """Raise a BraindashError if a story is a single block."""
    for subject in source.subjects:
        for story in (*source.tune[subject], *source.validation[subject]):
            block_order(len(source.times(story, subject)), source.config.permute_block, source.config.seed, story)


def check_stories(source: Source, facts: Facts) -> None:
    """Raise a BraindashError if blocks cannot change stories."""
    for subject in source.subjects:
        for part in (source.tune[subject], source.validation[subject]):
            source_rows(source, part[0], subject)  # one of a part settles it for all


def check_lengths(source: Source, facts: Facts) -> None:
    """Raise a BraindashError if a story is too short for noise that differs from it."""
    for subject in source.subjects:
        for story in (*source.tune[subject], *source.validation[subject]):
            n = len(source.times(story, subject))
            if n < FEWEST_ROWS:
                raise BraindashError(
                    f"Control 'random-responses' needs {FEWEST_ROWS} TRs a story or more; story {story!r} of subject "
                    f"{subject!r} has {n}.",
                    "Leave the story out of the study, or use another control.",
                )


def check_stimulus(source: Source, facts: Facts) -> None:
    """Raise a BraindashError if the model's own pretraining cannot go on."""
    if facts.family not in SELF_SUPERVISED:
        raise BraindashError(
            f"Control 'stimulus-only' needs a speech model whose self-supervised pretraining can go on "
            f"({', '.join(SELF_SUPERVISED)}); {facts.family} is none.",
            "Use the control random-responses, or tune a wav2vec2 model.",
        )
    if facts.pretraining_head is False:
        raise BraindashError(
            "Control 'stimulus-only' needs the checkpoint's pretraining head (quantizer, project_hid, project_q, "
            "masked_spec_embed), which this one lacks.",
            "Use the checkpoint as it was before any fine-tuning, such as facebook/wav2vec2-base.",
        )
    if source.config.recipe == "head":
        raise BraindashError(
            "Control 'stimulus-only' trains the speech model, but the run's recipe is head.",
            "Use it with the recipe lora or full.",
        )


def check_recipe(source: Source, facts: Facts) -> None:
    """Raise a BraindashError if the run itself trains the read-out alone."""
    if source.config.recipe == "head":
        raise BraindashError(
            "Control 'head-only' is the run itself: its recipe is head.", "Leave the control out, or tune with lora."
        )


CONTROLS: dict[str, Control] = {}


def register(name: str, control: Control) -> None:
    """Add a control; raises ValueError if the name is taken, TypeError if it is not a `Control`."""
    if name in CONTROLS:
        raise ValueError(f"a control called {name!r} is registered already")
    if not isinstance(control, Control):
        raise TypeError(f"control {name!r} must be a Control, not {type(control).__name__}")
    CONTROLS[name] = control


register("none", Control())
register("block-permuted", Control(responses=block_permuted, check=check_blocks))
register("story-permuted", Control(responses=story_permuted, whole=all_story_permuted, check=check_stories))
register("random-responses", Control(responses=random_responses, check=check_lengths))
register("stimulus-only", Control(check=check_stimulus, stimulus_only=True))
register("random-model", Control(random_weights=True))
register("head-only", Control(check=check_recipe, recipe="head"))


def get_control(name: str) -> Control:
    """Return the control called ``name``; an unknown name is a BraindashError that offers the nearest."""
    if name not in CONTROLS:
        raise BraindashError(f"There is no control {name!r}.", closest(name, CONTROLS))
    return CONTROLS[name]


def refuse(study: Study, model: ModelInfo | str, config: TuneConfig) -> None:
    """Raise BraindashError, with what is missing and what to do, if the run's own control cannot be made.

    Parameters are those of `available`; no response and no weight is read.
    """
    facts, source = _read(study, model, config)
    get_control(config.control).check(source, facts)


def available(study: Study, model: ModelInfo | str, config: TuneConfig) -> tuple[tuple[str, ...], dict[str, str]]:
    """Say which controls a run can have, and why it cannot have the others.

    No response and no weight is read: row times, and what is known of the model.

    Parameters
    ----------
    study : Study
    model : ModelInfo or str
        From `braindash.speech.catalogue.describe`; or only the family's name ("wav2vec2"), when
        whether the checkpoint brings its pretraining head stays open until the run starts.
    config : TuneConfig
        Of the real run or of any of its controls; its own ``control`` does not matter.

    Returns
    -------
    names : tuple of str
        In the order of ``config.CONTROL_NAMES``; give each as ``control`` to the same configuration.
    reasons : dict of str
        Every other control, and why not: what is missing and what to do, in one or two sentences.

    Raises
    ------
    BraindashError, LeakageError
        Where the real run could not be made either (an unknown subject, no validation story).
    """
    facts, source = _read(study, model, config)
    names: list[str] = []
    reasons: dict[str, str] = {}
    for name in CONTROL_NAMES:
        try:
            get_control(name).check(source, facts)
        except BraindashError as error:
            reasons[name] = str(error)
        else:
            names.append(name)
    return tuple(names), reasons


def _read(study: Study, model: ModelInfo | str, config: TuneConfig) -> tuple[Facts, Source]:
    from braindash.features.lags import tuning_for_signal
    from braindash.tuning.data import TuningData

    facts = Facts(model) if isinstance(model, str) else Facts(model.family, model.pretraining_head)
    config = tuning_for_signal(config.model_copy(update={"control": "none"}), study.signal, study.tr)
    return facts, TuningData(study, config)
