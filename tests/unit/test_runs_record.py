"""Run folders: making, finding, listing, deleting; and folders that someone damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, RunStateError
from braindash.runs import liveness
from braindash.runs import run as run_module
from braindash.runs.record import RUN_ID, RunStore
from braindash.runs.run import Run

CONFIG = TuneConfig(study="mini", model="whisper-tiny.en", name="<b>label</b>", rois=("late_language",))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(Home(tmp_path))


def test_a_new_run_is_whole_and_reads_back(store: RunStore) -> None:
    run = store.create(CONFIG, provenance={"seed": 0, "argv": ("a", Path("b"))})
    assert RUN_ID.fullmatch(run.id)
    assert "lora-mini" in run.id
    again = store.get(run.id)
    assert again.config == CONFIG
    assert again.name == "<b>label</b>"
    assert again.status.state == "queued"
    assert again.provenance == {"seed": 0, "argv": ["a", "b"]}
    assert again.records() is None
    assert again.metrics == []
    assert again.log_tail() == ""
    assert sorted(p.name for p in run.path.iterdir()) == [
        ".config.json",
        "config.yaml",
        "provenance.json",
        "status.json",
    ]


def test_the_configuration_is_that_of_the_yaml_whatever_its_twin_says(store: RunStore) -> None:
    run = store.create(CONFIG)
    text = (run.path / "config.yaml").read_text(encoding="utf-8")
    (run.path / "config.yaml").write_text(text.replace("\nseed: 0", "\nseed: 41"), encoding="utf-8")
    assert run.config == CONFIG.model_copy(update={"seed": 41})
    for damaged in ("{", "[]", '{"of": 1}', ""):
        other = store.create(CONFIG)
        (other.path / ".config.json").write_text(damaged, encoding="utf-8")
        assert other.config == CONFIG
    other = store.create(CONFIG)
    (other.path / ".config.json").unlink()
    assert other.config == CONFIG


def test_run_ids_of_the_same_second_differ(store: RunStore) -> None:
    assert len({store.create(CONFIG).id for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "bad", ["../..", "..", "", ".", "a/b", "/etc", "a\x00b", ".creating-x", "-x", "a" * 200, "x\n"]
)
def test_no_id_can_be_a_path(store: RunStore, tmp_path: Path, bad: str) -> None:
    (tmp_path / "keep").mkdir()
    store.create(CONFIG)
    for call in (store.get, store.delete):
        with pytest.raises(BraindashError, match="There is no run"):
            call(bad)
    assert (tmp_path / "keep").is_dir()


def test_an_unknown_run_offers_the_closest(store: RunStore) -> None:
    run = store.create(CONFIG)
    with pytest.raises(BraindashError, match=run.id):
        store.get(run.id[:-1] + "_")


def test_update_status_keeps_other_fields_and_refuses_unknown_ones(store: RunStore) -> None:
    run = store.create(CONFIG)
    run.update_status(step=3)
    run.update_status(fraction=0.5, error={"what": "w", "remedy": "r", "kind": "user"})
    status = run.read_status()
    assert (status.step, status.fraction) == (3, 0.5)
    assert status.error is not None
    assert status.error.what == "w"
    with pytest.raises(TypeError, match="stpe"):
        run.update_status(stpe=4)


def test_two_writers_lose_nothing(store: RunStore) -> None:
    run = store.create(CONFIG)

    def write(field: str) -> None:
        for i in range(1, 31):
            Run(run.path).update_status(**{field: i})

    threads = [threading.Thread(target=write, args=(f,)) for f in ("step", "epoch", "n_steps")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    status = run.read_status()
    assert (status.step, status.epoch, status.n_steps) == (30, 30, 30)


def test_a_reader_never_sees_half_a_status(store: RunStore) -> None:
    run = store.create(CONFIG)
    done = threading.Event()

    def write() -> None:
        for i in range(60):
            run.update_status(message="x" * (i * 997 % 20_000))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        run.read_status()
    thread.join()


def test_metrics_are_read_on_from_an_offset_and_a_cut_line_is_waited_for(store: RunStore) -> None:
    run = store.create(CONFIG)
    run.append_metrics({"kind": "step", "step": 1, "loss": float("nan")})
    rows, offset = run.metrics_since(0)
    assert rows == [{"kind": "step", "step": 1, "loss": None}]
    with run.metrics_path.open("a") as f:
        f.write('{"kind": "step", "st')
    assert run.metrics_since(offset) == ([], offset)
    run.append_metrics({"kind": "step", "step": 3})  # after a crash: the cut line is closed off, not glued to this
    rows, offset2 = run.metrics_since(offset)
    assert rows == [{"kind": "step", "step": 3}]
    assert run.metrics_since(offset2) == ([], offset2)


def test_a_resumed_run_drops_the_rows_it_will_write_again(store: RunStore) -> None:
    run = store.create(CONFIG)
    rows = [{"kind": "log", "text": "began"}, {"kind": "epoch", "epoch": 0}]
    rows += [{"kind": "step", "step": s, "epoch": 1} for s in range(1, 4)]
    rows += [{"kind": "epoch", "epoch": 1}, {"kind": "step", "step": 4, "epoch": 2}, {"kind": "epoch", "epoch": 2}]
    for row in rows:
        run.append_metrics(row)
    run.keep_metrics(steps=3, epochs_before=2)
    assert run.metrics == rows[:6]
    run.keep_metrics(steps=0, epochs_before=0)
    assert run.metrics == rows[:1]


def test_log_tail_gives_the_last_lines_and_the_last_state_of_a_redrawn_one(store: RunStore) -> None:
    run = store.create(CONFIG)
    run.log_path.write_bytes(b"".join(b"line %d\n" % i for i in range(100_000)) + b" 1%\r 50%\r100%\nend\xff\n")
    assert run.log_tail(3) == "line 99999\n100%\nend\ufffd"


def _broken(store: RunStore) -> dict[str, str]:
    """Make one run of each sort of damage; return id -> a word that the reason must contain."""
    made = {}

    def damage(word: str) -> Path:
        run = store.create(CONFIG)
        made[run.id] = word
        return run.path

    (damage("no status.json") / "status.json").unlink()
    (damage("status.json is damaged") / "status.json").write_text('{"state": "run')
    (damage("status.json is damaged") / "status.json").write_text("[]")
    (damage("status.json is damaged") / "status.json").write_text('{"state": "flying"}')
    (damage("status.json is damaged") / "status.json").write_bytes(b"\xff\xfe\x00")
    (damage("newer braindash") / "status.json").write_text('{"braindash": 2, "state": "adrift"}')
    (damage("no config.yaml") / "config.yaml").unlink()
    (damage("config.yaml is damaged") / "config.yaml").write_text("study: [")
    (damage("config.yaml is damaged") / "config.yaml").write_text("just words")
    (damage("newer braindash") / "config.yaml").write_text("braindash: 2\nstudy: mini\nwings: 2\n")
    (damage("unknown setting") / "config.yaml").write_text("study: mini\nmodel: m\nlosss: mse\n")
    path = damage("status.json")
    (path / "status.json").unlink()
    (path / "status.json").mkdir()
    path = damage("created") / "status.json"  # a time beyond every calendar
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": 1e308}))
    empty = store.home.runs / "20200101-000000-empty"
    empty.mkdir()
    made[empty.name] = "no status.json"
    return made


def test_a_folder_that_cannot_be_read_is_a_flagged_row(store: RunStore) -> None:
    good = store.create(CONFIG)
    broken = _broken(store)
    (store.home.runs / ".creating-x").mkdir()
    (store.home.runs / "notes.txt").write_text("not a run")
    rows = {row.id: row for row in store.list()}
    assert set(rows) == {good.id, *broken}
    assert rows[good.id].problem == ""
    for run_id, word in broken.items():
        assert rows[run_id].state == "unreadable"
        assert word in rows[run_id].problem
        assert run_id in rows[run_id].problem
    for run_id in broken:
        store.delete(run_id)
    assert [row.id for row in store.list()] == [good.id]


def test_an_empty_home_has_no_runs(tmp_path: Path) -> None:
    assert RunStore(Home(tmp_path / "nowhere")).list() == []


def test_a_thousand_runs_are_listed_and_their_configurations_read_once(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.create(CONFIG)
    first.update_status(state="done")
    for i in range(1000):
        folder = store.home.runs / f"20260101-000000-copy-{i:04d}"
        folder.mkdir()
        for name in ("config.yaml", "status.json", "provenance.json"):
            (folder / name).write_bytes((first.path / name).read_bytes())
    read: list[Path] = []
    parse = run_module._parse_config

    def counted(path: Path) -> object:
        read.append(path)
        return parse(path)

    monkeypatch.setattr(run_module, "_parse_config", counted)
    run_module._read_config.cache_clear()
    rows = store.list()
    assert len(read) == 1001
    assert store.list() == rows
    assert len(read) == 1001  # to parse one takes longer than all else of its row
    assert len(rows) == 1001
    assert {row.state for row in rows} == {"done"}


def test_a_changed_configuration_is_seen_though_readings_are_kept(store: RunStore) -> None:
    run = store.create(CONFIG)
    assert run.config.seed == 0
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("\nseed: 0\nname", "\nseed: 77\nname"))
    assert run.config.seed == 77


def test_a_living_process_is_running_a_dead_one_is_interrupted(store: RunStore) -> None:
    run = store.create(CONFIG)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        run.update_status(state="running", heartbeat=time.time(), **liveness.identity(child.pid))
        assert run.status.state == "running"
        with pytest.raises(RunStateError, match="running and cannot be deleted"):
            store.delete(run.id)
    finally:
        child.kill()
    began = time.time()
    while run.status.state != "interrupted":  # before anybody has collected the zombie
        assert time.time() - began < 15
    child.wait()
    assert json.loads((run.path / "status.json").read_text())["state"] == "interrupted"
    store.delete(run.id)
    assert store.list() == []


@pytest.mark.parametrize(
    "lie", [{"pid_start": 1.0}, {"boot_id": "another boot"}, {"pid": 2**22 + 7}, {"pid": None}, {"pid": -1}]
)
def test_a_process_with_the_same_number_is_not_the_same_process(store: RunStore, lie: dict[str, object]) -> None:
    run = store.create(CONFIG)
    run.update_status(state="running", **liveness.identity())
    assert run.status.state == "running"
    run.update_status(**lie)
    assert run.status.state == "interrupted"


def test_a_worker_on_another_machine_is_judged_by_its_heartbeat(store: RunStore) -> None:
    run = store.create(CONFIG)
    run.update_status(state="running", **{**liveness.identity(), "host": "elsewhere", "heartbeat": time.time()})
    assert run.status.state == "running"
    run.update_status(heartbeat=time.time() - 120)
    assert run.status.state == "interrupted"


def test_queued_without_a_process_becomes_interrupted_within_15_seconds(store: RunStore) -> None:
    run = store.create(CONFIG)
    assert run.status.state == "queued"
    run.update_status(queued=time.time() - 14)
    assert run.status.state == "interrupted"


def test_interrupted_is_said_of_a_folder_that_may_not_be_written(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create(CONFIG)
    run.update_status(state="running", pid=None)

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr("braindash.runs.run.atomic_write", refuse)
    assert run.status.state == "interrupted"
    assert run.read_status().state == "running"


def test_change_state_refuses_what_the_state_does_not_allow(store: RunStore) -> None:
    run = store.create(CONFIG)
    run.update_status(state="done")
    with pytest.raises(RunStateError, match=r"is done and cannot be resumed.*stopped or failed"):
        run.change_state(("stopped", "failed"), "resumed", state="queued")
    assert run.read_status().state == "done"


def test_a_full_disk_is_said_and_leaves_the_old_file(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create(CONFIG)
    before = (run.path / "status.json").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BraindashError, match="disk is full"):
        run.update_status(step=1)
    with pytest.raises(BraindashError, match="disk is full"):
        store.create(CONFIG)
    monkeypatch.undo()
    assert (run.path / "status.json").read_bytes() == before
    assert sorted(p.name for p in run.path.iterdir() if p.name != ".lock") == [
        ".config.json",
        "config.yaml",
        "provenance.json",
        "status.json",
    ]
    assert [p.name for p in store.home.runs.iterdir()] == [run.id]


def test_wait_returns_at_the_end_and_times_out(store: RunStore) -> None:
    run = store.create(CONFIG)
    with pytest.raises(TimeoutError):
        run.wait(timeout=0.05, poll=0.01)
    run.update_status(state="done")
    assert run.wait().state == "done"


def test_deleting_a_linked_run_leaves_what_it_points_to(store: RunStore, tmp_path: Path) -> None:
    run = store.create(CONFIG)
    elsewhere = tmp_path / "big-disk"
    run.path.rename(elsewhere)
    run.path.symlink_to(elsewhere)
    run.update_status(state="done")
    store.delete(run.id)
    assert store.list() == []
    assert (elsewhere / "config.yaml").exists()


def test_leftovers_of_a_crash_are_found_when_old(store: RunStore) -> None:
    store.create(CONFIG)
    old, new = store.home.runs / ".deleting-a", store.home.runs / ".creating-b"
    old.mkdir()
    new.mkdir()
    os.utime(old, (1, 1))
    assert list(store.leftovers()) == [old]


def test_a_relative_model_folder_is_pinned(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "whisper-tiny.en"):
        (tmp_path / name).mkdir()
    assert store.create(CONFIG.model_copy(update={"model": "./mine"})).config.model == str(tmp_path / "mine")
    assert store.create(CONFIG).config.model == "whisper-tiny.en"
    earlier = store.create(CONFIG).id
    (tmp_path / earlier).mkdir()
    assert store.create(CONFIG.model_copy(update={"model": earlier})).config.model == earlier
