"""An area drawn on a flatmap: which targets lie in it, and what it holds, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError

if TYPE_CHECKING:
    import pandas as pd

    from braindash.cortex.flatmap import FlatIndex
    from braindash.studies.base import CortexMap

Area = tuple[tuple[int, int], ...]  # corners: thousandths of the map's width from the left, of its height from the top
WHOLE = 1000
_MOST = 200  # corners


def parse_area(text: str | None) -> Area | None:
    """Return the area that an address names, such as ``"100,200;300,200;200,400"``; None where it names none."""
    try:
        corners = tuple((int(x), int(y)) for x, y in (corner.split(",") for corner in (text or "").split(";")))
    except ValueError:
        return None
    within = all(0 <= v <= WHOLE for corner in corners for v in corner)
    return corners if 3 <= len(corners) <= _MOST and within else None


def format_area(area: Sequence[Sequence[int]]) -> str:
    """Return an area as `parse_area` reads it."""
    return ";".join(f"{int(x)},{int(y)}" for x, y in area)


def targets_inside(area: Area, flat: FlatIndex, cortex_map: CortexMap) -> np.ndarray:
    """Return which targets show at a pixel inside the area, its edge included: (n,) int, rising.

    Raises
    ------
    BraindashError
        Where an area has fewer than three corners.
    """
    from PIL import Image, ImageDraw

    if len(area) < 3:
        raise BraindashError(f"An area of {len(area)} corners holds nothing.", "Give three or more.")
    height, width = flat.shape
    picture = Image.new("1", (width, height))
    ImageDraw.Draw(picture).polygon([(x * width / WHOLE, y * height / WHOLE) for x, y in area], fill=1, outline=1)
    found = np.unique(flat.target(cortex_map)[np.asarray(picture)])
    return found[found >= 0]


def region_table(
    regions: np.ndarray, names: Sequence[str], pretrained: np.ndarray, tuned: np.ndarray, chosen: np.ndarray
) -> pd.DataFrame:
    """Average two models' values over the chosen targets of every region.

    Parameters
    ----------
    regions : (n_targets,) int
        Into ``names``.
    names : sequence of str
    pretrained, tuned : (n_targets,) float
        Targets where either is NaN are left out.
    chosen : (n_targets,) bool

    Returns
    -------
    DataFrame
        ``region, n, pretrained, tuned, difference``, the largest difference in either direction first, all regions
        together on top as "All".
    """
    import pandas as pd

    both = np.isfinite(pretrained) & np.isfinite(tuned) & chosen
    rows = pd.DataFrame(
        {
            "region": np.asarray(names, dtype=object)[np.asarray(regions)[both]],
            "pretrained": np.asarray(pretrained, dtype=np.float64)[both],
            "tuned": np.asarray(tuned, dtype=np.float64)[both],
        }
    )
    rows["difference"] = rows["tuned"] - rows["pretrained"]
    values = ["pretrained", "tuned", "difference"]
    whole = rows.assign(region="All")
    parts = [
        part.groupby("region", sort=False)[values].mean().assign(n=part.groupby("region").size()).reset_index()
        for part in (whole, rows)
    ]
    by_size = parts[1].sort_values("difference", key=lambda d: d.abs(), ascending=False, kind="stable")
    return pd.concat([parts[0], by_size], ignore_index=True)[["region", "n", *values]]
