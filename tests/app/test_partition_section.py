"""The partition on the Encoding page: bars where the run holds one, the command that makes it where not."""

from __future__ import annotations

import json
from typing import Any

import fake_home
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home

SPACES = ("spectral", "word_rate", "model")


def document(run_id: str, subjects: tuple[str, ...] = ("sub-01", "sub-02", "all")) -> dict[str, Any]:
    """Return what ``braindash partition`` writes, with made-up numbers."""
    rows = []
    for subject in subjects:
        for m, model in enumerate(("pretrained", "brain_tuned", "block_permuted")):
            for roi in ("cortex", "late_language", "ag"):
                base = {"model": model, "subject": subject, "roi": roi, "layer": 4, "n_targets": 20, "n_available": 90}
                for i, part in enumerate([*(f"unique:{s}" for s in SPACES), "shared", "total"]):
                    value = 0.1 * (i + 1) + 0.01 * m
                    rows.append(base | {"part": part, "r2": value, "ci_low": value - 0.02, "ci_high": value + 0.03})
                rows.append(base | {"part": "removed:spectral", "delta_r": -0.05, "ci_low": -0.08, "ci_high": None})
    return {
        "braindash": 1, "run": run_id, "study": "mini", "simulated": True, "layer": 4,
        "models": ["pretrained", "brain_tuned", "block_permuted"], "subjects": ["sub-01", "sub-02"],
        "spaces": [{"name": s, "width": 3} for s in SPACES], "removed": ["spectral"],
        "left_out": [{"space": "meaning", "why": "there are no <b>word</b> vectors"}],
        "region_titles": {}, "stories": ["s5"], "max_targets": 20, "settings": {}, "vectors": None,
        "caveats": ["Of large regions, 20 targets were fitted."], "rows": rows, "seconds": 1.0, "written": 0.0,
    }  # fmt: skip


def write(home: Home, run_id: str, data: Any) -> None:
    (home.runs / run_id / "partition.json").write_text(json.dumps(data), encoding="utf-8")


def bars(page: Any, which: int) -> list[dict[str, Any]]:
    found = [json.loads(c.proto.spec)["data"] for c in page.get("plotly_chart")]
    return [d for d in found if d[0]["type"] == "bar"][which]


def test_without_a_partition_the_command_is_shown(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    assert f"braindash partition {run_id}" in words(open_page("encoding"))


def test_bars_hold_the_numbers_of_every_space_and_what_is_shared(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    write(home, run_id, document(run_id))
    page = open_page("encoding")
    assert f"braindash partition {run_id}" not in words(page)
    drawn = bars(page, 0)
    assert {b["name"] for b in drawn} == {"Pretrained", "Brain-tuned"}
    tuned = next(b for b in drawn if b["name"] == "Brain-tuned")
    assert tuned["y"] == ["Sound spectrum", "Word rate", "Speech model's layer", "Shared"]
    assert tuned["x"] == pytest.approx([0.11, 0.21, 0.31, 0.41])
    assert tuned["error_x"]["array"] == pytest.approx([0.03] * 4)
    assert bars(page, 1)[0]["y"] == ["Without sound spectrum"]
    said = words(page)
    assert "Left out: word meaning, because there are no <b>word</b> vectors." in said  # as text, not as Markdown
    assert "Of large regions, 20 targets were fitted." in said
    assert "Mean over subjects" in said
    checked(page.toggle(key="partition_controls").set_value(True).run())
    assert "Block-permuted" in {b["name"] for b in bars(page, 0)}


def test_the_subject_of_the_page_is_the_subject_of_the_bars(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    write(home, run_id, document(run_id, ("sub-02",)))
    assert "Layer 4\\. sub\\-02, test stories" in words(open_page("encoding", subject="sub-01"))


@pytest.mark.parametrize("bad", ["{", '{"rows": 7}', "[]"])
def test_a_damaged_partition_is_a_message(home: Home, open_page: OpenPage, bad: str) -> None:
    run_id = fake_home.add_done(home)
    (home.runs / run_id / "partition.json").write_text(bad, encoding="utf-8")
    page = open_page("encoding")
    assert any("cannot be read" in e.value for e in page.error)
    assert any(f"braindash partition {run_id}" in e.value.replace("\\", "") for e in page.error)
