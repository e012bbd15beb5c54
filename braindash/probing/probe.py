"""One task, every layer of every model: scores with intervals, paired differences, and controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindash.errors import BraindashError
from braindash.probing import metrics
from braindash.probing.base import Examples, Kind, Task
from braindash.probing.folds import Fold, plan_folds
from braindash.probing.linear import Blocks, fit_and_answer, make_blocks
from braindash.probing.metrics import add_q

__all__ = ["Probed", "add_q", "probe"]

REFERENCE = "pretrained"
MOST_SHUFFLES, SHUFFLED_COLUMNS = 3, 100  # draws that a control is averaged over: fewer where labels are many
MEMORY = 4_000_000_000  # bytes for the layers that are probed at once

Row = dict[str, Any]
# progress(done, total, what was just probed)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Probed:
    """What the layers of all models know of one task.

    Attributes
    ----------
    rows, differences, folds : lists of dict
        As in ``probing.json``; differences lack their q until `add_q` has seen those of all tasks.
    samples : (n_models, n_layers, n_boot) float32
        Scores of resampled units, the same resamples for every model and layer.
    confusion : mapping of model to (n_layers, K, K) int, or None
        Scored examples by true class (rows) and class answered.
    facts : dict
        What is the same for every layer and model.
    """

    rows: list[Row]
    differences: list[Row]
    folds: list[Row]
    samples: np.ndarray
    confusion: dict[str, np.ndarray] | None
    facts: Row


@dataclass(frozen=True)
class _Plan:
    """All that does not depend on a layer."""

    kind: Kind
    Y: np.ndarray  # (n, 1 + shuffles, d): the labels, then shuffled ones
    folds: list[Fold]
    blocks: Blocks
    tested: np.ndarray  # rows of scored examples
    fold: np.ndarray  # of each
    unit: np.ndarray  # of each
    n_units: int
    mean: np.ndarray  # (n_tested, 1 + shuffles, d): of the labels in the training part
    weights: np.ndarray  # (n_boot, n_units)


@dataclass(frozen=True)
class _Layer:
    """What one layer of one model gave."""

    score: float
    shuffled: float
    samples: np.ndarray
    fold_scores: np.ndarray
    confusion: np.ndarray | None


def probe(
    features: Mapping[str, np.ndarray],
    layers: Sequence[int],
    task: Task,
    examples: Examples,
    groups: np.ndarray,
    scored: np.ndarray,
    units: np.ndarray,
    *,
    n_folds: int = 5,
    n_boot: int = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> Probed:
    """Probe every layer of every model, with the same folds, shuffled labels and resamples for all.

    Parameters
    ----------
    features : mapping of model to (n_layers, n, width) float32
        One row an example. Differences are to ``pretrained``, where there is one.
    layers : sequence of int
        Their numbers.
    task, examples : Task, Examples
    groups : (n,) str
        Story or speaker: never on both sides of a fold; nor are ``examples.items``.
    scored : (n,) bool
        False where an example is only learnt from.
    units : (n,) int
        What intervals are over: resampled whole.
    n_folds, n_boot, seed : int
    progress : callable, optional
        ``progress(done, total, "pretrained, layer 3")``.

    Raises
    ------
    BraindashError
        Shapes that do not fit together, values that are not finite, labels that do not vary, or groups
        that allow no fold (`plan_folds`).
    """
    _check_features(features, layers, len(examples))
    plan, left_out = _plan(
        task, examples, np.asarray(groups), np.asarray(scored, dtype=bool), np.asarray(units), n_folds, n_boot, seed
    )
    found = _probe_layers(features, layers, plan, progress)
    facts = _facts(plan, np.asarray(groups), left_out)
    rows, differences, folds = [], [], []
    for model in features:
        for i, layer in enumerate(layers):
            here = found[model][i]
            place = {"model": model, "task": task.name}
            low, high, _ = metrics.interval(here.score, here.samples, plan.n_units)
            low, high = np.clip([low, high], -np.inf if plan.kind == "regression" else 0, 1).tolist()
            rows.append(
                {
                    **place, "title": task.title, "level": task.level, "kind": task.kind, "metric": task.metric,
                    "layer": layer, "score": here.score, "ci_low": low, "ci_high": high, "chance": facts["chance"],
                    "baseline": facts["baseline"], "shuffled": here.shuffled,
                    "selectivity": here.score - here.shuffled, "n": facts["n_scored"], "n_groups": facts["n_groups"],
                }
            )  # fmt: skip
            for f, fold in enumerate(plan.folds):
                folds.append(
                    {
                        **place, "layer": layer, "fold": f, "score": float(here.fold_scores[f]),
                        "n_train": len(fold.train), "n_test": len(fold.test),
                        "held_out": list(fold.held_out), "held_items": fold.held_items,
                    }
                )  # fmt: skip
            if REFERENCE in features and model != REFERENCE:
                other = found[REFERENCE][i]
                delta = here.score - other.score
                low, high, p = metrics.interval(delta, here.samples - other.samples, plan.n_units)
                differences.append({**place, "layer": layer, "delta": delta, "ci_low": low, "ci_high": high, "p": p})
    confusion = None
    if task.kind == "classification":
        confusion = {
            model: np.stack([here.confusion for here in found[model] if here.confusion is not None])
            for model in features
        }
    samples = np.stack([[here.samples for here in found[model]] for model in features]).astype(np.float32)
    return Probed(rows, differences, folds, samples, confusion, facts)


def _check_features(features: Mapping[str, np.ndarray], layers: Sequence[int], n: int) -> None:
    for model, states in features.items():
        if states.ndim != 3 or states.shape[:2] != (len(layers), n):
            raise BraindashError(
                f"The features of {model} have shape {states.shape}; {len(layers)} layers and {n} examples are probed.",
                "Give one array (n_layers, n_examples, width) a model.",
            )
        for i, layer in enumerate(layers):
            if not np.isfinite(states[i]).all():
                raise BraindashError(
                    f"Layer {layer} of {model} has values that are not finite.",
                    "Look at the run's loss: tuning may have diverged.",
                )


# --- labels and folds ----------------------------------------------------------------------------


def _plan(
    task: Task,
    examples: Examples,
    groups: np.ndarray,
    scored: np.ndarray,
    units: np.ndarray,
    n_folds: int,
    n_boot: int,
    seed: int,
) -> tuple[_Plan, dict[str, int]]:
    n = len(examples)
    for name, given in (("groups", groups), ("scored", scored), ("units", units)):
        if given.shape != (n,):
            raise BraindashError(f"{name} has shape {given.shape} for {n} examples.", "Give one entry an example.")
    labels, left_out = _labels(task, examples, scored)
    n_shuffles = int(np.clip(SHUFFLED_COLUMNS // labels.shape[1], 1, MOST_SHUFFLES))
    Y = np.stack([labels, *(labels[row] for row in _shuffles(examples, n_shuffles, seed))], axis=1)
    folds = plan_folds(groups, scored, examples.items, n_folds=n_folds, seed=seed)
    tested = np.concatenate([fold.test for fold in folds])
    fold_of = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])
    means = np.stack([Y[fold.train].mean(0, dtype=np.float64) for fold in folds]).astype(np.float32)
    known, unit = np.unique(units[tested], return_inverse=True)
    plan = _Plan(
        task.kind, Y, folds, make_blocks(folds, n), tested, fold_of, np.asarray(unit).reshape(-1), len(known),
        means[fold_of], metrics.draw_units(len(known), n_boot, seed),
    )  # fmt: skip
    return plan, left_out


def _labels(task: Task, examples: Examples, scored: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Return labels as numbers, (n, d) float32, and counts of what cannot be scored."""
    y = np.asarray(examples.y)
    if task.kind == "regression":
        y = y.astype(np.float64)
        if y.ndim != 2 or not np.isfinite(y).all():
            raise BraindashError(
                f"The values of {task.name} must be finite, (n, columns); got shape {y.shape}.",
                "The task must leave out examples without a value.",
            )
        varied = (np.ptp(y[scored], axis=0) > 0) if scored.any() else np.ones(y.shape[1], dtype=bool)
        if not varied.any():
            raise BraindashError(f"The values of {task.name} do not vary.", "Use more recordings.")
        kept = y[:, varied]
        return ((kept - kept.mean(0)) / kept.std(0)).astype(np.float32), _counted(
            "columns that do not vary", int((~varied).sum())
        )
    if task.kind == "classification":
        labels = np.zeros((len(y), len(examples.names)), dtype=np.float32)
        labels[np.arange(len(y)), y.astype(int)] = 1
        what, fewest = "classes", 2
    else:
        labels, what, fewest = y.astype(np.float32), "labels", 1
    absent = int((labels[scored].sum(0) == 0).sum())
    if labels.shape[1] - absent < fewest and scored.any():
        raise BraindashError(
            f"The scored examples of {task.name} have {labels.shape[1] - absent} of {labels.shape[1]} {what}.",
            "Use more recordings.",
        )
    return labels, _counted(f"{what} that no scored example has", absent)


