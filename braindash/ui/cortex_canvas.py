"""The maps of a view in the browser's own canvas: what is sent, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.cortex.area import Area, format_area, parse_area
from braindash.cortex.colour import GAIN_ACCURACY
from braindash.cortex.flatmap import PAGE_HEIGHT
from braindash.ui import address, map_values, names, readers
from braindash.ui.canvas import Extra, Panel, Plane, flatmaps
from braindash.ui.text import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from braindash.ui.map_values import View, Which

SIDE_BY_SIDE, ONE_BY_ONE = 420, 4000  # least width of a map on the page, px
Q_ENDS = (0.001, 0.2)  # a q beyond them is said to be so
AREA, TARGET = "area", "target"  # in the address
PAINTED = "_maps_painted"  # of a session: its browser has drawn maps before


def draw(view: View, maps: Sequence[Which], large: bool) -> None:
    """Draw the maps of a view; a click or a drawn area is written into the address and shown below."""
    index, shape, n_targets = _index(view.study, view.study_as_of, view.subject)
    regions, region_names = regions_of(view)
    told = flatmaps(
        "cortex_maps",
        [_panel(view, which) for which in maps],
        shape=shape,
        n_targets=n_targets,
        index=index,
        regions=regions,
        region_names=region_names,
        overlay=_overlay(view.study, view.study_as_of, view.subject, view.labels, view.regions_as_of)
        if view.outlines
        else None,
        selected=selected(n_targets),
        least_width=ONE_BY_ONE if large else SIDE_BY_SIDE,
        extras=_extras(view, tuple(maps)),
        area=selected_area(),
        report=not painted(),
    )
    if told.painted and not painted():
        st.session_state[PAINTED] = True
        st.rerun()  # the whole page: what it shows can be bookmarked now
    clicked = told.target is not None and told.target != selected(n_targets)
    drawn = told.area is not None and told.area != selected_area()
    if clicked and told.target is not None:
        choose(told.target)
    if drawn and told.area is not None:
        st.session_state[AREA] = format_area(told.area)
        address.write(**{AREA: format_area(told.area)})
    if clicked or drawn:
        st.rerun()


def painted() -> bool:
    """Whether the reader has seen a map in this session.

    A browser reads five megabytes of plotly, about a second's work, when it meets the first chart. A page whose
    maps matter most sends its charts when these are on the screen; later visits have everything at hand.
    """
    return bool(st.session_state.get(PAINTED))


def _panel(view: View, which: Which) -> Panel:
    values, low, high = _packed(view, which)
    title, unit = map_values.title(view, which), map_values.unit(view, which)
    scale_low, scale_high, limit = map_values.limits(view)
    said = f"Flattened cortex, left and right hemisphere: {title}"
    if which == "gain":
        accuracy = f"{names.MEASURES[view.measure]} of the better model"
        plane = Plane(limit, scale_low, scale_high, f"{unit} (blue worse, orange better)", f"{accuracy} (light: high)")
        alt = f"{said}, layer {view.layer}, {unit} by hue and {accuracy} by lightness."
        return Panel(title, title, values, GAIN_ACCURACY, low, high, unit, alt, plane=plane)
    if which.startswith("best"):
        layers = tuple(readers.result_layers(Path(view.run_path)))
        alt = f"{said}, a colour a layer, {layers[0]} to {layers[-1]}."
        return Panel(title, title.replace(":", ","), values, "plasma", low, high, unit, alt, layers=layers)
    difference = which == "difference"
    at = map_values.at_layer(view, which)
    return Panel(
        title,
        map_values.short_title(view, which),
        values,
        "diverging" if difference else "sequential",
        low,
        high,
        unit,
        f"{said}, {at}, {unit} from {number(low)} to {number(high)}.",
        signed=difference,
    )


def selected_area() -> Area | None:
    """Return the area that the address or a drag names."""
    return parse_area(str(st.query_params.get(AREA, st.session_state.get(AREA, ""))))


def choose(target: int) -> None:
    """Write a target into the address: it is ringed, and shown below."""
    st.session_state[TARGET] = target
    address.write(**{TARGET: str(target)})


def forget(name: str) -> None:
    """Take the target or the area out of the address."""
    st.session_state.pop(name, None)
    address.write(**{name: None})


@st.cache_resource(max_entries=16, show_spinner=False)
def targets_in(study_id: str, as_of: tuple[int, ...], subject: str, area: Area, /) -> np.ndarray:
    """Return which of a subject's targets show inside the area."""
    from braindash.cortex.area import targets_inside
    from braindash.cortex.flatmap import flat_index

    cortex_map = readers.cortex_map(study_id, subject)
    assert cortex_map is not None
    return targets_inside(area, flat_index(cortex_map, readers.home(), PAGE_HEIGHT), cortex_map)


def regions_of(view: View) -> tuple[np.ndarray, list[str]]:
    """Return the region of every target as a number, and the regions' names."""
    return _regions(view.study, view.study_as_of, view.subject, view.regions_as_of)


def selected(n_targets: int) -> int | None:
    """Return the target that the address or a click names, if the subject has it."""
    wanted = st.query_params.get("target", st.session_state.get("target"))
    try:
        target = int(str(wanted))
    except ValueError:
        return None
    return target if 0 <= target < n_targets else None


