"""``braindash settings`` and where ``braindash app`` may listen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import braindash.cli as cli
from braindash.cli.executors import executor_from
from braindash.config import ExecutorConfig, Home
from braindash.errors import BraindashError
from braindash.exposure import open_door
from braindash.jobs.options import launch_options
from braindash.settings import read_settings, settings_path

SECRETS = """[auth]
redirect_uri = "https://brain.lab.org/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "braindash"
client_secret = "s3cret"
server_metadata_url = "https://id.lab.org/.well-known/openid-configuration"
"""


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("BRAINDASH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "person"))

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_settings_are_shown_and_set_by_key(say: Any, home: Home) -> None:
    code, out, err = say("settings", "show", "--json")
    assert code == 0
    assert json.loads(out)["settings"]["colours"] == {"sequential": "viridis", "diverging": "blue_brown"}
    assert not settings_path(home).exists()
    assert "These are the defaults" in err
    for arguments in (
        ("access.launch", "ada@lab.org,@group.lab.org"),
        ("compute.executor", "slurm"),
        ("compute.gpus", "2"),
        ("colours.sequential", "cividis"),
        ("regions.ifg45", "[44, 45]"),
        ("regions.sts", "STSda, STSva"),
    ):
        assert say("settings", "set", *arguments)[0] == 0, arguments
    now = read_settings(home)
    assert now.access.launch == ("ada@lab.org", "@group.lab.org")
    assert now.compute == ExecutorConfig(executor="slurm", gpus=2)
    assert now.groups() == {"ifg45": ("44", "45"), "sts": ("STSda", "STSva")}
    assert say("settings", "set", "regions.sts")[0] == 0
    assert say("settings", "set", "compute.gpus")[0] == 0
    assert list(read_settings(home).regions) == ["ifg45"]
    assert read_settings(home).compute.gpus == 0
    code, out, _ = say("settings", "path")
    assert out.strip() == str(settings_path(home))
    assert "regions.ifg45" in say("settings", "show")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("colours.sequential", "jet"), ["'jet'", "viridis"]),
        (("colour.sequential", "magma"), ["colour.sequential", "colours.sequential"]),
        (("access.view", "everybody"), ["'everybody'", "neither an e-mail address"]),
        (("regions.mine", "STSdb"), ["'STSdb'", "STSda"]),
        (("regions.late_language", "A1"), ["'late_language'", "already"]),
        (("regions.mine",), ["'mine'"]),
        (("compute.gpus", "many"), ["gpus", "'many'"]),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(
    say: Any, home: Home, arguments: tuple[str, ...], words: list[str]
) -> None:
    code, out, err = say("settings", "set", *arguments)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    for word in words:
        assert word in err
    assert not settings_path(home).exists()


def test_the_executor_of_the_settings_holds_where_no_option_says_otherwise() -> None:
    usual = ExecutorConfig(executor="slurm", partition="gpu", gpus=2, time=90)
    assert executor_from({}, usual) == usual
    assert executor_from({"gpus": 4}, usual) == usual.model_copy(update={"gpus": 4})
    assert executor_from({"executor": "local"}, usual) == ExecutorConfig()
    assert executor_from({"executor": "slurm"}, usual) == usual
    with pytest.raises(BraindashError, match="the executor is local"):
        executor_from({"executor": "local", "gpus": 1}, usual)
    # the command that the form shows comes to the same
    for chosen in (usual, usual.model_copy(update={"gpus": 0, "account": "lab"}), ExecutorConfig(processes=2)):
        words = launch_options(executor=chosen, usual=usual).split()
        params: dict[str, Any] = {o.removeprefix("--"): v for o, v in zip(words[::2], words[1::2], strict=True)}
        numbers = {k: int(v) if v.isdigit() else v for k, v in params.items() if k != "time"}
        assert executor_from(params | numbers, usual) == chosen, words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--address", "0.0.0.0"), ["0.0.0.0", "[auth]", "--allow-anyone"]),
        (("--host", "::"), ["::", "--allow-anyone"]),
        (("--allowed-host", "brain.lab.org"), ["brain.lab.org", "nobody signs in"]),
        (("--address", "http://x"), ["'http://x'", "no address"]),
        (("--allowed-host", "https://brain.lab.org"), ["host name"]),
        (("--allow-anyone", "--address", "192.0.2.7"), ["192.0.2.7", "cannot listen"]),
    ],
)
def test_a_public_dashboard_without_sign_in_is_refused(say: Any, options: tuple[str, ...], words: list[str]) -> None:
    code, _, err = say("app", "--port", "8499", *options)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    for word in words:
        assert word in err


def test_a_door_names_the_hosts_that_it_answers_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    shut = open_door(tmp_path)
    assert not shut.public
    assert shut.hosts == ("127.0.0.1", "localhost", "[::1]")
    assert open_door(tmp_path, "::1").hosts == shut.hosts
    anywhere = open_door(tmp_path, "0.0.0.0", allow_anyone=True)
    assert anywhere.public
    assert socket.gethostname() in anywhere.hosts
    named = open_door(tmp_path, "0.0.0.0", ["brain.lab.org"], allow_anyone=True)
    assert named.hosts == (*shut.hosts, "brain.lab.org"), "names that were given are all"
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(SECRETS, encoding="utf-8")
    signing = open_door(tmp_path, "0.0.0.0", ["10.0.0.4"])
    assert signing.sign_in is not None
    assert {"10.0.0.4", "brain.lab.org"} <= set(signing.hosts)
    (tmp_path / ".streamlit" / "secrets.toml").write_text("[auth]\n", encoding="utf-8")
    with pytest.raises(BraindashError, match="not complete"):
        open_door(tmp_path, "0.0.0.0", allow_anyone=True)


def test_the_doctor_looks_at_settings_and_sign_in(say: Any, home: Home, tmp_path: Path) -> None:
    def told() -> str:
        checks = json.loads(say("doctor", "--json")[1])["checks"]
        return " ".join(f"{c['level']}: {c['what']} {c['remedy']}" for c in checks)

    assert "ok: Nobody signs in" in told()
    secrets = tmp_path / "person" / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir(parents=True)
    secrets.write_text(SECRETS, encoding="utf-8")
    assert "note: People sign in (0 entries on the list), and none" in told()
    say("settings", "set", "access.manage", "ada@lab.org")
    assert "ok: People sign in through brain.lab.org; 1 entries" in told()
    secrets.write_text(SECRETS.replace("cookie_secret", "cookie"), encoding="utf-8")
    assert "error: Sign-in is not complete: cookie_secret has 0" in told()
    settings_path(home).write_text("braindash: 9", encoding="utf-8")
    assert "error: The settings" in told()
