"""The Explorer page: one story, what was heard, what was measured, and what two models predict of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import explorer_data, links, names, notices, readers, tables
from braindash.ui.explorer_data import TARGET, Choice
from braindash.ui.glossary_help import explain
from braindash.ui.layout import CORTEX
from braindash.ui.text import count, escape, number

if TYPE_CHECKING:
    import pandas as pd

    from braindash.runs.record import RunRow
    from braindash.runs.region_courses import GroupCourses
    from braindash.studies.base import Story
    from braindash.ui.explorer_data import Timing
    from braindash.ui.readers import Results
    from braindash.ui.timeline import MomentRow, Rows, Sound

MOMENT = "moment"  # in the address: the second where the cursor stands
NAMED = 500  # targets that are chosen by name; more are chosen by number
REGIONS_SAID = 3


def page(row: RunRow, results: Results) -> None:
    """Draw the page for one run."""
    facts = readers.study_facts(row.study)
    if facts.problem:
        st.info(f"The study cannot be opened\\: {escape(facts.problem)}", icon=":material/info:")
        return
    chosen = _choices(row, results)
    if chosen is None:
        return
    choice, story, group, target = chosen
    courses = _courses(choice, results, group, target)
    if courses is not None:
        _scores(choice, courses, story, group, results)
    _stage(choice, story, group, target, courses, tuple(_regions(results)))
    _explained(choice)
    if courses is not None:
        _offer(choice, courses, story, group, target, results)
    if courses is not None and facts.has_cortex:
        where = {"run": row.id, "map_subject": choice.subject, "layer": str(choice.layer), "model": choice.model}
        where |= {"target": str(target)} if target is not None else {}
        label = "See this target on the Cortex page" if target is not None else "See this layer on the Cortex page"
        st.page_link(CORTEX.path, label=label, icon=CORTEX.icon, query_params=where)


# --- choices -------------------------------------------------------------------------------------


def _choices(row: RunRow, results: Results) -> tuple[Choice, Story, str, int | None] | None:
    """Draw the page's choices; None, and why, where there is nothing to choose."""
    from braindash.runs.results import RESULTS, WHOLE

    folder = readers.home().runs / row.id
    study = readers.study(row.study)
    tuned = [m for m in results.models if m != "pretrained"]
    subjects = [s for s in results.subjects if s in study.subjects]
    if not tuned or not subjects or "pretrained" not in results.models:
        st.info(
            "This page compares the pretrained model with a tuned one on subjects of the study, and this run has "
            f"not both. To evaluate it again\\: `braindash evaluate {row.id}`",
            icon=":material/info:",
        )
        return None
    try:
        layers = readers.result_layers(folder)
    except BraindashError as error:
        notices.mistake(error)
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        model = links.select(
            "model",
            "Compared with pretrained",
            tuned,
            names=names.model,
            kind="segments" if len(tuned) <= 3 else "select",
            help="The brain-tuned model, or one of its controls: the same tuning without what the responses say.",
        )
        subject = links.select(
            "subject", "Subject", subjects, kind="segments" if len(subjects) <= 4 else "select", always=True
        )
        layer = st.slider(
            "Layer",
            layers[0],
            max(layers[-1], layers[0] + 1),
            value=layers[-1],
            key="layer",
            bind="query-params",
            width=260,
            help=f"0 is the front end, {layers[-1]} the last layer.",
        )
    stories = study.stories_of("test", subject)
    if not stories:
        st.info(f"{escape(subject)} heard none of the study's test stories.", icon=":material/info:")
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        story = links.select("story", "Test story", stories, always=True, help=explain("test_stories"))
        group, target = _of(row, results, subject, model, layer)
    before = st.session_state.get("explorer_story", story)
    if before != story:
        st.query_params.pop(MOMENT, None)  # it was a second of another story
    st.session_state["explorer_story"] = story
    choice = Choice(
        str(folder),
        readers.mark(folder / RESULTS / WHOLE),
        row.study,
        readers.study_mark(row.study),
        model,
        layer if layer in layers else layers[-1],
        subject,
    )
    return choice, study.story(story), group, target


def _regions(results: Results) -> list[str]:
    """Return the regions that can be chosen: named groups, and single parcels where there are few."""
    return tables.map_regions(results)[0] or list(results.regions)