# --- what is sent --------------------------------------------------------------------------------


@st.cache_resource(max_entries=256, show_spinner=False, hash_funcs=map_values.SAME)
def _packed(view: View, which: Which, /) -> tuple[bytes, float, float]:
    """Return one map's values and opacities as bytes, and the limits of its scale."""
    from braindash.cortex.packing import pack_values

    drawn = map_values.layer_arrays(view, which)
    low, high = float(drawn["vmin"]), float(drawn["vmax"])
    if which == "gain":  # codes, which stay what they are
        low, high = 1.0, 255.0
    high = high if high > low else low + 1.0  # all targets alike: any scale shows it
    return pack_values(drawn["values"], low, high, drawn["alpha"]), low, high


@st.cache_resource(max_entries=16, show_spinner=False)
def _index(study_id: str, as_of: tuple[int, ...], subject: str, /) -> tuple[bytes, tuple[int, int], int]:
    from braindash.cortex.flatmap import flat_index
    from braindash.cortex.packing import pack_index

    cortex_map = readers.cortex_map(study_id, subject)
    assert cortex_map is not None
    flat = flat_index(cortex_map, readers.home(), PAGE_HEIGHT)
    return pack_index(flat, cortex_map), flat.shape, len(readers.study(study_id).targets(subject))


@st.cache_resource(max_entries=16, show_spinner=False)
def _regions(
    study_id: str, as_of: tuple[int, ...], subject: str, drawn_as_of: tuple[int, ...], /
) -> tuple[np.ndarray, list[str]]:
    """Return the region of every target as a number, and the regions' names."""
    import pandas as pd

    targets = readers.study(study_id).targets(subject)
    side = targets["hemi"].fillna("").astype(str).map({"L": "left ", "R": "right "}).fillna("")
    roi = targets["roi"].fillna("").astype(str) if "roi" in targets else pd.Series("", index=targets.index)
    codes, found = pd.factorize((side + roi.where(roi != "", "no region")).str.strip())
    codes.setflags(write=False)
    ours = ("left ", "right ", "no region")  # a region's own name, pSTS, stays as it is written
    return codes, [n[:1].upper() + n[1:] if n.startswith(ours) else n for n in map(str, found)]


@st.cache_resource(max_entries=16, show_spinner=False)
def _overlay(
    study_id: str, as_of: tuple[int, ...], subject: str, labels: bool, drawn_as_of: tuple[int, ...], /
) -> bytes | None:
    """Return outlines and names of regions as a PNG of the index's size; None where no regions are known."""
    import numpy as np

    from braindash.cortex.drawn import outlined
    from braindash.cortex.flatmap import flat_index, png_bytes
    from braindash.cortex.outlines import overlay

    cortex_map = readers.cortex_map(study_id, subject)
    assert cortex_map is not None
    regions = outlined(cortex_map, readers.home())
    if not regions:
        return None
    flat = flat_index(cortex_map, readers.home(), PAGE_HEIGHT)
    drawn = overlay(flat, cortex_map.space, regions, labels)
    pixels = np.zeros((flat.shape[0] * flat.shape[1], 4), dtype=np.uint8)
    alpha = 1 - drawn.clear
    pixels[drawn.at, :3] = np.round(drawn.colour / np.where(alpha > 0, alpha, 1))
    pixels[drawn.at, 3] = np.round(255 * alpha[:, 0])
    return png_bytes(pixels.reshape(*flat.shape, 4))


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=map_values.SAME)
def _extras(view: View, maps: tuple[Which, ...], /) -> list[Extra]:
    """Return what the box at the cursor says beside the maps' own values."""
    from braindash.cortex.packing import pack_values

    low, high, limit = map_values.limits(view)
    extras = []
    if "gain" in maps:
        for which in ("pretrained", "tuned", "difference"):
            if which not in maps:
                signed = which == "difference"
                ends = (-limit, limit) if signed else (low, high)
                packed = pack_values(map_values.values_of(view, which), *ends)
                digits = 2 if ends[1] - ends[0] >= 0.2 else 3
                extras.append(Extra(map_values.short_title(view, which), packed, *ends, digits, signed))
    folder = Path(view.run_path)

    def more(short: str, quantity: str, model: str, ends: tuple[float, float], digits: int) -> None:
        if not readers.has_quantity(folder, quantity):
            return
        values = readers.target_values(Run(folder), model, view.layer, view.subject, quantity)
        if np.isfinite(values).any():
            extras.append(Extra(short, pack_values(values, *ends), *ends, digits))

    import numpy as np

    from braindash.runs.run import Run

    other = "r" if view.measure == "r_norm" else "r_norm"
    top = 1.5 if other == "r_norm" else 1.0
    for model in ("pretrained", view.model):
        more(f"{names.model(model)}, {names.MEASURES[other]}", other, model, (-0.5, top), 2)
    more("Noise ceiling", "noise_ceiling", "pretrained", (0.0, 1.0), 2)
    more(f"q of r, {names.model(view.model).lower()}", "q", view.model, Q_ENDS, 3)
    more("q of the difference", "q_difference", view.model, Q_ENDS, 3)
    return extras
