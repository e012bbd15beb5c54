"""Electrodes: the study file, what is counted in seconds, and a planted response found at its own lag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml

from braindash.config import EncodingConfig, Home, TuneConfig, WindowConfig
from braindash.errors import BraindashError
from braindash.features.store import FeatureStore
from braindash.runs.evaluate import encode_one
from braindash.speech import SpeechModel, open_model
from braindash.speech.base import State
from braindash.studies.electrodes import open_electrodes
from braindash.studies.library import add_study, open_study
from braindash.studies.report import check_study
from braindash.studies.table import init_table, open_table

SAMPLES = 16000
SECONDS = 24
LATE = 0.12  # seconds by which the electrodes "late" answer
PARTS = {"a": "tune", "b": "tune", "c": "tune", "d": "validation", "e": "test"}
NAMES = ["late1", "late2", "deaf"]


def loudness(story: str) -> tuple[np.ndarray, np.ndarray]:
    """Return noise whose level changes every 40 ms, and its log level every millisecond."""
    rng = np.random.default_rng(list(story.encode()))
    level = np.repeat(rng.uniform(-3, 0, SECONDS * 25), 40)
    audio = 0.3 * np.exp(np.repeat(level, 16)) * rng.standard_normal(SECONDS * SAMPLES)
    return np.clip(audio, -1, 1).astype(np.float32), level


def respond(level: np.ndarray, rate: float, first_row: float) -> np.ndarray:
    """Return what an electrode does that follows the level of 10 ms of sound, LATE seconds later."""
    rng = np.random.default_rng(int(1e6 * abs(level[0])))  # noise that repeated would be predicted
    n = int((SECONDS - first_row) * rate)
    centres = first_row + np.arange(n) / rate - LATE
    summed = np.concatenate([[0], np.cumsum(level - level.mean())])
    edges = np.clip(np.round(1000 * (centres[:, None] + [-0.005, 0.005])).astype(int), 0, len(level))
    y = rng.standard_normal((n, 3))
    y[:, :2] = 0.5 * y[:, :2] + ((summed[edges[:, 1]] - summed[edges[:, 0]]) / 10)[:, None]
    return y.astype(np.float32)


def write_study(folder: Path, *, rate: float = 100, first_row: float | None = None, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["name,roi,hemi,x,y,z", "late1,STG,L,-60,-20,5", "late2,STG,R,60,-20,5", "deaf,occipital,L,-10,-90,0"]
    (folder / "targets.csv").write_text("\n".join(lines) + "\n")
    stories = []
    for story, part in PARTS.items():
        audio, level = loudness(story)
        soundfile.write(folder / f"{story}.wav", audio, SAMPLES)
        np.save(folder / f"{story}.npy", respond(level, rate, 0.5 / rate if first_row is None else first_row))
        stories.append({"name": story, "split": part, "audio": f"{story}.wav", "responses": {"p1": f"{story}.npy"}})
    spec: dict[str, Any] = {"braindash": 1, "kind": "electrodes", "id": "planted", "rate": rate}
    spec |= {"targets": "targets.csv", "stories": stories} | changes
    spec |= {} if first_row is None else {"first_row": first_row}
    (folder / "study.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("planted"))


class Loudness(SpeechModel):
    """A model whose only layer is the log level around each frame's centre, every 20 ms."""

    family = "loudness"
    frame_period = 0.02
    min_samples = 640
    n_layers = 0
    width = 1
    identity = "loudness"
    device = torch.device("cpu")

    def __init__(self) -> None:
        encoder = torch.nn.Identity()
        encoder.config = None  # type: ignore[assignment]
        super().__init__(encoder, None, id="loudness", weights_hash="0")  # type: ignore[arg-type]

    def frame_times(self, n_samples: int) -> np.ndarray:
        return 0.01 + 0.02 * np.arange(n_samples // 320)

    def _prepare(self, waves: np.ndarray) -> torch.Tensor:
        n = waves.shape[1] // 320
        power = np.square(waves[:, : n * 320]).reshape(len(waves), n, 320).mean(axis=2)
        return torch.from_numpy(np.log(power + 1e-8))[..., None].float()

    def front(self, batch: torch.Tensor) -> State:
        return State(batch)

    def block(self, i: int, state: State) -> State:
        raise AssertionError("there is no block")

    def block_path(self, i: int) -> str:
        raise AssertionError("there is no block")

    def linear_targets(self, i: int) -> dict[str, str]:
        return {}


def scores(model: SpeechModel, study: Any, home: Path, layer: int = 0, **settings: Any) -> np.ndarray:
    config = EncodingConfig(layers=(layer,), n_permutations=0, alphas=(100, 1e4), **settings)
    data = encode_one(FeatureStore(home), {"pretrained": model}, study, "p1", config)
    return np.asarray(data["r"].sel(model="pretrained", layer=layer).values)


@pytest.mark.parametrize(("rate", "first_row"), [(100, 0.005), (100, 0.25), (50, 0.01), (200, 0.0025)])
def test_the_planted_lag_is_found_to_the_sample(tmp_path: Path, rate: float, first_row: float) -> None:
    """One lag at a time: r is greatest at 120 ms. Rows, frames or lags one sample off would move it."""
    study = open_electrodes(write_study(tmp_path / "s", rate=rate, first_row=first_row))
    planted = round(LATE * rate)
    around = range(planted - 3, planted + 4)
    r = np.array([scores(Loudness(), study, tmp_path, delays=(k,)) for k in around])
    assert [list(around)[i] for i in r[:, :2].argmax(axis=0)] == [planted, planted]
    assert r[:, :2].max() > 0.6
    assert np.abs(r[:, 2]).max() < 0.15


@pytest.mark.parametrize("which", ["level", "whisper"])
def test_only_lags_that_cover_the_response_predict_it(which: str, folder: Path, tmp_path: Path) -> None:
    """Layer 0 of a random Whisper encoder carries the level among its positions, which many lags take out."""
    from tiny_models import save_tiny

    model = Loudness() if which == "level" else open_model(save_tiny("whisper", tmp_path / "m"))
    study = open_electrodes(folder)

    def r(*lags: float) -> np.ndarray:
        chosen = {"lags": lags} if lags else {}
        return scores(model, study, tmp_path, window=WindowConfig(context=8, stride=8), **chosen)

    assert r()[:2].min() > 0.7
    assert abs(r()[2]) < 0.15
    if which == "level":
        assert r(0.1, 0.14)[:2].min() > 0.7
    for lags in ((0.0, 0.04), (0.22, 0.4), (-0.4, -0.02)):
        assert np.abs(r(*lags)[:2]).max() < 0.15, lags


def test_blocks_and_stretches_are_seconds(folder: Path, tmp_path: Path) -> None:
    study = open_electrodes(folder)
    config = EncodingConfig(n_permutations=200)
    data = encode_one(FeatureStore(tmp_path), {"pretrained": Loudness()}, study, "p1", config)
    assert data.attrs["block_trs"] == 500
    assert data.attrs["n_blocks"] == SECONDS // 5
    assert data.sizes["unit"] == SECONDS // 15


def test_blocks_of_seconds_keep_the_false_positives() -> None:
    """Series that resemble themselves for a second, at 100 Hz: 5 s blocks pass 1 in 20, ten rows pass more."""
    from scipy.signal import lfilter

    from braindash.encoding.inference import permutation_test
    from braindash.features.lags import for_signal

    rng = np.random.default_rng(0)

    def slow() -> np.ndarray:
        noise = rng.standard_normal((6500, 400))
        return lfilter([1], [1, -np.exp(-0.01)], noise, axis=0)[500:].astype(np.float32)

    observed, predicted = [slow(), slow()], [slow(), slow()]

    def share(block: int) -> float:
        p = permutation_test(observed, predicted, block=block, n_permutations=200, seed=0).p
        return float((p < 0.05).mean())

    settled = share(for_signal(EncodingConfig(), "electrodes", 0.01).block_trs)
    assert 0.03 < settled < 0.065
    assert share(10) > settled + 0.01


def test_the_check_reports_the_study(folder: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    add_study(home, "electrodes", folder)
    study = open_study("planted", home)
    report = check_study(study)
    assert report.ok, report.lines()
    assert (study.kind, study.signal, study.tr) == ("electrodes", "electrodes", 0.01)
    assert np.allclose(study.row_times("a", "p1")[:3], [0.005, 0.015, 0.025])
    assert not [f for f in report.findings if f.level == "warning"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tr": 0.01}, "key tr: unknown key"),
        ({"rate": 0}, "key rate: .*greater than or equal to 10"),
        ({"kind": "table"}, "key kind: .*'electrodes'"),
        ({"signal": "bold"}, "key signal: .*'electrodes'"),
    ],
)
def test_mistakes_in_the_file_are_named(folder: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    spec = yaml.safe_load((folder / "study.yaml").read_text()) | changes
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(BraindashError, match=message):
        open_electrodes(tmp_path)


def test_a_missing_rate_and_settings_beside_the_file_are_named(folder: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    del spec["rate"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(BraindashError, match="key rate: is missing"):
        open_electrodes(tmp_path)
    with pytest.raises(BraindashError, match="takes no settings"):
        open_electrodes(folder, config={"lags": 3})


@pytest.mark.parametrize(("off", "level"), [(0.08, None), (0.15, "error"), (-0.15, "error")])
def test_rows_must_fit_the_audio_within_a_tenth_of_a_second(tmp_path: Path, off: float, level: str | None) -> None:
    folder = write_study(tmp_path)
    spec = yaml.safe_load((folder / "study.yaml").read_text()) | {"first_row": 0.005 + off}
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    found = [f for f in open_electrodes(folder).check() if "rows every 0.01 s" in f.what]
    assert {f.level for f in found} == ({level} if level else set())
    if level:
        assert "Correct rate" in found[0].remedy
        assert "10 rows are allowed" in found[0].what


def test_a_rate_out_of_the_usual_gets_a_warning(tmp_path: Path) -> None:
    found = open_electrodes(write_study(tmp_path, rate=25)).check()
    assert any(f.level == "warning" and "25 rows a second" in f.what for f in found)


def test_a_baseline_before_the_sound_is_cut_by_start(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    for story in spec["stories"]:
        y = np.load(folder / f"{story['name']}.npy")
        np.save(folder / f"{story['name']}.npy", np.vstack([np.full((100, 3), 7.0, np.float32), y]))
        story |= {"first_row": -0.995, "start": 0}
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    study = open_electrodes(folder)
    assert study.row_times("a", "p1")[0] == pytest.approx(0.005)
    assert not (study.read_responses("a", "p1") == 7).all(axis=1).any()


def test_segments_a_second_apart_are_enough_for_electrodes(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    spec = yaml.safe_load((folder / "study.yaml").read_text())
    cut = {"audio": "a.wav", "responses": {"p1": "a.npy"}}
    spec["stories"] = [
        {"name": "s1", "split": "tune", "start": 0, "stop": 11, **cut},
        {"name": "s2", "split": "test", "start": 12, **cut},
    ]
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    assert not [f for f in open_electrodes(folder).check() if "spills over" in f.what]
    spec["stories"][1]["start"] = 11.5
    (folder / "study.yaml").write_text(yaml.safe_dump(spec))
    (found,) = [f for f in open_electrodes(folder).check() if "spills over" in f.what]
    assert "Leave 1 s" in found.remedy


def test_the_example_is_valid(tmp_path: Path) -> None:
    file = init_table(tmp_path, "electrodes")
    assert "add electrodes" in file.read_text()
    with pytest.raises(BraindashError, match="key kind"):
        open_table(tmp_path)
    with pytest.raises(BraindashError, match="story-1"):  # only its files are missing
        open_electrodes(tmp_path)


def test_a_haemodynamic_head_is_refused(folder: Path, tmp_path: Path) -> None:
    from tiny_models import save_tiny

    from braindash.tuning import tune

    study, model = open_electrodes(folder), open_model(save_tiny("whisper", tmp_path / "m"))
    config = TuneConfig(study="planted", model="tiny")
    with pytest.raises(BraindashError, match="no haemodynamic response") as caught:
        tune(study, model, config, tmp_path / "w", progress=lambda row: None, should_stop=lambda: False)
    assert "low_rank or linear" in caught.value.remedy


def test_a_fine_tune_on_electrodes_learns_the_planted_response(folder: Path, tmp_path: Path) -> None:
    from tiny_models import save_tiny

    from braindash.tuning import tune

    study, model = open_electrodes(folder), open_model(save_tiny("whisper", tmp_path / "m"))
    config = TuneConfig.model_validate(
        {
            "study": "planted", "model": "tiny", "layer": 2, "window": {"context": 8, "stride": 8},
            "head": {"kind": "linear"}, "optimiser": {"epochs": 1}, "encoding": {"lags": (0.08, 0.16)},
        }
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    result = tune(study, model, config, tmp_path / "w", progress=rows.append, should_stop=lambda: False)
    assert result.pretrained_validation_r is not None
    assert result.pretrained_validation_r > 0.2  # a mean over three electrodes, one of them deaf
    assert result.model_dir is not None
    assert np.isfinite(pd.DataFrame(rows)["loss"].dropna()).all()
