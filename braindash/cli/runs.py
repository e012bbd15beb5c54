"""``braindash runs …``"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer

from braindash.cli.session import HomeOption, JsonOption, RunArgument, Session, plain, table
from braindash.cli.tuning import finish
from braindash.errors import BraindashError
from braindash.jobs.words import duration

if TYPE_CHECKING:
    from braindash.runs.run import Run

app = typer.Typer(help="List, follow, stop, resume, delete and share runs.", rich_markup_mode=None)

OneRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run's id.", show_default=False)]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="GROUP", help="All runs of this group, in place of one.")
]
LATEST_HELP = "The run's id; by default the newest that is at work, else the newest."


@app.command("list")
def list_(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Option("--group", metavar="GROUP", help="Only the runs of this group.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only runs with this tag; may be repeated.")
    ] = None,
    starred: Annotated[bool, typer.Option("--starred", help="Only runs with a star.")] = False,
    search: Annotated[
        str, typer.Option("--search", help="Words that all stand in the name, settings, id, tags or note.")
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all runs, newest first; a group is one line, unless runs are searched for."""
    from braindash.cli.groups import list_line
    from braindash.runs.groups import by_group, group_rows
    from braindash.runs.searching import NONE, find_runs, marks_of

    session = Session(ctx, home, as_json)
    every = session.store.list() if group is None else group_rows(session.store, group)
    marks = marks_of(session.home, every)
    found = find_runs(every, marks, text=search, tags=tag or (), starred=starred)
    single = group is not None or bool(tag or starred or search.strip())
    groups = {} if single else by_group(found)
    rows = []
    for r in found:
        if r.group in groups:
            if r.group:
                rows.append(list_line(r.group, groups.pop(r.group)))
            continue
        if r.group and not single:  # told with its group
            continue
        mine = marks.get(r.id, NONE)
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
                "★" if mine.starred else "",
                r.problem or r.name,
                ", ".join(mine.tags),
            ]
        )
    headings = ("id", "state", "", "study", "model", "recipe", "control", "results", "★", "name", "tags")
    nothing = f"None of the {len(every)} runs fits." if every else f"No runs in {session.home.path}."
    session.emit(
        {"home": str(session.home.path), "runs": [r.as_dict() | marks.get(r.id, NONE).as_dict() for r in found]},
        *(table(headings, rows) if found else [nothing]),
    )


