"""What replaces the responses: whole blocks that move, noise as slow as they are, and the controls a run can have."""

from __future__ import annotations

import numpy as np
import pytest
from tuning_study import SmallStudy

from braindash.config import CONTROL_NAMES, TuneConfig
from braindash.errors import BraindashError
from braindash.tuning.controls import CONTROLS, available, get_control, source_rows
from braindash.tuning.data import TuningData
from braindash.tuning.surrogates import block_order, randomise_phases, story_order


def settings(**changes: object) -> TuneConfig:
    return TuneConfig.model_validate({"study": "small", "model": "tiny", "permute_block": 4, **changes})


@pytest.mark.parametrize(("n", "block"), [(40, 10), (43, 10), (20, 10), (11, 10), (7, 1)])
def test_rows_move_in_whole_blocks_and_none_stays(n: int, block: int) -> None:
    for seed in range(20):
        order = block_order(n, block, seed, "s")
        assert sorted(order) == list(range(n))
        starts = [i for i in range(n) if i == 0 or order[i] != order[i - 1] + 1 or order[i] % block == 0]
        cut = np.split(order, starts[1:])
        for piece in cut:
            assert piece[0] % block == 0
            assert len(piece) == min(block, n - piece[0])
        blocks = [int(piece[0]) // block for piece in cut]
        assert all(k != b for k, b in enumerate(blocks))


def test_depends_on_seed_and_story_alone() -> None:
    again = [block_order(200, 10, s, t) for s, t in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))]
    assert (again[0] == again[1]).all()
    assert (again[0] != again[2]).any()
    assert (again[0] != again[3]).any()


def test_all_targets_share_the_permutation() -> None:
    study, plain = SmallStudy(), TuningData(SmallStudy(), settings())
    shuffled = TuningData(study, settings(control="block-permuted"))
    real, out = plain.responses("s0", "sub-01"), shuffled.responses("s0", "sub-01")
    np.testing.assert_array_equal(out, real[block_order(16, 4, 0, "s0")])
    assert (out != real).any()


def test_a_single_block_is_refused_with_a_size_that_fits() -> None:
    with pytest.raises(BraindashError, match="at most 4"):
        block_order(9, 10, 0, "s")


def stories_of(lengths: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(lengths)), lengths)


@pytest.mark.parametrize(
    ("lengths", "block", "own"),
    [
        ([40, 40], 10, 0.0),
        ([37, 41, 55, 28], 10, 0.03),
        ([300, 251, 412, 333, 280, 197, 264], 10, 0.0),
        ([200, 40, 30], 10, 0.6),  # the first is longer than the others: 130 of its rows must stay in it
        ([12, 12, 12], 12, 0.0),
        ([9, 5], 1, 0.3),
        ([30, 31], 10, 0.2),
    ],
)
def test_blocks_change_stories_and_no_row_keeps_its_place(lengths: list[int], block: int, own: float) -> None:
    story, first = stories_of(lengths), np.concatenate([[0], np.cumsum(lengths)])
    for seed in range(10):
        order = story_order(lengths, block, seed)
        assert sorted(order) == list(range(sum(lengths)))
        assert (order != np.arange(len(order))).all()
        # cut where the rows stop following each other: what is left is a run of whole blocks of one story
        cut = np.flatnonzero((np.diff(order) != 1) | (np.diff(story[order]) != 0)) + 1
        for piece in np.split(order, cut):
            within = piece[0] - first[story[piece[0]]]
            assert within % block == 0
            end = piece[-1] + 1 - first[story[piece[0]]]
            assert end % block == 0 or end == lengths[story[piece[0]]]
        assert (story[order] == story).mean() <= own


def test_an_order_between_stories_is_not_a_fixed_rotation() -> None:
    orders = {tuple(story_order([40, 40, 40], 10, seed)) for seed in range(20)}
    assert len(orders) == 20
    story = stories_of([40, 40, 40])
    came_from = np.zeros((3, 3))
    for order in orders:
        np.add.at(came_from, (story, story[list(order)]), 1)
    assert (came_from.diagonal() == 0).all()
    assert (came_from[~np.eye(3, dtype=bool)] > 0.3 * 20 * 40).all()  # about half from each of the two others


def test_a_single_block_cannot_change_stories() -> None:
    with pytest.raises(BraindashError, match="permute_block to at most 4"):
        story_order([9], 10, 0)


@pytest.mark.parametrize("n_validation", [1, 2])
def test_story_permuted_takes_rows_of_other_stories_and_never_of_a_test_story(n_validation: int) -> None:
    study = SmallStudy(n_tune=4, n_validation=n_validation)
    data = TuningData(study, settings(control="story-permuted"))
    real = TuningData(study, settings())
    assert data.n_targets  # reads every story, to find the usable targets
    study.read.clear()
    for subject in data.subjects:
        tune, validation = data.tune[subject], data.validation[subject]
        seen: list[tuple[str, int]] = []
        for story in (*tune, *validation):
            Y = data.responses(story, subject)
            assert Y.shape == real.responses(story, subject).shape
            np.testing.assert_allclose(Y.mean(axis=0), 0, atol=1e-6)
            np.testing.assert_allclose(Y.std(axis=0), 1, atol=1e-6)
            origins, order = source_rows(data, story, subject)
            joined = np.concatenate([real.responses(s, subject) for s in origins])
            named = [(s, i) for s in origins for i in range(len(real.responses(s, subject)))]
            # an affine map a target (the second z-score) of the rows that the order names
            picked = joined[order]
            np.testing.assert_allclose(Y, (picked - picked.mean(axis=0)) / picked.std(axis=0), atol=1e-5)
            allowed = validation if story in validation and n_validation > 1 else tune
            assert {named[i][0] for i in order} <= set(allowed) - {story}
            if story in tune:
                seen += [named[i] for i in order]
        assert len(set(seen)) == len(seen) == sum(len(data.times(s, subject)) for s in tune)  # each row once
    assert not any(story in study.split.test for story, _ in study.read)


