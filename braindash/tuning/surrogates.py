"""Responses that keep what responses are like and lose what they say about the stories.

Functions on arrays and lengths; which control uses which is in ``controls.py``.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from braindash.errors import BraindashError

FEWEST_ROWS = 8  # a shorter story has too few frequencies for noise that differs from it
ATTEMPTS = 200  # orders drawn in search of one that takes every block to another story
TARGETS_AT_ONCE = 8192


def seeded(*parts: object) -> np.random.Generator:
    """Return a generator that depends on ``parts`` alone."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def block_order(n_trs: int, block: int, seed: int, story: str) -> np.ndarray:
    """Return a row order of shuffled blocks within one story: (n_trs,) int64.

    No block stays where it was. The last block holds the rows left over.

    Raises
    ------
    BraindashError
        If the story has a single block: nothing could be permuted.
    """
    starts = np.arange(0, n_trs, block)
    n = len(starts)
    if n < 2:
        raise BraindashError(
            f"Control 'block-permuted' cannot shuffle story {story!r}: its {n_trs} TRs are a single block of "
            f"permute_block = {block}.",
            f"Set permute_block to at most {max(1, n_trs // 2)}.",
        )
    rng = seeded(seed, story, n)
    # A random cycle through all blocks moves every one of them (Sattolo's algorithm).
    order = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = int(rng.integers(i))
        order[[i, j]] = order[[j, i]]
    return np.concatenate([np.arange(starts[k], min(starts[k] + block, n_trs)) for k in order])


def story_order(lengths: Sequence[int], block: int, *key: object) -> np.ndarray:
    """Return an order of the joined rows of several stories in which blocks change stories.

    The blocks are cut within stories (the last of each holds what is left over), so no block
    holds rows of two stories. They are laid one after the other into the stories' places, so
    every story keeps its number of rows; a block at the end of a story may reach into the next.
    No row stays at its place, and no block lies in its own story where that is possible: it is
    not where one story is longer than all others together, and a few rows at the edges of
    stories may be left over. Of up to ``ATTEMPTS`` orders the first without such rows is
    taken, else the one with fewest.

    Parameters
    ----------
    lengths : sequence of int
        Rows of each story, two stories or more.
    block : int
    *key
        What the order depends on besides: equal keys and lengths give equal orders.

    Returns
    -------
    (sum(lengths),) int64, read-only
        Row ``i`` of the new sequence is row ``order[i]`` of the old one.

    Raises
    ------
    BraindashError
        If no order was found in which every row moves.
    """
    return _story_order(tuple(int(n) for n in lengths), block, tuple(map(str, key)))


@functools.lru_cache(maxsize=64)  # every story of a subject asks for the same order
def _story_order(lengths: tuple[int, ...], block: int, key: tuple[str, ...]) -> np.ndarray:
    rng = seeded(*key, block, *lengths)
    story = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(story))
    best: np.ndarray | None = None
    fewest = len(story) + 1
    for _ in range(ATTEMPTS):
        order = _lay_blocks(lengths, story, block, rng)
        if (order == place).any():
            continue
        own = int((story[order] == story).sum())
        if own < fewest:
            best, fewest = order, own
        if own == 0:
            break
    if best is None:
        raise BraindashError(
            f"Control 'story-permuted' found no way to move every block of {block} TRs among stories of "
            f"{', '.join(map(str, lengths))} TRs.",
            f"Set permute_block to at most {max(1, min(lengths) // 2)}.",
        )
    best.setflags(write=False)
    return best


def _lay_blocks(lengths: Sequence[int], story: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    """Return one random order: blocks one after the other, each into a story that is not its own where possible."""
    first = np.concatenate([[0], np.cumsum(lengths)])
    left = [
        [np.arange(a, min(a + block, first[s + 1])) for a in range(first[s], first[s + 1], block)]
        for s in range(len(lengths))
    ]
    for blocks in left:
        rng.shuffle(blocks)  # type: ignore[arg-type]  # a list of arrays is shuffled as a list
    rows = np.array(lengths, dtype=np.int64)  # of each story, not yet laid
    out: list[np.ndarray] = []
    at = 0
    while at < len(story):
        here = story[at]
        places = len(story) - at - (first[1:] - np.maximum(first[:-1], at)).clip(min=0)  # outside each story
        allowed = rows > 0
        if (allowed & (np.arange(len(rows)) != here)).any():
            allowed[here] = False
        # A story whose rows fill all places outside it must be taken now, or some would end in it.
        pressing = allowed & (rows >= places)
        weight = np.where(pressing if pressing.any() else allowed, rows, 0)
        chosen = int(rng.choice(len(rows), p=weight / weight.sum()))
        out.append(left[chosen].pop())
        rows[chosen] -= len(out[-1])
        at += len(out[-1])
    return np.concatenate(out)


def randomise_phases(responses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return noise with the power spectrum of every target and the correlations between targets.

    Every frequency's phase is turned by a random angle, the same for all targets. What stays
    exactly is each target's mean, variance and (circular) autocorrelation, and the (lagged)
    correlations between targets; what goes is everything about when something happened.

    Parameters
    ----------
    responses : (n_trs, n_targets) array
    rng : Generator

    Returns
    -------
    (n_trs, n_targets) float32

    References
    ----------
    Prichard & Theiler (1994), Physical Review Letters 73:951-954.
    """
    n = len(responses)
    turn = np.exp(2j * np.pi * rng.random(n // 2 + 1))
    turn[0] = 1.0
    if n % 2 == 0:  # the highest frequency of an even number of rows is real
        turn[-1] = 1.0 if rng.random() < 0.5 else -1.0
    out = np.empty(responses.shape, dtype=np.float32)
    for a in range(0, responses.shape[1], TARGETS_AT_ONCE):
        part = responses[:, a : a + TARGETS_AT_ONCE].astype(np.float64)
        out[:, a : a + TARGETS_AT_ONCE] = np.fft.irfft(np.fft.rfft(part, axis=0) * turn[:, None], n=n, axis=0)
    return out


def zscored(responses: np.ndarray, what: str) -> np.ndarray:
    """Return every target at mean 0 and standard deviation 1: (n_trs, n_targets) float32.

    Raises
    ------
    BraindashError
        If a target has become constant.
    """
    mean = responses.mean(axis=0, dtype=np.float64)
    std = responses.std(axis=0, dtype=np.float64)
    if not (std > 0).all():
        raise BraindashError(
            f"{int((~(std > 0)).sum())} targets do not vary over {what}.", "Set a smaller permute_block."
        )
    return ((responses - mean) / std).astype(np.float32)
