"""The maps of the Cortex page: pretrained, tuned, difference, on one scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from braindash.ui import electrodes_view, encoding_view, links, map_parts, names, readers
from braindash.ui.chosen import mapped_layer, mapped_subject
from braindash.ui.glossary_help import explain
from braindash.ui.map_values import (
    CLEAR_Q,
    OPAQUE_Q,
    USUAL,
    WHICH,
    Fade,
    Mask,
    View,
    Which,
    drawing_mark,
    short_title,
    shown,
    why_not_outlined,
)
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from braindash.runs.record import RunRow
    from braindash.ui.readers import Results

MASKS: dict[Mask, str] = {"none": "All targets", "q": "q of r", "q_difference": "q of the difference"}
FADES: dict[Fade, str] = {
    "accuracy": "Accuracy",
    "q": "q of r",
    "q_difference": "q of the difference",
    "none": "Nothing",
}
_K = TypeVar("_K", bound=str)
_TESTED = ("q", "q_difference")
_MASK_LABEL, _FADE_LABEL = "Show only targets that pass", "Opacity by"
_HIDING: dict[str, dict[str, str]] = {
    "mask": {mask: title for mask, title in MASKS.items() if mask != "none"},
    "fade": {fade: title for fade, title in FADES.items() if fade in _TESTED},
}
MASK_HELP = (
    "q is the p value of a block permutation, corrected over all targets of the subject and layer for the share of "
    "false discoveries. q of r: is a target predicted above chance by the model shown (in the map of the difference: "
    "by either model)? q of the difference: do the two models differ?"
)


def section(row: RunRow, results: Results) -> None:
    """Draw what is compared and its maps for one run; where the study has no cortex map, its targets in a table."""
    from braindash.runs.results import ATTRS, RESULTS

    facts = readers.study_facts(row.study)
    if facts.problem:
        st.info(f"The study cannot be opened\\: {escape(facts.problem)}", icon=":material/info:")
        return
    subjects = [s for s in results.subjects if s != names.SUBJECT_MEAN]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        model, measure = encoding_view.model_and_measure(results)
        subject = mapped_subject([s for s in subjects if s in facts.subjects] or subjects)
        layer = mapped_layer(results)
    run = readers.store().get(row.id)
    view = View(
        str(run.path),
        readers.mark(run.path / RESULTS / ATTRS),
        row.study,
        readers.study_mark(row.study),
        subject,
        model,
        layer,
        measure,
        outlines=False,
        labels=False,
        fade="none",
    )
    if not facts.has_cortex:
        electrodes_view.section(view, results)
        return
    view, maps = _displayed(view, run.path)
    if not maps:
        st.info("Choose a map.", icon=":material/info:")
        return
    _maps(view, maps, results)


def _displayed(view: View, folder: Path) -> tuple[View, list[Which]]:
    """Draw the choice of maps and, behind a button, of how they are drawn: the maps are to be on the first screen."""
    links.without_unknown("mask", _MASK_LABEL, _offered(MASKS, folder))
    links.without_unknown("fade", _FADE_LABEL, _offered(FADES, folder))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        which = st.container()
        with st.popover(_how(), icon=":material/tune:", help="Outlines, names, size, significance, opacity."):
            view = _display(view, folder)
    with which:
        chosen = links.several(
            "maps",
            "Maps",
            WHICH,
            default=USUAL,
            names=lambda which: short_title(view, next(w for w in WHICH if w == which)),
            placeholder="Choose the maps to show",
        )
    maps = [w for w in WHICH if w in chosen]
    if any(w.startswith("unique") for w in maps):
        part = map_parts.choose(view, view.model)
        if part is None:
            return view, [w for w in maps if not w.startswith("unique")]
        view = replace(view, part=part, parts_as_of=readers.mark(folder / map_parts.FILE))
    return view, maps


def _how() -> str:
    """Return the button's label: what of the display the address sets, where it hides or fades targets."""
    mask, fade = (titles.get(st.query_params.get(param, ""), "") for param, titles in _HIDING.items())
    said = [*([f"only by {mask}"] if mask else []), *([f"opacity by {fade}"] if fade else [])]
    return f"Display\\: {', '.join(said)}" if said else "Display"


def _display(view: View, folder: Path) -> View:
    large = st.toggle("Large maps, one a row", key="large", bind="query-params")
    cortex_map = readers.cortex_map(view.study, view.subject)
    unknown = why_not_outlined(cortex_map)
    known = not unknown
    outlines = st.toggle(
        "Region outlines",
        value=True,
        key="outlines",
        bind="query-params",
        disabled=not known,
        help=escape(unknown) or None,
    )
    labels = st.toggle(
        "Region names",
        value=True,
        key="labels",
        bind="query-params",
        disabled=not known or not outlines or not large,
        help="On small maps side by side the names could not be read and are left out.",
    )
    mask, level, faint = _mask(folder)
    return replace(
        view,
        outlines=outlines,
        labels=outlines and labels and large,
        fade=_fade(folder),
        mask=mask,
        level=level,
        faint=faint,
        regions_as_of=drawing_mark(cortex_map),
    )


