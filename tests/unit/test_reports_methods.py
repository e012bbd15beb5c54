"""The methods text says what the run's files say: a changed setting changes its sentence; nothing is left open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import braindash.cli as cli
from braindash.config import Home, TuneConfig
from braindash.reports.methods import bibtex, methods_text
from braindash.reports.references import REFERENCES
from braindash.runs.record import RunStore
from braindash.wording import CONTROL_MODELS

SPLIT = {"tune": ["a", "b", "c"], "validation": ["d"], "test": ["e", "f"]}
Make = Callable[..., "FakeRun"]


class FakeRun:
    """A run's files, held in memory."""

    id = "20260101-000000-lora-mini-aaaa"

    def __init__(self, folder: Path, config: dict[str, Any], evaluated: bool, **facts: Any) -> None:
        self.config = TuneConfig.model_validate({"study": "mini", "model": "whisper-tiny.en"} | config)
        self.model_dir = folder
        signal = facts.pop("signal", "bold")
        self.provenance = {
            "braindash": "0.1.0", "git": {"commit": "0123456789abcdef"}, "libraries": {"torch": "2.13.0"},
            "device": "cuda:0", "weights": {"hash": "f00dfeedbeefcafe"}, "split": SPLIT,
            "data": {"tr": 0.01 if signal == "electrodes" else 1.5, "subjects": ["s1", "s2"], "signal": signal,
                     "simulated": facts.get("simulated", False), "title": "The mini study"},
        }  # fmt: skip
        card = {
            "layer": 4, "config": self.config.model_dump(mode="json"),
            "targets": {"s1": {"n_targets": 1234, "n_all": 5000}},
            "outcome": {"best_epoch": 2, "best_validation_r": 0.1234, "pretrained_validation_r": 0.1111},
        }  # fmt: skip
        (folder / "braindash_model.json").write_text(json.dumps(card))
        done = self.config.encoding.model_dump(mode="json")
        if signal == "bold":
            done["lag_components"] = None
        self._records = None
        if evaluated:
            self._records = {
                "study_title": "The mini study", "subjects": ["s1", "s2"], "simulated": False,
                "models": ["pretrained", "brain_tuned"], "encoding": [{"roi": "late_language"}],
                "excluded": {
                    "s1": {"not finite or constant": 7, "no ceiling": 0, "targets": 5000}, "s2": {"targets": 9},
                },
                "ceilings": {"s1": "repeats"},
                "provenance": {"evaluation": done, "split": SPLIT},
            } | facts  # fmt: skip

    def records(self) -> dict[str, Any] | None:
        return self._records


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(config: dict[str, Any] | None = None, evaluated: bool = True, **facts: Any) -> FakeRun:
        return FakeRun(tmp_path, config or {}, evaluated, **facts)

    return build


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"lora": {"rank": 3}}, "rank 8, alpha 16", "rank 3, alpha 16"),
        ({"lora": {"first_block": 2}}, "the upper half of the transformer blocks", "blocks from 2 on"),
        ({"lora": {"targets": ["q", "v"]}}, "all linear layers", "the linear layers q and v"),
        ({"loss": "spatial"}, "the mean squared error", "correlation across targets (Vattikonda et al., 2025)"),
        ({"loss": "temporal"}, "the mean squared error", "correlation across the TRs of a step"),
        ({"loss": "huber+0.5*cosine"}, "the mean squared", "the Huber loss (Huber, 1964; delta 1) and 0.5 times 1 "),
        ({"recipe": "full"}, "low-rank adapters", "all weights of all transformer blocks, the front end frozen"),
        ({"recipe": "full", "full": {"first_block": 3}}, "0.003 for the adapters", "the transformer blocks from 3 on"),
        ({"optimiser": {"kind": "adam"}}, "AdamW", "Adam (Kingma & Ba, 2015) ran"),
        ({"optimiser": {"warmup_fraction": 0.1}}, "10 steps of warm-up", "warm-up over 10 % of the steps"),
        ({"keep": "last"}, "The epoch was chosen", "The last epoch was kept, 2;"),
        ({"pairs": True}, "a step was a whole story.", "a step was a whole story of one subject."),
        ({"stories_per_step": 4}, "a step was a whole story.", "the mean gradient of 4 times a whole story."),
        ({"hemi": "left"}, "", "targets of all regions of the left hemisphere"),
        ({"mask": "m.npy"}, "", "all regions inside a given mask"),
        ({"head": {"shared_output": True}}, "", "one output matrix for all subjects"),
        ({"head": {"refit": "epoch"}}, "", "solved anew by ridge regression after every epoch"),
        ({"control": "story-permuted"}, "", "This run is a control. Tuned in the same way, with blocks"),
        ({"control": "stimulus-only"}, "Tuned on were", "the model's own pretraining went on"),
        ({"control": "stimulus-only"}, "the mean squared error", "wav2vec 2.0's (Baevski et al., 2020)"),
        ({"control": "story-permuted", "permute_block": 7}, "", "A block had 7 rows."),
        ({"control": "random-responses"}, "", "phases at random (Prichard & Theiler, 1994)"),
        ({"head": {"kind": "linear"}}, "a read-out of rank 24", "a linear read-out"),
        ({"head": {"init": "random"}}, "started from reduced-rank ridge", "started from random weights"),
        ({"optimiser": {"epochs": 7}}, "for 3 epochs", "for 7 epochs"),
        ({"optimiser": {"lr": 1e-4}}, "0.003 for the adapters", "0.0001 for the adapters"),
        ({"optimiser": {"patience": 2}}, "", "stop after 2 epochs"),
        ({"block_trs": 10}, "a step was a whole story", "a step was 10 consecutive rows"),
        ({"control": "block-permuted", "permute_block": 6}, "", "permuted in blocks of 6 rows"),
        ({"rois": ["A1", "44"]}, "targets of all regions", "targets of the regions A1 and 44"),
        ({"min_ceiling": 0.25}, "", "a noise ceiling of at least 0.25"),
        ({"seed": 17}, "seed 0", "seed 17"),
        ({"encoding": {"delays": [2, 5]}}, "delayed by 1, 2, 3 and 4 TRs", "delayed by 2 and 5 TRs"),
        ({"encoding": {"alphas": [1, 10, 50]}}, "15 penalties from 1 to 1e+07", "3 penalties from 1 to 50"),
        ({"encoding": {"select": "r2"}}, "mean correlation on each story", "mean R² on each story"),
        ({"encoding": {"layers": [2, 4]}}, "every layer", "layers 2 and 4"),
        ({"encoding": {"n_permutations": 0}}, "1,000 permutations of blocks of 10 TRs", "No permutation tests"),
        ({"encoding": {"fdr": "by"}}, "Benjamini & Hochberg, 1995", "Benjamini & Yekutieli, 2001"),
        ({"encoding": {"n_boot": 250}}, "1,000 bootstrap", "250 bootstrap"),
        ({"encoding": {"ceiling_threshold": 0.3}}, "below 0.1 have none", "below 0.3 have none"),
        (
            {"encoding": {"window": {"context": 8, "stride": 0.5, "readout": "last"}}},
            "Hidden states of every layer were z-scored",
            "8 s every 0.5 s, of which the last frame was taken",
        ),
    ],
)  # fmt: skip
def test_a_changed_setting_changes_its_sentence(make: Make, changes: dict[str, Any], before: str, after: str) -> None:
    plain, changed = methods_text(make()), methods_text(make(changes))
    assert before in plain
    assert after not in plain
    assert after in changed
    assert not before or before not in changed


