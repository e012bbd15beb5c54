"""Many runs from one configuration: a grid of settings, seeds, matched controls.

For a form or a script::

    configs = expand(config, {"rank": [4, 8], "lr": [1e-4, 3e-4]}, seeds=3, controls=["block-permuted"])
    group = launch_group(home, configs)            # a braindash.runs.groups.Group; group.id, group.rows

The runs of one setting and seed stand together, the controls before the real run: in the queue of one
device the real run comes last, and one evaluation shows the controls beside it. Where several runs go
on at a time, the last of them to end sees to that (`braindash.jobs.matched`).
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from braindash.config import CONTROL_NAMES, ExecutorConfig, Home, TuneConfig, validate
from braindash.errors import BraindashError, RunStateError, closest
from braindash.jobs.command import command_for, parse_value
from braindash.runs.groups import (
    SHORT_NAMES,
    Group,
    by_group,
    flatten,
    is_live,
    label,
    read_group,
    short_name,
    varied_keys,
)
from braindash.runs.record import RunRow, RunStore
from braindash.runs.run import Run

MANY_RUNS = 200  # more than these are asked about first
LONGEST_NAME = 100  # of a group, as in TuneConfig
NOT_IN_A_GRID = {
    "seed": "Give --seeds N.",
    "control": "Give --controls.",
    "evaluate": "Give --set evaluate=false for all of them.",
    "name": "Give --name.",
    "group": "Give --name.",
    "preset": "Launch one group for each preset.",
    "braindash": "Leave it out.",
}


# --- settings ------------------------------------------------------------------------------------


def parse_grid(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Read ``rank=4,8`` and the like: short or dotted name -> values, each as in YAML.

    Raises
    ------
    BraindashError
        For what is not NAME=VALUES, and for a name given twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        parts = split_values(values)
        if not equals or not key or not parts:
            raise BraindashError(f"--grid {text!r} is not NAME=VALUE,VALUE.", "Write for example --grid rank=4,8.")
        if key in grid:
            raise BraindashError(f"--grid names {key} twice.", f"Write --grid {key}=… once, with all its values.")
        grid[key] = [parse_value(part) for part in parts]
    return grid


def split_values(text: str) -> list[str]:
    """Split at the commas that stand outside brackets and quotes: ``[1,2],[3]`` is two values."""
    parts, depth, quote, start = [], 0, "", 0
    for i, c in enumerate(text):
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "[{":
            depth += 1
        elif c in "]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [p.strip() for p in [*parts, text[start:]] if p.strip()]


def dotted_key(name: str, recipe: str = "lora") -> str:
    """Return the dotted key that a short name means: ``rank`` is ``lora.rank``.

    ``first_block`` is that of the recipe. The last part of a key will do where only one key ends in it.

    Raises
    ------
    BraindashError
        For a name that means no setting; it offers the nearest.
    """
    keys = _every_key(TuneConfig)
    if name == "first_block" and recipe == "full":
        return "full.first_block"
    found = name if name in keys else SHORT_NAMES.get(name)
    if found is None:
        ends = [k for k in keys if k.rpartition(".")[2] == name]
        found = ends[0] if len(ends) == 1 else None
    if found is None:
        raise BraindashError(f"There is no setting {name!r} to vary.", closest(name, [*keys, *SHORT_NAMES]))
    if found in NOT_IN_A_GRID:
        raise BraindashError(f"{found} cannot be varied in a grid.", NOT_IN_A_GRID[found])
    return found


def _every_key(kind: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += _every_key(inner, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def expand(
    config: TuneConfig,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: int = 1,
    controls: Sequence[str] = (),
) -> list[TuneConfig]:
    """Return one configuration a run: every combination of the grid, times seeds, each with its controls.

    Parameters
    ----------
    config : TuneConfig
        What all runs share.
    grid : mapping
        Values to try by setting: a short name (`braindash.runs.groups.SHORT_NAMES`) or a dotted key.
    seeds : int
        Runs of each combination, with ``config.seed``, ``config.seed + 1``, …
    controls : sequence of str
        Controls that every run gets, of `braindash.config.CONTROL_NAMES`. A control differs from its
        run in nothing but that, and is not evaluated by itself: the run's evaluation holds it.

    Returns
    -------
    list of TuneConfig
        In the order of launching: one setting and seed after the other, controls before the real run.

    Raises
    ------
    BraindashError
        For a setting or value that is not valid, a value given twice, controls of a control.
    """
    if seeds < 1:
        raise BraindashError(f"seeds is {seeds}.", "Give 1 or more.")
    wrong = next((c for c in controls if c not in CONTROL_NAMES), None)
    if wrong is not None:
        raise BraindashError(f"There is no control {wrong!r}.", closest(wrong, CONTROL_NAMES))
    if controls and config.control != "none":
        raise BraindashError(
            f"The run is itself a control ({config.control}) and can have none.", "Leave --control out."
        )
    if controls and not config.evaluate:
        raise BraindashError(
            "Controls are compared with their run when that is evaluated, and evaluate is false.",
            "Leave evaluate at true.",
        )
    axes: dict[str, list[Any]] = {}
    for name, values in (grid or {}).items():
        key = dotted_key(name, config.recipe)
        if key in axes:
            raise BraindashError(f"The grid names {key} twice.", "Give all its values at once.")
        if not values:
            raise BraindashError(f"The grid has no value for {key}.", "Give at least one.")
        axes[key] = list(values)
    out: list[TuneConfig] = []
    seen: dict[str, str] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        setting = with_settings(config, chosen)
        given = ", ".join(f"{short_name(k)}={v}" for k, v in chosen.items())
        same = seen.setdefault(setting.model_dump_json(), given)
        if same is not given:
            raise BraindashError(f"The grid has the same setting twice: {same} and {given}.", "Leave one of them out.")
        shown = {k: flatten(setting)[k] for k, v in axes.items() if len(v) > 1}
        for i in range(seeds):
            words = [label(shown)] if shown else []
            words += [f"seed {config.seed + i}"] if seeds > 1 else []
            member = with_settings(setting, {"seed": config.seed + i, "name": _named(config.name, words)})
            out += [with_settings(member, {"control": c, "evaluate": False}) for c in dict.fromkeys(controls)]
            out.append(member)
    return out


def with_settings(config: TuneConfig, changes: Mapping[str, Any]) -> TuneConfig:
    """Return ``config`` with some dotted keys changed, validated anew."""
    data = config.model_dump()
    for key, value in changes.items():
        *sections, last = key.split(".")
        here = data
        for section in sections:
            here = here[section]
        here[last] = value
    shown = ", ".join(f"{short_name(k)}={v}" for k, v in changes.items())
    return validate(TuneConfig, data, f"The setting {shown}")


def _named(name: str, words: Sequence[str]) -> str:
    """Return a run's name within its group; the user's own words give way where both do not fit."""
    said = ", ".join(words)
    if not said or not name:
        return (said or name)[:300]
    room = 300 - len(said) - 2
    return f"{name[:room]}: {said}" if room > 0 else name


def possible_controls(
    home: Home, configs: Sequence[TuneConfig], wanted: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Return which of the ``wanted`` controls every setting can have, and why it cannot have the others.

    Parameters
    ----------
    home : Home
    configs : sequence of TuneConfig
        As from `expand` without controls. Seeds do not matter.
    wanted : sequence of str

    Raises
    ------
    BraindashError
        For an unknown control, study or model.
    """
    from braindash.speech.catalogue import describe
    from braindash.studies.library import open_study
    from braindash.tuning.controls import available

    for name in wanted:
        if name not in CONTROL_NAMES:
            raise BraindashError(f"There is no control {name!r}.", closest(name, CONTROL_NAMES))
    studies = {c.study: open_study(c.study, home) for c in configs}
    models = {c.model: describe(c.model, home) for c in configs}
    reasons: dict[str, str] = {}
    for config in {c.model_copy(update={"seed": 0}).matching_key(): c for c in configs}.values():
        reasons |= available(studies[config.study], models[config.model], config)[1]
    return [c for c in wanted if c not in reasons], {c: reasons[c] for c in wanted if c in reasons}


