"""The Cortex page: what its maps show, and what it says where there is no cortex."""

from __future__ import annotations

from pathlib import Path

import fake_home
import numpy as np
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home


@pytest.fixture(autouse=True)
def shared_cortex(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let all tests of this file find the surfaces that the first one has written: each would take seconds."""
    kept = tmp_path_factory.getbasetemp() / "cortex-of-pages"
    kept.mkdir(exist_ok=True)
    home.path.mkdir(exist_ok=True)
    home.cortex.symlink_to(kept, target_is_directory=True)


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("cortex"))


def test_a_study_without_a_cortex_says_so(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    fake_home.add_done(home)
    assert "does not say where its targets lie on a cortex" in words(open_page("cortex"))


def test_a_study_that_is_gone_is_said(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, study="gone")
    assert "There is no study" in words(open_page("cortex")).replace("\\", "")


def test_maps_share_a_scale_and_the_difference_is_centred(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, "on the surface", study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = map_values.layer_arrays

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    page = open_page("cortex", layer="3", map_subject="sub-02")
    assert set(drawn) == {"pretrained", "tuned", "difference", "gain"}
    assert (drawn["pretrained"]["vmin"], drawn["pretrained"]["vmax"]) == (
        drawn["tuned"]["vmin"],
        drawn["tuned"]["vmax"],
    )
    assert drawn["difference"]["vmin"] == -drawn["difference"]["vmax"]
    expected = drawn["tuned"]["values"] - drawn["pretrained"]["values"]
    np.testing.assert_allclose(drawn["difference"]["values"], expected, atol=1e-6)
    assert expected.max() == pytest.approx(0.1 / 0.6, abs=1e-3)  # the planted gain at layer 3, normalised
    assert f"n = {len(roi):,} targets" in words(page)
    assert page.slider(key="layer").value == 3
    files = {d.label: d for d in page.get("download_button")}
    assert len(page.get("download_button")) == 12, files
    assert run_id in page.selectbox(key="_run").value


@pytest.mark.parametrize("faint", ["false", "true"])
def test_maps_keep_what_passes_and_count_it(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faint: str
) -> None:
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = map_values.layer_arrays

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    page = open_page("cortex", layer="4", mask="q_difference", q="0.05", faint=faint, fade="none")
    models = ("pretrained", "brain_tuned", "block_permuted")
    data = fake_home.arrays(("sub-01", "sub-02"), models, len(roi), roi)
    expected = data["q_difference"].values[1, 4, : len(roi)] <= 0.05
    assert 0 < expected.sum() < len(roi)
    for which in ("pretrained", "tuned", "difference"):
        if faint == "true":
            np.testing.assert_array_equal(drawn[which]["alpha"] == 1, expected)
            assert drawn[which]["alpha"].min() == map_values.FAINT
            assert np.isfinite(drawn[which]["values"]).all()
        else:
            np.testing.assert_array_equal(np.isfinite(drawn[which]["values"]), expected)
    said = words(page)
    assert f"{expected.sum():,} of {len(roi):,} targets" in said
    assert "are predicted differently by the two models, at q ≤ 0.05." in said
    assert page.slider(key="q").value == pytest.approx(0.05)
    checked(page.slider(key="q").set_value(0.02).run())
    assert f"0 of {len(roi):,} targets (0%)" in words(page)  # the planted q is .03
    checked(page.button_group(key="_mask").set_value("q").run())
    by_r = data["q"].values[:2, 4, : len(roi)] <= 0.02
    assert f"{by_r[0].sum():,} of {len(roi):,} targets" in words(page)
    assert f"{by_r.any(0).sum():,} of {len(roi):,} targets" in words(page)


def test_a_run_without_tests_says_so(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    whole = fake_home.arrays
    monkeypatch.setattr(fake_home, "arrays", lambda *a, **k: whole(*a, **k).drop_vars(["q", "q_difference"]))
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    page = open_page("cortex", mask="q")
    assert "evaluated without permutation tests" in words(page)
    assert f"braindash evaluate {run_id}" in words(page)
    assert "The link names something that is not here" in words(page)
    assert "Show only targets that pass: q" in words(page)
    assert "mask" not in page.query_params, "nothing says that the maps are masked"


def test_the_address_says_which_maps_are_shown(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.cortex.combined import N_GAIN
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = map_values.layer_arrays

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    page = open_page("cortex", layer="4", maps="best_tuned,gain,nonsense")
    assert set(drawn) == {"gain", "best_tuned"}
    assert page.multiselect(key="_maps").value == ["best_tuned", "gain"]
    late = np.isin(roi, ["STSda", "STSdp", "STGa", "A5", "PGi", "44", "45"])
    best = drawn["best_tuned"]["values"]
    assert (best[late] == 4).all()  # late regions rise with the layer, A1 falls, the rest is level
    assert (best[~late] == 0).all()
    codes = drawn["gain"]["values"].astype(int) - 1
    assert (codes[~late] % N_GAIN == N_GAIN // 2).all()  # no change
    assert (codes[late] % N_GAIN > N_GAIN // 2).all()
    better = np.fmax(*(arrays_of(roi, model) for model in (0, 1)))
    assert (np.diff((codes // N_GAIN)[np.argsort(better)]) >= 0).all()  # the row is the accuracy
    assert len(np.unique(codes // N_GAIN)) > 5
    checked(page.multiselect(key="_maps").set_value([]).run())
    assert "Choose a map." in words(page)


def arrays_of(roi: np.ndarray, model: int) -> np.ndarray:
    data = fake_home.arrays(("sub-01", "sub-02"), ("pretrained", "brain_tuned", "block_permuted"), len(roi), roi)
    return data["r_norm"].values[model, 4, : len(roi)]


def test_an_area_filters_scatter_and_table(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    from braindash.cortex.area import parse_area, targets_inside
    from braindash.cortex.flatmap import flat_index
    from braindash.studies.library import open_study

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    text = "100,300;300,300;300,600;100,600"
    page = open_page("cortex", layer="4", area=text, maps="tuned")
    cortex_map, area = open_study("surface", home).cortex("sub-01"), parse_area(text)
    assert cortex_map is not None
    assert area is not None
    inside = targets_inside(area, flat_index(cortex_map, home, 640), cortex_map)
    assert 1000 < len(inside) < len(roi) / 2
    assert f"{len(inside):,} targets with a value" in words(page)
    table = page.dataframe[0].value.set_index("Region")
    assert table.loc["All", "n targets"] == len(inside)
    expected = (arrays_of(roi, 1) - arrays_of(roi, 0))[inside].mean()
    assert table.loc["All", "Difference"] == pytest.approx(expected, abs=1e-5)
    checked(page.button(key="clear_area").click().run())
    assert "area" not in page.query_params
    assert page.dataframe[0].value.set_index("Region").loc["All", "n targets"] == len(roi)
    for wrong in ("1,2", "<img src=x>", "5,5;6,6;99999,1"):
        assert "All 59,412 targets" in words(open_page("cortex", area=wrong, maps="tuned"))


def test_files_hold_what_the_maps_show(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    import io

    import nibabel as nib
    import pandas as pd

    from braindash.ui import map_files, map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    page = open_page("cortex", layer="4", mask="q_difference", maps="tuned,gain,best_tuned")
    offered = {b.label for b in page.get("download_button")}
    assert {"CSV, a row a target", "CIFTI, dense scalars", "GIFTI, left hemisphere"} <= offered
    view = map_values.View(
        str(home.runs / run_id), (0, 0), "surface", (), "sub-01", "brain_tuned", 4, "r_norm", True, False, True,
        "q_difference", 0.05,
    )  # fmt: skip
    maps: tuple[map_values.Which, ...] = ("tuned", "gain", "best_tuned")
    table = pd.read_csv(io.BytesIO(map_files.data_file(view, maps, "csv")))
    passed = arrays_of(roi, 1) - arrays_of(roi, 0) > 0.04 / 0.6
    expected = {
        "Brain-tuned, layer 4, r / noise ceiling": arrays_of(roi, 1),
        "Difference: Brain-tuned − pretrained, layer 4, change in r / noise ceiling": arrays_of(roi, 1)
        - arrays_of(roi, 0),
        "Better of the two models, layer 4, r / noise ceiling": arrays_of(roi, 1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], np.where(passed, values, np.nan), atol=1e-6)
    path = tmp_path / "maps.dscalar.nii"
    path.write_bytes(map_files.data_file(view, maps, "cifti"))
    np.testing.assert_allclose(nib.load(path).get_fdata()[0], np.where(passed, arrays_of(roi, 1), np.nan), atol=1e-6)
    for which in maps:
        assert map_files.figure_file(view, which, ("A caveat.",), "png").startswith(b"\x89PNG")


def test_a_target_has_its_curve_and_its_time_course(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import braindash.runs.time_courses as courses

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    page = open_page("cortex", layer="4", target="77", maps="tuned")
    charts = len(page.get("plotly_chart"))
    assert "Target 77, " in words(page)
    checked(page.button(key="show_course").click().run())
    said = words(page)
    assert f"Run {run_id}" in said.replace("\\", "").replace("\u2060", "")
    assert "has no tuned model" in said  # the folder was written without one
    asked = []

    def made(run: object, models: list[str], layer: int, subject: str, targets: list[int]) -> list[courses.TimeCourse]:
        asked.append((models, layer, subject, targets))
        rows = np.arange(12, dtype=float)
        y = np.sin(rows)[:, None]
        both = dict.fromkeys(models, y)
        return [
            courses.TimeCourse(s, 2 * rows, y, both, {m: np.array([0.25]) for m in models}) for s in ("s3", "<b>s4</b>")
        ]

    monkeypatch.setattr(courses, "time_courses", made)
    page = open_page("cortex", layer="3", target="77", maps="tuned")
    checked(page.button(key="show_course").click().run())
    assert asked == [(["pretrained", "brain_tuned"], 3, "sub-01", [77])]
    assert len(page.get("plotly_chart")) == charts + 1
    assert "n = 12 rows" in words(page)
    checked(page.selectbox(key="_course_story").set_value("<b>s4</b>").run())
    assert len(asked) == 1  # kept
    checked(page.slider(key="layer").set_value(2).run())
    assert page.button(key="show_course")  # another layer is another fit: asked for anew
    assert len(asked) == 1
    for wrong in ("-1", "x", "99999999"):
        assert "Click a map" in words(open_page("cortex", target=wrong, maps="tuned"))


def write_partition(home: Home, run_id: str, n_targets: int) -> np.ndarray:
    """A partition at layer 2 of every third target of both subjects; return sub-02's values of the layer alone."""
    import xarray as xr

    from braindash.runs.arrays import write_arrays

    at = np.arange(0, n_targets, 3)
    values = np.zeros((2, 4, 2 * at.size), np.float32)
    values[:, 1] = np.tile(0.1 + at / n_targets, 2)  # word rate
    values[0, 2, at.size :] = 0.3 * at / n_targets  # the layer, pretrained
    values[1, 2, at.size :] = 0.6 * at / n_targets  # and tuned
    write_arrays(
        home.runs / run_id / "partition.nc",
        xr.Dataset(
            {"r2": (("model", "part", "target"), values)},
            coords={
                "model": ["pretrained", "brain_tuned"],
                "part": ["total", "unique:word_rate", "unique:model", "shared"],
                "subject": ("target", np.repeat(["sub-01", "sub-02"], at.size)),
                "target_index": ("target", np.tile(at, 2).astype(np.int32)),
            },
            attrs={"braindash": 1, "layer": 2},
        ),
    )
    expected = np.full(n_targets, np.nan)
    expected[at] = 0.6 * at / n_targets
    return expected


def test_unique_variance_is_drawn_target_by_target_or_the_command_is_said(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    view = {"map_subject": "sub-02", "maps": "difference,unique_pretrained,unique_tuned", "layer": "4"}
    without = words(open_page("cortex", **view)).replace("\\", "")
    assert f"braindash partition {run_id}" in without
    assert "There is no map of unique variance yet" in without

    expected = write_partition(home, run_id, len(roi))
    drawn: dict[str, dict] = {}
    arrays = map_values.layer_arrays

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    page = open_page("cortex", **view, part="unique:model")
    assert {"unique_pretrained", "unique_tuned"} <= set(drawn)
    np.testing.assert_allclose(drawn["unique_tuned"]["values"], expected, atol=1e-6)
    one, two = drawn["unique_pretrained"], drawn["unique_tuned"]
    assert (one["vmin"], one["vmax"]) == (two["vmin"], two["vmax"])
    assert one["vmin"] == 0
    assert 0.5 < one["vmax"] <= 0.7
    said = words(page).replace("\\", "")
    assert "Unique variance: layer 2, whatever the slider says" in said
    assert f"{-(-len(roi) // 3):,} of {len(roi):,} targets were fitted" in said
    open_page("cortex", **view, part="unique:word_rate")
    assert np.nanmin(drawn["unique_tuned"]["values"]) == pytest.approx(0.1, abs=1e-6)

    (home.runs / run_id / "partition.nc").write_bytes(b"CDF\x02 cut off")
    assert f"braindash partition {run_id}" in words(open_page("cortex", **view)).replace("\\", "")


def test_opacity_follows_accuracy_or_q(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays, models = map_values.layer_arrays, ("pretrained", "brain_tuned", "block_permuted")

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    data = fake_home.arrays(("sub-01", "sub-02"), models, len(roi), roi)
    mine = data.isel(target=np.flatnonzero(data["subject"].values == "sub-01")).sel(layer=4)

    def opacity(q: np.ndarray) -> np.ndarray:
        return np.clip((np.log(0.2) - np.log(q)) / (np.log(0.2) - np.log(0.01)), 0, 1)

    open_page("cortex", layer="4", fade="q")
    q = {m: mine["q"].sel(model=m).values for m in models}
    assert len(np.unique(opacity(q["brain_tuned"]))) > 1
    np.testing.assert_allclose(drawn["tuned"]["alpha"], opacity(q["brain_tuned"]), atol=1e-5)
    smaller = np.minimum(q["brain_tuned"], q["pretrained"])
    np.testing.assert_allclose(drawn["difference"]["alpha"], opacity(smaller), atol=1e-5)
    open_page("cortex", layer="4", fade="q_difference")
    of_difference = opacity(mine["q_difference"].sel(model="brain_tuned").values)
    np.testing.assert_allclose(drawn["pretrained"]["alpha"], of_difference, atol=1e-5)
    open_page("cortex", layer="4")
    assert np.ptp(drawn["tuned"]["alpha"]) > 0
    assert drawn["gain"]["alpha"] is None
    open_page("cortex", layer="4", fade="none")
    assert drawn["tuned"]["alpha"] is None