def test_what_the_run_found_is_in_it(make: Make) -> None:
    text = methods_text(make())
    for said in (
        "BOLD responses (TR 1.5 s) of 2 subjects", "“The mini study”", "3 stories served for tuning",
        "1 story for choosing",
        "2 stories (e and f) for testing alone", "weights f00dfeedbeef", "Layer 4 fed", "1,234 of 5,000 (s1)",
        "epoch 2, with mean r 0.123 on the validation stories; pretrained 0.111", "the 4 tuning and validation stories",
        "s1 of 5,000 targets: 7 (not finite or constant)", "Nothing was left out for s2", "repeats of the test stories",
        "stretches of the 2 stories", "commit 0123456789", "torch 2.13.0", "cuda:0", "Glasser et al., 2016",
    ):  # fmt: skip
        assert said in text, said


def test_the_recipes_differ(make: Make) -> None:
    lora, head = methods_text(make()), methods_text(make({"recipe": "head"}))
    assert "low-rank adapters (Hu et al., 2022" in lora
    assert "adapters" not in head
    assert "was left as it is" in head
    assert "hu2022lora" not in bibtex(make({"recipe": "head"}))


def test_electrodes_have_lags_and_no_trs(make: Make) -> None:
    text = methods_text(make({"encoding": {"lags": [0.1, 0.5], "lag_components": 32}}, signal="electrodes"))
    assert "Electrode responses (100 samples a second)" in text
    assert "lagged by 0.1 to 0.5 s" in text
    assert "first 32 principal components" in text
    assert "Crosse et al., 2016" in text
    assert "delayed by" not in text
    assert "Crosse" not in methods_text(make())


