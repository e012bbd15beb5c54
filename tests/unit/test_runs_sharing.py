"""Sharing a run: what an export holds and does not hold, what an import proves, and hostile archives."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mini_study import write_mini_study
from tiny_models import save_tiny

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, LeakageError
from braindash.runs import archive
from braindash.runs.evaluate import evaluate_run
from braindash.runs.importing import import_run
from braindash.runs.leaks import refuse_leaks, stories_seen
from braindash.runs.record import Run, RunStore
from braindash.runs.results import open_results, read_records
from braindash.runs.scrub import Scrubber
from braindash.runs.sharing import export_run
from braindash.speech import open_model

AUDIO = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
USER, HOST = "zoltanina", "cortexbox7"
ENCODING = {"n_permutations": 20, "n_boot": 100, "layers": [0, 3]}


def tuned(home: Home, model: str, **changes: Any) -> Run:
    from braindash.studies import open_study
    from braindash.tuning import tune

    settings = {"study": "mini", "model": model, "precision": "fp32", "optimiser": {"epochs": 1}, "encoding": ENCODING}
    config = TuneConfig.model_validate(settings | changes)
    run = RunStore(home).create(config, provenance={"seed": 0})
    rows = lambda row: run.append_metrics(row)  # noqa: E731
    tune(open_study("mini", home), open_model(model, home), config, run.path, progress=rows, should_stop=lambda: False)
    run.update_status(state="done", tuned=True, host=HOST, pid=4242)
    return run


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Run]:
    """A run, tuned and evaluated, in a home whose path, user and host must never be told to anybody."""
    from braindash.studies.library import add_study

    folder = tmp_path_factory.mktemp("lab") / "home of" / USER
    home = Home(folder / "brain data")
    add_study(home, "table", write_mini_study(folder / "mini", n_trs=62))
    model = save_tiny("wav2vec2", folder / "my models" / "tiny")
    run = tuned(home, str(model), name="first try")
    evaluate_run(run)
    run.add_provenance(
        device="cpu",
        weights={"id": "tiny", "hash": "0" * 64, "source": f"the folder {model}", "licence": "mit"},
        data={"study": "mini", "title": "Mini", "tr": 2.0, "subjects": ["sub-01"], "root": str(folder / "mini")},
        split={"tune": ["one", "two", "three"], "validation": ["four"], "test": ["five", "six"]},
        command=f"braindash tune --model '{model}'",
        host=HOST,
        seen_by=f"{USER} on {HOST}",
    )
    run.append_metrics({"kind": "log", "text": f"{USER}@{HOST}: wrote {home.path}/features/ab and /scratch/{USER}/x."})
    return home, run


@pytest.fixture
def lab(shared: tuple[Home, Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    home, run = shared
    monkeypatch.setenv("USER", USER)
    monkeypatch.setenv("LOGNAME", USER)
    monkeypatch.setenv("HOME", str(home.path.parent))
    monkeypatch.setattr("socket.gethostname", lambda: HOST)
    return run


@pytest.fixture
def exported(lab: Run, tmp_path: Path) -> Path:
    """The export as a folder, to be spoilt."""
    export_run(lab, tmp_path / "shared")
    return tmp_path / "shared"


@pytest.fixture
def elsewhere(tmp_path: Path, shared: tuple[Home, Run]) -> Home:
    """Another lab: it has the base model, under a name of its own, and no study."""
    home = Home(tmp_path / "elsewhere")
    source = shared[0].path.parent / "my models" / "tiny"
    shutil.copytree(source, home.models / "tiny")
    return home


# -- what an export holds --------------------------------------------------------------------------


def test_an_export_holds_what_is_needed_and_its_manifest_proves_it(lab: Run, exported: Path) -> None:
    names = {p.relative_to(exported).as_posix() for p in exported.rglob("*") if p.is_file()}
    assert names >= {
        "README.md", "citation.bib", "adapter_config.json", "adapter_model.safetensors", "head.safetensors",
        "braindash_model.json", "run/config.yaml", "run/provenance.json", "run/metrics.jsonl",
        "results/records.json", "results/results.zarr/encoding/r/0.0.0",
    }  # fmt: skip
    assert not [n for n in names if n.endswith((".wav", ".csv", ".npy", "log.txt", "status.json"))]
    manifest = json.loads((exported / "manifest.json").read_text())
    assert manifest["files"].keys() == names - {"manifest.json"}
    for name, fact in manifest["files"].items():
        content = (exported / name).read_bytes()
        assert fact == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    weights = lab.model_dir / "adapter_model.safetensors"
    assert (exported / "adapter_model.safetensors").read_bytes() == weights.read_bytes()


def test_the_card_says_what_it_is_what_it_saw_and_how_it_scored(lab: Run, exported: Path) -> None:
    card = (exported / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["base_model"] == "tiny"
    for said in (
        "stories tuned on: one, two, three", "stories used to choose the epoch: four", "stories tested on: five, six",
        "subjects: sub-01", "licence of the base model: mit", "braindash runs import", "@misc{",
    ):  # fmt: skip
        assert said in card
    row = next(
        r for r in read_records(lab.path)["differences"]  # type: ignore[index]
        if (r["roi"], r["layer"], r["subject"]) == ("loud", 3, "sub-01")
    )  # fmt: skip
    low, high = row["ci_low"], row["ci_high"]
    interval = f"[{low:+.4f}, {high:+.4f}]" if low == low else "(no interval)"
    assert f"| loud | 3 | {row['n_targets']} | {row['delta_r']:+.4f} {interval} |" in card
    assert "@inproceedings{hu2022lora" in (exported / "citation.bib").read_text()


def test_nothing_of_the_machine_leaks(lab: Run, exported: Path) -> None:
    private = [USER, HOST, "home of", "brain data", "my models", str(Path(__file__).parents[2]), "/scratch"]
    for file in (p for p in exported.rglob("*") if p.is_file()):
        content = file.read_bytes()
        for word in private:
            assert word.encode() not in content, f"{word!r} is in {file.name}"
        if file.suffix in (".json", ".yaml", ".jsonl", ".md"):
            assert not re.search(rb"(?<![\w.:/])/(?:home|tmp|root|Users|scratch|work)/", content), file.name
    config = yaml.safe_load((exported / "run" / "config.yaml").read_text())
    assert config["model"] == "tiny"
    provenance = json.loads((exported / "run" / "provenance.json").read_text())
    assert provenance["weights"]["source"] == "the folder tiny"
    assert provenance["seen_by"] == "user on host"
    assert not {"command", "host"} & provenance.keys()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/srv/x/y.wav", "y.wav"),
        ("wrote /srv/x/y.wav, then ~/notes/a.txt.", "wrote y.wav, then a.txt"),
        ("'/srv/my files/y z' and \"/a/b c\"", "'y z' and \"b c\""),
        (r"C:\Users\ann\m and \\server\share\m", "m and m"),
        ("file:///srv/x/y, lab:/data/z", "y, lab:z"),
        ("https://host.org/a/b r/ceiling 1/2 and/or 10 / 3 facebook/hubert-base", None),
        ("@inproceedings 0.338 → 0.355 (sub-01/five)", None),
    ],
)
def test_paths_go_and_everything_else_stays(text: str, clean: str | None, tmp_path: Path) -> None:
    assert Scrubber(tmp_path).text(text) == (text if clean is None else clean)


def test_a_user_called_like_a_story_keeps_the_story(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USER", "alice")
    assert Scrubber(tmp_path).text("alice-01") == "user-01"
    assert Scrubber(tmp_path, keep=["alice-01"]).text("alice-01") == "alice-01"


def test_the_same_run_gives_the_same_bytes(lab: Run, tmp_path: Path) -> None:
    first, second = (export_run(lab, tmp_path / f"{n}.zip") for n in "ab")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


def test_a_run_of_an_older_braindash_is_exported(lab: Run, tmp_path: Path) -> None:
    """Its card lacks the settings that came later."""
    card = lab.model_dir / "braindash_model.json"
    before = card.read_text()
    about = json.loads(before)
    del about["config"]["hemi"], about["config"]["head"]["shared_output"], about["config"]["full"]
    try:
        card.write_text(json.dumps(about))
        assert "hu2022lora" in (export_run(lab, tmp_path / "a").path / "citation.bib").read_text()
    finally:
        card.write_text(before)


def test_without_results_there_are_none(lab: Run, tmp_path: Path, elsewhere: Home) -> None:
    done = export_run(lab, tmp_path / "a.zip", results=False)
    assert not done.with_results
    assert "Not evaluated, or shared without results" in zipfile.ZipFile(done.path).read("README.md").decode()
    made = import_run(done.path, elsewhere)
    assert not made.evaluated
    assert made.run.records() is None


def test_an_exported_folder_is_a_model_by_itself(lab: Run, exported: Path, elsewhere: Home) -> None:
    expected = open_model(lab.id, lab.home).hidden_states(AUDIO)
    assert np.array_equal(open_model(exported, elsewhere).hidden_states(AUDIO), expected)


def test_peft_alone_reads_the_adapter(lab: Run, exported: Path, elsewhere: Home) -> None:
    import torch
    import transformers
    from peft import PeftModel

    encoder = transformers.Wav2Vec2Model.from_pretrained(elsewhere.models / "tiny").eval()
    model = PeftModel.from_pretrained(encoder, str(exported)).eval()
    wave = (AUDIO - AUDIO.mean()) / np.sqrt(AUDIO.var() + 1e-7)
    with torch.no_grad():
        states = model(torch.from_numpy(wave)[None], output_hidden_states=True).hidden_states
    expected = open_model(lab.id, lab.home).hidden_states(AUDIO)
    assert np.abs(np.stack([s[0].numpy() for s in states]) - expected).max() < 1e-5
    assert (
        np.abs(expected - open_model("tiny", elsewhere).hidden_states(AUDIO)).max() > 1e-3
    )  # the adapter does something


# -- where it is written ---------------------------------------------------------------------------


def test_what_is_there_is_not_replaced(lab: Run, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match="is there already"):
        export_run(lab, exported)
    (exported / "README.md").write_text("old")
    export_run(lab, exported, force=True)
    assert "tuned on mini" in (exported / "README.md").read_text()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    with pytest.raises(BraindashError, match="not an export"):
        export_run(lab, precious, force=True)
    assert (precious / "thesis.tex").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("name", ["full.zip", "full"])
def test_a_full_disk_leaves_nothing(lab: Run, tmp_path: Path, name: str) -> None:
    """For real: the file-size limit of a child process stands in for the disk, at 100 kB."""
    code = (
        "import errno, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from braindash.runs import sharing\n"
        "from braindash.runs.run import Run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "import braindash.files; braindash.files.FULL = frozenset({errno.EFBIG, errno.ENOSPC})\n"
        "try:\n"
        f"    sharing.export_run(Run({str(lab.path)!r}), Path({str(tmp_path / name)!r}))\n"
        "except sharing.BraindashError as error:\n"
        "    sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_source())
    assert "The disk is full" in done.stderr
    assert "--no-results" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_at_work_or_without_a_model_is_refused(lab: Run, tmp_path: Path) -> None:
    new = RunStore(lab.home).create(lab.config)
    try:
        with pytest.raises(BraindashError, match="is queued"):
            export_run(new, tmp_path / "a.zip")
        new.update_status(state="failed")
        with pytest.raises(BraindashError, match="no tuned model"):
            export_run(new, tmp_path / "a.zip")
        with pytest.raises(BraindashError, match="does not exist"):
            export_run(lab, tmp_path / "no" / "a.zip")
    finally:
        RunStore(lab.home).delete(new.id)


# -- on the other machine --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.zip", "a"])
def test_an_imported_run_is_a_run(lab: Run, elsewhere: Home, tmp_path: Path, name: str) -> None:
    done = export_run(lab, tmp_path / name)
    made = import_run(done.path, elsewhere)
    run = made.run
    assert (run.id, made.evaluated) == (lab.id, True)
    row = RunStore(elsewhere).row(run.id)
    assert (row.state, row.study, row.name, row.has_results, row.problem) == ("done", "mini", "first try", True, "")
    assert row.created == pytest.approx(lab.status.created)
    assert run.provenance["imported"]["run"] == lab.id
    assert [m for m in run.metrics if m["kind"] == "epoch"] == [m for m in lab.metrics if m["kind"] == "epoch"]
    expected = open_model(lab.id, lab.home)
    assert open_model(run.id, elsewhere).weights_hash == expected.weights_hash
    assert np.array_equal(open_model(run.id, elsewhere).hidden_states(AUDIO), expected.hidden_states(AUDIO))
    theirs, ours = (read_records(r.path) for r in (run, lab))
    assert theirs is not None
    assert ours is not None
    assert json.dumps(theirs["differences"]) == json.dumps(ours["differences"])
    mine, yours = (open_results(r.path)["encoding"]["r"].values for r in (run, lab))
    assert np.array_equal(mine, yours, equal_nan=True)
    assert "The study mini is not in this home" in " ".join(made.notes)
    from braindash.reports.methods import methods_text

    assert "mini" in methods_text(run)


def test_it_can_be_evaluated_again_where_study_and_base_are(
    lab: Run, elsewhere: Home, exported: Path, tmp_path: Path
) -> None:
    from braindash.studies.library import add_study

    add_study(elsewhere, "table", write_mini_study(tmp_path / "mini", n_trs=62))
    made = import_run(exported, elsewhere)
    assert made.notes == []
    ours = read_records(lab.path)
    records = evaluate_run(made.run)
    assert ours is not None
    for mine, theirs in zip(records["differences"], ours["differences"], strict=True):
        assert mine["delta_r"] == pytest.approx(theirs["delta_r"], abs=1e-6, nan_ok=True)
    assert records["run"] == made.run.id


def test_a_taken_id_is_replaced_and_said(lab: Run, elsewhere: Home, exported: Path) -> None:
    first, second = import_run(exported, elsewhere), import_run(exported, elsewhere)
    assert first.run.id == lab.id != second.run.id
    assert f"The id {lab.id} is taken" in second.notes[0]
    records = read_records(second.run.path)
    assert records is not None
    assert records["run"] == second.run.id
    assert records["provenance"]["runs"]["brain_tuned"] == second.run.id
    assert open_model(second.run.id, elsewhere).n_layers == 3


def test_a_base_of_another_name_is_named_and_proven(exported: Path, elsewhere: Home) -> None:
    (elsewhere.models / "tiny").rename(elsewhere.models / "their-w2v")
    unknown = import_run(exported, elsewhere)
    assert "--base REF" in " ".join(unknown.notes)
    made = import_run(exported, elsewhere, base="their-w2v")
    assert made.run.config.model == "their-w2v"
    assert open_model(made.run.id, elsewhere).n_layers == 3
    save_tiny("wav2vec2", elsewhere.models / "wrong", seed=5)
    wrong = import_run(exported, elsewhere, base="wrong")
    with pytest.raises(BraindashError, match="tuned from other weights"):
        open_model(wrong.run.id, elsewhere)


def test_the_leakage_guard_knows_the_stories_of_an_imported_run(
    exported: Path, elsewhere: Home, tmp_path: Path
) -> None:
    from braindash.studies.library import add_study

    made = import_run(exported, elsewhere)
    folder = write_mini_study(tmp_path / "mini", n_trs=62)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    spec["id"] = "other"
    for story in spec["stories"]:
        story["split"] = {"two": "test", "five": "tune"}.get(story["name"], story["split"])
        story["name"] = f"new-{story['name']}"
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(LeakageError, match="new-two"):
        refuse_leaks(add_study(elsewhere, "table", folder), [made.run.id], elsewhere)


def test_what_the_base_saw_travels_along(lab: Run, tmp_path: Path, elsewhere: Home) -> None:
    """A run tuned from a run: the first one's stories are known although it is not there."""
    again = tuned(lab.home, lab.id, evaluate=False)
    try:
        export_run(again, tmp_path / "b")
    finally:
        RunStore(lab.home).delete(again.id)
    made = import_run(tmp_path / "b", elsewhere)
    seen = stories_seen(made.run.id, elsewhere)
    assert [(s.model, set(s.stories)) for s in seen][1] == (lab.id, {"one", "two", "three", "four"})


