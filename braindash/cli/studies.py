"""``braindash study …``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, comma_list, table
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.studies.base import Study

app = typer.Typer(help="Add, check, list and remove studies.", rich_markup_mode=None)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The study's id.", show_default=False)]


@app.command("add")
def add(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="lebel2023, table, electrodes, …", show_default=False)],
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help="The study's folder.", show_default=False)] = None,
    id: Annotated[str | None, typer.Option("--id", help="The id to know it by.")] = None,
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Only these subjects.")] = None,
    stories: Annotated[str | None, typer.Option("--stories", metavar="A,B", help="Only these stories.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="F", help="A YAML file with settings of the kind.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init", metavar="PATH", help="For table and electrodes: write a commented example there instead."
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a study and remember it; its data stay where they are."""
    session = Session(ctx, home, as_json)
    if init is not None:
        _write_example(session, kind, path, init)
        return
    if path is None:
        raise BraindashError("No path is given.", f"Write `braindash study add {kind} PATH`.")
    from braindash.jobs.command import read_config_file
    from braindash.runs.maps import prepare_maps
    from braindash.studies.library import add_study
    from braindash.studies.report import check_study

    study = add_study(
        session.home,
        kind,
        path,
        id=id,
        subjects=comma_list(subjects),
        stories=comma_list(stories),
        config=read_config_file(config) if config else None,
    )
    report = check_study(study)
    if report.ok:
        prepare_maps(study, study.subjects, session.home, files=False)  # seconds here, or a page that waits
    session.emit(
        {"study": study.id, "status": "added", "report": report.model_dump(mode="json")},
        *report.lines(),
        f"Added as {study.id}.",
    )


def _write_example(session: Session, kind: str, path: Path | None, init: Path) -> None:
    from braindash.studies.table_example import EXAMPLES, init_table

    if kind not in EXAMPLES:
        raise BraindashError(
            f"--init does not go with the kind {kind!r}.", "Only table and electrodes studies have a file to write."
        )
    if path is not None:
        raise BraindashError(f"Both {path} and --init {init} are given.", "Give the folder once, after --init.")
    written = init_table(init, kind)
    session.emit(
        {"written": str(written)},
        f"Wrote {written}.",
        f"Fill it in, then: braindash study add {kind} {init}",
    )


@app.command("check")
def check(
    ctx: typer.Context,
    id: IdArgument,
    no_lag: Annotated[
        bool, typer.Option("--no-lag", help="Leave out the lag scan (are words and responses aligned?).")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at everything in a study and say what was found; exit code 2 if it cannot be used."""
    from braindash.studies.library import open_study
    from braindash.studies.report import check_study

    session = Session(ctx, home, as_json)
    study = open_study(id, session.home)
    report = check_study(study)
    *lines, verdict = report.lines()
    payload: dict[str, Any] = {"study": id, "report": report.model_dump(mode="json")}
    if report.ok and not no_lag:
        payload["timing"], told = _timing(study)
        lines += ["", *told]
    session.emit(payload, *lines, verdict)
    if not report.ok:
        raise typer.Exit(2)


def _timing(study: Study) -> tuple[dict[str, Any], list[str]]:
    """Return the lag scans of a study, for --json and as lines."""
    from dataclasses import asdict

    from braindash.encoding.lagscan import check_timing

    scans, findings = check_timing(study)
    rows = [
        {
            "subject": s.subject,
            "best_lag_trs": s.best,
            "best_lag_s": s.best * s.tr,
            "tells": s.tells,
            "threshold": s.threshold,
            "lags": s.lags.tolist(),
            "r": s.score.tolist(),
            "n_targets": s.n_targets,
        }
        for s in scans
    ]
    lines = [f"{f.level}: {f.what}{' ' + f.remedy if f.remedy else ''}" for f in findings]
    return {"scans": rows, "findings": [asdict(f) for f in findings]}, lines


@app.command("list")
def list_(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the studies of the home."""
    from braindash.studies.library import list_studies

    session = Session(ctx, home, as_json)
    entries = list_studies(session.home)
    rows = [(e.id, e.kind, e.title, e.path, f"! {e.problem}" if e.problem else "") for e in entries]
    lines = table(("id", "kind", "title", "path", ""), rows)
    if not entries:
        lines = [f"No studies in {session.home.path}. Add one: braindash study add KIND PATH; or: braindash demo"]
    session.emit({"home": str(session.home.path), "studies": [e.model_dump(mode="json") for e in entries]}, *lines)


@app.command("remove")
def remove(ctx: typer.Context, id: IdArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Forget a study. Its data and the runs on it are not touched."""
    from braindash.studies.library import remove_study

    session = Session(ctx, home, as_json)
    remove_study(session.home, id)
    session.emit({"study": id, "status": "removed"}, f"Removed the record of {id}; its data were not touched.")
