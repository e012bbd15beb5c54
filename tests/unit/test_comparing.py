"""Paired differences: exact sums, planted differences, honest intervals, true sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from braindash.comparing.bootstrap import Estimate, Moments, bootstrap_region_means
from braindash.comparing.differences import peak_layers, region_rows
from braindash.comparing.summary import summarise


def moments_of(stories: list[tuple[np.ndarray, np.ndarray]]) -> Moments:
    """The definition, spelled out: centred sums of products, story by story."""
    yp, yy, pp = [], [], []
    for y, p in stories:
        a, b = y - y.mean(0), p - p.mean(0)
        yp.append((a * b).sum(0))
        yy.append((a * a).sum(0))
        pp.append((b * b).sum(0))
    return Moments(np.array(yp), np.array(yy), np.array(pp))


def simulate(rng: np.random.Generator, gains: dict[str, float], n_stories: int = 4, n: int = 60, v: int = 40) -> Any:
    """Responses and predictions whose expected correlation grows with the gain; story effects included."""
    signal = [rng.standard_normal((n, v)) for _ in range(n_stories)]
    stories_y = [s + rng.standard_normal((n, v)) for s in signal]
    shared = [rng.standard_normal((n, v)) for _ in range(n_stories)]
    out = {}
    for name, gain in gains.items():
        out[name] = moments_of(
            [
                (y, (gain + 0.05 * rng.standard_normal()) * s + e)
                for y, s, e in zip(stories_y, signal, shared, strict=True)
            ]
        )
    return out


def test_correlation_is_pearson_of_story_centred_data() -> None:
    rng = np.random.default_rng(0)
    stories = [(rng.standard_normal((30, 5)), rng.standard_normal((30, 5)) + 3) for _ in range(3)]
    y = np.vstack([a - a.mean(0) for a, _ in stories])
    p = np.vstack([b - b.mean(0) for _, b in stories])
    expected = [np.corrcoef(y[:, i], p[:, i])[0, 1] for i in range(5)]
    np.testing.assert_allclose(moments_of(stories).correlation(), expected, atol=1e-12)


def test_first_sample_is_the_plain_mean_and_resamples_are_exact() -> None:
    rng = np.random.default_rng(1)
    models = simulate(rng, {"a": 1.0})
    mask = np.zeros(40, bool)
    mask[3:17] = True
    got = bootstrap_region_means(models, {"x": mask, "all": np.ones(40, bool)}, None, 50, seed=3)["a"]
    r = models["a"].correlation()
    assert got["x"][0] == pytest.approx(r[mask].mean(), abs=1e-12)
    assert got["all"][0] == pytest.approx(r.mean(), abs=1e-12)
    assert got["x"][1:].std() > 0


def test_many_targets_cross_a_chunk_border_unharmed(monkeypatch: pytest.MonkeyPatch) -> None:
    models = simulate(np.random.default_rng(2), {"a": 1.0})
    masks = {"all": np.ones(40, bool)}
    whole = bootstrap_region_means(models, masks, None, 20, seed=0)["a"]["all"][0]
    monkeypatch.setattr("braindash.comparing.bootstrap.CHUNK", 7)
    assert bootstrap_region_means(models, masks, None, 20, seed=0)["a"]["all"][0] == pytest.approx(whole, abs=1e-12)


def test_the_same_model_twice_differs_by_exactly_nothing() -> None:
    m = simulate(np.random.default_rng(3), {"a": 1.0})["a"]
    s = bootstrap_region_means({"a": m, "b": m}, {"x": np.ones(40, bool)}, None, 30, seed=0)
    assert np.array_equal(s["a"]["x"], s["b"]["x"])
    e = Estimate.of(0.0, s["a"]["x"][1:] - s["b"]["x"][1:], 4)
    assert (e.value, e.low, e.high, e.p) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("of", ["a mean", "a difference"])
def test_intervals_cover_the_truth_about_95_times_in_100(of: str) -> None:
    """600 studies of 5 stories whose scores vary by story, by target and by both: 570 ± 16 intervals should cover."""
    rng = np.random.default_rng(4)
    n, covered, n_stories, v = 600, 0, 5, 12
    for _ in range(n):
        score = (
            0.3
            + 0.04 * rng.standard_normal((n_stories, 1))
            + 0.04 * rng.standard_normal((1, v))
            + 0.08 * rng.standard_normal((n_stories, v))
        )
        other = score + 0.05 * rng.standard_normal((n_stories, v)) + 0.02 * rng.standard_normal((n_stories, 1))
        one = np.ones((n_stories, v))
        models = {"a": Moments(score, one, one), "b": Moments(other, one, one)}  # r of a unit is its score
        s = bootstrap_region_means(models, {"x": np.ones(v, bool)}, None, 200, seed=int(rng.integers(1 << 30)))
        samples, truth = (s["a"]["x"], 0.3) if of == "a mean" else (s["b"]["x"] - s["a"]["x"], 0.0)
        e = Estimate.of(float(samples[0]), samples[1:], n_stories)
        covered += e.low <= truth <= e.high
    assert 0.925 <= covered / n <= 0.98, covered / n


def dataset(models: dict[str, Moments], ceiling: np.ndarray, subject: str, columns: slice) -> xr.Dataset:
    names = list(models)

    def stack(field: str) -> np.ndarray:
        return np.array([[getattr(models[m], field)[:, columns]] for m in names])

    return xr.Dataset(
        {
            "r": (("model", "layer", "target"), np.array([[models[m].correlation()[columns]] for m in names])),
            "yp": (("model", "layer", "unit", "target"), stack("yp")),
            "pp": (("model", "layer", "unit", "target"), stack("pp")),
            "yy": (("unit", "target"), models[names[0]].yy[:, columns]),
            "noise_ceiling": ("target", ceiling[columns]),
        },
        coords={
            "model": names,
            "layer": [4],
            "unit_story": ("unit", [f"s{i}" for i in range(len(models[names[0]].yy))]),
        },
        attrs={"subject": subject},
    )


def test_rows_find_a_planted_gain_and_count_what_they_leave_out() -> None:
    models = simulate(np.random.default_rng(5), {"pretrained": 0.6, "brain_tuned": 1.2, "block_permuted": 0.6})
    ceiling = np.full(40, 0.7)
    ceiling[:3] = 0.05
    ceiling[3] = np.nan
    data = [dataset(models, ceiling, "a", slice(0, 20)), dataset(models, ceiling, "b", slice(20, 40))]
    masks = [{"cortex": np.ones(20, bool)}] * 2
    enc, diff, versus = region_rows(data, masks, threshold=0.1, n_boot=300, seed=0)
    assert {r["subject"] for r in enc} == {"a", "b", "all"}
    first = next(r for r in enc if r["subject"] == "a" and r["model"] == "pretrained")
    assert (first["n_targets"], first["n_excluded"]) == (20, 4)
    r = models["pretrained"].correlation()
    assert first["r"] == pytest.approx(r[:20].mean(), abs=1e-9)
    assert first["r_norm"] == pytest.approx((r[4:20] / 0.7).mean(), abs=1e-9)
    tuned = next(d for d in diff if d["subject"] == "all" and d["model"] == "brain_tuned")
    control = next(d for d in diff if d["subject"] == "all" and d["model"] == "block_permuted")
    assert tuned["r_norm_ci_low"] > 0
    assert tuned["q"] < 0.05
    assert all(v > 0 for v in tuned["by_story"].values())
    assert control["r_norm_ci_low"] < 0 < control["r_norm_ci_high"]
    against = next(v for v in versus if v["subject"] == "all")
    assert (against["model"], against["against"]) == ("brain_tuned", "block_permuted")
    assert against["delta_r_norm"] == pytest.approx(tuned["delta_r_norm"] - control["delta_r_norm"], abs=1e-9)
    assert against["r_norm_ci_low"] > 0


def test_no_ceiling_leaves_plain_r() -> None:
    models = simulate(np.random.default_rng(6), {"pretrained": 0.6, "brain_tuned": 1.2})
    data = [dataset(models, np.full(40, np.nan), "a", slice(None))]
    enc, diff, versus = region_rows(data, [{"cortex": np.ones(40, bool)}], threshold=0.1, n_boot=200, seed=0)
    assert versus == []
    assert np.isnan(enc[0]["r_norm"])
    assert enc[0]["n_excluded"] == 40
    assert diff[0]["ci_low"] > 0
    assert "in r" in summarise(enc, diff, tuned="brain_tuned")["answer"][0]


def _row(model: str, change: float, half: float) -> dict[str, Any]:
    return {
        "model": model, "subject": "all", "roi": "late_language", "layer": 4, "n_targets": 100, "n_excluded": 7,
        "delta_r": change / 2, "ci_low": (change - half) / 2, "ci_high": (change + half) / 2,
        "delta_r_norm": change, "r_norm_ci_low": change - half, "r_norm_ci_high": change + half,
        "by_story": {"x": change, "y": change}, "p": 0.01, "q": 0.01,
    }  # fmt: skip


def _score(model: str, roi: str, layer: int, value: float) -> dict[str, Any]:
    return {"model": model, "subject": "all", "roi": roi, "layer": layer, "r": value / 2, "r_norm": value}


@pytest.mark.parametrize(("change", "verdict"), [(0.03, "rose"), (-0.03, "fell"), (0.001, "no change shown")])
def test_sentences_say_what_the_rows_say(change: float, verdict: str) -> None:
    scores = [
        _score(m, roi, k, v)
        for m in ("pretrained", "brain_tuned")
        for roi, values in {"late_language": (0.5, 0.77), "primary_auditory": (0.7, 0.6)}.items()
        for k, v in zip((0, 4), values, strict=True)
    ]
    said = summarise(
        scores, [_row("brain_tuned", change, 0.01), _row("block_permuted", 0.001, 0.005)], tuned="brain_tuned"
    )
    assert said["verdict"] == verdict
    assert f"{change:+.3f}" in said["answer"][0]
    assert "93 targets" in said["answer"][0]
    assert "block-permuted" in said["answer"][1]
    assert "layer 0 before and after" in said["answer"][1]


def test_peak_layers() -> None:
    rows = [_score("pretrained", "primary_auditory", k, v) for k, v in ((0, 0.7), (1, 0.5), (2, np.nan))]
    assert peak_layers(rows)[0]["layer"] == 0
