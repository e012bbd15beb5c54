"""What was found, in words that carry their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindash.wording import words_of

Row = Mapping[str, Any]

REGION_WORDS = {
    "late_language": "the late-language regions",
    "primary_auditory": "primary auditory cortex",
    "early_auditory": "early auditory cortex",
    "cortex": "the targets as a whole",
}

FEW_CONTROLS = 2  # each gets a sentence of its own; more share one

QUESTION = "What did brain-tuning change?"


def summarise(
    encoding: Sequence[Row],
    differences: Sequence[Row],
    *,
    tuned: str,
    region: str = "late_language",
    early: str = "primary_auditory",
    titles: Mapping[str, str] | None = None,
    against: Sequence[Row] = (),
) -> dict[str, Any]:
    """Put the answer into two sentences, from the rows alone.

    Parameters
    ----------
    encoding, differences : rows of `region_rows`
    tuned : str
        Name of the model in question, "brain_tuned" or a control's.
    region, early : str
        The regions that the sentences are about; where the study lacks them,
        the whole of its targets.
    titles : mapping, optional
        Readable region names.
    against : rows of `region_rows` that compare the tuned model with its controls

    Returns
    -------
    dict
        ``question`` str; ``answer`` two sentences; ``verdict`` "rose" | "fell" |
        "no change shown" | "cannot tell"; and the rows that the sentences rest on.
    """
    subject = "all" if any(r["subject"] == "all" for r in encoding) else (encoding[0]["subject"] if encoding else "")
    here = [r for r in differences if r["subject"] == subject]
    regions = list(dict.fromkeys(r["roi"] for r in here))
    if not here:
        return {"question": QUESTION, "answer": ["The run has no pair of models to compare."], "verdict": "none"}
    region = region if region in regions else ("cortex" if "cortex" in regions else regions[0])
    last = max(r["layer"] for r in here)
    focus = _find(here, tuned, region, last)
    if focus is None:
        others = [r["model"] for r in here if r["layer"] == last]
        tuned = others[0]
        focus = _find(here, tuned, region, last)
    assert focus is not None
    normalised = np.isfinite(focus["delta_r_norm"])
    change, low, high = (
        (focus["delta_r_norm"], focus["r_norm_ci_low"], focus["r_norm_ci_high"])
        if normalised
        else (focus["delta_r"], focus["ci_low"], focus["ci_high"])
    )
    unit = "of the noise ceiling" if normalised else "in r"
    verdict = "rose" if low > 0 else "fell" if high < 0 else "no change shown" if np.isfinite(low) else "cannot tell"
    name = _title(region, titles)
    pre = _level(encoding, "pretrained", subject, region, last, normalised)
    post = _level(encoding, tuned, subject, region, last, normalised)
    words = words_of(tuned).phrase
    n_targets = focus["n_targets"] - (focus["n_excluded"] if normalised else 0)
    claim = {
        "rose": f"{words} predicts {name} better than the pretrained one does",
        "fell": f"{words} predicts {name} worse than the pretrained one does",
        "no change shown": f"no difference between {words} and the pretrained one is shown in {name}",
        "cannot tell": f"too few test stories were scored to tell whether {words} predicts {name} better",
    }[verdict]
    first = (
        f"At the last layer ({last}), {claim}: {pre:.3f} → {post:.3f} {unit}, a change of {change:+.3f} "
        f"({_interval(low, high)}; {n_targets:,} targets{_stories(focus, change)})."
    )
    second = " ".join(
        s
        for s in (
            _control_sentence(here, against, tuned, subject, region, last, normalised),
            _early_sentence(encoding, tuned, subject, early, titles, normalised),
        )
        if s
    )
    return {
        "question": QUESTION,
        "answer": [first, second] if second else [first],
        "verdict": verdict,
        "region": region,
        "layer": last,
        "model": tuned,
        "subject": subject,
        "measure": "r_norm" if normalised else "r",
        "change": change,
        "low": low,
        "high": high,
        "n_targets": focus["n_targets"],
        "n_excluded": focus["n_excluded"],
    }


def _find(rows: Sequence[Row], model: str, roi: str, layer: int) -> Row | None:
    return next((r for r in rows if r["model"] == model and r["roi"] == roi and r["layer"] == layer), None)


def _title(region: str, titles: Mapping[str, str] | None) -> str:
    if region in REGION_WORDS:
        return REGION_WORDS[region]
    named = (titles or {}).get(region, region)
    return f"the region {named}"


def _level(encoding: Sequence[Row], model: str, subject: str, roi: str, layer: int, normalised: bool) -> float:
    row = _find([r for r in encoding if r["subject"] == subject], model, roi, layer)
    return float(row["r_norm" if normalised else "r"]) if row else float("nan")


def _interval(low: float, high: float) -> str:
    return f"95 % interval {low:+.3f} to {high:+.3f}" if np.isfinite(low) else "no interval"


def _stories(focus: Row, change: float) -> str:
    by_story = focus.get("by_story") or {}
    if len(by_story) < 2:
        return ""
    same = sum(1 for v in by_story.values() if v * change > 0)
    return f"; {same} of {len(by_story)} test stories in that direction"


def _control_sentence(
    rows: Sequence[Row], against: Sequence[Row], tuned: str, subject: str, region: str, layer: int, normalised: bool
) -> str:
    """Say what the controls did: each in a sentence where they are few, all in one or two where they are many."""
    keys = ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high") if normalised else ("delta_r", "ci_low", "ci_high")
    mine = [r for r in against if r["subject"] == subject]
    pairs: dict[str, tuple[float, ...]] = {}
    said = []
    for model in dict.fromkeys(r["model"] for r in rows):
        if model == tuned:
            continue
        row = _find(rows, model, region, layer)
        if row is None:
            continue
        change, low, high = (row[k] for k in keys)
        words = words_of(model).phrase
        verb = "gained" if low > 0 else "lost" if high < 0 else "shows no clear change:"
        sentence = f"{words[0].upper()}{words[1:]} {verb} {change:+.3f} ({_interval(low, high)})"
        pair = _find([r for r in mine if r["against"] == model], tuned, region, layer)
        if pair is not None:
            pairs[model] = gap, gap_low, gap_high = tuple(float(pair[k]) for k in keys)
            sentence += f"; brain-tuned less control is {gap:+.3f} ({_interval(gap_low, gap_high)})"
        said.append(f"{sentence}.")
    return " ".join(said) if len(said) <= FEW_CONTROLS or len(pairs) < len(said) else _many_controls(pairs)


def _many_controls(pairs: Mapping[str, tuple[float, ...]]) -> str:
    """Say, from brain-tuned less each control with its interval, which of them it exceeds."""
    above = {m: p for m, p in pairs.items() if p[1] > 0}
    below = {m: p for m, p in pairs.items() if p[2] < 0}
    open_ = {m: p for m, p in pairs.items() if m not in above and m not in below}

    def listed(found: Mapping[str, tuple[float, ...]], intervals: bool) -> str:
        parts = [
            f"{words_of(m).title.lower()} ({p[0]:+.3f}" + (f"; {_interval(p[1], p[2])})" if intervals else ")")
            for m, p in found.items()
        ]
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

    said = []
    if above:
        n = f"all {len(pairs)}" if len(above) == len(pairs) else f"{len(above)} of {len(pairs)}"
        said.append(
            f"Brain-tuned gained more than {n} controls, by differences whose intervals lie above 0: "
            f"{listed(above, False)}."
        )
    if open_:
        it = "it" if above else "the brain-tuned model"
        said.append(f"There is no clear difference between {it} and {listed(open_, True)}.")
    if below:
        said.append(f"{'It' if above or open_ else 'Brain-tuned'} gained less than {listed(below, True)}.")
    return " ".join(said)


def _early_sentence(
    encoding: Sequence[Row],
    tuned: str,
    subject: str,
    early: str,
    titles: Mapping[str, str] | None,
    normalised: bool,
) -> str:
    key = "r_norm" if normalised else "r"
    peaks = {}
    for model in ("pretrained", tuned):
        rows = [
            r
            for r in encoding
            if r["subject"] == subject and r["roi"] == early and r["model"] == model and np.isfinite(r[key])
        ]
        if not rows:
            return ""
        peaks[model] = max(rows, key=lambda r: r[key])["layer"]
    name = _title(early, titles)
    name = name[0].upper() + name[1:]
    if peaks["pretrained"] == peaks[tuned]:
        return f"{name} is best predicted by layer {peaks[tuned]} before and after."
    return f"{name} is best predicted by layer {peaks['pretrained']} before and layer {peaks[tuned]} after."
