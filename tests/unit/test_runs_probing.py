"""Probes of a run: what is planted in the sound is found, tuning stories are never scored, files are whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from mini_study import write_mini_study
from tiny_models import save_tiny

import braindash.cli as cli
from braindash.config import Home, TuneConfig
from braindash.errors import BraindashError, LeakageError
from braindash.probing.base import Limits
from braindash.runs.probing import ARRAYS, PROBING, choose_units, probe_run, read_probing, read_probing_arrays
from braindash.runs.record import Run, RunStore
from braindash.studies.textgrid import write_textgrid

RATE, PIECE = 16000, 0.5  # a half, so that times are exact
TONES = {"AA": 300.0, "IY": 900.0, "UW": 2500.0}  # phones that a layer must tell apart
LIMITS = Limits(max_examples=600, fewest_examples=20, fewest_per_class=5)


def speak(folder: Path) -> None:
    """Replace every story's noise by tones, one a phone, and write the TextGrid that says which."""
    rng = np.random.default_rng(2)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    for story in spec["stories"]:
        n = sf.info(folder / story["audio"]).frames
        at = np.arange(0, n / RATE - PIECE, PIECE)
        phones = rng.choice(list(TONES), len(at))
        t = np.arange(n) / RATE
        audio = 0.01 * rng.standard_normal(n)
        for onset, phone in zip(at, phones, strict=True):
            inside = (t >= onset) & (t < onset + PIECE)
            audio[inside] += 0.2 * np.sin(2 * np.pi * TONES[phone] * t[inside])
        sf.write(folder / story["audio"], audio.astype(np.float32), RATE)
        tier = pd.DataFrame({"text": phones, "onset": at, "offset": at + PIECE})
        words = pd.DataFrame(
            {"text": ["".join(phones[i : i + 2]).lower() for i in range(0, len(at) - 1, 2)],
             "onset": at[:-1:2], "offset": at[:-1:2] + 2 * PIECE}
        )  # fmt: skip
        write_textgrid(folder / f"{story['name']}.TextGrid", {"phones": tier, "words": words}, end=n / RATE)
        story["textgrid"] = f"{story['name']}.TextGrid"
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from braindash.speech import open_model
    from braindash.studies import open_study
    from braindash.studies.library import add_study
    from braindash.tuning import tune

    folder = tmp_path_factory.mktemp("probing")
    home = Home(folder / "home")
    model = save_tiny("wav2vec2", folder / "tiny")
    speak(write_mini_study(folder / "mini", n_trs=20))
    add_study(home, "table", folder / "mini")
    config = TuneConfig.model_validate(
        {"study": "mini", "model": str(model), "precision": "fp32", "optimiser": {"epochs": 1, "lr": 0.03}}
    )
    run = RunStore(home).create(config)
    tune(
        open_study("mini", home), open_model(str(model), home), config, run.path,
        progress=lambda row: None, should_stop=lambda: False,
    )  # fmt: skip
    run.update_status(state="done", tuned=True)
    return run


