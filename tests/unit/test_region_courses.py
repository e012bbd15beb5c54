"""Courses of regions: the evaluation's own predictions, whatever was thinned, left out, or read again."""

from __future__ import annotations

import numpy as np
import pytest
from tuning_study import SmallStudy

from braindash.encoding.refit import Refit
from braindash.encoding.ridge import StoryRidgeCV
from braindash.errors import BraindashError
from braindash.runs import region_courses
from braindash.runs.region_courses import StandardResponses, group_courses, thinned

ALPHAS = [1.0, 10.0, 100.0]


def designs(study: SmallStudy, width: int, seed: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    drawn = {s: rng.normal(size=(len(study.row_times(s, "sub-01")), width)).astype(np.float32) for s in study.stories}
    tests = study.stories_of("test")
    return [x for s, x in drawn.items() if s not in tests], {s: drawn[s] for s in tests}


@pytest.mark.parametrize("width", [5, 90])  # fewer and more features than rows
def test_any_target_is_predicted_as_the_ridge_predicts_it(width: int) -> None:
    study = SmallStudy(n_tune=3)
    train, test = designs(study, width, 0)
    responses = StandardResponses(study, "sub-01")
    columns = np.arange(6)
    y = [responses.story(s, columns) for s in responses.train]
    ridge = StoryRidgeCV(ALPHAS, store_coef=True).fit(train, y)
    assert len(set(ridge.alpha_)) > 1 or width == 90
    found = Refit.of(train, test).predict(np.concatenate(y), ridge.alpha_)
    for story, x in test.items():
        np.testing.assert_allclose(found[story], ridge.predict(x), atol=2e-6)
        stacked, targets = np.concatenate(train).astype(float), np.concatenate(y).astype(float)
        centred = stacked - stacked.mean(0)
        for j, alpha in enumerate(ridge.alpha_):  # the closed form
            w = np.linalg.solve(
                centred.T @ centred + alpha * np.eye(width), centred.T @ (targets[:, j] - targets[:, j].mean())
            )
            np.testing.assert_allclose(found[story][:, j], (x - stacked.mean(0)) @ w + targets[:, j].mean(), atol=5e-5)
    with pytest.raises(BraindashError, match="penalties"):
        Refit.of(train, test).predict(np.concatenate(y), ALPHAS)
    with pytest.raises(BraindashError, match="no number above 0"):
        Refit.of(train, test).predict(np.concatenate(y), np.full(6, np.nan))


def test_regions_are_means_of_their_targets_one_by_one() -> None:
    study = SmallStudy(n_tune=3)
    refits = {m: Refit.of(*designs(study, 5, seed)) for m, seed in (("pretrained", 0), ("brain_tuned", 1))}
    penalties = {"pretrained": np.array([1, 1, 10, 100, np.nan, 1.0]), "brain_tuned": np.array([1, 10, 10, 1, 1, 1.0])}
    groups = {"some": np.array([0, 1, 3, 4]), "one": np.array([5]), "lost": np.array([4])}
    responses = StandardResponses(study, "sub-01")
    with pytest.raises(BraindashError, match="All 1 targets of lost"):
        group_courses(refits, penalties, responses, groups)
    groups.pop("lost")
    found = group_courses(refits, penalties, responses, groups)
    assert found.groups == ("some", "one")
    assert found.n_used.tolist() == [3, 1]
    assert found.n_excluded.tolist() == [1, 0]
    singles = group_courses(refits, penalties, responses, {str(i): np.array([i]) for i in (0, 1, 3, 5)})
    for story, course in found.stories.items():
        own = singles.stories[story]
        np.testing.assert_array_equal(course.times, study.row_times(story, "sub-01"))
        np.testing.assert_allclose(course.measured[:, 0], own.measured[:, :3].mean(1), atol=1e-6)
        np.testing.assert_allclose(course.gain[:, 0], own.gain[:, :3].mean(1), atol=1e-6)
        np.testing.assert_allclose(course.gain[:, 1], own.gain[:, 3], atol=1e-6)
        errors = {m: (own.measured - own.predicted[m]) ** 2 for m in refits}
        np.testing.assert_allclose(own.gain, errors["pretrained"] - errors["brain_tuned"], atol=1e-5)
        for m in refits:
            np.testing.assert_allclose(course.predicted[m][:, 0], own.predicted[m][:, :3].mean(1), atol=1e-6)
            by_hand = [np.corrcoef(own.measured[:, i], own.predicted[m][:, i])[0, 1] for i in range(3)]
            assert course.r[m][0] == pytest.approx(np.mean(by_hand), abs=1e-5)


def test_responses_that_are_not_kept_give_the_same() -> None:
    study = SmallStudy()
    columns = np.array([4, 1])
    kept, read = StandardResponses(study, "sub-01"), StandardResponses(study, "sub-01", keep=0)
    for story in study.stories:
        np.testing.assert_array_equal(kept.story(story, columns), read.story(story, columns))
    study.read.clear()
    kept.story("s0", columns)
    assert study.read == []
    read.story("s0", columns)
    assert study.read == [("s0", "sub-01")]


def test_large_groups_are_thinned_evenly_and_small_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"whole": np.arange(1000), "part": np.arange(500, 540)}
    assert all(a is b for a, b in zip(thinned(groups, 1000).values(), groups.values(), strict=True))
    few = thinned(groups, 400)
    assert len(few["whole"]) == 200
    assert (few["whole"][0], few["whole"][-1]) == (0, 999)
    assert np.ptp(np.diff(few["whole"])) <= 1
    np.testing.assert_array_equal(few["part"], groups["part"])
    assert len(thinned(groups, 1)["whole"]) == region_courses.LEAST_TARGETS
    monkeypatch.setattr(region_courses, "LEAST_TARGETS", 2)
    monkeypatch.setattr(region_courses, "MOST_OPERATIONS", 1.0)
    study = SmallStudy()
    refits = {m: Refit.of(*designs(study, 3, seed)) for m, seed in (("pretrained", 0), ("brain_tuned", 1))}
    found = group_courses(
        refits, dict.fromkeys(refits, np.ones(6)), StandardResponses(study, "sub-01"), {"all": np.arange(6)}
    )
    assert (found.n_used[0], found.n_fitted[0]) == (2, 6)
