"""The sentence that says in words what a figure shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError, closest
from braindash.figures.style import model_order, model_style, region_title

if TYPE_CHECKING:
    import pandas as pd

    from braindash.figures.hierarchy import DepthRow
    from braindash.figures.probes import ProbeLine


def alt_text(kind: str, **numbers: Any) -> str:
    """Return one or two sentences for those who cannot see the figure.

    Parameters
    ----------
    kind : str
        Name of the figure function: ``layer_curves``, ``difference_curves``,
        ``layer_region_heatmap``, ``loss_curves``, ``histogram``, ``scatter``, ``flatmap``,
        ``lag_curves``, ``part_bars``, ``setting_lines``, ``group_curves``, ``hierarchy_picture``.
    **numbers
        What that figure was made of; see the function of the same name below.
    """
    try:
        write = _KINDS[kind]
    except KeyError:
        raise BraindashError(f"There is no description of a figure {kind!r}.", closest(kind, _KINDS)) from None
    return write(**numbers)


def _curves(records: pd.DataFrame, y_label: str, verb: str) -> str:
    models = model_order(records["model"])
    regions = list(dict.fromkeys(records["roi"]))
    parts = []
    for roi in regions:
        at = []
        for model in models:
            rows = records[(records["roi"] == roi) & (records["model"] == model)]
            rows = rows[np.isfinite(rows["value"].to_numpy(float))]
            if len(rows):
                best = rows.loc[rows["value"].idxmax()]
                at.append(f"{model_style(model).title.lower()} {best['value']:.3f} at layer {int(best['layer'])}")
        if at:
            parts.append(f"{region_title(roi)}: {', '.join(at)}")
    names = ", ".join(model_style(m).title for m in models)
    what = f"{verb} {y_label} over layers for {names} in {_count(len(regions), 'region')}"
    return f"{what}. Largest values: {'; '.join(parts)}."


def _layer_curves(records: pd.DataFrame, y_label: str) -> str:
    return _curves(records, y_label, "Line charts of")


def _difference_curves(records: pd.DataFrame, y_label: str) -> str:
    sure = int(((records["low"] > 0) | (records["high"] < 0)).sum())
    text = _curves(records, y_label, "Line charts of")
    return f"{text} The interval excludes zero at {sure} of {_count(len(records), 'point')}."


def _heatmap(matrix: np.ndarray, layers: list[Any], regions: list[str], label: str) -> str:
    if not np.isfinite(matrix).any():
        return f"Table of {label} by layer and region; no cell has a value."
    i, j = np.unravel_index(np.nanargmax(matrix), matrix.shape)
    return (
        f"Table of {label} for {_count(len(layers), 'layer')} and {_count(len(regions), 'region')}, from "
        f"{np.nanmin(matrix):.3f} to {np.nanmax(matrix):.3f}; "
        f"largest in {region_title(regions[j])} at layer {layers[i]}."
    )


def _loss(
    n_steps: int,
    last_loss: float | None,
    best_epoch: int | None,
    best_r: float | None,
    first_r: float | None,
    head_r: float | None = None,
) -> str:
    text = f"Training loss over {_count(n_steps, 'step')}"
    text += f", last {last_loss:.4g}" if last_loss is not None else ""
    text += ", and validation correlation per epoch"
    if best_r is not None:
        text += f": best {best_r:.3f} at epoch {best_epoch}"
        text += f", {first_r:.3f} before tuning" if first_r is not None else ""
    if head_r is not None:
        text += f"; by the head in training {head_r:.3f} at the last epoch"
    return f"{text}."


def _histogram(counts: dict[str, int], means: dict[str, float], label: str) -> str:
    parts = [f"{name}: mean {means[name]:.3f} over {_count(n, 'target')}" for name, n in counts.items()]
    return f"Histogram of {label}. {'; '.join(parts)}."


def _scatter(n: int, above: float, label: str) -> str:
    return (
        f"{label} of {_count(n, 'target')}, brain-tuned against pretrained; {above:.0%} of them lie above the diagonal."
    )


def _flatmap(n: int, low: float, high: float, label: str, regions: int = 0) -> str:
    text = f"Flattened cortex, left and right hemisphere, coloured by {label} from {low:g} to {high:g}"
    text += f", {_count(n, 'target')}"
    return f"{text}, {_count(regions, 'region')} outlined." if regions else f"{text}."


def _lags(scans: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        f"{s['subject']} best at {s['best_lag_trs']:+.1f} TR"
        if s["tells"]
        else f"{s['subject']} at no lag above chance"
        for s in scans
    ]
    return f"Line chart of r between word rate and responses over lags in TRs: {'; '.join(parts)}."


def _parts(records: pd.DataFrame, x_label: str) -> str:
    said = []
    for roi in dict.fromkeys(records["roi"]):
        rows = records[records["roi"] == roi].dropna(subset=["value"])
        if len(rows):
            top = rows.loc[rows["value"].abs().idxmax()]
            said.append(
                f"{region_title(roi)}: {top['part']}, {model_style(top['model']).title.lower()}, {top['value']:.4f}"
            )
    names = ", ".join(model_style(m).title for m in model_order(records["model"]))
    return f"Bar charts of {x_label} for {names} in {_count(len(said), 'region')}. Largest: {'; '.join(said)}."


def _setting_lines(axes: list[str], n: int, low: float, high: float, best: list[str] | None, label: str) -> str:
    text = f"Parallel coordinates of {', '.join(axes)} and {label} for {_count(n, 'setting')}"
    text += f"; {label}, mean over seeds, from {low:.3f} to {high:.3f}"
    if best is not None:
        text += f"; best: {', '.join(f'{a} {v}' for a, v in zip(axes, best, strict=True))}"
    return f"{text}."


def _group_curves(n: int, n_runs: int, epochs: int, best: str | None) -> str:
    text = (
        f"Line chart of validation r over {_count(epochs, 'epoch')}, {_count(n_runs, 'run')} of {_count(n, 'setting')}"
    )
    return f"{text}; best setting: {best}." if best else f"{text}."


def _hierarchy(rows: Sequence[DepthRow], layers: Sequence[int], after: str, digits: int) -> str:
    said = []
    for row in rows:
        ends = [f"{d.centre:.{digits}f}" if d.clear else "no clear peak" for d in (row.before, row.after)]
        said.append(f"{row.title} {ends[0] if ends[0] == ends[1] else ' to '.join(ends)}")
    names = f"{model_style('pretrained').title.lower()} to {model_style(after).title.lower()}"
    groups = ", ".join(dict.fromkeys(row.group for row in rows))
    return (
        f"Depth over layers {min(layers)} to {max(layers)} as centre of mass, {names}, from top to bottom: {groups}. "
        f"{'; '.join(said)}."
    )


def _probe_curves(lines: Sequence[ProbeLine], layers: Sequence[int], title: str, y_label: str, chance: float) -> str:
    at = []
    for line in sorted(lines, key=lambda one: model_style(one.model).order):
        if np.isfinite(line.score).any():
            best = int(np.nanargmax(line.score))
            at.append(f"{model_style(line.model).title.lower()} {line.score[best]:.3f} at layer {layers[best]}")
    text = f"Line chart of {y_label} of the probe {title} over {_count(len(layers), 'layer')}. Largest: {', '.join(at)}"
    return f"{text}; chance {chance:.3f}." if np.isfinite(chance) else f"{text}."


def _probe_changes(delta: np.ndarray, layers: Sequence[int], tasks: Sequence[str], sure: np.ndarray, label: str) -> str:
    n = f"{_count(len(tasks), 'task')} and {_count(len(layers), 'layer')}"
    i, j = divmod(int(np.nanargmax(np.abs(delta))), delta.shape[1])
    return (
        f"Table of {label} for {n}; furthest from zero: {tasks[i]} at layer {layers[j]}, {delta[i, j]:+.3f}. "
        f"{_count(int(sure.sum()), 'cell')} marked as different."
    )


def _confusion_map(shares: np.ndarray, names: Sequence[str], title: str, difference: bool) -> str:
    if not np.isfinite(shares).any():
        return f"{title}: a table of {_count(len(names), 'class', 'classes')} without a value."
    i, j = divmod(int(np.nanargmax(np.abs(shares) if difference else shares)), shares.shape[1])
    value = f"{shares[i, j]:+.0f} percentage points" if difference else f"{shares[i, j]:.0f} %"
    what = f"{title}: table of {_count(len(names), 'class', 'classes')}, true by predicted"
    return f"{what}; {'furthest from zero' if difference else 'largest'}: {names[i]} read as {names[j]}, {value}."


def _count(n: int, noun: str, plural: str | None = None) -> str:
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


_KINDS: dict[str, Callable[..., str]] = {
    "layer_curves": _layer_curves,
    "difference_curves": _difference_curves,
    "layer_region_heatmap": _heatmap,
    "loss_curves": _loss,
    "histogram": _histogram,
    "scatter": _scatter,
    "flatmap": _flatmap,
    "lag_curves": _lags,
    "part_bars": _parts,
    "setting_lines": _setting_lines,
    "group_curves": _group_curves,
    "probe_curves": _probe_curves,
    "probe_changes": _probe_changes,
    "confusion_map": _confusion_map,
    "hierarchy_picture": _hierarchy,
}