# -- archives that are damaged or hostile ----------------------------------------------------------


def spoil(folder: Path, change: Callable[[Path], None]) -> None:
    """Change files of an export and make its manifest fit them: what a careful attacker would do."""
    change(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    manifest["files"] = {
        p.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
            "bytes": p.stat().st_size,
        }
        for p in files
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refused(path: Path, home: Home, match: str) -> None:
    with pytest.raises(BraindashError, match=match):
        import_run(path, home)
    assert not home.runs.exists() or list(home.runs.iterdir()) == []


def test_a_changed_file_is_found(exported: Path, elsewhere: Home) -> None:
    with (exported / "head.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    refused(exported, elsewhere, r"head\.safetensors .* not what its manifest says")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_zip_is_refused(lab: Run, elsewhere: Home, tmp_path: Path, keep: float) -> None:
    whole = export_run(lab, tmp_path / "a.zip").path.read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: int(len(whole) * keep)])
    refused(tmp_path / "cut.zip", elsewhere, "not a whole zip file")


def test_a_damaged_byte_in_a_zip_is_refused(lab: Run, elsewhere: Home, tmp_path: Path) -> None:
    path = export_run(lab, tmp_path / "a.zip").path
    with zipfile.ZipFile(path) as whole:
        info = whole.getinfo("adapter_model.safetensors")
    with path.open("r+b") as file:
        file.seek(info.header_offset + 200)
        file.write(b"\xff\x00\xff")
    refused(path, elsewhere, "not a whole zip file|not what its manifest says")


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/tmp/evil.json", "results/../../evil.json", "..\\evil.json", "C:/evil.json", "run/../status.json",
     "model.pkl", "pytorch_model.bin", "status.json", "results/status.json", "results/executor.json", "stop",
     "results/results.zarr/../../../evil", "results/results.zarr/x/.zarray\n", "run/config.yaml/x"],
)  # fmt: skip
def test_names_that_no_export_has_are_refused(lab: Run, elsewhere: Home, tmp_path: Path, name: str) -> None:
    path = export_run(lab, tmp_path / "in" / "a.zip" if (tmp_path / "in").mkdir() is None else tmp_path).path
    with zipfile.ZipFile(path, "a") as out:
        out.writestr(name, b"{}")
    refused(path, elsewhere, "which no export has")
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/tmp/evil.json").exists()


