"""Results are whole or not there, and come back as they were."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from braindash.errors import BraindashError
from braindash.runs.results import open_results, read_records, write_results


@pytest.fixture
def data() -> xr.Dataset:
    return xr.Dataset(
        {"r": (("model", "target"), np.arange(6, dtype=np.float32).reshape(2, 3))},
        coords={"model": ["pretrained", "brain_tuned"], "roi": ("target", ["A1", "", "44"])},
    )


def test_round_trip(tmp_path: Path, data: xr.Dataset) -> None:
    row = {"model": "pretrained", "subject": "a", "roi": "cortex", "layer": 0, "n_targets": 3}
    row |= {"r": np.float32(0.5), "r_norm": float("nan")}
    write_results(tmp_path, {"encoding": data}, {"encoding": [row]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = open_results(tmp_path)["encoding"].to_dataset()
    xr.testing.assert_equal(back.load(), data)
    records = read_records(tmp_path)
    assert records is not None
    assert records["encoding"][0]["r"] == 0.5
    assert math.isnan(records["encoding"][0]["r_norm"])
    assert "NaN" not in (tmp_path / "records.json").read_text()  # not JSON
    json.loads((tmp_path / "records.json").read_text())


def test_writing_again_replaces_and_leaves_nothing_beside(tmp_path: Path, data: xr.Dataset) -> None:
    write_results(tmp_path, {"encoding": data}, {"run": "a"})
    write_results(tmp_path, {"encoding": data * 2}, {"run": "b"})
    assert float(open_results(tmp_path)["encoding"]["r"].sum()) == 30
    assert sorted(p.name for p in tmp_path.iterdir()) == ["records.json", "results.zarr"]


def test_no_results_and_cut_off_results_say_so(tmp_path: Path, data: xr.Dataset) -> None:
    assert read_records(tmp_path) is None
    with pytest.raises(BraindashError, match="no results yet"):
        open_results(tmp_path)
    write_results(tmp_path, {"encoding": data}, {})
    (tmp_path / "results.zarr" / ".zattrs").unlink()
    with pytest.raises(BraindashError, match="cut off"):
        open_results(tmp_path)
    (tmp_path / "records.json").write_text("{")
    with pytest.raises(BraindashError, match="cannot be read"):
        read_records(tmp_path)


def test_a_failed_write_keeps_the_earlier_results(
    tmp_path: Path, data: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path, {"encoding": data}, {"run": "a"})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BraindashError, match="No space left"):
        write_results(tmp_path, {"encoding": data * 2}, {"run": "b"})
    assert read_records(tmp_path) == {"run": "a"}
    assert float(open_results(tmp_path)["encoding"]["r"].sum()) == 15
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".results")]
