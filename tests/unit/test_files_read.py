"""Reading without trust: nothing waits, nothing ends the process, nothing grows beyond measure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from braindash.files import MOST_NODES, parse_json, parse_yaml, read_file, read_json

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


def test_a_pipe_a_folder_and_a_link_to_nothing_are_errors_at_once(tmp_path: Path) -> None:
    pipe, loop, dangling = tmp_path / "pipe", tmp_path / "loop", tmp_path / "dangling"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nothing")
    for path in (pipe, tmp_path, loop, dangling, Path("/dev/zero")):
        # in a process of its own: where reading waits, the test must not
        code = (
            "import sys; from pathlib import Path; from braindash.files import read_file; read_file(Path(sys.argv[1]))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=20)
        assert "Error" in done.stderr.splitlines()[-1], path
    with pytest.raises(OSError, match="not a regular file"):
        read_file(pipe)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text('{"a": [1, null]}', encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "there.json")
    assert read_json(tmp_path / "link") == {"a": [1, None]}


@pytest.mark.parametrize("bad", ["[" * 10**6, '{"a":' * 10**5, "9" * 5000, b"\xff\xfe{}", "", "{"])
def test_json_that_cannot_be_read_is_a_value_error(bad: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(bad)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("[" * 10**6, "nested deeper"),  # libyaml's own parser ends the process here
        ("- " * 10**5, "nested deeper"),
        (BOMB, f"more than {MOST_NODES:,} values"),
        ("a: &x [1, *x]", "contains itself"),
        ("a: !!timestamp q", "attribute"),
        ("a: !!int q", "invalid literal"),
        ("a: 2026-13-45", "month"),
    ],
)
def test_yaml_that_would_do_harm_is_a_value_error(bad: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_yaml(bad)


def test_yaml_is_plain_data() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {d: 1e-3}") == {"a": [1, 2], "b": [1, 2], "c": {"d": "1e-3"}}
    assert parse_yaml("") is None
    with pytest.raises(yaml.YAMLError, match="line 3"):
        parse_yaml("a: 1\nb: [")
    with pytest.raises(yaml.YAMLError, match="constructor"):
        parse_yaml("a: !!python/object/apply:os.system [true]")
