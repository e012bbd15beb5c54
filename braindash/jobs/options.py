"""How many runs and where, as options of ``braindash tune``; what each run computes is `jobs.command`'s."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from braindash.config import ExecutorConfig

# fields of ExecutorConfig -> options of the command line
EXECUTOR_OPTIONS = {
    "executor": "--executor",
    "partition": "--partition",
    "time": "--time",
    "gpus": "--gpus",
    "cpus": "--cpus",
    "memory_gb": "--memory",
    "processes": "--processes",
    "account": "--account",
    "parallel": "--parallel",
}


def launch_options(
    grid: Sequence[str] = (),
    seeds: int = 1,
    controls: Sequence[str] = (),
    executor: ExecutorConfig | None = None,
    usual: ExecutorConfig | None = None,
) -> str:
    """Return the options that make a group of runs and say where they go, quoted for a POSIX shell.

    Parameters
    ----------
    grid : sequence of str
        ``rank=4,8``, one a setting.
    seeds : int
    controls : sequence of str
    executor : ExecutorConfig, optional
    usual : ExecutorConfig, optional
        What the home's settings say, which needs no option; the default of every option if not given.

    >>> launch_options(["rank=4,8"], seeds=3)
    '--grid rank=4,8 --seeds 3'
    """
    words: list[str] = []
    for text in grid:
        words += ["--grid", text]
    if seeds != 1:
        words += ["--seeds", str(seeds)]
    if controls:
        words += ["--controls", ",".join(controls)]
    usual = usual or ExecutorConfig()
    chosen = executor or usual
    # an option --executor that differs from the settings puts all others back to their defaults
    base = usual if chosen.executor == usual.executor else ExecutorConfig(executor=chosen.executor)
    for field, option in EXECUTOR_OPTIONS.items():
        value = getattr(chosen, field)
        if value != getattr(usual if field == "executor" else base, field):
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
