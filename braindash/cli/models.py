"""``braindash model …``"""

from __future__ import annotations

from typing import Annotated

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, table
from braindash.jobs.words import size

app = typer.Typer(help="List and describe speech models.", rich_markup_mode=None)


@app.command("list")
def list_(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models that are here: the bundled one, those in the home, tuned ones. Hub ids work as well."""
    from braindash.speech.catalogue import list_models

    session = Session(ctx, home, as_json)
    found = list_models(session.home)
    rows = [
        (
            m.id,
            m.kind,
            m.family,
            m.n_layers,
            m.width,
            size(m.n_bytes) if m.n_bytes else "",
            f"! {m.problem}" if m.problem else m.source,
        )
        for m in found
    ]
    session.emit(
        {"models": [m.model_dump(mode="json") for m in found]},
        *table(("id", "kind", "family", "layers", "width", "size", "source"), rows),
        "Any hub id of these families or a folder with safetensors works as well.",
    )


@app.command("show")
def show(
    ctx: typer.Context,
    id: Annotated[
        str, typer.Argument(metavar="ID", help="A known name, a hub id, a folder, or a run's id.", show_default=False)
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a model is: layers, width, licence, where the weights are."""
    from braindash.speech.catalogue import describe

    session = Session(ctx, home, as_json)
    info = describe(id, session.home)
    facts = [
        ("id", info.id),
        ("family", info.family),
        ("layers", f"{info.n_layers} blocks, {info.n_layers + 1} hidden states (0: the front end's output)"),
        ("width", info.width),
        ("licence", info.licence or "unknown"),
        ("weights", f"{info.folder} ({size(info.n_bytes)})"),
        ("source", info.source),
        ("base", info.base),
        ("hash", info.weights_hash),
        ("problem", info.problem),
    ]
    session.emit(info.model_dump(mode="json"), *(f"{name:<9}{value}" for name, value in facts if value != ""))
