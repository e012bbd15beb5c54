"""The RSA page's choices, answer, maps of layers and regions, and curves."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.ui import address, controls_view, kept, links, names, rsa_data, rsa_words
from braindash.ui.charts import chart, theme
from braindash.ui.chosen import compared_model
from braindash.ui.glossary_help import explain
from braindash.ui.results import groups_note
from braindash.ui.rsa_data import Choice, Rsa
from braindash.ui.text import count, escape, true_minus

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from braindash.figures.style import ThemeName

MAPS = ("pretrained", "tuned", "change")
MANY_ROWS = 40  # regions; a map of more scrolls by itself


def empty(run_id: str) -> None:
    """Say what RSA shows, and the command that makes it."""
    st.subheader("This run has no RSA yet")
    st.markdown(escape(rsa_words.WHAT_IT_IS))
    st.markdown(
        "It compares every layer of the pretrained and the brain-tuned model with every region, on stories that "
        "tuning has not seen. To make it for this run\\:"
    )
    st.code(f"braindash rsa {run_id}", language=None)


def choose(rsa: Rsa) -> Choice:
    """Draw the choices that hold for the whole page; the measure and the cell are chosen beside the maps."""
    tuned = list(rsa.tuned) or list(rsa.models)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        model = compared_model(tuned)
        subject = rsa.subjects[0]
        if len(rsa.subjects) > 1:
            subject = links.select(
                "subject",
                "Subject",
                rsa.subjects,
                names=names.subject,
                kind="segments" if len(rsa.subjects) <= 4 else "select",
            )
    return Choice(model, "similarity", subject, rsa.last_layer, rsa_words.focus_region(rsa))


def answer(rsa: Rsa, choice: Choice) -> None:
    """Say in a sentence what tuning did to the geometry, and what was compared."""
    with st.container(border=True):
        for sentence in rsa_words.answer(rsa, choice.model, choice.subject):
            st.markdown(f"##### {escape(true_minus(sentence))}")
    with st.expander("What was compared, and how", icon=":material/help:"):
        st.markdown(escape(rsa_words.WHAT_IT_IS))
        for line in rsa_words.compared(rsa):
            st.text(line)


# --- maps ----------------------------------------------------------------------------------------


def maps(rsa: Rsa, choice: Choice) -> Choice:
    """Draw the maps of both models and of the change; return the choice with the measure and cell that are chosen."""
    st.subheader("Which layers resemble which regions", help=explain("rsa_similarity", "rsa_ceiling", "q"))
    choice = _measure(rsa, choice)
    first, second = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    with second[1]:
        choice = _cell(rsa, choice)
        curves(rsa, choice)
    places = dict(zip(MAPS, (first[0], first[1], second[0]), strict=True))
    titles = {
        "pretrained": names.model("pretrained"),
        "tuned": names.model(choice.model),
        "change": f"Change: {names.model(choice.model)} − pretrained",
    }
    many = len(rsa.regions) > MANY_ROWS
    drawn = MAPS if choice.model != "pretrained" else MAPS[:1]
    for which in drawn:
        with places[which]:
            st.markdown(f"**{escape(titles[which])}**")
            # in one map: a chart with another frame is drawn anew, and three take longer than a reader should wait
            cell = (rsa.layers.index(choice.layer), rsa.regions.index(choice.roi)) if which == drawn[-1] else None
            figure = _map(rsa, choice, which, cell, theme())
            if figure is None:
                st.info("This analysis has no rows for this choice.", icon=":material/info:")
                continue
            with st.container(height=720, border=False) if many else st.container():
                _clickable(figure, f"rsa_{which}", rsa, choice, f"Layers and regions alike, {titles[which]}")
    with second[0]:
        st.caption(escape(_map_note(rsa, choice)))
    _numbers(rsa, choice)
    return choice


def _measure(rsa: Rsa, choice: Choice) -> Choice:
    if not rsa_data.has_partial(rsa):
        return choice
    measure = links.select(
        "similarity",
        "Similarity",
        list(rsa_words.MEASURES),
        names=rsa_words.MEASURES.__getitem__,
        kind="segments",
        help=explain("rsa_similarity", "partial_rsa"),
    )
    return replace(choice, measure=measure)


def _cell(rsa: Rsa, choice: Choice) -> Choice:
    with st.container(border=True):
        st.markdown("**The chosen cell**")
        left, right = st.columns([3, 2])
        with left:
            roi = links.select("roi", "Region", rsa.regions, default=choice.roi, names=rsa.title)
        with right:
            layer = links.select(
                "layer",
                "Layer",
                [str(k) for k in rsa.layers],
                default=str(choice.layer),
                names=lambda k: names.layer(int(k), rsa.last_layer),
            )
        choice = replace(choice, roi=roi, layer=int(layer))
        for line in rsa_words.cell_sentences(rsa, choice):
            st.text(line)
        where = "map of the change" if choice.model != "pretrained" else "map"
        st.caption(
            f"Click a cell of any map to choose it; it is framed in the {where}. The curves and the RDMs below are "
            "those of this cell."
        )
    return choice


@st.cache_resource(
    max_entries=64,
    show_spinner=False,
    hash_funcs={**rsa_data.SAME, Choice: lambda choice: (choice.model, choice.measure, choice.subject)},
)
def _map(rsa: Rsa, choice: Choice, which: str, cell: tuple[int, int] | None, page: ThemeName, /) -> go.Figure | None:
    import numpy as np

    from braindash.figures import similarity_map

    changed = which == "change"
    model = "pretrained" if which == "pretrained" else choice.model
    if changed:
        table = rsa_data.change(rsa, model, choice.subject, choice.measure)
    else:
        table = rsa_data.level(rsa, model, choice.subject, choice.measure)
    values = table.to_numpy(float)
    if not np.isfinite(values).any():
        return None
    low, high = (None, None) if changed else limits(rsa, choice)
    ceilings = rsa.ceilings
    notes = [f"{c[0]:.2f}–{c[1]:.2f}" if (c := ceilings.get(r)) else "" for r in rsa.regions] if ceilings else None
    label = rsa_words.measure_label(rsa, choice.measure)
    return similarity_map(
        values,
        list(rsa.layers),
        [rsa.title(r) for r in rsa.regions],
        label="Change in similarity" if changed else label,
        diverging=changed,
        vmin=low,
        vmax=high,
        marked=rsa_data.marked(rsa, model, choice.subject, choice.measure, changed),
        details=rsa_data.details(rsa, model, choice.subject, choice.measure, changed),
        notes=None if changed else notes,
        notes_title="ceiling",
        chosen=cell,
        theme=page,
    )


def limits(rsa: Rsa, choice: Choice) -> tuple[float, float]:
    """Return one colour range for the maps of all models, so that a choice of another does not move it."""
    from braindash.cortex.colour import shared_limits

    every = [rsa_data.level(rsa, m, choice.subject, choice.measure).to_numpy(float) for m in rsa.models]
    return shared_limits(*every, percentile=100)


def _clickable(figure: go.Figure, key: str, rsa: Rsa, choice: Choice, title: str) -> None:
    chart(
        figure,
        key,
        title=title,
        n=rsa_words.counted(rsa, choice.subject),
        bar=False,
        clicked=functools.partial(_take_click, key, tuple(rsa.layers), tuple(rsa.regions)),
    )


def _take_click(key: str, layers: tuple[int, ...], regions: tuple[str, ...]) -> None:
    """Put the cell that was clicked into the address; the inputs follow it."""
    for point in clicked(st.session_state.get(key)):
        i, j = point
        if 0 <= i < len(layers) and 0 <= j < len(regions):
            address.write(layer=str(layers[i]), roi=regions[j])


def clicked(event: Any) -> list[tuple[int, int]]:
    """Return x and y of the points that a chart's selection holds, as whole numbers."""
    points = ((event or {}).get("selection") or {}).get("points") or []
    found = [(p.get("x"), p.get("y")) for p in points]
    return [(int(x), int(y)) for x, y in found if isinstance(x, (int, float)) and isinstance(y, (int, float))]


