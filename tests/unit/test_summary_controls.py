"""The answer says what every control did, each by itself where they are few, together where they are many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from braindash.comparing.summary import summarise


def rows(gaps: Mapping[str, float], half: float = 0.01) -> tuple[list[Any], list[Any], list[Any]]:
    """Return encoding, difference and control rows of one region; ``gaps`` is brain-tuned minus each control."""
    base = {"subject": "s", "roi": "cortex", "layer": 2, "n_targets": 50, "n_excluded": 0}

    def of(value: float) -> dict[str, float]:
        ends = {"ci_low": value - half, "ci_high": value + half}
        norm = {"delta_r_norm": value, "r_norm_ci_low": value - half, "r_norm_ci_high": value + half}
        return {"delta_r": value, **ends, **norm}

    models = {"pretrained": 0.5, "brain_tuned": 0.55, **{m: 0.55 - g for m, g in gaps.items()}}
    encoding = [{"model": m} | base | {"r": v, "r_norm": v} for m, v in models.items()]
    differences = [{"model": m} | base | of(v - 0.5) for m, v in models.items() if m != "pretrained"]
    against = [{"model": "brain_tuned", "against": m} | base | of(g) for m, g in gaps.items()]
    return encoding, differences, against


def answer(gaps: Mapping[str, float]) -> str:
    encoding, differences, against = rows(gaps)
    return str(summarise(encoding, differences, tuned="brain_tuned", against=against)["answer"][1])


def test_a_few_controls_have_a_sentence_each() -> None:
    said = answer({"block_permuted": 0.045, "head_only": 0.05})
    assert "The control tuned on block-permuted responses shows no clear change: +0.005" in said
    assert "brain-tuned less control is +0.045 (95 % interval +0.035 to +0.055)" in said
    assert "The control whose read-out alone was tuned shows no clear change: +0.000" in said


def test_many_controls_are_told_apart_by_their_intervals() -> None:
    gaps = {"block_permuted": 0.04, "story_permuted": 0.05, "stimulus_only": 0.004, "random_model": -0.03}
    said = answer(gaps)
    assert "gained more than 2 of 4 controls, by differences whose intervals lie above 0" in said
    assert ": block-permuted (+0.040) and story-permuted (+0.050)." in said
    assert "no clear difference between it and stimulus only (+0.004; 95 % interval -0.006 to +0.014)." in said
    assert "It gained less than random weights (-0.030; 95 % interval -0.040 to -0.020)." in said
    alone = answer(dict.fromkeys(gaps, 0.001))
    assert "no clear difference between the brain-tuned model and block-permuted" in alone


def test_all_exceeded_is_said_so() -> None:
    gaps = {"block_permuted": 0.04, "story_permuted": 0.05, "random_responses": 0.06}
    said = answer(gaps)
    assert "gained more than all 3 controls" in said
    assert "no clear" not in said
    assert "less than" not in said
