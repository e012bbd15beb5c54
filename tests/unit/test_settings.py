"""The settings of a home: what is written is read, and what a stranger writes is refused in words."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from braindash.config import ExecutorConfig, Home
from braindash.errors import BraindashError
from braindash.settings import (
    Access,
    Colours,
    OwnRegion,
    Settings,
    change,
    keys,
    read_settings,
    settings_path,
    with_value,
    write_settings,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def write(home: Home, text: str | bytes) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    settings_path(home).write_bytes(text.encode() if isinstance(text, str) else text)


def test_a_home_without_a_file_has_the_defaults_and_makes_none(home: Home) -> None:
    assert read_settings(home) == Settings()
    assert not home.path.exists()


def test_what_is_written_is_read(home: Home) -> None:
    settings = Settings(
        access=Access(view=("@lab.org",), manage=("Ada@Lab.org",), anyone="launch"),
        compute=ExecutorConfig(executor="slurm", partition="gpu", gpus=1),
        colours=Colours(sequential="cividis", diverging="teal_rust"),
        regions={"my_sts": OwnRegion(members=("STSda", "STSva", "STSda"), title="Our STS")},
    )
    write_settings(home, settings)
    assert read_settings(home) == settings
    assert settings.access.manage == ("ada@lab.org",)
    assert settings.groups() == {"my_sts": ("STSda", "STSva")}
    assert settings.titles() == {"my_sts": "Our STS"}
    text = settings_path(home).read_text(encoding="utf-8")
    assert "braindash: 1" in text
    assert "memory_gb" not in text, "defaults are not frozen into the file"
    write_settings(home, Settings())
    assert read_settings(home) == Settings()


def test_by_hand_a_group_is_a_list_or_names_with_commas(home: Home) -> None:
    write(home, "regions:\n  a: [A1, RI]\n  b: A1, 'RI'\n  c: {members: 44}\n".replace("44", "['44']"))
    assert read_settings(home).groups()["a"] == ("A1", "RI")
    assert read_settings(home).groups()["c"] == ("44",)


HOSTILE = {
    "laughs": ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "refers to a value"),
    "deep": ("regions: " + "[" * 5000, "values inside values"),
    "object": ("!!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    "list": ("- a\n- b\n", "not a list of NAME"),
    "text": ("hello", "not a list of NAME"),
    "not yaml": ("{: not yaml", "line 1"),
    "binary": (b"\xff\xfe\x00\x01\x80", "UTF-8|special characters"),
    "large": ("# " + "x" * 300_000, "more than 256 kB"),
    "twice": ("access:\n  manage: [a@b.org]\n  manage: ['@everyone.org']\n", "line 3: 'manage' is there twice"),
    "unknown key": ("acces: {}\n", "Did you mean access"),
    "unknown role": ("access: {anyone: owner}\n", "anyone"),
    "no address": ("access: {manage: [lab.org]}\n", "neither an e-mail address nor @"),
    "everybody": ("access: {manage: ['@']}\n", "neither an e-mail address"),
    "another alphabet": ("access: {manage: ['\u0430da@lab.org']}\n", "neither an e-mail address"),
    "colour": ("colours: {sequential: jet}\n", "not among the sequential"),
    "executor": ("compute: {executor: cloud}\n", "compute.executor"),
    "region name": ("regions: {'../x': [A1]}\n", "is no name"),
    "region side": ("regions: {sts_left: [A1]}\n", "hemisphere"),
    "empty region": ("regions: {mine: []}\n", "at least one member"),
    "wrong version": ("braindash: one\n", "braindash"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_is_not_ours_is_refused_in_few_words_and_stays(home: Home, case: str) -> None:
    text, expected = HOSTILE[case]
    write(home, text)
    before = settings_path(home).read_bytes()
    with pytest.raises(BraindashError, match=expected) as refused:
        read_settings(home)
    assert len(str(refused.value)) < 1200
    with pytest.raises(BraindashError):
        change(home, colours=Colours(sequential="magma"))
    assert settings_path(home).read_bytes() == before, "what cannot be read is not overwritten"


def test_what_is_no_file_is_refused_and_nothing_waits(home: Home) -> None:
    home.path.mkdir(parents=True)
    os.mkfifo(settings_path(home))
    with pytest.raises(BraindashError, match="cannot be read"):
        read_settings(home)
    settings_path(home).unlink()
    settings_path(home).mkdir()
    with pytest.raises(BraindashError, match="cannot be read"):
        read_settings(home)


def test_settings_of_a_newer_braindash_are_neither_used_nor_overwritten(home: Home) -> None:
    write(home, "braindash: 2\naccess: {owners: [a@b.org]}\n")
    with pytest.raises(BraindashError, match="have version 2; this braindash knows 1"):
        read_settings(home)
    with pytest.raises(BraindashError, match="version 2"):
        change(home, colours=Colours())
    assert "owners" in settings_path(home).read_text(encoding="utf-8")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_may_not_be_written_says_so(home: Home) -> None:
    home.path.mkdir()
    home.path.chmod(0o500)
    try:
        with pytest.raises(BraindashError, match="may not be written"):
            change(home, colours=Colours(sequential="magma"))
    finally:
        home.path.chmod(0o700)


def test_a_refused_disk_leaves_the_old_settings(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    change(home, colours=Colours(sequential="magma"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(BraindashError, match="may not be written"):
        change(home, colours=Colours(sequential="plasma"))
    monkeypatch.undo()
    assert read_settings(home).colours.sequential == "magma"
    assert [p.name for p in home.path.iterdir() if p.suffix == ".tmp"] == []


def test_two_people_change_different_things_at_once(home: Home) -> None:
    def add(name: str) -> None:
        change(home, regions=lambda now: {**now, name: OwnRegion(members=("A1",))})

    threads = [threading.Thread(target=add, args=(f"group{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_settings(home).regions) == [f"group{i}" for i in range(8)]


def test_roles_by_address_and_domain() -> None:
    access = Access(view=("@lab.org",), launch=("ada@lab.org", "@group.lab.org"), manage=("root@lab.org",))
    expected = {
        "bob@lab.org": "view",
        " ADA@Lab.Org ": "launch",
        "eve@group.lab.org": "launch",
        "root@lab.org": "manage",
        "bob@evil.org": None,
        "bob@notlab.org": None,
        "bob@sub.lab.org": None,  # a domain stands for itself alone
        "eve@evil.org@lab.org": None,
        "@lab.org": None,
        "": None,
        "r\u00f6\u00f6t@lab.org": None,
        "\u212aim@lab.org": None,  # the Kelvin sign is k in lower case
        "root@lab.org\n": "manage",
        "root@lab.org\neve": None,
    }
    assert {address: access.role_of(address) for address in expected} == expected
    assert Access().role_of("ada@lab.org") is None, "an empty list lets nobody in"


def test_single_values_by_key() -> None:
    settings = with_value(Settings(), "access.manage", "ada@lab.org, @lab.org")
    assert settings.access.manage == ("ada@lab.org", "@lab.org")
    settings = with_value(settings, "compute.gpus", 2)
    settings = with_value(settings, "regions.mine", ["A1"])
    assert with_value(settings, "compute.gpus", None).compute.gpus == 0
    assert with_value(settings, "regions.mine", None).regions == {}
    for key in ("colour.sequential", "colours", "colours.", "access.owner", "braindash"):
        with pytest.raises(BraindashError, match="no setting"):
            with_value(settings, key, "x")
    with pytest.raises(BraindashError, match="no region"):
        with_value(settings, "regions.yours", None)
    with pytest.raises(BraindashError, match=r"Did you mean colours\.sequential"):
        with_value(settings, "colours.sequental", "magma")
    assert {"access.view", "compute.executor", "colours.diverging", "regions.NAME"} <= set(keys())