# --- launching -----------------------------------------------------------------------------------


def check_settings(
    home: Home, configs: Sequence[TuneConfig], progress: Callable[[float, str], None] | None = None
) -> None:
    """Check every setting of a group against study and model, before any run is made.

    Raises
    ------
    BraindashError
        For the first problem, with the setting that has it.
    """
    from braindash.jobs.preflight import preflight

    distinct = {(c.control, c.model_copy(update={"seed": 0}).matching_key()): c for c in configs}
    for i, config in enumerate(distinct.values()):
        if progress:
            progress(i / len(distinct), config.name)
        problems = preflight(config, home, timed=False).problems
        if problems:
            where = f"{config.name}: " if len(distinct) > 1 and config.name else ""
            raise BraindashError(f"{where}{problems[0].what}", problems[0].remedy)


def group_name(configs: Sequence[TuneConfig], taken: Collection[str], name: str = "") -> str:
    """Return a name for a group that no other has: ``name``, or what varies and when: ``rank-lr-20261122-0131``."""
    base = " ".join(name.split())
    if not base:
        words = [short_name(k).rpartition(".")[2] for k in varied_keys(map(flatten, configs))][:4]
        words += [] if words else ["controls"] if any(c.control != "none" for c in configs) else ["seeds"]
        base = f"{re.sub(r'[^A-Za-z0-9]+', '-', '-'.join(words))}-{time.strftime('%Y%m%d-%H%M')}"
    for i in itertools.count(1):
        end = f"-{i}" if i > 1 else ""
        candidate = base[: LONGEST_NAME - len(end)] + end
        if candidate not in taken:
            return candidate
    raise AssertionError("there is always another number")


