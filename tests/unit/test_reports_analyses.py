"""The methods text of probes and RSA says what their files say, and nothing where there is no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from braindash.reports.analyses import geometry, probes
from braindash.reports.references import REFERENCES

PROBING: dict[str, Any] = {
    "corpus": {"title": "The mini study", "group_word": "story", "n_recordings": 6, "n_scored": 2, "minutes": 12.34},
    "tasks": [
        {"title": "Phone identity", "kind": "classification", "n": 1234, "unit_word": "30-s stretch"},
        {"title": "Word meaning", "kind": "regression", "n": 567, "unit_word": "word type"},
    ],
    "models": ["pretrained", "brain_tuned", "random_weights"],
    "layers": [0, 1, 2],
    "settings": {"n_folds": 5, "n_boot": 400},
}
RSA: dict[str, Any] = {
    "unit": "segment", "metric": "correlation", "compare": "spearman", "n_conditions": 345, "stories": ["a", "b"],
    "settings": {"seconds": 6.0, "delay": 5.0, "exclude": 1, "block": 3, "n_permutations": 999, "n_boot": 250},
}  # fmt: skip


def written(folder: Path, name: str, content: dict[str, Any]) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "said",
    ["layers 0, 1 and 2", "12.3 min, 2 of them scored", "phone identity (1,234 examples)", "No story was in training",
     "for word meaning no word type", "random weights", "400 resamples", "30-s stretches"],
)  # fmt: skip
def test_probes_are_told_with_their_numbers(tmp_path: Path, said: str) -> None:
    assert said in probes(written(tmp_path, "probing.json", PROBING))


def test_without_random_weights_none_are_claimed(tmp_path: Path) -> None:
    text = probes(written(tmp_path, "probing.json", PROBING | {"models": ["pretrained", "brain_tuned"]}))
    assert "random weights" not in text
    assert "shuffled labels" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "345 stretches of 6 s of 2 test stories"),
        ({"unit": "tr"}, "345 TRs of 2 test"),
        ({"stories": ["a"]}, "of 1 test story;"),
        ({"metric": "euclidean"}, "squared Euclidean distance"),
        ({"compare": "cosine"}, "by cosine similarity."),
        ({}, "999 permutations of blocks of 3 conditions"),
        ({}, "up to 1 apart in time were left out"),
    ],
)
def test_rsa_is_told_with_its_numbers(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in geometry(written(tmp_path, "rsa.json", RSA | changes))


def test_every_citation_is_known(tmp_path: Path) -> None:
    import re

    text = probes(written(tmp_path, "probing.json", PROBING)) + geometry(written(tmp_path, "rsa.json", RSA))
    keys = re.findall(r"@([a-z]+\d{4}[a-z]+)", text)
    assert len(keys) == 5
    assert set(keys) <= set(REFERENCES)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"corpus": {}}', '{"corpus": {"group_word": "x"}, "tasks": [{}]}'])
def test_what_cannot_be_read_is_not_told(tmp_path: Path, content: str) -> None:
    assert probes(tmp_path) == geometry(tmp_path) == ""
    (tmp_path / "probing.json").write_text(content)
    assert probes(tmp_path) == ""
