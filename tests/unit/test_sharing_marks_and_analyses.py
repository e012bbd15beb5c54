"""What an export carries besides model and scores: analyses of every kind, and what people have written on the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs.arrays import write_arrays
from braindash.runs.documents import write_document
from braindash.runs.importing import import_run
from braindash.runs.marks import NOTE_LENGTH, TAG_LENGTH, Marks, adopt_marks, change_marks, marks_path, read_marks
from braindash.runs.partition_document import read_partition
from braindash.runs.partition_targets import read_partition_targets
from braindash.runs.probing import read_probing
from braindash.runs.record import Run, RunStore
from braindash.runs.rsa import read_rsa
from braindash.runs.sharing import export_run

WHERE = {"model": "pretrained", "subject": "sub-01", "roi": "loud", "layer": 2}
MARKS = Marks(("for SfN", "Überblick"), "Rose most.\n<b>look", True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A tuned run with a partition, probes, RSA and marks; its encoder was never evaluated."""
    home = Home(tmp_path / "here")
    run = RunStore(home).create(TuneConfig(study="mini", model="whisper-tiny.en", recipe="full"))
    run.model_dir.mkdir()
    save_file({"w": torch.zeros(2)}, run.model_dir / "model.safetensors")
    card = {"base": "whisper-tiny.en", "recipe": "full", "study": "mini", "stories": {"tune": ["one"]}}
    (run.model_dir / "braindash_model.json").write_text(json.dumps(card))
    run.update_status(state="done", tuned=True)
    about = {"braindash": 1, "run": run.id, "study": "mini", "models": ["pretrained"], "caveats": [], "layers": [2]}
    row = {**WHERE, "n_targets": 3, "n_available": 3}
    partition = {"spaces": [{"name": "spectral"}], "removed": [], "left_out": [], "layer": 2}
    write_document(run.path / "partition.json", {**about, **partition, "rows": [{**row, "part": "total", "r2": 0.25}]})
    write_arrays(run.path / "partition.nc", parts())
    score = {"model": "pretrained", "task": "phones", "layer": 2, "score": 0.5}
    write_document(run.path / "probing.json", {**about, "rows": [score], "differences": [], "folds": [], "tasks": []})
    write_arrays(run.path / "probing.nc", xr.Dataset({"score": (("fold",), [0.5])}))
    write_document(run.path / "rsa.json", {**about, "rows": [{**row, "similarity": 0.125}], "differences": []})
    write_arrays(run.path / "rsa.nc", xr.Dataset({"layer_rdm": (("pair",), [1.0])}))
    write_document(run.path / "hierarchy.json", {"run": run.id})
    change_marks(home, run.id, starred=True, add=MARKS.tags, note=MARKS.note)
    return run


def parts() -> xr.Dataset:
    return xr.Dataset(
        {"r2": (("model", "part", "target"), np.array([[[0.1, np.nan, 0.3]]], dtype=np.float32))},
        coords={
            "model": ["pretrained"],
            "part": ["total"],
            "subject": ("target", ["sub-01"] * 3),
            "target_index": ("target", np.array([4, 5, 9], dtype=np.int32)),
        },
        attrs={"braindash": 1, "layer": 2},
    )


@pytest.fixture
def records(run: Run) -> None:
    """Scores, without which an evaluation is none: the least that an import takes."""
    lists: dict[str, list[Any]] = {name: [] for name in ("encoding", "differences", "subjects", "models", "layers")}
    (run.path / "records.json").write_text(json.dumps({"braindash": 1, "run": run.id, "study": "mini", **lists}))
    (run.path / "results.zarr").mkdir()
    (run.path / "results.zarr" / ".zattrs").write_text('{"complete": true}')


@pytest.fixture
def there(tmp_path: Path) -> Home:
    return Home(tmp_path / "there")


