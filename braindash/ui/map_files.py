"""What is kept of the maps: each as a picture, all as data."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.ui import names, readers
from braindash.ui.charts import offer_map
from braindash.ui.map_values import (
    accuracy,
    at_layer,
    layer_arrays,
    limits,
    models_of,
    passing,
    short_title,
    shown,
    title,
    unit,
    values_of,
)
from braindash.ui.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from braindash.figures.style import ThemeName
    from braindash.ui.map_values import View, Which

FORMATS = {  # of braindash.cortex.export
    "gifti_L": "GIFTI, left hemisphere",
    "gifti_R": "GIFTI, right hemisphere",
    "cifti": "CIFTI, dense scalars",
    "nifti": "NIfTI, voxels",
    "csv": "CSV, a row a target",
}


def menus(view: View, maps: Sequence[Which], caveats: tuple[str, ...]) -> None:
    """Draw one menu a map for its picture, and one for the numbers of all."""
    for which in maps:
        with st.popover(short_title(view, which), icon=":material/download:"):
            _pictures(view, which, caveats)
    data_menu(view, maps)


def data_menu(view: View, maps: Sequence[Which]) -> None:
    """Draw the menu of all maps' numbers, as files that other programs read."""
    from braindash.cortex.export import formats

    cortex_map = readers.cortex_map(view.study, view.subject)
    if cortex_map is None:
        return
    with st.popover("Data", icon=":material/database:"):
        st.caption("The numbers of the maps above; no number where a target is not shown.")
        for kind, ending in formats(cortex_map).items():
            st.download_button(
                FORMATS[kind],
                data=functools.partial(data_file, view, tuple(maps), kind),
                file_name=f"{_stem(view)}{ending}",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key=f"download_data_{kind}",
            )


def data_file(view: View, maps: tuple[Which, ...], kind: str) -> bytes:
    """Return the numbers of the maps shown as one file."""
    from braindash.cortex.export import map_file

    cortex_map = readers.cortex_map(view.study, view.subject)
    assert cortex_map is not None
    named = {name: values for which in maps for name, values in _numbers(view, which).items()}
    return map_file(kind, named, cortex_map, readers.study(view.study).targets(view.subject))


def _numbers(view: View, which: Which) -> dict[str, np.ndarray]:
    """Return what a map shows, by name; of two scales in one colour, both numbers."""
    import numpy as np

    at = f", {at_layer(view, which)}" if at_layer(view, which) else ""
    found = {f"{title(view, which)}{at}, {unit(view, which)}": values_of(view, which)}
    if which == "gain":
        better = f"Better of the two models{at}, {names.MEASURES[view.measure]}"
        found = {
            f"{title(view, 'difference')}{at}, {unit(view, which)}": values_of(view, which),
            better: accuracy(view),
        }
    keep = passing(view, which)
    if keep is None or view.faint:
        return found
    return {name: np.where(keep, values, np.float32(np.nan)) for name, values in found.items()}


def _stem(view: View) -> str:
    """Return how the names of the files of a view begin."""
    run_id = view.run_path.rsplit("/", 1)[-1]
    stem = f"{run_id}-{view.subject}-layer{view.layer}-{view.measure}"
    return stem if view.mask == "none" else f"{stem}-{view.mask}{view.level:g}"


def _pictures(view: View, which: Which, caveats: tuple[str, ...]) -> None:
    with st.container(horizontal=True, gap="small", width="content"):
        for kind, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(
                kind.upper(),
                data=functools.partial(figure_file, view, which, caveats, kind),
                file_name=f"{_stem(view)}-{which}.{kind}",
                mime=mime,
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key=f"download_{which}_{kind}",
                help=f"This map with its scale, its title and the caveats, as {kind.upper()}.",
            )


def passing_sentence(view: View, which: Which) -> str:
    """Say how many of the targets with a value pass the mask, and what was tested."""
    values, keep = values_of(view, which), passing(view, which)
    assert keep is not None
    import numpy as np

    shown = np.isfinite(values)
    n, total = int((keep & shown).sum()), int(shown.sum())
    share = f" ({n / total:.0%})" if total else ""
    models = models_of(view, which)
    if view.mask == "q_difference":
        what = "are predicted differently by the two models"
    elif len(models) == 2:
        what = "are predicted above chance by one of the two models or both"
    else:
        what = f"are predicted above chance by {names.the_model(models[0])}"
    at = f" at layer {view.layer}" if which.startswith(("best", "unique")) else ""
    return f"{n:,} of {count(total, 'target')}{share} {what}{at}, at q ≤ {view.level:g}."


def offer(view: View, which: Which) -> None:
    """Offer one map as a bookmark: its picture in the shape of a slide, which says title and caveats itself."""
    at = f", {at_layer(view, which)}" if at_layer(view, which) else ""
    masked = passing_sentence(view, which) if view.mask != "none" else ""
    n = f"{view.subject}, n = {count(shown(view), 'target')}"
    offer_map(
        f"map_{which}",
        f"{title(view, which)}: {unit(view, which)}{at}",
        functools.partial(slide_picture, view, which),
        alt=f"Flattened cortex, left and right hemisphere, coloured by {unit(view, which)}{at}. {masked}".strip(),
        n=n,
        statistics=masked,
        runs=(Path(view.run_path).name,),
    )


def slide_picture(view: View, which: Which, theme: ThemeName, kind: str) -> bytes:
    """Return one map with its scale as a PNG or SVG file, with letters as large as a slide needs them."""
    import io

    import matplotlib as mpl

    from braindash.cortex.figure import flatmap_figure

    figure = flatmap_figure(
        **layer_arrays(view, which), **_legend(view, which), label=unit(view, which), theme=theme, width=7.0
    )
    out = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path"}):  # letters that look the same on every machine
        figure.savefig(out, format=kind, dpi=300)
    return out.getvalue()


def figure_file(view: View, which: Which, caveats: tuple[str, ...], kind: str) -> bytes:
    """Return one map with scale, title and caveats as a PNG or SVG file."""
    import io

    from braindash.cortex.figure import flatmap_figure

    at = f"{at_layer(view, which)}, " if at_layer(view, which) else ""
    figure = flatmap_figure(
        **layer_arrays(view, which),
        **_legend(view, which),
        label=unit(view, which),
        title=f"{title(view, which)}, {at}{view.subject}",
        note=" ".join([*([passing_sentence(view, which)] if view.mask != "none" else []), *caveats]),
    )
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=200)
    return out.getvalue()


def _legend(view: View, which: Which) -> dict[str, Any]:
    """Return what a figure's legend needs beside a colour bar."""
    from braindash.cortex.figure import Plane

    if which.startswith("best"):
        return {"layers": tuple(readers.result_layers(Path(view.run_path)))}
    if which != "gain":
        return {}
    low, high, limit = limits(view)
    return {"plane": Plane(limit, low, high, f"{names.MEASURES[view.measure]} of the better model")}
