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
    code = np.asarray(regions)[both]
    before, after = (np.asarray(v, dtype=np.float64)[both] for v in (pretrained, tuned))
    n = np.bincount(code, minlength=len(names))  # by number, not by name: ten times as fast for a whole cortex
    held = np.flatnonzero(n)
    sums = [np.bincount(code, weights=v, minlength=len(names))[held] for v in (before, after)]
    rows = pd.DataFrame(
        {
            "region": ["All", *(names[i] for i in held.tolist())],
            "n": np.append(before.size, n[held]),
            **{
                name: np.append(v.mean() if v.size else np.nan, total / n[held])
                for name, v, total in zip(("pretrained", "tuned"), (before, after), sums, strict=True)
            },
        }
    )
    rows["difference"] = rows["tuned"] - rows["pretrained"]
    by_size = np.argsort(-rows["difference"].abs().to_numpy()[1:], kind="stable")
    return rows.iloc[np.append(0, 1 + by_size)].reset_index(drop=True)