def test_story_permuted_is_shared_by_subjects_with_equal_rows_and_reads_each_story_once() -> None:
    study = SmallStudy(n_tune=4, shift={"sub-03": 0.25}, n_targets={"sub-01": 6, "sub-02": 5, "sub-03": 4})
    data = TuningData(study, settings(control="story-permuted"))
    a, b, c = (source_rows(data, "s1", s)[1] for s in data.subjects)
    assert (a == b).all()
    assert len(a) != len(c)
    assert data.n_targets  # reads every story to find the usable targets
    study.read.clear()
    for story in (*data.tune["sub-01"], *data.validation["sub-01"]):
        data.responses(story, "sub-01")
    assert sorted(study.read) == sorted({(s, "sub-01") for s in data.tune["sub-01"]})
    again = TuningData(study, settings(control="story-permuted"))
    again._cached_bytes = 2**60  # nothing may be kept: each story is put together by itself
    for story in data.tune["sub-01"]:
        np.testing.assert_array_equal(again.responses(story, "sub-01"), data.responses(story, "sub-01"))


def test_story_permuted_needs_two_tuning_stories_and_rows_for_the_validation_story() -> None:
    with pytest.raises(BraindashError, match=r"heard 1.*block-permuted"):
        TuningData(SmallStudy(n_tune=1), settings(control="story-permuted")).responses("s0", "sub-01")


def autocorrelation(Y: np.ndarray, lag: int) -> np.ndarray:
    return np.asarray((Y * np.roll(Y, lag, axis=0)).mean(axis=0))


def test_noise_has_the_spectrum_and_the_target_correlations_of_the_responses() -> None:
    rng = np.random.default_rng(3)
    n = 301
    slow = np.zeros((n, 5))
    for t in range(1, n):
        slow[t] = np.array([0.0, 0.3, 0.6, 0.9, 0.95]) * slow[t - 1] + rng.standard_normal(5)
    Y = slow @ rng.standard_normal((5, 5))
    for rows in (Y, Y[:300]):  # odd and even
        out = randomise_phases(rows, np.random.default_rng(0))
        np.testing.assert_allclose(np.abs(np.fft.rfft(out, axis=0)), np.abs(np.fft.rfft(rows, axis=0)), atol=1e-3)
        np.testing.assert_allclose(np.cov(out.T), np.cov(rows.T), rtol=1e-4, atol=1e-4)
        for lag in (1, 2, 10):
            np.testing.assert_allclose(autocorrelation(out, lag), autocorrelation(rows, lag), rtol=1e-4, atol=1e-3)
    found = [
        np.corrcoef(randomise_phases(Y, np.random.default_rng(seed))[:, k], Y[:, k])[0, 1]
        for seed in range(200)
        for k in range(5)
    ]
    assert abs(np.mean(found)) < 0.03  # no memory of when
    white = [np.corrcoef(rng.permutation(Y[:, 4])[:-1], rng.permutation(Y[:, 4])[1:])[0, 1] for _ in range(5)]
    assert abs(np.mean(white)) < 0.3 < autocorrelation(randomise_phases(Y, rng), 1)[4] / Y[:, 4].var()


def test_random_responses_differ_between_stories_and_subjects_and_repeat() -> None:
    study = SmallStudy(n_targets={"sub-01": 6, "sub-02": 6})
    for story in study.stories:
        study.data[story, "sub-02"] = study.data[story, "sub-01"]
    one, two = (TuningData(study, settings(control="random-responses")) for _ in range(2))
    other = TuningData(study, settings(control="random-responses", seed=1))
    Y = one.responses("s0", "sub-01")
    np.testing.assert_array_equal(Y, two.responses("s0", "sub-01"))
    np.testing.assert_allclose(Y.std(axis=0), 1, atol=1e-6)
    for different in (
        one.responses("s0", "sub-02"),
        other.responses("s0", "sub-01"),
        one.real_responses("s0", "sub-01"),
    ):
        assert np.abs(Y - different).max() > 0.5


def test_what_a_run_can_have_is_named_and_the_rest_has_its_reason() -> None:
    study = SmallStudy(n_tune=2)
    names, reasons = available(study, "whisper", settings(control="block-permuted"))
    assert not study.read
    assert [*names, *reasons] == sorted([*names, *reasons], key=[*names, *reasons].index)
    assert set(names) | set(reasons) == set(CONTROL_NAMES)
    assert {"block-permuted", "story-permuted", "random-responses"} <= set(names)
    assert list(names) == [n for n in CONTROL_NAMES if n in names]
    assert names == available(study, "whisper", settings())[0]

    names, reasons = available(SmallStudy(n_tune=1, seconds=3.0), "whisper", settings(permute_block=10))
    assert "permute_block to at most 3" in reasons["block-permuted"]
    assert "two tuning stories" in reasons["story-permuted"]
    assert "6" in reasons["random-responses"]


def test_none_leaves_the_responses_and_unknown_names_are_refused() -> None:
    data = TuningData(SmallStudy(), settings())
    np.testing.assert_array_equal(data.responses("s0", "sub-01"), data.real_responses("s0", "sub-01"))
    with pytest.raises(BraindashError, match="block-permuted"):
        get_control("block-permute")
    assert "none" in CONTROLS
