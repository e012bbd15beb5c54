"""The maps of the Cortex page: pretrained, tuned, difference, on one scale."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import links, names, readers
from braindash.ui.map_values import Mask, View, Which, layer_arrays, passing, shown, values_of
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    from pathlib import Path

    from braindash.runs.record import RunRow
    from braindash.ui.readers import Results

MASKS: dict[Mask, str] = {"none": "All targets", "q": "q of r", "q_difference": "q of the difference"}
MASK_HELP = (
    "q is the p value of a block permutation, corrected over all targets of the subject and layer for the share of "
    "false discoveries. q of r: is a target predicted above chance by the model shown (in the map of the difference: "
    "by either model)? q of the difference: do the two models differ?"
)


def section(row: RunRow, results: Results, model: str, measure: str) -> None:
    """Draw the section for one run; where the study has no cortex map, say so."""
    facts = readers.study_facts(row.study)
    subjects = [s for s in results.subjects if s != names.SUBJECT_MEAN]
    if facts.problem or not facts.has_cortex:
        why = (
            f"The study cannot be opened\\: {escape(facts.problem)}"
            if facts.problem
            else "This study does not say where its targets lie on a cortex, so there is no map. "
            "The table and the curves of the Encoding page hold its numbers."
        )
        st.info(why, icon=":material/info:")
        return
    view = _controls(row, results, model, measure, [s for s in subjects if s in facts.subjects] or subjects)
    _maps(view, results)


def _controls(row: RunRow, results: Results, model: str, measure: str, subjects: list[str]) -> View:
    from braindash.runs.results import RESULTS, WHOLE

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        subject = links.select(
            "map_subject", "Subject of the maps", subjects, kind="segments" if len(subjects) <= 4 else "select"
        )
        layer = st.slider(
            "Layer of the maps",
            results.layers[0],
            results.layers[-1],
            value=results.last_layer,
            key="layer",
            bind="query-params",
            width=320,
            help=f"0 is the front end, {results.last_layer} the last layer.",
        )
        small = st.toggle("Small maps, side by side", key="side_by_side", bind="query-params")
        outlines = st.toggle("Region outlines", value=True, key="outlines", bind="query-params")
        labels = st.toggle(
            "Region names",
            value=True,
            key="labels",
            bind="query-params",
            disabled=not outlines or small,
            help="On small maps the names could not be read and are left out.",
        )
        fade = st.toggle(
            "Fade by accuracy",
            value=True,
            key="fade",
            bind="query-params",
            help="The worse a target is predicted, the more transparent it is.",
        )
    run = readers.store().get(row.id)
    mask, level, faint = _mask(run.path)
    return View(
        str(run.path),
        readers.mark(run.path / RESULTS / WHOLE),
        row.study,
        readers.study_mark(row.study),
        subject,
        model,
        layer if layer in results.layers else results.last_layer,
        measure,
        outlines,
        outlines and labels and not small,
        fade,
        mask,
        level,
        faint,
    )


def _mask(folder: Path) -> tuple[Mask, float, bool]:
    """Draw the choice of a significance mask; return it, the largest q kept, and whether the rest is faint."""
    offered: list[Mask] = [m for m in MASKS if m == "none" or readers.has_quantity(folder, m)]
    if len(offered) == 1:
        st.caption(
            f"This run was evaluated without permutation tests, so its maps cannot be masked by significance. "
            f"To add them\\: `braindash evaluate {folder.name}`"
        )
        return "none", 0.05, False
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        titles = {str(mask): title for mask, title in MASKS.items()}
        name = links.select(
            "mask", "Show only targets that pass", offered, names=titles.__getitem__, kind="segments", help=MASK_HELP
        )
        chosen = next(m for m in offered if m == name)
        off = chosen == "none"
        level = st.slider(
            "q at most", 0.005, 0.2, 0.05, 0.005, key="q", bind="query-params", format="%.3f", width=240, disabled=off
        )
        faint = st.toggle("Show the others faintly", key="faint", bind="query-params", disabled=off)
    return chosen, float(level), bool(faint and not off)


def _maps(view: View, results: Results) -> None:
    from braindash.ui import cortex_canvas

    titles: dict[Which, str] = {
        "pretrained": names.model("pretrained"),
        "tuned": names.model(view.model),
        "difference": f"Difference: {names.model(view.model)} − pretrained",
    }
    with st.spinner("Drawing the cortex. The first time takes some seconds more …"):
        cortex_canvas.draw(view, titles, bool(st.session_state.get("side_by_side")))
    cortex_canvas.target_panel(view, results)
    unit = names.MEASURES[view.measure]
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(
            f"Layer {view.layer}, {escape(view.subject)}, n = {count(shown(view), 'target')}. To keep a map\\:",
            width="content",
        )
        for which, title in titles.items():
            with st.popover(title.split(":")[0], icon=":material/download:"):
                _downloads(view, which, title, unit, results.caveats)
    if view.mask != "none":
        for which, title in titles.items():
            st.text(f"{title.split(':')[0]}: {passing_sentence(view, which)}")
    with st.expander("How to read the maps", icon=":material/help:"):
        st.markdown(
            "Left hemisphere on the left, flattened; grey: gyri (light) and sulci (dark) where no value is shown. The "
            "first two maps share one scale, the same for all layers. The difference is centred on zero. Values beyond "
            "the scale get the end colours. The cursor names the region and says what all maps show there, to the "
            "nearest 255th of the scale; arrow keys move it, a click or Enter opens the target."
        )
        if view.mask != "none":
            others = "shown faintly" if view.faint else "not shown"
            st.markdown(f"Targets whose {MASKS[view.mask]} is above {view.level:g} are {others}. {MASK_HELP}")
        if view.fade:
            st.markdown("The less a target is predicted by the better of the two models, the more it fades into grey.")


def _downloads(view: View, which: Which, title: str, unit: str, caveats: tuple[str, ...]) -> None:
    run_id = view.run_path.rsplit("/", 1)[-1]
    stem = f"{run_id}-{view.subject}-layer{view.layer}-{view.measure}-{which}"
    stem += "" if view.mask == "none" else f"-{view.mask}{view.level:g}"
    with st.container(horizontal=True, gap="small", width="content"):
        for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(
                kind.upper(),
                data=functools.partial(figure_file, view, which, title, unit, caveats, kind),
                file_name=f"{stem}.{kind}",
                mime=mime,
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key=f"download_{which}_{kind}",
                help=f"This map with its scale, its title and the caveats, as {kind.upper()}.",
            )


def passing_sentence(view: View, which: Which) -> str:
    """Say how many of the targets with a value pass the mask, and what was tested."""
    values, keep = values_of(view, which), passing(view, which)
    assert keep is not None
    import numpy as np

    shown = np.isfinite(values)
    n, total = int((keep & shown).sum()), int(shown.sum())
    share = f" ({n / total:.0%})" if total else ""
    what = {
        ("q", "difference"): "are predicted above chance by one of the two models or both",
        ("q", "pretrained"): f"are predicted above chance by {names.the_model('pretrained')}",
        ("q", "tuned"): f"are predicted above chance by {names.the_model(view.model)}",
    }.get((view.mask, which), "are predicted differently by the two models")
    return f"{n:,} of {count(total, 'target')}{share} {what}, at q ≤ {view.level:g}."


def figure_file(view: View, which: Which, title: str, unit: str, caveats: tuple[str, ...], kind: str) -> bytes:
    """Return one map with scale, title and caveats as a PNG or SVG file."""
    import io

    from braindash.cortex.figure import flatmap_figure

    label = f"change in {unit}" if which == "difference" else unit
    figure = flatmap_figure(
        **layer_arrays(view, which),
        label=label,
        title=f"{title}, layer {view.layer}, {view.subject}",
        note=" ".join([*([passing_sentence(view, which)] if view.mask != "none" else []), *caveats]),
    )
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=200)
    return out.getvalue()