def _counted(reason: str, n: int) -> dict[str, int]:
    return {reason: n} if n else {}


def _shuffles(examples: Examples, n_shuffles: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the row whose labels each row gets: any other's, or with items those of another item, one an item."""
    rng = np.random.default_rng([seed, 1])
    if examples.items is None:
        for _ in range(n_shuffles):
            yield rng.permutation(len(examples))
        return
    _, first, item = np.unique(np.asarray(examples.items).astype(str), return_index=True, return_inverse=True)
    for _ in range(n_shuffles):
        yield first[rng.permutation(len(first))][np.asarray(item).reshape(-1)]


def _facts(plan: _Plan, groups: np.ndarray, left_out: dict[str, int]) -> Row:
    """Return what is the same for every layer: counts, chance, and the score of an answer that hears nothing."""
    true = plan.Y[plan.tested, 0]
    mean = plan.mean[:, 0]
    if plan.kind == "regression":
        constant = mean
    elif plan.kind == "multilabel":
        constant = np.ones_like(true)
    else:
        constant = np.zeros_like(true)
        constant[np.arange(len(true)), mean.argmax(1)] = 1
    sums = metrics.add_up(plan.kind, true, constant, mean)
    unseen = 0 if plan.kind == "regression" else int(((true > 0) & (mean == 0)).any(1).sum())
    return {
        "chance": metrics.chance(plan.kind, sums, len(true)),
        "baseline": float(metrics.score(plan.kind, sums)),
        "n": len(plan.Y),
        "n_scored": len(true),
        "n_groups": len(np.unique(groups[plan.tested])),
        "n_units": plan.n_units,
        "n_train": round(float(np.mean([len(fold.train) for fold in plan.folds]))),
        "n_test": round(float(np.mean([len(fold.test) for fold in plan.folds]))),
        "n_folds": len(plan.folds),
        "n_unseen": unseen,
        "n_shuffles": plan.Y.shape[1] - 1,
        "left_out": left_out,
    }


# --- layers --------------------------------------------------------------------------------------


def _probe_layers(
    features: Mapping[str, np.ndarray], layers: Sequence[int], plan: _Plan, progress: Progress | None
) -> dict[str, list[_Layer]]:
    """Probe all layers; a layer that equals the reference's, such as one below all adapters, once."""
    reference = REFERENCE if REFERENCE in features else next(iter(features))
    jobs = [(reference, i) for i in range(len(layers))]
    for model, states in features.items():
        if model != reference:
            jobs += [(model, i) for i, x in enumerate(states) if not np.array_equal(x, features[reference][i])]
    done: dict[tuple[str, int], _Layer] = {}
    fit_in = MEMORY // max(plan.blocks.memory(states.shape[2]) for states in features.values())
    with _one_thread_each() as n_threads, ThreadPoolExecutor(int(np.clip(fit_in, 1, n_threads))) as pool:
        results = pool.map(lambda job: _probe_layer(np.asarray(features[job[0]][job[1]]), plan), jobs)
        for (model, i), result in zip(jobs, results, strict=True):
            done[model, i] = result
            if progress is not None:
                progress(len(done), len(jobs), f"{model}, layer {layers[i]}")
    return {model: [done.get((model, i), done[reference, i]) for i in range(len(layers))] for model in features}


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Give every layer one thread of linear algebra, and as many layers as it had threads."""
    from threadpoolctl import threadpool_info, threadpool_limits

    n = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    with threadpool_limits(limits=1, user_api="blas"):
        yield n


def _probe_layer(X: np.ndarray, plan: _Plan) -> _Layer:
    kind = plan.kind
    values = fit_and_answer(X, plan.Y, kind, plan.folds, plan.blocks).values[plan.tested]
    true = plan.Y[plan.tested]
    sums = metrics.add_up(kind, true[:, 0], values[:, 0], plan.mean[:, 0], plan.unit, plan.n_units)
    by_fold = metrics.add_up(kind, true[:, 0], values[:, 0], plan.mean[:, 0], plan.fold, len(plan.folds))
    shuffled = metrics.score(kind, metrics.add_up(kind, true[:, 1:], values[:, 1:], plan.mean[:, 1:]))
    confusion = None
    if kind == "classification":
        confusion = np.rint(true[:, 0].T @ values[:, 0]).astype(int)
    return _Layer(
        float(metrics.score(kind, sums.sum(0))),
        float(np.mean(shuffled)),
        metrics.resampled(kind, plan.weights, sums),
        metrics.score(kind, by_fold),
        confusion,
    )
