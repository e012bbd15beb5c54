"""Responses read a block of targets at a time, from memory or from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from braindash.errors import BraindashError


class Responses:
    """One source a story, each giving (n_trs, n_targets), read by blocks of targets.

    A source is an array, a memory map, an h5py data set or anything else with
    ``shape`` and ``[:, a:b]``, or a function of no arguments that returns an
    array (it is called once for each wide read, so it should be cheap or cached).

    Raises
    ------
    BraindashError
        Stories that differ in their number of targets.
    """

    def __init__(self, sources: Sequence[Any]) -> None:
        if not sources:
            raise BraindashError("There are no responses.", "Give one array of responses for each story.")
        self.sources = list(sources)
        shapes = [np.shape(s()) if _is_function(s) else tuple(s.shape) for s in self.sources]
        for i, shape in enumerate(shapes):
            if len(shape) != 2:
                raise BraindashError(
                    f"The responses of story {i} have shape {shape}.", "Give them as (n_trs, n_targets)."
                )
            if shape[1] != shapes[0][1]:
                raise BraindashError(
                    f"Story {i} has {shape[1]} targets and story 0 has {shapes[0][1]}.",
                    "Every story of a subject needs the same targets in the same order.",
                )
        self.lengths = [int(s[0]) for s in shapes]
        self.n_targets = int(shapes[0][1])
        self.in_memory = all(isinstance(s, np.ndarray) and not isinstance(s, np.memmap) for s in self.sources)

    def _read(self, a: int, b: int) -> list[np.ndarray]:
        return [np.asarray((s() if _is_function(s) else s)[:, a:b]) for s in self.sources]

    def blocks(self, width: int, read_bytes: float, start: int = 0) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Yield ``(targets, [(n_trs, width) per story])`` from target ``start`` on.

        Sources on disk are read in strips of up to ``read_bytes`` bytes, so that
        a file is not opened again for every block.
        """
        strip = width
        if not self.in_memory:
            strip = max(width, int(read_bytes / (8 * max(1, sum(self.lengths)))) // width * width)
        for a in range(start, self.n_targets, strip):
            b = min(a + strip, self.n_targets)
            arrays = self._read(a, b)
            for c in range(a, b, width):
                d = min(c + width, b)
                yield slice(c, d), [x[:, c - a : d - a] for x in arrays]


def _is_function(source: Any) -> bool:
    return isinstance(source, Callable) and not hasattr(source, "shape")  # type: ignore[arg-type]


def as_features(features: Sequence[Any], what: str = "features") -> list[np.ndarray]:
    """Return one finite 2-d array a story, all of the same width.

    Raises
    ------
    BraindashError
        No stories, other shapes than (n_trs, width), differing widths, NaN or infinite values.
    """
    if len(features) == 0:
        raise BraindashError(f"There are no {what}.", "Give one (n_trs, width) array for each story.")
    arrays = [np.asarray(x() if _is_function(x) else x) for x in features]
    for i, x in enumerate(arrays):
        if x.ndim != 2 or x.shape[1] != arrays[0].shape[-1]:
            raise BraindashError(
                f"The {what} of story {i} have shape {x.shape}; story 0 has {arrays[0].shape}.",
                "Give (n_trs, width) arrays of one width.",
            )
        bad = int(x.size - np.isfinite(x).sum())
        if bad:
            raise BraindashError(
                f"The {what} of story {i} hold {bad} values that are not finite.",
                "Find where they come from: constant columns turn to NaN when z-scored.",
            )
    return arrays


class Standardised:
    """A view of one story's responses: chosen columns, z-scored over the story, float32.

    Nothing is read before it is asked for; standardised responses pass unchanged.
    """

    def __init__(self, source: Any, columns: np.ndarray | None = None) -> None:
        self.source = source() if _is_function(source) else source
        n, v = self.source.shape
        self.columns = columns
        self.shape = (n, v if columns is None else len(columns))

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, cols = key
        if self.columns is None:
            y = np.asarray(self.source[:, cols], dtype=np.float64)
        else:
            wanted = self.columns[cols]
            low, high = int(wanted.min()), int(wanted.max()) + 1  # files read ranges, not scattered columns
            y = np.asarray(self.source[:, low:high], dtype=np.float64)[:, wanted - low]
        y -= y.mean(axis=0)
        sd = y.std(axis=0)
        return (y / np.where(sd > 0, sd, 1))[rows].astype(np.float32)


def usable_targets(sources: Sequence[Any]) -> np.ndarray:
    """Return which targets are finite and vary in every story: (n_targets,) bool."""
    ok: np.ndarray | None = None
    for source in sources:
        y = np.asarray((source() if _is_function(source) else source)[:])
        good = np.isfinite(y).all(axis=0)
        good[good] &= np.ptp(y[:, good], axis=0) > 0
        ok = good if ok is None else ok & good
    if ok is None:
        raise BraindashError("There are no responses.", "Give one array of responses for each story.")
    return ok
