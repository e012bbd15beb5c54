"""Axes of a plotly figure for matplotlib: numbers for categories, ranges, ticks and what is written at them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindash.figures.plotly_spec import Spec, traces_of

_PAD = 0.05  # of the data's span around marks, as plotly leaves
_TICK = re.compile(r"\.(\d+)([f%e])$")


@dataclass
class Axis:
    """One axis of a figure.

    Attributes
    ----------
    key : str
        "x", "y2", …
    own : dict
        What the layout says of it.
    categories : list of str
        Its values where it has no numbers; their places are 0, 1, ….
    low, high : float
        Ends of what is shown, in numbers (places; decimal logarithms on a logarithmic axis); ``low`` is at the left or
        bottom, and above ``high`` where the axis is turned round.
    """

    key: str
    own: Spec
    categories: list[str] = field(default_factory=list)
    low: float = 0.0
    high: float = 1.0

    @property
    def across(self) -> bool:
        return self.key.startswith("x")

    @property
    def log(self) -> bool:
        return bool(self.own.get("type") == "log")

    @property
    def domain(self) -> tuple[float, float]:
        begin, end = self.own.get("domain") or (0.0, 1.0)
        return float(begin), float(end)

    @property
    def visible(self) -> bool:
        return self.own.get("visible", True) is not False

    def numbers(self, values: Any) -> np.ndarray:
        """Return values as places on the axis: (n,) float, NaN where there is none."""
        if values is None:
            return np.zeros(0)
        if self.categories:
            at = {c: float(i) for i, c in enumerate(self.categories)}
            return np.array(
                [at[v] if isinstance(v, str) and v in at else as_number(v) for v in list(values)], dtype=float
            )
        found = np.array([as_number(v) for v in list(values)], dtype=float)
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(found > 0, np.log10(found), np.nan)
        return found

    def ticks(self, pixels: float) -> tuple[list[float], list[str]]:
        """Return where ticks stand on an axis that is ``pixels`` long, and what is written at them."""
        own = self.own
        before, after = str(own.get("tickprefix", "")), str(own.get("ticksuffix", ""))
        if own.get("tickvals") is not None:
            at: list[float] = self.numbers(own["tickvals"]).tolist()
            texts = own.get("ticktext")
            written = [plain_text(t) for t in texts] if texts is not None else _written(at, own)
            written += [""] * (len(at) - len(written))
        elif self.categories:
            every = max(1, -(-len(self.categories) // max(int(pixels / 14), 1)))
            at = [float(i) for i in range(0, len(self.categories), every)]
            written = [plain_text(c) for c in self.categories[::every]]
        else:
            at = self._regular(pixels)
            written = _written([10**v for v in at] if self.log else at, own)
        low, high = sorted((self.low, self.high))
        room = 1e-6 * (high - low)
        kept = [(v, w) for v, w in zip(at, written, strict=False) if low - room <= v <= high + room]
        return [v for v, _ in kept], [f"{before}{w}{after}" if w else "" for _, w in kept]

    def _regular(self, pixels: float) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        low, high = sorted((self.low, self.high))
        step = self.own.get("dtick")
        if isinstance(step, int | float) and step > 0:
            first = float(self.own.get("tick0") or 0.0)
            begin, end = math.ceil((low - first) / step - 1e-9), math.floor((high - first) / step + 1e-9)
            return [first + step * k for k in range(begin, end + 1)] if end - begin < 200 else []
        if self.log and high - low >= 1:
            return [float(k) for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
        most = int(self.own.get("nticks") or 0) or 20
        most = max(2, min(most, int(pixels / (64 if self.across else 34))))
        return [float(v) for v in MaxNLocator(nbins=most, steps=[1, 2, 5, 10]).tick_values(low, high)]


def axes_of(spec: Spec) -> dict[str, Axis]:
    """Return every axis of a figure by its key, with categories and ranges settled."""
    layout = spec.get("layout", {})
    used = {t.get("xaxis", "x") for t in spec.get("data", ())} | {t.get("yaxis", "y") for t in spec.get("data", ())}
    used |= {k[0] + k[5:] for k in layout if re.fullmatch(r"[xy]axis\d*", k)} | {"x", "y"}
    axes = {key: Axis(key, layout.get(f"{key[0]}axis{key[1:]}") or {}) for key in sorted(used)}
    for key, axis in axes.items():
        values = [t.get(axis.key[0]) for t in traces_of(spec) if t.get(f"{axis.key[0]}axis", axis.key[0]) == key]
        axis.categories = _categories(axis.own, values)
    joined: dict[str, list[Axis]] = {}
    for key, axis in axes.items():
        head = str(axis.own.get("matches") or key)
        joined.setdefault(head if head in axes else key, []).append(axis)
    for group in joined.values():
        _settle(group, spec)
    return axes


def _categories(own: Spec, values: Sequence[Any]) -> list[str]:
    """Return the categories in the order in which they come; empty where the axis has numbers."""
    if own.get("type") in ("linear", "log"):
        return []
    found = [v for one in values if one is not None for v in list(one)]
    if own.get("type") != "category" and not any(isinstance(v, str) for v in found):
        return []
    if own.get("type") != "category" and all(not isinstance(v, str) or _is_number(v) for v in found):
        return []
    given = [str(c) for c in own.get("categoryarray") or ()]
    return list(dict.fromkeys([*given, *(str(v) for v in found if v is not None)]))


def _settle(group: list[Axis], spec: Spec) -> None:
    """Give axes that go together one range: the one that is set, or what holds the data of all of them."""
    given = next((a.own["range"] for a in group if a.own.get("range") is not None), None)
    reverse = any(a.own.get("autorange") == "reversed" for a in group)
    low = high = math.nan
    if given is not None:
        low, high = (as_number(v) for v in given)
        reverse = False
    if not (math.isfinite(low) and math.isfinite(high)):
        spans = [span for axis in group for span in _spans(axis, spec)]
        found_low, found_high = min((s[0] for s in spans), default=0.0), max((s[1] for s in spans), default=1.0)
        room = _PAD * (found_high - found_low)
        found_low = min((s[0] - room * s[2] for s in spans), default=0.0)
        found_high = max((s[1] + room * s[3] for s in spans), default=1.0)
        low = found_low if not math.isfinite(low) else low
        high = found_high if not math.isfinite(high) else high
        if any(a.own.get("rangemode") in ("tozero", "nonnegative") for a in group):
            low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    for axis in group:
        axis.low, axis.high = (high, low) if reverse else (low, high)


def _spans(axis: Axis, spec: Spec) -> Iterable[tuple[float, float, bool, bool]]:
    """Yield what each trace and shape takes of an axis, and whether there is room left below and above it."""
    d = axis.key[0]
    for trace in traces_of(spec):
        if trace.get(f"{d}axis", d) != axis.key:
            continue
        kind = trace.get("type", "scatter")
        values = axis.numbers(trace.get(d))
        if kind == "heatmap":
            edges = cell_edges(values, np.shape(trace["z"])[1 if axis.across else 0])
            yield float(edges.min()), float(edges.max()), False, False
            continue
        if kind == "bar":
            along = (trace.get("orientation", "v") == "h") == axis.across
            if not along and values.size:
                yield float(np.nanmin(values)) - 0.5, float(np.nanmax(values)) + 0.5, False, False
                continue
        low, high = values, values
        error = trace.get(f"error_{d}") or {}
        if error.get("visible", bool(error)) and error.get("array") is not None:
            plus, minus = errors_of(error, values.size)
            low, high = values - np.nan_to_num(minus), values + np.nan_to_num(plus)
        finite = np.isfinite(values)
        if not finite.any():
            continue
        begin, end = float(low[finite].min()), float(high[finite].max())
        if kind == "bar":
            begin, end = min(begin, 0.0), max(end, 0.0)
        room = "markers" in str(trace.get("mode", "markers")) or not axis.across
        yield (begin, end, begin < 0, end > 0) if kind == "bar" else (begin, end, room, room)
    for shape in spec.get("layout", {}).get("shapes", ()):
        if shape.get(f"{d}ref", d) == axis.key and shape.get(f"{d}sizemode") != "pixel":
            ends = axis.numbers([shape.get(f"{d}0"), shape.get(f"{d}1")])
            if np.isfinite(ends).all():
                yield float(ends.min()), float(ends.max()), False, False


def cell_edges(centres: np.ndarray, n: int) -> np.ndarray:
    """Return the edges of ``n`` cells whose middles are given (or edges, where one more is given): (n + 1,)."""
    if centres.size == n + 1:
        return centres
    if centres.size != n:
        centres = np.arange(n, dtype=float)
    if n == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def errors_of(error: Spec, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far an error bar reaches up and down: (n,) each."""
    if error.get("type") == "constant" or error.get("array") is None:
        up = np.full(n, as_number(error.get("value")))
    else:
        up = np.array([as_number(v) for v in list(error["array"])], dtype=float)
    down = error.get("arrayminus")
    if down is None or error.get("symmetric", False):
        return up, up
    return up, np.array([as_number(v) for v in list(down)], dtype=float)


