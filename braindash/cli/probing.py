"""``braindash probe``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, RunArgument, Session, comma_list, plain, table
from braindash.errors import BraindashError
from braindash.wording import SCORES


def add_to(app: typer.Typer) -> None:
    """Register this module's verb."""
    app.command("probe")(probe)


def probe(
    ctx: typer.Context,
    run: RunArgument,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", metavar="A,B", help="Only these, such as mfcc,phone,word_meaning; see docs/probing.md."
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus",
            metavar="KIND:PATH",
            help="timit, speech_commands, crema_d, transcripts or table, and where it lies; the study's own stories.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", metavar="FILE", help="Word vectors for word_meaning: GloVe text, .json or .npz."),
    ] = None,
    layers: Annotated[str | None, typer.Option("--layers", metavar="K,L", help="Only these layers.")] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="MIN", min=0.1, help="Most sound that is used; test stories first.")
    ] = 20.0,
    folds: Annotated[int, typer.Option("--folds", metavar="N", min=2, help="Folds over stories or speakers.")] = 5,
    align: Annotated[
        bool, typer.Option("--align", help="Find the times of words and phones of transcripts by pocketsphinx.")
    ] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights/--no-random-weights", help="Probe the untrained architecture as well.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", help="Of folds, shuffled labels and samples.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what every layer knows, from sound to meaning, by linear probes.

    For every model of the run's evaluation, on the same examples and folds, with chance, baseline,
    shuffled labels, random weights, and 95 % intervals.
    """
    from braindash.cli.progress import Bar
    from braindash.runs.probing import probe_run

    session = Session(ctx, home, as_json)
    found = session.ended_run(run)
    with Bar("Probing") as bar:
        chosen = _corpus(found, session, corpus, vectors, minutes, align, bar.show)
        document = probe_run(
            found,
            corpus=chosen,
            tasks=comma_list(tasks),
            layers=_layers(layers),
            max_minutes=minutes,
            n_folds=folds,
            random_weights=random_weights,
            seed=seed,
            progress=bar.show,
        )
    session.emit(document, *_lines(document))


def _corpus(
    run: Any, session: Session, corpus: str | None, vectors: Path | None, minutes: float, align: bool, show: Any
) -> Any:
    """Return the corpus asked for; None for the study's own stories as they are."""
    from braindash.probing.corpora import open_corpus, parse_corpus, study_corpus

    if corpus is None:
        if align:
            raise BraindashError(
                "--align is for recordings with a transcript and no times.", "Name them: --corpus transcripts:FOLDER"
            )
        if vectors is None:
            return None
        from braindash.studies import open_study

        return study_corpus(open_study(run.config.study, run.home), max_minutes=minutes, vectors=vectors)
    kind, path = parse_corpus(corpus)
    options: dict[str, Any] = {"vectors": vectors} if vectors is not None else {}
    if kind == "study":
        options["home"] = session.home
    opened = open_corpus(kind, path, max_minutes=minutes, **options)
    if align:
        from braindash.probing.alignment import aligned

        opened = aligned(opened, session.home, lambda fraction, what: show(0.0, what))
    return opened


def _layers(text: str | None) -> list[int] | None:
    given = comma_list(text)
    if given is None:
        return None
    try:
        return [int(k) for k in given]
    except ValueError:
        raise BraindashError(f"--layers takes numbers (got {text!r}).", "Such as --layers 0,6,12") from None


def _lines(document: Mapping[str, Any]) -> list[str]:
    change = {(r["model"], r["task"], r["layer"]): r for r in document["differences"]}
    rows = []
    for row in document["rows"]:
        moved = change.get((row["model"], row["task"], row["layer"]), {})
        rows.append(
            [
                row["title"], SCORES.get(row["metric"], row["metric"]), row["model"], row["layer"],
                _number(row["score"]), _interval(row["ci_low"], row["ci_high"]), _number(row["chance"]),
                _number(row["shuffled"]), _signed(moved.get("delta")),
                _interval(moved.get("ci_low"), moved.get("ci_high")), _number(moved.get("q")),
            ]
        )  # fmt: skip
    headings = ("task", "metric", "model", "layer", "score", "95 %", "chance", "shuffled", "vs pretrained", "95 %", "q")
    about = document["corpus"]
    out = table(headings, rows)
    out += [
        "",
        f"{plain(about['title'])}: {about['n_recordings']} recordings, {about['minutes']:.1f} min; "
        f"{about['n_scored']} of them are scored.",
    ]
    out += [f"Not probed: {n['title']}. {plain(n['why'])}" for n in document["not_done"]]
    return out + [f"Note: {plain(c)}" for c in document["caveats"]]


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:+.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None or low != low else f"[{low:+.3f}, {high:+.3f}]"
