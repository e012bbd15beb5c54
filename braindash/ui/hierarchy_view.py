"""Where each property and region lies in the model's depth, before and after tuning: the picture of the first page."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from braindash.glossary import term
from braindash.ui import kept, names
from braindash.ui.charts import chart, theme
from braindash.ui.glossary_help import explain
from braindash.ui.text import escape, interval, number, shorten
from braindash.wording import BRAIN, LEVELS

if TYPE_CHECKING:
    from braindash.figures import Depth, DepthRow
    from braindash.ui.readers import Results

Rows = Sequence[Mapping[str, Any]]

TITLE = "From sound to meaning, layer by layer"
KINDS: tuple[tuple[Literal["png", "svg"], str], ...] = (("png", "image/png"), ("svg", "image/svg+xml"))
BETWEEN = ("primary_auditory", "early_auditory", "late_language")  # enough beside probes
FEW_OWN = 6  # of a study's own regions


@dataclass(frozen=True)
class Words:
    """How an order of depths is spoken of."""

    things: str
    order: str
    counted: str


TASKS = Words("tasks", "the order from sound to meaning", "tasks with a clear peak")
PARCELS = Words("brain regions", "the order from primary auditory to late language", "parcels with a clear peak")
DEPTH_TERMS = ("centre_of_mass", "peak_layer", "flat", "order")


def section(document: Mapping[str, Any], results: Results, caveats: Sequence[str]) -> None:
    """Draw the picture with what it says in words, and offer it as a file."""
    from braindash.figures import hierarchy_picture

    tuned = tuned_model(document, results)
    subject = results.subjects[0]
    rows = depth_rows(document, tuned, subject, results)
    st.subheader(TITLE)
    orders = [
        (document["order"], document["order_change"], tuned, TASKS),
        (document["region_order"], document["region_order_change"], tuned, PARCELS),
    ]
    sentences = [sentence for order in orders if (sentence := order_sentence(*order))]
    if sentences:
        st.markdown(f"**{escape(sentences[0])}**")
    if not rows:
        st.info("There is no task and no region with a depth yet.", icon=":material/info:")
        return
    picture = kept.figure(hierarchy_picture, rows, results.layers, after=tuned, theme=theme())
    chart(picture, key="hierarchy", title=TITLE)
    steps = filter(None, (step_sentence(*order[:3]) for order in orders))
    for more in (caption(rows, subject), *sentences[1:], *steps):
        st.caption(escape(more))
    if not document["probes"]:
        st.caption("Where sound, speech sounds, words and meaning lie is not here yet\\: the layers were not probed.")
        st.code(f"braindash probe {results.run_id}", language=None)
    with st.container(horizontal=True, gap="medium"):
        for key in DEPTH_TERMS if sentences else DEPTH_TERMS[:-1]:
            st.caption(term(key).title, help=explain(key), width="content")
    _downloads(rows, results, tuned, sentences[0] if sentences else "", caveats)


def tuned_model(document: Mapping[str, Any], results: Results) -> str:
    """Return the model that is compared with the pretrained one: the run's own."""
    models = [str(m) for m in document.get("models") or results.models if m != "pretrained"]
    summary = results.records.get("summary") or {}
    main = str(summary.get("model"))
    return "brain_tuned" if "brain_tuned" in models or not models else main if main in models else models[0]


def depth_rows(document: Mapping[str, Any], tuned: str, subject: str, results: Results) -> list[DepthRow]:
    """Return the rows of the figure: tasks from acoustic to semantic, others, then regions from ear to language."""
    from braindash.figures import DepthRow

    out = []
    probes = pairs(document["probes"], "task", tuned)
    order = [*LEVELS, *sorted({str(p.get("level")) for p, _ in probes.values()} - set(LEVELS))]
    for level in order:
        for before, after in probes.values():
            if str(before.get("level")) == level:
                title = str(before.get("title") or before.get("task"))
                heading = LEVELS.get(level, shorten(level.replace("_", " ").capitalize(), 40))
                out.append(DepthRow(title, heading, depth(before), depth(after)))
    who = [r for r in document["regions"] if str(r.get("subject")) == subject]
    regions = pairs(who, "roi", tuned)
    wanted = BETWEEN if probes else names.MAIN_REGIONS
    shown = [roi for roi in wanted if roi in regions] or [r for r in regions if r != "cortex"][:FEW_OWN] or [*regions]
    for roi in shown:
        before, after = regions[roi]
        out.append(DepthRow(results.title(roi), BRAIN, depth(before), depth(after)))
    return out


def pairs(rows: Rows, key: str, tuned: str) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return for every task or region its rows of the two models; an absent one is empty."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("model") in ("pretrained", tuned):
            found.setdefault(str(row.get(key)), {})[str(row["model"])] = row
    whole: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for name, models in found.items():
        any_row = next(iter(models.values()))
        told = {k: any_row.get(k) for k in (key, "title", "level")}
        whole[name] = (models.get("pretrained", told), models.get(tuned, told))
    return whole


