"""One example of every figure that pages draw with plotly, with numbers that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from braindash import figures

Theme = Any
MODELS = ("pretrained", "brain_tuned", "block_permuted")


def _curves(regions: tuple[str, ...] = ("late_language", "primary_auditory", "ifg"), layers: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for roi in regions:
        for i, model in enumerate(MODELS):
            for layer in range(layers):
                value = 0.4 + 0.05 * layer + 0.02 * i + float(rng.normal(0, 0.01))
                rows.append((model, layer, roi, value, value - 0.03, value + 0.04, 1200))
    return pd.DataFrame(rows, columns=["model", "layer", "roi", "value", "low", "high", "n"])


def layer_curves(theme: Theme) -> Any:
    return figures.layer_curves(_curves(), ceiling=0.8, theme=theme)


def deep_layer_curves(theme: Theme) -> Any:
    return figures.layer_curves(_curves(("late_language", "ag", "ltc", "ifg"), 25), theme=theme)


def difference_curves(theme: Theme) -> Any:
    rows = _curves()
    rows[["value", "low", "high"]] -= 0.5
    return figures.difference_curves(rows, theme=theme)


def layer_region_heatmap(theme: Theme) -> Any:
    matrix = np.linspace(-0.05, 0.08, 20).reshape(5, 4)
    matrix[0, 0] = np.nan
    names = ["late_language", "primary_auditory", "ifg", "ag"]
    return figures.layer_region_heatmap(matrix, range(5), names, label="Change in r / noise ceiling", diverging=True,
                                        theme=theme)  # fmt: skip


def lag_curves(theme: Theme) -> Any:
    lags = list(range(-4, 5))
    scans = [
        {"subject": s, "lags": lags, "r": [0.3 - 0.05 * abs(k - at) for k in lags], "threshold": 0.12,
         "best_lag_trs": at, "tells": True}
        for s, at in (("sub-01", 0.0), ("sub-02", 1.0))
    ]  # fmt: skip
    return figures.lag_curves(scans, theme=theme)


def loss_curves(theme: Theme) -> Any:
    rows = [{"kind": "step", "step": i, "epoch": 1, "loss": 1.0 / (1 + 0.05 * i)} for i in range(40)]
    rows += [
        {
            "kind": "epoch",
            "epoch": e,
            "validation_r": 0.1 + 0.02 * e,
            "best": e == 3,
            "head_validation_r": 0.05 + 0.01 * e,
        }
        for e in range(4)
    ]
    return figures.loss_curves(rows, theme=theme)


def part_bars(theme: Theme) -> Any:
    rows = [
        (model, roi, part, 0.02 * (i + 1) + 0.01 * j, 0.02 * (i + 1), 0.03 * (i + 1) + 0.01, 900)
        for roi in ("late_language", "primary_auditory")
        for j, model in enumerate(MODELS[:2])
        for i, part in enumerate(("Sound level", "Speech sounds", "Word meaning"))
    ]
    records = pd.DataFrame(rows, columns=["model", "roi", "part", "value", "low", "high", "n"])
    return figures.part_bars(records, x_label="Share of the responses' variance (R²)", theme=theme)


def probe_curves(theme: Theme) -> Any:
    x = np.linspace(0.4, 0.7, 5)
    lines = [figures.ProbeLine(m, x + 0.05 * i, x + 0.05 * i - 0.04, x + 0.05 * i + 0.04, x * 0 + 0.2)
             for i, m in enumerate(("pretrained", "brain_tuned", "random_model"))]  # fmt: skip
    return figures.probe_curves(lines, range(5), title="Phone identity", note="phonetic · n = 1,204", chance=0.1,
                                baseline=0.15, picked=3, y_label="Macro F1, 12 classes", theme=theme)  # fmt: skip


def probe_changes(theme: Theme) -> Any:
    delta = np.linspace(-0.06, 0.1, 20).reshape(4, 5)
    tasks = ["Loudness", "Phone identity", "Word identity", "Word meaning, by vectors"]
    return figures.probe_changes(delta, range(5), tasks, label="Score: brain-tuned − pretrained",
                                 groups=["acoustic", "phonetic", "lexical", "semantic"], low=delta - 0.01,
                                 high=delta + 0.01, q=np.abs(delta) / 2, picked=(2, 4), theme=theme)  # fmt: skip


def confusion_map(theme: Theme) -> Any:
    counts = np.arange(36).reshape(6, 6) + 60 * np.eye(6, dtype=int)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    return figures.confusion_map(
        shares, ["p", "t", "k", "b", "d", "g"], title="Brain-tuned", counts=[counts], theme=theme
    )


def setting_lines(theme: Theme) -> Any:
    settings = [
        figures.SettingLine(("0.001", "8"), (0.20, 0.21)),
        figures.SettingLine(("0.003", "8"), (0.24, 0.25), best=True),
        figures.SettingLine(("0.003", "16"), (0.22,)),
    ]
    return figures.setting_lines(["learning rate", "rank"], [["0.001", "0.003"], ["8", "16"]], settings, theme=theme)


def group_curves(theme: Theme) -> Any:
    settings = [
        figures.SettingLine((), curves=[([0, 1, 2, 3], [0.1, 0.15, 0.18, 0.2 + 0.02 * i])], best=i == 2)
        for i in range(3)
    ]
    return figures.group_curves(["rank 4", "rank 8", "rank 16"], settings, theme=theme)


def histogram(theme: Theme) -> Any:
    rng = np.random.default_rng(1)
    return figures.histogram({m: rng.normal(0.2 + 0.05 * i, 0.1, 3000) for i, m in enumerate(MODELS[:2])}, theme=theme)


def scatter(theme: Theme) -> Any:
    a = np.random.default_rng(2).uniform(0, 0.6, 3000)
    return figures.scatter(a, a + 0.03, chosen=a > 0.3, theme=theme)


def dense_scatter(theme: Theme) -> Any:
    a = np.random.default_rng(2).normal(0.3, 0.1, 30_000)
    return figures.scatter(a, a + 0.03, theme=theme)


def similarity_map(theme: Theme) -> Any:
    matrix = np.linspace(0.01, 0.3, 20).reshape(5, 4)
    return figures.similarity_map(
        matrix, range(5), ["Primary auditory", "Late language", "IFG", "Angular gyrus"], label="Similarity",
        marked=matrix > 0.2, notes=["0.2–0.4"] * 4, notes_title="ceiling", chosen=(4, 1), theme=theme,
    )  # fmt: skip


def deep_similarity_map(theme: Theme) -> Any:
    """So many layers that cells carry stars and no numbers."""
    matrix = np.linspace(-0.1, 0.3, 39).reshape(13, 3)
    return figures.similarity_map(
        matrix, range(13), ["Primary auditory", "IFG", "Angular gyrus"], label="Similarity", marked=matrix > 0.1,
        chosen=(4, 1), theme=theme,
    )  # fmt: skip


def deep_probe_changes(theme: Theme) -> Any:
    delta = np.linspace(-0.02, 0.04, 39).reshape(3, 13)
    return figures.probe_changes(delta, range(13), ["Pitch", "Phones", "Words"], label="Score", q=0.08 - delta,
                                 level=0.06, picked=(1, 5), theme=theme)  # fmt: skip


def similarity_curves(theme: Theme) -> Any:
    return figures.similarity_curves(_curves(("late_language",)), y_label="Similarity", ceiling=(0.7, 0.8), theme=theme)


def rdm(theme: Theme) -> Any:
    n = 24
    x = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) * 100.0 / n
    np.fill_diagonal(x, np.nan)
    return figures.rdm(x, [f"segment {i}" for i in range(n)], name="Layer 4", chosen=(3, 17), theme=theme)


def cka_map(theme: Theme) -> Any:
    x = np.exp(-np.abs(np.subtract.outer(np.arange(5), np.arange(5))) / 2)
    return figures.cka_map(x, range(5), range(5), row_title="Pretrained", column_title="Brain-tuned", theme=theme)


def moved_curves(theme: Theme) -> Any:
    return figures.moved_curves(
        {"pretrained": [1, 1, 1, 1, 1], "brain_tuned": [1, 1, 1, 0.97, 0.9]}, range(5), theme=theme
    )


def mds_plane(theme: Theme) -> Any:
    rows = [("layer", m, k, "", 0.2 * k, 0.1 * k * (1 + i)) for i, m in enumerate(MODELS) for k in range(5)]
    rows += [("region", None, None, name, 0.9, 0.1 + 0.02 * i) for i, name in enumerate(("A1", "IFG", "Late language"))]
    points = pd.DataFrame(rows, columns=["what", "model", "layer", "name", "x", "y"])
    return figures.mds_plane(points, theme=theme)


def hierarchy_picture(theme: Theme) -> Any:
    Depth, DepthRow = figures.Depth, figures.DepthRow
    rows = [
        DepthRow("Loudness", "Acoustic", Depth(0.8, 0.5, 1.1, 0, 0, 1), Depth(0.9, 0.6, 1.2, 1, 0, 1)),
        DepthRow("Phone identity", "Phonetic", Depth(1.8, 1.5, 2.1, 2, 1, 2), Depth(2.4, 2.1, 2.6, 3, 2, 3)),
        DepthRow("Word meaning by vectors", "Semantic", Depth(2.8, 2.5, 3.1, 3, 3, 4), Depth(3.4, 3.2, 3.6, 4, 4, 4)),
        DepthRow("Late language", "Brain regions", Depth(2.2, 1.9, 2.4, 3, 2, 3), Depth()),
    ]
    return figures.hierarchy_picture(rows, range(5), theme=theme)


def response_courses(theme: Theme) -> Any:
    from braindash.figures.courses import response_courses as draw

    t = np.arange(60) * 2.0
    measured = np.sin(t / 9)
    return draw(t, measured, {"pretrained": 0.6 * measured, "brain_tuned": 0.8 * measured},
                {"pretrained": 0.6, "brain_tuned": 0.8}, story="pond", theme=theme)  # fmt: skip


def head_maps(theme: Theme) -> Any:
    from braindash.figures.head import HeadMap
    from braindash.figures.head import head_maps as draw

    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    positions = np.column_stack([np.cos(angles) * 0.7, np.sin(angles) * 0.7, np.full(12, 0.71)])
    values = np.linspace(-0.1, 0.1, 12)
    values[3] = np.nan
    maps = [HeadMap("Pretrained", values + 0.2, "sequential", 0.1, 0.3, "r"),
            HeadMap("Difference", values, "diverging", -0.1, 0.1, "change in r")]  # fmt: skip
    return draw(maps, positions, [f"E{i}" for i in range(12)], selected=2, theme=theme)


def run_curves(theme: Theme) -> Any:
    from braindash.figures.run_curves import RunCurve
    from braindash.figures.run_curves import run_curves as draw

    x = np.arange(5.0)
    curves = [RunCurve(i, f"run {i}", x, 0.1 * x + 0.05 * i, 0.1 * x, 0.1 * x + 0.1) for i in range(2)]
    reference = RunCurve(None, "Pretrained", x, 0.08 * x)
    return draw([*curves, reference], x_label="Layer", y_label="r / noise ceiling", what="Layers", theme=theme)


def score_dots(theme: Theme) -> Any:
    from braindash.figures.run_scores import ScoreColumn, ScoreDot
    from braindash.figures.run_scores import score_dots as draw

    columns = [
        ScoreColumn(
            region, setting, 0, [ScoreDot(i, f"seed {k}", 0.02 * k + 0.01 * i) for k in range(3)], 0.02, 0.01, 900
        )
        for region in ("Late language", "Primary auditory")
        for i, setting in enumerate(("A", "B"))
    ]
    return draw(columns, y_label="Change in r / noise ceiling", what="Changes", theme=theme)


SAMPLES: dict[str, Callable[[Theme], Any]] = {
    f.__name__: f
    for f in (
        layer_curves, deep_layer_curves, difference_curves, layer_region_heatmap, lag_curves, loss_curves, part_bars,
        probe_curves, probe_changes, confusion_map, setting_lines, group_curves, histogram, scatter,
        dense_scatter, similarity_map, deep_similarity_map, deep_probe_changes,
        similarity_curves, rdm, cka_map, moved_curves, mds_plane, hierarchy_picture,
        response_courses, run_curves, score_dots, head_maps,
    )
}  # fmt: skip