def as_number(value: Any) -> float:
    """Return a value as a float; NaN for what is none."""
    if isinstance(value, bool) or value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _is_number(text: str) -> bool:
    return math.isfinite(as_number(text))


def _written(at: Sequence[float], own: Spec) -> list[str]:
    """Return numbers as an axis shows them, with as many decimals as tell neighbours apart."""
    pattern = str(own.get("tickformat") or "")
    found = _TICK.search(pattern)
    if found:
        digits, kind = int(found.group(1)), found.group(2)
        sign = "+" if pattern.startswith("+") else ""
        texts = [f"{v:{sign}.{digits}{kind}}" for v in at]
    else:
        step = min((abs(b - a) for a, b in itertools.pairwise(at) if b != a), default=0.0)
        digits = min(max(0, -math.floor(math.log10(step) + 1e-9)), 8) if step > 0 else 0
        if step > 0 and abs(round(step, digits) - step) > 1e-3 * step:
            digits = min(digits + 1, 8)
        whole = all(float(v).is_integer() for v in at)
        texts = [f"{v:,.0f}" if whole else f"{v:,.{digits}f}" if step > 0 else f"{v:g}" for v in at]
    return [t.replace("-", "−") for t in texts]


def plain_text(text: Any) -> str:
    """Return plotly's markup as plain lines."""
    lines = re.sub(r"</?[a-zA-Z][^<>]*>", "", re.sub(r"<br\s*/?>", "\n", str(text)))
    return lines.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
