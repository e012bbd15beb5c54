"""Groups on the command line: planning, following and showing many runs as one."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from braindash.cli.session import Session, plain, table
from braindash.errors import BraindashError
from braindash.jobs.words import duration

if TYPE_CHECKING:
    from braindash.config import ExecutorConfig, TuneConfig
    from braindash.jobs.preflight import Preflight
    from braindash.runs.groups import Group, Outcome
    from braindash.runs.record import RunRow, RunStore

SHOWN_AT_ONCE = 24  # lines of a live table; more runs than these are counted


@dataclass
class Plan:
    """What `tune` was asked to launch."""

    configs: list[TuneConfig]
    name: str = ""  # that the user gave
    left_out: dict[str, str] = field(default_factory=dict)  # control: why not

    @property
    def real(self) -> TuneConfig:
        return next(c for c in self.configs if c.control == "none" or c.evaluate)


def plan(session: Session, config: TuneConfig, grid: Sequence[str], seeds: int, controls: str | None) -> Plan:
    """Return every run that was asked for. Controls named one by one must be possible; of *all*, those that are."""
    from braindash.cli.session import comma_list
    from braindash.config import CONTROL_NAMES
    from braindash.jobs.groups import expand, parse_grid, possible_controls

    axes = parse_grid(grid)
    wanted = comma_list(controls) or []
    everything = wanted == ["all"]
    if controls is not None and not wanted:
        raise BraindashError("--controls names none.", "Give --controls all, or names with commas between.")
    names, left_out = (
        possible_controls(session.home, expand(config, axes), CONTROL_NAMES if everything else wanted)
        if wanted
        else ([], {})
    )
    if left_out and not everything:
        name, reason = next(iter(left_out.items()))
        raise BraindashError(f"The control {name} is not possible here: {reason}", "Leave it out of --controls.")
    return Plan(expand(config, axes, seeds, names), config.name, left_out)


def launch(
    session: Session,
    planned: Plan,
    executor: ExecutorConfig,
    *,
    dry_run: bool,
    detach: bool,
    yes: bool,
) -> None:
    """Check a group, launch it, and follow it to its end."""
    from braindash.cli.progress import Bar
    from braindash.jobs.groups import MANY_RUNS, check_settings, launch_group, stop_group

    n = len(planned.configs)
    for name, reason in planned.left_out.items():
        session.tell(f"No control {name}: {reason}")
    if dry_run:
        _dry_run(session, planned)
        return
    if n > MANY_RUNS and not yes:
        raise BraindashError(f"This would launch {n} runs (more than {MANY_RUNS}).", "Vary less, or add --yes.")
    with Bar("Checking the settings") as bar:
        check_settings(session.home, planned.configs, bar.show)
    group = launch_group(session.home, planned.configs, executor, name=planned.name)
    if detach:
        payload = {"group": group.id, "runs": [r.id for r in group.rows], "status": "queued"}
        session.emit(payload | _left_out(planned), group.id)
        session.tell(f"{n} runs. See them with: braindash runs group {_quoted(group.id)}")
        return
    session.tell(f"Group {group.id}: {n} runs")
    try:
        follow(session.store, group.rows)
    except KeyboardInterrupt:
        asked = stop_group(session.store, group.rows)
        session.tell(
            f"Asked {len(asked)} runs to stop. Go on later with: braindash runs resume --group {_quoted(group.id)}"
        )
        raise
    finish(session, group.id, _left_out(planned))


def _quoted(group: str) -> str:
    import shlex

    return shlex.quote(group)


def _left_out(planned: Plan) -> dict[str, Any]:
    return {"controls_left_out": planned.left_out} if planned.left_out else {}


def _dry_run(session: Session, planned: Plan) -> None:
    """Say how many runs there would be, how long they would take together, and what one of them needs."""
    from braindash.jobs.preflight import preflight

    found = preflight(planned.real, session.home, timed=True)
    total = total_seconds(session, planned, found)
    controls = sorted({c.control for c in planned.configs} - {"none"})
    n = len(planned.configs)
    lines = [
        f"{n} runs" + (f", of them {sum(c.control != 'none' for c in planned.configs)} controls" if controls else "")
    ]
    if total is not None:
        lines += [f"about {duration(total)} to tune one after the other; evaluations come on top"]
    lines += [f"no control {name}: {reason}" for name, reason in planned.left_out.items()]
    lines += ["", "One of them:", *found.lines()]
    payload = {"runs": n, "estimated_seconds": total, "controls": controls, "preflight": found.model_dump(mode="json")}
    session.emit(payload | _left_out(planned), *map(plain, lines))
    if found.problems:
        raise typer.Exit(2)


def total_seconds(session: Session, planned: Plan, timed: Preflight) -> float | None:
    """Return the time of all runs from that of one: in proportion to their steps."""
    from braindash.jobs.preflight import preflight

    if timed.estimated_seconds is None or not timed.n_steps:
        return None
    steps: dict[str, int] = {}
    total = 0
    for config in planned.configs:
        key = config.model_copy(update={"seed": 0}).matching_key()  # controls do the steps of their run
        if key not in steps:
            steps[key] = preflight(config, session.home, timed=False).n_steps or timed.n_steps
        total += steps[key]
    return timed.estimated_seconds * total / timed.n_steps


# --- following -----------------------------------------------------------------------------------


def follow(store: RunStore, rows: Sequence[RunRow], poll: float = 1.0) -> None:
    """Show a line a run until all have ended: a live table on a terminal, else a line whenever a state changes."""
    from braindash.runs.groups import is_live

    shown = {row.id: row for row in rows}
    said: dict[str, str] = {}
    live = _Live() if sys.stderr.isatty() else None
    try:
        while True:
            for run_id, row in shown.items():
                if is_live([row]):
                    shown[run_id] = store.row(run_id)
            if live:
                live.show(list(shown.values()))
            else:
                for row in shown.values():
                    if said.get(row.id) != row.state:
                        said[row.id] = row.state
                        sys.stderr.write(plain(_line(row)) + "\n")
                sys.stderr.flush()
            if not is_live(shown.values()):
                return
            time.sleep(poll)
    finally:
        if live:
            live.close()


def _line(row: RunRow) -> str:
    score = f", validation r {row.validation_r:.4f}" if row.state == "done" and row.validation_r is not None else ""
    why = f": {row.message}" if row.state == "failed" else ""
    return f"{row.name or row.id}{_control(row)}: {row.state}{score}{why}"


def _control(row: RunRow) -> str:
    return "" if row.control in ("", "none") else f" ({row.control})"


class _Live:
    """A table on a terminal that is drawn anew; runs beyond its height are counted."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True, highlight=False), refresh_per_second=4, transient=True)
        self._live.start()

    def show(self, rows: Sequence[RunRow]) -> None:
        from rich.table import Table
        from rich.text import Text

        drawn = Table("run", "state", "", "validation r", box=None, pad_edge=False)
        first = {"running": 0, "stopping": 0, "failed": 1, "interrupted": 1, "queued": 2}
        order = sorted(range(len(rows)), key=lambda i: (first.get(rows[i].state, 3), i))
        kept = sorted(order[:SHOWN_AT_ONCE])
        for row in (rows[i] for i in kept):
            at = (
                f"{row.stage} {100 * row.fraction:.0f} %" if row.state == "running" and row.fraction is not None else ""
            )
            left = f", {duration(row.eta_s)} left" if at and row.eta_s else ""
            score = "" if row.validation_r is None else f"{row.validation_r:.4f}"
            cells = (plain((row.name or row.id) + _control(row)), row.state, at + left, score)
            drawn.add_row(*(Text(c) for c in cells))
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.state] = counts.get(row.state, 0) + 1
        said = ", ".join(f"{n} {state}" for state, n in counts.items())
        drawn.caption = Text(f"{len(rows)} runs: {said}")
        self._live.update(drawn)

    def close(self) -> None:
        self._live.stop()


