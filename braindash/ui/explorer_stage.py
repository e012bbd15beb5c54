"""The timeline of the Explorer page: what is sent to the browser, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import address, explorer_data, names
from braindash.ui.barrier import guarded
from braindash.ui.explorer_data import TARGET, Choice
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, escape, number

if TYPE_CHECKING:
    from braindash.runs.region_courses import GroupCourses
    from braindash.studies.base import Story
    from braindash.ui.explorer_data import Timing
    from braindash.ui.timeline import MomentRow, Rows, Sound

MOMENT = "moment"  # in the address: the second where the cursor stands
REGIONS_SAID = 3


def heard(choice: Choice, story: Story) -> Sound:
    """Return the story's sound; where it cannot be read, say why and return its words alone."""
    try:
        with st.spinner("Reading the sound …"):
            return explorer_data.sound(choice.study, story.name)
    except BraindashError as error:
        what = f"The story cannot be played\\: {escape(error.what)} {escape(error.remedy)}"
        st.info(what, icon=":material/volume_off:")
        return explorer_data.silent(choice.study, story.name)


@st.fragment
@guarded
def stage(
    choice: Choice,
    story: Story,
    sound: Sound,
    group: str,
    target: int | None,
    courses: GroupCourses | None,
    regions: tuple[str, ...],
) -> None:
    """Draw the timeline; where the reader stops is written into the address."""
    from braindash.ui.timeline import timeline

    when = explorer_data.timing(choice)
    shift = residuals = False
    if courses is not None:
        with st.container(horizontal=True, gap="medium"):
            shift = st.toggle(
                f"Responses moved {when.lag:g} s earlier, to their sound",
                value=True,
                key="moved",
                bind="query-params",
                help="A response follows its sound. The encoding uses the sound from "
                f"{when.first:g} to {when.last:g} s before, {when.lag:g} s on average.\n\n{explain('fir_delays')}",
            )
            residuals = st.toggle(
                "Residuals",
                key="residuals",
                bind="query-params",
                help="Measured minus predicted: nearer to 0 is better.",
            )
    rows, listed = _rows(choice, story, sound, group, courses, when, regions)
    asked = _second_asked(sound.duration)
    at = asked if asked is not None else (listed[0].start if listed else 0.0)
    late = f", drawn {when.lag:g} s earlier" if shift else ""
    stopped = timeline(
        "explorer",
        sound,
        rows,
        listed,
        at=at,
        shift=shift,
        residuals=residuals,
        alt=_alt(story, target, rows),
        labels=(f"Response (z){late}", f"Measured − predicted (z){late}"),
    )
    if stopped is not None:
        address.write(**{MOMENT: f"{stopped:.1f}"})
    if rows is not None:
        _shading_said(rows, listed, when)


def _second_asked(duration: float) -> float | None:
    try:
        second = float(str(st.query_params.get(MOMENT)))
    except ValueError:
        return None
    return second if 0 <= second <= duration else None


def _rows(
    choice: Choice,
    story: Story,
    sound: Sound,
    group: str,
    courses: GroupCourses | None,
    when: Timing,
    regions: tuple[str, ...],
) -> tuple[Rows | None, list[MomentRow]]:
    """Return what is drawn of the responses, and the list of moments."""
    import numpy as np

    from braindash.comparing.moments import words_heard
    from braindash.figures.style import model_style
    from braindash.ui.timeline import Line, MomentRow, Rows

    if courses is None:
        return None, []
    at, course = courses.groups.index(group), courses.stories[story.name]
    gain = explorer_data.smoothed_gain(courses, story.name, when.width)
    mine = gain[:, at]
    lines = []
    for model in ("pretrained", choice.model):
        style = model_style(model)
        lines.append(
            Line(names.model(model), style.light, style.dark, style.dash, style.width, course.predicted[model][:, at])
        )
    limit = max(float(np.nanmax(np.abs(mine), initial=0.0)), explorer_data.SAME)
    digits = 2 if limit >= 0.2 else 3
    rows = Rows(course.times, course.measured[:, at], mine, (lines[0], lines[1]), when.tr, when.lag, limit, digits)
    listed = [
        MomentRow(
            m.start,
            m.end,
            m.gain,
            " ".join(words_heard(story.words, m.start, m.end)),
            _gained_most(courses, gain[m.row], regions, digits) if group != TARGET else "",
        )
        for m in explorer_data.moments(course.times, mine, when, sound.duration)
    ]
    return rows, listed


def _gained_most(courses: GroupCourses, gain: object, regions: tuple[str, ...], digits: int) -> str:
    """Name the regions with the greatest gain in one row, those that hold others left aside."""
    import numpy as np

    from braindash.encoding.regions import SYNONYMS, region_title

    whole = {"cortex", "left", "right", "language", "auditory_language", *SYNONYMS}
    values = {roi: float(np.asarray(gain)[i]) for i, roi in enumerate(courses.groups)}
    parts = {roi: v for roi, v in values.items() if roi in regions and v > explorer_data.SAME and roi not in whole}
    best = sorted(parts, key=lambda roi: -parts[roi])[:REGIONS_SAID]
    return ", ".join(f"{region_title(roi)} {number(parts[roi], digits, signed=True)}" for roi in best)


def _alt(story: Story, target: int | None, rows: Rows | None) -> str:
    said = f"Timeline of the story {story.name}, {story.duration:.0f} s: sound, spectrum and words"
    if rows is None:
        return f"{said}."
    whose = "a region" if target is None else f"target {target}"
    return f"{said}, measured response of {whose} and what {' and '.join(x.title for x in rows.lines)} predict."


def _shading_said(rows: Rows, listed: list[MomentRow], when: Timing) -> None:
    """Say in words what is shaded and what is played."""
    width = when.width * when.tr
    if rows.limit <= explorer_data.SAME:
        st.info(
            "Both models predict the same here: nothing up to this layer was tuned. Choose a later layer.",
            icon=":material/info:",
        )
        return
    st.caption(
        f"Shading\\: how much nearer one prediction is, as the squared error of the pretrained model minus that of the "
        f"other (z², weighted mean over {when.width} rows = {width:.3g} s); darkest at "
        f"{number(rows.limit, rows.digits)}. A moment is {width:.3g} s of sound, {when.lag:.3g} s before the response "
        "that it explains. "
        + ("" if len(listed) == 10 else f"{count(len(listed), 'moment')} with a gain fit into this story. ")
        + "Moments are chosen for their gain\\: listen to them, do not test them."
    )


def explained(choice: Choice) -> None:
    when = explorer_data.timing(choice)
    with st.expander("How to read the timeline", icon=":material/help:"):
        st.markdown(
            "From top to bottom\\: the whole story with the part that is shown below; the sound; its spectrum (64 mel "
            "bands, 50 Hz to 8 kHz, 80 dB from white to black, reversed on a dark page); the words; the moments of "
            "greatest gain, numbered; the responses. Where words are too close, zoom in."
        )
        st.markdown(
            f"**Sound and response.** Responses are {when.tr:g} s from row to row and follow the sound. The encoding "
            f"predicts a row from the sound {when.first:g} to {when.last:g} s before it; the mean of these delays, "
            f"{when.lag:g} s, is the lag used here. The button of a moment plays the sound that lies this lag before "
            "the response."
        )
        st.markdown(
            "**Lines.** Responses are z-scored within the story. Of a region the lines are the mean course of its "
            "targets; r and the shading are means over the targets one by one, because targets that respond "
            "differently cancel out in a mean course. Predictions vary less than what was measured: noise cannot be "
            "predicted."
        )
