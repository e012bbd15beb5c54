"""``braindash settings show | set | path``"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, plain, table
from braindash.settings import Settings

app = typer.Typer(help="Who may do what, where compute runs, colours, regions of one's own.", rich_markup_mode=None)


@app.callback()
def _settings() -> None:
    """Who may do what, where compute runs, colours, regions of one's own."""


@app.command("show")
def show(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the settings of this home."""
    from braindash.settings import read_settings, settings_path

    session = Session(ctx, home, as_json)
    settings = read_settings(session.home)
    path = settings_path(session.home)
    session.emit(
        {"path": str(path), "exists": path.exists(), "settings": settings.model_dump(mode="json")}, *_lines(settings)
    )
    if not path.exists():
        session.tell(f"These are the defaults: there is no {path}.")


@app.command("path")
def path(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print where the settings are kept."""
    from braindash.settings import settings_path

    session = Session(ctx, home, as_json)
    file = settings_path(session.home)
    session.emit({"path": str(file), "exists": file.exists()}, str(file))


@app.command("set")
def set_(
    ctx: typer.Context,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="Such as access.manage, colours.sequential, regions.NAME.", show_default=False
        ),
    ],
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", help="Lists with commas between. Nothing: the default, or no such region."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change one setting.

    For example: settings set access.launch ada@lab.org,@group.lab.org
    """
    from braindash.jobs.command import parse_value
    from braindash.runs.own_regions import check_members
    from braindash.settings import one_writer, read_settings, with_value, write_settings

    session = Session(ctx, home, as_json)
    with one_writer(session.home):
        settings = with_value(read_settings(session.home), key, _typed(key, value, parse_value))
        if key.startswith("regions."):
            check_members(session.home, settings, key.partition(".")[2])
        write_settings(session.home, settings)
    session.emit({"settings": settings.model_dump(mode="json")}, *_lines(settings))
    if key.startswith("regions."):
        session.tell("Runs that were evaluated before get it with: braindash evaluate RUN")
    if key.startswith("access.") and (settings.access.view or settings.access.launch) and not settings.access.manage:
        session.tell("Note: nobody who signs in may delete runs or change settings (access.manage is empty).")


def _typed(key: str, value: str | None, parse: Any) -> Any:
    """Return text for what is text or a list, such as the parcel 44; else the value as in YAML."""
    if value is None:
        return None
    section = key.partition(".")[0]
    if section == "regions" and value.strip().startswith(("{", "[")):
        found = parse(value)
        members = found.get("members") if isinstance(found, dict) else found
        texts = [str(m) for m in members] if isinstance(members, list) else members
        return {**found, "members": texts} if isinstance(found, dict) else texts
    return parse(value) if section == "compute" else value


def _lines(settings: Settings) -> list[str]:
    rows: list[tuple[str, Any]] = []
    for name in ("access", "compute", "colours"):
        section = getattr(settings, name)
        rows += [(f"{name}.{key}", getattr(section, key)) for key in type(section).model_fields]
    rows += [(f"regions.{name}", region.members) for name, region in settings.regions.items()]
    return table(["setting", "value"], [(key, plain(value)) for key, value in rows])