def _map_note(rsa: Rsa, choice: Choice) -> str:
    said = "All models share one scale; the change is centred on zero. Regions from the ear to language."
    if choice.measure == "similarity":
        tested = bool(rsa_data.marked(rsa, choice.model, choice.subject, "similarity", True).any())
        said += " *: q < .05, corrected over layers and regions." if tested else " No change passes q < .05."
        if choice.subject == names.SUBJECT_MEAN:
            said += " The mean over subjects has a test of the change only; single subjects have one of each level too."
    else:
        said += " What is beyond the sound has no test of its own here."
    if rsa.ceilings:
        said += " Ceiling: how similar the region's own geometry is across subjects (lower and upper bound)."
    return f"{said} {groups_note(rsa.regions)}"


def _numbers(rsa: Rsa, choice: Choice) -> None:
    numbers = st.expander("The numbers, with intervals", icon=":material/table:", key="numbers", bind="query-params")
    if not numbers.open:  # hundreds of rows, sent only where they are seen
        return
    with numbers:
        st.dataframe(
            rsa_data.readable(rsa, choice),
            hide_index=True,
            alt="Table of every layer and region with similarities, intervals and changes.",
        )
        st.download_button(
            f"All {count(len(rsa.rows), 'row')} as CSV",
            data=functools.partial(rsa_data.csv, rsa),
            file_name=f"{rsa.run_id}-rsa.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="rsa_csv",
        )


# --- curves --------------------------------------------------------------------------------------


def curves(rsa: Rsa, choice: Choice) -> None:
    """Draw similarity over layers for the chosen region, with intervals and the noise ceiling."""
    from braindash.figures import similarity_curves

    controls = [m for m in rsa.models if m not in ("pretrained", choice.model)]
    shown = controls_view.choose(controls, "drawn", "Other models drawn") if controls else []
    rows = rsa_data.curves(rsa, choice, ["pretrained", choice.model, *shown])
    if rows.empty:
        st.info("This analysis has no rows for this choice.", icon=":material/info:")
        return
    st.markdown("**This region over the layers**")
    label = "Similarity" if choice.measure == "similarity" else "Similarity beyond the sound"
    ceiling = rsa.ceilings.get(choice.roi) if choice.measure == "similarity" else None
    chart(
        kept.figure(similarity_curves, rows, y_label=label, ceiling=ceiling, theme=theme()),
        key="rsa_curves",
        title=f"{rsa.title(choice.roi)}: {label.lower()} over layers",
        n=rsa_words.counted(rsa, choice.subject),
    )
    who = rsa_words.whose(rsa, choice.subject)
    whiskers = (
        " Whiskers or bands: 95 % intervals over conditions, drawn anew in blocks." if rows["low"].notna().any() else ""
    )
    band = (
        " The noise ceiling is where the region's true geometry would lie, between its lower and upper bound."
        if ceiling
        else " There is no noise ceiling: it needs two subjects who heard the same."
        if choice.measure == "similarity"
        else ""
    )
    st.caption(escape(f"{who[0].upper()}{who[1:]}; test stories.{whiskers}{band}"))