# --- showing -------------------------------------------------------------------------------------


def finish(session: Session, group: str, more: Mapping[str, Any] | None = None) -> None:
    """Say how a group ended, with the exit code that belongs to it: 0 where every run is done."""
    from braindash.runs.groups import read_group

    found = read_group(session.store, group)
    session.emit(payload(found) | dict(more or {}), *group_lines(found))
    if found.state != "done":
        errors = [
            f"{r.name or r.id}{_control(r)}: {r.message or r.problem}"
            for r in found.rows
            if r.state in ("failed", "unreadable")
        ]
        for error in errors[:5]:
            session.tell(f"error: {error}")
        session.tell(f"Go on with: braindash runs resume --group {_quoted(group)}")
        raise typer.Exit(1)


def payload(group: Group) -> dict[str, Any]:
    """Return a group as JSON: its runs, the settings that vary, and the scores of each."""
    return {
        "group": group.id,
        "status": group.state,
        "runs": [
            {
                "run": row.id,
                "status": row.state,
                "control": row.control,
                "seed": row.seed,
                "values": dict(outcome.values) if outcome else {},
                "validation_r": row.validation_r,
            }
            for row in group.rows
            for outcome in [next((o for o in group.outcomes if row in o.rows), None)]
        ],
        "varied": list(group.varied),
        "settings": [
            {
                "values": dict(o.values),
                "control": o.control,
                "runs": [r.id for r in o.rows],
                "validation_r": o.validation.mean,
                "validation_r_sd": o.validation.sd,
                "n": o.validation.n,
                "validation_r_before": o.before,
                "test_difference": o.test.mean,
                "test_difference_sd": o.test.sd,
                "n_evaluated": o.test.n,
                "best": o.best,
            }
            for o in group.outcomes
        ],
        "test_of": group.test_of,
    }


