"""The learning rate of every step, and the order in which stories are visited.

Both are functions of the step and the seed alone, so a resumed run needs no state
for them beyond its position.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.config import OptimiserConfig, TuneConfig

if TYPE_CHECKING:
    from braindash.tuning.data import TuningData


@dataclass(frozen=True)
class Item:
    """What a step is made of: block ``block`` of ``n_blocks`` of a story.

    ``subject`` is the one subject that takes part; None: all who tune on the story.
    """

    story: str
    block: int
    n_blocks: int
    subject: str | None = None

    def bounds(self, n_trs: int) -> tuple[int, int]:
        """Return the rows [start, stop) of this block in a response of ``n_trs`` rows."""
        edges = np.linspace(0, n_trs, self.n_blocks + 1).round().astype(int)
        return int(edges[self.block]), int(edges[self.block + 1])


def make_items(n_trs: Mapping[tuple[str, str | None], int], block_trs: int | None) -> list[Item]:
    """Return an epoch's items in the order of ``n_trs``; blocks of a story differ by one TR at most.

    Parameters
    ----------
    n_trs : mapping of (story, subject or None) to int
    block_trs : int or None
        None: whole stories.
    """
    items = []
    for (story, subject), n in n_trs.items():
        n_blocks = 1 if block_trs is None else max(1, round(n / block_trs))
        items += [Item(story, k, n_blocks, subject) for k in range(n_blocks)]
    return items


def epoch_items(data: TuningData, config: TuneConfig) -> list[Item]:
    """Return what an epoch is made of: the tuning stories, or their pairs with a subject, in blocks of TRs."""
    n_trs: dict[tuple[str, str | None], int] = {}
    for story in data.tune_stories:
        rows = {s: len(data.times(story, s)) for s in data.listeners(story)}
        if config.pairs:
            n_trs |= {(story, s): n for s, n in rows.items() if story in data.tune[s]}
        else:
            n_trs[story, None] = max(rows.values())
    return make_items(n_trs, config.block_trs)


def count_steps(data: TuningData, config: TuneConfig) -> int:
    """Return the steps of an epoch; the last may hold fewer items than the others."""
    return -(-len(epoch_items(data, config)) // config.stories_per_step)


def epoch_steps(items: Sequence[Item], stories_per_step: int, seed: int, epoch: int) -> list[list[Item]]:
    """Return the items of every step of ``epoch`` (from 1), in a random order."""
    order = np.random.default_rng([seed, epoch]).permutation(len(items))
    shuffled = [items[int(k)] for k in order]
    return [shuffled[at : at + stories_per_step] for at in range(0, len(items), stories_per_step)]


def item_seed(seed: int, step: int, place: int) -> int:
    """Return the seed of what is random in the ``place``-th item of ``step``: dropout, whichever process works it."""
    digest = hashlib.sha256(f"{seed}:{step}:{place}".encode()).digest()
    return int.from_bytes(digest[:7], "little")


def warmup_of(config: OptimiserConfig, n_steps: int) -> int:
    """Return the steps of the warm-up of a run of ``n_steps``."""
    return config.warmup_steps if config.warmup_fraction is None else round(config.warmup_fraction * n_steps)


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
