"""Scores, intervals, differences and controls of probes, against planted truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix, f1_score
from statsmodels.stats.multitest import multipletests

from braindash.errors import BraindashError
from braindash.probing import metrics
from braindash.probing.base import Examples, Kind, Task
from braindash.probing.probe import Probed, _shuffles, add_q, probe

N, P, N_STORIES = 1200, 24, 10
GROUPS = np.repeat([f"story{i}" for i in range(N_STORIES)], N // N_STORIES)
SCORED = GROUPS >= "story5"
UNITS = np.arange(N) // 20  # 30 units in the five stories that are scored


def run(
    features: dict[str, np.ndarray], kind: Kind, y: np.ndarray, items: np.ndarray | None = None, **settings: Any
) -> Probed:
    """Probe examples of the stories above."""
    n_columns = int(y.max()) + 1 if kind == "classification" else y.shape[1]
    names = tuple(f"c{i}" for i in range(n_columns))
    examples = Examples(np.zeros(len(y), dtype=int), np.zeros((len(y), 2)), y, names, items)
    task = Task("task", "Task", "What is read.", kind, "phonetic", lambda corpus, limits: examples)
    layers = range(len(next(iter(features.values()))))
    arguments = {"groups": GROUPS, "scored": SCORED, "units": UNITS, "n_boot": 300, **settings}
    return probe({k: v.astype(np.float32) for k, v in features.items()}, layers, task, examples, **arguments)


def labels(kind: Kind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and numbers that hold them."""
    if kind == "regression":
        y = rng.standard_normal((N, 3))
        return y, y
    if kind == "classification":
        y = rng.choice(5, N, p=[0.4, 0.3, 0.15, 0.1, 0.05])
        return y, np.eye(5)[y] * 3
    y = rng.random((N, 4)) < [0.5, 0.3, 0.2, 0.1]
    return y, y * 3.0


@pytest.mark.parametrize("kind", ["regression", "classification", "multilabel"])
def test_the_layer_that_holds_the_labels_wins_and_noise_is_at_chance(kind: Kind) -> None:
    rng = np.random.default_rng(0)
    y, held = labels(kind, rng)
    layers = rng.standard_normal((12, N, P))
    layers[1, :, : held.shape[1]] += held
    layers[2, :, : held.shape[1]] += 0.3 * held
    probed = run({"pretrained": layers}, kind, y)
    best, weak = probed.rows[1:3]
    empty = [probed.rows[0], *probed.rows[3:]]
    assert best["score"] > weak["score"] + 0.1
    assert weak["score"] > max(row["score"] for row in empty)
    # who knows nothing answers one class, or guesses: between the two
    low, high = sorted((probed.facts["baseline"], probed.facts["chance"]))
    assert sum(row["ci_low"] <= high and row["ci_high"] >= low for row in empty) >= 8
    assert low - 0.02 < np.mean([row["score"] for row in empty]) < high + 0.02
    assert best["ci_low"] > max(best["chance"], best["baseline"])
    for row in probed.rows:
        assert abs(row["shuffled"] - row["chance"]) < 0.1
        assert row["selectivity"] == row["score"] - row["shuffled"]
        assert row["n"] == SCORED.sum()
        assert row["n_groups"] == 5
    assert best["selectivity"] > 0.3
    assert all(abs(row["selectivity"]) < 0.1 for row in empty)


