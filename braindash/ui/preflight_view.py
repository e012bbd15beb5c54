"""What a fine-tune will cost, the command that would start it, and the button that does."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from braindash.config import ExecutorConfig, TuneConfig
from braindash.errors import BraindashError
from braindash.ui import notices, permissions, readers
from braindash.ui.launch_view import Plan
from braindash.ui.text import count, duration, escape, memory, shorten

if TYPE_CHECKING:
    from braindash.jobs.preflight import Preflight

CHECK_SECONDS = 600
_SAME_CLICK_SECONDS = 10.0


def section(config: TuneConfig, plan: Plan, configs: Sequence[TuneConfig]) -> None:
    """Draw the check, the equivalent command and the launch of one run, or of a group of ``configs``."""
    from braindash.jobs.command import command_for

    if st.button(
        "Check memory and time",
        icon=":material/speed:",
        key="check",
        width="stretch",
        disabled=not permissions.may("launch"),
        help=permissions.help_of(
            "launch", "Loads the model, reads the responses and times one step on this machine. Starts nothing."
        ),
    ):
        _check(config)
    found = _remembered(config)
    if found is not None:
        show(found)
    st.markdown("**The same from the command line**")
    st.code(f"{command_for(config)} {plan.options()}".strip(), language=None, wrap_lines=True)
    blocked = found is not None and bool(found.problems)
    if st.button(
        f"Launch {count(len(configs), 'run')}" if plan.is_group else "Launch",
        type="primary",
        icon=":material/rocket_launch:",
        key="launch",
        width="stretch",
        disabled=blocked or not permissions.may("launch"),
        help=permissions.help_of("launch", "Starts a process of its own; it goes on when this page is closed."),
    ):
        _launch(config, plan, configs)


def show(found: Preflight) -> None:
    """Show what the check found: problems first, then cost, then what is left out."""
    for problem in found.problems:
        notices.mistake(BraindashError(problem.what, problem.remedy))
    with st.container(border=True):
        left, right = st.columns(2)
        left.metric(
            "Time",
            f"≈ {duration(found.estimated_seconds)}" if found.estimated_seconds is not None else "–",
            help="To tune: from steps timed on this machine. The evaluation comes on top.",
        )
        needed, free = (None if n is None else n / 1e9 for n in (found.memory_needed, found.memory_available))
        right.metric("Memory", memory(needed) if needed is not None else "–", help="The largest amount at one time.")
        steps = "" if found.n_steps is None else count(found.n_steps, "step")
        if found.seconds_per_step is not None:
            steps += f" of {found.seconds_per_step:.2g} s"
        left.caption(escape(steps))
        if found.evaluation_seconds is not None:
            left.caption(escape(f"then ≈ {duration(found.evaluation_seconds)} to evaluate"))
        right.caption(escape(f"of {memory(free)} free"))
        device = " ".join(p for p in (found.device, found.precision) if p)
        disk = "" if found.disk_needed is None else f"disk {memory(found.disk_needed / 1e9)}"
        if found.disk_free is not None and disk:
            disk += f" of {memory(found.disk_free / 1e9)} free"
        st.caption(escape("; ".join(p for p in (f"device {device}" if device else "", disk) if p)))
        if found.checkpointing:
            st.caption(escape(found.checkpointing))
        if found.leak_check:
            st.caption(f"Leak check\\: {escape(found.leak_check)}", help="Test stories must not be tuned or chosen on.")
        for subject, counts in found.targets.items():
            st.text(_targets(subject, counts))
        for note in found.notes:
            st.text(note)


def _targets(subject: str, counts: dict[str, int]) -> str:
    left_out = [
        f"{counts[key]:,} {words}"
        for key, words in (
            ("n_outside", "outside the regions"),
            ("n_outside_mask", "outside the mask"),
            ("n_below_ceiling", "below the noise ceiling"),
            ("n_excluded", "not finite or constant"),
        )
        if counts.get(key)
    ]
    text = f"{subject}: tuned on {counts.get('n_targets', 0):,} of {counts.get('n_all', 0):,} targets"
    return f"{text}; left out: {', '.join(left_out)}." if left_out else f"{text}."


def _key(config: TuneConfig) -> str:
    return config.model_dump_json(exclude={"name"})


def _remembered(config: TuneConfig) -> Preflight | None:
    key, found = st.session_state.get("preflight", (None, None))
    return found if key == _key(config) else None


def _check(config: TuneConfig) -> None:
    with st.spinner("Timing one step on this machine. The model is loaded and the responses are read …"):
        try:
            st.session_state["preflight"] = (_key(config), check(config))
        except BraindashError as error:
            notices.mistake(error)


def check(config: TuneConfig) -> Preflight:
    """Run ``braindash tune --dry-run`` as a process of its own, so that the pages' process stays small.

    Raises
    ------
    BraindashError
        If it takes longer than ten minutes, or ends without a report.
    """
    from braindash.jobs.preflight import Preflight

    permissions.require("launch")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(config.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "braindash", "tune", "--config", str(file), "--dry-run", "--json"]
        command += ["--home", str(readers.home().path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise BraindashError(
                f"The check took longer than {CHECK_SECONDS // 60} minutes.",
                "Tune on fewer targets, or launch without it.",
            ) from None
    try:
        return Preflight.model_validate_json(done.stdout)
    except ValueError:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise BraindashError(
            f"The check ended without a report ({shorten(said, 300)}).",
            "Run the command below with --dry-run to see why.",
        ) from None


def _launch(config: TuneConfig, plan: Plan, configs: Sequence[TuneConfig]) -> None:
    """Check the configuration against study and model, create the run or the group, and start it."""
    asked = config.model_dump_json() + repr(plan)
    before, when = st.session_state.get("launched_config", ("", 0.0))
    if before == asked and time.monotonic() - when < _SAME_CLICK_SECONDS:
        return  # the second half of a double click
    try:
        with st.spinner("Checking study, model and split …"):
            launched = start_group(plan, configs) if plan.is_group else start(config, plan.executor)
    except BraindashError as error:
        notices.mistake(error)
        return
    st.session_state["launched_config"] = (asked, time.monotonic())
    st.session_state["launched"] = launched


def start(config: TuneConfig, executor: ExecutorConfig | None = None) -> dict[str, str]:
    """Refuse what cannot run, else create the run and start it; return ``{"run": id}``."""
    from braindash.jobs.command import command_for
    from braindash.jobs.launch import launch
    from braindash.jobs.preflight import preflight
    from braindash.runs.provenance import collect

    who = permissions.require("launch")
    found = preflight(config, readers.home(), timed=False)
    if found.problems:
        raise BraindashError(found.problems[0].what, found.problems[0].remedy)
    facts = collect(config, command_for(config)) | permissions.launched_by(who)
    run = readers.store().create(config, provenance=facts)
    permissions.note(run, who, "Launched")
    launch(run, executor=executor or ExecutorConfig())
    return {"run": run.id}


def start_group(plan: Plan, configs: Sequence[TuneConfig]) -> dict[str, str]:
    """Refuse what cannot run, else create and start every run of a group; return ``{"group": id}``."""
    from braindash.jobs.groups import MANY_RUNS, check_settings, launch_group

    who = permissions.require("launch")
    if len(configs) > MANY_RUNS:
        raise BraindashError(
            f"This would launch {len(configs)} runs.", f"Vary fewer settings: at most {MANY_RUNS} runs from the page."
        )
    check_settings(readers.home(), configs)
    return {"group": launch_group(readers.home(), configs, plan.executor, facts=permissions.launched_by(who)).id}
