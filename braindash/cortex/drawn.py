"""Which regions a subject's flatmaps outline: groups of parcels, or what its own pycortex database draws."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from braindash.config import Home
from braindash.cortex.flatmap import PAGE_HEIGHT, FlatIndex, flat_index
from braindash.cortex.parcellation import parcel_of_vertex
from braindash.errors import BraindashError
from braindash.studies.base import CortexMap
from braindash.studies.drawn_regions import read_drawing
from braindash.studies.files import is_placeholder

# regions that do not contain one another, with names short enough for a map
OUTLINED = {"primary_auditory": "A1", "ltc": "LTC", "ag": "AG", "ifg": "IFG", "mfg": "55b"}  # group: its label


def outlined(cortex_map: CortexMap, home: Home) -> dict[str, tuple[str, ...] | np.ndarray] | None:
    """Return the regions that pages and decks outline, by label, as parcels or masks; None where none are known.

    A drawing that cannot be read leaves a map without outlines: :func:`drawn_names` says why.
    """
    from braindash.encoding.regions import region_groups

    if cortex_map.space == "pycortex":
        try:
            return {**drawn_regions(cortex_map, home)} or None
        except BraindashError:
            return None
    if parcel_of_vertex(cortex_map.space) is None:
        return None
    groups = region_groups()
    return {label: tuple(groups[name]) for name, label in OUTLINED.items() if name in groups}


def drawing_file(cortex_map: CortexMap) -> Path | None:
    """Return the subject's ``overlays.svg``; None where there is none, or it is not downloaded."""
    if cortex_map.space != "pycortex" or not (cortex_map.filestore and cortex_map.subject):
        return None
    file = Path(cortex_map.filestore) / cortex_map.subject / "overlays.svg"
    return file if file.is_file() and not is_placeholder(file) else None


def drawn_names(cortex_map: CortexMap) -> tuple[str, ...]:
    """Return the names of the drawn regions; none without a drawing. Raises as :func:`drawn_regions`."""
    file = drawing_file(cortex_map)
    return tuple(read_drawing(file).regions) if file else ()


def drawn_regions(cortex_map: CortexMap, home: Home) -> dict[str, np.ndarray]:
    """Return the regions drawn on a subject's flattened cortex, kept until the file changes.

    Returns
    -------
    dict of (n_vertices,) bool arrays in the order of ``FlatIndex.flat_points``; empty without a drawing.

    Raises
    ------
    BraindashError
        The drawing or the subject cannot be read.
    """
    file = drawing_file(cortex_map)
    if file is None or not read_drawing(file).regions:
        return {}
    stat = file.stat()
    return dict(_inside(file, stat.st_size, stat.st_mtime_ns, flat_index(cortex_map, home, PAGE_HEIGHT)))


@lru_cache(maxsize=8)
def _inside(file: Path, size: int, time: int, flat: FlatIndex) -> dict[str, np.ndarray]:
    return read_drawing(file).inside(flat.flat_points, flat.triangles)
