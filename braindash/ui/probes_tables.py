"""Numbers of probes, selected and put into words for the Probes page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.ui import names
from braindash.ui.text import count, number, shorten

if TYPE_CHECKING:
    import pandas as pd

    from braindash.ui.probes_readers import Probing

LEVEL = 0.05  # of q, below which a difference is called one
MEASURES = {"score": "Score", "selectivity": "Selectivity"}
ITEMS = "Items held out"
_FEW = 3  # tasks named in the answer for each direction
_FEW_EXAMPLES = 5  # of a class; shares of fewer say nothing
_MOST_HELD_OUT = 12  # names in a cell


@dataclass(frozen=True)
class Moved:
    """A task that changed, and where."""

    title: str
    layers: tuple[int, ...]
    most: float  # the furthest difference
    at: int  # its layer
    above_chance: bool  # one of the two models' intervals lies above chance there


def answer(probing: Probing, model: str | None) -> list[str]:
    """Say in a sentence or two what changed from the pretrained model to ``model``."""
    if model is None or not any(m == model for m, _ in probing.changes):
        return ["There is no other model whose probes could be compared with those of the pretrained one."]
    n, rose, fell = moved(probing, model)
    who = names.the_model(model)
    if not n:
        return [f"No difference between {who} and the pretrained one could be tested."]
    changed = sum(len(m.layers) for m in (*rose, *fell))
    grid = f"{count(n, 'tested pair')} of task and layer"
    if not changed:
        said = [f"No probe differs between {who} and the pretrained one: 0 of {grid} (q < {LEVEL:g})."]
    else:
        parts = [f"{verb} {_listed(m)}" for m, verb in ((rose, "higher:"), (fell, "lower:")) if m]
        begin = "With brain-tuning" if model == "brain_tuned" else f"In {who}"
        said = [f"{begin}, {'; '.join(parts)}. {changed} of {grid} differ from the pretrained model (q < {LEVEL:g})."]
    same = _same_layers(probing, model)
    if same:
        said.append(f"{_layers_said(same).capitalize()} {'is' if len(same) == 1 else 'are'} the same in both models.")
    return said


def others_sentence(probing: Probing, model: str) -> str:
    """Say how often the controls differ from the pretrained model; "" where there is none that was tested."""
    parts = []
    for other in probing.compared:
        if other in (model, "random_weights"):
            continue
        n, rose, fell = moved(probing, other)
        if n:
            changed = (*rose, *fell)
            tasks = list(dict.fromkeys(_inside(m.title) for m in changed))  # one may rise here and fall there
            which = f" ({_first(tasks, _FEW)})" if tasks else ""
            parts.append(f"{names.model(other)} {sum(len(m.layers) for m in changed)} of {n}{which}")
    return f"Other models that differ from the pretrained one: {'; '.join(parts)}." if parts else ""


def moved(probing: Probing, model: str) -> tuple[int, list[Moved], list[Moved]]:
    """Return how many differences were tested, and the tasks that rose and that fell, the furthest first."""
    n = 0
    rose: list[Moved] = []
    fell: list[Moved] = []
    for task in probing.tasks:
        change = probing.changes.get((model, task.name))
        if change is None:
            continue
        n += int(np.isfinite(change.q).sum())
        for found, sign in ((rose, 1.0), (fell, -1.0)):
            here = np.flatnonzero((change.q < LEVEL) & (sign * change.delta > 0))
            if here.size:
                most = int(here[np.argmax(np.abs(change.delta[here]))])
                layers = tuple(probing.layers[i] for i in here)
                above = any(
                    curve.low[most] > task.chance
                    for m in (model, "pretrained")
                    if (curve := probing.curves.get((m, task.name))) is not None
                )
                found.append(Moved(task.title, layers, float(change.delta[most]), probing.layers[most], above))
    for found in (rose, fell):
        found.sort(key=lambda m: -abs(m.most))
    return n, rose, fell


def _listed(tasks: Sequence[Moved]) -> str:
    named = [f"{_inside(m.title)} ({_where(m)})" for m in tasks[:_FEW]]
    if len(tasks) > _FEW:
        named.append(f"{len(tasks) - _FEW} more")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _where(m: Moved) -> str:
    chance = "" if m.above_chance else ", not above chance"
    if len(m.layers) == 1:
        return f"{number(m.most, 3, signed=True)} at layer {m.at}{chance}"
    return f"{_layers_said(m.layers)}, most {number(m.most, 3, signed=True)} at {m.at}{chance}"


def _inside(title: str) -> str:
    """Return a title as it stands within a sentence; an abbreviation keeps its capitals."""
    short = shorten(title, 48)
    return short if len(short) < 2 or short[1].isupper() else short[0].lower() + short[1:]


def _layers_said(layers: Sequence[int]) -> str:
    """Return ``"layer 4"``, ``"layers 1–3"``, ``"layers 0–2 and 4"``."""
    runs: list[list[int]] = []
    for k in layers:
        if runs and runs[-1][-1] == k - 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    texts = [str(r[0]) if len(r) == 1 else f"{r[0]}–{r[-1]}" for r in runs]
    joined = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
    return f"layer{'' if len(layers) == 1 else 's'} {joined}"


def _same_layers(probing: Probing, model: str) -> list[int]:
    """Return the layers at which every task's difference is exactly zero: the same states."""
    delta = np.array([c.delta for (m, _), c in probing.changes.items() if m == model])
    return [k for k, column in zip(probing.layers, delta.T, strict=True) if column.size and (column == 0).all()]


# --- the table of differences --------------------------------------------------------------------


@dataclass(frozen=True)
class Differences:
    """A model minus the pretrained one: (n_tasks, n_layers) each; NaN where there is none."""

    delta: np.ndarray
    low: np.ndarray
    high: np.ndarray
    q: np.ndarray


