from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from braindash.errors import BraindashError
from braindash.figures import (
    MODEL_STYLE,
    THEMES,
    alt_text,
    difference_curves,
    figure_bytes,
    histogram,
    layer_curves,
    layer_region_heatmap,
    loss_curves,
    model_style,
    scatter,
    static_layer_curves,
)
from braindash.figures.style import legend_height, model_order, region_title
from braindash.figures.training import running_mean

MODELS = ("block-permuted", "brain_tuned", "pretrained")  # not the order in which they are shown
REGIONS = {"primary_auditory": 312, "late_language": 6312, "ag": 2100, "ifg": 1711}


def curves() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for m, model in enumerate(MODELS):
        for r, (roi, n) in enumerate(REGIONS.items()):
            for layer in range(5):
                value = 0.5 + 0.01 * m * layer + 0.02 * r
                rows.append(
                    {
                        "model": model,
                        "layer": layer,
                        "roi": roi,
                        "value": value,
                        "low": value - 0.01,
                        "high": value + 0.02,
                    }
                    | {"n": n}
                )
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def lines(figure: Any) -> list[Any]:
    return [t for t in figure.data if t.mode == "lines+markers"]


def test_importing_figures_loads_no_plotting_library() -> None:
    code = "import sys, braindash.figures.style; print([m for m in ('matplotlib', 'plotly') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_layer_curves_show_the_numbers_given() -> None:
    records = curves()
    figure = layer_curves(records, regions=["late_language", "ag", "no_such_region"])
    found = lines(figure)
    assert len(found) == 2 * len(MODELS)
    expected = records[(records.model == "brain_tuned") & (records.roi == "ag")].sort_values("layer")
    line = next(t for t in found if t.name == "Brain-tuned" and t.xaxis == "x2")
    np.testing.assert_array_equal(np.round(line.x), expected.layer)
    np.testing.assert_allclose(line.y, expected.value)
    np.testing.assert_allclose(np.asarray(line.customdata, float)[:, :2], expected[["low", "high"]])
    np.testing.assert_allclose(line.y + line.error_y.array, expected.high)
    np.testing.assert_allclose(line.y - line.error_y.arrayminus, expected.low)
    beside = {t.x[0] for t in found if t.xaxis == "x2"}
    assert len(beside) == len(MODELS), "whiskers of two models lie on each other"
    titles = " ".join(a.text for a in figure.layout.annotations)
    for part in (
        "Late",
        "Angular gyrus",
        "n = 6,312",
        "n = 2,100",
        "Layer (0 = front end output)",
        "r / noise ceiling",
    ):
        assert part in titles


def test_many_layers_have_bands_instead_of_whiskers() -> None:
    few = curves()
    many = pd.concat([few.assign(layer=few.layer + shift) for shift in (0, 5)], ignore_index=True)
    figure = layer_curves(many)
    expected = many[(many.model == "brain_tuned") & (many.roi == "ag")].sort_values("layer")
    band = [t for t in figure.data if t.fill == "toself" and t.legendgroup == "brain_tuned"]
    assert len(band) == len(REGIONS)
    assert any(np.allclose(b.y, np.concatenate([expected.high, expected.low[::-1]])) for b in band)
    assert not lines(figure)[0].error_y.visible
    np.testing.assert_array_equal(lines(figure)[0].x, range(10))


def test_each_model_is_in_the_legend_once_and_in_order() -> None:
    named = [t for t in layer_curves(curves()).data if t.showlegend]
    assert [t.name for t in sorted(named, key=lambda t: t.legendrank)] == [
        "Pretrained",
        "Brain-tuned",
        "Block-permuted",
    ]
    assert next(t for t in named if t.name.startswith("Block")).line.dash == "dash"


def test_all_panels_share_a_range_that_holds_intervals_and_ceiling() -> None:
    records = curves()
    figure = layer_curves(records, ceiling={"ag": 0.9})
    ranges = {tuple(figure.layout[k].range) for k in figure.layout if str(k).startswith("yaxis")}
    ((low, high),) = ranges
    assert low < records.low.min()
    assert high > 0.9
    assert sum(a.text == "ceiling" for a in figure.layout.annotations) == 1
    assert round(max(lines(figure)[0].x)) == 4
    unknown = curves().assign(low=np.nan, high=np.nan)
    assert not [t for t in layer_curves(unknown).data if t.fill == "toself"], "no interval, no band"


