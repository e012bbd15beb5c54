"""Flatmaps that the browser draws itself: hover and click without the server, another layer for some kilobytes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Plane:
    """The two scales of :func:`braindash.cortex.combined.gain_accuracy_codes`, and what they measure."""

    limit: float
    low: float
    high: float
    across: str
    up: str


@dataclass(frozen=True)
class Panel:
    """One map of several that share a cursor.

    Attributes
    ----------
    title, short : str
        Above the map, and in the box at the cursor.
    values : bytes
        From `braindash.cortex.packing.pack_values`.
    cmap : str
        "sequential", "diverging" or a matplotlib colour map.
    low, high : float
    unit, alt : str
    signed : bool
        Write a plus before values above 0.
    layers : tuple of int
        The values are these numbers and nothing between: the legend has one colour each.
    plane : Plane, optional
        The values are codes of two scales; the legend is a plane, and the box at the cursor leaves the codes out.
    """

    title: str
    short: str
    values: bytes
    cmap: str
    low: float
    high: float
    unit: str
    alt: str
    signed: bool = False
    layers: tuple[int, ...] = ()
    plane: Plane | None = None


@dataclass(frozen=True)
class Extra:
    """One number more of every target that the box at the cursor says; ``values`` as of a `Panel`."""

    short: str
    values: bytes
    low: float
    high: float
    digits: int = 2
    signed: bool = False


@dataclass(frozen=True)
class Told:
    """What the reader did on the maps in this run of the page."""

    target: int | None = None  # clicked
    area: tuple[tuple[int, int], ...] | None = None  # drawn; as of `braindash.cortex.area`
    painted: bool = False  # the maps are on the screen, for the first time in this session


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "braindash_flatmaps",
        css=(_HERE / "flatmap.css").read_text(encoding="utf-8"),
        js="\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("legend", "lasso", "flatmap")),
    )


def flatmaps(
    key: str,
    panels: list[Panel],
    *,
    shape: tuple[int, int],
    n_targets: int,
    index: bytes,
    regions: np.ndarray,
    region_names: list[str],
    overlay: bytes | None = None,
    selected: int | None = None,
    least_width: int = 420,
    extras: Sequence[Extra] = (),
    area: Sequence[tuple[int, int]] | None = None,
    report: bool = False,
) -> Told:
    """Draw the maps side by side where there is room; return what was clicked or drawn in this run of the page.

    Parameters
    ----------
    key : str
    panels : list of Panel
    shape : (H, W)
        Of the index, in pixels.
    n_targets : int
    index : bytes
        From `braindash.cortex.packing.pack_index`; fetched by the browser once.
    regions : (n_targets,) int
        Into ``region_names``.
    region_names : list of str
    overlay : bytes, optional
        A PNG of outlines and names, of the index's shape.
    selected : int, optional
        A target that is ringed.
    least_width : int
        Pixels that a map needs; fewer maps stand beside one another where there is less room.
    extras : sequence of Extra
    area : corners, optional
        What lies outside is covered.
    report : bool
        Tell once the maps are painted, or cannot be: the page runs anew then.
    """
    from braindash.cortex.area import parse_area

    packed = _pack_regions(regions)
    result = _component()(
        key=key,
        data={
            "width": shape[1],
            "height": shape[0],
            "n": n_targets,
            "index": _address(index, key, "index"),
            "regions": _address(packed, key, "regions"),
            "names": region_names,
            "overlay": _address(overlay, key, "overlay", "image/png") if overlay else None,
            "selected": -1 if selected is None else selected,
            "least": least_width,
            "area": [list(corner) for corner in area] if area else None,
            "report": report,
            "maps": [_described(p) | {"values": _address(p.values, key, str(i))} for i, p in enumerate(panels)],
            "extras": [
                {
                    "short": e.short, "low": e.low, "high": e.high, "digits": e.digits, "signed": e.signed,
                    "values": _address(e.values, key, f"extra{i}"),
                }
                for i, e in enumerate(extras)
            ],
        },
        on_target_change=lambda: None,
        on_area_change=lambda: None,
        on_painted_change=lambda: None,
    )  # fmt: skip
    target, drawn = getattr(result, "target", None), getattr(result, "area", None)
    return Told(
        target if isinstance(target, int) and 0 <= target < n_targets else None,
        parse_area(_as_text(drawn)),
        getattr(result, "painted", None) is True,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _pack_regions(regions: np.ndarray) -> bytes:
    import zlib

    import numpy as np

    return zlib.compress(np.asarray(regions, dtype="<u2").tobytes(), 6)


@functools.cache
def _palette(cmap: str) -> list[int]:
    from braindash.cortex.packing import palette

    return palette(cmap)


def _described(panel: Panel) -> dict[str, Any]:
    from braindash.cortex.colour import map_in_use
    from braindash.cortex.combined import N_ACCURACY, N_GAIN

    span = panel.high - panel.low
    said: dict[str, Any] = {
        "title": panel.title, "short": panel.short, "unit": panel.unit, "alt": panel.alt, "signed": panel.signed,
        "palette": _palette(map_in_use(panel.cmap)), "low": panel.low, "high": panel.high, "kind": "bar",
        "digits": 2 if span >= 0.2 else 3,
    }  # fmt: skip
    if panel.layers:
        said |= {"kind": "layers", "layers": list(panel.layers), "digits": 0}
    if panel.plane is not None:
        digits = 2 if panel.plane.limit >= 0.1 else 3
        said |= {"kind": "plane", "plane": {"columns": N_GAIN, "rows": N_ACCURACY, **vars(panel.plane)}}
        said |= {"digits": digits}
    return said


def _as_text(drawn: Any) -> str | None:
    """Return corners from the browser as text; what they are not, `parse_area` finds out."""
    try:
        return ";".join(f"{x},{y}" for x, y in drawn or ())
    except (TypeError, ValueError):
        return None


def _address(content: bytes, key: str, part: str, kind: str = "application/octet-stream") -> str:
    """Return where the browser finds ``content``; the same bytes have the same address, so it fetches them once."""
    from streamlit.runtime import get_instance

    address: str = get_instance().media_file_mgr.add(content, kind, f"{key}.{part}")
    return address
