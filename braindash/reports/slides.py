"""The slides of an evaluated run: the answer, curves over layers, maps, controls, what its analyses say, methods."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.reports.deck import Deck, Slide, pages_of
from braindash.reports.facts import MAIN, MORE, UNITS, Facts, between, counted, signed
from braindash.reports.slides_analyses import findings_slides, hierarchy_slides, probe_slides, rsa_slides
from braindash.wording import words_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from braindash.figures.style import ThemeName

QUESTION = "What did brain-tuning change?"
_MINUS = re.compile(r"(?<![\w)\]])-(?=\d)")
_VERBS = {
    "rose": "rose by",
    "fell": "fell by",
    "no change shown": "shows no clear change:",
    "cannot tell": "changed by",
}


def default_deck(facts: Facts) -> Deck:
    """Return the slides of a run; a part that its documents do not hold, or not whole, is left out with a sentence."""
    slides: list[Slide] = []
    left_out = list(facts.left_out)
    for what, make in PARTS.items():
        try:
            slides += make(facts)
        except BraindashError as error:
            left_out.append(f"{what}: {error.what}")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:  # another version's document
            left_out.append(f"{what}: its file is not as expected ({type(error).__name__}: {error}).")
    if not slides:
        raise BraindashError(
            f"Run {facts.run_id} has no results that a slide could show.",
            f"Evaluate it again: braindash evaluate {facts.run_id}",
        )
    return Deck(facts.run_id, str(facts.summary.get("question") or QUESTION), tuple(slides), tuple(left_out))


def _answer(facts: Facts) -> list[Slide]:
    answer = [str(s) for s in facts.summary.get("answer") or ["The evaluation wrote no summary."]]
    return [
        Slide(
            "answer",
            str(facts.summary.get("question") or QUESTION),
            facts.about,
            [_MINUS.sub("−", s) for s in answer],
            n=_whose(facts),
            statistics=_interval_words(facts),
            caveats=facts.caveats,
            kind="title",
        )
    ]


def _curves(facts: Facts) -> list[Slide]:
    from braindash.figures.slides import CurvePanel

    regions = facts.chosen(MAIN, 4)
    models = [m for m in facts.models if m in ("pretrained", facts.tuned)] + facts.controls[:2]
    panels = [CurvePanel(facts.title(r), f"n = {facts.n(r):,}", [facts.levels(m, r) for m in models]) for r in regions]
    unit = UNITS[facts.measure]
    best = "; ".join(f"{p.title}: {_bests(p.curves)}" for p in panels)
    return [
        Slide(
            "curves",
            _headline(facts),
            f"{unit} by layer, {facts.who}. Bands: 95 % intervals over test stories and targets.",
            figure=_panels(panels, unit),
            alt=f"Line charts of {unit} over layers {facts.layers[0]} to {facts.layers[-1]}. Largest: {best}.",
            n=f"n targets: above each panel; {_whose(facts)}",
            statistics=f"{_focus_sentence(facts)} {_counts(facts, regions)}.".strip(),
            caveats=facts.caveats,
        )
    ]


def _changes(facts: Facts) -> list[Slide]:
    from braindash.figures.slides import CurvePanel

    if facts.tuned == "pretrained":
        return []
    regions = facts.chosen(MORE, 8)
    panels = [
        CurvePanel(
            facts.title(r), f"n = {facts.n(r):,}", [facts.changes(m, r) for m in (facts.tuned, *facts.controls[:2])]
        )
        for r in regions
    ]
    sure = sum(int(((p.curves[0].low > 0) | (p.curves[0].high < 0)).sum()) for p in panels)
    cells = sum(int(np.isfinite(p.curves[0].low).sum()) for p in panels)
    name = words_of(facts.tuned).title
    said = f"The interval of {name.lower()} minus pretrained excludes 0 at {sure} of {counted(cells, 'point')}."
    unit = f"Change in {UNITS[facts.measure]}"
    return [
        Slide(
            "changes",
            f"{name} minus pretrained, layer by layer",
            f"{said} Bands: 95 % intervals over test stories and targets, {facts.who}.",
            figure=_panels(panels, unit, zero=True),
            alt=f"Line charts of {unit[0].lower()}{unit[1:]} over layers in {counted(len(regions), 'region')}. {said}",
            n=f"n targets: above each panel; {_whose(facts)}",
            statistics=f"{said} {_counts(facts, regions)}.",
            caveats=facts.caveats,
        )
    ]


def _controls(facts: Facts) -> list[Slide]:
    from braindash.figures.slides import IntervalRow, static_intervals

    controls, roi, layer = facts.controls, _focus(facts), facts.layers[-1]
    if not controls or facts.tuned != "brain_tuned":
        return []
    rows = []
    own = _at(facts, facts.tuned, roi, layer)
    rows.append(IntervalRow("Brain-tuned − pretrained", *own))
    pairs = {c: facts.against(c, roi, layer) for c in controls}
    for control in controls:
        title = words_of(control).title
        rows.append(IntervalRow(f"{title} − pretrained", *_at(facts, control, roi, layer), control))
        if math.isfinite(pairs[control][0]):
            rows.append(IntervalRow(f"Brain-tuned − {title.lower()}", *pairs[control]))
    if len(rows) > 9:  # many controls: what matters is that brain-tuned exceeds them
        rows = [rows[0], *(r for r in rows[1:] if r.model == "brain_tuned")]
    rows = [r for r in rows if math.isfinite(r.value)]
    if not rows:
        return []
    known = [p for p in pairs.values() if math.isfinite(p[1])]
    above = sum(p[1] > 0 for p in known)
    said = "; ".join(f"{r.title}: {signed(r.value)} ({between(r.low, r.high)})" for r in rows)
    title = f"Brain-tuned exceeds {above} of {counted(len(known), 'control')}" if known else "Against the controls"
    x_label = f"Difference in {UNITS[facts.measure]}"

    def draw(theme: ThemeName) -> Figure:
        return static_intervals(rows, x_label=x_label, theme=theme)

    return [
        Slide(
            "controls",
            title,
            f"{facts.title(roi)}, layer {layer}, {facts.who}. A control is tuned with the same settings, steps and "
            "seeds. Lines: 95 % intervals over test stories and targets.",
            figure=draw,
            alt=f"{x_label}, with intervals: {said}.",
            n=_counts(facts, [roi]),
            statistics=f"{said}.",
            caveats=facts.caveats,
        )
    ]


def _maps(facts: Facts) -> list[Slide]:
    if facts.maps is None:
        return []
    from braindash.cortex.colour import shared_limits, symmetric_limit
    from braindash.cortex.flatmap import n_shown

    maps, layer, tuned = facts.maps, facts.layers[-1], facts.tuned
    before, after = maps.values("pretrained", layer), maps.values(tuned, layer)
    low, high = shared_limits(before, after)
    low, limit = max(low, 0.0), symmetric_limit(after - before)
    unit, name = UNITS[maps.measure], words_of(tuned).title
    out = []
    for which, values, title in (
        ("pretrained", before, "Pretrained"),
        ("tuned", after, name),
        ("difference", after - before, f"{name} − pretrained"),
    ):
        if which == "difference" and tuned == "pretrained":
            continue
        apart = which == "difference"
        scale = (-limit, limit) if apart else (low, high)
        n = n_shown(values, maps.cortex_map)
        label = f"change in {unit}" if apart else unit
        better = np.fmax(before, after) if apart else values
        out.append(
            Slide(
                f"map_{which}",
                f"{title}, layer {layer}",
                ("Centred on zero; " if apart else "Both models on one scale; ")
                + "the worse a target is predicted, the more it fades.",
                figure=_map(facts, values, better, label, scale, apart, (low, high)),
                alt=f"Flattened cortex, left and right hemisphere, coloured by {label} from {scale[0]:.2g} to "
                f"{scale[1]:.2g}, subject {maps.subject}, {counted(n, 'target')}.",
                n=f"{maps.subject}, n = {counted(n, 'target')}",
                statistics=f"{title}: mean {signed(float(np.nanmean(values)))} {label}, {counted(n, 'target')}."
                if np.isfinite(values).any()
                else "",
                caveats=facts.caveats,
            )
        )
    return out


def _map(
    facts: Facts,
    values: np.ndarray,
    better: np.ndarray,
    label: str,
    scale: tuple[float, float],
    apart: bool,
    levels: tuple[float, float],
) -> Callable[[ThemeName], Figure]:
    def draw(theme: ThemeName) -> Figure:
        from braindash.cortex.figure import flatmap_figure

        assert facts.maps is not None
        low, high = levels
        return flatmap_figure(
            values,
            facts.maps.cortex_map,
            facts.maps.home,
            label=label,
            cmap="diverging" if apart else "sequential",
            vmin=scale[0],
            vmax=scale[1],
            alpha=np.clip((better - low) / (0.5 * (high - low) or 1.0), 0, 1),
            outlines=facts.maps.outlines,
            theme=theme,
            width=7.0,
        )

    return draw


def _methods(facts: Facts) -> list[Slide]:
    if not facts.methods:
        return []
    pages = pages_of(facts.methods)
    return [
        Slide(
            f"methods_{i}" if i > 1 else "methods",
            "Methods" if len(pages) == 1 else f"Methods ({i} of {len(pages)})",
            points=page,
            kind="text",
        )
        for i, page in enumerate(pages, start=1)
    ]


# --- sentences -----------------------------------------------------------------------------------


def _focus(facts: Facts) -> str:
    wanted = str(facts.summary.get("region"))
    return wanted if wanted in facts.regions else facts.chosen(("late_language", "cortex"), 1)[0]


def _at(facts: Facts, model: str, roi: str, layer: int) -> tuple[float, float, float]:
    found = facts.changes(model, roi)
    for k, value, low, high in zip(found.layer, found.value, found.low, found.high, strict=True):
        if k == layer:
            return float(value), float(low), float(high)
    return math.nan, math.nan, math.nan


def _headline(facts: Facts) -> str:
    """Return what happened in the region that the answer is about, as a title."""
    roi, layer = _focus(facts), facts.layers[-1]
    value, low, high = _at(facts, facts.tuned, roi, layer)
    if not math.isfinite(value):
        return "Prediction by layer and region"
    verdict = "rose" if low > 0 else "fell" if high < 0 else "no change shown" if math.isfinite(low) else "cannot tell"
    size = signed(value) if verdict not in ("rose", "fell") else f"{abs(value):.3f}"
    of = " of the noise ceiling" if facts.measure == "r_norm" else " in r"
    return f"{facts.title(roi)} {_VERBS[verdict]} {size}{of} at layer {layer}"


def _focus_sentence(facts: Facts) -> str:
    roi, layer = _focus(facts), facts.layers[-1]
    value, low, high = _at(facts, facts.tuned, roi, layer)
    if not math.isfinite(value):
        return ""
    return (
        f"{facts.title(roi)}, layer {layer}, {words_of(facts.tuned).title.lower()} minus pretrained: {signed(value)} "
        f"({between(low, high)}; n = {counted(facts.n(roi), 'target')})."
    )


def _interval_words(facts: Facts) -> str:
    return f"{_focus_sentence(facts)} Intervals are over test stories and targets.".strip()


def _counts(facts: Facts, regions: list[str]) -> str:
    said = ", ".join(f"{facts.title(r)} {facts.n(r):,}" for r in regions)
    return f"n targets: {said}; {_whose(facts)}"


def _whose(facts: Facts) -> str:
    stories = _test_stories(facts)
    n = len(facts.subjects) - 1 if facts.subject == "all" else 1
    return counted(n, "subject") + (f", {counted(stories, 'test story', 'test stories')}" if stories else "")


def _test_stories(facts: Facts) -> int:
    split = (facts.records.get("provenance") or {}).get("split")
    return len(split.get("test") or ()) if isinstance(split, dict) else 0


def _bests(curves: object) -> str:
    said = []
    for one in curves:  # type: ignore[attr-defined]
        if np.isfinite(one.value).any():
            i = int(np.nanargmax(one.value))
            said.append(f"{words_of(one.model).title.lower()} {one.value[i]:.3f} at layer {one.layer[i]:.0f}")
    return ", ".join(said)


def _panels(panels: object, unit: str, zero: bool = False) -> Callable[[ThemeName], Figure]:
    def draw(theme: ThemeName) -> Figure:
        from braindash.figures.slides import static_panels

        return static_panels(panels, y_label=unit, zero=zero, theme=theme)  # type: ignore[arg-type]

    return draw


PARTS: dict[str, Callable[[Facts], list[Slide]]] = {
    "The answer": _answer,
    "Curves over layers": _curves,
    "Changes over layers": _changes,
    "Maps": _maps,
    "Controls": _controls,
    "The hierarchy": hierarchy_slides,
    "Probes": probe_slides,
    "RSA": rsa_slides,
    "Findings": findings_slides,
    "Methods": _methods,
}
