"""Where runs and evaluations run: the options of ``tune`` and ``evaluate`` that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.config import ExecutorConfig

ExecutorOption = Annotated[str | None, typer.Option("--executor", help="local (the default) or slurm.")]
PartitionOption = Annotated[str | None, typer.Option("--partition", help="Slurm: partition.")]
TimeOption = Annotated[
    str | None, typer.Option("--time", metavar="TIME", help="Slurm: minutes, 8:00:00 or 1-12:00:00; a day.")
]
GpusOption = Annotated[int | None, typer.Option("--gpus", metavar="N", help="Slurm: GPUs of a job; 0.")]
CpusOption = Annotated[int | None, typer.Option("--cpus", metavar="N", help="Slurm: CPU cores of a job; 2.")]
MemoryOption = Annotated[float | None, typer.Option("--memory", metavar="GB", help="Slurm: memory of a job; 16.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="Slurm: account.")]
ParallelOption = Annotated[int | None, typer.Option("--parallel", metavar="N", help="Slurm: most jobs at a time; 16.")]

SLURM_ONLY = ("partition", "time", "gpus", "cpus", "memory", "account", "parallel")


def executor_from(params: Mapping[str, Any], usual: ExecutorConfig | None = None) -> ExecutorConfig:
    """Build what says where runs run from the parsed parameters of `tune`.

    Without an option ``usual``, the home's settings, holds; an ``--executor`` that differs from it
    begins with the defaults.
    """
    from braindash.config import ExecutorConfig, validate

    usual = usual or ExecutorConfig()

    given = {k: params.get(k) for k in ("executor", "processes", *SLURM_ONLY) if params.get(k) is not None}
    meant = [k for k in SLURM_ONLY if k in given]
    if meant and given.get("executor", usual.executor) == "local":
        raise BraindashError(
            f"--{meant[0]} is for Slurm jobs, and the executor is local.", "Add --executor slurm, or leave it out."
        )
    if "time" in given:
        given["time"] = minutes(str(given["time"]))
    if "memory" in given:
        given["memory_gb"] = given.pop("memory")
    base = usual.model_dump() if given.get("executor", usual.executor) == usual.executor else {}
    return validate(ExecutorConfig, base | given, "the executor")


def minutes(text: str) -> int:
    """Return the minutes that ``90``, ``8:30:00`` or ``1-12:00:00`` (days, hours, minutes, seconds) says."""
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(p.isdigit() for p in (*parts, *([days] if dash else []))) or len(parts) > 3 or (dash and len(parts) < 2):
        raise BraindashError(
            f"--time {text!r} is not a time.", "Give minutes, or hours as 8:00:00, or days as 1-12:00:00."
        )
    if len(parts) == 1:
        return int(parts[0])
    hours, mins, *seconds = map(int, parts)
    return 60 * (24 * int(days or 0) + hours) + mins + (1 if seconds and seconds[0] else 0)
