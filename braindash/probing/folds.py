"""Folds of probes: no story or speaker, and no word type where the task is lexical, on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindash.errors import BraindashError

LEARNING_PARTS = 4  # of groups that are never scored: one of them is held out to choose a penalty
MOST_FITS = 12  # parts of groups times parts of items
FEWEST_ITEM_PARTS, MOST_ITEM_PARTS = 3, 6


@dataclass(frozen=True)
class Fold:
    """What is fitted and what is scored in one fold; all arrays hold rows of the examples.

    Attributes
    ----------
    train, test : int arrays
        Share no group, and no item.
    inner_train, inner_test : int arrays
        Parts of ``train``: the penalty is chosen by fitting the first and scoring the second, which
        share no item, and no group unless ``train`` has only one. Empty where it cannot be cut.
    held_out : tuple of str
        Groups that are scored.
    held_items : int
        Items that are scored; 0 where the task has none.
    """

    train: np.ndarray
    test: np.ndarray
    inner_train: np.ndarray
    inner_test: np.ndarray
    held_out: tuple[str, ...]
    held_items: int = 0


def plan_folds(
    groups: np.ndarray,
    scored: np.ndarray,
    items: np.ndarray | None = None,
    *,
    n_folds: int = 5,
    seed: int = 0,
) -> list[Fold]:
    """Cut examples into folds so that every scored example is tested once.

    Groups with scored examples are dealt into ``n_folds`` parts of about the same size, at most one a
    group. A fold tests the scored examples of one part and trains on all examples of all other groups,
    also those that are never scored. A single scored group is one fold, trained on the others.

    With items, these are dealt into parts as well, and there is a fold for every pair of a part of groups
    and a part of items: it tests where both are held out and trains where neither is. What has one of the
    two is not used in that fold. Items are what is scarce, so they get up to six parts; groups get at most
    three, or two where at least half of the examples are of groups that are never scored.

    Parameters
    ----------
    groups : (n,) str
        Story or speaker.
    scored : (n,) bool
        False where an example may only be learnt from.
    items : (n,) str, optional
        Word types.
    n_folds : int
    seed : int
        Of the order in which groups and items are dealt.

    Raises
    ------
    BraindashError
        Nothing is scored, there is one group only, or fewer than three items.
    """
    groups, scored = np.asarray(groups).astype(str), np.asarray(scored, dtype=bool)
    if n_folds < 2:
        raise BraindashError(f"n_folds must be 2 or more; got {n_folds}.", "Give 5, or as many as there are groups.")
    if not scored.any():
        raise BraindashError(
            "None of the recordings with examples is scored.", "Use recordings of the test part, or more of them."
        )
    names, group = _numbered(groups)
    if len(names) == 1:
        raise BraindashError(
            f"All examples are of one group, {str(names[0])!r}, which would be on both sides of every fold.",
            "Use recordings of at least two stories or speakers.",
        )
    rng = np.random.default_rng(seed)
    n_scored = np.bincount(group[scored], minlength=len(names))
    held = n_scored > 0
    n_parts = min(n_folds, int(held.sum()))
    if items is not None:
        n_parts = min(n_parts, 3 if held[group].mean() > 0.5 else 2)
    part = np.empty(len(names), dtype=int)
    part[held] = _deal(n_scored[held], n_parts, rng)
    if not held.all():
        sizes = np.bincount(group, minlength=len(names))[~held]
        part[~held] = n_parts + _deal(sizes, min(LEARNING_PARTS, len(sizes)), rng)
    group_part = part[group]
    item, item_part, n_item_parts = _item_parts(items, n_parts, len(groups), rng)

    folds = []
    for g in range(n_parts):
        for k in range(n_item_parts):
            out, out_item = group_part == g, item_part == k
            test = scored & out & out_item
            if not test.any():
                continue
            train = ~out & ~out_item if items is not None else ~out
            held_out = tuple(str(names[i]) for i in np.unique(group[test]))
            if not train.any():
                raise BraindashError(
                    f"Nothing is left to learn from when {', '.join(held_out)} is held out.",
                    "Use more recordings, or more examples.",
                )
            following = item_part == (k + 1) % n_item_parts if items is not None else None
            inner_train, inner_test = _cut(train, group_part, group, following)
            n_items = len(np.unique(item[test])) if items is not None else 0
            folds.append(Fold(np.flatnonzero(train), np.flatnonzero(test), inner_train, inner_test, held_out, n_items))
    return folds


def _item_parts(
    items: np.ndarray | None, n_parts: int, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the number of every example's item, its part, and how many parts there are."""
    if items is None:
        nothing = np.zeros(n, dtype=int)
        return nothing, nothing, 1
    names, item = _numbered(np.asarray(items).astype(str))
    if len(names) < FEWEST_ITEM_PARTS:
        raise BraindashError(
            f"There are examples of {len(names)} word types; some are needed to learn from, to choose by and to score.",
            "Use more recordings.",
        )
    n_item_parts = min(len(names), MOST_ITEM_PARTS, MOST_FITS // n_parts)
    return item, _deal(np.bincount(item), n_item_parts, rng)[item], n_item_parts


def _cut(
    train: np.ndarray, group_part: np.ndarray, group: np.ndarray, out_item: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to fit and the rows to choose a penalty by: about a quarter of the groups, other items."""
    label = group_part
    if len(np.unique(label[train])) == 1:
        label = group
    if len(np.unique(label[train])) == 1:  # one group only: its last quarter
        label = (np.cumsum(train) > 0.75 * train.sum()).astype(int)
    labels, sizes = np.unique(label[train], return_counts=True)
    out = label == labels[np.argmin(np.abs(sizes - train.sum() / 4))]
    if out_item is None:
        fit, choose = train & ~out, train & out
    else:
        fit, choose = train & ~out & ~out_item, train & out & out_item
        if not (fit.any() and choose.any()):
            fit, choose = train & ~out_item, train & out_item
    if not (fit.any() and choose.any()):
        return np.array([], dtype=int), np.array([], dtype=int)
    return np.flatnonzero(fit), np.flatnonzero(choose)


def _deal(sizes: np.ndarray, n_parts: int, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each: the largest first, always to the smallest part; equal ones in random order."""
    part = np.empty(len(sizes), dtype=int)
    filled = np.zeros(n_parts)
    order = rng.permutation(len(sizes))
    for i in order[np.argsort(-sizes[order], kind="stable")]:
        part[i] = np.argmin(filled)
        filled[part[i]] += sizes[i]
    return part


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names, index = np.unique(values, return_inverse=True)
    return names, np.asarray(index).reshape(-1)
