"""All targets, or those of the area that was drawn on a map: scatter of the two models, and a table of regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import cortex_canvas, kept, names
from braindash.ui.glossary_help import explain
from braindash.ui.map_values import values_of
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from braindash.ui.map_values import View, Which

BOTH: tuple[Which, ...] = ("pretrained", "tuned")


def section(view: View, on_map: bool = True) -> None:
    """Draw the two models against one another, target by target, and their means by region.

    Without a map there is no area to be in.
    """
    import numpy as np

    from braindash.figures import scatter
    from braindash.ui.charts import chart, theme

    n_targets = len(cortex_canvas.regions_of(view)[0])  # of the study, which may have been changed since the run
    pretrained, tuned = (values_of(view, which)[:n_targets] for which in BOTH)
    chosen = _chosen(view, len(pretrained)) if on_map else None
    n = int((np.isfinite(pretrained) & np.isfinite(tuned) & (True if chosen is None else chosen)).sum())
    st.subheader("Target by target", help=explain("target", "r_norm", "noise_ceiling"))
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen is None:
            how = " *Select an area* on a map to see those in it." if on_map else ""
            st.caption(f"All {count(n, 'target')} with a value.{how}")
        else:
            st.markdown(f"**The area on the maps**\\: {count(n, 'target')} with a value.")
            if st.button("Clear the area", icon=":material/close:", type="tertiary", key="clear_area"):
                cortex_canvas.forget(cortex_canvas.AREA)
                st.rerun()
    if not n:
        st.info("No target in this area has a value in both models.", icon=":material/info:")
        return
    unit = names.MEASURES[view.measure]
    left, right = st.columns([1, 1], gap="medium")
    with left:
        chart(
            kept.figure(scatter, pretrained, tuned, label=unit, tuned_model=view.model, chosen=chosen, theme=theme()),
            key="target_scatter",
            title=f"Target by target: tuned against pretrained, layer {view.layer}",
            n=f"{view.subject}, n = {count(n, 'target')}",
        )
    with right:
        _table(view, pretrained, tuned, chosen)
    st.caption(
        f"Layer {view.layer}, {escape(view.subject)}; {escape(unit)} on test stories. Dashed\\: no change. "
        "Neighbouring targets are not independent, so there is no test here; the Encoding page has intervals."
    )


def _chosen(view: View, n_targets: int) -> np.ndarray | None:
    """Return which targets lie in the area; None without an area."""
    import numpy as np

    area = cortex_canvas.selected_area()
    if area is None:
        return None
    inside = np.zeros(n_targets, dtype=bool)
    found = cortex_canvas.targets_in(view.study, view.study_as_of, view.subject, area)
    inside[found[found < n_targets]] = True
    return inside


def _table(view: View, pretrained: np.ndarray, tuned: np.ndarray, chosen: np.ndarray | None) -> None:
    import numpy as np

    from braindash.cortex.area import region_table

    regions, region_names = cortex_canvas.regions_of(view)
    whole = np.ones(len(pretrained), dtype=bool) if chosen is None else chosen
    rows: pd.DataFrame = region_table(regions[: len(whole)], region_names, pretrained, tuned, whole)
    digits = st.column_config.NumberColumn(format="%.3f")
    titles = {
        "region": "Region",
        "n": "n targets",
        "pretrained": names.model("pretrained"),
        "tuned": names.model(view.model),
        "difference": "Difference",
    }
    st.dataframe(
        rows.rename(columns=titles),
        hide_index=True,
        height=420,
        column_config={titles[k]: digits for k in ("pretrained", "tuned", "difference")},
        alt="Table of the regions: number of targets, mean of both models, mean difference.",
    )
