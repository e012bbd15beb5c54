"""What the same training does when the responses carry no information about the stories.

A control is a function of one story's responses that returns the responses the
engine uses in their place. It is applied to tuning **and** validation responses
alike: otherwise the epoch and early stopping would be chosen on real responses and
a little of what they say would leak into the control. Settings are those of the real
run, the penalty of the head's start among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from braindash.errors import BraindashError, closest

Control = Callable[[np.ndarray, int, int, str], np.ndarray]


def none(responses: np.ndarray, block: int, seed: int, story: str) -> np.ndarray:
    """Return the responses as they are."""
    return responses


def block_permuted(responses: np.ndarray, block: int, seed: int, story: str) -> np.ndarray:
    """Return the rows in shuffled blocks of ``block`` TRs.

    All targets (and all subjects with as many rows) share the permutation, so
    the pattern over targets within a TR and the autocorrelation within a block
    stay; what goes is the pairing with the story. No block stays where it was
    where that is possible, and the order is never the original one.

    Parameters
    ----------
    responses : (n_trs, n_targets) array
    block : int
        TRs in a block; the last one holds what is left over.
    seed : int
    story : str
        Part of the seed, so stories differ.

    Returns
    -------
    (n_trs, n_targets) array

    Raises
    ------
    BraindashError
        If the story has a single block: nothing could be permuted.
    """
    order = block_order(len(responses), block, seed, story)
    return responses[order]


def block_order(n_trs: int, block: int, seed: int, story: str) -> np.ndarray:
    """Return the row order of `block_permuted`: (n_trs,) int64."""
    starts = np.arange(0, n_trs, block)
    n = len(starts)
    if n < 2:
        raise BraindashError(
            f"Control 'block-permuted' cannot shuffle story {story!r}: its {n_trs} TRs are a single block of "
            f"permute_block = {block}.",
            f"Set permute_block to at most {max(1, n_trs // 2)}.",
        )
    digest = hashlib.sha256(f"{seed}:{story}:{n}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    # A random cycle through all blocks moves every one of them (Sattolo's algorithm).
    order = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = int(rng.integers(i))
        order[[i, j]] = order[[j, i]]
    return np.concatenate([np.arange(starts[k], min(starts[k] + block, n_trs)) for k in order])


CONTROLS: dict[str, Control] = {}


def register(name: str, control: Control) -> None:
    """Add a control; raises ValueError if the name is taken or ``control`` cannot be called."""
    if name in CONTROLS:
        raise ValueError(f"a control called {name!r} is registered already")
    if not callable(control):
        raise ValueError(f"control {name!r} must be a function of (responses, block, seed, story)")
    CONTROLS[name] = control


register("none", none)
register("block-permuted", block_permuted)


def get_control(name: str) -> Control:
    """Return the control called ``name``; an unknown name is a BraindashError that offers the nearest."""
    if name not in CONTROLS:
        raise BraindashError(f"There is no control {name!r}.", closest(name, CONTROLS))
    return CONTROLS[name]
