"""The variance that feature spaces explain alone or share, target by target, as maps show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import links, notices, readers
from braindash.ui.partition_view import SHARED, UNIQUE, space_title
from braindash.ui.text import count, escape

if TYPE_CHECKING:
    import numpy as np

    from braindash.ui.map_values import View

FILE = "partition.nc"
TOTAL = "total"
USUAL = "unique:model"


@dataclass(frozen=True)
class Parts:
    """What a run's partition holds of one subject's targets; ``values`` are R², NaN where a target was not fitted."""

    layer: int
    models: tuple[str, ...]
    parts: tuple[str, ...]
    values: np.ndarray  # (n_models, n_parts, n_targets) float32

    def of(self, model: str, part: str) -> np.ndarray:
        return self.values[self.models.index(model), self.parts.index(part)]


def parts(view: View) -> Parts | None:
    """Return the partition of the view's run and subject, or None where there is none.

    Raises
    ------
    BraindashError
        Where it is there but cannot be read.
    """
    folder = Path(view.run_path)
    return _parts(str(folder), readers.mark(folder / FILE), view.study, view.study_as_of, view.subject)


@st.cache_resource(max_entries=16, show_spinner=False)
def _parts(
    path: str, as_of: tuple[int, int], study: str, study_as_of: tuple[int, ...], subject: str, /
) -> Parts | None:
    import numpy as np

    from braindash.runs.partition_targets import read_partition_targets

    data = read_partition_targets(Path(path))
    if data is None:
        return None
    mine = np.flatnonzero(data["subject"].values.astype(str) == subject)
    if not mine.size:
        return None
    found = data["r2"].transpose("model", "part", "target").values[..., mine]
    n = len(readers.study(study).targets(subject))
    at = data["target_index"].values[mine].astype(int)
    inside = (at >= 0) & (at < n)  # a study that was changed since has fewer
    values = np.full((*found.shape[:2], n), np.nan, np.float32)
    values[..., at[inside]] = found[..., inside]
    values.setflags(write=False)
    models, named = (tuple(str(v) for v in data[dim].values) for dim in ("model", "part"))
    return Parts(int(data.attrs.get("layer", -1)), models, named, values)


def drawn(view: View, model: str) -> tuple[np.ndarray, float, float]:
    """Return one model's map of the view's part, and a scale that serves every model of the run.

    Raises
    ------
    BraindashError
        Where the run has no partition, or not of this model or part.
    """
    from braindash.cortex.colour import shared_limits

    held = parts(view)
    if held is None or model not in held.models or view.part not in held.parts:
        raise BraindashError("The run has no such partition.", f"braindash partition {Path(view.run_path).name}")
    values = held.of(model, view.part)
    low, high = shared_limits(held.values[:, held.parts.index(view.part)])
    return values, max(low, 0.0), max(high, 0.01)


def title(part: str) -> str:
    """Return what a part is called."""
    if part == TOTAL:
        return "all feature spaces together"
    if part == SHARED:
        return "shared by two feature spaces or more"
    return f"{space_title(part.removeprefix(UNIQUE)).lower()} alone"


def choose(view: View, model: str) -> str | None:
    """Draw the choice of the part that the maps of unique variance show; None, and what to do, where there is none."""
    run = Path(view.run_path).name
    try:
        held = parts(view)
    except BraindashError as error:
        notices.mistake(error)
        return None
    if held is None or model not in held.models or "pretrained" not in held.models:
        who = "" if held is None else f" with {escape(model.replace('_', ' '))}"
        st.info(
            f"There is no map of unique variance yet\\: what each feature space explains of {escape(view.subject)}'s "
            f"targets alone has not been computed{who}. It takes minutes\\: `braindash partition {run}`",
            icon=":material/info:",
        )
        return None
    part = links.select(
        "part",
        "Unique variance of",
        held.parts,
        default=USUAL,
        names=lambda p: title(p).capitalize(),
        help="What a feature space explains of a target's response that no other does (R² of all spaces together, "
        "less R² without it), on test stories. The speech model's layer is one of the spaces.",
    )
    fitted = int((held.values == held.values).any((0, 1)).sum())
    st.caption(
        f"Unique variance\\: layer {held.layer}, whatever the slider says; "
        f"{fitted:,} of {count(held.values.shape[2], 'target')} were fitted, those of a region evenly spaced over it. "
        f"For more of them\\: `braindash partition {run} --targets N`"
    )
    return part