def _of(row: RunRow, results: Results, subject: str, model: str, layer: int) -> tuple[str, int | None]:
    """Draw the choice of a region or one target; return the region's name or `TARGET`, and the target."""
    targets = readers.study(row.study).targets(subject)
    summary = results.records.get("summary") or {}
    regions = [
        roi
        for roi in _regions(results)
        if roi in explorer_data.members(row.study, readers.study_mark(row.study), subject, tuple(_regions(results)))
    ]
    asked = _target_asked(len(targets))
    main = str(summary.get("region")) if summary.get("region") in regions else (regions or [TARGET])[0]
    group = links.select(
        "region",
        "Responses of",
        [*regions, TARGET],
        default=TARGET if asked is not None else main,
        names=lambda roi: "One target …" if roi == TARGET else results.title(roi),
        always=True,
        help="The mean over a region's targets, or one target: a voxel, vertex, parcel or electrode; at first the one "
        "whose r rose most.",
    )
    if group != TARGET:
        st.query_params.pop("target", None)
        return group, None
    start = asked if asked is not None else _most_gaining(row, model, layer, subject)
    if len(targets) <= NAMED:
        chosen = links.select(
            "target", "Target", [str(i) for i in range(len(targets))], default=str(start),
            names=lambda i: _target_name(targets, int(i)), always=True,
        )  # fmt: skip
        return group, int(chosen)
    key = "_target_number"
    st.session_state[key] = start
    st.number_input(
        "Target", 0, len(targets) - 1, key=key, on_change=_publish_target, width=140,
        help=f"A column of the responses, 0 to {len(targets) - 1:,}. A click on a map of the Cortex page tells it.",
    )  # fmt: skip
    target = int(st.session_state[key])
    st.query_params["target"] = str(target)
    st.text(_target_name(targets, target))
    return group, target


def _publish_target() -> None:
    st.query_params["target"] = str(st.session_state["_target_number"])


def _target_asked(n_targets: int) -> int | None:
    try:
        target = int(str(st.query_params.get("target")))
    except ValueError:
        return None
    return target if 0 <= target < n_targets else None


def _most_gaining(row: RunRow, model: str, layer: int, subject: str) -> int:
    """Return the target whose r rose most at this layer, over all test stories."""
    import numpy as np

    try:
        run = readers.store().get(row.id)
        before, after = (readers.target_values(run, m, layer, subject, "r") for m in ("pretrained", model))
    except (BraindashError, ValueError):
        return 0
    rise = after - before
    return int(np.nanargmax(rise)) if np.isfinite(rise).any() else 0


def _target_name(targets: pd.DataFrame, target: int) -> str:
    """Return what a target is called, and where it lies."""
    one = targets.iloc[target]
    side = {"L": "left", "R": "right"}.get(str(one.get("hemi") or "")[:1], "")
    said = [str(one.get("name") or "") or f"Target {target}", side, str(one.get("roi") or "")]
    return ", ".join(dict.fromkeys(part for part in said if part))


# --- numbers -------------------------------------------------------------------------------------


def _courses(choice: Choice, results: Results, group: str, target: int | None) -> GroupCourses | None:
    """Return the courses, fitting first what is not kept; None, and why, where they cannot be had."""
    try:
        for i, model in enumerate(("pretrained", choice.model)):
            with st.spinner(f"Step {i + 1} of 3: preparing the fit of {names.the_model(model)} …", show_time=True):
                explorer_data.refit(
                    choice.run_path, choice.as_of, choice.study_as_of, model, choice.layer, choice.subject
                )
        with st.spinner("Step 3 of 3: reading responses and predicting …", show_time=True):
            if target is not None:
                return explorer_data.target_courses(choice, target)
            found = explorer_data.region_courses(choice, tuple(_regions(results)))
            if group not in found.groups:
                raise BraindashError(
                    f"All targets of {results.title(group)} were left out of this run.", "Choose another region."
                )
            return found
    except BraindashError as error:
        notices.mistake(error)
        return None


