"""``braindash runs …``"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, plain, table
from braindash.cli.tuning import RunArgument, finish
from braindash.errors import BraindashError
from braindash.jobs.words import duration

if TYPE_CHECKING:
    from braindash.runs.run import Run

app = typer.Typer(help="List, follow, stop, resume and delete runs.", rich_markup_mode=None)

LATEST_HELP = "The run's id; by default the newest that is at work, else the newest."


@app.command("list")
def list_(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all runs, newest first."""
    session = Session(ctx, home, as_json)
    found = session.store.list()
    rows = []
    for r in found:
        progress = f"{r.stage} {100 * r.fraction:.0f} %" if r.state == "running" and r.fraction is not None else ""
        rows.append(
            [
                r.id,
                r.state,
                progress,
                r.study,
                r.model,
                r.recipe,
                r.control if r.control != "none" else "",
                "yes" if r.has_results else "",
                r.problem or r.name,
            ]
        )
    headings = ("id", "state", "", "study", "model", "recipe", "control", "results", "name")
    session.emit(
        {"home": str(session.home.path), "runs": [r.as_dict() for r in found]},
        *(table(headings, rows) if found else [f"No runs in {session.home.path}."]),
    )


@app.command("show")
def show(
    ctx: typer.Context,
    run: RunArgument,
    log_lines: Annotated[int, typer.Option("--log", min=0, help="Lines of the log to show.")] = 10,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one run: its state, the command that repeats it, where it came from, the end of its log."""
    from braindash.cli.progress import describe
    from braindash.jobs.command import command_for

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    status, config = found.status, found.config
    facts = [
        ("id", found.id),
        ("name", config.name),
        ("state", describe(status)),
        ("message", status.message),
        ("error", f"{status.error.what} {status.error.remedy}" if status.error else ""),
        ("created", _when(status.created)),
        ("took", duration((status.ended or time.time()) - status.started) if status.started else ""),
        ("folder", str(found.path)),
        ("command", command_for(config)),
        ("results", "yes" if (found.path / "records.json").exists() else "none yet"),
    ]
    epochs = [m for m in found.metrics if m.get("kind") == "epoch"]
    lines = [f"{label:<9}{plain(value)}" for label, value in facts if value]
    if epochs:
        keys = ("epoch", "train_loss", "validation_loss", "validation_r", "best")
        lines += ["", *table(keys, [[_cell(e.get(k)) for k in keys] for e in epochs])]
    if log_lines and (tail := found.log_tail(log_lines)):
        lines += ["", *map(plain, tail.split("\n"))]
    session.emit(
        {
            "run": found.id,
            "status": status.state,
            "details": status.model_dump(mode="json"),
            "config": config.model_dump(mode="json"),
            "command": command_for(config),
            "provenance": found.provenance,
            "epochs": epochs,
            "path": str(found.path),
        },
        *lines,
    )


@app.command("watch")
def watch(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help=LATEST_HELP, show_default=False)] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a run until it ends. Ctrl-C ends the watching, not the run."""
    from braindash.cli.progress import follow

    session = Session(ctx, home, as_json)
    found = session.store.get(run) if run else _latest(session)
    session.tell(f"Run {found.id}")
    follow(found)
    finish(session, found)


def _latest(session: Session) -> Run:
    rows = [r for r in session.store.list() if not r.problem]
    if not rows:
        raise BraindashError(f"There are no runs in {session.home.path}.", "Launch one with `braindash tune`.")
    working = [r for r in rows if r.state in ("running", "stopping")] or [r for r in rows if r.state == "queued"]
    return session.store.get((working or rows)[0].id)


@app.command("stop")
def stop(
    ctx: typer.Context,
    run: RunArgument,
    now: Annotated[bool, typer.Option("--now", help="Also send SIGTERM: ends stages that have no steps.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has stopped.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a run to write a checkpoint and stop."""
    from braindash.jobs.launch import stop as ask

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    status = ask(found, now=now)
    if wait:
        status = found.wait()
    session.emit(
        {"run": found.id, "status": status.state},
        f"Run {found.id}: {status.state}.",
        f"Go on with: braindash runs resume {found.id}",
    )


@app.command("resume")
def resume(
    ctx: typer.Context,
    run: RunArgument,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a stopped, interrupted or failed run from its last whole checkpoint."""
    from braindash.cli.progress import follow
    from braindash.jobs.launch import resume as go_on

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    go_on(found)
    if detach:
        session.emit({"run": found.id, "status": "queued"}, found.id)
        return
    session.tell(f"Run {found.id}. Ctrl-C ends the watching, not the run.")
    follow(found)
    finish(session, found)


@app.command("delete")
def delete(
    ctx: typer.Context,
    run: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids of runs.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete runs with their weights and results; refused while one is at work."""
    session = Session(ctx, home, as_json)
    store = session.store
    found = [store.get(r) for r in dict.fromkeys(run)]
    if not yes and session.interactive:
        typer.confirm(f"Delete {', '.join(r.id for r in found)} for good?", abort=True, err=True)
    for r in found:
        store.delete(r.id)
    session.emit({"deleted": [r.id for r in found]}, *(f"Deleted {r.id}." for r in found))


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4f}" if isinstance(value, float) else value
