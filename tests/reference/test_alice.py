"""Real recordings go the whole way: audio and BOLD of ds002322 to records and a page.

No effect of tuning is asserted: one chapter heard once cannot show one. What is
asserted is that the numbers equal an independent fit of the same features.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import PredefinedSplit

from braindash.config import EncodingConfig, Home, TuneConfig

ROOT = Path(__file__).resolve().parents[2]
ALICE = ROOT.parent / "shared" / "data" / "alice"

pytestmark = pytest.mark.skipif(not ALICE.is_dir(), reason="the Alice recordings are not on this machine")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    from braindash.studies.library import add_study

    folder = tmp_path_factory.mktemp("alice")
    spec = importlib.util.spec_from_file_location("make_alice", ROOT / "examples" / "alice" / "make_study.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main([str(ALICE), str(folder / "study")])
    home = Home(folder / "home")
    add_study(home, "table", folder / "study")
    return home


@pytest.fixture(scope="module")
def study(home: Home) -> Any:
    from braindash.studies.library import open_study

    return open_study("alice", home)


def test_the_study_is_what_the_files_hold(study: Any) -> None:
    assert len(study.subjects) == 10
    assert list(study.targets(study.subjects[0])["name"]) == [f"Net{i}" for i in range(1, 8)]
    assert any("synthetic" in c for c in study.caveats)
    total = sum(len(study.row_times(s, study.subjects[0])) for s in study.stories)
    assert 300 < total < 368  # less the gaps between the stories


def test_encoding_equals_an_independent_fit(home: Home, study: Any) -> None:
    """himalaya, the same folds, penalties and score, on features built here from the stored states."""
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score

    from braindash.features.store import FeatureStore
    from braindash.runs.evaluate import encode_one
    from braindash.speech import open_model

    model = open_model("whisper-tiny.en", home)
    store = FeatureStore(home)
    settings = EncodingConfig(layers=(0, 4))
    subject = study.subjects[0]
    ours = encode_one(store, {"pretrained": model}, study, subject, settings)

    stories = [*study.stories_of("tune"), *study.stories_of("validation")]
    (test,) = study.stories_of("test")

    def z(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(0)) / x.std(0)

    def design(story: str, layer: int) -> np.ndarray:
        x = z(store.get(model, study, story, subject, settings.window)[layer].astype(np.float64))
        return np.hstack([np.vstack([np.zeros((d, x.shape[1])), x[:-d]]) for d in settings.delays])

    Y = [z(study.read_responses(s, subject).astype(np.float64)) for s in stories]
    folds = np.concatenate([np.full(len(y), i) for i, y in enumerate(Y)])
    for layer in (0, 4):
        X = np.vstack([design(s, layer) for s in stories])
        peer = RidgeCV(
            alphas=settings.alphas,
            cv=PredefinedSplit(folds),
            fit_intercept=True,
            solver_params={"score_func": correlation_score},
        ).fit(X, np.vstack(Y))
        at = ours.sel(model="pretrained", layer=layer)
        np.testing.assert_allclose(at["alpha"].values, peer.best_alphas_, rtol=1e-9)  # himalaya rounds them
        predicted = peer.predict(design(test, layer))
        observed = z(study.read_responses(test, subject).astype(np.float64))
        expected = [np.corrcoef(observed[:, i], predicted[:, i])[0, 1] for i in range(7)]
        np.testing.assert_allclose(at["r"].values, expected, atol=1e-4)


def test_tuning_and_evaluating_run_to_the_end(home: Home, study: Any) -> None:
    from braindash.jobs.launch import launch
    from braindash.runs.record import RunStore

    config = TuneConfig.model_validate(
        {
            "study": "alice",
            "model": "whisper-tiny.en",
            "subjects": study.subjects[:2],
            "optimiser": {"epochs": 1},
            "encoding": {"layers": [0, 4]},
        }
    )
    run = RunStore(home).create(config)
    launch(run, detach=True)
    status = run.wait(timeout=400)
    assert status.state == "done", (status.error, run.log_tail(30))
    records = run.records()
    assert records is not None
    assert records["models"] == ["pretrained", "brain_tuned"]
    assert any("synthetic" in c for c in records["caveats"])
    assert {r["roi"] for r in records["encoding"]} >= {"somatomotor", "cortex"}
    assert all(np.isfinite(r["r"]) for r in records["encoding"])


def test_the_words_and_the_scans_are_aligned(study: Any) -> None:
    """Beyond the haemodynamic response that the scan assumes, the mean listener's best lag is under 1.5 TR."""
    from braindash.encoding.lagscan import check_timing

    scans, findings = check_timing(study)
    assert [s.subject for s in scans] == [*study.subjects, "mean of 10"]  # no listener alone tells
    assert abs(scans[-1].best) <= 1.5
    assert not [f for f in findings if f.level == "warning"]
