"""What the maps of the Cortex page show: one value and one opacity a target, on scales that all layers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import streamlit as st

from braindash.ui import map_parts, names, readers

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from braindash.studies.base import CortexMap

FAINT = 0.15  # opacity of what does not pass, where it is not hidden
Mask = Literal["none", "q", "q_difference"]
Fade = Literal["accuracy", "q", "q_difference", "none"]  # what makes a target opaque
CLEAR_Q, OPAQUE_Q = 0.2, 0.01  # a target with that q is transparent, and opaque; between them by its logarithm
Which = Literal[
    "pretrained", "tuned", "difference", "gain", "best_pretrained", "best_tuned", "unique_pretrained", "unique_tuned"
]
WHICH: tuple[Which, ...] = get_args(Which)
USUAL: tuple[Which, ...] = WHICH[:4]  # shown before anyone chose


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
    fade: Fade
    mask: Mask = "none"  # which targets are kept: those whose q is at most ``level``
    level: float = 0.05
    faint: bool = False  # the others are shown faintly; hidden otherwise
    part: str = ""  # of the variance, that the maps of unique variance show; see map_parts
    parts_as_of: tuple[int, int] = (0, 0)
    regions_as_of: tuple[int, ...] = ()  # of the drawing of a native subject's regions


# how caches tell one view from another: its repr says all of it, in 16 µs; hashing each part takes 307
SAME: dict[str | type[Any], Callable[[Any], Any]] = {View: repr}


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
    models = models_of(view, which)
    passed = [q(model) <= view.level for model in models]
    return passed[0] | passed[-1]


def _opacity_of_q(view: View, which: Which, quantity: str) -> np.ndarray:
    """Return how opaque each target is by its q, the smaller of two models' where a map is of both: (n_targets,)."""
    from pathlib import Path

    import numpy as np

    from braindash.runs.run import Run

    run = Run(Path(view.run_path))
    models = (view.model,) if quantity == "q_difference" else models_of(view, which)
    q = np.fmin.reduce([readers.target_values(run, m, view.layer, view.subject, quantity) for m in models])
    share = np.log(CLEAR_Q / np.maximum(q, 1e-9)) / np.log(CLEAR_Q / OPAQUE_Q)
    return np.clip(np.where(np.isfinite(share), share, 0), 0, 1)


def models_of(view: View, which: Which) -> tuple[str, ...]:
    """Return the models, of one or two, that a map is made from."""
    one: dict[Which, tuple[str, ...]] = {
        "pretrained": ("pretrained",),
        "best_pretrained": ("pretrained",),
        "tuned": (view.model,),
        "best_tuned": (view.model,),
        "unique_pretrained": ("pretrained",),
        "unique_tuned": (view.model,),
    }
    return one.get(which, ("pretrained", view.model))


def title(view: View, which: Which) -> str:
    """Return what stands above a map."""
    model = names.model(view.model)
    return {
        "pretrained": names.model("pretrained"),
        "tuned": model,
        "difference": f"Difference: {model} − pretrained",
        "gain": f"Gain × accuracy: {model} and pretrained",
        "best_pretrained": f"Best layer: {names.model('pretrained').lower()}",
        "best_tuned": f"Best layer: {model.lower()}",
        "unique_pretrained": f"Unique variance: {names.model('pretrained').lower()}",
        "unique_tuned": f"Unique variance: {model.lower()}",
    }[which]


def at_layer(view: View, which: Which) -> str:
    """Return the layer that a map is of, in words; empty where it is of all layers."""
    if which.startswith("best"):
        return ""
    if which.startswith("unique"):
        held = map_parts.parts(view)
        return "" if held is None else f"layer {held.layer}"
    return f"layer {view.layer}"


def short_title(view: View, which: Which) -> str:
    """Return a map's name in lists."""
    return title(view, which).split(":")[0] if which in ("difference", "gain") else title(view, which).replace(":", ",")


def unit(view: View, which: Which) -> str:
    """Return what a map's colours mean."""
    measure = names.MEASURES[view.measure]
    if which.startswith("unique"):
        return f"R², {map_parts.title(view.part)}"
    if which.startswith("best"):
        return f"layer with the highest {measure}"
    return f"change in {measure}" if which in ("difference", "gain") else measure


def values_of(view: View, which: Which, layer: int | None = None) -> np.ndarray:
    """Return one map's values, in the study's order of targets: (n_targets,) float32; of "gain" the change."""
    from pathlib import Path

    from braindash.runs.run import Run

    run = Run(Path(view.run_path))
    at = view.layer if layer is None else layer
    if which in ("difference", "gain"):
        return values_of(view, "tuned", at) - values_of(view, "pretrained", at)
    (model,) = models_of(view, which)
    if which.startswith("best"):
        return _best(view, model)[0]
    if which.startswith("unique"):
        return map_parts.drawn(view, model)[0]
    return readers.target_values(run, model, at, view.subject, view.measure)


