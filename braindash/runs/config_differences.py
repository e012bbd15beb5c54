"""What several runs were asked to do differently, and which of them differ in nothing but the seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from braindash.config import NOT_MATCHED, TuneConfig

LABELS = frozenset(
    {"braindash", "name", "group"}
)  # what a run is called and the file's format: nothing is done by them
SEEDS = ("seed", "encoding.seed")


@dataclass(frozen=True)
class Difference:
    """One setting in which runs differ: its dotted key, and the value of every run."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Settings:
    """The settings of several runs: those in which they differ, and those in which all agree."""

    differing: tuple[Difference, ...]
    agreeing: tuple[tuple[str, Any], ...]


def compare_settings(configs: Sequence[TuneConfig]) -> Settings:
    """Return which settings differ between configurations, in the order of the settings.

    Values are those of validated configurations: a default that one run leaves out and another writes down agree.
    Names, groups and the format's version are left out.
    """
    flat = [flat_settings(config) for config in configs]
    differing, agreeing = [], []
    for key in flat[0] if flat else ():
        values = tuple(one[key] for one in flat)
        if all(value == values[0] for value in values[1:]):
            agreeing.append((key, values[0]))
        else:
            differing.append(Difference(key, values))
    return Settings(tuple(differing), tuple(agreeing))


def flat_settings(config: TuneConfig) -> dict[str, Any]:
    """Return ``dotted.key -> value`` of every setting but the labels."""

    def walk(data: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in data.items():
            out |= walk(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
        return out

    return {key: value for key, value in walk(config.model_dump(), "").items() if key not in LABELS}


def setting_key(config: TuneConfig) -> str:
    """Return a text that two runs share if they do the same but for the seed.

    Labels, and where and how a run is worked, make no other setting; the control does. For a model tuned elsewhere,
    which the configuration does not name, see `same_but_for_seed`.
    """
    flat = flat_settings(config)
    left_out = {*(NOT_MATCHED - {"control", "permute_block"}), *SEEDS}
    if config.control not in ("block-permuted", "story-permuted"):
        left_out.add("permute_block")
    return json.dumps({k: v for k, v in flat.items() if k not in left_out}, sort_keys=True, default=str)


def same_but_for_seed(configs: Mapping[str, TuneConfig]) -> list[list[str]]:
    """Return run ids in groups of one setting each, in the order of their first; seeds in order within a group."""
    groups: dict[str, list[str]] = {}
    for run_id, config in configs.items():
        # an imported model stands beside the configuration: two of them are never known to be the same
        key = f"{run_id} alone" if config.recipe == "imported" else setting_key(config)
        groups.setdefault(key, []).append(run_id)
    return [sorted(ids, key=lambda run_id: configs[run_id].seed) for ids in groups.values()]
