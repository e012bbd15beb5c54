"""A flatmap straight from a result."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import Home
from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from braindash.studies.base import CortexMap


def flatmap(
    values: xr.DataArray | np.ndarray,
    cortex: CortexMap | Callable[[str], CortexMap | None],
    home: Home | str | os.PathLike[str] | None = None,
    *,
    subject: str | None = None,
    outlines: Mapping[str, Sequence[str] | np.ndarray] | None = None,
    label: str | None = None,
    **options: Any,
) -> Figure:
    """Draw one value a target on the flattened cortex, as a matplotlib figure.

    Parameters
    ----------
    values : (n_targets,) DataArray or array
        A DataArray may hold several subjects, told apart by its coordinate ``subject``.
    cortex : CortexMap, or a function from a subject to one
        ``study.cortex`` is such a function.
    home : Home or path, optional
        Where surfaces are kept; default ``$BRAINDASH_HOME``, else ``./cache``.
    subject : str, optional
        Whose targets; needed where ``values`` hold several subjects, or an array comes with a function.
    outlines : mapping, optional
        Default: the auditory and language regions where the surface has parcels, and what a native subject's
        own drawing (``overlays.svg``) encloses. Give ``{}`` for none.
    label : str, optional
        What the values are; default the DataArray's name.
    **options
        ``cmap, vmin, vmax, alpha, labels, title, note, theme, width, height`` of
        :func:`braindash.cortex.figure.flatmap_figure`.

    Raises
    ------
    BraindashError
        If the subject is missing or unknown, has no place on a cortex, or the values have another shape.
    """
    from braindash.cortex.drawn import drawn_regions
    from braindash.cortex.figure import flatmap_figure
    from braindash.cortex.outlines import main_regions

    numbers, subject, name = _one_subject(values, subject)
    found = _cortex_map(cortex, subject)
    place = home if isinstance(home, Home) else Home.resolve(home)
    if outlines is None:
        outlines = drawn_regions(found, place) if found.space == "pycortex" else main_regions(found.space)
    if "title" not in options and subject:
        options["title"] = subject
    return flatmap_figure(numbers, found, place, outlines=outlines, label=label or _LABELS.get(name, name), **options)


_LABELS = {"r_norm": "r / noise ceiling", "r2": "R²", "": "value", "noise_ceiling": "noise ceiling (r)"}


def _one_subject(values: xr.DataArray | np.ndarray, subject: str | None) -> tuple[np.ndarray, str | None, str]:
    """Return one subject's values as a vector, the subject if known, and what the values are called."""
    if isinstance(values, np.ndarray):
        return values.astype(float), subject, ""
    values = values.squeeze([d for d, size in values.sizes.items() if size == 1 and d != "target"])
    if values.ndim != 1:
        raise BraindashError(
            f"A flatmap shows one value a target; these have the dimensions {', '.join(map(str, values.dims))}.",
            "Choose one model and one layer with .sel(model=..., layer=...).",
        )
    name = str(values.name or "")
    if "subject" in values.coords:
        whose = np.atleast_1d(values["subject"].values).astype(str)
        subjects = list(dict.fromkeys(whose.tolist()))
        if subject is None and len(subjects) > 1:
            raise BraindashError(
                f"The values are of {len(subjects)} subjects: {', '.join(subjects)}.",
                f"Choose one: subject={subjects[0]!r}.",
            )
        if subject is not None and subject not in subjects:
            raise BraindashError(f"The values hold no subject {subject!r}.", closest(subject, subjects))
        subject = subject or subjects[0]
        if whose.size == values.size:
            return np.asarray(values.values, dtype=float)[whose == subject], subject, name
    return np.asarray(values.values, dtype=float), subject, name


def _cortex_map(cortex: CortexMap | Callable[[str], CortexMap | None], subject: str | None) -> CortexMap:
    if not callable(cortex):
        return cortex
    if subject is None:
        raise BraindashError("The cortex depends on the subject, and none is given.", "Add subject=... .")
    found = cortex(subject)
    if found is None:
        raise BraindashError(
            f"The targets of subject {subject!r} have no place on a cortex.",
            "Name a cortex in the study, or use layer curves.",
        )
    return found
