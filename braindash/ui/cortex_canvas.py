"""The three maps of a view in the browser's own canvas, and what is known of the target that was clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from braindash.ui import names, readers
from braindash.ui.canvas import Panel, flatmaps
from braindash.ui.text import escape, number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from braindash.ui.map_values import View, Which
    from braindash.ui.readers import Results

HEIGHT = 640  # px of the index: what a map is drawn with, whatever its size on the page
SIDE_BY_SIDE, ONE_BY_ONE = 420, 4000  # least width of a map on the page, px
SHORT: dict[Which, str] = {"pretrained": "Pretrained", "difference": "Difference"}


def draw(view: View, titles: dict[Which, str], side_by_side: bool) -> None:
    """Draw the maps of a view; a click writes the target into the address and shows it below."""
    from braindash.ui.map_values import limits

    unit = names.MEASURES[view.measure]
    levels = limits(view)
    panels = []
    for which, title in titles.items():
        values, low, high = _packed(view, which)
        scale = f"change in {unit}" if which == "difference" else unit
        panels.append(
            Panel(
                title,
                SHORT.get(which, names.model(view.model)),
                values,
                "diverging" if which == "difference" else "sequential",
                low,
                high,
                scale,
                f"Flattened cortex, left and right hemisphere: {title}, layer {view.layer}, {unit} from "
                f"{number(-levels[2] if which == 'difference' else levels[0])} to "
                f"{number(levels[2] if which == 'difference' else levels[1])}.",
                signed=which == "difference",
            )
        )
    index, shape, n_targets = _index(view.study, view.study_as_of, view.subject)
    regions, region_names = _regions(view.study, view.study_as_of, view.subject)
    clicked = flatmaps(
        "cortex_maps",
        panels,
        shape=shape,
        n_targets=n_targets,
        index=index,
        regions=regions,
        region_names=region_names,
        overlay=_overlay(view.study, view.study_as_of, view.subject, view.labels) if view.outlines else None,
        selected=selected(n_targets),
        least_width=SIDE_BY_SIDE if side_by_side else ONE_BY_ONE,
    )
    if clicked is not None and clicked != selected(n_targets):
        st.session_state["target"] = clicked
        st.query_params["target"] = str(clicked)
        st.rerun()


def selected(n_targets: int) -> int | None:
    """Return the target that the address or a click names, if the subject has it."""
    wanted = st.query_params.get("target", st.session_state.get("target"))
    try:
        target = int(str(wanted))
    except ValueError:
        return None
    return target if 0 <= target < n_targets else None


def target_panel(view: View, results: Results) -> None:
    """Show one target: its numbers at this layer, and its score over layers for both models."""
    from braindash.figures import layer_curves
    from braindash.ui.results import chart, theme

    regions, region_names = _regions(view.study, view.study_as_of, view.subject)
    target = selected(len(regions))
    if target is None:
        st.caption("Click a map to see one target: what each layer of both models predicts of it.")
        return
    where = region_names[int(regions[target])]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Target {target}, {escape(where)}**, {escape(view.subject)}")
            if st.button("Close", icon=":material/close:", type="tertiary", key="close_target"):
                st.session_state.pop("target", None)
                st.query_params.pop("target", None)
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


# --- what is sent --------------------------------------------------------------------------------


@st.cache_data(max_entries=256, show_spinner=False)
def _packed(view: View, which: Which, /) -> tuple[bytes, float, float]:
    """Return one map's values and opacities as bytes, and the limits of its scale."""
    from braindash.cortex.packing import pack_values
    from braindash.ui.map_values import layer_arrays

    drawn = layer_arrays(view, which)
    low, high = float(drawn["vmin"]), float(drawn["vmax"])
    high = high if high > low else low + 1.0  # all targets alike: any scale shows it
    return pack_values(drawn["values"], low, high, drawn["alpha"]), low, high


@st.cache_data(max_entries=16, show_spinner=False)
def _index(study_id: str, as_of: tuple[int, ...], subject: str, /) -> tuple[bytes, tuple[int, int], int]:
    from braindash.cortex.flatmap import flat_index
    from braindash.cortex.packing import pack_index

    cortex_map = readers.cortex_map(study_id, subject)
    assert cortex_map is not None
    flat = flat_index(cortex_map, readers.home(), HEIGHT)
    return pack_index(flat, cortex_map), flat.shape, len(readers.study(study_id).targets(subject))


@st.cache_data(max_entries=16, show_spinner=False)
def _regions(study_id: str, as_of: tuple[int, ...], subject: str, /) -> tuple[np.ndarray, list[str]]:
    """Return the region of every target as a number, and the regions' names."""
    import pandas as pd

    targets = readers.study(study_id).targets(subject)
    side = targets["hemi"].fillna("").astype(str).map({"L": "left ", "R": "right "}).fillna("")
    roi = targets["roi"].fillna("").astype(str) if "roi" in targets else pd.Series("", index=targets.index)
    codes, found = pd.factorize((side + roi.where(roi != "", "no region")).str.strip())
    return codes, [str(name)[:1].upper() + str(name)[1:] for name in found]


@st.cache_data(max_entries=16, show_spinner=False)
def _overlay(study_id: str, as_of: tuple[int, ...], subject: str, labels: bool, /) -> bytes | None:
    """Return outlines and names of regions as a PNG of the index's size; None where the surface has no parcels."""
    import numpy as np

    from braindash.cortex.flatmap import flat_index, png_bytes
    from braindash.cortex.outlines import overlay
    from braindash.ui.map_values import outlined

    cortex_map = readers.cortex_map(study_id, subject)
    assert cortex_map is not None
    regions = outlined(cortex_map.space)
    if not regions:
        return None
    flat = flat_index(cortex_map, readers.home(), HEIGHT)
    drawn = overlay(flat, cortex_map.space, regions, labels)
    pixels = np.zeros((flat.shape[0] * flat.shape[1], 4), dtype=np.uint8)
    alpha = 1 - drawn.clear
    pixels[drawn.at, :3] = np.round(drawn.colour / np.where(alpha > 0, alpha, 1))
    pixels[drawn.at, 3] = np.round(255 * alpha[:, 0])
    return png_bytes(pixels.reshape(*flat.shape, 4))
