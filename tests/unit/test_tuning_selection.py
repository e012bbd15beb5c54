"""Which targets are tuned on: regions, hemisphere, mask, ceiling, each counted by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.encoding.regions import region_groups
from braindash.errors import BraindashError
from braindash.tuning.data import TuningData
from braindash.tuning.selection import Selection, left_out, read_mask, select_targets

PARCELS = ["A1", "LBelt", "A4", "A5", "STSda", "44", "55b", "PGi", "V1", "AC"]  # AC: a region of the study's own


@pytest.fixture
def study() -> SmallStudy:
    """Twenty targets: every parcel left (even rows) and right; ceilings from 0 to .95."""
    made = SmallStudy(n_targets={"sub-01": 20})
    made.table["sub-01"] = made.table["sub-01"].assign(
        roi=np.repeat(PARCELS, 2), hemi=["L", "R"] * 10, noise_ceiling=np.arange(20) / 20
    )
    return made


def chosen(study: SmallStudy, **changes: Any) -> Selection:
    return select_targets(study, "sub-01", TuneConfig.model_validate({"study": "small", "model": "m", **changes}))


def parcels(selection: Selection) -> list[str]:
    return [PARCELS[i // 2] for i in selection.index[::2]]


@pytest.mark.parametrize(
    ("rois", "expected"),
    [
        ((), PARCELS),
        (("cortex",), PARCELS),
        (("auditory",), ["A1", "LBelt", "A4"]),
        (("late_language",), ["A5", "STSda", "44", "PGi"]),
        (("auditory_language",), ["A1", "LBelt", "A4", "A5", "STSda", "44", "55b", "PGi"]),
        (("AC", "V1"), ["V1", "AC"]),
        (("auditory", "44", "AC"), ["A1", "LBelt", "A4", "44", "AC"]),
    ],
)
def test_regions_add_up(study: SmallStudy, rois: tuple[str, ...], expected: list[str]) -> None:
    selection = chosen(study, rois=rois)
    assert parcels(selection) == expected
    assert selection.n_targets == 2 * len(expected)
    assert selection.n_outside == 20 - 2 * len(expected)


def test_the_group_of_the_multi_participant_paper_is_its_parts() -> None:
    groups = {name: set(parcels) for name, parcels in region_groups().items()}
    parts = groups["auditory"] | groups["ag"] | groups["ltc"] | groups["ifg"] | groups["mfg"]
    assert groups["auditory_language"] == parts
    assert groups["auditory"] == {"A1", "LBelt", "MBelt", "PBelt", "RI", "A4"}
    assert not groups["auditory"] & groups["language"]


@pytest.mark.parametrize(("hemi", "rows"), [("left", 0), ("right", 1)])
def test_a_hemisphere_is_a_condition_beside_the_regions(study: SmallStudy, hemi: str, rows: int) -> None:
    assert list(chosen(study, hemi=hemi).index) == list(range(rows, 20, 2))
    both = chosen(study, hemi=hemi, rois=("auditory",))
    assert list(both.index) == [rows, rows + 2, rows + 4]
    assert both.n_outside == 17
    assert list(chosen(study, rois=(hemi,)).index) == list(range(rows, 20, 2))


@pytest.mark.parametrize("column", ["empty", "missing"])
def test_a_hemisphere_that_the_study_does_not_name_is_refused(study: SmallStudy, column: str) -> None:
    table = study.table["sub-01"]
    study.table["sub-01"] = table.assign(hemi="") if column == "empty" else table.drop(columns="hemi")
    with pytest.raises(BraindashError, match=r"name no hemisphere.*column hemi with L or R"):
        chosen(study, hemi="left")


VALUES = np.array([1, 0] * 10)


def write(path: Path, values: np.ndarray) -> str:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        path.write_text("# mine\nkeep\n\n" + "\n".join(str(v) for v in values.tolist()) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["m.npy", "m.csv", "m.txt", "m_{subject}.npy"])
@pytest.mark.parametrize("values", [VALUES, VALUES.astype(bool), VALUES * -0.3, VALUES[:, None]], ids=str)
def test_a_mask_keeps_what_is_not_zero(study: SmallStudy, tmp_path: Path, name: str, values: np.ndarray) -> None:
    if values.ndim == 2 and not name.endswith(".npy"):
        values = values[:, 0]
    write(tmp_path / name.replace("{subject}", "sub-01"), values)
    selection = chosen(study, mask=str(tmp_path / name))
    assert list(selection.index) == list(range(0, 20, 2))
    assert (selection.n_outside, selection.n_outside_mask) == (0, 10)


def test_a_relative_mask_starts_at_the_current_folder(
    study: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "m.npy", VALUES)
    monkeypatch.chdir(tmp_path)
    assert chosen(study, mask="m.npy").n_targets == 10


def test_every_target_is_counted_once(study: SmallStudy, tmp_path: Path) -> None:
    """Region, hemisphere, mask, ceiling and usability each take some of what the one before left."""
    mask = np.ones(20)
    mask[[0, 6, 19]] = 0
    study.data["s0", "sub-01"][:, 10] = 1.0  # constant
    selection = chosen(
        study,
        rois=("auditory_language",),  # rows 0 to 15
        hemi="left",  # rows 0, 2, …, 14
        mask=write(tmp_path / "m.npy", mask),  # takes rows 0 and 6
        min_ceiling=0.15,  # takes row 2 (.1); row 4 has .2
    )
    assert list(selection.index) == [4, 8, 12, 14]
    counts = selection.counts()
    assert counts == {
        "n_targets": 4, "n_all": 20, "n_outside": 12, "n_outside_mask": 2, "n_below_ceiling": 1, "n_excluded": 1
    }  # fmt: skip
    assert counts["n_all"] == sum(n for name, n in counts.items() if name != "n_all")
    assert left_out(counts) == (
        "12 outside the regions, 2 outside the mask, 1 below the ceiling, 1 not finite or constant"
    )


def test_responses_come_from_the_chosen_targets(study: SmallStudy, tmp_path: Path) -> None:
    mask = write(tmp_path / "m.npy", VALUES)
    config = TuneConfig(study="small", model="m", rois=("auditory",), mask=mask)
    Y = study.data["s0", "sub-01"][:, [0, 2, 4]].astype(float)
    expected = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    np.testing.assert_allclose(TuningData(study, config).responses("s0", "sub-01"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(19), "has 19 values, but subject 'sub-01' has 20 targets"),
        (np.where(np.arange(20) == 3, np.nan, 1.0), "1 of the 20 values .* are NaN"),
        (np.where(np.arange(20) < 2, np.inf, 1.0), "2 of the 20 values .* are NaN or infinite"),
        (np.zeros(20), "All 20 values .* are 0"),
        (np.ones((4, 5)), r"float64 of shape \(4, 5\)"),
        (np.array(["a"] * 20), "<U1"),
        (np.array([{}] * 20), "cannot be read.*"),
    ],
    ids=["length", "nan", "inf", "zero", "shape", "text", "pickle"],
)
def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(BraindashError, match=message):
        read_mask(str(tmp_path / "m.npy"), "sub-01", 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n" * 19 + "yes\n", "Line 20 .* 'yes', not one number"),
        ("a,b\n" + "1,0\n" * 20, "Line 1 .* 'a,b'"),
        ("1,0\n" * 20, "Line 1"),
        ("x\ny\n" + "1\n" * 20, "Line 2"),
        ("keep\n" + "1\n" * 19 + "nan\n", "NaN"),
        ("", "has 0 values"),
    ],
    ids=["word", "columns", "pairs", "two-headings", "nan", "empty"],
)
def test_a_text_mask_with_anything_else_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BraindashError, match=message):
        read_mask(str(tmp_path / "m.csv"), "sub-01", 20)


def test_a_mask_that_is_not_there_damaged_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match=r"no mask file .*m_sub-01\.npy"):
        read_mask(str(tmp_path / "m_{subject}.npy"), "sub-01", 20)
    whole = tmp_path / "cut.npy"
    np.save(whole, np.ones(20))
    for size in (0, 5, 100, len(whole.read_bytes()) - 8):
        whole.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(BraindashError, match="cannot be read"):
            read_mask(str(whole), "sub-01", 20)
        np.save(whole, np.ones(20))
    for name in ("m.mat", "m"):
        (tmp_path / name).write_bytes(b"\x00")
        with pytest.raises(BraindashError, match="ends in"):
            read_mask(str(tmp_path / name), "sub-01", 20)
    (tmp_path / "latin.txt").write_bytes(b"\xe9\n" * 20)
    with pytest.raises(BraindashError, match="is not text"):
        read_mask(str(tmp_path / "latin.txt"), "sub-01", 20)


@pytest.mark.parametrize(("loss", "least"), [("mse", 1), ("cosine+mse", 2), ("mse+0.1*spatial", 3), ("temporal", 1)])
def test_the_loss_sets_the_fewest_targets(study: SmallStudy, tmp_path: Path, loss: str, least: int) -> None:
    for n in range(1, 4):
        mask = write(tmp_path / "m.npy", np.arange(20) < n)
        if n >= least:
            assert chosen(study, loss=loss, mask=mask).n_targets == n
        else:
            with pytest.raises(BraindashError, match=f"{n} of 20 targets .* needs at least {least}"):
                chosen(study, loss=loss, mask=mask)


def test_no_target_left_says_what_took_them(study: SmallStudy, tmp_path: Path) -> None:
    mask = write(tmp_path / "m.npy", np.arange(20) >= 16)
    with pytest.raises(BraindashError, match=r"0 of 20 .*: 14 outside the regions, 6 outside the mask, 0 below"):
        chosen(study, rois=("auditory",), mask=mask)
    with pytest.raises(BraindashError, match=r"20 below the ceiling.*min_ceiling is 0\.99"):
        chosen(study, min_ceiling=0.99)
