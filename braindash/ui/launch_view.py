"""How many runs a launch makes, with which controls, and where they run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from braindash.config import CONTROL_NAMES, ExecutorConfig, Home, TuneConfig, validate
from braindash.errors import BraindashError
from braindash.ui import names, notices, permissions, readers
from braindash.ui.glossary_help import explain
from braindash.ui.text import count, escape

GRID_HELP = (
    "One setting a line, with the values to try, such as `rank=4,8` or `lr=1e-4,3e-4`. Every combination is tried."
)
LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True)
class Plan:
    """What is launched besides the configuration in the form.

    Attributes
    ----------
    grid : tuple of str
        Lines as ``rank=4,8``.
    seeds : int
        Runs of each setting.
    controls : tuple of str
        Controls that each run gets.
    executor : ExecutorConfig
    """

    grid: tuple[str, ...] = ()
    seeds: int = 1
    controls: tuple[str, ...] = ()
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)

    @property
    def is_group(self) -> bool:
        return bool(self.grid or self.controls or self.seeds > 1)

    def configs(self, config: TuneConfig) -> list[TuneConfig]:
        """Return one configuration a run; raises BraindashError for a grid that cannot be read."""
        from braindash.jobs.groups import expand, parse_grid

        return expand(config, parse_grid(self.grid), self.seeds, self.controls)

    def options(self) -> str:
        """Return the options of `braindash tune` that say the same."""
        from braindash.jobs.options import launch_options

        return launch_options(self.grid, self.seeds, self.controls, self.executor, usual_executor())


def draw(config: TuneConfig) -> tuple[Plan, list[TuneConfig]] | None:
    """Draw the choices; return the plan and its runs, or None where something must be corrected first."""
    with st.expander("Several runs, controls", icon=":material/stacks:"):
        grid = _grid()
        seeds = int(
            st.number_input(
                "Seeds", min_value=1, max_value=100, value=1, step=1, key="plan_seeds", persist_state="session",
                help=f"Runs of each setting.\n\n{explain('seed')}",
            )
        )  # fmt: skip
        controls = _controls(config)
    with st.expander("Where it runs", icon=":material/dns:"):
        executor = executor_choice("plan", usual_executor())
    if executor is None:
        return None
    plan = Plan(grid, seeds, controls, executor)
    try:
        configs = plan.configs(config)
    except BraindashError as error:
        notices.mistake(error)
        return None
    if plan.is_group:
        with_controls = f", {count(len(controls), 'control')} with each" if controls else ""
        st.info(
            escape(f"This launches {count(len(configs), 'run')} as one group{with_controls}."), icon=":material/stacks:"
        )
    return plan, configs


def _grid() -> tuple[str, ...]:
    text = st.text_area(
        "Settings to vary", placeholder="rank=4,8\nlr=1e-4,3e-4", height=90, key="plan_grid", persist_state="session",
        help=GRID_HELP,
    )  # fmt: skip
    return tuple(line.strip() for line in (text or "").splitlines() if line.strip())


def _controls(config: TuneConfig) -> tuple[str, ...]:
    if config.control != "none":
        st.caption("This run is itself a control\\: it can have none\\.")
        return ()
    possible, reasons = _possible(config.model_dump_json(exclude={"name"}), str(readers.home().path))
    chosen = st.multiselect(
        "Matched controls",
        possible,
        format_func=lambda name: names.choice("control", name),
        placeholder="none",
        key="plan_controls",
        persist_state="session",
        help=f"Shown beside the run in its results.\n\n{explain('control')}",
    )
    for name, reason in reasons.items():
        st.caption(escape(f"{names.choice('control', name)} is not possible here: {reason}"))
    return tuple(c for c in chosen if c in possible)


@st.cache_data(max_entries=64, ttl=60, show_spinner=False)
def _possible(config: str, home: str) -> tuple[list[str], dict[str, str]]:
    from braindash.jobs.groups import possible_controls

    try:
        return possible_controls(Home(Path(home)), [TuneConfig.model_validate_json(config)], CONTROL_NAMES)
    except BraindashError:  # study or model cannot be opened: said beside their own widgets
        return [], {}


def usual_executor() -> ExecutorConfig:
    """Return where the settings say that runs go; this machine where they cannot be read."""
    try:
        return permissions.settings().compute
    except BraindashError:  # told above the page
        return ExecutorConfig()


def executor_choice(prefix: str, usual: ExecutorConfig) -> ExecutorConfig | None:
    """Draw where runs go, from ``usual`` on; None where something must be corrected first."""
    has_slurm = shutil.which("sbatch") is not None
    where = st.radio(
        "Executor",
        [LOCAL, SLURM],
        index=[LOCAL, SLURM].index(usual.executor),
        format_func={LOCAL: "This machine, one run after the other", SLURM: "A Slurm cluster"}.__getitem__,
        captions=["", "" if has_slurm else "sbatch is not on this machine"],
        key=f"{prefix}_executor",
        persist_state="session",
    )
    begin = usual if where == usual.executor else ExecutorConfig()

    def number(label: str, name: str, low: int, high: int) -> int:
        return int(
            st.number_input(
                label, min_value=low, max_value=high, value=int(getattr(begin, name)), step=1,
                key=f"{prefix}_{name}", help=ExecutorConfig.model_fields[name].description, persist_state="session",
            )
        )  # fmt: skip

    def text(label: str, name: str, placeholder: str) -> str:
        return st.text_input(
            label, value=getattr(begin, name), placeholder=placeholder, key=f"{prefix}_{name}", persist_state="session"
        )

    values: dict[str, object] = {
        "executor": where,
        "processes": number("Processes that share a step", "processes", 1, 64),
    }
    if where == SLURM:
        if not has_slurm:
            st.warning(
                "There is no `sbatch` on this machine, so nothing can be submitted from here. Open the dashboard on a "
                "login node of the cluster, or run on this machine.",
                icon=":material/warning:",
            )
        left, right = st.columns(2, gap="medium")
        with left:
            values["partition"] = text("Partition", "partition", "the cluster's default")
            values["time"] = number("Time (minutes)", "time", 1, 100_000)
            values["gpus"] = number("GPUs", "gpus", 0, 64)
        with right:
            values["account"] = text("Account", "account", "none")
            values["memory_gb"] = number("Memory (GB)", "memory_gb", 1, 4096)
            values["cpus"] = number("CPU cores", "cpus", 1, 1024)
            values["parallel"] = number("Jobs at a time", "parallel", 1, 10_000)
    try:
        return validate(ExecutorConfig, values, "Where it runs")
    except BraindashError as error:
        notices.mistake(error)
        return None
