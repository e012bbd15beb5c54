"""A group of runs that were launched together: what they differ in, and what came of each setting.

A group is no file: it is the runs whose configuration names it. Settings are compared, and the best
one named, by the validation stories alone; differences on the test stories are shown beside them and
choose nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from braindash.config import TuneConfig
from braindash.errors import BraindashError, closest
from braindash.runs.config_differences import flat_settings
from braindash.runs.status import ACTIVE

if TYPE_CHECKING:
    from braindash.runs.record import RunRow, RunStore

# short name -> dotted key; what people vary most
SHORT_NAMES = {
    "rank": "lora.rank",
    "alpha": "lora.alpha",
    "dropout": "lora.dropout",
    "first_block": "lora.first_block",
    "lr": "optimiser.lr",
    "head_lr": "optimiser.head_lr",
    "epochs": "optimiser.epochs",
}
_NOT_VARIED = frozenset({"seed", "name", "group", "preset", "control", "evaluate", "braindash"})


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) over seeds; NaN where there is none."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread:
        kept = [v for v in values if v is not None and math.isfinite(v)]
        mean = fmean(kept) if kept else math.nan
        return cls(mean, stdev(kept) if len(kept) > 1 else math.nan, len(kept))


@dataclass(frozen=True)
class TestDifference:
    """The difference that the summary of an evaluated run rests on."""

    __test__ = False  # not a test, whatever its name makes pytest think

    region: str
    layer: int
    value: float  # tuned minus pretrained: of r / ceiling where there is one, else of r
    normalised: bool


@dataclass(frozen=True)
class Outcome:
    """One setting of a group: its runs over seeds, and their scores."""

    values: Mapping[str, Any]  # dotted key -> value, of what varies
    control: str
    rows: tuple[RunRow, ...]  # by seed
    validation: Spread  # r on the validation stories, of runs that are tuned
    before: float  # the same before tuning; NaN where unknown
    test: Spread  # differences on the test stories
    best: bool = False

    @property
    def complete(self) -> bool:
        """Whether every seed of it has a score."""
        return self.validation.n == len(self.rows)


@dataclass(frozen=True)
class Group:
    """The runs of one group, in the order of their launching, and what came of them."""

    id: str
    rows: tuple[RunRow, ...]
    varied: tuple[str, ...] = ()  # dotted keys
    outcomes: tuple[Outcome, ...] = ()  # real settings first, then controls
    test_of: str = ""  # "late_language, layer 4, r / ceiling"; "" where nothing is evaluated
    unread: tuple[str, ...] = field(default=())  # ids whose configuration cannot be read

    @property
    def best(self) -> Outcome | None:
        """The setting with the highest mean validation r; None before there is one."""
        return next((o for o in self.outcomes if o.best), None)

    @property
    def states(self) -> dict[str, int]:
        return dict(Counter(row.state for row in self.rows))

    @property
    def state(self) -> str:
        return joint_state(self.rows)

    @property
    def n_seeds(self) -> int:
        return len({row.seed for row in self.rows})


def joint_state(rows: Iterable[RunRow]) -> str:
    """Return one state for several runs: what is at work first, then what needs attention, then done."""
    states = {row.state for row in rows}
    order = ("running", "stopping", "queued", "failed", "interrupted", "unreadable", "stopped", "done")
    return next((s for s in order if s in states), "done")


def by_group(rows: Iterable[RunRow]) -> dict[str, list[RunRow]]:
    """Return the rows of every group, in the order of their launching; runs without one are left out."""
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.group:
            found.setdefault(row.group, []).append(row)
    return {group: sorted(members, key=_launched) for group, members in found.items()}


def _launched(row: RunRow) -> tuple[float, str]:
    return (row.created or 0.0, row.id)


def group_rows(store: RunStore, group: str) -> list[RunRow]:
    """Return the rows of a group. Raises BraindashError, with the closest names, if there is none."""
    groups = by_group(store.list())
    if group not in groups:
        raise BraindashError(f"There is no group {group!r} in {store.home.runs}.", closest(group, groups))
    return groups[group]


def read_group(store: RunStore, group: str) -> Group:
    """Return a group with its scores. Raises BraindashError, with the closest names, if there is none."""
    rows = group_rows(store, group)
    configs, tests = {}, {}
    for row in rows:
        try:
            run = store.get(row.id)
            configs[row.id] = run.config
            records = run.records() if row.has_results and row.control == "none" else None
        except BraindashError:
            continue
        if records and (found := test_difference(records)):
            tests[row.id] = found
    return summarise(group, rows, configs, tests)


def test_difference(records: Mapping[str, Any]) -> TestDifference | None:
    """Return the difference that the run's summary rests on; None where it has none."""
    said = records.get("summary") or {}
    for row in records.get("differences") or ():
        if all(row.get(k) == said.get(s) for k, s in
               (("model", "model"), ("subject", "subject"), ("roi", "region"), ("layer", "layer"))):  # fmt: skip
            normalised = _number(row.get("delta_r_norm"))
            value = _number(row.get("delta_r")) if normalised is None else normalised
            if value is not None:
                return TestDifference(str(row["roi"]), int(row["layer"]), value, normalised is not None)
    return None