def test_simulated_responses_are_called_simulated(make: Make) -> None:
    for evaluated in (True, False):
        text = methods_text(make(evaluated=evaluated, simulated=True))
        assert "2 simulated subjects" in text
        assert "computed, not recorded" in text
    assert "simulated" not in methods_text(make())


@pytest.mark.parametrize(
    ("source", "words"),
    [("given", "came with the study"), ("subjects", "from the other subjects"), ("none", "no noise ceilings")],
)
def test_where_the_ceilings_are_from(make: Make, source: str, words: str) -> None:
    assert words in methods_text(make(ceilings={"s1": source}))


def test_controls_and_groups_are_named_where_they_took_part(make: Make) -> None:
    text = methods_text(
        make(models=["pretrained", "brain_tuned", "block_permuted"], group=[{"n_subjects": 8}])
    )  # fmt: skip
    assert "Block permuted is the same tuning" in text
    assert "across the 8 subjects" in text
    assert "Block permuted" not in methods_text(make())
    every = methods_text(make(models=["pretrained", "brain_tuned", *CONTROL_MODELS]))
    for name in CONTROL_MODELS:
        assert f"{name.replace('_', ' ').capitalize()} is " in every
    assert "Baevski et al., 2020: wav2vec 2.0" in every


@pytest.mark.parametrize("evaluated", [True, False])
@pytest.mark.parametrize("recipe", ["lora", "head"])
@pytest.mark.parametrize("signal", ["bold", "electrodes"])
def test_nothing_is_left_to_fill_in(make: Make, evaluated: bool, recipe: str, signal: str) -> None:
    run = make({"recipe": recipe}, evaluated, signal=signal)
    text = methods_text(run)
    assert not re.search(r"[{}@]|None|nan|TODO|\?\?|  |\bTrue\b|\bFalse\b(?! discovery)|, ,|\(\)", text), text
    cited = set(re.findall(r"@\w+\{(\w+),", bibtex(run)))
    named = text.partition("Works cited.")[0]
    for key, work in REFERENCES.items():
        assert (work.cite in named) == (key in cited), key
    assert ("has not been evaluated" in text) != evaluated


def test_a_run_of_few_files_is_described_by_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "home")
    run = RunStore(home).create(TuneConfig(study="mini", model="whisper-tiny.en"))
    assert cli.run(["methods", run.id, "--home", str(home.path)]) == 0
    said = capsys.readouterr().out
    assert "has not been evaluated" in said
    assert "None" not in said
    assert cli.run(["methods", run.id, "--bibtex", "--home", str(home.path)]) == 0
    assert capsys.readouterr().out.startswith("@inproceedings{moussa2025improving,")
    assert cli.run(["methods", run.id, "--json", "--home", str(home.path)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"run", "methods", "bibtex"}