@pytest.fixture(scope="module")
def document(run: Run) -> dict:
    told: list[tuple[float, str]] = []
    found = probe_run(
        run, tasks=["intensity", "phone"], limits=LIMITS, n_boot=100, progress=lambda f, what: told.append((f, what))
    )
    fractions = [f for f, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    return found


def test_every_layer_of_every_model_has_a_row(document: dict) -> None:
    assert document["models"] == ["pretrained", "brain_tuned", "random_weights"]
    assert [t["name"] for t in document["tasks"]] == ["intensity", "phone"]
    seen = {(r["model"], r["task"], r["layer"]) for r in document["rows"]}
    assert len(seen) == len(document["rows"]) == 3 * 2 * len(document["layers"])


def test_what_is_planted_in_the_sound_is_found(document: dict) -> None:
    rows = [r for r in document["rows"] if r["task"] == "phone" and r["model"] == "pretrained"]
    best = max(rows, key=lambda r: r["score"])
    assert best["chance"] == pytest.approx(1 / 3)
    assert best["ci_low"] > 0.6  # three tones: even random layers tell them apart
    assert best["selectivity"] == pytest.approx(best["score"] - best["shuffled"])
    assert best["shuffled"] < 0.5


def test_the_tuned_model_differs_above_its_first_layer_alone(document: dict) -> None:
    deltas = {(r["model"], r["layer"]): r["delta"] for r in document["differences"] if r["task"] == "phone"}
    assert deltas["brain_tuned", 0] == 0
    assert all(np.isfinite(d) for d in deltas.values())
    assert {m for m, _ in deltas} == {"brain_tuned", "random_weights"}


def test_stories_that_were_tuned_on_are_not_scored(document: dict) -> None:
    held_out = {name for row in document["folds"] for name in row["held_out"]}
    assert held_out == {"five", "six"}
    assert document["corpus"]["n_scored"] == 2
    assert document["corpus"]["n_recordings"] == 6


def test_what_is_written_is_read_back(run: Run, document: dict) -> None:
    found, arrays = read_probing(run.path), read_probing_arrays(run.path)
    assert found is not None
    assert arrays is not None
    assert [r["score"] for r in found["rows"]] == pytest.approx([r["score"] for r in document["rows"]])
    assert arrays["score"].dims == ("model", "layer", "task", "fold")
    counts = arrays["confusion_phone"].sel(model="pretrained", layer=0)
    task = next(t for t in document["tasks"] if t["name"] == "phone")
    assert int(counts.sum()) == task["n_scored"]
    row = next(r for r in document["folds"] if r["task"] == "phone" and r["model"] == "pretrained")
    score = arrays["score"].sel(model="pretrained", layer=row["layer"], task="phone", fold=row["fold"])
    assert float(score) == pytest.approx(row["score"], abs=1e-6)
    assert not list(run.path.glob(".probing-*"))


def test_without_words_for_a_task_the_others_are_done_and_the_reason_is_given(run: Run) -> None:
    found = probe_run(run, limits=LIMITS, n_boot=50, layers=[0, 1], random_weights=False)
    missing = {n["task"]: n["why"] for n in found["not_done"]}
    assert {"word_meaning", "speaker"} <= missing.keys()
    assert all(missing.values())
    assert found["layers"] == [0, 1]
    assert {"mel", "phone"} <= {t["name"] for t in found["tasks"]}


def test_mistakes_change_nothing(run: Run, document: dict) -> None:
    before = (run.path / PROBING).read_bytes()
    with pytest.raises(BraindashError, match="phonee"):
        probe_run(run, tasks=["phonee"])
    with pytest.raises(BraindashError, match="layer"):
        probe_run(run, tasks=["phone"], layers=[99])
    assert (run.path / PROBING).read_bytes() == before


@pytest.mark.parametrize("name", [PROBING, ARRAYS])
def test_a_damaged_file_says_how_to_make_it_again(run: Run, document: dict, tmp_path: Path, name: str) -> None:
    folder = tmp_path / run.id
    folder.mkdir()
    (folder / name).write_bytes((run.path / name).read_bytes()[:-200])
    read = read_probing if name == PROBING else read_probing_arrays
    assert read(tmp_path / "other") is None
    with pytest.raises(BraindashError, match="braindash probe"):
        read(folder)


def test_on_the_command_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--home", str(run.home.path)]
    assert cli.run(["probe", run.id, "--tasks", "intensity", "--layers", "0", "--no-random-weights", *where]) == 0
    text = capsys.readouterr().out
    assert "Intensity" in text
    assert "vs pretrained" in text
    assert cli.run(["probe", run.id, "--tasks", "phone", "--layers", "0", "--json", *where]) == 0
    assert {r["task"] for r in json.loads(capsys.readouterr().out)["rows"]} == {"phone"}
    assert cli.run(["probe", run.id, "--layers", "x", *where]) == 2
    assert "--layers" in capsys.readouterr().err
    assert cli.run(["probe", run.id, "--align", *where]) == 2


def test_results_are_one_labelled_tree(run: Run, document: dict) -> None:
    import braindash

    tree = braindash.evaluate(run)
    assert tree["encoding"]["r"].dims == ("model", "layer", "target")
    assert tree["differences"]["delta_r"].dims == ("model", "subject", "roi", "layer")
    assert tree["probing"]["score"].dims == ("model", "layer", "task", "fold")
    assert tree["probing"]["overall"].sel(model="pretrained", task="phone", layer=0).notnull()


def test_intervals_hold_over_word_types_groups_or_stretches() -> None:
    from braindash.probing.base import Corpus, Examples, Recording

    def corpus(n: int) -> Corpus:
        silent = lambda: np.zeros(RATE, dtype=np.float32)  # noqa: E731
        recordings = tuple(Recording(f"r{i}", silent, 100.0, f"speaker{i}") for i in range(n))
        return Corpus("c", "C", "table", recordings, "speaker")

    def examples(n: int, items: list[str] | None = None) -> Examples:
        recording = np.repeat(np.arange(n), 4)
        spans = np.tile([[0.0, 1.0], [29.0, 29.5], [31.0, 32.0], [95.0, 96.0]], (n, 1))
        named = None if items is None else np.array(items)
        return Examples(recording, spans, np.zeros((4 * n, 1)), ("a",), named)

    units, word = choose_units(corpus(9), examples(9))
    assert (word, len(set(units))) == ("speaker", 9)
    units, word = choose_units(corpus(2), examples(2))
    assert (word, units.tolist()) == ("30-s stretch", [0, 0, 1, 2, 3, 3, 4, 5])
    units, word = choose_units(corpus(2), examples(2, list("abcdefgh")))
    assert (word, len(set(units))) == ("word type", 8)


def test_another_study_is_not_probed_with_a_story_that_tuning_heard(run: Run) -> None:
    from braindash.probing.corpora import study_corpus
    from braindash.studies import open_study
    from braindash.studies.library import add_study

    folder = run.home.path.parent / "mini"
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    for story, part in zip(spec["stories"], ("test", "tune", "tune", "tune", "validation", "test"), strict=True):
        story["split"] = part
    (folder / "other").mkdir()
    for file in folder.glob("*.*"):
        (folder / "other" / file.name).write_bytes(file.read_bytes())
    (folder / "other" / "study.yaml").write_text(yaml.safe_dump(spec | {"id": "other"}))
    add_study(run.home, "table", folder / "other")
    (run.path / PROBING).touch()  # where no test before this one has probed the run
    before = (run.path / PROBING).read_bytes()
    with pytest.raises(LeakageError, match="one"):
        probe_run(run, corpus=study_corpus(open_study("other", run.home)), tasks=["phone"])
    assert (run.path / PROBING).read_bytes() == before


def test_recordings_that_tuning_heard_are_not_scored_under_any_name(run: Run, tmp_path: Path) -> None:
    from braindash.probing.corpora import open_corpus
    from braindash.runs.leaks import without_heard

    folder = run.home.path.parent / "mini"
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    by_part = {part: [s["audio"] for s in spec["stories"] if s["split"] == part] for part in ("tune", "test")}
    lines = ["file,start,stop,label"]
    for i, audio in enumerate((by_part["tune"][0], *by_part["test"])):
        (tmp_path / f"renamed_{i}.wav").write_bytes((folder / audio).read_bytes())
        lines += [f"renamed_{i}.wav,{at},{at + 5},{label}" for at, label in ((0, "a"), (5, "b"))]
    (tmp_path / "corpus.csv").write_text("\n".join(lines))
    corpus = without_heard(open_corpus("table", tmp_path), [run.id], run.home)
    scored = [r.scored for r in corpus.recordings]
    assert scored == [False, False] + [True] * (len(scored) - 2)
    assert "2 of " in corpus.caveats[-1]
    assert run.id in corpus.caveats[-1]
    untouched = open_corpus("table", tmp_path)
    assert without_heard(untouched, [run.config.model], run.home) is untouched, "the pretrained model has heard nothing"

    (tmp_path / "corpus.csv").write_text("\n".join(lines[:3]))
    with pytest.raises(LeakageError, match="All 2 recordings"):
        probe_run(run, corpus=open_corpus("table", tmp_path), tasks=["label"])
