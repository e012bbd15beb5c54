"""An audiobook and ten electrodes at 100 Hz go the whole way, against an independent fit.

The responses of naplib's sample are simulated (ten receptive fields and noise): what is tested is
the way from wav files to records, the timing and the numbers, nothing about brains.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from braindash.config import EncodingConfig, Home, WindowConfig

ROOT = Path(__file__).resolve().parents[2]
FIT, TEST = ["stim02", "stim04", "stim08"], "stim10"
SETTINGS = {
    "window": WindowConfig(context=8, stride=8),
    "layers": (0,),
    "lags": (0.0, 0.3),
    "lag_step": 0.03,
    "lag_components": 12,
    "alphas": (10.0, 1e3, 1e5),
}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("naplib") is None, reason="naplib is not installed (pip install --no-deps naplib)"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    from tiny_models import save_tiny

    from braindash.studies.library import add_study

    folder = tmp_path_factory.mktemp("naplib")
    spec = importlib.util.spec_from_file_location("make_naplib", ROOT / "examples" / "naplib" / "make_study.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main([str(folder / "study")])
    home = Home(folder / "home")
    add_study(home, "electrodes", folder / "study", stories=(*FIT, TEST))
    save_tiny("whisper", folder / "model")
    return home


@pytest.fixture(scope="module")
def study(home: Home) -> Any:
    from braindash.studies.library import open_study

    return open_study("naplib", home)


@pytest.fixture(scope="module")
def model(home: Home) -> Any:
    from braindash.speech import open_model

    return open_model(str(home.path.parent / "model"))


def encode(home: Home, study: Any, model: Any, **changes: Any) -> Any:
    from braindash.features.store import FeatureStore
    from braindash.runs.evaluate import encode_one

    settings = EncodingConfig.model_validate(SETTINGS | changes)
    return encode_one(FeatureStore(home), {"pretrained": model}, study, "simulated", settings)


def test_the_study_says_that_its_responses_are_simulated(study: Any) -> None:
    assert (study.signal, study.tr) == ("electrodes", 0.01)
    assert list(study.targets("simulated")["name"]) == ["F7", "F3", "Fz", "F4", "F8", "T3", "C3", "Cz", "C4", "T4"]
    assert any("responses are simulated" in c for c in study.caveats)
    assert len(study.row_times("stim02", "simulated")) == 5203
    assert study.audio("stim02").size == pytest.approx(52.03 * 16000, abs=16)


def test_responses_follow_the_sound_by_tens_of_milliseconds(study: Any) -> None:
    """The clock of rows and sound, from the files alone: all channels lag the sound's envelope, none leads it."""
    audio = study.audio(TEST)
    y = study.read_responses(TEST, "simulated")
    power = resample_poly(audio.astype(np.float64) ** 2, 1, 160)[: len(y)]
    level = np.log(np.maximum(power, 1e-6))
    n = 400
    at = np.arange(n, len(y) - n)
    r = np.array([[np.corrcoef(level[at], y[at + lag, j])[0, 1] for lag in range(-30, 60)] for j in range(10)])
    best = np.abs(r).argmax(axis=1) - 30
    assert (best >= 2).all(), best
    assert (best <= 20).all(), best


def test_encoding_equals_an_independent_fit(home: Home, study: Any, model: Any) -> None:
    """Interpolation, z-score, components, lags, penalties and r, built again from hidden states."""
    ours = encode(home, study, model)
    lags = range(0, 31, 3)

    def z(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(0)) / x.std(0)

    def rows(story: str) -> np.ndarray:
        audio, times = study.audio(story), study.row_times(story, "simulated")
        out = []
        for begin in np.arange(0, len(times), 800):  # windows of 8 s
            mine = times[begin : begin + 800]
            stop = round((mine[-1] + 0.005) * 16000)
            start = max(0, stop - 8 * 16000)
            piece = audio[start:stop]
            states = model.hidden_states(np.pad(piece, (0, stop - start - len(piece))), layers=[0])[0]
            centres = start / 16000 + model.frame_times(stop - start)
            out.append(np.stack([np.interp(mine, centres, column) for column in states.T], axis=1))
        return z(np.vstack(out))

    layers = {s: rows(s) for s in (*FIT, TEST)}
    components = PCA(12).fit(np.vstack([layers[s] for s in FIT]))

    def design(story: str) -> np.ndarray:
        x = components.transform(layers[story])
        return np.hstack([np.vstack([np.zeros((d, 12)), x[: len(x) - d]]) for d in lags])

    X = {s: design(s) for s in layers}
    Y = {s: z(study.read_responses(s, "simulated").astype(np.float64)) for s in layers}

    def r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (z(a) * z(b)).mean(0)

    def stacked(what: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
        return np.vstack([what[s] for s in names])

    scores = []
    for alpha in SETTINGS["alphas"]:
        folds = []
        for held in FIT:
            others = [s for s in FIT if s != held]
            peer = Ridge(alpha=alpha, solver="cholesky").fit(stacked(X, others), stacked(Y, others))
            folds.append(r(Y[held], peer.predict(X[held])))
        scores.append(np.mean(folds, axis=0))
    best = np.array(SETTINGS["alphas"])[np.argmax(scores, axis=0)]
    peer = Ridge(alpha=best, solver="cholesky").fit(stacked(X, FIT), stacked(Y, FIT))
    expected = r(Y[TEST], peer.predict(X[TEST]))

    at = ours.sel(model="pretrained", layer=0)
    np.testing.assert_allclose(at["alpha"].values, best, rtol=1e-9)
    np.testing.assert_allclose(at["r"].values, expected, atol=2e-4)
    assert expected.min() > 0.2
    assert (at["p"].values < 0.05).all()


def test_the_sound_comes_before_the_response(home: Home, study: Any, model: Any) -> None:
    after = encode(home, study, model, n_permutations=0)["r"].values.squeeze()
    before = encode(home, study, model, n_permutations=0, lags=(-0.5, -0.2))["r"].values.squeeze()
    assert (after > before + 0.1).all(), (after, before)


def test_tuning_and_evaluating_run_to_the_end(home: Home, study: Any) -> None:
    from braindash.config import TuneConfig
    from braindash.jobs.launch import launch
    from braindash.runs.record import RunStore

    encoding = {**SETTINGS, "window": SETTINGS["window"].model_dump(), "layers": [0, 3], "n_permutations": 200}
    config = TuneConfig.model_validate(
        {
            "study": "naplib",
            "model": str(home.path.parent / "model"),
            "window": {"context": 8, "stride": 8},
            "head": {"kind": "linear"},
            "optimiser": {"epochs": 1},
            "encoding": encoding,
        }
    )
    run = RunStore(home).create(config)
    launch(run, detach=True)
    status = run.wait(timeout=200)
    assert status.state == "done", (status.error, run.log_tail(30))
    records = run.records()
    assert records is not None
    assert records["models"] == ["pretrained", "brain_tuned"]
    assert any("simulated" in c for c in records["caveats"])
    settled = records["provenance"]["evaluation"]
    assert settled["delays"] == list(range(0, 31, 3))
    assert settled["block_trs"] == 500
    assert all(np.isfinite(r["r"]) for r in records["encoding"])
    assert any("test story was cut into 3 stretches" in c for c in records["caveats"])