@app.command("group")
def group_(
    ctx: typer.Context,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="What the group is called.", show_default=False)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the settings of a group: validation r over seeds, differences on the test stories.

    The best setting is the one with the highest mean validation r; test stories choose nothing.
    """
    from braindash.cli.groups import group_lines, payload
    from braindash.runs.groups import read_group

    session = Session(ctx, home, as_json)
    found = read_group(session.store, group)
    session.emit(payload(found), *group_lines(found))


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
    from braindash.runs.marks import read_marks

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    marks = read_marks(session.home, run)
    status, config = found.status, found.config
    # a model tuned elsewhere is not in the configuration: what was said on the command line is
    command = found.provenance.get("command", "") if config.recipe == "imported" else command_for(config)
    facts = [
        ("id", found.id),
        ("name", config.name),
        ("state", describe(status)),
        ("job", f"Slurm job {status.job}" if status.job else ""),
        ("message", status.message),
        ("error", f"{status.error.what} {status.error.remedy}" if status.error else ""),
        ("created", _when(status.created)),
        ("took", duration((status.ended or time.time()) - status.started) if status.started else ""),
        ("folder", str(found.path)),
        ("command", command),
        ("results", "yes" if (found.path / "records.json").exists() else "none yet"),
        ("tags", ", ".join((["★"] if marks.starred else []) + list(marks.tags))),
        ("note", marks.note or marks.problem),
    ]
    epochs = [m for m in found.metrics if m.get("kind") == "epoch"]
    lines = [f"{label:<9}{plain(value)}" for label, value in facts if value]
    if epochs:
        keys = ("epoch", "train_loss", "validation_loss", "validation_r", "head_validation_r", "best")
        lines += ["", *table(keys, [[_cell(e.get(k)) for k in keys] for e in epochs])]
    if log_lines and (tail := found.log_tail(log_lines)):
        lines += ["", *map(plain, tail.split("\n"))]
    session.emit(
        {
            "run": found.id,
            "status": status.state,
            "details": status.model_dump(mode="json"),
            "config": config.model_dump(mode="json"),
            "command": command,
            "provenance": found.provenance,
            "epochs": epochs,
            "marks": marks.as_dict(),
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
    run: OneRun = None,
    group: GroupOption = None,
    now: Annotated[bool, typer.Option("--now", help="Also send SIGTERM: ends stages that have no steps.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has stopped.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a run, or all runs of a group, to write a checkpoint and stop."""
    from braindash.jobs.groups import stop_group
    from braindash.jobs.launch import stop as ask
    from braindash.runs.groups import group_rows

    session = Session(ctx, home, as_json)
    if group is not None:
        _not_both(run, group)
        asked = stop_group(session.store, group_rows(session.store, group), now=now)
        if wait:
            for run_id in asked:
                session.store.get(run_id).wait()
        rows = group_rows(session.store, group)
        session.emit(
            {"group": group, "runs": [{"run": r.id, "status": r.state} for r in rows], "asked": asked},
            f"Asked {len(asked)} of {len(rows)} runs to stop.",
            f"Go on with: braindash runs resume --group {shlex.quote(plain(group))}",
        )
        return
    found = session.store.get(_given(run))
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
    run: OneRun = None,
    group: GroupOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a stopped, interrupted or failed run, or all those of a group, from the last whole checkpoint."""
    from braindash.cli import groups
    from braindash.cli.progress import follow
    from braindash.jobs.groups import resume_group
    from braindash.jobs.launch import resume as go_on
    from braindash.runs.groups import group_rows

    session = Session(ctx, home, as_json)
    if group is not None:
        _not_both(run, group)
        gone_on = resume_group(session.store, group_rows(session.store, group))
        if not gone_on:
            raise BraindashError(
                f"No run of group {group!r} is stopped, interrupted or failed.", "There is nothing to resume."
            )
        session.tell(f"{len(gone_on)} runs go on. Ctrl-C ends the watching, not the runs.")
        if detach:
            session.emit({"group": group, "runs": gone_on, "status": "queued"}, *gone_on)
            return
        groups.follow(session.store, group_rows(session.store, group))
        groups.finish(session, group)
        return
    found = session.store.get(_given(run))
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
    run: Annotated[list[str] | None, typer.Argument(metavar="[RUN…]", help="Ids of runs.", show_default=False)] = None,
    group: GroupOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete runs, or all runs of a group, with their weights and results; refused while one is at work."""
    from braindash.jobs.groups import delete_group
    from braindash.runs.groups import group_rows

    session = Session(ctx, home, as_json)
    store = session.store
    if group is not None:
        _not_both(run, group)
        rows = group_rows(store, group)
        if not yes and session.interactive:
            typer.confirm(f"Delete the {len(rows)} runs of group {plain(group)} for good?", abort=True, err=True)
        deleted = delete_group(store, rows)
        session.emit({"group": group, "deleted": deleted}, *(f"Deleted {r}." for r in deleted))
        return
    found = [store.get(r) for r in dict.fromkeys(run or [_given(None)])]
    if not yes and session.interactive:
        typer.confirm(f"Delete {', '.join(r.id for r in found)} for good?", abort=True, err=True)
    for r in found:
        store.delete(r.id)
    session.emit({"deleted": [r.id for r in found]}, *(f"Deleted {r.id}." for r in found))


def _given(run: str | None) -> str:
    if run is None:
        raise BraindashError("No run is named.", "Give a run's id, or --group GROUP.")
    return run


def _not_both(run: str | list[str] | None, group: str) -> None:
    if run:
        raise BraindashError(f"Both a run and the group {group!r} are named.", "Give one of them.")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4f}" if isinstance(value, float) else value
