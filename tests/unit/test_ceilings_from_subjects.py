"""Noise ceilings from other subjects through a table study, and tests over subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mini_study import write_mini_study

from braindash.comparing.across import group_rows
from braindash.config import EncodingConfig
from braindash.encoding.ceiling import subject_ceilings
from braindash.runs.evaluate import shared_ceilings
from braindash.studies.base import Study
from braindash.studies.table import open_table


def study(folder: Path, subjects: int, given: bool = False) -> Study:
    write_mini_study(folder, subjects=subjects, n_trs=62)
    if not given:
        text = (folder / "targets.csv").read_text().splitlines()
        (folder / "targets.csv").write_text("\n".join(line.rpartition(",")[0] for line in text) + "\n")
    return open_table(folder)


def test_what_subjects_share_is_their_ceiling(tmp_path: Path) -> None:
    found = subject_ceilings(study(tmp_path / "s", 4))
    assert sorted(found) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    mean = np.nanmean([c[:6] for c in found.values()])
    # the drive has variance 1, the noise .16: the largest r of a model is 1 / sqrt(1.16)
    assert mean == pytest.approx(1 / np.sqrt(1.16), abs=0.02)
    unrelated = np.stack([c[6:12] for c in found.values()])
    assert np.nanmean(np.where(np.isnan(unrelated), 0, unrelated)) < 0.25
    assert np.isnan(found["sub-01"][12:]).all()  # constant, and with a NaN


def test_two_subjects_have_none(tmp_path: Path) -> None:
    assert subject_ceilings(study(tmp_path / "s", 2)) == {}


def test_targets_that_are_merely_numbered_are_not_shared(tmp_path: Path) -> None:
    folder = write_mini_study(tmp_path / "s", subjects=3, n_trs=62)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    del spec["targets"]
    for story in spec["stories"]:
        for who, file in story["responses"].items():
            y = np.genfromtxt(folder / file, delimiter=",", skip_header=1)
            np.save(folder / f"{file}.npy", y.astype(np.float32))
            story["responses"][who] = f"{file}.npy"
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    assert subject_ceilings(open_table(folder)) == {}


def test_given_ceilings_come_first(tmp_path: Path) -> None:
    bare, with_given = study(tmp_path / "a", 3), study(tmp_path / "b", 3, given=True)
    who = ["sub-01"]
    assert set(shared_ceilings(bare, who, EncodingConfig())) == {"sub-01", "sub-02", "sub-03"}
    assert shared_ceilings(with_given, who, EncodingConfig()) == {}
    assert shared_ceilings(bare, who, EncodingConfig(ceiling="none")) == {}
    assert len(shared_ceilings(with_given, who, EncodingConfig(ceiling="subjects"))) == 3


def rows(n: int, mean: float, key: str, seed: int = 0) -> list[dict[str, Any]]:
    values = mean + 0.01 * np.random.default_rng(seed).standard_normal(n)
    each = [{"subject": f"s{i}", "model": "brain_tuned", "roi": "A1", "layer": 4, key: v} for i, v in enumerate(values)]
    return [*each, {"subject": "all", "model": "brain_tuned", "roi": "A1", "layer": 4, key: mean}]


def test_subjects_are_tested_as_a_group() -> None:
    found, note = group_rows(rows(8, 0.1, "r"), rows(8, 0.0, "delta_r", seed=3))
    assert note == ""
    score, change = found
    assert (score["measure"], score["n_subjects"], score["roi"], score["layer"]) == ("r", 8, "A1", 4)
    assert score["mean"] == pytest.approx(0.1, abs=0.02)
    assert score["p"] == pytest.approx(1 / 2**8)
    assert change["measure"] == "delta_r"
    assert change["p"] > 0.1


def test_why_too_few_subjects_are_not_tested_is_said() -> None:
    found, note = group_rows(rows(5, 0.1, "r"), rows(5, 0.1, "delta_r"))
    assert [r["measure"] for r in found] == ["r"]
    assert "differences from the pretrained model were not tested" in note
    assert "0.0625" in note
    found, note = group_rows(rows(2, 0.1, "r"), rows(2, 0.1, "delta_r"))
    assert found == []
    assert note.count("not tested") == 2


def test_a_region_that_a_subject_lacks_is_not_tested() -> None:
    some = [*rows(6, 0.1, "r"), {"subject": "s0", "model": "brain_tuned", "roi": "V1", "layer": 4, "r": 0.1}]
    assert {r["roi"] for r in group_rows(some, [])[0]} == {"A1"}
