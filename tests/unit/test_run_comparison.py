"""Runs side by side: which settings differ, which runs are seeds of one setting, how their scores spread."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))
import fake_home

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs.config_differences import compare_settings, same_but_for_seed
from braindash.runs.groups import flatten
from braindash.runs.headline import read_headline
from braindash.runs.results import write_results
from braindash.runs.seed_scores import score_rows, setting_scores, spread_table


def config(**more: Any) -> TuneConfig:
    return TuneConfig(**{"study": "mini", "model": "m", **more})


# --- settings --------------------------------------------------------------------------------------


def test_only_what_differs_is_a_difference_and_defaults_count() -> None:
    first = config(name="a", lora={"rank": 4}, seed=1, head={"rank": 24})
    second = config(name="b", lora={"rank": 16}, encoding={"window": {"stride": 8.0}}, group="g")
    found = compare_settings([first, second, first])
    assert {d.key: d.values for d in found.differing} == {
        "lora.rank": (4, 16, 4),
        "seed": (1, 0, 1),
        "encoding.window.stride": (16.0, 8.0, 16.0),
    }
    agreeing = dict(found.agreeing)
    assert agreeing["head.rank"] == 24  # written down by one, the default of the other
    assert agreeing["model"] == "m"
    # every setting is in one of the two, but for labels and the format
    dumped = json.dumps(first.model_dump(mode="json"))
    every = {key for key in _dotted(json.loads(dumped)) if key not in ("name", "group", "braindash")}
    assert every == {*agreeing, *(d.key for d in found.differing)}


def _dotted(data: dict[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in data.items():
        keys |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return keys


def test_no_runs_and_one_run_differ_in_nothing() -> None:
    assert compare_settings([]).differing == compare_settings([config()]).differing == ()
    assert len(compare_settings([config()]).agreeing) > 50


def test_runs_are_one_setting_if_only_the_seed_and_the_place_differ() -> None:
    configs = {
        "a1": config(seed=1, name="x", device="cuda:0"),
        "b": config(lora={"rank": 4}),
        "a0": config(seed=0, encoding={"seed": 7}),
        "control": config(seed=0, control="block-permuted"),
        "longer": config(seed=0, control="block-permuted", permute_block=20),
        "block": config(seed=2, permute_block=20),  # means nothing without a permuted control
        "subject": config(subjects=("sub-01",)),
    }
    assert same_but_for_seed(configs) == [["a0", "a1", "block"], ["b"], ["control"], ["longer"], ["subject"]]


def test_models_tuned_elsewhere_are_never_taken_for_one() -> None:
    configs = {"a": config(recipe="imported"), "b": config(recipe="imported")}
    assert same_but_for_seed(configs) == [["a"], ["b"]]


def test_groups_vary_what_they_varied() -> None:
    flat = flatten(config(control="head-only", seed=3))
    assert not {"seed", "name", "group", "preset", "control", "evaluate", "braindash"} & set(flat)
    assert {"lora.rank", "encoding.seed", "optimiser.lr"} <= set(flat)


# --- scores ----------------------------------------------------------------------------------------


def tables(shift: float, subjects: tuple[str, ...] = ("sub-01", "sub-02"), **more: Any) -> pd.DataFrame:
    """The rows of a run whose subjects gain ``shift`` and twice that."""
    records = fake_home.records("r", subjects=subjects, **more)
    for row in records["encoding"]:
        if row["model"] != "pretrained":
            row["r_norm"] = fake_home.level("pretrained", row["roi"], row["layer"]) + gain(row, shift, subjects)
    for row in records["differences"]:
        row["delta_r_norm"] = gain(row, shift, subjects)
        row["r_norm_ci_low"], row["r_norm_ci_high"] = row["delta_r_norm"] - 0.01, row["delta_r_norm"] + 0.03
    return score_rows(pd.DataFrame(records["encoding"]), pd.DataFrame(records["differences"]), "r_norm")


def gain(row: dict[str, Any], shift: float, subjects: tuple[str, ...]) -> float:
    each = {s: shift * (i + 1) for i, s in enumerate(subjects)}
    return mean(each.values()) if row["subject"] == "all" else each[row["subject"]]


def test_rows_hold_before_after_and_the_interval_of_the_difference() -> None:
    rows = tables(0.1)
    one = rows[(rows["subject"] == "sub-02") & (rows["roi"] == "late_language") & (rows["layer"] == 4)].iloc[0]
    before = fake_home.level("pretrained", "late_language", 4)
    assert one["pretrained"] == pytest.approx(before)
    assert one["tuned"] == pytest.approx(before + 0.2)
    assert (one["delta"], one["low"], one["high"]) == pytest.approx((0.2, 0.19, 0.23))
    assert one["share"] == 1.0
    assert one["n"] == 90 - 9  # without those that have no ceiling
    assert set(rows.loc[rows["layer"] == 1, "share"]) == {0.25}


def test_a_controls_own_run_is_about_the_control() -> None:
    rows = tables(0.1, models=("pretrained", "block_permuted"))
    assert rows["delta"].notna().all()
    records = fake_home.records("r", models=("pretrained",))
    with pytest.raises(BraindashError, match="pretrained model alone"):
        score_rows(pd.DataFrame(records["encoding"]), tables(0.1).assign(model="x"), "r")


def test_spread_over_seeds_and_over_subjects() -> None:
    shifts = {"a": 0.10, "b": 0.16, "c": 0.13, "d": 0.5}
    rows = {run: tables(shift) for run, shift in shifts.items()}
    layers = dict.fromkeys(rows, 4)
    settings = [["a", "b", "c"], ["d", "without results"]]

    def one(over: Any, setting: int, quantity: str = "delta") -> Any:
        every = setting_scores(rows, settings, ["late_language", "nowhere"], layers, over)
        assert not any(s.dots for s in every if s.roi == "nowhere")
        found = [s for s in every if s.roi == "late_language" and s.quantity == quantity]
        return found[setting]

    seeds = one("seeds", 0)
    expected = [1.5 * shifts[r] for r in "abc"]  # the mean over the two subjects
    assert [d.name for d in seeds.dots] == ["a", "b", "c"]
    assert [d.value for d in seeds.dots] == pytest.approx(expected)
    assert seeds.spread.mean == pytest.approx(mean(expected))
    assert seeds.spread.sd == pytest.approx(stdev(expected))
    assert seeds.dots[0].low == pytest.approx(expected[0] - 0.01)
    subjects = one("subjects", 0)
    assert {d.name: d.value for d in subjects.dots} == pytest.approx({"sub-01": 0.13, "sub-02": 0.26})
    assert subjects.spread.sd == pytest.approx(stdev([0.13, 0.26]))
    assert np.isnan(subjects.dots[0].low)  # of three runs: no run's own interval
    alone = one("seeds", 1)
    assert len(alone.dots) == 1
    assert np.isnan(alone.spread.sd)  # one seed has no spread
    assert one("subjects", 1).dots[0].low == pytest.approx(0.49)  # one run: its own interval
    assert one("seeds", 0, "pretrained").spread.sd == pytest.approx(0)

    table = spread_table(setting_scores(rows, settings, ["late_language"], layers, "seeds"))
    assert list(table["n"]) == [3, 1]
    assert table["delta"].to_list() == pytest.approx([mean(expected), 0.75])
    assert (table["tuned"] - table["pretrained"]).to_list() == pytest.approx(table["delta"].to_list())
    assert list(table["n_targets"]) == [180 - 9] * 2


def test_a_run_of_one_subject_has_that_subject_as_its_number() -> None:
    rows = {"a": tables(0.1, ("sub-01",)), "b": tables(0.1)}
    found = setting_scores(rows, [["a"], ["b"]], ["ag"], {"a": 4, "b": 4}, "seeds")
    values = [s.dots[0].value for s in found if s.quantity == "delta"]
    assert values == pytest.approx([0.1, 0.15])


# --- the number of the summary ---------------------------------------------------------------------


def test_the_headline_is_that_of_the_summary_wherever_it_stands(tmp_path: Path) -> None:
    records = fake_home.records("r")
    whole = {"change": 0.0701, "low": 0.05, "high": 0.09, "n_targets": 180, "n_excluded": 9, "measure": "r_norm"}
    whole["region_titles"] = {"late_language": 'Late "\n "summary": {"change": 1}'}  # type: ignore[assignment]
    told = {**records, "summary": {**records["summary"], **whole}}
    write_results(tmp_path, {"encoding": fake_home.arrays(("sub-01",), ("pretrained", "brain_tuned"), 2)}, told)
    found = read_headline(tmp_path)
    assert found is not None
    assert (found.region, found.layer, found.subject) == ("late_language", 4, "all")
    assert (found.value, found.low, found.high, found.n) == (0.0701, 0.05, 0.09, 171)
    # the same file as one line, and an older summary without the number: read from the rows
    (tmp_path / "records.json").write_text(json.dumps(told), encoding="utf-8")
    assert read_headline(tmp_path) == found
    for key in ("change", "low", "high", "measure"):
        del told["summary"][key]
    (tmp_path / "records.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    older = read_headline(tmp_path)
    assert older is not None
    assert (older.value, older.low, older.n) == (pytest.approx(0.075), pytest.approx(0.055), 180 - 9)


@pytest.mark.parametrize("text", ["", "{", "[]", '{\n "summary": {"cut', '{"summary": 3}', '\n "summary": 7'])
def test_a_damaged_file_has_no_headline(tmp_path: Path, text: str) -> None:
    assert read_headline(tmp_path) is None
    (tmp_path / "records.json").write_text(text, encoding="utf-8")
    assert read_headline(tmp_path) is None


def test_a_home_of_real_folders_is_read(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run_id = fake_home.add_done(home)
    found = read_headline(home.runs / run_id)
    assert found is not None
    assert found.normalised
