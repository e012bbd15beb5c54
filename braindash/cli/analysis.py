"""``braindash partition | rsa | methods``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, comma_list, plain, table

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("partition")(partition)
    app.command("rsa")(rsa)
    app.command("methods")(methods)


def partition(
    ctx: typer.Context,
    run: RunArgument,
    layer: Annotated[int | None, typer.Option("--layer", metavar="K", help="Layer; the last by default.")] = None,
    spaces: Annotated[
        str | None,
        typer.Option(
            "--spaces",
            metavar="A,B",
            help="Of spectral, articulatory, phones, word_rate, meaning; by default what the stories have data for.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", metavar="FILE", help="Word vectors for meaning: GloVe text, .json or .npz."),
    ] = None,
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Only these subjects.")] = None,
    targets: Annotated[
        int, typer.Option("--targets", metavar="N", min=1, help="Most targets of a region, evenly spaced.")
    ] = 60,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a layer explains beyond sound, articulation, word rate and meaning.

    Unique and shared variance by banded ridge, and the fall in r when low-level features are removed.
    """
    from braindash.cli.progress import Bar
    from braindash.runs.partitioning import partition_run

    session = Session(ctx, home, as_json)
    found = session.ended_run(run)
    with Bar("Partitioning") as bar:
        document = partition_run(
            found,
            layer=layer,
            spaces=comma_list(spaces),
            subjects=comma_list(subjects),
            vectors=vectors,
            max_targets=targets,
            progress=bar.show,
        )
    session.emit(document, *_partition_lines(document))


def rsa(
    ctx: typer.Context,
    run: RunArgument,
    unit: Annotated[str, typer.Option("--unit", help="segment, tr or word.")] = "segment",
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", min=0.1, help="Length of a segment.")] = 6.0,
    delay: Annotated[
        float | None, typer.Option("--delay", metavar="S", help="From sound to response; 5 s for BOLD.")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="correlation, cosine or euclidean.")] = "correlation",
    comparison: Annotated[str, typer.Option("--compare", help="spearman, correlation or cosine.")] = "spearman",
    exclude: Annotated[
        int | None, typer.Option("--exclude", metavar="N", min=0, help="Neighbours that are not compared; about 8 s.")
    ] = None,
    block: Annotated[
        int | None,
        typer.Option("--block", metavar="N", min=1, help="Neighbours that tests move together; about 20 s."),
    ] = None,
    rois: Annotated[str | None, typer.Option("--rois", metavar="A,B", help="Regions; the named groups.")] = None,
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Only these subjects.")] = None,
    permutations: Annotated[
        int, typer.Option("--permutations", metavar="N", min=99, help="Orders behind every p value.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of permutations and bootstrap samples.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how alike the geometry of every layer is to that of brain regions.

    On the test stories, for every model of the run's evaluation; with intervals, block-wise permutation
    tests, noise ceilings, what is left beyond the sound's spectrum, and CKA between layers.
    """
    from braindash.cli.progress import Bar
    from braindash.runs.rsa import rsa_run

    session = Session(ctx, home, as_json)
    found = session.ended_run(run)
    with Bar("Comparing geometries") as bar:
        document = rsa_run(
            found,
            unit=unit,
            seconds=seconds,
            delay=delay,
            metric=metric,
            compare=comparison,
            exclude=exclude,
            block=block,
            rois=comma_list(rois),
            subjects=comma_list(subjects),
            n_permutations=permutations,
            seed=seed,
            progress=bar.show,
        )
    session.emit(document, *_rsa_lines(document))


def methods(
    ctx: typer.Context,
    run: RunArgument,
    as_bibtex: Annotated[
        bool, typer.Option("--bibtex", help="The works cited, as BibTeX, in place of the text.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the methods section of a run.

    What was fitted and how, with citations; every number is read from the run's own files.
    """
    from braindash.reports.methods import bibtex, methods_text

    session = Session(ctx, home, as_json)
    found = session.store.get(run)
    text, works = methods_text(found), bibtex(found)
    session.emit({"run": found.id, "methods": text, "bibtex": works}, (works if as_bibtex else text).rstrip("\n"))


def _partition_lines(document: Mapping[str, Any]) -> list[str]:
    heard = {row["subject"] for row in document["rows"]}
    shown = {"all"} if "all" in heard else heard
    rows = [
        [
            row["roi"], row["subject"], row["model"], row["part"].replace("removed:", "Δr without "),
            f"{row['n_targets']} of {row['n_available']}",
            _signed(row.get("r2", row.get("delta_r"))), _interval(row["ci_low"], row["ci_high"]),
            _signed(row.get("change")), _interval(row.get("change_low"), row.get("change_high")),
        ]
        for row in document["rows"]
        if row["subject"] in shown
    ]  # fmt: skip
    out = table(("region", "subject", "model", "part", "targets", "R² or Δr", "95 %", "vs pretrained", "95 %"), rows)
    out += ["", f"Layer {document['layer']}; spaces: {', '.join(s['name'] for s in document['spaces'])}."]
    out += [f"Left out: {e['space']}, because {e['why']}." for e in document["left_out"]]
    return out + [f"Note: {plain(c)}" for c in document["caveats"]]


def _rsa_lines(document: Mapping[str, Any]) -> list[str]:
    heard = {row["subject"] for row in document["rows"]}
    shown = {"all"} if "all" in heard else heard
    change = {(r["model"], r["subject"], r["roi"], r["layer"]): r for r in document["differences"]}
    rows = []
    for row in document["rows"]:
        if row["subject"] not in shown:
            continue
        moved = change.get((row["model"], row["subject"], row["roi"], row["layer"]), {})
        rows.append(
            [
                row["roi"], row["subject"], row["model"], row["layer"], row["n_targets"],
                _signed(row["similarity"]), _interval(row["ci_low"], row["ci_high"]), _signed(row["partial"]),
                _interval(row["ceiling_low"], row["ceiling_high"]),
                _signed(moved.get("delta")), _interval(moved.get("ci_low"), moved.get("ci_high")),
            ]
        )  # fmt: skip
    headings = ("region", "subject", "model", "layer", "targets", "similarity", "95 %", "beyond sound", "ceiling",
                "vs pretrained", "95 %")  # fmt: skip
    out = table(headings, rows)
    out += [
        "",
        f"{document['n_conditions']} {document['unit']}s of {len(document['stories'])} test stories; "
        f"{document['metric']} distances, compared by {document['compare']}.",
    ]
    return out + [f"Note: {plain(c)}" for c in document["caveats"]]


def _signed(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:+.4f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None or low != low else f"[{low:+.4f}, {high:+.4f}]"