def _offered(every: Iterable[_K], folder: Path) -> list[_K]:
    """Return what targets can be hidden or faded by: what needs a test only where the run has it."""
    return [k for k in every if k not in _TESTED or readers.has_quantity(folder, k)]


def _fade(folder: Path) -> Fade:
    """Draw the choice of what makes targets opaque."""
    offered = _offered(FADES, folder)
    titles = {str(fade): title for fade, title in FADES.items()}
    name = links.select(
        "fade",
        _FADE_LABEL,
        offered,
        names=titles.__getitem__,
        kind="segments",
        help=f"The worse a target is predicted, or the larger its q, the more transparent it is: opaque at q ≤ "
        f"{OPAQUE_Q:g}, gone at q ≥ {CLEAR_Q:g}.",
    )
    return next(f for f in FADES if f == name)


def _mask(folder: Path) -> tuple[Mask, float, bool]:
    """Draw the choice of a significance mask; return it, the largest q kept, and whether the rest is faint."""
    offered = _offered(MASKS, folder)
    if len(offered) == 1:
        st.caption(
            f"This run was evaluated without permutation tests, so its maps cannot be masked by significance. "
            f"To add them\\: `braindash evaluate {folder.name}`"
        )
        return "none", 0.05, False
    titles = {str(mask): title for mask, title in MASKS.items()}
    name = links.select(
        "mask",
        _MASK_LABEL,
        offered,
        names=titles.__getitem__,
        kind="segments",
        help=f"{escape(MASK_HELP)}\n\n{explain('q', 'permutation_test')}",
    )
    chosen = next(m for m in offered if m == name)
    off = chosen == "none"
    level = st.slider("q at most", 0.005, 0.2, 0.05, 0.005, key="q", bind="query-params", format="%.3f", disabled=off)
    faint = st.toggle("Show the others faintly", key="faint", bind="query-params", disabled=off)
    return chosen, float(level), bool(faint and not off)


def _maps(view: View, maps: Sequence[Which], results: Results) -> None:
    from braindash.ui import cortex_canvas, map_files, selection_view, target_view, viewer3d

    with st.spinner("Drawing the cortex. The first time takes some seconds more …"):
        cortex_canvas.draw(view, maps, bool(st.session_state.get("large")))
    if not cortex_canvas.painted():
        st.caption("Target by target, files and the 3-D view follow as soon as the maps are drawn.")
        return
    target_view.target_panel(view, results)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(
            f"Layer {view.layer}, {escape(view.subject)}, n = {count(shown(view), 'target')}. To keep a map\\:",
            width="content",
        )
        map_files.menus(view, maps, results.caveats)
    with st.container():  # a place of its own: what comes and goes would make the browser draw all that follows anew
        if view.mask != "none":
            for which in maps:
                st.text(f"{short_title(view, which)}: {map_files.passing_sentence(view, which)}")
    viewer3d.section(view, results.caveats)
    for which in maps:
        map_files.offer(view, which)
    _explained(view, maps)
    selection_view.section(view)


def _explained(view: View, maps: Sequence[Which]) -> None:
    how = st.expander("How to read the maps", icon=":material/help:", key="how_maps", bind="query-params")
    if not how.open:  # some pages of text, sent only where they are read
        return
    with how:
        st.markdown(
            "Left hemisphere on the left, flattened; grey: gyri (light) and sulci (dark) where no value is shown. The "
            "maps of the two models share one scale, the same for all layers. The difference is centred on zero. "
            "Values beyond the scale get the end colours. The cursor names the region and says what all maps show "
            "there, to the nearest 255th of the scale; arrow keys move it, a click or Enter opens the target. "
            "*Select an area*, then drag around some targets: what lies in it is compared below the maps."
        )
        if "gain" in maps:
            st.markdown(
                "Gain × accuracy says two things in one colour: hue is the change (blue worse, mauve the same, orange "
                "better), lightness is how well the better of the two models predicts the target."
            )
        if any(which.startswith("unique") for which in maps):
            st.markdown(
                "Unique variance: the share of a target's variance on test stories (R²) that one feature space "
                "explains and no other does; a mask by q is that of the layer chosen above. It can be below 0 where a "
                "space helps in the fit and not in the test stories: such targets have the colour of 0."
            )
        if any(which.startswith("best") for which in maps):
            st.markdown(
                "Best layer: the layer with the highest value, the first where several are equal. It does not depend "
                "on the layer chosen above. Where layers hardly differ it says little: see the target's own curve."
            )
        if view.mask != "none":
            others = "shown faintly" if view.faint else "not shown"
            st.markdown(f"Targets whose {MASKS[view.mask]} is above {view.level:g} are {others}. {MASK_HELP}")
        if view.fade in ("q", "q_difference"):
            st.markdown(
                f"The larger a target's {FADES[view.fade]} at this layer, the more it fades into grey: opaque at "
                f"q ≤ {OPAQUE_Q:g}, gone at q ≥ {CLEAR_Q:g}."
            )
        if view.fade == "accuracy":
            st.markdown(
                "The less a target is predicted (in a map of both models, by the better one), the more it fades into "
                "grey."
            )
