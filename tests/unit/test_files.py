"""Files that are there whole or not at all, and what is said of a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from braindash.errors import BraindashError
from braindash.files import atomic_write, disk_errors, replace_folder, sync_tree, whole_file


def test_a_file_is_written_as_text_or_bytes(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", "naïve\n")
    atomic_write(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == "naïve\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_block_that_fails_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that survives a power cut: fsync of the file, rename, fsync of the folder."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        sync(handle)

    def replaced(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    atomic_write(tmp_path / "a", "x")
    assert done == ["file", "rename", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_real_full_device_is_said_with_what_and_remedy() -> None:
    def fill() -> None:
        with disk_errors(Path("/dev/full"), "the tuned model", "Make room."), Path("/dev/full").open("wb", 0) as file:
            file.write(b"x")

    with pytest.raises(
        BraindashError, match=r"The disk is full \(No space left on device\): the tuned model"
    ) as caught:
        fill()
    assert caught.value.remedy == "Make room."
    assert isinstance(caught.value.__cause__, OSError)


def test_a_real_read_only_disk_is_said(tmp_path: Path) -> None:
    options = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "braindash-test", str(tmp_path)]
    mounted = subprocess.run(options, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with pytest.raises(BraindashError, match="Read-only file system") as caught:
            atomic_write(tmp_path / "a", "x")
        assert "--home" in caught.value.remedy
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "may not be written"),
        (errno.EACCES, "may not be written"),
        (errno.EIO, "reports an error"),
    ],
)
def test_every_error_of_the_disk_is_for_people(number: int, word: str) -> None:
    with pytest.raises(BraindashError, match=word), disk_errors(Path("/somewhere/file")):
        raise OSError(number, os.strerror(number))


def test_other_errors_pass() -> None:
    with pytest.raises(FileNotFoundError), disk_errors(Path("x")):
        raise FileNotFoundError(errno.ENOENT, "gone")
    with pytest.raises(ValueError, match="no disk"), disk_errors(Path("x")):
        raise ValueError("no disk")


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_text(name)
    sync_tree(tmp_path / "new")
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "deep" / "file").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    (tmp_path / "next").mkdir()
    replace_folder(tmp_path / "next", tmp_path / "free")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["free", "old"]
