"""``braindash model …``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, comma_list, plain, table
from braindash.errors import BraindashError
from braindash.jobs.words import size

if TYPE_CHECKING:
    from braindash.speech.catalogue import ModelInfo

app = typer.Typer(help="List, describe, add, convert and evaluate speech models.", rich_markup_mode=None)

PrefixOption = Annotated[
    str | None, typer.Option("--prefix", help="Where in the file the encoder is, if it holds two, such as student.")
]
FillOption = Annotated[
    bool, typer.Option("--fill-missing", help="Take tensors that are not in the file from the base.")
]


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
    """Say what a model is: layers, width, base, licence, what it saw, how it scored."""
    from braindash.speech.catalogue import describe

    session = Session(ctx, home, as_json)
    info = describe(id, session.home)
    records = _records_of(info.folder)
    facts = [
        ("id", info.id),
        ("family", info.family),
        ("layers", f"{info.n_layers} blocks, {info.n_layers + 1} hidden states (0: the front end's output)"),
        ("width", info.width),
        ("licence", info.licence or "unknown"),
        ("weights", f"{info.folder} ({size(info.n_bytes)})"),
        ("source", info.source),
        ("base", info.base),
        ("recipe", info.recipe),
        ("reference", info.reference),
        ("hash", info.weights_hash),
        *(("saw", line) for line in _seen_lines(info)),
        *(("scores", line) for line in (records or {}).get("summary", {}).get("answer", [])),
        ("problem", info.problem),
    ]
    session.emit(
        info.model_dump(mode="json") | {"differences": (records or {}).get("differences", [])},
        *(f"{name:<10}{plain(value)}" for name, value in facts if value != ""),
        *(_score_lines(records) if records else []),
    )


def _records_of(folder: Path) -> dict[str, Any] | None:
    """Return the results that lie with a model: of its run, or of the export that it is."""
    from braindash.runs.results import RECORDS, read_records

    for place in (folder.parent, folder / "results") if folder.name == "model" else (folder / "results",):
        if (place / RECORDS).is_file():
            return read_records(place)
    return None


def _seen_lines(info: ModelInfo) -> list[str]:
    lines = []
    for seen in info.seen:
        who = f" ({', '.join(seen.subjects)})" if seen.subjects else ""
        whose = "" if seen.model == info.id else f"{seen.model}: "
        lines.append(f"{whose}{len(seen.stories)} stories of {seen.study or '?'}{who}: {', '.join(seen.stories)}")
    if info.kind == "tuned" and info.knowledge == "none":
        lines.append("no story of any study here, as was stated with --seen none")
    if info.kind == "tuned" and info.knowledge == "unknown":
        lines.append(f"not known; say it: braindash model add {info.folder} --seen FILE")
    return lines


def _score_lines(records: Mapping[str, Any]) -> list[str]:
    from braindash.cli.comparing import difference_table

    last = max((row["layer"] for row in records["differences"]), default=None)
    return ["", *difference_table([records], roi=None, layer=last, model=None, subject=None)]


@app.command("add")
def add(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="Folder with a PEFT adapter or whole safetensors.", show_default=False),
    ],
    base: Annotated[str | None, typer.Option("--base", metavar="REF", help="Model that it was tuned from.")] = None,
    seen: Annotated[
        str | None,
        typer.Option("--seen", metavar="FILE", help="A braindash_seen.yaml: what it saw; or none, stated on purpose."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name here; the folder's by default.")] = None,
    prefix: PrefixOption = None,
    fill_missing: FillOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a model of that name.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a model that was tuned elsewhere into the home, with what it saw."""
    from braindash.speech.foreign import add_model

    session = Session(ctx, home, as_json)
    chosen, fitted = add_model(
        path, session.home, base=base, seen=seen, name=name, prefix=prefix, fill_missing=fill_missing, force=force
    )
    session.emit(
        {"model": chosen, "tensors": fitted.as_dict()},
        *map(plain, fitted.lines()),
        f"Added as {chosen}.",
        f"Compare it with its base: braindash model evaluate {chosen} --study ID",
    )


@app.command("convert")
def convert(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A state dict: .pth, .pt, .bin.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.", show_default=False)],
    base: Annotated[str, typer.Option("--base", metavar="REF", help="Model that it was tuned from.")],
    prefix: PrefixOption = None,
    fill_missing: FillOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make safetensors of a pickled state dict, in a process of its own that reads tensors alone."""
    from braindash.speech.convert import convert as make

    session = Session(ctx, home, as_json)
    fitted = make(file, out, base, session.home, prefix=prefix, fill_missing=fill_missing)
    session.emit(
        {"folder": str(out), "tensors": fitted.as_dict()},
        *map(plain, fitted.lines()),
        f"Wrote {plain(str(out))}.",
        f"Add it, and say what it saw: braindash model add {plain(str(out))} --seen FILE",
    )


@app.command("evaluate")
def evaluate(
    ctx: typer.Context,
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="A tuned model: added here, a folder, a run's id.", show_default=False)
    ],
    study: Annotated[str, typer.Option("--study", metavar="ID", help="Study to test on.")],
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Subjects; all by default.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="A label of your own.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the evaluation, e.g. encoding.n_boot=2000."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N, mps.")] = "auto",
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; the run goes on by itself.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a tuned model with its base on a study, without tuning.

    Makes a run of its own; refused where the model saw a test story, or where nobody said what it saw.
    """
    from braindash.cli.progress import follow
    from braindash.cli.tuning import finish
    from braindash.jobs.launch import launch, stop
    from braindash.runs.foreign import create_evaluation

    session = Session(ctx, home, as_json)
    run = create_evaluation(
        ref, study, session.home, subjects=comma_list(subjects), name=name or "", encoding=_encoding(settings or []),
        device=device,
    )  # fmt: skip
    launch(run)
    if detach:
        session.emit({"run": run.id, "status": "queued"}, run.id)
        return
    session.tell(f"Run {run.id}")
    try:
        follow(run)
    except KeyboardInterrupt:
        stop(run)
        session.tell(f"Asked to stop. Go on later with: braindash runs resume {run.id}")
        raise
    finish(session, run)


def _encoding(settings: list[str]) -> dict[str, Any]:
    """Return the encoding section of ``encoding.KEY=VALUE`` settings; other sections are not an evaluation's."""
    import yaml

    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        section, _, rest = key.strip().partition(".")
        if not equals or section != "encoding" or not rest:
            raise BraindashError(
                f"--set {setting!r} is not a setting of the evaluation.",
                "Write for example --set encoding.n_boot=2000.",
            )
        place = out
        *inner, last = rest.split(".")
        for part in inner:
            place = place.setdefault(part, {})
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            place[last] = text
    return out
