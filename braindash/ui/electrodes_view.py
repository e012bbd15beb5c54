"""The Cortex page where there is no cortex map: every target in a table and, with positions, on a head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import cortex_canvas, names, readers, selection_view, target_view
from braindash.ui.charts import chart, theme
from braindash.ui.map_values import View, limits, short_title, unit, values_of
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from braindash.figures.head import HeadMap
    from braindash.ui.map_values import Which
    from braindash.ui.readers import Results

MAPS: tuple[Which, ...] = ("pretrained", "tuned", "difference")
ALONG = ("x", "y", "z")
PICKED = "target_table_picked"


def section(view: View, results: Results) -> None:
    """Draw the head where positions are known, the table of all targets, the chosen target, and the scatter."""
    targets = readers.study(view.study).targets(view.subject)
    electrodes = readers.study(view.study).signal == "electrodes"
    noun = "electrode" if electrodes else "target"
    if not electrodes:
        st.info(
            "This study does not say where its targets lie on a cortex, so there is no map. The table holds every "
            "target; docs/data-contract.md says how to give places.",
            icon=":material/info:",
        )
    elif not _located(targets):
        st.info(
            "This study does not say where its electrodes lie, so there is no head to draw them on. Columns x, y and z "
            "(mm\\: to the right, to the front, upwards) in its targets file add it.",
            icon=":material/info:",
        )
    else:
        _heads(view, targets)
    _table(view, targets, noun)
    called = [str(name) for name in targets["name"]]
    target_view.target_panel(view, results, f"Choose a row of the table to see one {noun} in every layer.", called)
    selection_view.section(view, on_map=False)


def _located(targets: pd.DataFrame) -> bool:
    return set(ALONG) <= set(targets.columns) and bool(targets[list(ALONG)].notna().all(axis=1).any())


def _heads(view: View, targets: pd.DataFrame) -> None:
    from braindash.figures.head import HeadMap, head_maps, head_places

    low, high, limit = limits(view)
    maps: list[HeadMap] = []
    for which in MAPS:
        signed = which == "difference"
        ends = (-limit, limit) if signed else (low, high if high > low else low + 1.0)
        values = _fitting(values_of(view, which), len(targets))
        cmap = "diverging" if signed else "sequential"
        maps.append(HeadMap(short_title(view, which), values, cmap, *ends, unit(view, which)))
    positions = targets[list(ALONG)].to_numpy(dtype=float)
    selected = cortex_canvas.selected(len(targets))
    named = [str(name) for name in targets["name"]]
    chart(head_maps(maps, positions, named, selected=selected, theme=theme()), key="heads")
    missing = int(targets[list(ALONG)].isna().any(axis=1).sum())
    how = (
        "Seen from above, the nose on top; the contacts do not lie on a sphere and are drawn where they are, without "
        "their height."
        if head_places(positions).inside
        else "Seen from above, the nose on top; the distance from the middle is the angle from the vertex, the circle "
        "is a right angle."
    )
    left_out = f" {count(missing, 'electrode')} without a position left out." if missing else ""
    st.caption(
        f"Layer {view.layer}, {escape(view.subject)}, n = {count(len(targets) - missing, 'electrode')}. {how} "
        f"Both models share one scale, the same for all layers; grey\\: no value.{left_out}"
    )


def _fitting(values: np.ndarray, n: int) -> np.ndarray:
    """Return (n,) values, NaN where the run has none for a target at the end of the list."""
    import numpy as np

    out = np.full(n, np.nan, np.float32)
    out[: min(n, len(values))] = values[:n]
    return out


def _table(view: View, targets: pd.DataFrame, noun: str) -> None:
    """Draw one row a target, the largest difference on top; the chosen row is written into the address."""
    import pandas as pd

    shown = _rows(view, targets)
    titles = list(shown.columns[1:])
    digits = {t: st.column_config.NumberColumn(format="%.3f") for t in titles if pd.api.types.is_float_dtype(shown[t])}
    event = st.dataframe(
        shown.drop(columns="target"),
        hide_index=True,
        height=min(460, 38 + 35 * max(len(shown), 1)),
        column_config=digits,
        on_select="rerun",
        selection_mode="single-row",
        key="target_table",
        alt=f"Table of {count(len(shown), noun)}: name, region, value of both models, difference.",
    )
    st.caption(
        f"{count(len(shown), noun)} of {escape(view.subject)}, layer {view.layer}, {escape(unit(view, 'tuned'))} "
        "on test stories; the largest difference on top."
    )
    picked = [int(shown["target"].iloc[row]) for row in event["selection"]["rows"] if row < len(shown)]
    if picked != st.session_state.get(PICKED, []):  # a row stays chosen after its panel was closed
        st.session_state[PICKED] = picked
        if picked:
            cortex_canvas.choose(picked[0])
            st.rerun()


def _rows(view: View, targets: pd.DataFrame) -> pd.DataFrame:
    from pathlib import Path

    import pandas as pd

    from braindash.runs.run import Run

    n = len(targets)
    table = pd.DataFrame({"target": range(n), "Name": targets["name"].astype(str)})
    if (targets["roi"].fillna("") != "").any():
        table["Region"] = targets["roi"].fillna("").astype(str)
    if (targets["hemi"].fillna("") != "").any():
        table["Side"] = targets["hemi"].fillna("").astype(str)
    table[names.model("pretrained")] = _fitting(values_of(view, "pretrained"), n)
    table[names.model(view.model)] = _fitting(values_of(view, "tuned"), n)
    table["Difference"] = _fitting(values_of(view, "difference"), n)
    more = (
        ("Noise ceiling", "noise_ceiling", "pretrained"),
        ("q of r", "q", view.model),
        ("q of the difference", "q_difference", view.model),
    )
    run = Run(Path(view.run_path))
    for title, quantity, model in more:
        if readers.has_quantity(run.path, quantity):
            values = readers.target_values(run, model, view.layer, view.subject, quantity)
            table[title] = _fitting(values, n)
    return table.sort_values("Difference", ascending=False, kind="stable", na_position="last")