def _scores(choice: Choice, courses: GroupCourses, story: Story, group: str, results: Results) -> None:
    """Show r of both models in this story, their difference, and what n is."""
    at, course = courses.groups.index(group), courses.stories[story.name]
    before, after = float(course.r["pretrained"][at]), float(course.r[choice.model][at])
    for column, (label, value, sign) in zip(
        st.columns(3, border=True),
        (
            (names.model("pretrained"), before, False),
            (names.model(choice.model), after, False),
            ("Difference", after - before, True),
        ),
        strict=True,
    ):
        column.metric(f"{escape(label)}, r in this story", number(value, 3, signed=sign), help=explain("r"))
    used, fitted, left_out = (int(n[at]) for n in (courses.n_used, courses.n_fitted, courses.n_excluded))
    said = [
        f"Layer {choice.layer}, subject {escape(choice.subject)}, n = {count(len(course.times), 'row')} of responses"
    ]
    if group != TARGET:
        thinned = f" (evenly taken from {fitted:,}, to answer in seconds)" if used < fitted else ""
        gone = f"; {left_out:,} more left out, they have no fit" if left_out else ""
        said.append(f"mean over {count(used, 'target')} of {escape(results.title(group))}{thinned}{gone}")
    n = explorer_data.presentations(choice.study, choice.study_as_of, story.name, choice.subject)
    said.append(f"measured: mean of {n} presentations" if n > 1 else "measured: one presentation")
    st.caption(
        ". ".join(f"{s[0].upper()}{s[1:]}" for s in said) + ". One story gives no interval; the Encoding page does."
    )


def _offer(
    choice: Choice, courses: GroupCourses, story: Story, group: str, target: int | None, results: Results
) -> None:
    """Offer the responses of this view as a picture that can be bookmarked."""
    from braindash.ui import charts

    whose = f"target {target}" if target is not None else results.title(group)
    at, course = courses.groups.index(group), courses.stories[story.name]
    r = {m: float(course.r[m][at]) for m in ("pretrained", choice.model)}
    used = int(courses.n_used[at])
    figure = explorer_data.figure(choice, tuple(_regions(results)), story.name, group, target, charts.theme())
    charts.offer(
        charts.Shown(
            "explorer_story",
            f"{whose[0].upper()}{whose[1:]} of {choice.subject} over story {story.name}, layer {choice.layer}",
            alt=figure.layout.meta["alt"],
            n=f"n = {count(len(course.times), 'row')} of the responses, {count(used, 'target')}",
            statistics=f"r in this story: {number(r['pretrained'], 3)} pretrained, {number(r[choice.model], 3)} "
            f"{names.model(choice.model).lower()}; mean over targets. One story, no interval.",
            figure=figure,
        )
    )


# --- the timeline --------------------------------------------------------------------------------


@st.fragment
def _stage(
    choice: Choice,
    story: Story,
    group: str,
    target: int | None,
    courses: GroupCourses | None,
    regions: tuple[str, ...],
) -> None:
    """Draw the timeline; where the reader stops is written into the address."""
    from braindash.ui.timeline import timeline

    try:
        with st.spinner("Reading the sound …"):
            sound = explorer_data.sound(choice.study, story.name)
    except BraindashError as error:
        st.info(
            f"The story cannot be played\\: {escape(error.what)} {escape(error.remedy)}", icon=":material/volume_off:"
        )
        sound = explorer_data.silent(choice.study, story.name)
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
        st.query_params[MOMENT] = f"{stopped:.1f}"
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
    rows = Rows(course.times, course.measured[:, at], mine, (lines[0], lines[1]), when.tr, when.lag, limit)
    listed = [
        MomentRow(
            m.start,
            m.end,
            m.gain,
            " ".join(words_heard(story.words, m.start, m.end)),
            _gained_most(courses, gain[m.row], regions) if group != TARGET else "",
        )
        for m in explorer_data.moments(course.times, mine, when, sound.duration)
    ]
    return rows, listed


def _gained_most(courses: GroupCourses, gain: object, regions: tuple[str, ...]) -> str:
    """Name the regions with the greatest gain in one row, those that hold others left aside."""
    import numpy as np

    from braindash.encoding.regions import SYNONYMS, region_title

    whole = {"cortex", "left", "right", "language", "auditory_language", *SYNONYMS}
    values = {roi: float(np.asarray(gain)[i]) for i, roi in enumerate(courses.groups)}
    parts = {roi: v for roi, v in values.items() if roi in regions and v > explorer_data.SAME and roi not in whole}
    best = sorted(parts, key=lambda roi: -parts[roi])[:REGIONS_SAID]
    return ", ".join(f"{region_title(roi)} {number(parts[roi], 2, signed=True)}" for roi in best)


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
        f"other (z², weighted mean over {when.width} rows = {width:.3g} s); darkest at {number(rows.limit, 2)}. "
        f"A moment is {width:.3g} s of sound, {when.lag:.3g} s before the response that it explains. "
        + ("" if len(listed) == 10 else f"{count(len(listed), 'moment')} with a gain fit into this story. ")
        + "Moments are chosen for their gain\\: listen to them, do not test them."
    )


def _explained(choice: Choice) -> None:
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
