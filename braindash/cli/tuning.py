"""``braindash demo | tune``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from braindash.cli.executors import (
    AccountOption,
    CpusOption,
    ExecutorOption,
    GpusOption,
    MemoryOption,
    ParallelOption,
    PartitionOption,
    TimeOption,
    executor_from,
)
from braindash.cli.session import HomeOption, JsonOption, Session, plain
from braindash.errors import BraindashError
from braindash.jobs.words import duration

if TYPE_CHECKING:
    from braindash.config import TuneConfig
    from braindash.runs.run import Run


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("demo")(demo)
    app.command("tune")(tune)


def config_from(params: Mapping[str, Any]) -> TuneConfig:
    """Build the configuration from the parsed parameters of `tune`."""
    from braindash.jobs.command import NAMED, build_config

    return build_config(
        preset=params.get("preset"),
        file=params.get("config"),
        named={k: params.get(k) for k in NAMED},
        settings=params.get("settings") or (),
    )


def demo(
    ctx: typer.Context,
    open_app: Annotated[bool, typer.Option("--open", help="Then open the dashboard in the browser.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The dashboard's port.")] = 8501,
    small: Annotated[bool, typer.Option("--small", help="Fewer stories and targets: a quick trial.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Tune again although a finished demo is there.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the embedded study, tune on it, evaluate."""
    from braindash.cli.progress import DemoBars
    from braindash.demo.pipeline import run_demo

    session = Session(ctx, home, as_json)
    with DemoBars() as bars:
        outcome = run_demo(session.home, progress=bars.step, small=small, fresh=fresh)
    lines = [*outcome.get("answer", ()), "", *(f"Note: {c}" for c in outcome.get("caveats", ()))]
    took = duration(outcome.get("seconds"))
    session.emit(outcome, "", *map(plain, lines), f"Run {outcome['run']}, control {outcome['control']}; {took}.")
    if open_app:
        from braindash.cli.machine import serve

        serve(session, port, browser=True)
    elif not session.as_json:
        session.tell("See it in the browser: braindash app")


def tune(
    ctx: typer.Context,
    study: Annotated[str | None, typer.Option("--study", metavar="ID", help="Study to tune on.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="ID", help="Known name, hub id, folder, or a run's id.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help="Settings of a published study; files and options override them."
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="lora, full or head.")] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="mse, spatial, temporal, huber, cosine, or a sum: spatial+0.5*mse.")
    ] = None,
    control: Annotated[
        str | None, typer.Option("--control", help="Make the run a control, such as block-permuted.")
    ] = None,
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Subjects; all by default.")] = None,
    rois: Annotated[
        str | None, typer.Option("--rois", metavar="A,B", help="Regions tuned on; every target by default.")
    ] = None,
    hemi: Annotated[str | None, typer.Option("--hemi", help="Hemisphere tuned on: both, left or right.")] = None,
    mask: Annotated[
        str | None, typer.Option("--mask", metavar="FILE", help="Targets tuned on: one value each, 0 is left out.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option("--layer", metavar="K", help="Hidden state that feeds the head; the last by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything that is random.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N, mps.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="A label of your own; also what a group is called.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A YAML file, such as a run's config.yaml.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. lora.rank=4; may be repeated."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="NAME=A,B", help="Values to try, e.g. rank=4,8; several: every combination."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Runs of each setting, seed by seed.")] = 1,
    controls: Annotated[
        str | None,
        typer.Option("--controls", metavar="A,B", help="Matched controls to launch with it; all: every one."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Launch more than 200 runs.")] = False,
    executor: ExecutorOption = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="N", help="Processes that share a step's stories, one a device."),
    ] = None,
    partition: PartitionOption = None,
    time: TimeOption = None,
    gpus: GpusOption = None,
    cpus: CpusOption = None,
    memory: MemoryOption = None,
    account: AccountOption = None,
    parallel: ParallelOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, estimate time and memory, start nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the run goes on by itself.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a model on brain responses.

    The run is a process of its own: it outlives this one.

    With --grid, --seeds or --controls: a group of runs, listed as one.
    """
    from braindash.cli import groups
    from braindash.cli.progress import follow
    from braindash.jobs.command import command_for
    from braindash.jobs.launch import launch, stop
    from braindash.jobs.preflight import preflight
    from braindash.runs.own_regions import spell_out
    from braindash.runs.provenance import collect
    from braindash.settings import read_settings

    session = Session(ctx, home, as_json)
    chosen = spell_out(config_from(ctx.params), session.home)
    where = executor_from(ctx.params, read_settings(session.home).compute)
    if grid or seeds > 1 or controls is not None:
        planned = groups.plan(session, chosen, grid or (), seeds, controls)
        groups.launch(session, planned, where, dry_run=dry_run, detach=detach, yes=yes)
        return
    found = preflight(chosen, session.home, timed=dry_run)
    if dry_run:
        session.emit(found.model_dump(mode="json"), *found.lines())
        if found.problems:
            raise typer.Exit(2)
        return
    if found.problems:
        raise BraindashError(found.problems[0].what, found.problems[0].remedy)
    run = session.store.create(chosen, provenance=collect(chosen, command_for(chosen)))
    launch(run, executor=where)
    if detach:
        session.emit({"run": run.id, "status": "queued"}, run.id)
        session.tell(f"Follow it with: braindash runs watch {run.id}")
        return
    session.tell(f"Run {run.id}")
    try:
        follow(run)
    except KeyboardInterrupt:
        stop(run)
        session.tell(f"Asked to stop at the next step. Go on later with: braindash runs resume {run.id}")
        raise
    finish(session, run)


def finish(session: Session, run: Run) -> None:
    """Say how a run ended, with the exit code that belongs to it."""
    status = run.status
    payload: dict[str, Any] = {"run": run.id, "status": status.state}
    epochs = [m for m in run.metrics if m.get("kind") == "epoch"]
    if epochs:
        payload["epochs"] = epochs
    if status.error:
        payload["error"] = status.error.model_dump()
    records = run.records() if status.state == "done" else None
    lines = [f"Run {run.id}: {status.state}."]
    if records:
        payload["answer"] = records.get("summary", {}).get("answer", [])
        lines += map(plain, payload["answer"])
    session.emit(payload, *lines)
    if status.state == "done":
        return
    if status.error:
        session.tell(f"error: {status.error.what} {status.error.remedy}")
        raise typer.Exit(2 if status.error.kind == "user" else 1)
    session.tell(f"Go on with: braindash runs resume {run.id}")
    raise typer.Exit(1)