def differences(probing: Probing, model: str, measure: str) -> Differences:
    """Return the differences in score as they were tested, or those in selectivity, for which there is no test."""
    shape = (len(probing.tasks), len(probing.layers))
    out = Differences(*(np.full(shape, np.nan) for _ in range(4)))
    for i, task in enumerate(probing.tasks):
        if measure == "selectivity":
            mine, before = probing.curves.get((model, task.name)), probing.curves.get(("pretrained", task.name))
            if mine is not None and before is not None:
                out.delta[i] = mine.selectivity - before.selectivity
            continue
        change = probing.changes.get((model, task.name))
        if change is not None:
            out.delta[i], out.low[i], out.high[i], out.q[i] = change.delta, change.low, change.high, change.q
    return out


def strongest(probing: Probing, model: str | None) -> tuple[str, int]:
    """Return the task and layer to show first: the furthest sure difference, else the best pretrained probe's."""
    last = probing.layers[-1]
    if model is None:
        return probing.tasks[0].name, last
    found = differences(probing, model, "score")
    size = np.abs(found.delta)
    for among in (np.where(found.q < LEVEL, size, np.nan), size):
        if np.isfinite(among).any():
            i, j = np.unravel_index(int(np.nanargmax(among)), among.shape)
            return probing.tasks[i].name, probing.layers[j]
    return probing.tasks[0].name, last


# --- details of one probe ------------------------------------------------------------------------


def folds(probing: Probing, model: str | None, task: str, layer: int) -> pd.DataFrame:
    """Return one row a fold: what was held out, how many, and the score of both models."""
    import pandas as pd

    before = {r.get("fold"): r for r in probing.folds.get(("pretrained", task, layer), ())}
    after = {r.get("fold"): r for r in probing.folds.get((model or "", task, layer), ())}
    rows = []
    for i, fold in enumerate(dict.fromkeys([*before, *after])):
        one, two = before.get(fold, {}), after.get(fold, {})
        some = one or two
        row: dict[str, Any] = {
            "Fold": fold + 1 if isinstance(fold, int) else i + 1,
            "Held out": _held_out(some.get("held_out")),
            ITEMS: some.get("held_items"),
            "Train": some.get("n_train"),
            "Test": some.get("n_test"),
            names.model("pretrained"): _rounded(one.get("score")),
        }
        if model is not None:
            row[names.model(model)] = _rounded(two.get("score"))
            row["Difference"] = _rounded(_minus(two.get("score"), one.get("score")))
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.drop(columns=ITEMS) if ITEMS in table and not table[ITEMS].fillna(0).any() else table


def _held_out(held: Any) -> str:
    listed = [shorten(h, 40) for h in held] if isinstance(held, (list, tuple)) else []
    return _first(listed, _MOST_HELD_OUT)


def _first(texts: Sequence[str], most: int) -> str:
    """Return the first texts, and how many there are beside them."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more:,} more" if more > 0 else "")


def _minus(a: Any, b: Any) -> float:
    return float(a) - float(b) if isinstance(a, (int, float)) and isinstance(b, (int, float)) else float("nan")


def _rounded(value: Any) -> float:
    return round(float(value), 4) if isinstance(value, (int, float)) else float("nan")


def shares(counts: np.ndarray) -> np.ndarray:
    """Return counts in percent of their row: (n, n) → (n, n); NaN in a row without examples."""
    total = counts.sum(axis=1, keepdims=True).astype(float)
    return np.divide(100.0 * counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


def most_frequent(counts: np.ndarray, most: int) -> np.ndarray:
    """Return which classes to draw, in their order: those with the most examples."""
    return np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:most])


def largest_changes(before: np.ndarray, after: np.ndarray, classes: Sequence[str], most: int = 6) -> list[str]:
    """Say which confusions changed most between two models, in percent of the true class.

    Classes with fewer than five examples are left aside.
    """
    a, b = shares(before), shares(after)
    enough = np.minimum(before.sum(axis=1), after.sum(axis=1)) >= _FEW_EXAMPLES
    size = np.where(np.isfinite(a) & np.isfinite(b) & enough[:, None], np.abs(b - a), 0.0)
    said = []
    for place in np.argsort(-size, axis=None, kind="stable")[:most]:
        i, j = divmod(int(place), size.shape[1])
        if size[i, j] == 0:
            break
        what = f"“{shorten(classes[i], 30)}” read "
        what += "rightly" if i == j else f"as “{shorten(classes[j], 30)}”"
        said.append(f"{what}: {a[i, j]:.0f} % → {b[i, j]:.0f} % of {count(int(after[i].sum()), 'example')}")
    return said


# --- everything, to take away --------------------------------------------------------------------


def csv(probing: Probing) -> str:
    """Return every row as comma-separated text, with the difference from the pretrained model beside it."""
    import csv as writer
    import io

    columns = ["model", "task", "title", "level", "kind", "metric", "layer", "score", "ci_low", "ci_high", "chance"]
    columns += ["baseline", "shuffled", "selectivity", "n", "n_groups"]
    added = {"delta": "delta", "delta_ci_low": "low", "delta_ci_high": "high", "p": "p", "q": "q"}
    out = io.StringIO()
    table = writer.writer(out, lineterminator="\n")
    table.writerow([*columns, *added])
    at = {layer: i for i, layer in enumerate(probing.layers)}
    for row in probing.document["rows"]:
        change = probing.changes.get((str(row["model"]), str(row["task"])))
        mine = [getattr(change, f)[at[int(row["layer"])]] if change is not None else None for f in added.values()]
        table.writerow([_text(v) for v in (*(row.get(c) for c in columns), *mine)])
    return out.getvalue()


def _text(value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
