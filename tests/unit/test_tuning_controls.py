"""Block permutation: a permutation of whole blocks, never the original order, the same for everyone."""

from __future__ import annotations

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.tuning.controls import block_order, block_permuted, get_control


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
    Y = np.arange(30)[:, None] + np.array([0.0, 100.0])
    out = block_permuted(Y, 5, 0, "s")
    assert (out[:, 1] - out[:, 0] == 100).all()
    assert (out[:, 0] != np.arange(30)).any()


def test_a_single_block_is_refused_with_a_size_that_fits() -> None:
    with pytest.raises(BraindashError, match="at most 4"):
        block_permuted(np.zeros((9, 2)), 10, 0, "s")


def test_none_leaves_the_responses_and_unknown_names_are_refused() -> None:
    Y = np.ones((3, 2))
    assert get_control("none")(Y, 1, 0, "s") is Y
    with pytest.raises(BraindashError, match="block-permuted"):
        get_control("block-permute")