def depth(row: Mapping[str, Any]) -> Depth:
    """Return a row's depth; what is not a number there is NaN, and a flat profile has none."""
    from braindash.figures import Depth

    if row.get("flat") is True:
        return Depth()
    keys = ("centre", "centre_low", "centre_high", "peak_layer", "peak_low", "peak_high")
    return Depth(*(real(row.get(k)) for k in keys))


def real(value: Any) -> float:
    """Return a number, or NaN for anything else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else float("nan")


def caption(rows: Sequence[DepthRow], subject: str) -> str:
    """Say how to read the figure."""
    said = [
        "Marks: how deep in the model something lies (centre of mass over layers), in numbers at the right. Arrows: "
        "what tuning moved. Lines: 95 % intervals. Small ticks: the layer of the largest score."
    ]
    if any(row.group != BRAIN for row in rows):
        said.append("Of tasks: how well a linear probe reads the property from a layer.")
    if any(row.group == BRAIN for row in rows):
        whose = names.subject(subject).lower() if subject == names.SUBJECT_MEAN else f"subject {subject}"
        said.append(f"Of regions: how well a layer predicts the responses there ({whose}).")
    return " ".join(said)


def order_sentence(rows: Rows, change: Mapping[str, Any], tuned: str, words: Words) -> str:
    """Say whether depth follows an order, before and after; "" where it cannot be said."""
    found = {str(r.get("model")): r for r in rows}
    before, after = (real(found.get(m, {}).get("rho")) for m in ("pretrained", tuned))
    if not (math.isfinite(before) and math.isfinite(after)):
        return ""
    delta, low, high = (real(change.get(k)) for k in ("delta", "ci_low", "ci_high"))
    delta = delta if math.isfinite(delta) else after - before
    if low > 0:
        claim = f"Tuning brought the depths of {words.things} closer to {words.order}"
    elif high < 0:
        claim = f"Tuning moved the depths of {words.things} away from {words.order}"
    elif math.isfinite(low) and math.isfinite(high):
        claim = f"That tuning brought the depths of {words.things} closer to {words.order} is not shown"
    else:
        claim = f"Whether tuning changed how the depths of {words.things} follow {words.order} cannot be told"
    n = real(change.get("n", found[tuned].get("n_tasks")))
    counted = f", {n:.0f} {words.counted}" if math.isfinite(n) else ""
    return (
        f"{claim}: rank correlation {_with_interval(found['pretrained'])} before and {_with_interval(found[tuned])} "
        f"after, a change of {number(delta, signed=True)} ({interval(low, high)}{counted})."
    )


def step_sentence(rows: Rows, change: Mapping[str, Any], tuned: str) -> str:
    """Say how many layers lie between one level and the next, before and after; "" where it cannot be said."""
    found = {str(r.get("model")): r for r in rows}
    before, after = (real(found.get(m, {}).get("step")) for m in ("pretrained", tuned))
    if not (math.isfinite(before) and math.isfinite(after)):
        return ""
    delta, low, high = (real(change.get(k)) for k in ("step_delta", "step_ci_low", "step_ci_high"))
    delta = delta if math.isfinite(delta) else after - before
    levels = found[tuned].get("levels")
    known = [names.region(v).lower() for v in levels if isinstance(v, str)] if isinstance(levels, list) else []
    where = f"From {known[0]} to {known[-1]}, the" if len(known) > 1 else "The"
    return (
        f"{where} next level lies {number(before)} layers deeper before tuning and {number(after)} after, "
        f"a change of {number(delta, signed=True)} ({interval(low, high)})."
    )


def _with_interval(row: Mapping[str, Any]) -> str:
    low, high = real(row.get("ci_low")), real(row.get("ci_high"))
    between = f" ({number(low)} to {number(high)})" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{number(real(row.get('rho')))}{between}"


def _downloads(rows: Sequence[DepthRow], results: Results, tuned: str, sentence: str, caveats: Sequence[str]) -> None:
    note = f"{' '.join(caveats)} Run {results.run_id}.".strip()
    with st.container(horizontal=True, gap="small", width="content"):
        for kind, mime in KINDS:
            st.download_button(
                kind.upper(),
                data=functools.partial(picture_file, tuple(rows), results.layers, sentence, note, tuned, kind),
                file_name=f"{results.run_id}-hierarchy.{kind}",
                mime=mime,
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key=f"download_hierarchy_{kind}",
                help=f"This picture as a slide, with what it says in words and the caveats, as {kind.upper()}.",
            )


def picture_file(
    rows: Sequence[DepthRow],
    layers: Sequence[int],
    subtitle: str,
    note: str,
    tuned: str,
    kind: Literal["png", "svg"],
) -> bytes:
    """Return the picture as a file for a slide."""
    from braindash.figures import figure_bytes, static_hierarchy

    return figure_bytes(static_hierarchy(rows, layers, title=TITLE, subtitle=subtitle, note=note, after=tuned), kind)
