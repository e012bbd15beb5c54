"""The papers' findings: every row reaches every verdict that it can, for the reason that it states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from braindash.comparing.evidence import Evidence
from braindash.comparing.findings import FINDINGS, judge_findings
from braindash.comparing.verdicts import Change, Controls, judge_fall, judge_gain, judge_place, judge_same

NAN = float("nan")
LAYERS = (0, 1, 2, 3, 4)
Numbers = tuple[float, float, float]
UP, FLAT_UP, DOWN, OPEN, NONE = (
    (0.02, 0.015, 0.025),
    (0.002, -0.004, 0.008),
    (-0.02, -0.03, -0.01),
    (0.01, -0.02, 0.04),
    (NAN, NAN, NAN),
)


def region(roi: str, numbers: Numbers, **more: Any) -> dict[str, Any]:
    keys = dict(zip(("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high"), numbers, strict=True))
    half = dict(zip(("delta_r", "ci_low", "ci_high"), (n / 2 for n in numbers), strict=True))
    base = {"model": "brain_tuned", "subject": "all", "roi": roi, "layer": 4, "n_targets": 100, "n_excluded": 10}
    return base | keys | half | more


def numbers(value: Numbers, **more: Any) -> dict[str, Any]:
    return dict(zip(("delta", "ci_low", "ci_high"), value, strict=True)) | more


def peak(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"peak_layer": low, "peak_low": low, "peak_high": high, "flat": low != low} | more


def evidence(**changes: Any) -> Evidence:
    """Return the evidence of a run that has nothing yet."""
    base = Evidence(
        run="r1", config_file="runs/r1/config.yaml", tuned="brain_tuned", simulated=False, normalised=True,
        layers=LAYERS, subject="all", n_subjects=3, hears=True, n_tested={},
    )  # fmt: skip
    return replace(base, **changes)


def found(id: str, e: Evidence) -> dict[str, str]:
    return next(r for r in judge_findings(e) if r["id"] == id)


# --- the rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "gap", "verdict", "said"),
    [
        (UP, UP, "supported", "above 0"),
        (UP, None, "cannot_tell", "no matched control"),
        (UP, OPEN, "cannot_tell", "whether more than"),
        (UP, FLAT_UP, "not_supported", "as much or more"),
        (UP, DOWN, "not_supported", "as much or more"),
        (DOWN, UP, "not_supported", "below 0"),
        (FLAT_UP, UP, "not_supported", "no change worth the name"),
        (OPEN, UP, "cannot_tell", "holds 0"),
        ((0.02, NAN, NAN), UP, "cannot_tell", "no interval"),
        (NONE, None, "cannot_tell", "no interval"),
    ],
)
def test_a_gain_needs_its_interval_and_that_of_every_control(
    change: Numbers, gap: Numbers | None, verdict: str, said: str
) -> None:
    controls = Controls({} if gap is None else {"block_permuted": Change(*gap)}, "make one")
    judged = judge_gain(Change(*change), controls, "it")
    assert judged.verdict == verdict
    assert said in judged.reason
    assert (judged.command == "make one") == ("no matched control" in judged.reason)
    if gap is not None:
        assert "minus the block-permuted control" in judged.shows
    both = Controls({"block_permuted": Change(*UP), "stimulus_only": Change(*OPEN)})
    assert judge_gain(Change(*UP), both, "").verdict == "cannot_tell"  # one control of two is not enough


def test_absence_of_proof_is_not_proof_of_absence() -> None:
    assert judge_same(Change(*FLAT_UP), "").verdict == "supported"
    assert judge_same(Change(*OPEN), "").verdict == "cannot_tell"  # holds 0, and .03 as well
    assert judge_same(Change(*UP), "").verdict == "not_supported"
    assert judge_same(Change(0.015, 0.005, 0.025), "").verdict == "cannot_tell"  # changed, by less than .01 perhaps
    assert judge_same(Change(0.0, 0.0, 0.0), "").verdict == "supported"
    assert judge_same(Change(*NONE), "").verdict == "cannot_tell"


def test_a_fall_is_a_gain_upside_down() -> None:
    verdicts = [judge_fall(Change(*c), "").verdict for c in (DOWN, UP, FLAT_UP, OPEN, NONE)]
    assert verdicts == ["supported", "not_supported", "not_supported", "cannot_tell", "cannot_tell"]


def test_a_place_holds_for_the_whole_interval_of_every_peak() -> None:
    def verdict(*rows: dict[str, Any]) -> str:
        return judge_place(rows, 0, 1.33, "the first third", "").verdict

    assert verdict(peak(0, 1), peak(1, 1)) == "supported"
    assert verdict(peak(0, 1), peak(2, 4)) == "not_supported"
    assert verdict(peak(0, 1), peak(1, 2)) == "cannot_tell"
    assert verdict(peak(0, 1), peak(NAN, NAN)) == "cannot_tell"
    assert verdict() == "cannot_tell"


def test_independent_changes_have_wider_gaps() -> None:
    gap = Change(0.03, 0.02, 0.04).less(Change(0.01, 0.0, 0.02))
    assert gap.value == pytest.approx(0.02)
    assert gap.high - gap.value == pytest.approx(0.01 * 2**0.5)


# --- nothing there -------------------------------------------------------------------------------


def test_a_run_with_nothing_tells_nothing_and_says_what_would() -> None:
    rows = judge_findings(evidence(layers=(0, 1), subject="", n_subjects=0, normalised=False))
    assert [r["id"] for r in rows] == [f.id for f in FINDINGS]
    assert {r["verdict"] for r in rows} == {"cannot_tell"}
    told = {r["id"]: r for r in rows}
    assert told["1_late_language"]["command"] == "braindash evaluate r1"
    assert told["2_acoustic_early"]["command"] == "braindash probe r1"
    assert told["3_low_level"]["command"] == "braindash partition r1"
    assert told["c_stimulus_only"]["command"] == "braindash tune --config runs/r1/config.yaml --control stimulus-only"
    assert all(r["command"] in r["why"] for r in rows)
    assert all("Criterion: " in r["why"] and r["claim"] and r["look_for"] for r in rows)
    assert {r["source"] for r in rows} <= {"A", "B", "A, B", "A-multi"}


def test_one_subject_without_controls_ceilings_and_probes_tells_nothing() -> None:
    plain = {"delta_r_norm": NAN, "r_norm_ci_low": NAN, "r_norm_ci_high": NAN, "subject": "s1"}
    e = evidence(
        subject="s1", n_subjects=1, normalised=False,
        differences=[region(r, UP, **plain) for r in ("late_language", "cortex", "early_auditory", "primary_auditory")],
        regions=[peak(1, 1, model=m, subject="s1", roi="primary_auditory") for m in ("pretrained", "brain_tuned")],
        changes=[numbers(FLAT_UP, what="region", name="primary_auditory", model="brain_tuned", against="pretrained")],
    )  # fmt: skip
    rows = judge_findings(e)
    assert {r["verdict"] for r in rows} == {"cannot_tell"}
    assert all("One subject" in r["why"] for r in rows)
    assert "in r at layer 4" in found("1_late_language", e)["shows"]
    assert "noise ceilings" in found("1_primary_auditory", e)["why"]


def test_simulated_subjects_are_said_in_every_row() -> None:
    assert all("simulated" in r["why"] for r in judge_findings(evidence(simulated=True)))
    assert not any("simulated" in r["why"] for r in judge_findings(evidence()))


# --- every row, every verdict --------------------------------------------------------------------

WANT = {"supported": UP, "not_supported": DOWN, "cannot_tell": OPEN}
VERDICTS = tuple(WANT)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize(("id", "roi"), [("1_late_language", "late_language"), ("4_cortex", "cortex")])
def test_region_gains(id: str, roi: str, verdict: str) -> None:
    e = evidence(differences=[region(roi, WANT[verdict])], against=[region(roi, UP, against="block_permuted")])
    row = found(id, e)
    assert row["verdict"] == verdict
    assert f"{WANT[verdict][0]:+.3f} (95 % interval {WANT[verdict][1]:+.3f}" in row["shows"]
    assert "n = 90 targets" in row["shows"]
    other_subject = replace(e, subject="s1")
    assert found(id, other_subject)["verdict"] == "cannot_tell"


@pytest.mark.parametrize(
    ("change", "after", "verdict"),
    [(UP, (4, 4), "supported"), (DOWN, (4, 4), "not_supported"), (OPEN, (4, 4), "cannot_tell"),
     (UP, (1, 2), "not_supported"), (UP, (2, 4), "cannot_tell")],
)  # fmt: skip
def test_the_rising_curve(change: Numbers, after: tuple[int, int], verdict: str) -> None:
    where = {"subject": "all", "roi": "late_language"}
    slope = {"slope": 0.1, "ci_low": 0.0, "ci_high": 0.2, **where}
    e = evidence(
        differences=[region("late_language", UP)],
        slopes=[{"model": m, **slope} for m in ("pretrained", "brain_tuned")],
        slope_change=[
            numbers(change, model="brain_tuned", against="pretrained", **where),
            numbers(UP, model="brain_tuned", against="block_permuted", **where),
        ],
        regions=[peak(2, 2, model="pretrained", **where), peak(*after, model="brain_tuned", **where)],
        changes=[numbers(UP, what="region", name="late_language", model="brain_tuned", against="block_permuted")],
    )  # fmt: skip
    row = found("1_rising_curve", e)
    assert row["verdict"] == verdict
    assert "best at layer 2 before" in row["shows"]
    assert "no bell" not in row["why"]
    rising = replace(e, regions=[peak(4, 4, model=m, **where) for m in ("pretrained", "brain_tuned")])
    assert "best there before as well" in found("1_rising_curve", rising)["why"]


@pytest.mark.parametrize(
    ("change", "after", "verdict"),
    [(FLAT_UP, (0, 1), "supported"), (FLAT_UP, (3, 4), "not_supported"), (UP, (0, 1), "not_supported"),
     (OPEN, (0, 1), "cannot_tell"), (FLAT_UP, (1, 3), "cannot_tell")],
)  # fmt: skip
def test_primary_auditory_cortex(change: Numbers, after: tuple[int, int], verdict: str) -> None:
    where = {"subject": "all", "roi": "primary_auditory"}
    e = evidence(
        differences=[region("primary_auditory", change)],
        regions=[peak(0, 1, model="pretrained", **where), peak(*after, model="brain_tuned", **where)],
        changes=[numbers(change, what="region", name="primary_auditory", model="brain_tuned", against="pretrained")],
    )
    assert found("1_primary_auditory", e)["verdict"] == verdict


def probes(
    task: str, before: tuple[float, float], after: tuple[float, float], title: str = "A task"
) -> list[dict[str, Any]]:
    base = {"task": task, "title": title, "level": "acoustic"}
    return [peak(*before, model="pretrained", **base), peak(*after, model="brain_tuned", **base)]


def test_where_probes_peak() -> None:
    def verdict(id: str, *rows: list[dict[str, Any]]) -> str:
        return found(id, evidence(probes=[r for part in rows for r in part]))["verdict"]

    assert verdict("2_acoustic_early", probes("mfcc", (0, 1), (1, 1))) == "supported"
    assert verdict("2_acoustic_early", probes("mfcc", (0, 1), (2, 3))) == "not_supported"
    assert verdict("2_acoustic_early", probes("mfcc", (0, 1), (1, 3))) == "cannot_tell"
    assert verdict("2_acoustic_early", probes("word", (0, 1), (1, 1))) == "cannot_tell"  # not an acoustic probe
    both = [probes("phones_in_sentence", (1, 2), (3, 4)), probes("sentence_type", (1, 1), (4, 4))]
    assert verdict("2_phones_late", *both) == "supported"  # only after tuning counts
    assert verdict("2_phones_late", both[0]) == "supported"
    assert "sentence type not probed" in found("2_phones_late", evidence(probes=both[0]))["shows"]
    assert verdict("2_phones_late", both[0], probes("sentence_type", (4, 4), (1, 1))) == "not_supported"
    assert verdict("2_phones_late", both[0], probes("sentence_type", (4, 4), (NAN, NAN))) == "cannot_tell"


def changed(task: str, change: Numbers, gap: Numbers | None = None) -> list[dict[str, Any]]:
    base = {"what": "probe", "name": task, "model": "brain_tuned"}
    rows = [numbers(change, against="pretrained", **base)]
    return rows + ([numbers(gap, against="block_permuted", **base)] if gap else [])


@pytest.mark.parametrize(
    ("change", "verdict"), [(FLAT_UP, "supported"), (DOWN, "not_supported"), (OPEN, "cannot_tell")]
)
def test_word_identity(change: Numbers, verdict: str) -> None:
    e = evidence(probes=probes("word", (1, 2), (1, 2)), changes=changed("word", change))
    assert found("2_word_identity", e)["verdict"] == verdict


@pytest.mark.parametrize("verdict", VERDICTS)
def test_word_meaning(verdict: str) -> None:
    e = evidence(probes=probes("word_meaning", (1, 2), (1, 2)), changes=changed("word_meaning", WANT[verdict], UP))
    assert found("5_word_meaning", e)["verdict"] == verdict
    alone = replace(e, changes=changed("word_meaning", WANT["supported"]))
    assert found("5_word_meaning", alone)["verdict"] == "cannot_tell"
    assert "--control block-permuted" in found("5_word_meaning", alone)["command"]


@pytest.mark.parametrize(("low", "expected"), [(0.02, "supported"), (-0.01, "cannot_tell")])
def test_a_rise_that_stays_at_chance_shows_nothing(low: float, expected: str) -> None:
    rows = [
        {"model": "brain_tuned", "task": "word_meaning", "layer": k, "score": 0.03, "ci_low": low - k, "ci_high": 0.1,
         "chance": 0.0}
        for k in (0, 1)
    ]  # fmt: skip
    e = evidence(
        probes=probes("word_meaning", (1, 2), (1, 2)),
        changes=changed("word_meaning", WANT["supported"], UP),
        scores=rows,
    )
    row = found("5_word_meaning", e)
    assert row["verdict"] == expected
    assert ("above chance" in row["why"]) == (expected == "cannot_tell")


def removed(space: str, change: Numbers, model: str = "brain_tuned", roi: str = "late_language") -> dict[str, Any]:
    keys = dict(zip(("change", "change_low", "change_high"), change, strict=True))
    return {"model": model, "subject": "all", "roi": roi, "space": space, "layer": 4, "delta_r": -0.03} | keys


def test_reliance_on_low_level_features() -> None:
    control = {
        "differences": [region("late_language", UP)],
        "against": [region("late_language", UP, against="block_permuted")],
    }

    def verdict(*rows: dict[str, Any]) -> str:
        return found("3_low_level", evidence(reliance=list(rows), **control))["verdict"]

    still = (0.0, -0.002, 0.002)
    assert verdict(removed("spectral", UP), removed("spectral", still, "block_permuted")) == "supported"
    assert verdict(removed("spectral", UP), removed("spectral", UP, "block_permuted")) == "not_supported"
    assert verdict(removed("spectral", DOWN), removed("spectral", still, "block_permuted")) == "not_supported"
    assert verdict(removed("spectral", UP), removed("word_rate", OPEN)) == "cannot_tell"
    assert verdict(removed("spectral", UP)) == "cannot_tell"  # no control's partition
    assert verdict(removed("spectral", UP, roi="ag")) == "cannot_tell"


@pytest.mark.parametrize(
    ("hears", "change", "verdict"),
    [(False, DOWN, "supported"), (False, UP, "not_supported"), (False, OPEN, "cannot_tell"),
     (True, DOWN, "cannot_tell"), (None, DOWN, "cannot_tell")],
)  # fmt: skip
def test_auditory_cortex_falls_only_where_it_was_not_tuned_on(
    hears: bool | None, change: Numbers, verdict: str
) -> None:
    e = evidence(hears=hears, differences=[region("early_auditory", change)])
    assert found("4_auditory_falls", e)["verdict"] == verdict


@pytest.mark.parametrize("verdict", VERDICTS)
def test_what_is_tuned_on_selects(verdict: str) -> None:
    selection = numbers(WANT[verdict], inside="left", outside="right", gaps={"block_permuted": numbers(UP)})
    assert found("4_selection", evidence(selection=selection))["verdict"] == verdict
    assert found("4_selection", evidence(selection={}))["verdict"] == "cannot_tell"


def carried(change: Numbers, on: str = "s2", same: bool = False) -> dict[str, Any]:
    row = region("late_language", change, tuned_on=["s1"], evaluated_on=on, same=same)
    return row | {"gaps": {"block_permuted": numbers(UP)}}


def test_transfer_holds_in_every_subject() -> None:
    def row(*rows: dict[str, Any]) -> dict[str, str]:
        return found(
            "4_transfer", evidence(n_subjects=1, differences=[region("late_language", UP)], transfer=list(rows))
        )

    assert row(carried(UP), carried(UP, "s3"))["verdict"] == "supported"
    assert row(carried(UP), carried(DOWN, "s3"))["verdict"] == "not_supported"
    assert row(carried(UP), carried(OPEN, "s3"))["verdict"] == "cannot_tell"
    alone = row(carried(UP, "s1", same=True))
    assert alone["verdict"] == "cannot_tell"
    assert alone["command"].startswith("braindash evaluate r1 --subjects")
    assert "tuned on s1, in s3" in row(carried(UP), carried(UP, "s3"))["shows"]


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize(
    ("id", "control"),
    [("c_block_permuted", "block_permuted"), ("c_random_responses", "random_responses"),
     ("c_random_responses", "story_permuted"), ("c_stimulus_only", "stimulus_only"),
     ("c_random_model", "random_model")],
)  # fmt: skip
def test_controls(id: str, control: str, verdict: str) -> None:
    e = evidence(
        differences=[region("late_language", UP)], against=[region("late_language", WANT[verdict], against=control)]
    )
    assert found(id, e)["verdict"] == verdict


def test_both_kinds_of_unrelated_responses_must_be_exceeded() -> None:
    against = [region("late_language", c, against=m) for m, c in (("story_permuted", UP), ("random_responses", OPEN))]
    e = evidence(differences=[region("late_language", UP)], against=against)
    assert found("c_random_responses", e)["verdict"] == "cannot_tell"


def test_a_random_model_is_no_matched_control() -> None:
    """To exceed a model without pretraining says nothing of the responses."""
    e = evidence(
        differences=[region("late_language", UP)], against=[region("late_language", UP, against="random_model")]
    )
    assert found("1_late_language", e)["verdict"] == "cannot_tell"


def test_forgetting() -> None:
    def verdict(fell: list[float], mean: Numbers) -> str:
        rows = [{"what": "probe", "name": "t", "title": "T", "layer": 3, "delta": d} for d in fell]
        mean_row = numbers(mean, what="probes", name="all", model="brain_tuned", against="pretrained")
        return found("c_forgetting", evidence(n_tested={"probe": 40}, forgetting=rows, changes=[mean_row]))["verdict"]

    assert verdict([], FLAT_UP) == "supported"
    assert verdict([-0.004], FLAT_UP) == "supported"  # a fall too small to matter
    assert verdict([-0.03], FLAT_UP) == "not_supported"
    assert verdict([], OPEN) == "cannot_tell"


def test_what_one_run_cannot_show_is_never_judged() -> None:
    for id in ("4_stable", "6_less_data"):
        assert found(id, evidence(differences=[region("cortex", UP)]))["verdict"] == "cannot_tell"
    assert "--grid recipe=lora,full" in found("4_stable", evidence())["command"]


def test_the_verdicts_that_the_demo_must_give_are_of_findings_that_exist() -> None:
    from braindash.demo.truth import EXPECTED, wrong_verdicts

    assert set(EXPECTED) <= {f.id for f in FINDINGS}
    rows = [{"id": k, "verdict": v, "shows": "it"} for k, v in EXPECTED.items()]
    assert wrong_verdicts(rows) == {}
    rows[0] = rows[0] | {"verdict": "not_supported"}
    assert wrong_verdicts(rows[:-1]) == {rows[0]["id"]: "not_supported: it", rows[-1]["id"]: "missing"}
