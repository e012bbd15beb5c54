"""Which examples stay: even over strata, no class that could not be learned, and every loss counted."""

from __future__ import annotations

import numpy as np
import pytest
from probing_corpus import corpus_of, hand_made

from braindash.errors import BraindashError
from braindash.probing import cutting
from braindash.probing.base import Corpus, Limits
from braindash.probing.cutting import OUTSIDE, RARE, RARE_LABELS, Cut, settle

LOOSE = Limits(fewest_examples=1, fewest_per_class=2)


def corpus(n: int = 4, n_scored: int = 4) -> Corpus:
    return corpus_of(*(hand_made(f"r{i}", scored=i < n_scored) for i in range(n)))


def cut(recording: list[int], y: np.ndarray, **kwargs: object) -> Cut:
    spans = np.tile([1.0, 2.0], (len(recording), 1))
    n = int(y.max()) + 1 if y.ndim == 1 else y.shape[1]
    return Cut(np.array(recording), spans, y, tuple(f"c{k}" for k in range(n)), **kwargs)  # type: ignore[arg-type]


def test_shares_are_equal_as_far_as_there_are_so_many() -> None:
    strata = np.repeat([0, 1, 2, 3], [2, 50, 5, 100])
    chosen = cutting.choose_evenly([strata], 31, seed=0)
    assert np.bincount(strata[chosen]).tolist() == [2, 12, 5, 12]
    for most in range(0, 158, 7):
        counts = np.bincount(strata[cutting.choose_evenly([strata], most, seed=1)], minlength=4)
        assert counts.sum() == most
        room = counts[counts < [2, 50, 5, 100]]
        assert not len(room) or np.ptp(room) <= 1
        assert not len(room) or counts.max() <= room.min() + 1
    same, other = (cutting.choose_evenly([strata], 31, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(same, chosen)
    assert (other != chosen).any()


def test_shares_are_nested() -> None:
    outer = np.repeat([0, 1], [300, 60])
    inner = np.tile(np.repeat([0, 1, 2], [1, 3, 2]), 60)
    chosen = cutting.choose_evenly([outer, inner], 120, seed=0)
    table = np.zeros((2, 3), dtype=int)
    np.add.at(table, (outer[chosen], inner[chosen]), 1)
    assert table.sum(axis=1).tolist() == [60, 60]
    assert table.tolist() == [[20, 20, 20], [10, 30, 20]]


@pytest.mark.parametrize("seed", range(5))
def test_a_class_is_common_where_enough_is_left_whatever_is_held_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, fewest = 60, 4
    y, groups = rng.integers(0, 8, n), rng.choice(["a", "b", "c"], n)
    scored = groups != "c"
    items = np.array([f"w{k}" for k in y * 3 + rng.integers(0, 3, n)])
    want = []
    for k in range(8):
        own = y == k
        ok = (own & scored).sum() >= fewest
        ok &= all((own & (groups != g)).sum() >= fewest for g in ("a", "b"))
        ok &= all((own & (items != w)).sum() >= fewest for w in np.unique(items))
        want.append(bool(ok))
    assert cutting.common(y, 8, groups, scored, items, fewest).tolist() == want
    dense = y[:, None] == np.arange(8)
    assert cutting.common(dense, 8, groups, scored, items, fewest).tolist() == want


def test_rare_classes_go_with_their_examples_and_names_follow() -> None:
    y = np.array([0, 1, 2] * 4 + [1] * 4 + [3])
    recording = [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [0, 1, 2, 3] + [0]
    found = settle(corpus(), LOOSE, cut(recording, y))
    assert found.names == ("c0", "c1", "c2")
    assert found.left_out == {RARE: 1}


def test_one_class_or_group_or_type_is_refused() -> None:
    y = np.array([0, 0, 0, 0, 1])
    with pytest.raises(BraindashError, match="1 class has 2 examples or more"):
        settle(corpus(), LOOSE, cut([0, 1, 2, 3, 0], y))
    for of_one in (np.random.default_rng(0).random((6, 1)), y[[0, 0, 0, 4, 4, 4]]):
        with pytest.raises(BraindashError, match="All examples are of one story, 'r0'"):
            settle(corpus(), LOOSE, cut([0] * 6, of_one))
    values = np.random.default_rng(0).random((6, 1))
    with pytest.raises(BraindashError, match="are of 1 types; 2 are needed"):
        settle(corpus(), LOOSE, cut([0, 1] * 3, values, items=np.array(["the"] * 6)))
    with pytest.raises(BraindashError, match="0 examples can be scored; 1 are needed"):
        settle(corpus(n_scored=0), LOOSE, cut([0, 1] * 3, values))


def test_labels_that_all_have_or_lack_are_no_columns() -> None:
    rng = np.random.default_rng(0)
    y = np.column_stack([np.ones(40), np.zeros(40), rng.random(40) < 0.5, np.arange(40) < 1]).astype(bool)
    found = settle(corpus(), LOOSE, cut([0, 1, 2, 3] * 10, y))
    assert found.names == ("c2",)
    np.testing.assert_array_equal(found.y, y[:, [2]])
    assert found.left_out == {RARE_LABELS: 3}
    with pytest.raises(BraindashError, match="No label is common enough among 40 examples"):
        settle(corpus(), LOOSE, cut([0, 1, 2, 3] * 10, y[:, :2]))


def test_spans_are_clipped_to_the_recording_and_those_outside_counted() -> None:
    spans = np.array([[-0.1, 0.5], [99.9, 100.2], [100.0, 101.0], [3.0, 3.0], [5.0, 6.0]])
    found = settle(
        corpus(), LOOSE, Cut(np.array([0, 1, 2, 3, 0]), spans, np.random.default_rng(0).random((5, 1)), ("v",))
    )
    np.testing.assert_allclose(found.spans, [[0, 0.5], [99.9, 100], [5, 6]])
    assert found.left_out == {OUTSIDE: 2}


def test_half_is_for_scoring_and_what_is_not_needed_is_counted() -> None:
    recording = [0] * 100 + [1] * 20 + [2] * 500 + [3] * 500
    limits = Limits(max_examples=100, fewest_examples=1, fewest_per_class=2)
    found = settle(corpus(n_scored=2), limits, cut(recording, np.random.default_rng(0).random((1120, 1))))
    assert np.bincount(found.recording).tolist() == [30, 20, 25, 25]
    assert found.left_out == {"more than 100 examples (chosen evenly)": 1020}


def test_frequent_words_do_not_crowd_out_others() -> None:
    items = np.repeat(["the", "sea", "boat"], [90, 20, 10])
    limits = Limits(max_examples=60, fewest_examples=1, fewest_per_class=2)
    values = np.random.default_rng(0).random((120, 1))
    found = settle(corpus(), limits, cut([0, 1, 2, 3] * 30, values, items=items))
    assert found.items is not None
    assert {w: int((found.items == w).sum()) for w in ("the", "sea", "boat")} == {"the": 30, "sea": 20, "boat": 10}
