"""When a claim is supported, when it is not, and when a study cannot tell: the same rules for every finding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from braindash.wording import words_of

Verdict = Literal["supported", "not_supported", "cannot_tell"]
Row = Mapping[str, Any]

SMALL = 0.01  # of a score from 0 to 1 (r / ceiling, R², F1): a smaller change is none worth the name
# tuned in the same way, but on what holds nothing of the brain's response to the story: what they gain is not its doing
MATCHED = ("block_permuted", "story_permuted", "random_responses", "stimulus_only")


@dataclass(frozen=True)
class Change:
    """A change with its 95 % interval; NaN limits where there is none."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Row | None, value: str = "delta", low: str = "ci_low", high: str = "ci_high") -> Change:
        """Read it from a row; NaN where the row or a value is missing."""
        return cls(*(_number((row or {}).get(k)) for k in (value, low, high)))

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def within(self, bound: float) -> bool:
        """Whether the whole interval lies within ±bound."""
        return self.low > -bound and self.high < bound

    def less(self, other: Change) -> Change:
        """Return the difference of two changes as if independent: wider than a paired one where both go together."""
        gap = self.value - other.value
        reach = math.hypot(self.high - self.low, other.high - other.low) / 2
        return Change(gap, gap - reach, gap + reach)

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "no value"
        between = f"95 % interval {self.low:+.3f} to {self.high:+.3f}" if self.known else "no interval"
        return f"{self.value:+.3f} ({between})"


@dataclass(frozen=True)
class Judged:
    """What a study shows of one claim.

    Attributes
    ----------
    verdict : "supported", "not_supported" or "cannot_tell"
    shows : str
        The numbers, with their intervals.
    reason : str
        Why this verdict, in a sentence.
    command : str
        What would fill in what is missing; "" where nothing is.
    """

    verdict: Verdict
    shows: str = ""
    reason: str = ""
    command: str = ""


def unknown(reason: str, command: str = "", shows: str = "") -> Judged:
    """Return that a claim cannot be told here, and why."""
    return Judged("cannot_tell", shows, reason, command)


@dataclass(frozen=True)
class Controls:
    """What tuned less each matched control gave, and how to make a control where there is none."""

    gaps: Mapping[str, Change] = field(default_factory=dict)
    command: str = ""


def judge_gain(change: Change, controls: Controls | None, shows: str) -> Judged:
    """Judge "it rises because of the brain": above 0, and above every matched control.

    Supported if both intervals lie above 0. Not supported if the change's lies below 0 or within
    ±0.01, or if that of tuned less some control does. Else, and without any matched control, the study
    cannot tell. With ``controls`` None the change is from a control already.
    """
    gaps = controls.gaps if controls else {}
    shows = "; ".join([shows, *(_versus(m, g) for m, g in gaps.items())])
    if not change.known:
        return unknown("There is no interval: too few test stories, groups or subjects were scored.", shows=shows)
    if change.high < 0:
        return Judged("not_supported", shows, "The interval lies below 0.")
    if change.low <= 0 and change.within(SMALL):
        return Judged("not_supported", shows, f"The interval lies within ±{SMALL:g}: no change worth the name.")
    if change.low <= 0:
        return unknown("The interval holds 0.", shows=shows)
    if controls is None:
        return Judged("supported", shows, "The interval lies above 0.")
    known = {m: g for m, g in gaps.items() if g.known}
    for model, gap in known.items():
        if gap.high < 0 or (gap.low <= 0 and gap.within(SMALL)):
            return Judged("not_supported", shows, f"It rose, but {words_of(model).phrase} rose as much or more.")
    for model, gap in known.items():
        if gap.low <= 0:
            return unknown(f"It rose, but whether more than {words_of(model).phrase} cannot be told.", shows=shows)
    if not known:
        return unknown(
            "It rose, but no matched control says that the responses are the reason.", controls.command, shows
        )
    return Judged(
        "supported", shows, "The interval lies above 0, and so does that of tuned less every matched control."
    )


def judge_fall(change: Change, shows: str) -> Judged:
    """Judge "it falls": supported if the interval lies below 0."""
    mirrored = Change(-change.value, -change.high, -change.low)
    if not mirrored.known:
        return unknown("There is no interval: too few test stories, groups or subjects were scored.", shows=shows)
    if mirrored.low > 0:
        return Judged("supported", shows, "The interval lies below 0.")
    if mirrored.high < 0:
        return Judged("not_supported", shows, "The interval lies above 0.")
    if mirrored.within(SMALL):
        return Judged("not_supported", shows, f"The interval lies within ±{SMALL:g}: no change worth the name.")
    return unknown("The interval holds 0.", shows=shows)


def judge_same(change: Change, shows: str, bound: float = SMALL) -> Judged:
    """Judge "it does not change": supported if the whole interval lies within ±bound.

    That an interval holds 0 is not enough: a small study would support everything.
    """
    if not change.known:
        return unknown("There is no interval: too few test stories, groups or subjects were scored.", shows=shows)
    if change.within(bound):
        return Judged("supported", shows, f"The whole interval lies within ±{bound:g}.")
    if change.low >= bound or change.high <= -bound:
        return Judged("not_supported", shows, f"The whole interval lies beyond ±{bound:g}.")
    return unknown(
        f"The interval reaches beyond ±{bound:g}: the study is too small to show that nothing changed.", shows=shows
    )


def judge_place(rows: Sequence[Row], first: float, last: float, where: str, shows: str) -> Judged:
    """Judge "it is best there": supported if the peak's interval lies between two layers for every row.

    Parameters
    ----------
    rows : with ``peak_low, peak_high``
        NaN for a profile that is flat, or has no interval.
    first, last : float
        Layers, both included.
    where : str
        What they are called: "the first third of the layers".
    """
    placed = []
    for row in rows:
        low, high = _number(row.get("peak_low")), _number(row.get("peak_high"))
        if not math.isfinite(low):
            placed.append("flat" if row.get("flat") else "unknown")
        else:
            placed.append("in" if low >= first and high <= last else "out" if high < first or low > last else "across")
    if "out" in placed:
        return Judged("not_supported", shows, f"Not all peaks lie in {where}.")
    if placed and all(p == "in" for p in placed):
        return Judged("supported", shows, f"Every peak, with its interval, lies in {where}.")
    if "flat" in placed:
        return unknown("A profile is flat within its error: any layer would do.", shows=shows)
    if "unknown" in placed or not placed:
        return unknown("There is no interval for the peak: too few test stories or groups were scored.", shows=shows)
    return unknown(f"The interval of a peak reaches beyond {where}.", shows=shows)


def judge_all(parts: Sequence[Judged]) -> Judged:
    """Judge a claim of several parts: supported if all are, not supported if one is not."""
    shows = "; ".join(dict.fromkeys(p.shows for p in parts if p.shows))
    for verdict in ("not_supported", "cannot_tell"):
        said = [p for p in parts if p.verdict == verdict]
        if said:
            return replace(said[0], shows=shows)
    return Judged("supported", shows, " ".join(dict.fromkeys(p.reason for p in parts)))


def _versus(model: str, gap: Change) -> str:
    return f"minus the {words_of(model).title.lower()} control {gap}"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
