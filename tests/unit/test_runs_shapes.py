"""Documents of the wrong shape are refused with the place and the value; what nobody relies on may be anything."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from braindash.errors import BraindashError
from braindash.runs import shapes
from braindash.runs.results import read_records

ROW = {"model": "pretrained", "subject": "s", "roi": "ag", "layer": 0, "n_targets": 3, "r": 0.1, "r_norm": None}
GOOD: dict[str, Any] = {
    "encoding": [ROW, {**ROW, "layer": 1, "r": float("nan")}],
    "differences": None,
    "summary": {"answer": ["It rose."], "region_titles": {"ag": "AG"}},
    "unknown": {"to": ["this", "version"]},
}


def test_what_has_the_shape_comes_back_as_it_is() -> None:
    assert shapes.checked(GOOD, shapes.RECORDS, ("encoding",)) is GOOD
    assert shapes.checked({}, shapes.RECORDS) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoding": 5}, "encoding is 5, not a list of rows"),
        ({"encoding": [ROW, None]}, "row 2 of encoding is missing, not a mapping"),
        ({"encoding": [{**ROW, "layer": "last"}]}, "layer in row 1 of encoding is 'last', not a layer"),
        ({"encoding": [{**ROW, "layer": 0.5}]}, "not a layer"),
        ({"encoding": [{**ROW, "layer": True}]}, "not a layer"),
        ({"encoding": [{**ROW, "layer": 10**9}]}, "not a layer"),
        ({"encoding": [{**ROW, "layer": float("inf")}]}, "not a layer"),
        ({"encoding": [{**ROW, "layer": float("nan")}]}, "not a layer"),
        ({"encoding": [{**ROW, "r": "0.1"}]}, "r in row 1 of encoding is '0.1', not a number"),
        ({"encoding": [{**ROW, "r": 10**400}]}, "a whole number of more than 60 digits, not a number"),
        ({"encoding": [{**ROW, "n_targets": None}]}, "n_targets in row 1 of encoding is missing, not a count"),
        ({"encoding": [{**ROW, "n_targets": -1}]}, "not a count"),
        ({"encoding": [{**ROW, "roi": {"a": 1}}]}, "roi in row 1 of encoding is a mapping of 1, not text"),
        ({"encoding": None}, "it has no 'encoding'"),
        ({"summary": ["rose"]}, "summary is a list of 1, not a mapping"),
        ({"summary": {"answer": "It rose."}}, "summary.answer is 'It rose.', not a list of texts"),
        ({"summary": {"region_titles": "AG"}}, "summary.region_titles is 'AG'"),
        ({"caveats": "x" * 999}, f"caveats is '{'x' * 59}…, not a list of texts"),
        ({"layers": [0, -1]}, "layers is a list of 2, not a list of layers"),
    ],
)
def test_what_does_not_is_said_with_its_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        shapes.checked(copy.deepcopy(GOOD) | change, shapes.RECORDS, ("encoding",))
    assert said in str(caught.value)


def test_a_list_in_place_of_a_document_is_refused() -> None:
    with pytest.raises(ValueError, match="a list of 1, not a mapping"):
        shapes.checked([GOOD], shapes.RECORDS)


def test_records_of_the_wrong_shape_name_the_command_that_makes_them_again(tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(json.dumps({"encoding": [{**ROW, "r": []}]}), encoding="utf-8")
    with pytest.raises(BraindashError, match=r"r in row 1 of encoding is a list of 0, not a number") as caught:
        read_records(tmp_path)
    assert caught.value.remedy == f"Evaluate it again: braindash evaluate {tmp_path.name}"
