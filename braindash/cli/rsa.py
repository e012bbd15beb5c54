"""``braindash rsa``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from braindash.cli.analysis import interval, signed
from braindash.cli.session import HomeOption, JsonOption, RunArgument, Session, comma_list, plain, table


def add_to(app: typer.Typer) -> None:
    """Register this module's verb."""
    app.command("rsa")(rsa)


def rsa(
    ctx: typer.Context,
    run: RunArgument,
    unit: Annotated[str, typer.Option("--unit", help="segment, tr or word.")] = "segment",
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", min=0.1, help="Length of a segment.")] = 6.0,
    delay: Annotated[
        float | None, typer.Option("--delay", metavar="S", help="From sound to response; 5 s for BOLD.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", help="correlation, cosine, euclidean, or crossnobis where test stories were repeated."
        ),
    ] = "correlation",
    comparison: Annotated[
        str,
        typer.Option("--compare", help="spearman, correlation, cosine, kendall (τ-a), whitened or whitened_cosine."),
    ] = "spearman",
    exclude: Annotated[
        int | None, typer.Option("--exclude", metavar="N", min=0, help="Neighbours that are not compared; about 8 s.")
    ] = None,
    block: Annotated[
        int | None,
        typer.Option("--block", metavar="N", min=1, help="Neighbours that tests move together; about 20 s."),
    ] = None,
    rois: Annotated[str | None, typer.Option("--rois", metavar="A,B", help="Regions; the named groups.")] = None,
    subjects: Annotated[str | None, typer.Option("--subjects", metavar="A,B", help="Only these subjects.")] = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", metavar="FILE", help="Word vectors for meaning: GloVe text, .json or .npz."),
    ] = None,
    permutations: Annotated[
        int, typer.Option("--permutations", metavar="N", min=99, help="Orders behind every p value.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of permutations and bootstrap samples.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how alike the geometry of every layer is to that of brain regions.

    On the test stories, for every model of the run's evaluation, and for sound, articulation, phones, word
    rate and meaning; with intervals, block-wise permutation tests, noise ceilings, what is left beyond the
    sound's spectrum, and CKA between layers.
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
            vectors=vectors,
            n_permutations=permutations,
            seed=seed,
            progress=bar.show,
        )
    session.emit(document, *_rsa_lines(document))


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
                signed(row["similarity"]), interval(row["ci_low"], row["ci_high"]), signed(row["partial"]),
                interval(row["ceiling_low"], row["ceiling_high"]),
                signed(moved.get("delta")), interval(moved.get("ci_low"), moved.get("ci_high")),
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
    spaces = [
        [row["roi"], row["subject"], document["space_titles"][row["space"]], signed(row["similarity"]),
         interval(row["ci_low"], row["ci_high"])]
        for row in document["spaces"]
        if row["subject"] in shown
    ]  # fmt: skip
    if spaces:
        out += ["", *table(("region", "subject", "feature space", "similarity", "95 %"), spaces)]
    out += [f"Left out: {e['space']}, because {plain(e['why'])}" for e in document["spaces_left_out"]]
    return out + [f"Note: {plain(c)}" for c in document["caveats"]]
