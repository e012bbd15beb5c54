"""The Explorer page: one story, what was heard, what was measured, and what two models predict of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import address, explorer_data, explorer_stage, links, names, notices, readers, tables
from braindash.ui.chosen import compared_model
from braindash.ui.explorer_data import TARGET, Choice
from braindash.ui.glossary_help import explain
from braindash.ui.layout import CORTEX
from braindash.ui.text import count, escape, number

if TYPE_CHECKING:
    import pandas as pd

    from braindash.runs.record import RunRow
    from braindash.runs.region_courses import GroupCourses
    from braindash.studies.base import Story
    from braindash.ui.readers import Results

NAMED = 500  # targets that are chosen by name; more are chosen by number


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
    sound = explorer_stage.heard(choice, story)
    explorer_stage.stage(choice, story, sound, group, target, courses, tuple(_regions(results)))
    explorer_stage.explained(choice)
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
    from braindash.runs.results import ATTRS, RESULTS

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
        model = compared_model(
            tuned, "The brain-tuned model, or one of its controls: the same tuning without what the responses say."
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
        address.write(**{explorer_stage.MOMENT: None})  # it was a second of another story
    st.session_state["explorer_story"] = story
    choice = Choice(
        str(folder),
        readers.mark(folder / RESULTS / ATTRS),
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
        help="The mean over a region's targets, or one target: a voxel, vertex, parcel or electrode; at first, of "
        "the tenth predicted best, the one whose r rose most.",
    )
    if group != TARGET:
        address.write(target=None)
        return group, None
    start = asked if asked is not None else _most_gaining(row, model, layer, subject)
    if len(targets) <= NAMED:
        chosen = links.select(
            "target", "Target", [str(i) for i in range(len(targets))], default=str(start),
            names=lambda i: _target_name(targets, int(i)), always=True,
        )  # fmt: skip
        return group, int(chosen)
    key = "_target_number"
    set_now = links.hold(key, start, len(targets))
    st.number_input(
        "Target", 0, len(targets) - 1, "min" if set_now else start, key=key, on_change=_publish_target, width=140,
        help=f"A column of the responses, 0 to {len(targets) - 1:,}. A click on a map of the Cortex page tells it.",
    )  # fmt: skip
    target = int(st.session_state[key])
    address.write(target=str(target))
    st.text(_target_name(targets, target))
    return group, target


def _publish_target() -> None:
    address.write(target=str(st.session_state["_target_number"]))


def _target_asked(n_targets: int) -> int | None:
    try:
        target = int(str(st.query_params.get("target")))
    except ValueError:
        return None
    return target if 0 <= target < n_targets else None


def _most_gaining(row: RunRow, model: str, layer: int, subject: str) -> int:
    """Return the target whose r rose most at this layer, of the tenth that either model predicts best."""
    import numpy as np

    try:
        run = readers.store().get(row.id)
        before, after = (readers.target_values(run, m, layer, subject, "r") for m in ("pretrained", model))
    except (BraindashError, ValueError):
        return 0
    better = np.fmax(before, after)
    if not np.isfinite(better).any():
        return 0
    well = better >= np.nanquantile(better, 0.9)  # a badly predicted target rises by chance
    return int(np.nanargmax(np.where(well, after - before, -np.inf)))


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
    st.markdown(
        f"##### r in this story\\: {escape(names.the_model('pretrained'))} {number(before, 3)}, "
        f"{escape(names.the_model(choice.model))} {number(after, 3)}, "
        f"difference {number(after - before, 3, signed=True)}",
        help=explain("r"),
    )
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