def launch_group(
    home: Home | RunStore,
    configs: Sequence[TuneConfig],
    executor: ExecutorConfig | None = None,
    *,
    name: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Group:
    """Make the runs of a group, all or none, and launch them in the order given.

    Parameters
    ----------
    home : Home or RunStore
    configs : sequence of TuneConfig
        As from `expand`; each was checked (`check_settings`).
    executor : ExecutorConfig, optional
        Where they run; this machine by default, where they wait in line.
    name : str
        What the group is called; see `group_name`. A number is put behind a name that is taken.
    facts : mapping, optional
        Kept in the provenance of every run besides what is known of code and machine.

    Returns
    -------
    Group
        ``id``, and one row a run.

    Raises
    ------
    BraindashError
        Where a run cannot be written: then none is left behind. Runs that cannot be launched stay, to be resumed.
    """
    from braindash.jobs.launch import launch_many
    from braindash.runs.provenance import collect

    if not configs:
        raise BraindashError("The group has no runs.", "Give at least one setting.")
    store = home if isinstance(home, RunStore) else RunStore(home)
    group = group_name(configs, by_group(store.list()), name or configs[0].group)
    common = collect(configs[0]) | dict(facts or {})
    runs: list[Run] = []
    try:
        for config in configs:
            member = with_settings(config, {"group": group})
            command = command_for(member)
            runs.append(store.create(member, provenance={**common, "seed": member.seed, "command": command}))
    except BaseException:
        for run in runs:
            store.delete(run.id)
        raise
    launch_many(runs, executor)
    return read_group(store, group)


def stop_group(store: RunStore, rows: Sequence[RunRow], now: bool = False) -> list[str]:
    """Ask every run that waits or works to stop, the last first; return their ids."""
    from braindash.jobs.launch import stop

    asked = []
    for row in reversed(rows):  # so that none of those that wait begins meanwhile
        try:
            run = store.get(row.id)
            if run.status.state in ("queued", "running"):
                stop(run, now=now)
                asked.append(row.id)
        except RunStateError:  # it has ended meanwhile
            continue
        except BraindashError:
            if row.state != "unreadable":
                raise
    return asked[::-1]


def resume_group(store: RunStore, rows: Sequence[RunRow], executor: ExecutorConfig | None = None) -> list[str]:
    """Go on with every run of the group that was stopped, interrupted or failed; return their ids.

    Without ``executor`` each goes on where it was launched.
    """
    from braindash.jobs.executors import read_placement
    from braindash.jobs.launch import launch_many
    from braindash.runs.status import RESUMABLE

    places: dict[str, tuple[ExecutorConfig, list[Run]]] = {}
    for row in rows:
        if row.state in RESUMABLE:
            run = store.get(row.id)
            place = executor or read_placement(run).executor
            places.setdefault(place.model_dump_json(), (place, []))[1].append(run)
    for place, runs in places.values():
        launch_many(runs, place)
    return [run.id for _, runs in places.values() for run in runs]


def delete_group(store: RunStore, rows: Sequence[RunRow]) -> list[str]:
    """Delete every run of the group, none where one is at work; return their ids.

    Raises
    ------
    RunStateError
        While a run of the group waits or works.
    """
    group = rows[0].group if rows else ""
    working = [row.id for row in rows if is_live([row])]
    if working:
        raise RunStateError(
            f"{len(working)} of the {len(rows)} runs of group {group!r} wait or work.",
            "Stop them first: braindash runs stop --group …",
        )
    for row in rows:
        store.delete(row.id)
    return [row.id for row in rows]