def group_lines(group: Group) -> list[str]:
    """Return the table of a group: what varies, validation r over seeds, differences on the test stories."""
    from braindash.runs.groups import short_name, show_value

    controls = any(o.control != "none" for o in group.outcomes)
    tested = bool(group.test_of)
    headings = [short_name(k) for k in group.varied] + (["control"] if controls else [])
    headings += ["runs", "validation r", "± sd", "before"] + (["test difference", "± sd"] if tested else []) + [""]
    rows = []
    for o in group.outcomes:
        cells: list[Any] = [show_value(v) for v in o.values.values()]
        cells += ["" if o.control == "none" else o.control] if controls else []
        cells += [_runs(o), _number(o.validation.mean), _number(o.validation.sd), _number(o.before)]
        cells += [_number(o.test.mean, "+.4f"), _number(o.test.sd)] if tested else []
        so_far = "" if all(x.complete for x in group.outcomes if x.control == "none") else " so far"
        rows.append([*cells, f"best{so_far}" if o.best and group.varied else ""])
    states = ", ".join(f"{n} {state}" for state, n in group.states.items())
    lines = [f"Group {plain(group.id)}: {len(group.rows)} runs ({states})", "", *table(headings, rows), ""]
    if group.best and group.varied:
        lines += ["best: the highest mean r on the validation stories; test stories choose nothing."]
    if controls:
        lines += ["A control's validation r is on its own responses: not to be compared with the others."]
    if tested:
        lines += [f"test difference: tuned minus pretrained, {plain(group.test_of)}."]
    return lines


def _runs(outcome: Outcome) -> str:
    n, done = len(outcome.rows), outcome.validation.n
    return f"{n}" if done == n else f"{done} of {n}"


def _number(value: float, form: str = ".4f") -> str:
    return f"{value:{form}}" if value == value else "–"


def list_line(group: str, rows: Sequence[RunRow]) -> list[Any]:
    """Return the line of `runs list` that stands for a whole group."""
    from collections import Counter

    from braindash.runs.groups import joint_state

    counts = Counter(r.state for r in rows)
    said = ", ".join(f"{n} {state}" for state, n in counts.items())

    def only(values: set[str]) -> str:
        return values.pop() if len(values) == 1 else f"{len(values)} of them"

    readable = [r for r in rows if r.study]
    return [
        group,
        joint_state(rows),
        said,
        only({r.study for r in readable}),
        only({r.model for r in readable}),
        only({r.recipe for r in readable}),
        "with controls" if any(r.control not in ("", "none") for r in rows) else "",
        f"{sum(r.has_results for r in rows)} of {len(rows)}",
        "",  # stars and tags are of single runs
        f"group of {len(rows)} runs",
        "",
    ]
