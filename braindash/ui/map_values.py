"""What the maps of the Cortex page show: one value and one opacity a target, on scales that all layers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import streamlit as st

from braindash.ui import readers

if TYPE_CHECKING:
    import numpy as np

# regions that do not contain one another, with names short enough for a map
OUTLINED = {"primary_auditory": "A1", "ltc": "LTC", "ag": "AG", "ifg": "IFG", "mfg": "55b"}
FAINT = 0.15  # opacity of what does not pass, where it is not hidden
Mask = Literal["none", "q", "q_difference"]
Which = Literal["pretrained", "tuned", "difference"]
WHICH: tuple[Which, ...] = get_args(Which)


@dataclass(frozen=True)
class View:
    """What is on the maps; hashable, so that a drawn map is kept by it."""

    run_path: str
    as_of: tuple[int, int]
    study: str
    study_as_of: tuple[int, ...]
    subject: str
    model: str  # compared with the pretrained one
    layer: int
    measure: str
    outlines: bool
    labels: bool
    fade: bool
    mask: Mask = "none"  # which targets are kept: those whose q is at most ``level``
    level: float = 0.05
    faint: bool = False  # the others are shown faintly; hidden otherwise


def passing(view: View, which: Which) -> np.ndarray | None:
    """Return which targets pass the view's mask in one map: (n_targets,) bool; None where nothing is masked."""
    from pathlib import Path

    from braindash.runs.run import Run

    if view.mask == "none":
        return None
    run = Run(Path(view.run_path))

    def q(model: str) -> np.ndarray:
        return readers.target_values(run, model, view.layer, view.subject, view.mask)

    if view.mask == "q_difference":
        return q(view.model) <= view.level
    models = {"pretrained": ("pretrained",), "tuned": (view.model,), "difference": ("pretrained", view.model)}[which]
    passed = [q(model) <= view.level for model in models]
    return passed[0] | passed[-1]


def values_of(view: View, which: Which, layer: int | None = None) -> np.ndarray:
    from pathlib import Path

    from braindash.runs.run import Run

    run = Run(Path(view.run_path))
    at = view.layer if layer is None else layer
    if which == "difference":
        return values_of(view, "tuned", at) - values_of(view, "pretrained", at)
    return readers.target_values(run, view.model if which == "tuned" else "pretrained", at, view.subject, view.measure)


def limits(view: View) -> tuple[float, float, float]:
    """Return low and high of both models' maps, and the limit of the difference, the same for every layer."""
    from dataclasses import replace

    plain = {"layer": -1, "outlines": True, "labels": True, "fade": True, "mask": "none", "level": 0.05, "faint": False}
    return _limits(replace(view, **plain))  # type: ignore[arg-type]


@st.cache_data(max_entries=64, show_spinner=False)
def _limits(view: View, /) -> tuple[float, float, float]:
    from pathlib import Path

    from braindash.cortex.colour import shared_limits, symmetric_limit

    layers = readers.result_layers(Path(view.run_path))
    both = [values_of(view, which, layer) for which in ("pretrained", "tuned") for layer in layers]
    low, high = shared_limits(*both)
    return max(low, 0.0), high, symmetric_limit(*[values_of(view, "difference", layer) for layer in layers])


def shown(view: View) -> int:
    """Return how many targets of the difference have a value and a place on the cortex."""
    from braindash.cortex.flatmap import n_shown

    cortex_map = readers.cortex_map(view.study, view.subject)
    return 0 if cortex_map is None else n_shown(values_of(view, "difference"), cortex_map)


def layer_arrays(view: View, which: Which) -> dict[str, Any]:
    """Return the arguments of `braindash.cortex.flatmap.flatmap_image` for one map."""
    import numpy as np

    home = readers.home()
    cortex_map = readers.cortex_map(view.study, view.subject)
    values = values_of(view, which)
    low, high, difference = limits(view)
    alpha = None
    if view.fade:
        better = values if which != "difference" else np.fmax(values_of(view, "pretrained"), values_of(view, "tuned"))
        alpha = np.clip((better - low) / (0.5 * (high - low)), 0, 1)
    keep = passing(view, which)
    if keep is not None and view.faint:
        alpha = np.where(keep, 1.0 if alpha is None else alpha, FAINT)
    elif keep is not None:
        values = np.where(keep, values, np.float32(np.nan))
    return {
        "values": values,
        "cortex_map": cortex_map,
        "home": home,
        "cmap": "diverging" if which == "difference" else "sequential",
        "vmin": -difference if which == "difference" else low,
        "vmax": difference if which == "difference" else high,
        "alpha": alpha,
        "outlines": outlined(cortex_map.space) if view.outlines and cortex_map is not None else None,
        "labels": view.labels,
    }


def outlined(space: str) -> dict[str, tuple[str, ...]] | None:
    """Return the regions that are outlined, by label; None where the surface has no parcels."""
    from braindash.cortex.parcellation import parcel_of_vertex
    from braindash.encoding.regions import region_groups

    if space == "pycortex" or parcel_of_vertex(space) is None:
        return None
    groups = region_groups()
    return {label: tuple(groups[name]) for name, label in OUTLINED.items() if name in groups}
