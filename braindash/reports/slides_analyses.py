"""Slides of what a run's analyses left: depth from sound to meaning, probes, RSA, and the findings of the papers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from braindash.reports.deck import Slide
from braindash.reports.facts import Facts, between, counted, curve, real, signed
from braindash.wording import BRAIN, LEVELS, SCORES, words_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from braindash.figures.hierarchy import Depth, DepthRow
    from braindash.figures.style import ThemeName

T = TypeVar("T")
_REGIONS = ("primary_auditory", "early_auditory", "late_language")
_ALL = ("primary_auditory", "early_auditory", "late_language", "ag", "ltc", "ifg", "mfg", "cortex")
_PANELS = 8
_DEPTHS = 10  # rows of the picture of depths that can still be read
_FINDINGS = 4  # on a slide


def hierarchy_slides(facts: Facts) -> list[Slide]:
    """Return the picture from sound to meaning."""
    found = facts.documents.get("hierarchy")
    if not found:
        return []
    rows = depth_rows(found, facts)
    if not rows:
        return []
    from braindash.figures.alt import alt_text
    from braindash.figures.hierarchy import decimals

    def draw(theme: ThemeName) -> Figure:
        from braindash.figures.hierarchy_static import static_hierarchy

        return static_hierarchy(rows, facts.layers, title="", after=facts.tuned, height=400, theme=theme)

    said = _order(found, facts.tuned)
    tasks = sum(row.group != BRAIN for row in rows)
    n = [counted(tasks, "probe task")] if tasks else []
    n += [counted(len(rows) - tasks, "brain region")] if len(rows) > tasks else []
    return [
        Slide(
            "hierarchy",
            "From sound to meaning, layer by layer",
            said,
            figure=draw,
            alt=alt_text(
                "hierarchy_picture", rows=rows, layers=facts.layers, after=facts.tuned, digits=decimals(facts.layers)
            ),
            n=f"Centre of mass over layers, 95 % intervals: {', '.join(n)}",
            statistics=said,
            caveats=_caveats(facts, found),
        )
    ]


def depth_rows(found: Mapping[str, Any], facts: Facts) -> list[DepthRow]:
    """Return the rows of the picture: tasks from acoustic to semantic, then regions from ear to language."""
    from braindash.figures.hierarchy import DepthRow

    pairs: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in _rows(found, "probes"):
        pairs.setdefault(str(row.get("task")), {})[str(row.get("model"))] = row
    out = []
    levels = [*LEVELS, *sorted({str(next(iter(p.values())).get("level")) for p in pairs.values()} - set(LEVELS))]
    for level in levels:
        for task, models in pairs.items():
            first = next(iter(models.values()))
            if str(first.get("level")) == level and {"pretrained", facts.tuned} & set(models):
                title = str(first.get("title") or task)
                heading = LEVELS.get(level, level.replace("_", " ").capitalize())
                out.append(DepthRow(title, heading, _depth(models, "pretrained"), _depth(models, facts.tuned)))
    regions: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in _rows(found, "regions"):
        if str(row.get("subject")) == facts.subject:
            regions.setdefault(str(row.get("roi")), {})[str(row.get("model"))] = row
    named = [roi for roi in (_REGIONS if out else _ALL) if roi in regions] or [r for r in regions if r != "cortex"][:6]
    brain = [
        DepthRow(facts.title(roi), BRAIN, _depth(regions[roi], "pretrained"), _depth(regions[roi], facts.tuned))
        for roi in named
    ]
    level_of = {
        i: list(LEVELS.values()).index(r.group) if r.group in LEVELS.values() else 99 for i, r in enumerate(out)
    }
    clear_first = sorted(level_of, key=lambda i: (level_of[i], not (out[i].before.clear or out[i].after.clear)))
    kept = set(_spread(clear_first, level_of, _DEPTHS - len(brain)))
    return [*(r for i, r in enumerate(out) if i in kept), *brain]


def _depth(models: Mapping[str, Mapping[str, Any]], model: str) -> Depth:
    from braindash.figures.hierarchy import Depth

    row = models.get(model, {})
    if row.get("flat") is True:
        return Depth()
    keys = ("centre", "centre_low", "centre_high", "peak_layer", "peak_low", "peak_high")
    return Depth(*(real(row.get(k)) for k in keys))


def _order(found: Mapping[str, Any], tuned: str) -> str:
    """Say how the order of depths agrees with the one from sound to meaning, before and after."""
    for key, what in (("order", "probe tasks"), ("region_order", "brain regions")):
        rho = {str(r.get("model")): real(r.get("rho")) for r in _rows(found, key)}
        before, after = rho.get("pretrained", math.nan), rho.get(tuned, math.nan)
        change = found.get(f"{key}_change")
        if math.isfinite(before) and math.isfinite(after):
            change = change if isinstance(change, dict) else {}
            between_words = between(real(change.get("ci_low")), real(change.get("ci_high")), 2)
            return (
                f"Rank correlation of the depth of {what} with the expected order: {before:.2f} → {after:.2f} "
                f"({signed(after - before, 2)}, {between_words})."
            )
    return ""


def probe_slides(facts: Facts) -> list[Slide]:
    """Return small panels of the probes of at most eight tasks, from sound to meaning."""
    found = facts.documents.get("probing")
    if not found:
        return []
    from braindash.figures.slides import CurvePanel

    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in _rows(found, "rows"):
        rows.setdefault(str(row["task"]), []).append(row)
    if not rows:
        return []
    levels = [*LEVELS]

    def place(task: str) -> int:
        level = str(rows[task][0].get("level"))
        return levels.index(level) if level in levels else len(levels)

    tasks = _spread(sorted(rows, key=place), {t: place(t) for t in rows}, _PANELS)
    panels = []
    for task in tasks:
        first = rows[task][0]
        models = [m for m in ("pretrained", facts.tuned, "random_weights") if any(r["model"] == m for r in rows[task])]
        curves = [curve(m, [r for r in rows[task] if r["model"] == m], ("score", "ci_low", "ci_high")) for m in models]
        metric = SCORES.get(str(first.get("metric")), str(first.get("metric")))
        n = real(first.get("n"))
        note = f"{metric}, n = {n:,.0f}" if math.isfinite(n) else metric
        panels.append(CurvePanel(str(first.get("title") or task), note, curves, real(first.get("chance"))))
    own = [r for r in _rows(found, "differences") if r.get("model") == facts.tuned]
    tested = [r for r in own if math.isfinite(real(r.get("q")))]
    rose = sum(real(r.get("q")) < 0.05 and real(r.get("delta")) > 0 for r in tested)
    fell = sum(real(r.get("q")) < 0.05 and real(r.get("delta")) < 0 for r in tested)
    name = words_of(facts.tuned).title
    said = (
        f"{name} minus pretrained: of {counted(len(tested), 'difference')} of tasks over layers, {rose} rose and "
        f"{fell} fell (q < .05)."
        if tested
        else ""
    )

    def draw(theme: ThemeName) -> Figure:
        from braindash.figures.slides import static_panels

        return static_panels(panels, y_label="Score of the probe", level="Chance", shared=False, theme=theme)

    more = f" {len(panels)} of {len(rows)} tasks." if len(panels) < len(rows) else ""
    return [
        Slide(
            "probes",
            "What the layers know: linear probes",
            f"{said} Bands: 95 % intervals.{more}".strip(),
            figure=draw,
            alt=f"Line charts of probe scores over layers for {', '.join(p.title for p in panels)}. {said}",
            n="n examples: above each panel",
            statistics=" ".join([said, *(f"{p.title}: {p.note}." for p in panels)]).strip(),
            caveats=_caveats(facts, found),
        )
    ]


def _spread(tasks: Sequence[T], place: Mapping[T, int], most: int) -> list[T]:
    """Return at most ``most`` tasks, some of every level, in their order."""
    chosen: list[T] = []
    rest = list(tasks)
    while rest and len(chosen) < most:
        for level in sorted({place[t] for t in rest}):
            task = next(t for t in rest if place[t] == level)
            if len(chosen) < most:
                chosen.append(task)
                rest.remove(task)
    return [t for t in tasks if t in chosen]


def rsa_slides(facts: Facts) -> list[Slide]:
    """Return the similarity of layers and regions over layers."""
    found = facts.documents.get("rsa")
    if not found:
        return []
    from braindash.figures.slides import CurvePanel

    every = _rows(found, "rows")
    subjects = list(dict.fromkeys(str(r["subject"]) for r in every))
    if not subjects:
        return []
    subject = "all" if "all" in subjects else subjects[0]
    rows = [r for r in every if str(r["subject"]) == subject]
    known = list(dict.fromkeys(str(r["roi"]) for r in rows))
    titles = found.get("region_titles") if isinstance(found.get("region_titles"), dict) else {}
    panels = []
    for roi in ([r for r in ("primary_auditory", "early_auditory", "late_language", "cortex") if r in known] or known)[
        :4
    ]:
        here = [r for r in rows if str(r["roi"]) == roi]
        models = [m for m in ("pretrained", facts.tuned, *facts.controls[:2]) if any(r["model"] == m for r in here)]
        curves = [curve(m, [r for r in here if r["model"] == m], ("similarity", "ci_low", "ci_high")) for m in models]
        title = str((titles or {}).get(roi) or facts.title(roi))
        panels.append(CurvePanel(title, f"n = {real(here[0].get('n_targets')):,.0f} targets", curves))
    own = [r for r in _rows(found, "differences") if r.get("model") == facts.tuned and str(r.get("subject")) == subject]
    tested = [r for r in own if math.isfinite(real(r.get("ci_low")))]
    sure = sum(real(r.get("ci_low")) > 0 or real(r.get("ci_high")) < 0 for r in tested)
    said = (
        f"{words_of(facts.tuned).title} minus pretrained: the interval excludes 0 at {sure} of "
        f"{counted(len(tested), 'pair')} of a region and a layer."
        if tested
        else ""
    )

    def draw(theme: ThemeName) -> Figure:
        from braindash.figures.slides import static_panels

        return static_panels(panels, y_label="Similarity of geometries", zero=True, theme=theme)

    whose = "mean over subjects" if subject == "all" else f"subject {subject}"
    conditions = real(found.get("n_conditions"))
    best = "; ".join(
        f"{p.title}: {float(np.nanmax([np.nanmax(c.value) for c in p.curves if np.isfinite(c.value).any()])):.3f}"
        for p in panels
        if any(np.isfinite(c.value).any() for c in p.curves)
    )
    return [
        Slide(
            "rsa",
            "Do layers and regions find the same moments alike? (RSA)",
            f"{said} {whose.capitalize()}. Bands: 95 % intervals.".strip(),
            figure=draw,
            alt=f"Line charts of the similarity of representational geometries over layers. Largest: {best}. {said}",
            n=f"n = {conditions:,.0f} conditions" if math.isfinite(conditions) else "",
            statistics=said,
            caveats=_caveats(facts, found),
        )
    ]


def findings_slides(facts: Facts) -> list[Slide]:
    """Return the table of what the papers found and what the run shows."""
    rows = _rows(facts.documents.get("hierarchy") or {}, "findings")
    if not rows:
        return []
    from braindash.figures.findings import FindingLine

    lines = [FindingLine(_said(r, "claim") or _said(r, "look_for"), _short(_said(r, "shows")), str(r.get("verdict")))
             for r in rows]  # fmt: skip
    told = [line for line in lines if line.verdict in ("supported", "not_supported")]
    supported = sum(line.verdict == "supported" for line in lines)
    title = f"{supported} of {counted(len(lines), 'finding')} of the papers supported, {len(told) - supported} not"
    untold = len(lines) - len(told)
    slides = []
    ordered = sorted(told, key=lambda line: line.verdict != "supported")
    each = -(-len(ordered) // max(-(-len(ordered) // _FINDINGS), 1))  # as many on every slide
    pages = [ordered[i : i + each] for i in range(0, len(ordered), each or 1)]
    for i, page in enumerate(pages, start=1):
        slides.append(
            Slide(
                f"findings_{i}" if i > 1 else "findings",
                title if len(pages) == 1 else f"{title} ({i} of {len(pages)})",
                f"{untold} more cannot be told from this study." if untold else "",
                figure=_table(page),
                alt="Table of findings. "
                + " ".join(f"{f.claim} {f.verdict.replace('_', ' ').capitalize()}: {f.shows}." for f in page),
                n=f"n = {counted(len(lines), 'finding')}",
                statistics=" ".join(f"{f.claim} {f.shows} – {f.verdict.replace('_', ' ')}." for f in page),
                caveats=_caveats(facts, facts.documents["hierarchy"]),
            )
        )
    return slides


def _table(page: Sequence[Any]) -> Any:
    def draw(theme: ThemeName) -> Figure:
        from braindash.figures.findings import static_findings

        return static_findings(page, title="", larger=1.25, theme=theme)

    return draw


def _short(text: str) -> str:
    """Return what a run shows without the word that every interval begins with."""
    return text.replace("95 % interval ", "")


def _said(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return " ".join(value.split()).replace(" -0", " −0").replace("(-", "(−") if isinstance(value, str) else ""


def _rows(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = document.get(key)
    return [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []


def _caveats(facts: Facts, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the run's caveats; those of one analysis are long, and stand on its page."""
    own = document.get("caveats")
    return facts.caveats or tuple(str(c) for c in (own if isinstance(own, list) else ())[:1])