@pytest.mark.usefixtures("records")
def test_every_analysis_and_the_marks_come_back(run: Run, there: Home, tmp_path: Path) -> None:
    done = export_run(run, tmp_path / "a.zip")
    made = import_run(done.path, there)
    assert done.marks == "a star, 2 tags and a note"
    ours = made.run.path
    for read, column, value in ((read_partition, "r2", 0.25), (read_probing, "score", 0.5),
                                (read_rsa, "similarity", 0.125)):  # fmt: skip
        found = read(ours)
        assert found is not None
        assert found["run"] == made.run.id
        assert [row[column] for row in found["rows"]] == [value]
    targets = read_partition_targets(ours)
    assert targets is not None
    xr.testing.assert_identical(targets, parts())
    for name in ("partition.nc", "probing.nc", "rsa.nc"):
        assert (ours / name).read_bytes() == (run.path / name).read_bytes()
    assert (ours / "hierarchy.json").is_file()
    assert read_marks(there, made.run.id) == MARKS
    assert not (ours / "marks.json").exists()  # they lie outside the run
    assert any("a star, 2 tags and a note, as the sender wrote them" in note for note in made.notes)


def test_without_marks_none_go_along_and_a_run_without_any_says_nothing(run: Run, there: Home, tmp_path: Path) -> None:
    done = export_run(run, tmp_path / "a", results=False, marks=False)
    assert not (tmp_path / "a" / "run" / "marks.json").exists()
    assert done.marks == ""
    made = import_run(tmp_path / "a", there)
    assert read_marks(there, made.run.id) == Marks()
    assert "It came with" not in " ".join(made.notes)


def test_marks_are_cleaned_of_paths_and_names_and_stay_within_their_length(
    run: Run, there: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "zoe")
    longest = ("zoe," * NOTE_LENGTH)[:NOTE_LENGTH]  # "user" is longer than the name that it stands for
    change_marks(run.home, run.id, remove=MARKS.tags, add=["/srv/zoe/x", "zoe " * 10, "/..."], note=longest)
    made = import_run(export_run(run, tmp_path / "a.zip", results=False).path, there)
    found = read_marks(there, made.run.id)
    assert found.note == ("user," * NOTE_LENGTH)[:NOTE_LENGTH]
    assert found.tags == ("x", ("user " * 10)[:TAG_LENGTH].strip())


def test_marks_that_cannot_be_read_stay_here_and_it_is_said(run: Run, tmp_path: Path) -> None:
    marks_path(run.home, run.id).write_text("{")
    done = export_run(run, tmp_path / "a", results=False)
    assert done.marks == ""
    assert "cannot be read" in done.notes[0]
    assert "They are left out" in done.notes[0]


def test_marks_that_are_here_are_kept_and_it_is_said(run: Run, there: Home, tmp_path: Path) -> None:
    path = export_run(run, tmp_path / "a.zip", results=False).path
    marks_path(there, run.id).parent.mkdir(parents=True)
    mine = marks_path(there, run.id)
    mine.write_text('{"braindash": 1, "tags": ["mine"], "note": "", "starred": false}')  # its run was removed by hand
    before = mine.read_bytes()
    made = import_run(path, there)
    assert made.run.id == run.id
    assert mine.read_bytes() == before
    assert any("are here already and are kept (1 tag); a star, 2 tags and a note" in note for note in made.notes)
    again = import_run(path, there)  # under an id of its own, with the marks that came along
    assert again.run.id != run.id
    assert read_marks(there, again.run.id) == MARKS
    assert mine.read_bytes() == before
    mine.write_text("{")  # unreadable ones as well
    assert not adopt_marks(there, run.id, MARKS)
    assert mine.read_text() == "{"


def test_a_disk_that_takes_no_marks_costs_the_marks_alone(run: Run, there: Home, tmp_path: Path) -> None:
    path = export_run(run, tmp_path / "a.zip", results=False).path
    there.path.mkdir()
    (there.path / "marks").write_text("a file where the folder should be")
    made = import_run(path, there)
    assert made.run.config.study == "mini"
    assert any("could not be kept" in note for note in made.notes)


