"""The controls of a run beside its brain-tuned model: a table of differences, and the choice of which to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import links, names, tables
from braindash.ui.glossary_help import explain
from braindash.ui.text import cell, escape, interval, number

if TYPE_CHECKING:
    import pandas as pd

    from braindash.ui.readers import Results

FEW = 2  # controls that are drawn without a choice


def controls_of(results: Results) -> list[str]:
    """Return the controls among a run's models."""
    return [m for m in results.models if names.is_control(m)]


def section(results: Results) -> None:
    """Show how the brain-tuned model compares with each control; nothing where there is none."""
    controls = controls_of(results)
    if not controls or "brain_tuned" not in results.models:
        return
    measure, subject, layer = results.measures[0], results.subjects[0], results.last_layer
    summary = results.records.get("summary") or {}
    regions = tables.main_regions(results)
    roi = str(summary["region"]) if summary.get("region") in results.regions else regions[-1]
    st.subheader("Against the controls", help=explain("control", "interval", "late_language"))
    st.caption(
        escape(
            f"{results.title(roi)}, layer {layer}, in {names.MEASURES[measure]}, with 95 % intervals over test stories "
            "and targets. A control is tuned with the same settings, steps and seeds. What brain-tuning owes to the "
            "responses shows where brain-tuned minus the control is above 0."
        )
    )
    st.table(table(results, controls, roi, layer, subject, measure))


def table(results: Results, controls: list[str], roi: str, layer: int, subject: str, measure: str) -> pd.DataFrame:
    """Return one row a control, as text: its change from pretrained, and brain-tuned minus it, with intervals."""
    import pandas as pd

    rows = []
    for model in controls:
        own = tables.change(results, model, roi, layer, subject, measure)
        pair = tables.against(results, model, roi, layer, subject, measure)
        rows.append(
            {
                "Control": cell(names.model(model)),
                "Control minus pretrained": _said(own),
                "Brain-tuned minus control": _said(pair),
                "What it is": names.explained(model),
            }
        )
    return pd.DataFrame(rows).set_index("Control")


def _said(change: tables.Change | None) -> str:
    if change is None or change.value != change.value:
        return "–"
    between = interval(change.low, change.high, 3).removeprefix("95 % CI ")
    return f"{number(change.value, 3, signed=True)} ({between})"


def choose(models: list[str], key: str, label: str) -> list[str]:
    """Return the models to draw beside the pair: all where they are few, else those that the reader leaves chosen."""
    if len(models) <= FEW:
        return models
    return links.several(
        key,
        label,
        models,
        default=models,
        names=names.model,
        placeholder="None",
    )