test_difference.__test__ = False  # type: ignore[attr-defined]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def summarise(
    group: str,
    rows: Sequence[RunRow],
    configs: Mapping[str, TuneConfig],
    tests: Mapping[str, TestDifference] | None = None,
) -> Group:
    """Put runs of one setting together, over seeds, and mark the best by validation r.

    Parameters
    ----------
    group : str
    rows : sequence of RunRow
    configs : mapping
        By run id; a run without one (its folder cannot be read) is in no setting.
    tests : mapping, optional
        Differences on the test stories by run id. Where runs differ in region, layer or unit,
        only those of the commonest kind are shown: others are not comparable.

    Returns
    -------
    Group
        A control's validation r is measured on its own responses (permuted ones, say), so that no
        control can be the best setting.
    """
    rows = sorted(rows, key=_launched)
    flat = {r.id: flatten(configs[r.id]) for r in rows if r.id in configs}
    varied = varied_keys(flat.values())
    kinds = Counter((t.region, t.layer, t.normalised) for t in (tests or {}).values())
    kind = kinds.most_common(1)[0][0] if kinds else None
    together: dict[tuple[str, ...], list[RunRow]] = {}
    for row in rows:
        if row.id in flat:
            key = (row.control, *(repr(flat[row.id][k]) for k in varied))
            together.setdefault(key, []).append(row)
    outcomes = []
    for members in together.values():
        members.sort(key=lambda r: (r.seed or 0, _launched(r)))
        shown = [t for r in members if (t := (tests or {}).get(r.id)) and (t.region, t.layer, t.normalised) == kind]
        outcomes.append(
            Outcome(
                {k: flat[members[0].id][k] for k in varied},
                members[0].control,
                tuple(members),
                Spread.of(r.validation_r for r in members if is_tuned(r)),
                Spread.of(r.pretrained_r for r in members).mean,
                Spread.of(t.value for t in shown),
            )
        )
    outcomes.sort(key=lambda o: o.control != "none")
    at = _best(outcomes)
    if at is not None:
        outcomes[at] = Outcome(**{**outcomes[at].__dict__, "best": True})
    test_of = f"{kind[0]}, layer {kind[1]}, {'r / ceiling' if kind[2] else 'r'}" if kind else ""
    return Group(group, tuple(rows), varied, tuple(outcomes), test_of, tuple(r.id for r in rows if r.id not in flat))


def _best(outcomes: Sequence[Outcome]) -> int | None:
    """Return the place of the best setting: among those with a score for every seed, where there are such."""
    scored = [i for i, o in enumerate(outcomes) if o.control == "none" and o.validation.n]
    candidates = [i for i in scored if outcomes[i].complete] or scored
    return max(candidates, key=lambda i: outcomes[i].validation.mean, default=None)


def is_tuned(row: RunRow) -> bool:
    """Whether its tuning has ended, so that its validation r is that of the epoch that is kept."""
    return row.state == "done" or (row.stage == "evaluating" and row.state not in ("queued", "unreadable"))


def flatten(config: TuneConfig) -> dict[str, Any]:
    """Return ``dotted.key -> value`` of every setting that a group may vary."""
    return {k: v for k, v in flat_settings(config).items() if k not in _NOT_VARIED}


def varied_keys(flat: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the keys in which flattened configurations differ, in the order of the settings."""
    every = list(flat)
    if not every:
        return ()
    return tuple(k for k in every[0] if any(other.get(k) != every[0][k] for other in every[1:]))


def short_name(key: str) -> str:
    """Return what a dotted key is called in a table: ``lora.rank`` is ``rank``, where no other setting is."""
    return next((short for short, dotted in SHORT_NAMES.items() if dotted == key), key)


def show_value(value: Any) -> str:
    """Return one value as a table shows it."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(show_value, value)) or "all"
    return str(value)


def label(values: Mapping[str, Any]) -> str:
    """Return ``"rank 8, lr 0.0003"``; "" for nothing varied."""
    return ", ".join(f"{short_name(k)} {show_value(v)}" for k, v in values.items())


def is_live(rows: Iterable[RunRow]) -> bool:
    """Whether a run of the group waits or works."""
    return any(row.state in ACTIVE for row in rows)
