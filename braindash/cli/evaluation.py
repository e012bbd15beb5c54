"""``braindash evaluate | encode``"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from braindash.cli.comparing import difference_table
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
from braindash.cli.session import HomeOption, JsonOption, RunArgument, Session, comma_list, plain
from braindash.errors import BraindashError

SubjectsOption = Annotated[
    str | None,
    typer.Option("--subjects", metavar="A,B", help="Also these, on whom it was not tuned; as last time by default."),
]


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("evaluate")(evaluate)
    app.command("encode")(encode)


def evaluate(
    ctx: typer.Context,
    run: RunArgument,
    parts: Annotated[
        str | None, typer.Option("--parts", metavar="A,B", help="Only these of encode, probe, rsa; all by default.")
    ] = None,
    subjects: SubjectsOption = None,
    executor: ExecutorOption = None,
    partition: PartitionOption = None,
    time: TimeOption = None,
    gpus: GpusOption = None,
    cpus: CpusOption = None,
    memory: MemoryOption = None,
    account: AccountOption = None,
    parallel: ParallelOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Slurm: return when the jobs are submitted.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode, probe and compare by RSA every layer of a run's models.

    These are the pretrained model, the tuned one, and its finished matching controls. Probes and RSA
    run with their defaults; the verbs probe and rsa have more options.

    With --executor slurm: as jobs, one a subject, model and block of layers.
    """
    from braindash.cli.progress import Bar
    from braindash.runs.whole import PARTS, evaluate_whole

    session = Session(ctx, home, as_json)
    found = session.ended_run(run)
    chosen = comma_list(parts) or list(PARTS)
    where = executor_from(ctx.params)
    if detach and where.executor == "local":
        raise BraindashError(
            "--detach is for Slurm jobs, and the executor is local.", "Add --executor slurm, or leave it out."
        )
    if where.executor == "slurm":
        from braindash.jobs.evaluation import submit_evaluation, wait_for_evaluation

        if "encode" not in chosen:
            raise BraindashError(
                "--executor slurm is for encoding; probes and RSA run here.", "Leave --executor out, or add encode."
            )
        jobs = submit_evaluation(found, where, parts=chosen, further=comma_list(subjects))
        if detach:
            session.emit({"run": run, "jobs": list(jobs.all)}, f"{len(jobs.all)} Slurm jobs, the last is {jobs.join}.")
            return
        with Bar("Evaluating") as bar:
            records = wait_for_evaluation(found, jobs, bar.show)
    else:
        with Bar("Evaluating") as bar:
            records = evaluate_whole(found, parts=chosen, subjects=comma_list(subjects), progress=bar.show)
    session.emit(records, *_summary(records))


def encode(
    ctx: typer.Context,
    run: RunArgument,
    subjects: SubjectsOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode every layer of a run's models and compare; the first part of evaluate."""
    from braindash.cli.progress import Bar
    from braindash.runs.evaluate import evaluate_run

    session = Session(ctx, home, as_json)
    found = session.ended_run(run)
    with Bar("Encoding") as bar:
        records = evaluate_run(found, subjects=comma_list(subjects), progress=bar.show)
    session.emit(records, *_summary(records))


def _summary(records: Mapping[str, Any]) -> list[str]:
    lines = [plain(s) for s in records.get("summary", {}).get("answer", [])]
    if records.get("differences"):
        lines += ["", *difference_table([records], roi=None, layer=None, model=None, subject=None), ""]
    for name, verb in (("probing", "probe"), ("rsa", "rsa")):
        if records.get(name):
            lines.append(f"{len(records[name])} rows of {name}: braindash {verb} prints them, compare sums them up.")
    lines += [f"Not done: {part}, because {plain(why)}" for part, why in (records.get("not_done") or {}).items()]
    return lines + [f"Note: {plain(c)}" for c in records.get("caveats", [])]
