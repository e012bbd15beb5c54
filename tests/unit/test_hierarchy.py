"""Where along the depth something lies: planted peaks, centres, slopes and orders are recovered, with honest errors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from braindash.comparing.bootstrap import Moments
from braindash.comparing.differences import region_rows
from braindash.comparing.hierarchy import (
    centre_of_mass,
    depth_row,
    mean_change,
    order_change,
    order_of,
    slope,
)
from braindash.comparing.profiles import Profile, mean_profile
from braindash.comparing.region_samples import (
    KEPT,
    RegionSamples,
    parcel_level,
    profiles_of,
    regions_kept,
    samples_from_stories,
)

LAYERS = np.arange(7)
PEAKED = np.array([0.1, 0.2, 0.35, 0.5, 0.45, 0.3, 0.2])


def profile(true: np.ndarray, n_units: int, noise: float, rng: np.random.Generator, weights: np.ndarray) -> Profile:
    """Score ``n_units`` groups: what all layers share of a group's luck, and noise of each layer."""
    units = true[:, None] + 0.05 * rng.standard_normal(n_units) + noise * rng.standard_normal((len(true), n_units))
    return Profile(np.arange(len(true)), units.mean(1), units @ weights.T, n_units)


def weights(n_units: int, rng: np.random.Generator, n: int = 200) -> np.ndarray:
    return np.asarray(rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n) / n_units)


def known(value: np.ndarray) -> Profile:
    return Profile(np.arange(len(value)), value, np.empty((len(value), 0)), 0)


def bump(centre: float) -> np.ndarray:
    return np.asarray(0.1 + 0.4 * np.exp(-0.5 * ((LAYERS - centre) / 1.5) ** 2))


# --- single profiles -----------------------------------------------------------------------------


def test_the_centre_is_weighted_by_what_lies_above_the_lowest_layer() -> None:
    scores = np.array([[0.2], [0.5], [0.3]])  # weights 0, .3, .1
    assert centre_of_mass(scores, np.array([0, 4, 8]))[0] == pytest.approx((0.3 * 4 + 0.1 * 8) / 0.4)
    # what every layer has alike does not pull it to the middle
    assert centre_of_mass(scores + 7, np.array([0, 4, 8]))[0] == pytest.approx(5.0)
    # a layer far below chance knows nothing, not less than nothing
    below = np.array([[-30.0], [0.0], [0.2]])
    assert centre_of_mass(below, np.arange(3), floor=0.0)[0] == pytest.approx(2.0)
    assert np.isnan(centre_of_mass(np.full((3, 1), 0.4), np.arange(3))[0])
    assert np.isnan(centre_of_mass(-scores, np.arange(3))[0])


def test_the_slope_is_that_of_least_squares_over_relative_depth() -> None:
    rng = np.random.default_rng(0)
    value = rng.standard_normal(9)
    value[4] = np.nan  # a layer that was not scored
    some = Profile(np.arange(3, 12), value, np.empty((9, 0)), 0)
    depth = np.arange(9) / 8
    assert slope(some).value == pytest.approx(np.polyfit(np.delete(depth, 4), np.delete(value, 4), 1)[0])
    assert np.isnan(slope(some).low)


@pytest.mark.parametrize(("n_units", "noise"), [(4, 0.05), (20, 0.15)])
def test_intervals_hold_the_truth_as_often_as_they_say(n_units: int, noise: float) -> None:
    rng = np.random.default_rng(n_units)
    centre = float(centre_of_mass(PEAKED[:, None], LAYERS)[0])
    steep = float(np.polyfit(LAYERS / 6, PEAKED, 1)[0])
    held = []
    for _ in range(300):
        one = profile(PEAKED, n_units, noise, rng, weights(n_units, rng))
        row, sloped = depth_row(one), slope(one)
        assert not row["flat"]
        held.append(
            (
                row["centre_low"] <= centre <= row["centre_high"],
                sloped.low <= steep <= sloped.high,
                row["peak_low"] <= 3 <= row["peak_high"],
            )
        )
    covered = np.mean(held, axis=0)
    assert 0.91 <= covered[0] <= 0.99
    assert 0.91 <= covered[1] <= 0.99
    assert covered[2] >= 0.95  # of layers, which are whole numbers: at least so often


def test_a_flat_profile_has_neither_peak_nor_centre() -> None:
    rng = np.random.default_rng(1)
    flat = [depth_row(profile(np.full(7, 0.3), 12, 0.1, rng, weights(12, rng))) for _ in range(200)]
    assert np.mean([r["flat"] for r in flat]) >= 0.93
    row = next(r for r in flat if r["flat"])
    assert np.isnan([row[k] for k in ("peak_layer", "peak_low", "centre", "centre_low")]).all()
    assert "flat" in row["note"]
    # all layers below chance, however different, are flat: none of them knows anything
    assert depth_row(profile(PEAKED - 3, 12, 0.02, rng, weights(12, rng)))["flat"]


