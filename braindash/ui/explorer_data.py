"""What the Explorer page shows of a story, kept by the files that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import readers
from braindash.ui.timeline import Sound

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go

    from braindash.comparing.moments import Moment
    from braindash.encoding.refit import Refit
    from braindash.figures.style import ThemeName
    from braindash.runs.region_courses import GroupCourses, StandardResponses

SAME = 1e-6  # squared z: a gain below it is rounding
TARGET = "target"  # the group's name where it is one target


@dataclass(frozen=True)
class Choice:
    """Whose responses are shown, and which two models predict them; hashable, so that fits are kept by it."""

    run_path: str
    as_of: tuple[int, int]
    study: str
    study_as_of: tuple[int, ...]
    model: str  # compared with the pretrained one
    layer: int
    subject: str


@dataclass(frozen=True)
class Timing:
    """How responses follow the sound.

    Attributes
    ----------
    tr, lag : seconds
        From row to row; the mean of the encoding's delays.
    first, last : seconds
        The shortest and the longest of the delays.
    width : rows that a moment is made over
    """

    tr: float
    lag: float
    first: float
    last: float
    width: int


# --- the story -----------------------------------------------------------------------------------


def sound(study_id: str, story: str) -> Sound:
    """Return a story's sound and words.

    Raises
    ------
    BraindashError
        Where the audio cannot be read; `silent` still gives the words.
    """
    told = readers.study(study_id).story(story)
    return _sound(str(readers.home().path), study_id, readers.study_mark(study_id), story, readers.mark(told.audio))


def silent(study_id: str, story: str) -> Sound:
    """Return a story without its sound."""
    from braindash.ui.timeline import pack_words

    told = readers.study(study_id).story(story)
    return Sound(f"{study_id}/{story}", told.duration, words=pack_words(told.words))


@st.cache_resource(max_entries=8, show_spinner=False)
def _sound(home_path: str, study_id: str, as_of: tuple[int, ...], story: str, audio: tuple[int, int], /) -> Sound:
    import zlib
    from dataclasses import replace

    from braindash.figures.sound import RATE, n_columns, outline, spectrogram
    from braindash.studies.playing import MIME, playable

    samples = readers.study(study_id).audio(story)
    n = n_columns(len(samples))
    spectrum = spectrogram(samples, n)
    return replace(
        silent(study_id, story),
        duration=len(samples) / RATE,
        audio=playable(samples),
        kind=MIME,
        wave=zlib.compress(outline(samples, n).tobytes(), 6),
        spectrum=zlib.compress(spectrum.levels.tobytes(), 6),
        columns=n,
        mels=len(spectrum.levels),
        ticks=spectrum.ticks,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def presentations(study_id: str, as_of: tuple[int, ...], story: str, subject: str, /) -> int:
    """Return over how many presentations of a story the measured response is the mean."""
    return readers.study(study_id).n_repeats(story, subject)


# --- responses -----------------------------------------------------------------------------------


def timing(choice: Choice) -> Timing:
    """Return how a run's responses follow the sound."""
    return _timing(choice.run_path, choice.study, choice.study_as_of)


@st.cache_data(max_entries=64, show_spinner=False)
def _timing(run_path: str, study_id: str, study_as_of: tuple[int, ...], /) -> Timing:
    from braindash.comparing.moments import lag_seconds, window_rows
    from braindash.features.lags import for_signal
    from braindash.runs.run import Run

    study = readers.study(study_id)
    delays = for_signal(Run(Path(run_path)).config.encoding, study.signal, study.tr).delays
    return Timing(
        study.tr, lag_seconds(delays, study.tr), min(delays) * study.tr, max(delays) * study.tr, window_rows(study.tr)
    )


@st.cache_data(max_entries=16, show_spinner=False)
def members(study_id: str, as_of: tuple[int, ...], subject: str, regions: tuple[str, ...], /) -> dict[str, np.ndarray]:
    """Return the targets of every region that the subject has: name -> indices."""
    import numpy as np

    from braindash.encoding.regions import region_mask

    targets = readers.study(study_id).targets(subject)
    out = {}
    for roi in regions:
        try:
            out[roi] = np.flatnonzero(region_mask(targets, roi))
        except BraindashError:  # this subject has none of it
            continue
    return out


