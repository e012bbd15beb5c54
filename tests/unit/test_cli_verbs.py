"""The command line: exit codes, one-line errors, --json, and every verb that needs no tuning."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mini_study import write_mini_study
from tiny_models import save_tiny

import braindash.cli as cli
from braindash.cli.progress import Bar
from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs.liveness import identity
from braindash.runs.record import RunStore
from braindash.runs.run import Run

SOURCE = Path(__file__).resolve().parents[2]


class Said:
    """What one call of the command line came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        assert self.out.count("\n") == 1, self.out
        data = json.loads(self.out)
        assert isinstance(data, dict)
        return data


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def say(home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BRAINDASH_HOME", str(home.path))

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = cli.run(list(arguments))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table study and a tiny model."""
    folder = tmp_path_factory.mktemp("cli")
    write_mini_study(folder / "mini", n_trs=12)
    save_tiny("wav2vec2", folder / "w2v")
    return folder


def done_run(home: Home, **changes: Any) -> Run:
    run = RunStore(home).create(TuneConfig(study="mini", model="m", **changes))
    run.update_status(state="done", **identity())
    return run


def one_line_error(said: Said) -> str:
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said.err
    assert "Traceback" not in said.err
    return errors[0]


def test_help_starts_fast_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, resource\nfrom braindash.cli import run\nassert run(['--help']) == 0\n"
        "heavy = {'torch', 'streamlit', 'transformers', 'pandas', 'xarray', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\nuse = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('CPU', use.ru_utime + use.ru_stime)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SOURCE, check=True)
    assert float(done.stdout.split("CPU ")[1]) < 0.7


def test_python_dash_m_gives_the_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "braindash", "runs", "fly"], capture_output=True, text=True, cwd=SOURCE, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_group_alone_asks_for_its_verb(say: Any) -> None:
    said = say("runs")
    assert said.code == 2
    assert one_line_error(said) == "error: Missing command. See `braindash runs --help`."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], ["fly", "braindash --help"]),
        (["tune", "--fly"], ["--fly", "braindash tune --help"]),
        (["runs", "show"], ["RUN", "braindash runs show --help"]),
        (["compare", "x", "--layer", "two"], ["two"]),
        (["runs", "show", "../../etc"], ["There is no run '../../etc'"]),
        (["study", "check", "nope"], ["nope"]),
        (["study", "add", "tabel", "/nowhere"], ["tabel", "table"]),
        (["study", "add", "table"], ["No path is given"]),
        (["study", "add", "table", "/nowhere"], ["/nowhere"]),
        (["study", "add", "lebel2023", "--init", "/x"], ["--init"]),
        (["model", "show", "whisper-tiny.fr"], ["whisper-tiny.fr", "whisper-tiny.en"]),
        (["tune"], ["No study is named", "--study"]),
        (["tune", "--study", "a"], ["No model is named"]),
        (["tune", "--study", "a", "--model", "b", "--recipe", "loora"], ["recipe", "'loora'", "lora"]),
        (["tune", "--study", "a", "--model", "b", "--seed", "-1"], ["seed", "-1"]),
        (["tune", "--config", "/nowhere.yaml"], ["/nowhere.yaml"]),
        (["app", "--port", "99999"], ["99999"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(say: Any, home: Home, arguments: list[str], words: list[str]) -> None:
    for extra in ([], ["--json"]):
        said = say(*arguments, *extra)
        assert said.code == 2
        line = one_line_error(said)
        for word in words:
            assert word in line
        if extra:
            assert set(said.json["error"]) == {"what", "remedy"}
        else:
            assert said.out == ""
    assert not home.path.exists() or not any(p.is_file() for p in home.path.rglob("*.json"))


def test_a_defect_is_exit_code_1_with_its_traceback_kept(
    say: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(self: RunStore) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(RunStore, "list", fail)
    said = say("runs", "list")
    assert said.code == 1
    line = one_line_error(said)
    assert "ZeroDivisionError: two lines" in line
    path = re.search(r"is in (\S+)\.", line + " ")
    assert path is not None
    assert "Traceback" in Path(path[1]).read_text()
    said = say("--debug", "runs", "list")
    assert said.code == 1
    assert "Traceback" in said.err


def test_ctrl_c_is_130(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: RunStore) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "list", interrupt)
    assert say("runs", "list").code == 130


def test_json_is_one_object_whatever_is_printed_on_the_way(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RunStore.list

    def noisy(self: RunStore) -> Any:
        print("a library says hello")
        return real(self)

    monkeypatch.setattr(RunStore, "list", noisy)
    for arguments in (["runs", "list", "--json"], ["--json", "runs", "list"]):
        said = say(*arguments)
        assert said.json["runs"] == []
        assert "hello" in said.err
    assert "hello" in say("runs", "list").out


def test_home_stands_before_or_after_the_verb(say: Any, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    run = done_run(other)
    for arguments in (
        ["--home", str(other.path), "runs", "list", "--json"],
        ["runs", "list", "--home", str(other.path), "--json"],
        ["--home", "/nowhere", "runs", "list", "--home", str(other.path), "--json"],
    ):
        assert [r["id"] for r in say(*arguments).json["runs"]] == [run.id]
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in one_line_error(say("runs", "list", "--home", str(file)))


def test_runs_list_shows_broken_ones_with_the_reason(say: Any, home: Home) -> None:
    good, bad = done_run(home, name="evil \x1b[31m\nname"), done_run(home)
    (bad.path / "status.json").write_text("{")
    said = say("runs", "list")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert f"Run {bad.id} cannot be read" in said.out
    assert {r["id"]: r["state"] for r in say("runs", "list", "--json").json["runs"]} == {
        good.id: "done",
        bad.id: "unreadable",
    }
    assert f"{bad.id}" in one_line_error(say("runs", "show", bad.id))
    assert say("runs", "delete", bad.id, good.id, "--json").json == {"deleted": [bad.id, good.id]}
    assert say("runs", "list", "--json").json["runs"] == []


def test_runs_show_has_command_epochs_and_log(say: Any, home: Home) -> None:
    run = done_run(home, loss="spatial")
    run.append_metrics({"kind": "epoch", "epoch": 1, "train_loss": 0.5, "validation_r": 0.25, "best": True})
    run.log_path.write_text("first\nlast words\n")
    said = say("runs", "show", run.id)
    assert "braindash tune --study mini --model m --loss spatial" in said.out
    assert "0.2500" in said.out
    assert "last words" in said.out
    data = say("runs", "show", run.id, "--json").json
    assert data["status"] == "done"
    assert data["config"]["loss"] == "spatial"
    assert data["epochs"][0]["validation_r"] == 0.25


def test_watching_an_ended_run_tells_its_end_with_its_exit_code(say: Any, home: Home) -> None:
    run = done_run(home)
    assert say("runs", "watch", run.id, "--json").json["status"] == "done"
    run.update_status(state="failed", error={"what": "No x.", "remedy": "Do y.", "kind": "user"})
    said = say("runs", "watch")
    assert said.code == 2
    assert one_line_error(said) == "error: No x. Do y."
    run.update_status(error={"what": "No x.", "remedy": "", "kind": "defect"})
    assert say("runs", "watch").code == 1
    run.update_status(state="stopped", error=None)
    said = say("runs", "watch")
    assert said.code == 1
    assert f"braindash runs resume {run.id}" in said.err


def test_watching_tells_the_epochs(say: Any, home: Home) -> None:
    run = done_run(home)
    for epoch, r in enumerate((0.25, 0.5)):
        run.append_metrics(
            {"kind": "epoch", "epoch": epoch, "validation_r": r, "validation_loss": None, "best": r > 0.3}
        )
    said = say("runs", "watch", run.id, "--json")
    assert "epoch 0: validation r 0.2500, loss –\n" in said.err
    assert "epoch 1: validation r 0.5000, loss – (kept so far)\n" in said.err
    assert [e["validation_r"] for e in said.json["epochs"]] == [0.25, 0.5]


def test_bars_show_text_as_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Bar("1/2 first") as bar:
        bar.show(0.4, "", 30.0)
        bar.title("2/2 [red]second")
        bar.show(0.5, "\x1b[31m")
    assert "1/2 first" in terminal.getvalue()
    assert "2/2 [red]second" in terminal.getvalue()
    assert "\x1b[31m" not in terminal.getvalue()


def test_without_a_terminal_the_end_of_a_step_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("braindash.cli.progress.LINE_SECONDS", 0.0)
    with Bar("first") as bar:
        for fraction in (0.5, 1.0, 1.0, 1.0):
            bar.show(fraction)
        bar.title("second")
        bar.show(1.0, "done")
        bar.show(1.0)
    assert capsys.readouterr().err.splitlines() == ["first 50 %", "first 100 %", "second: done 100 %"]


def test_watch_without_runs_says_so(say: Any) -> None:
    assert "There are no runs" in one_line_error(say("runs", "watch"))


def test_stopping_and_deleting_follow_the_state(say: Any, home: Home) -> None:
    run = done_run(home)
    assert "is done and cannot be stopped" in one_line_error(say("runs", "stop", run.id))
    assert "is done and cannot be resumed" in one_line_error(say("runs", "resume", run.id))
    run.update_status(state="running")
    assert "Stop it first" in one_line_error(say("runs", "delete", run.id))
    assert say("runs", "stop", run.id, "--json").json == {"run": run.id, "status": "stopping"}
    assert run.stop_path.exists()


RECORDS = {
    "run": "",
    "differences": [
        {"model": m, "subject": s, "roi": roi, "layer": layer, "n_targets": 12, "delta_r": 0.031, "ci_low": 0.02,
         "ci_high": None if roi == "cortex" else 0.04, "delta_r_norm": None, "p": 0.01, "q": 0.02}
        for m in ("brain_tuned", "block_permuted")
        for s in ("sub-01", "all")
        for roi in ("late_language", "cortex", "my-parcel")
        for layer in (0, 1)
    ],
}  # fmt: skip


def test_compare_prints_differences_with_intervals(say: Any, home: Home) -> None:
    runs = [done_run(home), done_run(home)]
    assert f"Run {runs[0].id} has not been evaluated" in one_line_error(say("compare", runs[0].id))
    for run in runs:
        (run.path / "records.json").write_text(json.dumps({**RECORDS, "run": run.id}))
    lines = say("compare", runs[0].id, "--layer", "1", "--model", "brain_tuned").out.splitlines()
    assert len(lines) == 3  # the heading and the two named groups; the parcel only when asked for
    row = next(line for line in lines if "late_language" in line)
    assert "+0.031" in row
    assert "[+0.020, +0.040]" in row
    assert "[" not in next(line for line in lines if "cortex" in line)
    assert len(say("compare", runs[0].id, runs[1].id, "--roi", "my-parcel").out.splitlines()) == 9
    assert len(say("compare", *(r.id for r in runs), "--json").json["runs"]) == 2
    assert "Did you mean late_language" in one_line_error(say("compare", runs[0].id, "--roi", "late_langage"))
    assert "sub-02" in one_line_error(say("compare", runs[0].id, "--subject", "sub-02"))


def test_a_study_is_added_checked_listed_and_removed(say: Any, home: Home, mini: Path, tmp_path: Path) -> None:
    written = Path(say("study", "add", "table", "--init", str(tmp_path / "new"), "--json").json["written"])
    assert written.read_text().startswith("#")
    assert say("study", "add", "table", "--init", str(tmp_path / "new")).code == 2  # it does not write over
    data = say("study", "add", "table", str(mini / "mini"), "--json").json
    assert data["study"] == "mini"
    assert data["report"]["subjects"][0]["n_excluded_nan"] == 1
    assert "The study can be used." in say("study", "check", "mini").out
    assert [s["id"] for s in say("study", "list", "--json").json["studies"]] == ["mini"]
    assert "Did you mean mini" in one_line_error(say("study", "check", "minni"))
    assert say("study", "remove", "mini").code == 0
    assert say("study", "list", "--json").json["studies"] == []
    assert (mini / "mini" / "study.yaml").exists()


def test_a_dry_run_starts_nothing_and_lists_every_problem(say: Any, home: Home, mini: Path) -> None:
    say("study", "add", "table", str(mini / "mini"))
    model = str(mini / "w2v")
    said = say("tune", "--study", "mini", "--model", model, "--dry-run", "--json", "--set", "optimiser.epochs=2")
    data = said.json
    assert said.code == 0
    assert data["problems"] == []
    assert (data["n_targets"], data["n_excluded"], data["n_steps"]) == (12, 2, 6)
    assert data["n_stories"] == {"tune": 3, "validation": 1, "test": 2}
    assert data["seconds_per_step"] > 0
    assert data["estimated_seconds"] > 6 * data["seconds_per_step"] * 0.9
    assert data["evaluation_seconds"] > 0
    assert "Gradient checkpointing is off" in data["checkpointing"]
    assert 0 < data["memory_needed"] < data["memory_available"]
    assert 0 < data["disk_needed"] < data["disk_free"]
    assert data["command"] == f"braindash tune --study mini --model {model} --set optimiser.epochs=2"
    wrong = ["--rois", "laud", "--subjects", "sub-01", "--device", "cuda:7", "--set", "layer=9"]
    said = say("tune", "--study", "mini", "--model", model, "--dry-run", "--json", *wrong)
    assert said.code == 2
    told = " ".join(p["what"] + p["remedy"] for p in said.json["problems"])
    for word in ("laud", "cuda:7", "layer is 9"):
        assert word in told
    line = one_line_error(say("tune", "--study", "mini", "--model", model, "--rois", "laud"))
    assert "laud" in line
    assert "loud" in line
    assert "sub-09" in one_line_error(say("tune", "--study", "mini", "--model", model, "--subjects", "sub-09"))
    assert RunStore(home).list() == []


def test_a_model_that_has_seen_a_test_story_is_refused_by_name(say: Any, home: Home, mini: Path) -> None:
    say("study", "add", "table", str(mini / "mini"))
    folder = home.runs / "20260101-000000-lora-mini-seen" / "model"
    folder.mkdir(parents=True)
    about = {"study": "mini", "base": "x", "stories": {"tune": ["one", "five"], "validation": []}}
    (folder / "braindash_model.json").write_text(json.dumps(about))
    from braindash.runs.leaks import refuse_leaks
    from braindash.studies.library import open_study

    study = open_study("mini", home)
    with pytest.raises(BraindashError, match="five"):
        refuse_leaks(study, [folder.parent.name], home)
    about["stories"]["tune"] = ["one"]
    (folder / "braindash_model.json").write_text(json.dumps(about))
    refuse_leaks(study, [folder.parent.name], home)


def test_models_are_listed_and_shown(say: Any, mini: Path) -> None:
    assert "whisper-tiny.en" in [m["id"] for m in say("model", "list", "--json").json["models"]]
    data = say("model", "show", str(mini / "w2v"), "--json").json
    assert (data["family"], data["n_layers"], data["width"]) == ("wav2vec2", 3, 32)
    assert "3 blocks, 4 hidden states" in say("model", "show", str(mini / "w2v")).out


def test_doctor_reports_and_cache_prune_frees(say: Any, home: Home) -> None:
    data = say("doctor", "--json").json
    assert {c["level"] for c in data["checks"]} <= {"ok", "note", "error"}
    assert any("torch" in c["what"] for c in data["checks"])
    leftover = home.runs / ".deleting-x"
    leftover.mkdir(parents=True)
    (leftover / "weights").write_bytes(b"x" * 1000)
    os.utime(leftover, (1, 1))
    kept = done_run(home)
    assert say("cache", "prune", "--json").json["bytes_freed"] == 1000
    assert not leftover.exists()
    assert kept.path.exists()


def test_the_app_is_served_on_this_machine_only(home: Home) -> None:
    """The real server, started as a user would: it answers, and listens on no other address."""
    import time
    import urllib.request

    import psutil

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "braindash", "app", "--home", str(home.path), "--port", str(port), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            for _ in range(240):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                        assert answer.read() == b"ok"
                    break
                except OSError:
                    assert server.poll() is None, server.stdout and server.stdout.read().decode()
                    time.sleep(0.25)
            else:
                pytest.fail("the server did not answer within a minute")
            listening = [c for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
            assert {(c.laddr.ip, c.laddr.port) for c in listening} == {("127.0.0.1", port)}
        finally:
            server.kill()  # Streamlit does not always end on a signal that comes in its first second


def test_a_port_in_use_is_said(say: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "in use" in one_line_error(say("app", "--port", str(taken.getsockname()[1])))


# --- groups --------------------------------------------------------------------------------------

TINY = ("--set", "optimiser.epochs=1", "--set", "encoding.n_boot=100", "--set", "encoding.n_permutations=0")


def test_a_grid_with_seeds_is_tuned_as_a_group(say: Any, home: Home, mini: Path) -> None:
    """The whole way, with a tiny model: every combination, in line, to the table that names the best."""
    say("study", "add", "table", str(mini / "mini"))
    tune = (
        "tune",
        "--study",
        "mini",
        "--model",
        str(mini / "w2v"),
        *TINY,
        "--set",
        "evaluate=false",
        "--device",
        "cpu",
    )
    said = say(*tune, "--grid", "rank=2,4", "--grid", "epochs=1", "--seeds", "2", "--name", "ours", "--json")
    assert said.code == 0, said.err
    data = said.json
    assert (data["group"], data["status"], data["varied"]) == ("ours", "done", ["lora.rank"])
    assert [(r["values"]["lora.rank"], r["seed"], r["status"]) for r in data["runs"]] == [
        (2, 0, "done"), (2, 1, "done"), (4, 0, "done"), (4, 1, "done"),
    ]  # fmt: skip
    store = RunStore(home)
    runs = [store.get(r["run"]) for r in data["runs"]]
    began = [run.status.started or 0.0 for run in runs]
    ended = [run.status.ended or 0.0 for run in runs]
    assert all(end <= start for end, start in zip(ended, began[1:], strict=False))  # one after the other
    for run, row in zip(runs, data["runs"], strict=True):
        epochs = [m for m in run.metrics if m["kind"] == "epoch"]
        assert row["validation_r"] == pytest.approx(epochs[-1]["validation_r"])
        assert (run.model_dir / "adapter_model.safetensors").exists()
    means = {s["values"]["lora.rank"]: s["validation_r"] for s in data["settings"]}
    for rank, of in ((2, runs[:2]), (4, runs[2:])):
        scores = [run.status.validation_r for run in of]
        assert means[rank] == pytest.approx(sum(filter(None, scores)) / 2)
    best = next(s for s in data["settings"] if s["best"])
    assert best["validation_r"] == max(means.values())

    table = say("runs", "group", "ours").out
    assert "Group ours: 4 runs (4 done)" in table
    marked = [line.split()[0] for line in table.splitlines() if line.rstrip().endswith("best")]
    assert marked == [str(best["values"]["lora.rank"])]
    listed = say("runs", "list").out.splitlines()
    assert len(listed) == 2  # the heading and the group
    assert "4 done" in listed[1]
    assert len(say("runs", "list", "--group", "ours").out.splitlines()) == 5
    assert len(say("runs", "list", "--json").json["runs"]) == 4
    assert say("runs", "delete", "--group", "ours", "--yes", "--json").json["deleted"] == [r.id for r in runs]
    assert store.list() == []


@pytest.mark.slow
def test_a_run_with_its_controls_is_evaluated_with_them(say: Any, home: Home, mini: Path) -> None:
    say("study", "add", "table", str(mini / "mini"))
    said = say(
        "tune", "--study", "mini", "--model", str(mini / "w2v"), *TINY, "--set", "permute_block=3", "--device", "cpu",
        "--controls", "block-permuted,head-only", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    runs = {r["control"]: RunStore(home).get(r["run"]) for r in said.json["runs"]}
    assert set(runs) == {"none", "block-permuted", "head-only"}
    records = runs["none"].records()
    assert records is not None
    assert records["models"] == ["pretrained", "brain_tuned", "block_permuted", "head_only"]
    assert runs["block-permuted"].records() is None  # one evaluation shows all of them
    assert len({run.status.n_steps for run in runs.values()}) == 1


def test_a_dry_run_of_a_group_counts_and_starts_nothing(say: Any, home: Home, mini: Path) -> None:
    say("study", "add", "table", str(mini / "mini"))
    tune = ("tune", "--study", "mini", "--model", str(mini / "w2v"), *TINY, "--dry-run", "--json")
    one = say(*tune).json
    data = say(*tune, "--grid", "epochs=1,3", "--seeds", "2", "--controls", "all").json
    reals = 4
    assert data["runs"] == reals * (1 + len(data["controls"]))
    assert "block-permuted" in data["controls"]
    assert set(data["controls"]) | set(data.get("controls_left_out", {})) == {
        "block-permuted", "story-permuted", "random-responses", "stimulus-only", "random-model", "head-only",
    }  # fmt: skip
    found = data["preflight"]
    assert found["n_steps"] == one["n_steps"]
    # half of the runs have one epoch, half have three
    assert data["estimated_seconds"] == pytest.approx(found["estimated_seconds"] * data["runs"] * (1 + 3) / 2)
    assert RunStore(home).list() == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--grid", "rnak=4"], ["'rnak'", "rank"]),
        (["--grid", "rank=4,x"], ["rank", "'x'"]),
        (["--grid", "rank"], ["NAME=VALUE"]),
        (["--grid", "layer=2,9"], ["layer 9", "layers 1 to 3"]),  # found before any run is made
        (["--seeds", "0"], ["0"]),
        (["--controls", "block-permutd"], ["Did you mean block-permuted"]),
        (["--controls", "head-only", "--recipe", "head"], ["head-only"]),
        (["--control", "head-only", "--controls", "block-permuted"], ["itself a control"]),
        (["--seeds", "201"], ["201 runs", "--yes"]),
        (["--partition", "gpu"], ["--partition", "--executor slurm"]),
        (["--executor", "slrum"], ["executor", "'slrum'"]),
        (["--executor", "slurm", "--time", "soon"], ["'soon'", "minutes"]),
        (["--executor", "slurm", "--gpus", "-1"], ["gpus", "-1"]),
        (["--preset", "a-icrl"], ["a-icrl", "a-iclr"]),
    ],
)
def test_a_mistake_in_a_group_makes_no_run(say: Any, home: Home, mini: Path, more: list[str], words: list[str]) -> None:
    say("study", "add", "table", str(mini / "mini"))
    said = say("tune", "--study", "mini", "--model", str(mini / "w2v"), *more)
    assert said.code == 2, said.err
    line = one_line_error(said)
    for word in words:
        assert word in line
    assert RunStore(home).list() == []


def test_the_options_of_an_executor_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    from braindash.cli.executors import executor_from, minutes
    from braindash.config import ExecutorConfig

    assert executor_from({}) == ExecutorConfig()
    assert executor_from({"processes": 2}).processes == 2
    params = {"executor": "slurm", "partition": "gpu", "time": "1-12:00:00", "gpus": 2, "cpus": 8, "memory": 32.0}
    made = executor_from(params | {"account": "lab", "parallel": 4})
    assert made == ExecutorConfig(
        executor="slurm", partition="gpu", time=36 * 60, gpus=2, cpus=8, memory_gb=32, account="lab", parallel=4
    )
    assert [minutes(t) for t in ("90", "8:30", "8:30:00", "0:00:30", "2-0:00")] == [90, 510, 510, 1, 2880]
    for wrong in ("", "x", "1:2:3:4", "-5", "1-5", "1.5"):
        with pytest.raises(BraindashError, match="not a time"):
            minutes(wrong)


def test_a_group_is_stopped_resumed_and_deleted_by_name(say: Any, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<b>$(x)</b> 🧠 'g'"
    runs = [done_run(home, group=hostile, seed=i) for i in range(3)]
    runs[1].update_status(state="running")
    assert "1 of the 3 runs" in one_line_error(say("runs", "delete", "--group", hostile, "--yes"))
    data = say("runs", "stop", "--group", hostile, "--json").json
    assert data["asked"] == [runs[1].id]
    assert runs[1].stop_path.exists()
    runs[1].update_status(state="stopped")
    gone_on: list[str] = []
    monkeypatch.setattr("braindash.jobs.launch.launch_many", lambda some, place: gone_on.extend(r.id for r in some))
    assert say("runs", "resume", "--group", hostile, "--detach", "--json").json["runs"] == [runs[1].id]
    assert gone_on == [runs[1].id]
    assert "Both a run and the group" in one_line_error(say("runs", "stop", runs[0].id, "--group", hostile))
    assert "No run is named" in one_line_error(say("runs", "stop"))
    assert "There is no group 'nobody'" in one_line_error(say("runs", "group", "nobody"))
    assert hostile in say("runs", "group", hostile).out
    assert len(say("runs", "delete", "--group", hostile, "--yes", "--json").json["deleted"]) == 3


def test_ctrl_c_stops_the_whole_group(say: Any, home: Home, mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    say("study", "add", "table", str(mini / "mini"))
    monkeypatch.setattr("braindash.jobs.launch.launch_many", lambda runs, place: None)
    monkeypatch.setattr("braindash.cli.groups.follow", interrupt)
    said = say("tune", "--study", "mini", "--model", str(mini / "w2v"), "--seeds", "3", "--name", "ours")
    assert said.code == 130
    assert "runs resume --group ours" in said.err
    assert [r.state for r in RunStore(home).list()] == ["stopped"] * 3
