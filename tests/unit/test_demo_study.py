"""The simulated subjects: what is planted can be recovered, and nothing half-built is opened."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from braindash.config import Home
from braindash.demo import planting, simulate, stimulus
from braindash.demo.patches import make_patches
from braindash.demo.study import DemoStudy, build_demo, open_demo
from braindash.errors import BraindashError, LeakageError


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def study(home: Home) -> DemoStudy:
    return build_demo(home, small=True)


@pytest.fixture(scope="module")
def features() -> dict[str, dict[str, np.ndarray]]:
    return simulate.stimulus_features(simulate.story_index(small=True))


def test_is_a_simulated_study_and_says_so(study: DemoStudy):
    assert study.simulated
    assert study.kind == "demo"
    assert any("Simulated subjects" in c for c in study.caveats)
    assert study.subjects == ("sub-01", "sub-02")
    assert {p: len(study.stories_of(p)) for p in ("tune", "validation", "test")} == simulate.SMALL
    with pytest.raises(LeakageError, match="03_ines"):
        study.split.refuse_test(["03_ines"], "tuning")


def test_rows_times_and_shapes_agree(study: DemoStudy):
    n = len(study.targets("sub-01"))
    for story in study.stories.values():
        times = study.row_times(story.name, "sub-01")
        assert times[0] == 1.0
        assert np.diff(times) == pytest.approx(2.0)
        assert times[-1] == pytest.approx(story.duration - 1.0)
        y = study.read_responses(story.name, "sub-02")
        assert y.shape == (len(times), n)
        assert y.dtype == np.float32
        repeats = study.read_repeats(story.name, "sub-02")
        if story.part == "test":
            assert repeats is not None
            assert repeats.shape == (5, *y.shape)
            np.testing.assert_allclose(repeats.mean(0), y, atol=1e-5)
        else:
            assert repeats is None
    assert study.usable("sub-01").all()


def test_every_cortical_point_shows_a_target(study: DemoStudy):
    cortex = study.cortex("sub-01")
    table = study.targets("sub-01")
    assert cortex.index.shape == (64_984,)
    assert (cortex.index >= 0).sum() == 59_412
    assert np.array_equal(np.bincount(cortex.index[cortex.index >= 0]), table["n_vertices"])
    left = np.unique(cortex.index[:32_492])
    assert (table["hemi"].to_numpy()[left[left >= 0]] == "L").all()
    assert {"A1", "44", "STSda", "V1"} <= set(table["roi"])
    assert table["name"].is_unique


def test_patches_lie_in_one_parcel_and_are_of_one_size():
    from braindash.cortex.parcellation import parcel_of_vertex

    patches = make_patches()
    assert 5_000 <= len(patches.table) <= 7_000
    parcels = parcel_of_vertex("fs_LR-32k")
    shown = patches.index >= 0
    assert (patches.table["roi"].to_numpy()[patches.index[shown]] == parcels[shown]).all()
    assert 8 <= patches.table["n_vertices"].median() <= 12
    assert patches.table["n_vertices"].between(5, 16).mean() > 0.85
    assert (patches.table["roi"] == "A1").sum() >= 20


def test_ceilings_are_recovered_from_repeats(study: DemoStudy):
    """The Schoppe estimator, which knows only the repeats, must find what was planted."""
    from braindash.encoding.ceiling import noise_ceiling

    truth = study.truth("sub-01")
    driven = (truth["driver"] != "none").to_numpy()
    repeats = np.concatenate([study.read_repeats(s, "sub-01") for s in study.stories_of("test")], axis=1)
    found = noise_ceiling(repeats)
    planted = truth["ceiling_realised"].to_numpy()
    strong = driven & (planted > 0.5) & np.isfinite(found)
    assert strong.sum() > 0.9 * (driven & (planted > 0.5)).sum()
    assert np.abs(found - planted)[strong].mean() < 0.06
    assert np.corrcoef(found[strong], planted[strong])[0, 1] > 0.8
    silent = found[~driven]
    assert np.nanmedian(silent) < 0.4  # five repeats of noise: chance level of the estimator
    assert np.isnan(silent).mean() > 0.3


def test_truth_says_what_drives_what(study: DemoStudy):
    truth, table = study.truth("sub-01"), study.targets("sub-01")
    assert list(truth["target"]) == list(range(len(table)))
    driver = truth["driver"].groupby(table["roi"]).first()
    assert driver["A1"] == "acoustic"
    assert driver["A4"] == "phonetic"
    assert (driver[["44", "STSda", "PGi", "55b"]] == "semantic").all()
    assert driver["V1"] == "none"
    planted = truth[truth["driver"].isin(["acoustic", "phonetic", "semantic"])]
    assert planted["ceiling_single"].between(0.2, 0.8).all()
    assert (truth.loc[truth["driver"] == "none", "ceiling_realised"] == 0).all()
    assert np.abs(planted["ceiling_realised"] - planted["ceiling_nominal"]).mean() < 0.1
    assert (table["noise_ceiling"] >= 0).all()


def test_silent_targets_hold_noise_with_the_planted_autocorrelation(study: DemoStudy):
    silent = (study.truth("sub-02")["driver"] == "none").to_numpy()
    y = np.concatenate([study.read_responses(s, "sub-02")[:, silent] for s in study.stories_of("tune")])
    assert y.std() == pytest.approx(1.0, abs=0.02)
    rho = (y[1:] * y[:-1]).mean() / y.var()
    assert rho == pytest.approx(planting.NOISE_RHO, abs=0.03)


def test_planted_features_predict_their_targets_and_no_others(study: DemoStudy, features):
    """Least squares from the true features reaches the ceiling where they drive and nothing elsewhere."""
    driver = study.truth("sub-01")["driver"].to_numpy()
    tune, test = study.stories_of("tune"), study.stories_of("test")

    def rows(name: str, kind: str) -> np.ndarray:
        return stimulus.to_rows(features[name][kind], study.tr, len(study.row_times(name, "sub-01")))

    y = np.concatenate([study.read_responses(s, "sub-01") for s in tune])
    y_test = np.concatenate([study.read_responses(s, "sub-01") for s in test])
    for kind in ("acoustic", "semantic"):
        X = np.concatenate([rows(s, kind) for s in tune])
        weights = np.linalg.solve(X.T @ X + 3 * np.eye(X.shape[1]), X.T @ y)
        p = np.concatenate([rows(s, kind) for s in test]) @ weights
        r = np.array([np.corrcoef(p[:, k], y_test[:, k])[0, 1] for k in range(p.shape[1])])
        assert r[driver == kind].mean() > 0.5
        assert abs(r[driver == "none"].mean()) < 0.05


def test_subjects_differ_and_a_rebuild_is_identical(home: Home, study: DemoStudy, tmp_path):
    y = study.read_responses("01_nora", "sub-01")
    assert np.abs(np.corrcoef(y.ravel(), study.read_responses("01_nora", "sub-02").ravel())[0, 1]) < 0.5
    again = build_demo(Home(tmp_path), small=True)
    np.testing.assert_array_equal(y, again.read_responses("01_nora", "sub-01"))
    pd.testing.assert_frame_equal(study.truth("sub-01"), again.truth("sub-01"))
    assert study.fingerprint() == again.fingerprint()


def test_is_built_once_and_again_when_the_stamp_differs(home: Home, study: DemoStudy, features, monkeypatch):
    monkeypatch.setattr(simulate, "stimulus_features", lambda entries: features)
    told: list[str] = []
    stamp = study.folder / "stamp.json"
    made = stamp.stat().st_mtime_ns
    build_demo(home, lambda share, what: told.append(what), small=True)
    assert told == []
    assert stamp.stat().st_mtime_ns == made
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "version": 0}))
    with pytest.raises(BraindashError, match="braindash demo"):
        open_demo(study.folder)
    shares: list[float] = []
    build_demo(home, lambda share, what: shares.append(share), small=True)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert simulate.built(study.folder) == "small"


def test_interrupted_build_leaves_nothing(tmp_path, features, monkeypatch):
    monkeypatch.setattr(simulate, "stimulus_features", lambda entries: features)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(simulate, "_simulate_subject", fail)
    with pytest.raises(BraindashError, match="disk is full"):
        build_demo(Home(tmp_path), small=True)
    assert list((tmp_path / "studies").iterdir()) == []


def test_bad_requests_are_refused_by_name(study: DemoStudy):
    with pytest.raises(BraindashError, match="sub-03"):
        open_demo(study.folder, subjects=["sub-03"])
    with pytest.raises(BraindashError, match="takes no configuration"):
        open_demo(study.folder, config={"tr": 1})
    with pytest.raises(BraindashError, match="missing, incomplete"):
        open_demo(study.folder / "nowhere")
    one = open_demo(study.folder, subjects=["sub-02"], stories=["03_ines", "01_nora"])
    assert one.subjects == ("sub-02",)
    assert tuple(one.stories) == ("01_nora", "03_ines")
    assert one.split.test == ("03_ines",)


def test_check_reports_damage(home: Home, study: DemoStudy, tmp_path):
    assert not [f for f in study.check() if f.level == "error"]
    file = study.folder / "sub-01" / "01_nora.npy"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:50])
        errors = [f for f in study.check() if f.level == "error"]
        assert len(errors) == 1
        assert "01_nora" in errors[0].what
    finally:
        file.write_bytes(whole)


def test_unseen_rows_follow_the_sentences_with_new_words(study: DemoStudy):
    test = study.stories_of("test")
    assert sum(study.unseen_rows(s, "sub-01").sum() for s in test) > 10
    assert not any(study.unseen_rows(s, "sub-01").any() for s in study.stories_of("tune"))
    sentences = study.sentences(test[0])
    first = sentences[sentences["unseen"].str.len() > 0].iloc[0]
    times = study.row_times(test[0], "sub-01")
    inside = (times - 5 >= first["onset"]) & (times - 5 <= first["offset"])
    assert study.unseen_rows(test[0], "sub-01")[inside].all()