def test_differences_are_filled_where_the_interval_excludes_zero() -> None:
    records = pd.DataFrame(
        {
            "model": "brain_tuned",
            "layer": [2, 0, 1],
            "roi": "ag",
            "value": [0.03, 0.0, -0.02],
            "low": [0.01, -0.01, -0.03],
            "high": [0.05, 0.01, -0.01],
            "n": 10,
        }
    )
    (line,) = lines(difference_curves(records))
    assert list(line.marker.symbol) == ["square-open", "square", "square"]
    assert "excludes zero at 2 of 3 points" in difference_curves(records).layout.meta["alt"]


@pytest.mark.parametrize("theme", THEMES)
def test_no_text_is_smaller_than_12_and_every_figure_says_what_it_shows(theme: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    steps = [{"kind": "step", "step": i, "epoch": 1, "loss": 1 / i} for i in range(1, 20)]
    figures = [
        layer_curves(curves(), theme=theme),
        difference_curves(curves(), theme=theme),
        layer_region_heatmap(rng.normal(size=(5, 4)), range(5), list(REGIONS), diverging=True, theme=theme),
        loss_curves(steps, theme=theme),
        histogram({"pretrained": a, "brain_tuned": b}, theme=theme),
        scatter(a, b, theme=theme),
    ]
    for figure in figures:
        text = figure.to_json()
        sizes = [int(part.split("}")[0].split(",")[0]) for part in text.split('"font":{"size":')[1:]]
        assert sizes
        assert min(sizes) >= 12
        assert len(figure.layout.meta["alt"]) > 40
        assert 200 < figure.layout.height < 900
        assert figure.layout.font.color == THEMES[theme].text


def test_a_table_without_a_column_or_rows_is_refused() -> None:
    with pytest.raises(BraindashError, match="needs the columns low, n; the table has model, layer, roi, value, high"):
        layer_curves(curves().drop(columns=["low", "n"]))
    with pytest.raises(BraindashError, match="without rows"):
        difference_curves(curves().iloc[:0])
    with pytest.raises(BraindashError, match="no figure theme 'drak'"):
        layer_curves(curves(), theme="drak")  # type: ignore[arg-type]


def test_heatmap_shows_regions_in_rows_and_is_centred_for_differences() -> None:
    matrix = np.array([[0.5, 0.6], [0.7, np.nan], [0.1, 0.2]])
    figure = layer_region_heatmap(matrix, [0, 1, 2], ["ag", "late_language"])
    heat = figure.data[0]
    np.testing.assert_array_equal(heat.z, matrix.T)
    assert list(heat.y) == ["Angular gyrus", "Late language"]
    assert {a.text for a in figure.layout.annotations} == {".50", ".60", ".70", ".10", ".20"}
    change = layer_region_heatmap(matrix - 0.62, [0, 1, 2], ["ag", "ifg"], diverging=True)
    assert change.data[0].zmin == -change.data[0].zmax
    assert change.data[0].zmax >= 0.52
    assert "−.52" in {a.text for a in change.layout.annotations}
    same = layer_region_heatmap(matrix, [0, 1, 2], ["ag", "ifg"], vmin=0, vmax=0.9)
    assert (same.data[0].zmin, same.data[0].zmax) == (0, 0.9)
    many = layer_region_heatmap(np.zeros((13, 2)), range(13), ["ag", "ifg"], vmin=0, vmax=1)
    assert not many.layout.annotations
    with pytest.raises(BraindashError, match=r"shape \(3, 2\); there are 2 layers"):
        layer_region_heatmap(matrix, [0, 1], ["ag", "ifg"])


def test_loss_curves_mark_what_was_kept_and_take_the_later_of_repeated_steps() -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "log", "text": "hello"},
        {"kind": "epoch", "epoch": 0, "validation_r": 0.10, "best": False},
        {"kind": "step", "step": 1, "epoch": 1, "loss": 9.0},
        {"kind": "step", "step": 2, "epoch": 1, "loss": 8.0},
        {"kind": "step", "step": 2, "epoch": 1, "loss": 2.0},
        {"kind": "epoch", "epoch": 1, "validation_r": 0.14, "best": True},
        {"kind": "epoch", "epoch": 2, "validation_r": 0.12, "best": False},
    ]
    loss, validation = loss_curves(rows).data
    assert list(loss.x) == [1, 2]
    assert list(loss.y) == [9.0, 2.0]
    assert list(validation.y) == [0.10, 0.14, 0.12]
    assert list(validation.marker.symbol) == ["circle", "star", "circle"]
    texts = [a.text for a in loss_curves(rows).layout.annotations]
    assert texts == ["before tuning", "kept"]
    assert "best 0.140 at epoch 1, 0.100 before tuning" in loss_curves(rows).layout.meta["alt"]
    assert len(loss_curves(rows[:2]).data) == 2
    both = loss_curves([{**r, "head_validation_r": 0.2 + r["epoch"]} if r["kind"] == "epoch" else r for r in rows])
    fresh, own = both.data[1:]
    assert list(own.y) == [0.2, 1.2, 2.2]
    assert list(fresh.y) == [0.10, 0.14, 0.12]
    assert (fresh.showlegend, own.showlegend) == (True, None)
    assert (fresh.name, own.name) == ("Validation r of a fresh ridge", "Validation r of the head in training")
    low, high = both.layout.yaxis2.range
    assert low < 0.10
    assert high > 2.2
    assert "by the head in training 2.200 at the last epoch" in both.layout.meta["alt"]
    # where the head itself chooses there is one curve and no legend
    same = loss_curves([{**r, "head_validation_r": r.get("validation_r")} for r in rows])
    assert len(same.data) == 2
    assert not same.data[1].showlegend
    with pytest.raises(BraindashError, match="no steps or epochs yet"):
        loss_curves(rows[:1])