def _best(view: View, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return every target's best layer and its value there."""
    return _best_layer(view.run_path, view.as_of, model, view.subject, view.measure)


@st.cache_resource(max_entries=16, show_spinner=False)
def _best_layer(
    run_path: str, as_of: tuple[int, int], model: str, subject: str, measure: str, /
) -> tuple[np.ndarray, np.ndarray]:
    from pathlib import Path

    import numpy as np

    from braindash.cortex.combined import best_layer
    from braindash.runs.run import Run

    layers = readers.result_layers(Path(run_path))
    run = Run(Path(run_path))
    scores = np.stack([readers.target_values(run, model, k, subject, measure) for k in layers])
    found = best_layer(scores, np.asarray(layers))
    for array in found:
        array.setflags(write=False)
    return found


def limits(view: View) -> tuple[float, float, float]:
    """Return low and high of both models' maps, and the limit of the difference, the same for every layer."""
    from dataclasses import replace

    plain = {
        "part": "",
        "parts_as_of": (0, 0),
        "regions_as_of": (),
        "layer": -1,
        "outlines": True,
        "labels": True,
        "fade": "none",
        "mask": "none",
        "level": 0.05,
        "faint": False,
    }
    return _limits(replace(view, **plain))  # type: ignore[arg-type]


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=SAME)
def _limits(view: View, /) -> tuple[float, float, float]:
    from pathlib import Path

    from braindash.cortex.colour import shared_limits, symmetric_limit

    layers = readers.result_layers(Path(view.run_path))
    both = [values_of(view, which, layer) for which in ("pretrained", "tuned") for layer in layers]
    low, high = shared_limits(*both)
    return max(low, 0.0), high, symmetric_limit(*[values_of(view, "difference", layer) for layer in layers])


def accuracy(view: View) -> np.ndarray:
    """Return the better of the two models' values: (n_targets,)."""
    import numpy as np

    return np.fmax(values_of(view, "pretrained"), values_of(view, "tuned"))


def shown(view: View) -> int:
    """Return how many targets of the difference have a value and a place on the cortex."""
    from braindash.cortex.flatmap import n_shown

    cortex_map = readers.cortex_map(view.study, view.subject)
    return 0 if cortex_map is None else n_shown(values_of(view, "difference"), cortex_map)


def layer_arrays(view: View, which: Which) -> dict[str, Any]:
    """Return the arguments of `braindash.cortex.flatmap.flatmap_image` for one map."""
    from pathlib import Path

    import numpy as np

    from braindash.cortex.colour import DIVERGING, GAIN_ACCURACY, SEQUENTIAL, map_in_use
    from braindash.cortex.combined import gain_accuracy_codes
    from braindash.cortex.drawn import outlined

    home = readers.home()
    cortex_map = readers.cortex_map(view.study, view.subject)
    values = values_of(view, which)
    low, high, difference = limits(view)
    alpha = None
    both = which in ("difference", "gain")
    better = accuracy(view) if both else values
    if which.startswith("best"):
        better = _best(view, models_of(view, which)[0])[1]
    # the maps' own names: what is kept on the disk under them is not shown in other colours later
    cmap, vmin, vmax = (map_in_use(DIVERGING), -difference, difference) if both else (map_in_use(SEQUENTIAL), low, high)
    if which == "gain":
        codes = gain_accuracy_codes(values, better, difference, low, high)
        values = np.where(codes > 0, codes, np.nan).astype(np.float32)
        cmap, vmin, vmax = GAIN_ACCURACY, 0.0, 256.0  # a value is its colour's row
    elif which.startswith("best"):
        layers = readers.result_layers(Path(view.run_path))
        cmap, vmin, vmax = "plasma", float(layers[0]), float(max(layers[-1], layers[0] + 1))
    elif which.startswith("unique"):
        values, vmin, vmax = map_parts.drawn(view, models_of(view, which)[0])
        better, low, high = values, vmin, vmax
    if view.fade in ("q", "q_difference"):
        alpha = _opacity_of_q(view, which, view.fade)
    elif view.fade == "accuracy" and which != "gain":  # there lightness says it
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
        "cmap": cmap,
        "vmin": vmin,
        "vmax": vmax,
        "alpha": alpha,
        "outlines": outlined(cortex_map, home) if view.outlines and cortex_map is not None else None,
        "labels": view.labels,
    }


def why_not_outlined(cortex_map: CortexMap | None) -> str:
    """Say why no region can be outlined; empty where some can. Reads names only."""
    from braindash.cortex.drawn import drawn_names
    from braindash.errors import BraindashError

    if cortex_map is None:
        return "The subject has no cortex map."
    if cortex_map.space == "pycortex":
        try:
            found = drawn_names(cortex_map)
        except BraindashError as error:
            return error.what
        return "" if found else "No regions are drawn in the subject's overlays.svg, or it is not downloaded."
    known = cortex_map.space == "fs_LR-32k"
    return "" if known else "The outlines are those of the HCP-MMP1 parcels, known on fs_LR-32k alone."


def drawing_mark(cortex_map: CortexMap | None) -> tuple[int, ...]:
    """Return what changes when the drawing of a native subject's regions does."""
    from braindash.cortex.drawn import drawing_file

    file = None if cortex_map is None else drawing_file(cortex_map)
    return () if file is None else readers.mark(file)
