"""Flatmaps that the browser draws itself: hover and click without the server, another layer for some kilobytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    import numpy as np

_HERE = Path(__file__).parent


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


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "braindash_flatmaps",
        css=(_HERE / "flatmap.css").read_text(encoding="utf-8"),
        js=(_HERE / "flatmap.js").read_text(encoding="utf-8"),
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
) -> int | None:
    """Draw the maps side by side where there is room; return the target that was clicked in this run of the page.

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
    """
    import zlib

    import numpy as np

    from braindash.cortex.packing import palette

    packed = zlib.compress(np.asarray(regions, dtype="<u2").tobytes(), 6)
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
            "maps": [
                {
                    "title": p.title, "short": p.short, "unit": p.unit, "alt": p.alt, "signed": p.signed,
                    "values": _address(p.values, key, str(i)), "palette": palette(p.cmap),
                    "low": p.low, "high": p.high, "digits": 2 if p.high - p.low >= 0.2 else 3,
                }
                for i, p in enumerate(panels)
            ],
        },
        on_target_change=lambda: None,
    )  # fmt: skip
    target = getattr(result, "target", None)
    return target if isinstance(target, int) and 0 <= target < n_targets else None


def _address(content: bytes, key: str, part: str, kind: str = "application/octet-stream") -> str:
    """Return where the browser finds ``content``; the same bytes have the same address, so it fetches them once."""
    from streamlit.runtime import get_instance

    address: str = get_instance().media_file_mgr.add(content, kind, f"{key}.{part}")
    return address