def test_running_mean_is_a_plain_mean_of_neighbours() -> None:
    values = np.random.default_rng(0).normal(size=30)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(30)]
    np.testing.assert_allclose(running_mean(values, 5), expected)


def test_histogram_counts_every_finite_target() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=1000), rng.normal(1, size=1000)
    a[:100] = np.nan
    figure = histogram({"pretrained": a, "brain_tuned": b}, bins=30)
    totals = {t.name: int(np.sum(t.y)) for t in figure.data}
    assert totals == {"Pretrained (n = 900)": 900, "Brain-tuned (n = 1,000)": 1000}
    assert np.array_equal(figure.data[0].x, figure.data[1].x), "shared bins"
    with pytest.raises(BraindashError, match="'Pretrained' has a finite value"):
        histogram({"pretrained": a * np.nan})


@pytest.mark.parametrize("n", [500, 30_000])
def test_scatter_shows_all_targets_and_the_diagonal(n: int) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=n)
    b = a + rng.normal(0.3, 0.5, size=n)
    b[:50] = np.nan
    figure = scatter(a, b)
    trace = figure.data[0]
    shown = len(trace.x) if trace.type == "scattergl" else int(np.sum(trace.customdata))
    assert shown == n - 50
    line = figure.layout.shapes[0]
    assert (line.x0, line.x1) == (line.y0, line.y1)
    assert tuple(figure.layout.xaxis.range) == tuple(figure.layout.yaxis.range) == (line.x0, line.x1)
    above = np.mean(b[50:] > a[50:])
    assert f"{above:.0%} above the diagonal" in figure.layout.annotations[0].text
    with pytest.raises(BraindashError, match="shapes"):
        scatter(a, b[:-1])


def test_static_curves_hold_the_same_numbers_and_save_as_vectors() -> None:
    records = curves()
    figure = static_layer_curves(records, ceiling=0.9, title="A title", note="Run 7")
    axes = [a for a in figure.axes if a.get_visible()]
    assert [a.get_title() for a in axes][:2] == [
        f"{region_title(r)}  (n = {REGIONS[r]:,})" for r in records.roi.unique()[:2]
    ]
    first = records[(records.roi == records.roi.iloc[0]) & (records.model == "pretrained")].sort_values("layer")
    drawn = [line.get_ydata() for line in axes[0].get_lines()]
    assert any(len(y) == 5 and np.allclose(np.asarray(y, float), first.value) for y in drawn)
    svg = figure_bytes(figure, "svg")
    assert b"<text" in svg
    assert b"Brain-tuned" in svg
    assert b"Run 7" in svg
    assert figure_bytes(figure, "png", dpi=50).startswith(b"\x89PNG")
    with pytest.raises(BraindashError, match="png or svg, not 'gif'"):
        figure_bytes(figure, "gif")  # type: ignore[arg-type]


