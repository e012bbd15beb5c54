"""Lags in seconds, principal components, and what is counted in rows of a study's rate."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from braindash.config import EncodingConfig, TuneConfig, validate
from braindash.errors import BraindashError
from braindash.features.design import delay, zscore
from braindash.features.lags import block_rows, for_signal, lag_rows, story_designs, tuning_for_signal, unit_rows


@pytest.mark.parametrize(
    ("lags", "step", "rate", "expected"),
    [
        ((0.0, 0.1), 0.02, 100, (0, 2, 4, 6, 8, 10)),
        ((0.0, 0.1), 0.02, 50, (0, 1, 2, 3, 4, 5)),
        ((0.0, 0.1), 0.01, 200, tuple(range(0, 21, 2))),
        ((0.0, 0.04), 0.005, 100, (0, 1, 2, 3, 4)),  # never a row twice
        ((-0.04, 0.04), 0.02, 100, (-4, -2, 0, 2, 4)),
        ((0.0, 0.1), 0.025, 64, (0, 2, 3, 5, 6)),  # 1.6, 3.2, 4.8 and 6.4 rows
        ((0.12, 0.12), 0.02, 100, (12,)),
    ],
)
def test_lags_fall_on_the_nearest_rows(
    lags: tuple[float, float], step: float, rate: int, expected: tuple[int, ...]
) -> None:
    assert lag_rows(lags, step, 1 / rate) == expected


def test_the_default_lags_reach_from_0_to_400_ms() -> None:
    for rate in (50, 64, 100, 128, 200):
        settings = for_signal(EncodingConfig(), "electrodes", 1 / rate)
        assert settings.delays[0] == 0
        assert settings.delays[-1] / rate == pytest.approx(0.4, abs=0.5 / rate)
        assert len(settings.delays) <= 21
        assert settings.block_trs / rate == pytest.approx(5, abs=0.5 / rate)
        assert unit_rows(settings, "electrodes") == 3 * settings.block_trs


def test_bold_is_as_it_was_set() -> None:
    config = EncodingConfig(delays=(2, 3), block_trs=7)
    settings = for_signal(config, "bold", 2.0)
    assert (settings.delays, settings.block_trs, settings.lag_components) == ((2, 3), 7, None)
    assert unit_rows(settings, "bold") == 30
    tuning = TuneConfig(study="s", model="m")
    assert tuning_for_signal(tuning, "bold", 2.0) is tuning


def test_what_was_chosen_is_taken_as_rows() -> None:
    settings = for_signal(EncodingConfig(delays=(0, 5), block_trs=50), "electrodes", 0.01)
    assert (settings.delays, settings.block_trs) == ((0, 5), 50)
    assert for_signal(settings, "electrodes", 0.01) == settings
    assert block_rows(10, "electrodes", 2.0) == 10  # never shorter than for BOLD


def test_a_fine_tune_is_settled_once() -> None:
    settled = tuning_for_signal(TuneConfig(study="s", model="m"), "electrodes", 0.01)
    assert settled.encoding.delays == tuple(range(0, 41, 2))
    assert settled.delays == (0, 10, 20, 30, 40)
    assert settled.permute_block == settled.encoding.block_trs == 500
    assert tuning_for_signal(settled, "electrodes", 0.01) == settled
    narrow = TuneConfig.model_validate({"study": "s", "model": "m", "encoding": {"lags": (0.1, 0.15)}})
    assert tuning_for_signal(narrow, "electrodes", 0.01).delays == (10, 12, 14)


def test_lags_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(BraindashError, match="between -5 and 5"):
        validate(EncodingConfig, {"lags": (0, 400)})
    with pytest.raises(BraindashError, match="between -5 and 5"):
        validate(EncodingConfig, {"lags": (0.4, 0.1)})
    with pytest.raises(BraindashError, match="copies of the features"):
        for_signal(EncodingConfig(lags=(-5, 5), lag_step=0.001), "electrodes", 0.005)


def stories(n_columns: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((n_columns, n_columns)) * np.geomspace(1, 0.01, n_columns)[:, None]
    return {s: rng.standard_normal((n, n_columns)) @ mix + 3 for s, n in (("a", 200), ("b", 150), ("c", 90))}


def test_bold_designs_are_z_scored_and_delayed_features() -> None:
    data = stories()
    settings = for_signal(EncodingConfig(), "bold", 2.0)
    train, test = story_designs(data.__getitem__, ["a", "b"], ["c"], settings)
    for x, name in ((train[0], "a"), (train[1], "b"), (test["c"], "c")):
        assert np.array_equal(x, delay(zscore(data[name]), (1, 2, 3, 4)))


def test_components_are_those_of_the_fitting_stories(caplog: pytest.LogCaptureFixture) -> None:
    data = stories()
    settings = EncodingConfig(delays=(0, 3), lag_components=4)
    with caplog.at_level(logging.INFO):
        train, test = story_designs(data.__getitem__, ["a", "b"], ["c"], settings)
    peer = PCA(4).fit(np.vstack([zscore(data["a"]), zscore(data["b"])]))
    for x, name in ((train[0], "a"), (train[1], "b"), (test["c"], "c")):
        expected = peer.transform(zscore(data[name]))
        assert x.dtype == np.float32
        assert np.allclose(np.abs(x[:, :4]), np.abs(expected), atol=1e-4)
        assert np.allclose(np.abs(x[3:, 4:]), np.abs(expected[:-3]), atol=1e-4)
        assert (x[:3, 4:] == 0).all()
    share = 100 * peer.explained_variance_ratio_.sum()
    assert f"4 of 12 components carry {share:.1f} %" in caplog.text


def test_all_components_predict_as_the_layer_itself() -> None:
    """Ridge does not see a rotation, so the components are a choice of size and of nothing else."""
    from braindash.features.lags import principal_axes

    data = {name: zscore(x) for name, x in stories().items()}
    axes, share = principal_axes([data["a"], data["b"]], 12)
    assert share == pytest.approx(1)
    y = np.random.default_rng(1).standard_normal((350, 3))
    delays = (0, 2, 5)

    def fit(rotation: np.ndarray) -> np.ndarray:
        X = np.vstack([delay(data[s] @ rotation, delays) for s in ("a", "b")])
        return Ridge(alpha=50, fit_intercept=False).fit(X, y).predict(delay(data["c"] @ rotation, delays))

    assert np.allclose(fit(axes), fit(np.eye(12)), atol=1e-4)
    whole = EncodingConfig(delays=delays, lag_components=12)
    train, _ = story_designs(stories().__getitem__, ["a", "b"], ["c"], whole)
    assert np.array_equal(train[0], delay(data["a"], delays))
