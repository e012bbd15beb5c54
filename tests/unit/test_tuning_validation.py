"""The score that chooses the epoch, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from tuning_study import SmallStudy

from braindash.config import TuneConfig
from braindash.tuning.data import TuningData
from braindash.tuning.validation import at_least_two, fresh_ridge, sampled, score_of


@pytest.mark.parametrize("late", [0.0, 0.25])
def test_score_is_the_mean_correlation_of_a_ridge_fitted_to_the_tuning_stories(late: float) -> None:
    study = SmallStudy(n_tune=4, n_validation=2, seconds=16, shift={"sub-02": late})
    config = TuneConfig(study="small", model="tiny", encoding={"alphas": (20.0,), "delays": (0, 2)})  # type: ignore[arg-type]
    data = TuningData(study, config)
    rng = np.random.default_rng(0)
    features = {}
    for story in study.stories:
        x = rng.standard_normal((40, 4)).astype(np.float32)
        for s in study.subjects:
            rows = len(study.row_times(story, s))
            features[story, s] = x[:rows] if late else features.get((story, "sub-01"), x[:rows])
            signal = x[:rows] @ rng.standard_normal((4, study.n_targets[s]))
            study.data[story, s] = (study.data[story, s] + signal).astype(np.float32)

    def design(story: str, s: str) -> np.ndarray:
        x = features[story, s].astype(float)
        z = (x - x.mean(0)) / x.std(0)
        return np.concatenate([z, np.vstack([np.zeros((2, 4)), z[:-2]])], axis=1)

    def z_scored(story: str, s: str) -> np.ndarray:
        y = study.data[story, s].astype(float)
        return (y - y.mean(0)) / y.std(0)

    expected = {}
    for s in study.subjects:
        ridge = Ridge(20.0).fit(
            np.vstack([design(t, s) for t in data.tune[s]]), np.vstack([z_scored(t, s) for t in data.tune[s]])
        )
        P = np.vstack([ridge.predict(design(t, s)) for t in data.validation[s]])
        Y = np.vstack([z_scored(t, s) for t in data.validation[s]])
        expected[s] = np.mean([np.corrcoef(P[:, j], Y[:, j])[0, 1] for j in range(Y.shape[1])])
    score = fresh_ridge(lambda t, s: features[t, s], lambda t, s: f"{t}{s if late else ''}", data, config, "cpu")
    assert score.by_subject == pytest.approx(expected, abs=1e-4)
    assert score.r == pytest.approx(np.mean(list(expected.values())), abs=1e-4)


def test_targets_are_sampled_evenly_and_a_single_story_is_cut() -> None:
    assert list(sampled(5)) == [0, 1, 2, 3, 4]
    assert list(sampled(9, 3)) == [0, 4, 8]
    assert len(np.unique(sampled(80_000))) == 2000
    X, Y = at_least_two([np.arange(10)[:, None]], [np.arange(10)[:, None]])
    assert [len(x) for x in X] == [2, 3, 3, 2]
    assert (np.concatenate(X) == np.arange(10)[:, None]).all()
    assert all((x == y).all() for x, y in zip(X, Y, strict=True))


def test_given_predictions_are_scored_over_the_validation_stories_joined() -> None:
    study = SmallStudy(n_tune=1, n_validation=2)
    data = TuningData(study, TuneConfig(study="small", model="tiny"))
    rng = np.random.default_rng(0)
    predicted = {
        (t, s): data.responses(t, s) + rng.standard_normal(data.responses(t, s).shape)
        for s in data.subjects
        for t in data.validation[s]
    }
    for story in data.validation["sub-01"]:
        predicted[story, "sub-01"][:, 0] = 3.0  # flat: it explains nothing
    score = score_of(lambda t, s: predicted[t, s], data)
    for s in data.subjects:
        P = np.concatenate([predicted[t, s] for t in data.validation[s]])
        Y = np.concatenate([data.responses(t, s) for t in data.validation[s]])
        first = 1 if s == "sub-01" else 0
        r = [np.corrcoef(P[:, j], Y[:, j])[0, 1] for j in range(first, Y.shape[1])]
        assert score.by_subject[s] == pytest.approx(sum(r) / Y.shape[1], abs=1e-5)
    assert score.r == pytest.approx(np.mean(list(score.by_subject.values())))