@st.cache_resource(max_entries=6, show_spinner=False)
def refit(
    run_path: str, as_of: tuple[int, int], study_as_of: tuple[int, ...], model: str, layer: int, subject: str, /
) -> Refit:
    """Return one layer of one model, decomposed: some 0.1 GB for a LeBel subject, so few are kept."""
    from braindash.runs.region_courses import open_refit
    from braindash.runs.run import Run

    return open_refit(Run(Path(run_path)), model, layer, subject)


@st.cache_resource(max_entries=2, show_spinner=False)
def _responses(study_id: str, as_of: tuple[int, ...], subject: str, /) -> StandardResponses:
    from braindash.runs.region_courses import StandardResponses

    return StandardResponses(readers.study(study_id), subject)


@st.cache_data(max_entries=32, show_spinner=False)
def _penalties(choice: Choice, /) -> dict[str, np.ndarray]:
    from braindash.runs.region_courses import kept_penalties
    from braindash.runs.run import Run

    return kept_penalties(Run(Path(choice.run_path)), ["pretrained", choice.model], choice.layer, choice.subject)


def _refits(choice: Choice) -> dict[str, Refit]:
    return {
        m: refit(choice.run_path, choice.as_of, choice.study_as_of, m, choice.layer, choice.subject)
        for m in ("pretrained", choice.model)
    }


@st.cache_resource(max_entries=16, show_spinner=False)
def region_courses(choice: Choice, regions: tuple[str, ...], /) -> GroupCourses:
    """Return the courses of all regions of a subject in all its test stories, of those that have a fit."""
    import numpy as np

    from braindash.runs.region_courses import group_courses

    penalties = _penalties(choice)
    fitted = np.logical_and.reduce([np.isfinite(p) for p in penalties.values()])
    groups = members(choice.study, choice.study_as_of, choice.subject, regions)
    groups = {name: index for name, index in groups.items() if fitted[index].any()}
    if not groups:
        raise BraindashError(
            f"No region of subject {choice.subject} has a target with a fit.", "Choose one target instead."
        )
    return group_courses(
        _refits(choice), penalties, _responses(choice.study, choice.study_as_of, choice.subject), groups
    )


@st.cache_resource(max_entries=128, show_spinner=False)
def target_courses(choice: Choice, target: int, /) -> GroupCourses:
    """Return the courses of one target in all test stories, as a group of its own."""
    import numpy as np

    from braindash.runs.region_courses import group_courses

    penalties = _penalties(choice)
    if not all(target < len(p) and np.isfinite(p[target]) for p in penalties.values()):
        raise BraindashError(
            f"Target {target} was left out of this run: it is not finite, or does not vary, in some story.",
            "Choose another target.",
        )
    responses = _responses(choice.study, choice.study_as_of, choice.subject)
    return group_courses(_refits(choice), penalties, responses, {TARGET: np.array([target])})


def smoothed_gain(courses: GroupCourses, story: str, width: int) -> np.ndarray:
    """Return every group's gain in a story, smoothed: (n_trs, n_groups)."""
    from braindash.comparing.moments import smooth

    return smooth(courses.stories[story].gain, width)


@st.cache_resource(max_entries=32, show_spinner=False)
def figure(
    choice: Choice, regions: tuple[str, ...], story: str, group: str, target: int | None, theme: ThemeName, /
) -> go.Figure:
    """Return the responses to a story as a figure of its own, for slides."""
    from braindash.figures.courses import response_courses

    courses = region_courses(choice, regions) if target is None else target_courses(choice, target)
    at, course, when = courses.groups.index(group), courses.stories[story], timing(choice)
    return response_courses(
        course.times,
        course.measured[:, at],
        {m: course.predicted[m][:, at] for m in ("pretrained", choice.model)},
        {m: float(course.r[m][at]) for m in ("pretrained", choice.model)},
        story=story,
        gain=smoothed_gain(courses, story, when.width)[:, at],
        theme=theme,
    )


def moments(times: np.ndarray, gain: np.ndarray, when: Timing, duration: float) -> list[Moment]:
    """Return the ten moments of greatest gain of one group: see `braindash.comparing.moments.find_moments`."""
    import numpy as np

    from braindash.comparing.moments import find_moments

    real = np.where(gain > SAME, gain, 0.0)
    return find_moments(times, real, tr=when.tr, width=when.width, lag=when.lag, duration=duration)