def test_r2_is_that_of_the_mean_over_columns_and_resamples_repeat_whole_units() -> None:
    rng = np.random.default_rng(1)
    y, answer, mean = rng.standard_normal((N, 3)), rng.standard_normal((N, 3)) * 0.3, rng.standard_normal((N, 3)) * 0.1
    answer += 0.5 * y
    sums = metrics.add_up("regression", y, answer, mean, UNITS, 60)
    weights = metrics.draw_units(60, 5, 0)
    assert (weights.sum(1) == 60).all()
    samples = metrics.resampled("regression", weights, sums)
    for w, got in zip(weights, samples, strict=True):
        rows = np.repeat(np.arange(N), w[UNITS].astype(int))
        wanted = [
            1 - np.sum((y[rows, j] - answer[rows, j]) ** 2) / np.sum((y[rows, j] - mean[rows, j]) ** 2)
            for j in range(3)
        ]
        assert got == pytest.approx(np.mean(wanted), abs=1e-12)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_f1_equals_scikit_learns_also_in_resamples(kind: Kind) -> None:
    rng = np.random.default_rng(2)
    if kind == "classification":
        y, answer = rng.integers(0, 6, N), rng.integers(0, 6, N)
        y[y == 5] = 4  # a class that is answered, and never true
        y[(UNITS > 0) & (y == 3)] = 2  # and one of the first unit alone: some resamples have none
        hot, answered = np.eye(6)[y], np.eye(6)[answer]
    else:
        hot, answered = rng.random((N, 5)) < 0.3, rng.random((N, 5)) < 0.4
        hot[:, 4] = False
    weights = metrics.draw_units(60, 8, 0)
    assert (weights[:, 0] == 0).any()
    sums = metrics.add_up(kind, hot.astype(float), answered.astype(float), None, UNITS, 60)
    for w, got in zip(weights, metrics.resampled(kind, weights, sums), strict=True):
        rows = np.repeat(np.arange(N), w[UNITS].astype(int))
        true = [k for k in range(hot.shape[1]) if hot[rows, k].any()]
        wanted = f1_score(hot[rows].astype(int), answered[rows].astype(int), labels=true, average="macro")
        assert got == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_chance_is_what_guessing_by_frequency_scores(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    n, shares = 20000, np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    if kind == "classification":
        hot, guess = (np.eye(5)[rng.choice(5, n, p=shares)] for _ in range(2))
    else:
        hot, guess = ((rng.random((n, 5)) < shares).astype(float) for _ in range(2))
    sums = metrics.add_up(kind, hot, guess)
    assert metrics.chance(kind, sums, n) == pytest.approx(float(metrics.score(kind, sums)), abs=0.01)
    assert metrics.chance("regression", sums, n) == 0


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_baseline_is_the_commonest_class_or_every_label(kind: Kind) -> None:
    y, held = labels(kind, np.random.default_rng(4))
    probed = run({"pretrained": held[None]}, kind, y)
    here = y[SCORED]
    if kind == "classification":
        wanted = f1_score(here, np.zeros(len(here)), average="macro", zero_division=0)
    else:
        wanted = f1_score(here, np.ones_like(here), average="macro")
    assert probed.facts["baseline"] == pytest.approx(wanted)


def test_features_that_name_the_word_are_found_out_once_words_are_kept_apart() -> None:
    rng = np.random.default_rng(5)
    word = rng.integers(0, 80, N)
    classes = rng.integers(0, 3, 80)  # of each word; nothing that words share tells it
    states = (rng.standard_normal((80, 60))[word] + 0.1 * rng.standard_normal((N, 60)))[None]
    y, items = classes[word], np.array([f"w{i}" for i in word])
    leaking, apart = (
        run({"pretrained": states}, "classification", y),
        run({"pretrained": states}, "classification", y, items, units=word),
    )
    assert leaking.rows[0]["score"] > 0.8
    assert apart.rows[0]["ci_low"] < apart.rows[0]["chance"] < 0.4
    assert apart.rows[0]["score"] < 0.5
    assert apart.facts["n_folds"] == 12
    # what the words share, in contrast, is found with words apart
    shared = states + 3 * np.pad(np.eye(3)[y], ((0, 0), (0, 57)))
    assert run({"pretrained": shared}, "classification", y, items, units=word).rows[0]["ci_low"] > 0.5


def test_control_labels_go_with_the_word() -> None:
    rng = np.random.default_rng(6)
    items = np.array([f"w{i}" for i in rng.integers(0, 40, N)])
    examples = Examples(np.zeros(N, dtype=int), np.zeros((N, 2)), np.zeros((N, 1)), ("y",), items)
    draws = list(_shuffles(examples, 2, 0))
    for rows in draws:
        given = dict(zip(items, items[rows], strict=True))
        assert all(given[w] == items[r] for w, r in zip(items, rows, strict=True))  # one label a word
        assert sorted(given.values()) == sorted(given)  # every word's label is another's
    assert (draws[0] != draws[1]).any()
    plain = next(_shuffles(Examples(items, items, items, (), None), 1, 0))
    np.testing.assert_array_equal(np.sort(plain), np.arange(N))


def test_paired_differences_are_narrower_than_unpaired_and_equal_layers_differ_by_nothing() -> None:
    rng = np.random.default_rng(7)
    y, held = labels("classification", rng)
    states = rng.standard_normal((2, N, P))
    states[:, :, :5] += 0.5 * held
    tuned = states.copy()
    tuned[1] += 0.15 * rng.standard_normal((N, P))
    probed = run({"pretrained": states, "brain_tuned": tuned}, "classification", y)
    same, close = probed.differences
    assert (same["layer"], same["delta"], same["ci_low"], same["ci_high"], same["p"]) == (0, 0, 0, 0, 1)
    before, after = (row for row in probed.rows if row["layer"] == 1)
    assert close["delta"] == after["score"] - before["score"]
    unpaired = np.hypot(before["ci_high"] - before["ci_low"], after["ci_high"] - after["ci_low"])
    assert 0 < close["ci_high"] - close["ci_low"] < 0.7 * unpaired
    assert "q" not in close
    assert not run({"a": states, "b": tuned}, "classification", y).differences  # no pretrained model to differ from


def test_a_difference_that_is_there_is_found() -> None:
    rng = np.random.default_rng(8)
    y, held = labels("regression", rng)
    states = rng.standard_normal((1, N, P))
    tuned = states.copy()
    states[0, :, :3] += 0.5 * held
    tuned[0, :, :3] += 1.0 * held
    (row,) = run({"pretrained": states, "brain_tuned": tuned}, "regression", y).differences
    assert row["ci_low"] > 0.1
    assert row["p"] < 1e-3


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_intervals_cover_the_truth_as_often_as_they_say(kind: Kind) -> None:
    """Units differ in how well they are answered; the truth is the score of very many of them."""
    n_each = 40

    def units(rng: np.random.Generator, n_units: int) -> np.ndarray:
        if kind == "regression":
            y = rng.standard_normal((n_units, n_each))
            noise = rng.standard_normal((n_units, n_each)) * rng.uniform(0.3, 0.9, (n_units, 1))
            return np.stack([(noise**2).sum(1), (y**2).sum(1)], axis=1)[:, :, None]
        true = rng.choice(3, (n_units, n_each), p=[0.5, 0.3, 0.2])
        right = rng.random((n_units, n_each)) < rng.uniform(0.4, 0.9, (n_units, 1))
        answer = np.where(right, true, rng.integers(0, 3, true.shape))
        hot, answered = np.eye(3)[true], np.eye(3)[answer]
        return np.stack([(hot * answered).sum(1), hot.sum(1), answered.sum(1)], axis=1)

    truth = float(metrics.score(kind, units(np.random.default_rng(99), 20_000).sum(0)))
    covered, n_units = 0, 10
    weights = metrics.draw_units(n_units, 200, 0)
    for seed in range(400):
        sums = units(np.random.default_rng(seed), n_units)
        low, high, _ = metrics.interval(
            float(metrics.score(kind, sums.sum(0))), metrics.resampled(kind, weights, sums), n_units
        )
        covered += low <= truth <= high
    assert 0.91 < covered / 400 < 0.98


def test_fewer_than_three_units_give_no_interval() -> None:
    y, held = labels("regression", np.random.default_rng(9))
    row = run({"pretrained": held[None]}, "regression", y, units=np.arange(N) // (N // 2)).rows[0]
    assert row["score"] > 0.9
    assert np.isnan([row["ci_low"], row["ci_high"]]).all()
    row = run({"pretrained": held[None]}, "regression", y, units=np.where(SCORED, UNITS > 40, 7)).rows[0]
    assert np.isnan([row["ci_low"], row["ci_high"]]).all()
    assert np.isnan(metrics.interval(0.5, np.array([0.4, 0.6]), 2)).all()


def test_intervals_of_scores_end_where_scores_do() -> None:
    y, held = labels("classification", np.random.default_rng(16))
    states = 1.3 * held + np.random.default_rng(17).standard_normal((6, N, 5))
    rows = run({"pretrained": states}, "classification", y, units=np.arange(N) // 150).rows
    assert all(row["ci_low"] < row["score"] < 1 and row["ci_high"] <= 1 for row in rows)
    assert any(row["ci_high"] == 1 for row in rows)


def test_the_interval_of_a_mean_is_students() -> None:
    """The spread of resamples of n values is (n − 1)/n of the unbiased variance of their mean."""
    values = np.random.default_rng(15).standard_normal(8) + 1
    samples = metrics.draw_units(8, 200_000, 0) @ values / 8
    wanted = stats.ttest_1samp(values, 0)
    low, high, p = metrics.interval(float(values.mean()), samples, 8)
    np.testing.assert_allclose([low, high], wanted.confidence_interval(), atol=0.005)
    assert p == pytest.approx(wanted.pvalue, rel=0.03)


def test_q_is_corrected_over_all_tasks_and_layers_of_a_model() -> None:
    p = np.random.default_rng(10).random((2, 3, 4)) ** 3
    rows = [
        {"model": m, "task": t, "layer": layer, "p": p[i, j, layer]}
        for j, t in enumerate(["a", "b", "c"])
        for i, m in enumerate(["brain_tuned", "block_permuted"])
        for layer in range(4)
    ]
    rows[0]["p"] = float("nan")
    add_q(rows)
    for i, model in enumerate(["brain_tuned", "block_permuted"]):
        known = p[i].ravel()[1 - i :]
        got = [row["q"] for row in rows if row["model"] == model][1 - i :]
        np.testing.assert_allclose(got, multipletests(known, method="fdr_bh")[1])
    assert np.isnan(rows[0]["q"])


def test_confusions_folds_and_facts_add_up() -> None:
    rng = np.random.default_rng(11)
    y, held = labels("classification", rng)
    y[:60][y[:60] == 4] = 0
    told: list[tuple[int, int, str]] = []
    probed = run(
        {"pretrained": held[None] + rng.standard_normal((2, N, 5))}, "classification", y, n_folds=4,
        progress=lambda done, total, what: told.append((done, total, what)),
    )  # fmt: skip
    assert probed.confusion is not None
    counts = probed.confusion["pretrained"]
    assert counts.shape == (2, 5, 5)
    np.testing.assert_array_equal(counts[0].sum(1), np.bincount(y[SCORED]))
    answered = np.repeat(np.tile(np.arange(5), 5), counts[0].ravel())
    true = np.repeat(np.repeat(np.arange(5), 5), counts[0].ravel())
    np.testing.assert_array_equal(confusion_matrix(true, answered), counts[0])
    assert probed.rows[0]["score"] == pytest.approx(f1_score(true, answered, average="macro"))
    assert probed.samples.shape == (1, 2, 300)
    assert np.isfinite(probed.samples).all()
    folds = [f for f in probed.folds if f["layer"] == 0]
    assert sum(f["n_test"] for f in folds) == probed.facts["n_scored"] == SCORED.sum()
    assert sorted(g for f in folds for g in f["held_out"]) == sorted(set(GROUPS[SCORED]))
    assert [f["fold"] for f in folds] == [0, 1, 2, 3]
    assert probed.facts["n_units"] == 30
    assert sorted(told) == [(1, 2, "pretrained, layer 0"), (2, 2, "pretrained, layer 1")]


def test_classes_that_training_lacks_count_as_errors_and_are_counted() -> None:
    rng = np.random.default_rng(12)
    y = rng.integers(0, 3, N)
    y[(GROUPS == "story9") & (y == 2)] = 3  # in one story alone
    held = np.eye(4)[y] * 9 + rng.standard_normal((N, 4))
    probed = run({"pretrained": held[None]}, "classification", y)
    assert probed.facts["n_unseen"] == (y == 3).sum()
    assert probed.confusion is not None
    assert probed.confusion["pretrained"][0, 3, 3] == 0
    assert probed.rows[0]["score"] == pytest.approx(0.75, abs=0.06)


def test_columns_that_do_not_vary_are_left_out_and_counted() -> None:
    y, held = labels("regression", np.random.default_rng(13))
    with_constant = np.column_stack([y, np.where(SCORED, 2.0, y[:, 0])])
    probed = run({"pretrained": held[None]}, "regression", with_constant)
    assert probed.facts["left_out"] == {"columns that do not vary": 1}
    assert probed.rows[0]["score"] == pytest.approx(run({"pretrained": held[None]}, "regression", y).rows[0]["score"])


def test_what_cannot_be_probed_is_refused_with_its_name() -> None:
    y, held = labels("classification", np.random.default_rng(14))
    broken = np.repeat(held[None], 3, axis=0)
    broken[2, 7, 1] = np.nan
    with pytest.raises(BraindashError, match="Layer 2 of brain_tuned"):
        run({"pretrained": held[None].repeat(3, axis=0), "brain_tuned": broken}, "classification", y)
    with pytest.raises(BraindashError, match=r"features of pretrained have shape \(1, 3, 5\)"):
        run({"pretrained": held[None, :3]}, "classification", y)
    with pytest.raises(BraindashError, match="have 1 of 5 classes"):
        run({"pretrained": held[None]}, "classification", np.where(SCORED, 1, y))
    with pytest.raises(BraindashError, match="do not vary"):
        run({"pretrained": held[None]}, "regression", np.ones((N, 2)))
    with pytest.raises(BraindashError, match="must be finite"):
        run({"pretrained": held[None]}, "regression", np.full((N, 2), np.nan))
