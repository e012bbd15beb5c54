"""encode_subject: labels, sharing, exclusion, and numbers against himalaya."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from himalaya.ridge import RidgeCV as HimalayaRidgeCV
from himalaya.scoring import correlation_score
from sklearn.model_selection import PredefinedSplit

from braindash.config import EncodingConfig
from braindash.encoding._held_out import scoring_units
from braindash.encoding.encode import encode_subject, predict_targets
from braindash.errors import BraindashError

LENGTHS = [60, 70, 50, 65]
CONFIG = EncodingConfig(alphas=(1, 10, 100, 1000, 1e4))
Split = tuple[list[np.ndarray], dict[str, np.ndarray]]
Data = tuple[Split, list[np.ndarray], dict[str, np.ndarray], pd.DataFrame]


def zscore(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / x.std(0)


@pytest.fixture
def data() -> Data:
    rng = np.random.default_rng(0)
    p, v = 20, 30
    W = rng.standard_normal((p, v))
    X = [zscore(rng.standard_normal((n, p))) for n in LENGTHS]
    X_test = {"a": zscore(rng.standard_normal((80, p))), "b": zscore(rng.standard_normal((65, p)))}
    Y = [zscore(x @ W + 5 * rng.standard_normal((len(x), v))) for x in X]
    Y_test = {k: zscore(x @ W + 5 * rng.standard_normal((len(x), v))) for k, x in X_test.items()}
    targets = pd.DataFrame({"name": [f"t{i}" for i in range(v)], "hemi": "L", "roi": "A1"})
    targets["noise_ceiling"] = np.linspace(0.05, 0.9, v)
    return (X, X_test), Y, Y_test, targets


def test_scores_equal_an_independent_fit(
    data: Data,
) -> None:
    (X, X_test), Y, Y_test, targets = data
    ds = encode_subject({"pretrained": {0: (X, X_test)}}, Y, Y_test, targets, CONFIG, subject="s1")
    other = HimalayaRidgeCV(
        alphas=np.array(CONFIG.alphas), cv=PredefinedSplit(np.repeat(range(4), LENGTHS)),
        solver_params={"score_func": correlation_score},
    ).fit(np.concatenate(X), np.concatenate(Y))  # fmt: skip
    at = ds.sel(model="pretrained", layer=0)
    np.testing.assert_allclose(at["alpha"], other.best_alphas_, rtol=1e-9)
    for story in ("a", "b"):
        expected = correlation_score(Y_test[story], other.predict(X_test[story]))
        np.testing.assert_allclose(at["r_story"].sel(story=story), expected, atol=1e-5)
    centred = [other.predict(x) - other.predict(x).mean(0) for x in X_test.values()]
    together = correlation_score(np.concatenate(list(Y_test.values())), np.concatenate(centred))
    np.testing.assert_allclose(at["r"], together, atol=1e-5)
    error = ((np.concatenate(list(Y_test.values())) - np.concatenate(centred)) ** 2).sum(0)
    np.testing.assert_allclose(at["r2"], 1 - error / (80 + 65), atol=1e-5)
    ceiling = targets["noise_ceiling"].to_numpy()
    keep = ceiling >= 0.1
    np.testing.assert_allclose(at["r_norm"].values[keep], (together / ceiling)[keep], rtol=1e-4)


def test_units_rebuild_the_score_and_name_their_story(
    data: Data,
) -> None:
    split, Y, Y_test, targets = data
    ds = encode_subject({"pretrained": {3: split}}, Y, Y_test, targets, CONFIG)
    assert ds["unit_story"].values.tolist() == ["a", "a", "b", "b"]
    r = ds["yp"].sum("unit") / np.sqrt(ds["yy"].sum("unit") * ds["pp"].sum("unit"))
    np.testing.assert_allclose(r, ds["r"], atol=1e-6)
    assert [len(u) for u in scoring_units([300, 29, 65])] == [10, 1, 2]
    assert [len(u) for u in scoring_units([300, 29, 65, 80])] == [1, 1, 1, 1]


def test_bad_targets_are_left_out_counted_and_harm_no_other(
    data: Data,
) -> None:
    split, Y, Y_test, targets = data
    clean = encode_subject({"pretrained": {0: split}}, Y, Y_test, targets, CONFIG)
    Y = [y.copy() for y in Y]
    Y[1][3, 4] = np.nan
    Y[0][:, 7] = 2.0
    ds = encode_subject({"pretrained": {0: split}}, Y, Y_test, targets, CONFIG)
    out = [4, 7]
    rest = np.setdiff1d(np.arange(30), out)
    assert np.isnan(ds["r"].values[0, 0, out]).all()
    np.testing.assert_allclose(ds["r"].values[..., rest], clean["r"].values[..., rest], atol=1e-6)
    counts = json.loads(ds.attrs["excluded"])
    assert counts["not finite or constant"] == 2
    assert counts["ceiling below 0.1"] == 2
    assert ds.attrs["n_excluded"] == sum(counts.values()) == int(np.isnan(ds["r_norm"].values).sum())


def test_equal_layers_are_fitted_once_and_functions_are_called_when_needed(
    data: Data,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from braindash.encoding import encode

    split, Y, Y_test, targets = data
    fits = []
    real = encode.StoryRidgeCV.fit
    monkeypatch.setattr(encode.StoryRidgeCV, "fit", lambda self, *a, **k: (fits.append(1), real(self, *a, **k))[1])
    changed = ([x[:, ::-1] ** 2 for x in split[0]], {k: x[:, ::-1] ** 2 for k, x in split[1].items()})
    steps: list[str] = []
    ds = encode_subject(
        {"pretrained": {0: split, 1: lambda: changed}, "brain_tuned": {0: lambda: split, 2: changed}},
        Y, Y_test, targets, CONFIG, progress=lambda i, n, what: steps.append(f"{i}/{n} {what}"),
    )  # fmt: skip
    assert len(fits) == 2
    assert steps[-1] == "4/4 brain_tuned, layer 2"
    assert ds["layer"].values.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(ds["r"].sel(layer=0)[0], ds["r"].sel(layer=0)[1])
    assert np.isnan(ds["r"].sel(model="brain_tuned", layer=1)).all()
    some = encode_subject(
        {"pretrained": {0: split, 1: changed}}, Y, Y_test, targets, CONFIG.model_copy(update={"layers": (1,)})
    )
    assert some["layer"].values.tolist() == [1]


def test_time_courses_of_chosen_targets(
    data: Data,
) -> None:
    split, Y, Y_test, targets = data
    ds = encode_subject({"pretrained": {0: split}}, Y, Y_test, targets, CONFIG)
    courses = predict_targets(split, Y, Y_test, [3, 11], CONFIG)
    for story, course in courses.items():
        for i in (3, 11):
            r = np.corrcoef(course["observed"].sel(target=i), course["predicted"].sel(target=i))[0, 1]
            assert r == pytest.approx(float(ds["r_story"].sel(story=story)[0, 0, i]), abs=1e-5)


def test_what_cannot_be_encoded_is_refused(
    data: Data,
) -> None:
    split, Y, Y_test, targets = data
    with pytest.raises(BraindashError, match="no test story"):
        encode_subject({"pretrained": {0: split}}, Y, {}, targets, CONFIG)
    with pytest.raises(BraindashError, match="no features of the test stories b"):
        encode_subject({"pretrained": {0: (split[0], {"a": split[1]["a"]})}}, Y, Y_test, targets, CONFIG)
    with pytest.raises(BraindashError, match="29 rows of targets and 30 columns"):
        encode_subject({"pretrained": {0: split}}, Y, Y_test, targets[:29], CONFIG)


def test_the_ceiling_is_taken_from_where_it_is_said_to_be(data: Data) -> None:
    (X, X_test), Y, Y_test, targets = data
    shared = np.linspace(0.2, 0.7, len(targets))
    repeats = np.stack([Y_test["a"]] * 2) + np.random.default_rng(0).standard_normal((2, *Y_test["a"].shape))
    given = {"pretrained": {0: (X, X_test)}}

    def ceiling(source: str, targets: pd.DataFrame, **others: np.ndarray) -> tuple[str, np.ndarray]:
        config = CONFIG.model_copy(update={"ceiling": source, "n_permutations": 0})
        ds = encode_subject(given, Y, Y_test, targets, config, **others)  # type: ignore[arg-type]
        return ds.attrs["ceiling"], ds["noise_ceiling"].values

    bare = targets.drop(columns="noise_ceiling")
    assert ceiling("auto", targets, repeats=repeats, shared_ceiling=shared)[0] == "given"
    assert ceiling("auto", bare, repeats=repeats, shared_ceiling=shared)[0] == "repeats"
    source, values = ceiling("auto", bare, shared_ceiling=shared)
    assert source == "subjects"
    np.testing.assert_allclose(values, shared, rtol=1e-6)
    assert ceiling("subjects", targets, shared_ceiling=shared)[0] == "subjects"
    source, values = ceiling("none", targets, shared_ceiling=shared)
    assert source == "none"
    assert np.isnan(values).all()
    assert ceiling("auto", bare)[0] == "none"
    for source, where in (("given", bare), ("repeats", targets), ("subjects", targets)):
        with pytest.raises(BraindashError, match=f"'{source}'.*auto"):
            ceiling(source, where)
