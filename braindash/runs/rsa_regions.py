"""The regions of an RSA: their patterns, and how alike they are to layers and feature spaces, tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.runs.evaluate import choose_regions
from braindash.runs.rsa_conditions import Conditions, repeat_patterns, response_patterns
from braindash.runs.rsa_rows import FEWEST_TARGETS, Scored
from braindash.runs.rsa_spaces import standardised

if TYPE_CHECKING:
    from braindash.rsa import Patterns
    from braindash.studies.base import Study


@dataclass(frozen=True)
class Settings:
    """How similarities are made and tested."""

    method: str
    exclude: int
    block: int
    groups: np.ndarray | None
    n_permutations: int
    n_boot: int
    seed: int


@dataclass(frozen=True)
class Regions:
    """One subject's regions: their patterns, how many targets each has, and which were too small."""

    patterns: dict[str, Patterns]
    n_targets: dict[str, int]
    too_small: list[str]


def refuse_untestable(n_conditions: int, tests: Settings) -> None:
    """Raise, before anything is read, what tests and intervals over these conditions would raise after minutes."""
    from braindash.rsa import block_permutations
    from braindash.rsa.inference import check_size

    check_size(n_conditions, tests.method)
    block_permutations(n_conditions, 1, block=tests.block, groups=tests.groups)


def read_regions(
    study: Study,
    subject: str,
    conditions: Conditions,
    rois: Sequence[str] | None,
    metric: str,
    own_groups: Mapping[str, Sequence[str]] | None = None,
) -> Regions:
    """Prepare the patterns of every region with enough usable targets, of the named groups or those asked for."""
    from braindash.encoding.regions import region_groups, region_mask
    from braindash.rsa import crossnobis, prepare

    if metric == "crossnobis":
        repeats, usable = repeat_patterns(study, subject, conditions)
        values = repeats.mean(axis=0)
    else:
        values, usable = response_patterns(study, subject, conditions)
    targets = study.targets(subject)
    if rois:
        masks = {r: region_mask(targets, r, own_groups) for r in rois}
    else:
        every = choose_regions(targets, own_groups)
        named = {r: m for r, m in every.items() if r in region_groups(own_groups)}
        only_whole = set(named) - set(own_groups or ()) <= {"cortex", "left", "right"}
        masks = every if only_whole else named
    kept = {r: m & usable for r, m in masks.items() if (m & usable).sum() >= FEWEST_TARGETS}
    if not kept:
        raise BraindashError(
            f"No region of {subject!r} has {FEWEST_TARGETS} usable targets.", "Choose larger regions, or cortex."
        )
    patterns = {}
    for roi, mask in kept.items():
        own = values[:, mask]
        if metric == "crossnobis":
            spread = own.std(axis=0)
            channels = spread > 1e-8 * max(float(spread.max()), 1e-300)
            scaled = (repeats[:, :, mask] - own.mean(axis=0))[:, :, channels] / spread[channels]
            patterns[roi] = crossnobis(scaled)
        else:
            patterns[roi] = prepare(standardised(own), metric)
    return Regions(patterns, {r: int(m.sum()) for r, m in kept.items()}, [r for r in masks if r not in kept])


def score_regions(
    regions: Regions,
    items: list[Patterns],
    n_layers: int,
    spaces: list[str],
    every: np.ndarray,
    columns: list[int],
    tests: Settings,
) -> Scored:
    """Test one subject's regions against layers and spaces (``items``); ``columns`` are the regions' in ``every``."""
    from braindash import rsa
    from braindash.rsa.similarity import vectors

    own = list(regions.patterns.values())
    n_conditions, groups = len(own[0]), tests.groups
    orders = rsa.block_permutations(
        n_conditions, tests.n_permutations, block=tests.block, groups=groups, seed=tests.seed
    )
    _, p = rsa.mantel(items, own, orders, tests.method, exclude=tests.exclude, groups=groups)
    sound = n_layers + spaces.index("spectral") if "spectral" in spaces else None
    boots = rsa.condition_bootstrap(
        items, [*own, *([] if sound is None else [items[sound]])], tests.method,
        n_boot=tests.n_boot, block=tests.block, groups=groups, exclude=tests.exclude, seed=tests.seed,
    )  # fmt: skip
    partial = np.full((n_layers, len(own)), np.nan)
    partial_boots = np.full((tests.n_boot, n_layers, len(own)), np.nan)
    if sound is not None:
        for i in range(n_layers):
            partial[i] = [rsa.partial_correlation(every, i, j, [sound]) for j in columns]
        partial_boots = _beyond(boots[:, :n_layers, :-1], boots[:, :n_layers, -1:], boots[:, sound, None, :-1])
        boots = boots[:, :, :-1]
    return Scored(
        regions.n_targets,
        regions.too_small,
        vectors(own, tests.exclude, groups),
        every[: len(items), columns],
        p,
        boots,
        partial,
        partial_boots,
    )


def _beyond(together: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation of two with a third held constant, from theirs and those of each with the third."""
    return np.asarray((together - first * second) / np.sqrt((1 - first**2) * (1 - second**2)))
