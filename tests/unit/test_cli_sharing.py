"""The verbs of sharing: what they print, their exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from mini_study import write_mini_study
from safetensors.torch import load_file
from tiny_models import save_tiny

import braindash.cli as cli
from braindash.config import Home, TuneConfig
from braindash.runs.record import RunStore
from braindash.runs.run import Run
from braindash.speech import open_model
from braindash.speech.tuned import write_tuned_info
from braindash.studies.library import add_study

RECORDS: dict[str, Any] = {
    "braindash": 1, "run": "", "study": "mini", "study_title": "Mini", "subjects": ["sub-01"], "model": "base",
    "models": ["pretrained", "brain_tuned"], "layers": [3], "simulated": False, "peaks": [], "group": [],
    "summary": {"answer": ["It gained +0.020."]}, "caveats": [], "excluded": {}, "ceilings": {}, "against_controls": [],
    "encoding": [{"model": "pretrained", "subject": "sub-01", "roi": "loud", "layer": 3, "n_targets": 6, "r": 0.4}],
    "differences": [{"model": "brain_tuned", "subject": "sub-01", "roi": "loud", "layer": 3, "n_targets": 6,
                     "delta_r": 0.02, "ci_low": 0.01, "ci_high": 0.03, "q": 0.001}],
}  # fmt: skip


class Said:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        data = json.loads(self.out)
        assert isinstance(data, dict)
        return data

    @property
    def error(self) -> str:
        """The one line of a mistake: exit code 2, no traceback."""
        assert self.code == 2, (self.code, self.err)
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def say(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BRAINDASH_HOME", str(home.path))

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = cli.run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def run(home: Home) -> Run:
    """A run with whole weights and results, made by hand: nothing is tuned here."""
    save_tiny("wav2vec2", home.models / "base")
    made = RunStore(home).create(TuneConfig(study="mini", model="base", name="mine"))
    made.model_dir.mkdir()
    save_tiny("wav2vec2", home.path / "other", seed=3)
    (home.path / "other" / "model.safetensors").rename(made.model_dir / "model.safetensors")
    write_tuned_info(
        made.model_dir, open_model("base", home), "base", recipe="full", study="mini", stories={"tune": ["one"]},
        subjects=["sub-01"], layer=3, targets={"sub-01": {"n_targets": 6, "n_all": 14}},
    )  # fmt: skip
    import numpy as np
    import xarray as xr

    from braindash.runs.results import write_results

    write_results(made.path, {"encoding": xr.Dataset({"r": ("layer", np.array([0.4]))})}, RECORDS | {"run": made.id})
    made.update_status(state="done", tuned=True)
    return made


def test_a_run_goes_to_another_home_and_is_known_there(say: Any, run: Run, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "shared.zip"
    said = say("runs", "export", run.id, file, "--json").json
    assert (said["run"], said["results"], said["bytes"]) == (run.id, True, file.stat().st_size)
    there = tmp_path / "there"
    save_tiny("wav2vec2", there / "models" / "base")
    got = say("--home", there, "runs", "import", file, "--json").json
    assert (got["run"], got["status"], got["manifest_sha256"]) == (run.id, "done", said["manifest_sha256"])
    listed = say("--home", there, "runs", "list", "--json").json["runs"]
    assert [(r["id"], r["state"], r["name"], r["has_results"]) for r in listed] == [(run.id, "done", "mine", True)]
    shown = say("--home", there, "model", "show", run.id)
    for words in (
        "3 blocks",
        "32",
        "base      base",
        "saw       1 stories of mini (sub-01): one",
        "It gained +0.020",
        "+0.020",
    ):
        assert words in shown.out, shown.out
    assert say("--home", there, "model", "show", run.id, "--json").json["differences"] == RECORDS["differences"]
    assert "+0.020" in say("--home", there, "compare", run.id).out
    again = say("--home", there, "runs", "import", file)
    assert again.code == 0
    assert f"The id {run.id} is taken here" in again.out


def test_wrong_exports_and_imports_are_one_line(say: Any, run: Run, tmp_path: Path) -> None:
    assert "There is no run" in say("runs", "export", "nope", tmp_path / "a.zip").error
    assert "does not exist" in say("runs", "export", run.id, tmp_path / "no" / "a.zip").error
    (tmp_path / "a.zip").write_text("mine")
    assert "--force" in say("runs", "export", run.id, tmp_path / "a.zip").error
    assert (tmp_path / "a.zip").read_text() == "mine"
    assert "not a whole zip file" in say("runs", "import", tmp_path / "a.zip").error
    assert "There is no" in say("runs", "import", tmp_path / "b.zip").error
    assert say("runs", "export", run.id, tmp_path / "a.zip", "--force", "--no-results").code == 0
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as out:
        out.writestr("../../evil", "x")
    assert "'../../evil', which no export has" in say("runs", "import", tmp_path / "a.zip").error


def test_a_model_of_another_lab_step_by_step(say: Any, home: Home, tmp_path: Path) -> None:
    """A .pth: convert, be refused, say what it saw, be refused a story it saw, evaluate."""
    save_tiny("wav2vec2", home.models / "base")
    tuned = save_tiny("wav2vec2", tmp_path / "tuned", seed=4)
    state = {f"module.wav2vec2.{k}": v for k, v in load_file(tuned / "model.safetensors").items()}
    torch.save({"state_dict": state | {"module.head.weight": torch.zeros(2)}}, tmp_path / "theirs.pth")
    add_study(home, "table", write_mini_study(tmp_path / "mini", n_trs=62))

    said = say("model", "convert", tmp_path / "theirs.pth", tmp_path / "out", "--base", "base")
    assert said.code == 0, said.err
    assert f"{len(state)} of {len(state)} tensors matched under 'module.wav2vec2.'" in said.out
    assert "1 not of the encoder, left out: module.head.weight" in said.out
    assert "saw       not known" in say("model", "show", tmp_path / "out").out
    refused = say("model", "evaluate", tmp_path / "out", "--study", "mini").error
    assert "is not known" in refused
    assert "--seen none" in refused
    assert "--seen FILE" in say("model", "add", tmp_path / "out", "--name", "theirs").error

    seen = tmp_path / "seen.yaml"
    seen.write_text("stories: [five, one]\nreference: Doe 2025\n")
    assert say("model", "add", tmp_path / "out", "--name", "theirs", "--seen", seen, "--json").json["model"] == "theirs"
    assert "tuned or chosen on five" in say("model", "evaluate", "theirs", "--study", "mini").error
    assert "tuned or chosen on five" in say("tune", "--study", "mini", "--model", "theirs").error

    seen.write_text("stories: [one]\nreference: Doe 2025\n")
    assert say("model", "add", "theirs", "--seen", seen).code == 0
    fast = ("--set", "encoding.n_boot=100", "--set", "encoding.n_permutations=0", "--set", "encoding.layers=[0,3]")
    done = say("model", "evaluate", "theirs", "--study", "mini", *fast, "--device", "cpu", "--json").json
    assert done["status"] == "done"
    assert done["answer"]
    listed = say("runs", "show", done["run"], "--json").json
    assert listed["config"]["recipe"] == "imported"
    assert listed["command"] == "braindash model evaluate theirs --study mini"
    # what was made here can be shared in turn, and still says what it saw
    assert say("runs", "export", done["run"], tmp_path / "again.zip").code == 0
    there = tmp_path / "there"
    assert say("--home", there, "runs", "import", tmp_path / "again.zip").code == 0
    save_tiny("wav2vec2", there / "models" / "base")
    shown = say("--home", there, "model", "show", done["run"]).out
    assert "one" in shown
    assert "Doe 2025" in shown


def test_wrong_models_are_one_line(say: Any, home: Home, tmp_path: Path) -> None:
    save_tiny("wav2vec2", home.models / "base")
    assert "There is no folder" in say("model", "add", tmp_path / "nothing").error
    assert "There is no file" in say("model", "convert", tmp_path / "x.pth", tmp_path / "o", "--base", "base").error
    (tmp_path / "x.pth").write_bytes(os.urandom(500))
    assert "x.pth" in say("model", "convert", tmp_path / "x.pth", tmp_path / "o", "--base", "base").error
    assert "nobase" in say("model", "convert", tmp_path / "x.pth", tmp_path / "o", "--base", "nobase").error
    assert "nostudy" in say("model", "evaluate", "base", "--study", "nostudy").error
    add_study(home, "table", write_mini_study(tmp_path / "mini", n_trs=12))
    assert "not a tuned model" in say("model", "evaluate", "base", "--study", "mini").error
    assert "encoding.n_boot=2000" in say("model", "evaluate", "base", "--study", "mini", "--set", "lora.rank=3").error
    bad = tmp_path / "seen.yaml"
    bad.write_text("stories: 3")
    assert (
        "seen.yaml" in say("model", "add", home.models / "base", "--name", "b", "--base", "base", "--seen", bad).error
    )
    missing = say("model", "add", home.models / "base", "--base", "base", "--seen", tmp_path / "no.yaml")
    assert "cannot be read" in missing.error