def spoil(folder: Path, name: str, change: Callable[[Path], Any]) -> None:
    """Change a file and make the manifest fit it, as somebody with bad intent would."""
    change(folder / name)
    content = (folder / name).read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refused(folder: Path, home: Home, match: str) -> None:
    with pytest.raises(BraindashError, match=match):
        import_run(folder, home)
    assert list(home.runs.iterdir()) == []
    assert not (home.path / "marks").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"note": "x" * (NOTE_LENGTH + 1)}, "The note has 4,001 characters"),
        ({"note": ["x"]}, "its note is no text"),
        ({"note": None}, "its note is no text"),
        ({"starred": "yes"}, "star neither true nor false"),
        ({"starred": 1}, "star neither true nor false"),
        ({"tags": "talk"}, "no list of texts"),
        ({"tags": [{"a": 1}]}, "no list of texts"),
        ({"tags": ["x" * 41]}, "A tag has 41 characters"),
        ({"tags": ["a,b"]}, "holds a comma"),
        ({"tags": ["\u202e"]}, "A tag is empty"),
        ({"tags": [f"t{i}" for i in range(31)]}, "31 tags"),
        ({"braindash": 2}, "not marks of version 1"),
        ({"more": "x" * 100_000}, r"marks\.json in .* is damaged \(100,"),
    ],
)
def test_hostile_marks_are_refused_with_the_archive(
    run: Run, there: Home, tmp_path: Path, content: dict[str, Any], match: str
) -> None:
    export_run(run, tmp_path / "a", results=False)
    whole = {"braindash": 1, "tags": [], "note": "", "starred": False, **content}
    spoil(tmp_path / "a", "run/marks.json", lambda file: file.write_text(json.dumps(whole)))
    refused(tmp_path / "a", there, match)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 90_000])
def test_marks_that_are_none_are_refused(run: Run, there: Home, tmp_path: Path, content: bytes) -> None:
    export_run(run, tmp_path / "a", results=False)
    spoil(tmp_path / "a", "run/marks.json", lambda file: file.write_bytes(content))
    refused(tmp_path / "a", there, r"marks\.json in .* is damaged")


def test_text_that_turns_other_text_is_taken_out_of_imported_marks(run: Run, there: Home, tmp_path: Path) -> None:
    export_run(run, tmp_path / "a", results=False)
    hostile = {"braindash": 1, "tags": ["a\u202eb\x00"], "note": "c\x1b[31m\u2066d", "starred": False}
    spoil(tmp_path / "a", "run/marks.json", lambda file: file.write_text(json.dumps(hostile)))
    made = import_run(tmp_path / "a", there)
    on_disk = json.loads(marks_path(there, made.run.id).read_text())
    assert (on_disk["tags"], on_disk["note"]) == (["ab"], "c[31md")


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("partition.json", {"rows": [{**WHERE, "part": 3}]}),
        ("partition.json", {"spaces": None}),
        ("probing.json", {"rows": [{"model": "pretrained", "task": "phones", "layer": -1}]}),
        ("rsa.json", {"rows": "many"}),
    ],
)
def test_analyses_that_no_page_could_read_are_refused(
    run: Run, there: Home, tmp_path: Path, name: str, change: dict[str, Any]
) -> None:
    export_run(run, tmp_path / "a")
    spoil(tmp_path / "a", f"results/{name}",
          lambda file: file.write_text(json.dumps({**json.loads(file.read_text()), **change})))  # fmt: skip
    refused(tmp_path / "a", there, f"{name} in .* is damaged")


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize(
    "data",
    [
        parts().drop_vars("subject"),
        parts().transpose("target", "part", "model"),
        parts().rename(r2="r"),
        parts().assign_attrs(braindash="one"),
        parts().assign_attrs(layer="last"),
        parts().drop_vars("part"),
    ],
)
def test_parts_of_targets_in_another_form_are_refused(run: Run, there: Home, tmp_path: Path, data: xr.Dataset) -> None:
    export_run(run, tmp_path / "a")
    spoil(tmp_path / "a", "results/partition.nc", lambda file: write_arrays(file, data))
    refused(tmp_path / "a", there, r"partition\.nc in .* is damaged")
