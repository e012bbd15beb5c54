"""Every action that starts, stops, deletes or changes something asks again on the server, whatever its button says."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import ROOT, OpenPage

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.runs.record import RunStore
from braindash.settings import Role
from braindash.ui import group_actions, launch_view, permissions, preflight_view, run_actions

ACTING = ("launch", "launch_many", "launch_group", "stop", "resume", "stop_group", "resume_group", "delete_group")


@pytest.fixture
def as_(monkeypatch: pytest.MonkeyPatch) -> Any:
    def become(role: Role | None, email: str = "ada@lab.org") -> None:
        monkeypatch.setattr(permissions, "person", lambda: permissions.Person(role, email, "Ada", "Not on the list."))

    return become


def test_roles_contain_one_another() -> None:
    for role, expected in {
        None: set(),
        "view": {"view"},
        "launch": {"view", "launch", "stop", "resume", "arrange"},
        "manage": set(permissions.NEEDED),
    }.items():
        who = permissions.Person(role)
        assert {action for action in permissions.NEEDED if who.may(action)} == expected
        for action in set(permissions.NEEDED) - expected:
            assert permissions.reason(action, who)
            assert permissions.WORDS[action] in permissions.reason(action, who)


def test_actions_behind_a_page_that_was_open_before_are_refused(home: Home, as_: Any) -> None:
    live = fake_home.add_in_state(home, "running", group="g")
    stopped = fake_home.add_in_state(home, "stopped", group="g")
    rows = RunStore(home).list()
    as_("view")
    config = fake_home.config()
    for act in (
        lambda: run_actions._stop(live),
        lambda: run_actions._resume(stopped),
        lambda: preflight_view.start(config),
        lambda: preflight_view.check(config),
        lambda: preflight_view.start_group(launch_view.Plan(seeds=2), [config]),
        *(lambda name=name: group_actions._do(name, rows) for name in group_actions.ACTIONS),
    ):
        with pytest.raises(BraindashError, match=r"ada@lab\.org may look, but not"):
            act()
    as_("launch")
    with pytest.raises(BraindashError, match="not delete runs"):
        group_actions._do("delete", rows)
    as_(None)
    with pytest.raises(BraindashError, match="Not on the list"):
        run_actions._stop(live)
    store = RunStore(home)
    assert {r.id for r in store.list()} == {live, stopped}
    assert not store.get(live).stop_path.exists()
    as_("launch")
    run_actions._stop(live)
    assert store.get(live).stop_path.exists()
    assert "Asked to stop by ada@lab.org" in store.get(live).log_tail()


def test_who_launched_a_run_is_kept_and_not_exported(
    home: Home, as_: Any, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from braindash.runs.scrub import Scrubber

    fake_home.add_table_study(home, tmp_path / "mini")
    as_("launch")
    monkeypatch.setattr("braindash.jobs.launch.launch", lambda run, executor: None)
    monkeypatch.setattr("braindash.jobs.launch.launch_many", lambda runs, executor: None)
    model = _tiny(tmp_path)
    run = RunStore(home).get(preflight_view.start(fake_home.config(model=model))["run"])
    assert run.provenance["launched_by"] == "ada@lab.org"
    assert "Launched by ada@lab.org" in run.log_tail()
    assert any("Launched by ada" in c.value for c in open_page("runs", run=run.id).caption)
    plan = launch_view.Plan(seeds=2)
    preflight_view.start_group(plan, plan.configs(fake_home.config(model=model)))
    assert [RunStore(home).get(r.id).provenance["launched_by"] for r in RunStore(home).list()] == ["ada@lab.org"] * 3
    given = json.dumps(Scrubber(home.path).data(run.provenance))
    assert "ada@" not in given  # "ada" alone may stand in a hash
    assert "launched_by" not in given
    as_("manage", email="")  # nobody signs in
    alone = RunStore(home).get(preflight_view.start(fake_home.config(model=model))["run"])
    assert "launched_by" not in alone.provenance


def _tiny(folder: Path) -> str:
    import sys

    sys.path.insert(0, str(ROOT / "tests"))
    from tiny_models import save_tiny

    return str(save_tiny("whisper", folder / "tiny"))


def test_no_page_acts_without_asking() -> None:
    """Every function of the interface that calls what starts, stops or deletes runs also calls `require`."""
    found = 0
    for file in sorted((ROOT / "braindash" / "ui").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            names = {
                n.func.id if isinstance(n.func, ast.Name) else n.func.attr
                for n in ast.walk(function)
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Name | ast.Attribute)
            }
            imported = {
                a.name
                for n in ast.walk(function)
                if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("braindash.jobs")
                for a in n.names
            }
            if names & imported & set(ACTING):
                found += 1
                assert "require" in names, f"{file.name}: {function.name}"
    assert found >= 5


def test_slides_are_arranged_for_oneself_alone_by_who_may_only_look(home: Home, open_page: OpenPage, as_: Any) -> None:
    from braindash.runs.presenting import read_arrangement

    run = fake_home.add_done(home)
    page = open_page("present", run=run)
    box = page.checkbox[0]
    as_("view")
    box.uncheck()
    page.run()
    assert not page.exception
    assert not read_arrangement(home, run)
    assert any("for this visit only" in w.value for w in page.warning)
