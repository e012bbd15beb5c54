"""``braindash compare``"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from braindash.cli.session import HomeOption, JsonOption, Session, plain, table
from braindash.errors import BraindashError, closest

BETWEEN = ("primary_auditory", "early_auditory", "late_language", "cortex")  # regions that a summary shows
VERDICTS = {"supported": "supported", "not_supported": "not supported", "cannot_tell": "cannot tell"}


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("compare")(compare)


def compare(
    ctx: typer.Context,
    run: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids of evaluated runs.", show_default=False)],
    roi: Annotated[str | None, typer.Option("--roi", help="Only this region.")] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="Only this layer (0: the front end's output).")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only brain_tuned, or a control's name.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="A subject, or all for their mean (the default).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what tuning changed.

    Differences from the pretrained model, with 95 % intervals over test stories and targets. Without
    --roi, --layer, --model or --subject also: how deep in the model sound, words and regions lie before and after,
    what fell, and which findings of the papers the run supports.
    """
    from braindash.runs.whole import whole_records

    session = Session(ctx, home, as_json)
    runs = [session.store.get(run_id) for run_id in dict.fromkeys(run)]
    every = []
    for found in runs:
        records = found.records()
        if records is None:
            raise BraindashError(
                f"Run {found.id} has not been evaluated.", f"Evaluate it: braindash evaluate {found.id}"
            )
        every.append(records)
    chosen = ((roi, "roi"), (layer, "layer"), (model, "model"), (subject, "subject"))
    for value, key in chosen:
        known = {str(row[key]) for records in every for row in records["differences"]}
        if value is not None and str(value) not in known:
            raise BraindashError(f"No {key} is called {str(value)!r} in these results.", closest(str(value), known))
    lines = difference_table(every, roi=roi, layer=layer, model=model, subject=subject)
    part = any(value is not None for value, _ in chosen)
    if part and not session.as_json:
        session.emit({}, *lines)
        return
    # as JSON, the records are whole: what is left out of a table is for whoever reads it to choose
    whole = [whole_records(found) for found in runs]
    for records in whole:
        lines += ["", *([f"Run {records['run']}"] if len(whole) > 1 else []), *hierarchy_lines(records["hierarchy"])]
    session.emit({"runs": whole}, *lines)


def hierarchy_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what a run's hierarchy says: depths, their order, slopes, what fell, and the findings."""
    tuned = next((m for m in found["models"] if m != "pretrained"), "brain_tuned")
    subject = _judged(found)
    lines = table(
        ("", "level", "centre before", "95 %", "after", "95 %", "best layer before", "after"),
        [_depth_line(*pair) for pair in _pairs(found, tuned, subject)],
    )
    lines += [""] if len(lines) > 1 else []
    lines = lines if len(lines) > 1 else []
    for rows, change, what in (
        (found["order"], found["order_change"], "tasks from sound to meaning"),
        (found["region_order"], found["region_order_change"], "regions from primary auditory to late language"),
    ):
        lines += _order_line(rows, change, tuned, what)
    lines += _slope_line(found, tuned, subject)
    fell, tested = found["forgetting"], found["forgetting_tested"]
    for what, words in (("probe", "probes"), ("region", "regions")):
        if tested.get(what):
            n = sum(r["what"] == what for r in fell)
            lines.append(f"Of {tested[what]:,} differences of {words} over layers, {n:,} fell (q < .05).")
    rows = [[VERDICTS[f["verdict"]], f["source"], f["claim"], f["shows"] or f["why"].split(" Criterion:")[0]]
            for f in found["findings"]]  # fmt: skip
    lines += ["", *table(("verdict", "source", "finding", "here"), rows)]
    commands = list(dict.fromkeys(f["command"] for f in found["findings"] if f["command"]))
    if commands:
        lines += ["", "What would tell more:", *(f"  {plain(c)}" for c in commands)]
    return lines + [f"Note: {plain(c)}" for c in found["caveats"]]


def _judged(found: Mapping[str, Any]) -> str:
    heard = list(dict.fromkeys(r["subject"] for r in found["regions"]))
    return "all" if "all" in heard else str(heard[0]) if heard else ""


def _pairs(found: Mapping[str, Any], tuned: str, subject: str) -> list[tuple[str, str, Any, Any]]:
    """Return every task and main region: title, level, its depth before, its depth after."""
    out = []
    regions = [r for r in found["regions"] if r["subject"] == subject]
    regions = [r for r in regions if r["roi"] in BETWEEN] or regions
    for rows, key in ((found["probes"], "task"), (regions, "roi")):
        named: dict[str, dict[str, Any]] = {}
        for row in rows:
            named.setdefault(row[key], {})[row["model"]] = row
        for models in named.values():
            if "pretrained" in models and tuned in models:
                after = models[tuned]
                out.append((after["title"], after.get("level", "region"), models["pretrained"], after))
    return out


