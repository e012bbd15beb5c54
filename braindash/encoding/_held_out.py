"""What is kept of predictions for the test stories: sums for intervals, tests against chance, shares for pairs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from braindash.encoding.inference import (
    FEWEST_BLOCKS,
    Shares,
    block_shares,
    permutation_test,
)

FEWEST_STORIES = 4  # with fewer, test stories are cut into units for intervals
UNIT_ROWS = 30
CHUNK = 4096  # targets tested together; fixed, so that p values do not depend on memory
SAMPLED = 512  # targets whose predictions are kept for the memory of a difference


def scoring_units(lengths: Sequence[int], unit_rows: int = UNIT_ROWS) -> list[list[slice]]:
    """Return the rows of each scoring unit of every test story.

    A unit is a whole story; where there are fewer than 4 stories, each is cut into
    as many stretches of at least ``unit_rows`` rows as it has room for.
    """
    if len(lengths) >= FEWEST_STORIES:
        return [[slice(0, n)] for n in lengths]
    out = []
    for n in lengths:
        edges = np.linspace(0, n, max(1, n // unit_rows) + 1).round().astype(int)
        out.append([slice(int(a), int(b)) for a, b in itertools.pairwise(edges)])
    return out


class HeldOut:
    """Gathers what is needed of one fit's predictions, block by block of targets.

    Parameters
    ----------
    units : from :func:`scoring_units`
    lengths : rows of each test story
    n_targets : int
    n_permutations : int, 0 for no tests
    block : int, TRs exchanged together
    seed : int
    """

    def __init__(
        self,
        units: list[list[slice]],
        lengths: Sequence[int],
        n_targets: int,
        n_permutations: int,
        block: int,
        seed: int,
    ) -> None:
        self.units = units
        n_units = sum(len(u) for u in units)
        self.yp, self.pp, self.yy = (np.zeros((n_units, n_targets)) for _ in range(3))
        self.block, self.seed = block, seed
        self.n_blocks = sum(n // block for n in lengths)
        self.n_permutations = n_permutations if self.n_blocks >= FEWEST_BLOCKS else 0
        self.p = np.full(n_targets, np.nan)
        self.shares = Shares(*(np.zeros((self.n_blocks, n_targets), dtype=np.float32) for _ in range(2)))
        self._step = max(1, n_targets // SAMPLED)
        self._n_targets = n_targets
        self._waiting: list[tuple[list[np.ndarray], list[np.ndarray]]] = []
        self._start = 0
        self._samples: list[tuple[list[np.ndarray], list[np.ndarray]]] = []

    def add(self, targets: slice, observed: list[np.ndarray], predicted: list[np.ndarray]) -> None:
        """Take a block: one (n_block, n_trs) array a test story, of each side."""
        i = 0
        for y, p, units in zip(observed, predicted, self.units, strict=True):
            y = y - y.mean(1, keepdims=True)
            p = p - p.mean(1, keepdims=True)
            for rows in units:
                self.yp[i, targets] = np.vecdot(y[:, rows], p[:, rows])
                self.pp[i, targets] = np.vecdot(p[:, rows], p[:, rows])
                self.yy[i, targets] = np.vecdot(y[:, rows], y[:, rows])
                i += 1
        if self.n_permutations:
            self._waiting.append((observed, predicted))
            self._test(targets.stop)

    def _test(self, stop: int) -> None:
        while stop - self._start >= CHUNK or (stop == self._n_targets and self._start < stop):
            sides = [
                [np.concatenate([w[side][s] for w in self._waiting]) for s in range(len(self.units))] for side in (0, 1)
            ]
            self._waiting = [([y[CHUNK:] for y in sides[0]], [p[CHUNK:] for p in sides[1]])]
            y, p = ([x[:CHUNK].T for x in side] for side in sides)
            some = slice(self._start, self._start + y[0].shape[1])
            self.p[some] = permutation_test(
                y, p, block=self.block, n_permutations=self.n_permutations, seed=self.seed
            ).p
            shares = block_shares(y, p, self.block)
            self.shares.r[:, some], self.shares.power[:, some] = shares.r, shares.power
            kept = slice(-self._start % self._step, None, self._step)
            self._samples.append(([x[:, kept] for x in y], [x[:, kept] for x in p]))
            self._start = some.stop

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Return r and r2 over all units, each (n_targets,)."""
        yp, yy, pp = self.yp.sum(0), self.yy.sum(0), self.pp.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(pp > 0, yp / np.sqrt(yy * pp), np.nan)
        return r, (2 * yp - pp) / yy

    def samples(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return responses and predictions of some targets: one (n_trs, n_sampled) array a test story, of each."""
        if not self._samples:
            empty = [np.zeros((0, 0), dtype=np.float32) for _ in self.units]
            return empty, empty
        return _joined([s[0] for s in self._samples]), _joined([s[1] for s in self._samples])


def _joined(samples: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Join samples of targets, story by story."""
    return [np.concatenate(parts, axis=1) for parts in zip(*samples, strict=True)]
