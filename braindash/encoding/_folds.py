"""Which rows are held out together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braindash.errors import BraindashError


@dataclass(frozen=True)
class Chunks:
    """The bootstrap of the Huth lab's ``ridge_utils``: chunks of TRs held out at random, many times."""

    n_boots: int = 15
    chunk_len: int = 40  # TRs
    n_chunks: int | None = None  # None: a fifth of the rows
    seed: int = 0


@dataclass(frozen=True)
class Folds:
    """Held-out row sets over the stacked stories.

    ``rows`` are slices where a set is contiguous, index arrays otherwise;
    ``partition`` says that every row is held out exactly once.
    """

    rows: tuple[slice | np.ndarray, ...]
    sizes: tuple[int, ...]
    partition: bool

    def __len__(self) -> int:
        return len(self.rows)


def make_folds(cv: str | Sequence[np.ndarray], lengths: Sequence[int], chunks: Chunks | None = None) -> Folds:
    """Return the folds of ``cv`` for stories of ``lengths`` rows.

    Parameters
    ----------
    cv : "story", "kfold:N", "bootstrap", or a sequence of index arrays into the stacked rows
    lengths : rows of each story, in order
    chunks : settings of the bootstrap
    """
    n = int(sum(lengths))
    ends = np.cumsum(lengths)
    starts = ends - np.asarray(lengths)
    if not isinstance(cv, str):
        sets = [np.asarray(rows) for rows in cv]
        if any(len(r) == 0 or r.min() < 0 or r.max() >= n or len(np.unique(r)) != len(r) for r in sets):
            raise BraindashError(
                f"A fold is empty, repeats a row, or has rows outside 0 … {n - 1}.", "Give distinct row numbers."
            )
        together = np.concatenate(sets)
        whole = len(together) == n and len(np.unique(together)) == n
        return _checked(tuple(sets), n, whole)
    if cv == "story":
        return _checked(tuple(slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True)), n, True)
    if cv.startswith("kfold:"):
        try:
            n_folds = int(cv.removeprefix("kfold:"))
        except ValueError:
            raise BraindashError(f"cv={cv!r}: the number of folds is not a number.", "Write cv='kfold:5'.") from None
        if not 2 <= n_folds <= len(lengths):
            raise BraindashError(
                f"cv={cv!r} needs between 2 and {len(lengths)} folds (there are {len(lengths)} stories).",
                "Folds are groups of whole stories: use fewer folds, or cv='story'.",
            )
        groups = np.array_split(np.arange(len(lengths)), n_folds)
        return _checked(tuple(slice(int(starts[g[0]]), int(ends[g[-1]])) for g in groups), n, True)
    if cv == "bootstrap":
        c = chunks or Chunks()
        available = n // c.chunk_len
        held = c.n_chunks if c.n_chunks is not None else max(1, available // 5)
        if not 0 < held < available:
            raise BraindashError(
                f"The bootstrap would hold out {held} of {available} chunks of {c.chunk_len} TRs.",
                "Use shorter or fewer chunks.",
            )
        rng = np.random.default_rng(c.seed)
        index = np.arange(available * c.chunk_len).reshape(available, c.chunk_len)
        return _checked(
            tuple(index[np.sort(rng.choice(available, held, replace=False))].ravel() for _ in range(c.n_boots)),
            n,
            False,
        )
    raise BraindashError(f"cv={cv!r} is not known.", "Use 'story', 'kfold:N', 'bootstrap' or index arrays.")


def _checked(rows: tuple[slice | np.ndarray, ...], n: int, partition: bool) -> Folds:
    sizes = tuple(r.stop - r.start if isinstance(r, slice) else len(r) for r in rows)
    if len(rows) < 2:
        raise BraindashError("Cross-validation needs at least 2 stories.", "Add tuning stories.")
    if min(sizes) < 3:
        raise BraindashError(f"A fold has {min(sizes)} rows: a correlation needs 3.", "Use longer stories.")
    if max(sizes) > n - 2:
        raise BraindashError("A fold leaves fewer than 2 rows to fit on.", "Use smaller folds.")
    return Folds(rows, sizes, partition)