@pytest.mark.parametrize("name", ["Results.json", "readme.MD", "results/results.zarr/ENCODING/r/0.0.0"])
def test_names_that_differ_in_case_alone_are_refused(lab: Run, elsewhere: Home, tmp_path: Path, name: str) -> None:
    path = export_run(lab, tmp_path / "a.zip").path
    with zipfile.ZipFile(path, "a") as out:
        out.writestr(name, b"{}")
    refused(path, elsewhere, "twice|which no export has")


def test_a_name_that_is_file_and_folder_is_refused(lab: Run, elsewhere: Home, tmp_path: Path) -> None:
    path = export_run(lab, tmp_path / "a.zip").path
    with zipfile.ZipFile(path) as whole:
        contents = {n: whole.read(n) for n in whole.namelist()}
    clash = {"results/results.zarr/7": b"x", "results/results.zarr/7/.zgroup": b"{}"}
    manifest = json.loads(contents.pop("manifest.json"))
    for name, content in clash.items():
        manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    with zipfile.ZipFile(path, "w") as out:
        for name, content in (contents | clash).items():
            out.writestr(name, content)
        out.writestr("manifest.json", json.dumps(manifest))
    refused(path, elsewhere, "both as a file and as a folder")


def test_links_are_refused_in_zips_and_folders(lab: Run, exported: Path, elsewhere: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": 1}')
    (exported / "results" / "partition.json").symlink_to(secret)
    refused(exported, elsewhere, "is a link or no plain file")
    path = export_run(lab, tmp_path / "a.zip").path
    with zipfile.ZipFile(path, "a") as out:
        info = zipfile.ZipInfo("results/partition.json")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(info, str(secret))
    refused(path, elsewhere, "as a link")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(exported: Path, elsewhere: Home, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    zeros = bytes(2**20)
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out,
        out.open("model.safetensors", "w", force_zip64=True) as f,
    ):
        for _ in range(1200):
            f.write(zeros)
    assert bomb.stat().st_size < 2 * 2**20
    refused(bomb, elsewhere, "would unpack to 1,258,291,200 bytes")


def test_an_entry_larger_than_it_says_is_refused(lab: Run, elsewhere: Home, tmp_path: Path) -> None:
    """The sizes in the directory of the zip are lies: reading stops at what the manifest says."""
    path = export_run(lab, tmp_path / "a.zip").path
    with zipfile.ZipFile(path) as whole:
        manifest = json.loads(whole.read("manifest.json"))
        contents = {n: whole.read(n) for n in whole.namelist()}
    contents["run/metrics.jsonl"] += b"x" * 5_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in contents.items():
            out.writestr(name, content)
    assert manifest["files"]["run/metrics.jsonl"]["bytes"] < 5_000_000
    refused(path, elsewhere, r"run/metrics\.jsonl .* not what its manifest says")


def test_a_pickle_codec_in_the_results_is_refused_and_does_nothing(
    exported: Path, elsewhere: Home, tmp_path: Path
) -> None:
    """numcodecs can unpickle chunks: an array that asks for it would run this when a page reads it."""
    fuse = tmp_path / "exploded"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {fuse}",)

    def change(folder: Path) -> None:
        array = folder / "results" / "results.zarr" / "encoding" / "r"
        about = json.loads((array / ".zarray").read_text())
        about |= {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 4}], "compressor": None}
        (array / ".zarray").write_text(json.dumps(about))
        (array / "0.0.0").write_bytes(pickle.dumps(Bomb()))

    spoil(exported, change)
    refused(exported, elsewhere, r"packed by 'pickle'")
    assert not fuse.exists()


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("results/results.zarr/encoding/r/.zarray", {"dtype": "|O", "filters": None}, "not numbers or text"),
        ("results/results.zarr/encoding/r/.zarray", {"shape": [10**9, 10**9, 10]}, "too large"),
        ("results/results.zarr/encoding/r/.zarray", {"chunks": "many"}, "is damaged"),
        ("braindash_model.json", {"base": 3}, "names no base"),
        ("results/records.json", {"encoding": [{"r": 1}]}, "a row lacks"),
        ("results/records.json", {"differences": None}, "lacks one of"),
        ("results/results.zarr/.zattrs", {"complete": False}, "cut off"),
        ("manifest.json", {"braindash_export": 99}, "newer braindash"),
    ],
)
def test_contents_that_do_not_hold_are_refused(
    exported: Path, elsewhere: Home, file: str, content: dict[str, Any], match: str
) -> None:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **content}))

    spoil(exported, change)
    refused(exported, elsewhere, match)


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("adapter_model.safetensors", b"\x80\x04c__main__\nx", r"adapter_model\.safetensors .* is damaged"),
        ("braindash_model.json", b"[" * 200_000, "is damaged"),
        ("run/config.yaml", b"a: &a [1,1]\nb: &b [*a,*a]\nstudy: [*b,*b]", "aliases"),
        ("run/config.yaml", b"!!python/object/apply:os.system ['true']", "is damaged"),
        ("run/config.yaml", b"study: mini\nmodel: m\nexecute: rm", "unknown setting"),
        ("manifest.json", b"{}", "is damaged"),
        ("manifest.json", b"\x00", "is damaged"),
    ],
)
def test_files_that_are_not_what_they_are_called_are_refused(
    exported: Path, elsewhere: Home, file: str, content: bytes, match: str
) -> None:
    if file == "manifest.json":
        (exported / file).write_bytes(content)
    else:
        spoil(exported, lambda folder: (folder / file).write_bytes(content) and None)
    refused(exported, elsewhere, match)


