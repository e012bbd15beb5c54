"""The learning rate of every step, and the order in which stories are visited.

Both are functions of the step and the seed alone, so a resumed run needs no state
for them beyond its position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Item:
    """One step's data: block ``block`` of ``n_blocks`` of a story."""

    story: str
    block: int
    n_blocks: int

    def bounds(self, n_trs: int) -> tuple[int, int]:
        """Return the rows [start, stop) of this block in a response of ``n_trs`` rows."""
        edges = np.linspace(0, n_trs, self.n_blocks + 1).round().astype(int)
        return int(edges[self.block]), int(edges[self.block + 1])


def make_items(n_trs: dict[str, int], block_trs: int | None) -> list[Item]:
    """Return an epoch's items in study order; blocks of a story differ by one TR at most."""
    items = []
    for story, n in n_trs.items():
        n_blocks = 1 if block_trs is None else max(1, round(n / block_trs))
        items += [Item(story, k, n_blocks) for k in range(n_blocks)]
    return items


def epoch_order(items: Sequence[Item], seed: int, epoch: int) -> list[Item]:
    """Return the items in the order of ``epoch`` (from 1)."""
    order = np.random.default_rng([seed, epoch]).permutation(len(items))
    return [items[int(k)] for k in order]


def rate(step: int, n_steps: int, warmup: int, schedule: str) -> float:
    """Return the fraction of the peak learning rate at ``step`` (from 1).

    >>> [round(rate(s, 12, 2, "linear"), 2) for s in (1, 2, 7, 12)]
    [0.5, 1.0, 0.6, 0.1]
    """
    if step <= warmup:
        return step / warmup
    done = (step - 1 - min(warmup, n_steps)) / max(1, n_steps - warmup)
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if schedule == "linear":
        return 1.0 - done
    return 1.0
