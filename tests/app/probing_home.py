"""A run's probes as `braindash probe` leaves them: realistic numbers, nulls where it writes nulls, every kind of task.

What is planted: tuning lifts word identity and word meaning at the last two layers and lowers pitch at the last;
layers 0 and 1 are the same in both models; the block-permuted control changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fake_home
import numpy as np

from braindash.config import Home

LAYERS = (0, 1, 2, 3, 4)
MODELS = ("pretrained", "brain_tuned", "block_permuted", "random_weights")
N_FOLDS = 4
PHONES = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH"),
    *("K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z"),
)
MANNERS = ("voiced", "nasal", "fricative", "stop", "vowel", "labial")
WORDS = ("harbour", "lantern", "kettle", "garden", "window", "violin", "captain", "bakery", "river", "letter")
PARTS = ("noun", "verb", "adjective", "function word")


@dataclass(frozen=True)
class FakeTask:
    """One task: what it is, and its pretrained score by depth, from 0 (front end) to 1 (last layer)."""

    name: str
    title: str
    kind: str
    level: str
    shape: tuple[float, float, float]  # at depth 0, 0.5, 1
    classes: tuple[str, ...] = ()
    chance: float = 0.0
    baseline: float = 0.0
    gain: float = 0.0  # of tuning, at the last layer
    n: int = 2400

    def score(self, model: str, depth: float) -> float:
        value = float(np.interp(depth, [0, 0.5, 1], self.shape))
        if model == "random_weights":
            return self.chance + 0.45 * (self.shape[0] - self.chance)
        return value + self.gain * (max(depth - 0.5, 0) * 2 if model == "brain_tuned" else 0.0)


TASKS = (
    FakeTask("meaning", "Word meaning", "regression", "semantic", (0.02, 0.07, 0.13), gain=0.05, n=1310),
    FakeTask("speaker", "Speaker", "classification", "speaker", (0.9, 0.7, 0.4), ("joe", "amy", "kim"), 0.33, 0.2),
    FakeTask("mel", "Mel spectrum", "regression", "acoustic", (0.82, 0.74, 0.6), n=4000),
    FakeTask("pitch", "Pitch", "regression", "acoustic", (0.55, 0.5, 0.41), gain=-0.06, n=3122),
    FakeTask("phone", "Phone identity", "classification", "phonetic", (0.38, 0.66, 0.61), PHONES, 0.026, 0.004, n=4000),
    FakeTask("manner", "Articulatory features", "multilabel", "phonetic", (0.7, 0.86, 0.82), MANNERS, 0.5, 0.42),
    FakeTask("word", "Word identity", "classification", "lexical", (0.11, 0.42, 0.6), WORDS, 0.1, 0.02, 0.08, 1120),
    FakeTask("pos", "Part of speech", "classification", "lexical", (0.3, 0.5, 0.56), PARTS, 0.25, 0.16, n=1804),
)


def document(
    run_id: str,
    *,
    tasks: Sequence[FakeTask] = TASKS,
    models: Sequence[str] = MODELS,
    layers: Sequence[int] = LAYERS,
    caveats: Sequence[str] = ("Words and phones of a synthetic voice.",),
) -> dict[str, Any]:
    """Return ``probing.json`` as Python objects."""
    rows, differences, folds = [], [], []
    for task in tasks:
        for model in models:
            for layer in layers:
                depth = layer / max(layers[-1], 1)
                score, same = task.score(model, depth), depth <= 0.5 and model != "random_weights"
                shuffled = task.chance - 0.01
                rows.append(
                    {"model": model, "task": task.name, "title": task.title, "level": task.level, "kind": task.kind}
                    | {"metric": "r2" if task.kind == "regression" else "f1", "layer": layer, "score": score}
                    | {"ci_low": score - 0.015, "ci_high": score + 0.015, "chance": task.chance}
                    | {"baseline": task.baseline, "shuffled": shuffled, "selectivity": score - shuffled}
                    | {"n": task.n // 3, "n_groups": 4}
                )
                for fold in range(N_FOLDS):
                    of_fold = score + 0.01 * (fold - (N_FOLDS - 1) / 2)
                    folds.append(
                        {"model": model, "task": task.name, "layer": layer, "fold": fold, "score": of_fold}
                        | {"n_train": task.n * 3 // 4, "n_test": task.n // 4, "held_out": [f"story-{fold}"]}
                        | {"held_items": 26 if task.level in ("lexical", "semantic") else 0}
                    )
                if model == "pretrained":
                    continue
                delta = score - task.score("pretrained", depth)
                sure = abs(delta) > 0.012
                differences.append(
                    {"model": model, "task": task.name, "layer": layer, "delta": delta}
                    | {"ci_low": None if same else delta - 0.012, "ci_high": None if same else delta + 0.012}
                    | {"p": None if same else 0.001 if sure else 0.6, "q": None if same else 0.004 if sure else 0.8}
                )
    return {
        "braindash": 1,
        "run": run_id,
        "study": "mini",
        "simulated": True,
        "corpus": {"id": "mini", "title": "Five short stories", "kind": "study", "n_recordings": 20, "n_scored": 4}
        | {"minutes": 19.6, "group_word": "story", "vectors": None},
        "models": list(models),
        "layers": list(layers),
        "tasks": [_facts(task) for task in tasks],
        "not_done": [{"task": "emotion", "title": "Emotion", "why": "no recording has the label emotion."}],
        "rows": rows,
        "differences": differences,
        "folds": folds,
        "settings": {"n_folds": N_FOLDS, "n_boot": 500, "seed": 0, "max_examples": 4000},
        "caveats": list(caveats),
        "seconds": 211.0,
        "written": 1.7e9,
    }


def _facts(task: FakeTask) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "explanation": f"{task.title}, read from the mean state of each example.",
        "kind": task.kind,
        "level": task.level,
        "metric": "r2" if task.kind == "regression" else "f1",
        "chance": task.chance,
        "baseline": task.baseline,
        "n": task.n,
        "n_scored": task.n // 3,
        "n_groups": 4,
        "n_units": 41,
        "unit_word": "30-s stretch",
        "names": list(task.classes) or None,
        "n_train": task.n * 3 // 4,
        "n_test": task.n // 4,
        "n_folds": N_FOLDS,
        "left_out": {"examples beyond the limit": 812} if task.n == 4000 else {},
    }


def confusion(task: FakeTask, score: float, seed: int = 0) -> np.ndarray:
    """Return a table of (true, read as) in which about ``score`` of every class lies on the diagonal."""
    rng = np.random.default_rng(seed)
    k = len(task.classes)
    out = np.zeros((k, k), np.int32)
    for i in range(k):
        n = 30 + 7 * (k - i)
        near = np.exp(-np.abs(np.arange(k) - i) / 1.5)
        near[i] = 0
        spread = np.full(k, 0.0) if k == 1 else (1 - score) * near / near.sum()
        spread[i] = score
        out[i] = rng.multinomial(n, spread / spread.sum())
    return out


def arrays(document: Mapping[str, Any], tasks: Sequence[FakeTask] = TASKS) -> Any:
    """Return ``probing.nc`` as a dataset."""
    import xarray as xr

    models, layers = document["models"], document["layers"]
    names = [t.name for t in tasks]
    score = np.full((len(models), len(layers), len(names), N_FOLDS), np.nan, np.float32)
    for row in document["folds"]:
        at = models.index(row["model"]), layers.index(row["layer"]), names.index(row["task"]), row["fold"]
        score[at] = np.nan if row["score"] is None else row["score"]
    samples = np.repeat(score.mean(-1, keepdims=True), 20, axis=-1)
    confusions = {
        f"confusion_{t.name}": (
            ("model", "layer", f"true_{t.name}", f"predicted_{t.name}"),
            np.array(
                [[confusion(t, t.score(m, k / max(layers[-1], 1)), k) for k in layers] for m in models], dtype=np.int32
            ),
        )
        for t in tasks
        if t.kind == "classification"
    }
    dims = ("model", "layer", "task")
    return xr.Dataset(
        {"score": ((*dims, "fold"), score), "samples": ((*dims, "sample"), samples), **confusions},
        coords={"model": list(models), "layer": list(layers), "task": names},
    )


def write(home: Home, run_id: str, tasks: Sequence[FakeTask] = TASKS, **more: Any) -> dict[str, Any]:
    """Write both files into a run's folder; return the document."""
    from braindash.runs.arrays import write_arrays
    from braindash.runs.documents import write_document

    made = document(run_id, tasks=tasks, **more)
    folder = home.runs / run_id
    write_document(folder / "probing.json", made)
    write_arrays(folder / "probing.nc", arrays(made, tasks))
    return made


def probed(home: Home, name: str = "first tuning", **more: Any) -> str:
    """Add a run that is done and probed; its id."""
    run_id = fake_home.add_done(home, name)
    write(home, run_id, **more)
    return run_id


def figures(page: Any, kind: str = "scatter") -> list[dict[str, Any]]:
    """Return the page's figures that have a trace of this kind and show data."""
    found = [json.loads(c.proto.spec) for c in page.get("plotly_chart")]
    return [f for f in found if any(t["type"] == kind for t in f["data"])]


def panels(page: Any) -> dict[str, dict[str, Any]]:
    """Return the small multiples by the bold part of their title."""
    return {
        f["layout"]["annotations"][0]["text"].split("</b>")[0].removeprefix("<b>"): f
        for f in figures(page)
        if f["layout"]["xaxis"].get("title", {}).get("text") == "Layer"
    }