def test_missing_and_unlisted_files_are_named(exported: Path, elsewhere: Home) -> None:
    (exported / "run" / "metrics.jsonl").rename(exported / "results" / "rsa.json")
    refused(exported, elsewhere, r"lacks run/metrics\.jsonl")
    manifest = json.loads((exported / "manifest.json").read_text())
    del manifest["files"]["run/metrics.jsonl"]
    (exported / "manifest.json").write_text(json.dumps(manifest))
    refused(exported, elsewhere, r"does not list: results/rsa\.json")


def test_what_is_no_export_is_said(tmp_path: Path, elsewhere: Home) -> None:
    refused(tmp_path / "nothing.zip", elsewhere, "There is no")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", elsewhere, "not an exported run")
    (tmp_path / "text.zip").write_text("hello")
    refused(tmp_path / "text.zip", elsewhere, "not a whole zip file")


def test_the_guide_lists_what_an_export_holds_and_its_example_is_read(exported: Path, tmp_path: Path) -> None:
    from braindash.speech.seen import read_seen

    guide = (_source() / "docs" / "sharing.md").read_text(encoding="utf-8")
    for name in {p.relative_to(exported).parts[0] for p in exported.rglob("*")}:
        assert f"`{name}" in guide, name
    (tmp_path / "seen.yaml").write_text(guide.split("```yaml\n")[1].split("```")[0])
    seen = read_seen(tmp_path / "seen.yaml")
    assert seen.stories == ("alternateithicatom", "avatar", "howtodraw")
    assert set(seen.audio) == {"avatar"}


def test_every_file_that_may_come_has_one_place() -> None:
    assert archive.place_of("README.md") == "model/README.md"
    assert archive.place_of("run/config.yaml") == "config.yaml"
    assert archive.place_of("model-00001-of-00002.safetensors") == "model/model-00001-of-00002.safetensors"
    assert archive.place_of("results/results.zarr/.zattrs") == "results.zarr/.zattrs"


def _source() -> Path:
    return Path(__file__).resolve().parents[2]
