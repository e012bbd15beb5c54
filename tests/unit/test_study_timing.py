"""`study check` finds responses that come earlier or later than a study says, and says when it cannot tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml

import braindash.cli as cli
from braindash.config import Home
from braindash.encoding.lagscan import check_timing
from braindash.studies.base import Study
from braindash.studies.library import add_study

TR, N_TRS, RATE = 2.0, 80, 8000
PARTS = ("tune", "tune", "tune", "validation", "test")


def response(onsets: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the haemodynamic response to words, by a gamma that peaks at 5 s; not the package's own code."""
    since = times[:, None] - onsets[None]
    return (np.where(since > 0, since, 0) ** 5 * np.exp(-np.maximum(since, 0)) / 120).sum(1)


def write_study(
    folder: Path, late: int, *, subjects: int = 1, signal: float = 1.0, words: bool = True, short: bool = False
) -> Path:
    """Write a table study whose responses come ``late`` TRs later than its row times say."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    stories = []
    for i, part in enumerate(PARTS):
        name, n = f"s{i}", 30 if short else N_TRS
        sf.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(int(n * TR * RATE)), RATE)
        gaps = rng.exponential(0.4, 2000) * rng.choice([1, 8], 2000, p=[0.9, 0.1])  # pauses make the rate vary
        onsets = np.cumsum(gaps)
        onsets = onsets[onsets < n * TR - 1]
        times = (np.arange(n) + 0.5) * TR
        drive = response(onsets, times - late * TR)
        drive = (drive - drive.mean()) / drive.std()
        responses = {}
        for s in range(subjects):
            y = rng.standard_normal((n, 20))
            y[:, :4] += signal * drive[:, None]
            pd.DataFrame(y, columns=[f"t{j}" for j in range(20)]).to_csv(folder / f"{s}_{name}.csv", index=False)
            responses[f"sub-{s}"] = f"{s}_{name}.csv"
        story: dict[str, Any] = {"name": name, "audio": f"{name}.wav", "split": part, "responses": responses}
        if words:
            table = pd.DataFrame({"word": "a", "onset": onsets, "offset": onsets + 0.1})
            table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
            story["words"] = f"{name}.tsv"
        stories.append(story)
    spec = {"braindash": 1, "kind": "table", "id": "timed", "signal": "bold", "tr": TR, "first_row": TR / 2,
            "cortex": "none", "stories": stories}  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return folder


def added(tmp_path: Path, late: int, **how: Any) -> tuple[Home, Study]:
    home = Home(tmp_path / "home")
    return home, add_study(home, "table", write_study(tmp_path / "study", late, **how))


@pytest.mark.parametrize("late", [-3, 0, 4])
def test_a_planted_mistake_of_the_timing_is_found_and_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], late: int
) -> None:
    home, _ = added(tmp_path, late)
    capsys.readouterr()
    assert cli.run(["study", "check", "timed", "--home", str(home.path), "--json"]) == 0
    timing = json.loads(capsys.readouterr().out)["timing"]
    (scan,) = timing["scans"]
    assert scan["tells"]
    assert scan["best_lag_trs"] == pytest.approx(late, abs=0.5)
    assert scan["best_lag_s"] == pytest.approx(scan["best_lag_trs"] * TR)
    assert scan["lags"] == list(range(-6, 7))
    assert scan["n_targets"] == 20
    (finding,) = timing["findings"]
    assert finding["level"] == ("warning" if late else "ok")
    assert cli.run(["study", "check", "timed", "--home", str(home.path)]) == 0
    said = capsys.readouterr().out
    assert ("probably mis-timed" in said) == bool(late)
    assert said.rstrip().endswith("The study can be used.")


def test_it_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, _ = added(tmp_path, 0)
    capsys.readouterr()
    assert cli.run(["study", "check", "timed", "--no-lag", "--home", str(home.path), "--json"]) == 0
    assert "timing" not in json.loads(capsys.readouterr().out)


def test_a_sample_of_the_targets_is_looked_at(tmp_path: Path) -> None:
    _, study = added(tmp_path, 0)
    (scan,), _ = check_timing(study, max_targets=7)
    assert scan.n_targets == 7


@pytest.mark.parametrize(("how", "why"), [({"words": False}, "none has words"), ({"short": True}, "at least 40 TRs")])
def test_why_nothing_was_checked_is_said(tmp_path: Path, how: dict[str, Any], why: str) -> None:
    _, study = added(tmp_path, 0, **how)
    scans, findings = check_timing(study)
    assert scans == []
    assert [f.level for f in findings] == ["note"]
    assert why in findings[0].what


def test_weak_subjects_are_scanned_together(tmp_path: Path) -> None:
    _, study = added(tmp_path, 3, subjects=6, signal=0.08)
    scans, findings = check_timing(study)
    assert len(scans) == 7
    assert not any(s.tells for s in scans[:-1])
    assert scans[-1].tells
    assert scans[-1].subject == "mean of 6"
    assert scans[-1].best == pytest.approx(3, abs=1)
    assert [f.level for f in findings] == ["note"] * 6 + ["warning"]
