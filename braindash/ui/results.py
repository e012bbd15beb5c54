"""Sections of the result pages: the answer, its numbers, its curves, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import controls_view, kept, links, names, readers, tables
from braindash.ui.charts import chart, offer_text, theme
from braindash.ui.chosen import measure_of
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, escape, interval, moment, number, shorten, true_minus

if TYPE_CHECKING:
    from braindash.runs.record import RunRow
    from braindash.ui.readers import Results

GROUPS_NOTE = "Regions are groups of parcels of the HCP-MMP1 parcellation; some share parcels."


def groups_note(regions: Sequence[str]) -> str:
    """Say what the named groups are, where some are shown."""
    return GROUPS_NOTE if any(roi in names.MAIN_REGIONS for roi in regions) else ""


def answer(row: RunRow, results: Results) -> None:
    """Show what was tuned on what, and the answer in two sentences."""
    summary = results.records.get("summary") or {}
    facts = readers.study_facts(row.study)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(f"Study\\: {escape(facts.title or row.study)}", color="gray")
            st.badge(f"Model\\: {escape(shorten(row.model, 60))}", color="gray")
            st.badge(escape(names.choice("recipe", row.recipe)), color="gray")
            if row.control not in ("", "none"):
                st.badge(f"Control run\\: {escape(names.choice('control', row.control))}", color="orange")
            if facts.simulated:
                st.badge("Simulated subjects", color="orange", icon=":material/science:")
        said = [true_minus(sentence) for sentence in summary.get("answer") or ()]
        for sentence in said or ["The evaluation wrote no summary."]:
            st.markdown(f"##### {escape(sentence)}")
    offer_text("answer", summary.get("question") or "What did brain-tuning change?", said)


def headline(results: Results) -> None:
    """Show the numbers that the answer rests on, each with its interval and n."""
    measure = results.measures[0]
    subject, last = results.subjects[0], results.last_layer
    summary = results.records.get("summary") or {}
    tuned = [m for m in results.models if m != "pretrained"]
    if not tuned:
        return
    main = str(summary["model"]) if summary.get("model") in tuned else tuned[0]
    regions = tables.main_regions(results)
    focus = str(summary["region"]) if summary.get("region") in results.regions else regions[-1]
    unit = names.MEASURES[measure]
    wanted = [(main, focus), *((m, focus) for m in tuned if m != main)][:2]  # all controls are in a table below
    if "primary_auditory" in results.regions and focus != "primary_auditory":
        wanted.append((main, "primary_auditory"))
    cards = [c for m, roi in wanted[:3] if (c := tables.change(results, m, roi, last, subject, measure))]
    st.subheader(f"Change at the last layer (layer {last}), in {unit}", help=explain("delta", "interval", measure))
    st.caption(escape(f"{names.MEASURE_HELP[measure]} {_whose(results)}"))
    for column, card in zip(st.columns(len(cards) + 1, border=True), [*cards, None], strict=True):
        with column:
            if card is None:
                _peaks(results, main, focus, subject, measure)
                continue
            st.metric(
                escape(results.title(card.roi)),
                number(card.value, 3, signed=True),
                help=f"{escape(names.model(card.model))} minus pretrained. {explain('delta')}",
            )
            st.text(names.model(card.model))
            st.caption(f"{interval(card.low, card.high, 3)} · n = {count(card.n, 'target')}")
            st.caption(card.verdict)


def _whose(results: Results) -> str:
    """Say over whom the first numbers of the page are."""
    if results.subjects[0] != names.SUBJECT_MEAN:
        return f"Subject {results.subjects[0]}."
    n = len(results.subjects) - 1
    return f"Mean over {count(n, 'subject')}; n counts the targets of all of them."


def _peaks(results: Results, main: str, focus: str, subject: str, measure: str) -> None:
    before = tables.best_layer(results, "pretrained", focus, subject, measure)
    after = tables.best_layer(results, main, focus, subject, measure)
    st.metric(
        f"Best layer for {escape(results.title(focus))}",
        f"{'–' if before is None else before} → {'–' if after is None else after}",
        help=explain("best_layer", "state_0"),
    )
    st.text("Pretrained → " + names.model(main).lower())
    st.caption(f"of layers 0 to {results.last_layer}")


def curves_section(results: Results) -> None:
    """Draw score over layer for the main regions: pretrained, brain-tuned and controls."""
    from braindash.figures import difference_curves, layer_curves

    st.subheader("Prediction by layer and region", help=explain("encoding_model", "layer", "test_stories"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = measure_of(results.measures)
        view = links.select(
            "show",
            "Show",
            ["levels", "change"],
            names=lambda v: {"levels": "Each model", "change": "Change from pretrained"}[v],
            kind="segments",
        )
        subject = results.subjects[0]
        if len(results.subjects) > 1:
            subject = links.select("subject", "Subject", results.subjects, names=names.subject, kind="segments")
    controls = controls_view.controls_of(results)
    shown = controls_view.choose(controls, "controls", "Controls drawn")
    models = [m for m in results.models if m not in controls or m in shown]
    regions = tables.main_regions(results)
    if view == "change":
        rows = tables.changes(results, subject, measure, models, regions)
        draw, label = difference_curves, f"Change in {names.MEASURES[measure]}"
    else:
        rows = tables.curves(results, subject, measure, models, regions)
        draw, label = layer_curves, names.MEASURES[measure]
    if rows.empty:
        st.info("This run has no rows for this choice.", icon=":material/info:")
        return
    titles = [results.title(roi) for roi in regions]
    rows = tables.titled(rows, results)
    chart(
        kept.figure(draw, rows, y_label=label, regions=titles, theme=theme()),
        key="layer_curves",
        title=f"{label} by layer and region",
        n=f"{names.subject(subject)}; n targets: {tables.counts(rows)}",
        statistics="Means over a region's targets, 95 % intervals over test stories and targets.",
    )
    marks = (
        "Filled marks: the interval excludes zero. "
        if view == "change"
        else "An interval here is that of a level; whether two models differ shows in *Change from pretrained*. "
    )
    st.caption(
        "Lines\\: mean over the n targets of a region, on stories that neither tuning nor fitting has seen. "
        f"Whiskers or bands\\: 95 % intervals over test stories and targets. {marks}"
        f"Layer 0 is the model's front end. {groups_note(regions)}"
    )


def provenance_line(row: RunRow, results: Results) -> None:
    """Say which run this is, from when, and what it was made with."""
    with st.expander("Where these numbers come from", icon=":material/fingerprint:"):
        st.text(f"Run {results.run_id}, made {moment(row.created)}.")
        st.text(f"Subjects: {', '.join(s for s in results.subjects if s != names.SUBJECT_MEAN)}.")
        facts = readers.study_facts(row.study)
        for part, words in (("tune", "Tuned on"), ("validation", "Chosen on"), ("test", "Tested on")):
            stories = facts.stories.get(part, ())
            if stories:
                minutes = facts.minutes.get(part, 0.0)
                st.text(f"{words} {count(len(stories), 'story', 'stories')} ({minutes:.1f} min): {', '.join(stories)}.")
        provenance = results.records.get("provenance") or {}
        st.json(provenance, expanded=1)