def _depth_line(title: str, level: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    cells = [title, level]
    for row in (before, after):
        if row.get("flat"):
            cells += ["flat", ""]
        else:
            cells += [f"{row['centre']:.2f}", _plain_interval(row["centre_low"], row["centre_high"])]
    for row in (before, after):
        peak = row["peak_layer"]
        cells.append("–" if peak is None or peak != peak else f"{peak:.0f}")
    return cells


def _order_line(rows: Sequence[Mapping[str, Any]], change: Mapping[str, Any], tuned: str, what: str) -> list[str]:
    found = {r["model"]: r for r in rows}
    before, after = found.get("pretrained"), found.get(tuned)
    if before is None or after is None:
        return []
    if before["rho"] != before["rho"] or after["rho"] != after["rho"]:
        return [f"Order of {what}: not told ({plain(before['note'] or after['note'])})."]
    said = [f"{r['rho']:.2f} {_plain_interval(r['ci_low'], r['ci_high'])}" for r in (before, after)]
    p = change.get("p", float("nan"))
    return [
        f"Order of {what}: rank correlation {said[0]} before, {said[1]} after; change {change['delta']:+.2f} "
        f"{_interval(change['ci_low'], change['ci_high'])}{f', p = {p:.3f}' if p == p else ''}."
    ]


def _slope_line(found: Mapping[str, Any], tuned: str, subject: str) -> list[str]:
    wanted = ("late_language", "cortex")
    for roi in wanted:
        here = {r["model"]: r for r in found["slopes"] if r["subject"] == subject and r["roi"] == roi}
        change = next((r for r in found["slope_change"] if r["model"] == tuned and r["against"] == "pretrained"
                       and r["subject"] == subject and r["roi"] == roi), None)  # fmt: skip
        if change is not None and {"pretrained", tuned} <= set(here):
            before, after = here["pretrained"], here[tuned]
            return [
                f"Slope of {roi.replace('_', ' ')} from the first to the last layer: {_signed(before['slope'])} "
                f"{_interval(before['ci_low'], before['ci_high'])} before, {_signed(after['slope'])} "
                f"{_interval(after['ci_low'], after['ci_high'])} after; change {_signed(change['delta'])} "
                f"{_interval(change['ci_low'], change['ci_high'])}."
            ]
    return []


def _plain_interval(low: float | None, high: float | None) -> str:
    if low is None or high is None or low != low or high != high:
        return ""
    return f"[{low:.2f}, {high:.2f}]"


def difference_table(
    every: Sequence[Mapping[str, Any]],
    *,
    roi: str | None,
    layer: int | None,
    model: str | None,
    subject: str | None,
) -> list[str]:
    """Return the differences as lines: r and r / ceiling, each with its 95 % interval."""
    rows = []
    several = len(every) > 1
    for records in every:
        groups = _main_regions(records) if roi is None else {roi}
        heard = {row["subject"] for row in records["differences"]}
        shown = {subject} if subject else heard & {"all"} or heard
        for row in records["differences"]:
            if row["subject"] not in shown or row["roi"] not in groups:
                continue
            if (layer is not None and row["layer"] != layer) or (model is not None and row["model"] != model):
                continue
            rows.append(
                [
                    *([records["run"]] if several else []),
                    row["model"],
                    row["subject"],
                    row["roi"],
                    row["layer"],
                    row["n_targets"],
                    _signed(row["delta_r"]),
                    _interval(row["ci_low"], row["ci_high"]),
                    _signed(row.get("delta_r_norm")),
                    _interval(row.get("r_norm_ci_low"), row.get("r_norm_ci_high")),
                    row["q"],
                ]
            )
    headings = ["model", "subject", "region", "layer", "targets", "Δr", "95 %", "Δr/ceiling", "95 %", "q"]
    return table((["run"] if several else []) + headings, rows)


def _main_regions(records: Mapping[str, Any]) -> set[str]:
    """Return the named groups where there are any, so that a table is not as long as the parcellation."""
    from braindash.encoding.regions import region_groups
    from braindash.runs.own_regions import recorded_groups

    present = {row["roi"] for row in records["differences"]}
    named = present & set(region_groups())
    return named | (present & recorded_groups(records)) if named else present


def _signed(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:+.3f}"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None or low != low or high != high:
        return "–"
    return f"[{low:+.3f}, {high:+.3f}]"
