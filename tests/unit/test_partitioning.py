"""Partitioning a run: the planted drive is found in its space, counts are stated, a mistake changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mini_study import STORIES, TR, write_mini_study
from tiny_models import save_tiny

import braindash.cli as cli
from braindash.config import EncodingConfig, Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs.partition_document import PARTITION, read_partition
from braindash.runs.partition_targets import read_partition_targets
from braindash.runs.partitioning import partition_run
from braindash.runs.record import Run, RunStore

N_TRS = 62


def write_words(folder: Path, seed: int = 3) -> None:
    """Give every story words at random times, and let the targets `quiet` of sub-01 follow their rate."""
    rng = np.random.default_rng(seed)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    for story in spec["stories"]:
        onsets = np.sort(rng.uniform(0, N_TRS * TR - 1, 3 * N_TRS))
        rate = np.bincount((onsets / TR).astype(int), minlength=N_TRS).astype(float)
        words = pd.DataFrame({"word": "so", "onset": onsets, "offset": onsets + 0.1})
        words.to_csv(folder / f"{story['name']}.tsv", sep="\t", index=False)
        story["words"] = f"{story['name']}.tsv"
        for file in story["responses"].values():
            y = pd.read_csv(folder / file)
            drive = np.r_[0, 0, rate[:-2]]
            for i in range(6):
                y[f"quiet{i}"] = (drive - drive.mean()) / drive.std() + 0.5 * rng.standard_normal(N_TRS)
            y.to_csv(folder / file, index=False)
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.studies.library import add_study
    from braindash.tuning import tune

    folder = tmp_path_factory.mktemp("partitioning")
    home = Home(folder / "home")
    write_words(write_mini_study(folder / "mini", subjects=2, n_trs=N_TRS))
    add_study(home, "table", folder / "mini")
    model = str(save_tiny("wav2vec2", folder / "tiny"))
    config = TuneConfig.model_validate(
        {
            "study": "mini", "model": model, "precision": "fp32", "optimiser": {"epochs": 1},
            "encoding": {"n_boot": 100, "alphas": [1, 100, 10000]},
        }
    )  # fmt: skip
    run = RunStore(home).create(config)
    tune(
        open_study("mini", home), open_model(model, home), config, run.path,
        progress=lambda row: None, should_stop=lambda: False,
    )  # fmt: skip
    run.update_status(state="done", tuned=True)
    return run


@pytest.fixture(scope="module")
def document(run: Run) -> dict[str, Any]:
    told: list[tuple[float, str]] = []
    document = partition_run(run, layer=0, progress=lambda f, what: told.append((f, what)))
    assert [f for f, _ in told] == sorted(f for f, _ in told)
    assert told[-1][0] == 1.0
    return document


def row(document: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    (found,) = [r for r in document["rows"] if all(r[k] == v for k, v in wanted.items())]
    return found


def test_the_planted_space_has_the_unique_variance(document: dict[str, Any]) -> None:
    assert [s["name"] for s in document["spaces"]] == ["spectral", "word_rate", "model"]
    assert {e["space"] for e in document["left_out"]} == {"articulatory", "meaning"}
    quiet: dict[str, Any] = {"subject": "all", "roi": "quiet", "model": "pretrained"}
    rate = row(document, **quiet, part="unique:word_rate")
    assert 0.5 < rate["r2"] < 0.95
    assert rate["ci_low"] > 0.3
    assert abs(row(document, **quiet, part="unique:model")["r2"]) < 0.1
    loud: dict[str, Any] = {"subject": "all", "roi": "loud", "model": "pretrained"}
    assert abs(row(document, **loud, part="unique:word_rate")["r2"]) < 0.1
    # loudness is in both the spectrum and the first hidden state: shared between them
    assert row(document, **loud, part="total")["r2"] > 0.4
    assert row(document, **loud, part="shared")["r2"] > 0.3


def test_parts_add_up_and_removal_lowers_what_rests_on_the_removed(document: dict[str, Any]) -> None:
    for subject in ("sub-01", "sub-02", "all"):
        here = [r for r in document["rows"] if (r["subject"], r["roi"], r["model"]) == (subject, "loud", "brain_tuned")]
        parts = {r["part"]: r.get("r2") for r in here}
        unique = sum(v for k, v in parts.items() if k.startswith("unique:"))
        assert parts["total"] == pytest.approx(unique + parts["shared"], abs=1e-6)
    without = row(document, subject="all", roi="loud", model="pretrained", part="removed:spectral")
    assert without["delta_r"] < -0.2
    assert without["ci_low"] < without["delta_r"] < without["ci_high"]
    spared = row(document, subject="all", roi="loud", model="pretrained", part="removed:word_rate")
    assert abs(spared["delta_r"]) < 0.05


def test_single_targets_are_kept_where_they_belong(run: Run, document: dict[str, Any]) -> None:
    from braindash.studies import open_study

    partition_run(run, layer=0)  # whichever test came before
    data = read_partition_targets(run.path)
    assert data is not None
    assert data.attrs["layer"] == 0
    targets = open_study("mini", run.home).targets("sub-02")
    mine = data["r2"].isel(target=np.flatnonzero(data["subject"].values == "sub-02"))
    roi = targets["roi"].to_numpy()[mine["target_index"].values]
    for region in ("loud", "quiet"):
        for part in ("total", "shared", "unique:word_rate", "unique:spectral", "unique:model"):
            here = mine.sel(model="brain_tuned", part=part).values[roi == region]
            mean = row(document, subject="sub-02", roi=region, model="brain_tuned", part=part)["r2"]
            assert here.mean() == pytest.approx(mean, abs=1e-5), (region, part)
    by_region = mine.sel(model="pretrained", part="unique:word_rate").values
    assert by_region[roi == "quiet"].min() > by_region[roi == "loud"].max()  # as planted
    assert read_partition_targets(run.path.parent) is None


def test_models_are_compared_with_the_pretrained_one(document: dict[str, Any]) -> None:
    # layer 0 lies below everything that is tuned: the models are equal there
    for r in document["rows"]:
        if r["model"] == "pretrained":
            assert "change" not in r
        else:
            assert r["change"] == pytest.approx(0, abs=1e-6)


def test_counts_are_stated(run: Run, document: dict[str, Any]) -> None:
    assert row(document, subject="all", roi="quiet", model="pretrained", part="total")["n_targets"] == 12
    few = partition_run(run, layer=0, spaces=["word_rate"], subjects=["sub-01"], max_targets=3)
    shown = row(few, subject="sub-01", roi="loud", model="pretrained", part="total")
    assert (shown["n_targets"], shown["n_available"]) == (3, 6)
    assert any("3 evenly spaced" in c for c in few["caveats"])
    assert {r["part"] for r in few["rows"]} == {
        "total", "shared", "unique:word_rate", "unique:model", "removed:word_rate"
    }  # fmt: skip


def test_it_is_read_back_as_written(run: Run) -> None:
    written = partition_run(run, layer=0, spaces=["spectral"])
    back = read_partition(run.path)
    assert back is not None
    assert back["rows"] == written["rows"]
    assert json.loads((run.path / PARTITION).read_text())["stories"] == [s for s, p in STORIES.items() if p == "test"]
    assert read_partition(run.path.parent) is None
    (run.path / PARTITION).write_text('{"rows": [')
    with pytest.raises(BraindashError, match=f"braindash partition {run.id}"):
        read_partition(run.path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer": 9}, "no layer 9"),
        ({"spaces": ["spectra"]}, "'spectra' is not known"),
        ({"spaces": ["articulatory"]}, "6 of 6 stories have no phones"),
        ({"spaces": ["meaning"]}, "no word vectors"),
        ({"spaces": ["spectral"], "vectors": Path("x.txt")}, "meaning"),
        ({"subjects": ["sub-99"]}, "'sub-99'"),
        ({"max_targets": 0}, "0"),
    ],
)
def test_a_mistake_is_refused_and_leaves_the_old_file(run: Run, changes: dict[str, Any], words: str) -> None:
    (run.path / PARTITION).write_text("old")
    with pytest.raises(BraindashError, match=words):
        partition_run(run, **changes)
    assert (run.path / PARTITION).read_text() == "old"


def test_meaning_from_a_file_counts_what_has_no_vector(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps({"so": [1.0, 2.0], "other": [0.0, 1.0]}))
    config = EncodingConfig(n_boot=100, alphas=(100.0, 10000.0))
    found = partition_run(run, layer=0, spaces=["meaning"], vectors=path, config=config)
    told = next(s for s in found["spaces"] if s["name"] == "meaning")
    assert told["used"] == 3 * N_TRS * len(STORIES)
    assert (told["skipped"], told["width"], found["vectors"]) == (0, 2, "vectors.json")
    assert found["removed"] == []
    assert not any("own word vectors" in c for c in found["caveats"])


def test_the_verb_prints_the_rows(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["partition", run.id, "--layer", "0", "--spaces", "word_rate", "--home", str(run.home.path)]
    assert cli.run(arguments) == 0
    said = capsys.readouterr().out
    assert "unique:word_rate" in said
    assert "Δr without word_rate" in said
    assert cli.run([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(math.isfinite(r["ci_low"]) for r in rows)
    assert cli.run(["partition", run.id, "--layer", "99", "--home", str(run.home.path)]) == 2
    assert "no layer 99" in capsys.readouterr().err