def test_names_of_models_and_regions_are_readable() -> None:
    assert model_style("block-permuted") is MODEL_STYLE["block_permuted"]
    assert model_style("my_control").title == "My control"
    assert model_style("my_control") == model_style("my_control")
    assert model_order(["my_control", "brain_tuned", "block-permuted", "pretrained", "brain_tuned"]) == [
        "pretrained",
        "brain_tuned",
        "block-permuted",
        "my_control",
    ]
    assert [region_title(r) for r in ("late_language", "ag", "cortex", "A1", "55b", "STSda")] == [
        "Late language",
        "Angular gyrus",
        "Whole cortex",
        "A1",
        "55b",
        "STSda",
    ]
    assert legend_height(["a", "b"]) < legend_height(["a" * 30, "b" * 30])


def test_model_colours_stand_out_from_the_page_and_from_each_other() -> None:
    def luminance(colour: str) -> float:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))

    for style in MODEL_STYLE.values():
        for theme in ("light", "dark"):
            page, line = luminance(THEMES[theme].page), luminance(style.color(theme))
            # WCAG 2.1, 1.4.11: 3 to 1 for lines and marks
            assert (max(page, line) + 0.05) / (min(page, line) + 0.05) >= 3
    assert len({s.light for s in MODEL_STYLE.values()}) == len(MODEL_STYLE)
    assert len({s.symbol for s in MODEL_STYLE.values()}) == len(MODEL_STYLE)


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_eight_models_stay_apart_for_every_kind_of_colour_vision(theme: str, sight: str) -> None:
    color = pytest.importorskip("skimage.color")
    assert len(MODEL_STYLE) == 8
    rgb = np.array([[int(s.color(theme)[i : i + 2], 16) for i in (1, 3, 5)] for s in MODEL_STYLE.values()]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.array(SIGHT[sight]).T
    linear = linear.clip(0, 1)
    seen = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    lab = color.rgb2lab(seen[None])[0]
    apart = color.deltaE_ciede2000(lab[:, None], lab[None])
    assert apart[~np.eye(8, dtype=bool)].min() > 10  # 1 is just visible side by side; 10, at a glance
    looks = {(s.dash, s.symbol) for s in MODEL_STYLE.values()}
    assert len(looks) == 8  # and in grey


def test_the_models_are_ordered_and_named_in_one_place() -> None:
    from braindash.config import CONTROL_NAMES
    from braindash.wording import CONTROL_MODELS, MODELS, in_order

    shuffled = ["head_only", "zzz", "random_model", "brain_tuned", "block_permuted", "pretrained", "stimulus_only"]
    shuffled += ["story_permuted", "random_responses"]
    expected = ["pretrained", "brain_tuned", *CONTROL_MODELS, "zzz"]
    assert model_order(shuffled) == in_order(shuffled) == expected
    assert [c.replace("-", "_") for c in CONTROL_NAMES] == list(CONTROL_MODELS) == list(MODELS)[2:]
    assert len({w.title for w in MODELS.values()}) == len({w.explanation for w in MODELS.values()}) == 8


def test_marks_of_eight_models_stay_within_their_layer() -> None:
    one = curves()[curves().model == "pretrained"]
    records = pd.concat([one.assign(model=m) for m in MODEL_STYLE], ignore_index=True)
    figure = layer_curves(records)
    marks = {t.name: np.asarray(t.x, float) for t in figure.data if t.mode == "lines+markers"}
    at = np.array([x[1] for x in marks.values()])
    assert len(marks) == 8
    assert np.ptp(at) < 0.8
    assert len(set(at.round(4))) == 8
    assert all(t.line.width < 2 for t in figure.data if t.name in {"Story-permuted", "Random weights"})


def test_alt_text_of_an_unknown_figure_is_refused() -> None:
    with pytest.raises(BraindashError, match="layer_curve"):
        alt_text("layer_curve")
    assert alt_text("flatmap", n=1, low=0, high=0.5, label="r", regions=1).endswith("1 target, 1 region outlined.")


def test_scatter_counts_the_chosen_targets_and_shows_the_others_below() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=500), rng.normal(size=500)
    a[3] = np.nan
    chosen = np.arange(500) < 40
    fig = scatter(a, b, chosen=chosen)
    others, points = fig.data
    assert len(points.x) == 39
    np.testing.assert_array_equal(np.asarray(points.y), b[chosen & np.isfinite(a)])
    assert round(float(np.nansum(10 ** np.asarray(others.z, dtype=float)))) == 499  # all of them
    assert "n = 39 of 499" in fig.layout.annotations[0].text
    with pytest.raises(BraindashError, match="No chosen target"):
        scatter(a, b, chosen=np.arange(500) == 3)