def test_without_resamples_there_is_a_peak_and_no_interval() -> None:
    row = depth_row(known(PEAKED))
    assert row["peak_layer"] == 3
    assert np.isnan(row["peak_low"])
    assert row["centre"] == pytest.approx(centre_of_mass(PEAKED[:, None], LAYERS)[0])
    assert "no interval" in row["note"]
    rng = np.random.default_rng(0)
    two = profile(PEAKED, 2, 0.01, rng, weights(2, rng))  # two stories say nothing of their spread
    assert np.isnan(depth_row(two)["centre_low"])
    assert np.isnan(slope(two).low)


def test_changes_are_paired() -> None:
    rng = np.random.default_rng(2)
    shared = weights(6, rng)
    luck = 0.5 * rng.standard_normal(6)
    before = PEAKED[:, None] + luck + 0.001 * rng.standard_normal((7, 6))
    after = before + 0.01 + 0.001 * rng.standard_normal((7, 6))
    a, b = (Profile(LAYERS, u.mean(1), u @ shared.T, 6) for u in (before, after))
    found = mean_change(b.minus(a))
    assert found.low > 0  # although each by itself is uncertain by half a unit
    assert a.estimate(lambda s: s.mean(0)).low < 0
    assert found.value == pytest.approx(float((after - before).mean()))


# --- the order of levels -------------------------------------------------------------------------

LEVELS_OF = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3]
CENTRES = np.array([1, 1.5, 2.5, 3.5, 1.2, 2.8, 3.6, 1.7, 2.2, 3.1, 4.0, 3.0])


def test_the_order_is_spearmans_correlation_of_level_and_centre() -> None:
    found = order_of([known(bump(c)) for c in CENTRES], LEVELS_OF)
    centres = [float(centre_of_mass(bump(c)[:, None], LAYERS)[0]) for c in CENTRES]
    assert found.rho == pytest.approx(stats.spearmanr(LEVELS_OF, centres).statistic)
    assert found.step == pytest.approx(np.polyfit(LEVELS_OF, centres, 1)[0])
    assert np.isnan(found.row()["ci_low"])
    perfect = order_of([known(bump(c)) for c in (1, 1, 2, 3, 4)], [0, 0, 1, 2, 3])
    assert perfect.rho == pytest.approx(1.0)


def test_too_few_tasks_or_levels_have_no_order() -> None:
    three = order_of([known(bump(c)) for c in (1, 2, 3)], [0, 1, 2])
    assert np.isnan(three.rho)
    assert "needs 4" in three.note
    assert np.isnan(order_of([known(bump(c)) for c in (1, 2, 3, 4, 5)], [0, 0, 1, 1, 1]).rho)


