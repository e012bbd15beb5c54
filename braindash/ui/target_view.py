"""What is known of the target that was clicked on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import cortex_canvas, names, readers
from braindash.ui.text import escape, number

if TYPE_CHECKING:
    import pandas as pd

    from braindash.ui.map_values import View
    from braindash.ui.readers import Results


def target_panel(view: View, results: Results) -> None:
    """Show one target: its numbers at this layer, and its score over layers for both models."""
    from braindash.figures import layer_curves
    from braindash.ui.results import chart, theme

    regions, region_names = cortex_canvas.regions_of(view)
    target = cortex_canvas.selected(len(regions))
    if target is None:
        st.caption("Click a map to see one target: what each layer of both models predicts of it.")
        return
    where = region_names[int(regions[target])]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Target {target}, {escape(where)}**, {escape(view.subject)}")
            if st.button("Close", icon=":material/close:", type="tertiary", key="close_target"):
                cortex_canvas.forget(cortex_canvas.TARGET)
                st.rerun()
        curves = _profile(view, results, target)
        if curves.empty:
            st.info("This target was left out: it has no value in this run.", icon=":material/info:")
            return
        st.text(_numbers(view, target))
        chart(
            layer_curves(curves, y_label=names.MEASURES[view.measure], theme=theme(), columns=1),
            key="target_profile",
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
    from pathlib import Path

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
    from pathlib import Path

    from braindash.runs.run import Run

    values = readers.target_values(Run(Path(view.run_path)), model, layer, view.subject, quantity)
    return float(values[target]) if target < len(values) else float("nan")
