"""Checkpoints: whole or not there, verified, and kept by a rule."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from braindash.errors import BraindashError
from braindash.tuning.checkpoints import (
    STATE,
    TENSORS,
    DamagedError,
    listed,
    read_checkpoint,
    read_newest,
    remove_old,
    write_checkpoint,
)

TENSOR = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2], dtype=torch.uint8)}


def put(folder: Path, *steps: int, best: str | None = None) -> None:
    for s in steps:
        write_checkpoint(folder, f"step-{s:07d}-0001", TENSOR, {"step": s, "best_checkpoint": best})


def test_reads_back_what_was_written_bit_for_bit(tmp_path: Path) -> None:
    state = {"step": 3, "r": 0.1 + 0.2, "none": None}
    read = read_checkpoint(write_checkpoint(tmp_path, "step-0000003-0001", TENSOR, state))
    assert read.state == state
    assert all(torch.equal(read.tensors[k], v) and read.tensors[k].dtype == v.dtype for k, v in TENSOR.items())
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000003-0001"]


@pytest.mark.parametrize("file", [TENSORS, STATE, "COMPLETE"])
@pytest.mark.parametrize("how", ["missing", "cut", "flipped"])
def test_a_damaged_checkpoint_is_seen_and_the_one_before_is_used(tmp_path: Path, file: str, how: str) -> None:
    put(tmp_path, 1, 2)
    path = tmp_path / "step-0000002-0001" / file
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[:-3])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    if not (file == "COMPLETE" and how == "flipped"):  # there the flipped bit may be in a blank
        with pytest.raises(DamagedError):
            read_checkpoint(path.parent)
        said: list[str] = []
        found = read_newest(tmp_path, said.append)
        assert found is not None
        assert found.state["step"] == 1
        assert "step-0000002-0001" in said[0]


def test_order_is_by_step_then_epoch(tmp_path: Path) -> None:
    for name in ("step-0000010-0002", "step-0000010-0001", "step-0000009-0001", ".step-0000011-0002.7.part"):
        (tmp_path / name).mkdir()
    assert [p.name[-7:] for p in listed(tmp_path, "step")] == ["09-0001", "10-0001", "10-0002"]


def test_retention_keeps_the_newest_and_every_best_they_refer_to(tmp_path: Path) -> None:
    for e in (1, 2, 3):
        write_checkpoint(tmp_path, f"best-{e:04d}", TENSOR, {"epoch": e})
    put(tmp_path, 1, 2, best="best-0001")
    put(tmp_path, 3, best="best-0002")
    put(tmp_path, 4, best="best-0003")
    (tmp_path / ".step-0000009-0001.1.part").mkdir()
    remove_old(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best-0002",
        "best-0003",
        "step-0000003-0001",
        "step-0000004-0001",
    ]


@pytest.mark.parametrize("n_before", [0, 1, 2, 3])
def test_a_full_disk_is_an_error_for_people_and_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_before: int
) -> None:
    put(tmp_path, 1)
    sync, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > n_before:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr("braindash.tuning.checkpoints.os.fsync", full)
    with pytest.raises(BraindashError, match=r"is full.*step-0000001-0001, is intact"):
        put(tmp_path, 2)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000001-0001"]
    read_checkpoint(tmp_path / "step-0000001-0001")