def changes(shift: float, n: int, seed: int) -> list[dict[str, float]]:
    """Compare a model with one whose levels lie further apart by ``shift`` layers a level."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        before, after = [], []
        for centre, level in zip(CENTRES, LEVELS_OF, strict=True):
            shared = weights(20, rng)
            before.append(profile(bump(centre), 20, 0.15, rng, shared))
            after.append(profile(bump(centre + shift * (level - 1)), 20, 0.15, rng, shared))
        out.append(order_change(order_of(before, LEVELS_OF), order_of(after, LEVELS_OF)))
    return out


def test_a_raised_order_is_found_and_an_unchanged_one_is_not() -> None:
    raised = changes(0.5, 40, seed=3)
    assert np.mean([c["p"] < 0.05 for c in raised]) > 0.9
    assert np.mean([c["step_p"] < 0.05 for c in raised]) > 0.9
    assert np.mean([c["delta"] for c in raised]) == pytest.approx(0.32, abs=0.08)  # 0.32 to 0.65 without noise
    assert np.mean([c["ci_low"] < 0.324 < c["ci_high"] for c in raised]) > 0.85
    same = changes(0.0, 200, seed=4)
    # ranks take few values, so that their test is on the safe side; that of the step is near 5 %
    assert np.mean([c["p"] < 0.05 for c in same]) <= 0.07
    assert 0.01 <= np.mean([c["step_p"] < 0.05 for c in same]) <= 0.095
    assert np.mean([c["step_ci_low"] <= 0 <= c["step_ci_high"] for c in same]) >= 0.9


# --- regions -------------------------------------------------------------------------------------


def simulated(gain: np.ndarray, n_stories: int, n_targets: int, rng: np.random.Generator) -> dict[str, xr.Dataset]:
    """Make one subject: responses that follow a signal, predictions that follow it better at some layers."""
    n_trs, models = 60, ("pretrained", "brain_tuned")
    signal = rng.standard_normal((n_stories, n_trs, n_targets))
    y = signal + rng.standard_normal(signal.shape)
    sums = {k: np.empty((len(models), len(gain), n_stories, n_targets)) for k in ("yp", "pp")}
    yy = np.empty((n_stories, n_targets))
    noise = rng.standard_normal(signal.shape)
    for i, model in enumerate(models):
        for k, g in enumerate(gain):
            more = 0.6 * (k == len(gain) - 1) if model == "brain_tuned" else 0.0
            p = (g + more) * signal + noise
            for s in range(n_stories):
                a, b = y[s] - y[s].mean(0), p[s] - p[s].mean(0)
                sums["yp"][i, k, s], sums["pp"][i, k, s], yy[s] = (a * b).sum(0), (b**2).sum(0), (a**2).sum(0)
    moments = [[Moments(sums["yp"][i, k], yy, sums["pp"][i, k]) for k in range(len(gain))] for i in range(2)]
    coords = {
        "model": list(models), "layer": list(range(len(gain))), "story": [f"s{i}" for i in range(n_stories)],
        "unit_story": ("unit", [f"s{i}" for i in range(n_stories)]),
        "roi": ("target", np.where(np.arange(n_targets) < n_targets // 2, "A1", "A5")),
        "hemi": ("target", np.full(n_targets, "L")), "subject": ("target", np.full(n_targets, "one")),
    }  # fmt: skip
    dims = ("model", "layer", "unit", "target")
    data = xr.Dataset(
        {
            "r": (("model", "layer", "target"), np.array([[m.correlation() for m in row] for row in moments])),
            "r_story": (
                ("model", "layer", "story", "target"),
                np.array([[m.unit_correlation() for m in row] for row in moments]),
            ),
            "yp": (dims, sums["yp"]), "pp": (dims, sums["pp"]), "yy": (("unit", "target"), yy),
            "noise_ceiling": ("target", np.full(n_targets, 0.7)),
        },
        coords=coords,
        attrs={"subject": "one"},
    )  # fmt: skip
    return {"one": data}


GAIN = np.array([0.2, 0.5, 0.8, 0.6, 0.4])
MASKS = {"primary_auditory": np.arange(12) < 6, "late_language": np.arange(12) >= 6, "A5": np.arange(12) >= 6,
         "V1": np.arange(12) < 2, "cortex": np.ones(12, bool)}  # fmt: skip


def test_the_resamples_of_regions_are_kept_beside_their_rows() -> None:
    data = simulated(GAIN, 6, 12, np.random.default_rng(0))["one"]
    second = data.copy().assign_attrs(subject="two")
    kept = RegionSamples(MASKS)
    rows, differences, _ = region_rows(
        [data, second], [MASKS, MASKS], threshold=0.1, n_boot=KEPT + 50, seed=0, keep=kept
    )
    stored = kept.dataset()
    assert stored.attrs["measure"] == "r_norm"
    assert stored.sizes["sample"] == 1 + 3 * KEPT
    assert "V1" not in stored["roi"].values  # no part of the order of regions
    profiles = profiles_of(stored, pool=["one", "two"])
    for row in rows:
        if row["roi"] != "V1":
            mine = profiles[row["subject"], row["model"], row["roi"]]
            assert mine.value[row["layer"]] == pytest.approx(row["r_norm"], abs=1e-6)
    for row in differences:  # an interval from what is kept is that of the evaluation, but for fewer resamples
        if row["roi"] == "late_language" and row["layer"] == 4:
            key = (row["subject"], "brain_tuned", row["roi"])
            mine = profiles[key].minus(profiles[row["subject"], "pretrained", row["roi"]]).at([4])
            found = mean_change(mine)
            assert found.value == pytest.approx(row["delta_r_norm"], abs=1e-6)
            assert found.high - found.low == pytest.approx(row["r_norm_ci_high"] - row["r_norm_ci_low"], rel=0.25)
    assert ("all", "pretrained", "cortex") not in profiles_of(stored)


def test_a_pool_leaves_subjects_out_of_the_mean() -> None:
    rng = np.random.default_rng(1)
    made = [simulated(GAIN * g, 5, 12, rng)["one"].assign_attrs(subject=s) for s, g in (("a", 1), ("b", 1), ("c", 0))]
    options = {"threshold": 0.1, "n_boot": 100, "seed": 0}
    everyone, _, _ = region_rows(made, [MASKS] * 3, **options)  # type: ignore[arg-type]
    pooled, differences, _ = region_rows(made, [MASKS] * 3, pool=("a", "b"), **options)  # type: ignore[arg-type]

    def mean(rows: list[dict[str, float]], *subjects: str) -> float:
        return float(np.mean([r["r"] for r in rows if r["subject"] in subjects and r["roi"] == "cortex"]))

    assert mean(pooled, "all") == pytest.approx(mean(pooled, "a", "b"))
    assert mean(everyone, "all") == pytest.approx(mean(everyone, "a", "b", "c"))
    assert mean(pooled, "c") == mean(everyone, "c")
    alone, _, _ = region_rows(made, [MASKS] * 3, pool=("a",), **options)  # type: ignore[arg-type]
    assert "all" not in {r["subject"] for r in alone}
    assert {r["subject"] for r in differences} == {"a", "b", "c", "all"}


def test_depths_of_regions_hold_the_truth() -> None:
    """Stories and targets both vary: the interval of the centre over both holds the centre of a large sample."""
    rng = np.random.default_rng(5)

    def centre(n_stories: int, n_targets: int) -> dict[str, float]:
        data = simulated(GAIN, n_stories, n_targets, rng)["one"]
        kept = RegionSamples(["cortex"])
        region_rows([data], [{"cortex": np.ones(n_targets, bool)}], threshold=0.1, n_boot=100, seed=0, keep=kept)
        return depth_row(profiles_of(kept.dataset())["one", "pretrained", "cortex"])

    truth = centre(60, 60)["centre"]
    rows = [centre(5, 10) for _ in range(60)]
    assert np.mean([r["centre_low"] <= truth <= r["centre_high"] for r in rows]) >= 0.88
    assert np.mean([r["centre_high"] - r["centre_low"] for r in rows]) < 1.0  # and says something
    assert np.mean([r["peak_low"] <= 2 <= r["peak_high"] for r in rows]) >= 0.95


def test_errors_of_a_profile_are_as_wide_as_its_intervals() -> None:
    """Quantiles need draws as wide as the intervals that the evaluation gives, few stories or not."""
    for n_stories in (4, 12):
        data = simulated(GAIN, n_stories, 12, np.random.default_rng(2))["one"]
        kept = RegionSamples(MASKS)
        rows, _, _ = region_rows([data], [MASKS], threshold=0.1, n_boot=KEPT, seed=0, keep=kept)
        for region in ("primary_auditory", "cortex"):
            one = profiles_of(kept.dataset())["one", "pretrained", region]
            width = [r["r_norm_ci_high"] - r["r_norm_ci_low"] for r in rows
                     if r["roi"] == region and r["model"] == "pretrained"]  # fmt: skip
            ratio = 2 * 1.96 * one.deviations().std(axis=1) / np.array(width)
            assert (ratio > 0.9).all()
            assert (ratio < 1.7).all()  # never much wider either


def test_results_without_resamples_serve_by_single_stories() -> None:
    data = simulated(GAIN, 6, 12, np.random.default_rng(0))["one"]
    stored = samples_from_stories(data, {"one": MASKS}, 0.1, 0)
    found = profiles_of(stored)["one", "pretrained", "late_language"]
    wanted = data["r_story"].sel(model="pretrained").values[..., 6:].mean((1, 2)) / 0.7
    np.testing.assert_allclose(found.value, wanted, atol=1e-6)
    assert depth_row(found)["peak_layer"] == 2
    assert found.n_units == 6


def test_regions_that_make_an_order_are_told_by_their_parcels() -> None:
    assert [parcel_level(r) for r in ("A1", "L_A1_ROI", "lh.PBelt", "A5", "V1", "late_language")] == [
        0,
        0,
        1,
        2,
        None,
        None,
    ]
    assert regions_kept(["cortex", "late_language", "V1", "A4"]) == ["cortex", "late_language", "A4"]
    assert regions_kept(["cortex", "left", "loud", "quiet"]) == ["cortex", "left", "loud", "quiet"]  # a study's own
    assert regions_kept(["cortex", *(f"own{i}" for i in range(30))]) == ["cortex"]


def test_the_mean_over_subjects_is_that_of_scores_and_resamples() -> None:
    rng = np.random.default_rng(0)
    shared = weights(5, rng)
    both = [profile(PEAKED, 5, 0.1, rng, shared) for _ in range(2)]
    found = mean_profile(both)
    np.testing.assert_allclose(found.value, (both[0].value + both[1].value) / 2)
    np.testing.assert_allclose(found.draws, (both[0].draws + both[1].draws) / 2)
