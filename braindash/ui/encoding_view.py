"""The layer × region table and the curves of the Encoding page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import controls_view, kept, links, names, tables
from braindash.ui.charts import chart, theme
from braindash.ui.chosen import compared_model, measure_of
from braindash.ui.glossary_help import explain
from braindash.ui.results import groups_note
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    from braindash.ui.readers import Results

VIEWS = ("pretrained", "tuned", "change")


@dataclass(frozen=True)
class Choice:
    """What the whole page shows."""

    model: str  # compared with the pretrained one
    measure: str
    subject: str


def model_and_measure(results: Results) -> tuple[str, str]:
    """Draw the choice of the model that is compared and of the measure."""
    tuned = [m for m in results.models if m != "pretrained"] or list(results.models)
    return compared_model(tuned), measure_of(results.measures)


def choose(results: Results) -> Choice:
    """Draw the choices that hold for the whole page."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        model, measure = model_and_measure(results)
        subject = results.subjects[0]
        if len(results.subjects) > 1:
            subject = links.select(
                "subject",
                "Subject (table and curves)",
                results.subjects,
                names=names.subject,
                kind="segments" if len(results.subjects) <= 4 else "select",
            )
    return Choice(model, measure, subject)


def table(results: Results, choice: Choice) -> None:
    """Draw layers × regions as a coloured table, with the numbers beneath."""
    from braindash.figures import layer_region_heatmap

    titles = {
        "pretrained": names.model("pretrained"),
        "tuned": names.model(choice.model),
        "change": f"Change: {names.model(choice.model)} − pretrained",
    }
    unit = names.MEASURES[choice.measure]
    st.subheader("Layers and regions", help=explain("encoding_model", "layer", "region_groups"))
    view = links.select(
        "table",
        "Table of",
        VIEWS,
        default="change",
        names=titles.__getitem__,
        kind="segments",
        help=explain("delta", "noise_ceiling"),
    )
    model = "pretrained" if view == "pretrained" else choice.model
    regions, parcels = tables.map_regions(results)
    if parcels and st.toggle(f"Show the {len(parcels)} single parcels too", key="parcels", bind="query-params"):
        regions = [*regions, *parcels]
    matrix = tables.by_layer_and_region(results, model, choice.subject, choice.measure, view == "change", regions)
    if matrix.empty:
        st.info("This run has no rows for this choice.", icon=":material/info:")
        return
    low, high = tables.shared_range(results, choice.subject, choice.measure, (choice.model, "pretrained"))
    label = f"Change in {unit}" if view == "change" else unit
    figure = kept.figure(
        layer_region_heatmap,
        matrix.to_numpy(float),
        list(matrix.index),
        [results.title(str(roi)) for roi in matrix.columns],
        label=label,
        diverging=view == "change",
        vmin=None if view == "change" else low,
        vmax=None if view == "change" else high,
        theme=theme(),
    )
    chart(
        figure,
        key="layer_region",
        title=f"{titles[view]}, {unit}, by layer and region",
        n=f"{names.subject(choice.subject)}, {count(len(regions), 'region')}",
        statistics="Means over a region's targets, on test stories.",
    )
    hidden = len(results.regions) - len(regions) - (0 if set(parcels) & set(regions) else len(parcels))
    without = f" {count(hidden, 'region')} without a value, for want of a noise ceiling, not shown." if hidden else ""
    same = " 0: the same states in both models; nothing up to this layer was tuned." if view == "change" else ""
    st.caption(escape(f"Mean over a region's targets, on test stories.{same}{without} {groups_note(regions)}"))
    numbers = st.expander("The numbers, with intervals", icon=":material/table:", key="numbers", bind="query-params")
    if numbers.open:  # thousands of rows, sent only where they are seen
        with numbers:
            _numbers(results, choice)


def _numbers(results: Results, choice: Choice) -> None:
    unit = names.MEASURES[choice.measure]
    st.dataframe(
        tables.numbers(results, choice.subject, choice.measure, (choice.model, "pretrained")),
        hide_index=True,
        column_config={
            name: st.column_config.Column(help=explain(term))
            for name, term in {
                "Region": "region_groups",
                "Layer": "layer",
                unit: choice.measure,
                "Change": "delta",
                "q": "q",
                "CI low": "interval",
                "CI high": "interval",
                "Targets": "target",
                "Ceiling": "noise_ceiling",
                "Without ceiling": "excluded",
            }.items()
        },
        alt="Table of every layer and region with intervals and counts.",
    )
    st.caption(
        "CI: 95 % interval over test stories and targets. q: p of the change in r, corrected over regions and "
        "layers (Benjamini–Hochberg)."
    )


def curves(results: Results, choice: Choice) -> None:
    """Draw score over layer for chosen regions and all chosen models."""
    from braindash.figures import layer_curves

    st.subheader("Curves over layers", help=explain("layer", "state_0", "interval"))
    groups, parcels = tables.map_regions(results)
    chosen = links.several(
        "regions",
        "Regions",
        [*groups, *parcels],
        default=tables.main_regions(results)[:3],
        names=results.title,
        most=9,
        placeholder="Choose up to nine regions",
    )
    controls = [m for m in results.models if m not in ("pretrained", choice.model)]
    models = ["pretrained", choice.model]
    if len(controls) > controls_view.FEW:
        models += controls_view.choose(controls, "drawn", "Other models drawn")
    elif controls:
        shown = st.toggle("Show the other models too", value=True, key="others", bind="query-params")
        models += controls if shown else []
    rows = tables.curves(results, choice.subject, choice.measure, models, chosen)
    if rows.empty:
        st.info("Choose a region to see its curves.", icon=":material/info:")
        return
    unit = names.MEASURES[choice.measure]
    titles = [results.title(roi) for roi in chosen]
    rows = tables.titled(rows, results)
    chart(
        kept.figure(layer_curves, rows, y_label=unit, regions=titles, theme=theme()),
        key="encoding_curves",
        title=f"{unit} over layers",
        n=f"{names.subject(choice.subject)}; n targets: {tables.counts(rows)}",
        statistics="Means over a region's targets, 95 % intervals over test stories and targets.",
    )
    st.caption(
        f"{escape(names.subject(choice.subject))}. Lines\\: mean over the n targets of a region, on test stories. "
        "Whiskers or bands\\: 95 % intervals over test stories and targets."
    )
