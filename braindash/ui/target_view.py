"""What is known of the target that was clicked on a map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import cortex_canvas, kept, links, names, notices, readers
from braindash.ui.layout import EXPLORER
from braindash.ui.text import count, escape, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from braindash.runs.time_courses import TimeCourse
    from braindash.ui.map_values import View
    from braindash.ui.readers import Results


CLICK = "Click a map to see one target: what each layer of both models predicts of it."

NOWHERE = "No region"  # as of cortex_canvas.regions_of


def target_panel(view: View, results: Results, hint: str = CLICK, called: Sequence[str] = ()) -> None:
    """Show one target: its numbers at this layer, and its score over layers for both models.

    ``hint`` says how one is chosen; ``called`` are the targets' own names, where readers know them.
    """
    from braindash.figures import layer_curves
    from braindash.ui.charts import chart, theme

    regions, region_names = cortex_canvas.regions_of(view)
    target = cortex_canvas.selected(len(regions))
    if target is None:
        st.caption(hint)
        return
    where = region_names[int(regions[target])]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            who = called[target] if len(called) > target else f"Target {target}"
            who += "" if where == NOWHERE else f", {where}"
            st.markdown(f"**{escape(who)}**, {escape(view.subject)}")
            if st.button("Close", icon=":material/close:", type="tertiary", key="close_target"):
                cortex_canvas.forget(cortex_canvas.TARGET)
                st.rerun()
        curves = _profile(view, results, target)
        measure = view.measure
        if curves.empty and measure != "r":  # its noise ceiling is unknown or too low to divide by
            measure = "r"
            curves = _profile(replace(view, measure=measure), results, target)
        if curves.empty:
            st.info("This target was left out: it has no value in this run.", icon=":material/info:")
            return
        st.text(_numbers(view, target))
        chart(
            kept.figure(layer_curves, curves, y_label=names.MEASURES[measure], theme=theme(), columns=1),
            key="target_profile",
            title=f"Target {target} of {view.subject}: {names.MEASURES[measure]} over layers",
            n="n = 1 target",
        )
        _time_course(view, target)
        st.page_link(
            EXPLORER.path,
            label="Hear it in the Explorer",
            icon=EXPLORER.icon,
            query_params={
                "run": Path(view.run_path).name,
                "model": view.model,
                "subject": view.subject,
                "layer": str(view.layer),
                "region": "target",
                "target": str(target),
            },
        )


def _profile(view: View, results: Results, target: int) -> pd.DataFrame:
    """Return the target's score over layers, as `braindash.figures.layer_curves` takes it."""
    import pandas as pd

    rows = []
    for model in ("pretrained", view.model):
        for layer in results.layers:
            value = _of(view, model, layer, view.measure, target)
            rows.append({"model": model, "layer": layer, "roi": f"Target {target}", "value": value, "n": 1})
    return pd.DataFrame(rows).assign(low=float("nan"), high=float("nan")).dropna(subset=["value"])


def _numbers(view: View, target: int) -> str:
    """Say what is known of the target at the view's layer."""

    def at(quantity: str, model: str) -> float:
        if not readers.has_quantity(Path(view.run_path), quantity):
            return float("nan")
        return _of(view, model, view.layer, quantity, target)

    said = []
    for model in ("pretrained", view.model):
        r, normalised, q = at("r", model), at("r_norm", model), at("q", model)
        parts = [f"r {number(r)}"] if r == r else ["no value"]
        if normalised == normalised:
            parts += [f"{number(normalised)} of the noise ceiling", f"ceiling {number(r / normalised)}"]
        if q == q:
            parts.append(f"q {number(q)}")
        said.append(f"{names.model(model)}: {', '.join(parts)}.")
    q = at("q_difference", view.model)
    tail = f" Difference: q {number(q)}." if q == q else ""
    return f"Layer {view.layer}. " + " ".join(said) + tail


def _of(view: View, model: str, layer: int, quantity: str, target: int) -> float:
    from braindash.runs.run import Run

    values = readers.target_values(Run(Path(view.run_path)), model, layer, view.subject, quantity)
    return float(values[target]) if target < len(values) else float("nan")


def _time_course(view: View, target: int) -> None:
    """Offer the target's response over a test story, measured and as both models predict it."""
    asked = (view.run_path, view.subject, view.model, view.layer, target)
    if st.session_state.get("course_of") != asked:
        if st.button(
            "Show its time course",
            icon=":material/timeline:",
            key="show_course",
            help="Fits both models to this target again: seconds with small models, a minute with large ones.",
        ):
            st.session_state["course_of"] = asked
            st.rerun()
        return
    try:
        with st.spinner("Fitting both models to this target …"):
            courses = _courses(
                view.run_path, view.as_of, view.study_as_of, view.model, view.layer, view.subject, target
            )
    except BraindashError as error:
        notices.mistake(error)
        return
    from braindash.figures.courses import response_courses
    from braindash.ui.charts import chart, theme

    by_story = {course.story: course for course in courses}
    story = links.select("course_story", "Test story", list(by_story))
    course = by_story[story]
    chart(
        kept.figure(
            response_courses,
            course.times,
            course.measured[:, 0],
            {m: p[:, 0] for m, p in course.predicted.items()},
            {m: float(r[0]) for m, r in course.r.items()},
            story=story,
            theme=theme(),
        ),
        key="target_course",
        title=f"Target {target} of {view.subject} over story {story}, layer {view.layer}",
        n=f"n = {count(len(course.times), 'row')} of the responses",
    )
    st.caption(
        f"Layer {view.layer}. This story was not used to fit or to choose anything. r is that of this story alone; "
        f"n = {count(len(course.times), 'row')} of the responses."
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _courses(
    run_path: str,
    as_of: tuple[int, int],
    study_as_of: tuple[int, ...],
    model: str,
    layer: int,
    subject: str,
    target: int,
    /,
) -> list[TimeCourse]:
    from braindash.runs.run import Run
    from braindash.runs.time_courses import time_courses

    return time_courses(Run(Path(run_path)), ["pretrained", model], layer, subject, [target])
