"""Learnt weights over the frames of a TR: against loops, finite differences, and through a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig, WindowConfig
from braindash.errors import BraindashError
from braindash.features.windows import extract
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import tune
from braindash.tuning.data import TuningData
from braindash.tuning.frame_map import FrameMap
from braindash.tuning.heads import Head, head_for, read_head
from braindash.tuning.network import Network
from braindash.tuning.objectives import mse
from braindash.tuning.recipes import get_recipe
from braindash.tuning.stories import Stories

CPU = torch.device("cpu")
READOUTS = [
    {"context": 4, "stride": 4, "readout": "tr_mean"},
    {"context": 3, "stride": 1.2, "readout": "tr_mean"},
    {"context": 2.5, "readout": "tr_window"},
]


def settings(**changes: Any) -> TuneConfig:
    base: dict[str, Any] = {
        "study": "small",
        "model": "tiny",
        "precision": "fp32",
        "window": READOUTS[0],
        "optimiser": {"epochs": 2, "warmup_steps": 1, "head_lr": 1e-2},
        "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    }
    head = {"rank": 3, "pooling": "attention", **changes.pop("head", {})}
    return TuneConfig.model_validate({**base, "head": head, **changes})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return open_model(str(save_tiny("whisper", tmp_path_factory.mktemp("tiny"))))


def example(seed: int = 0) -> tuple[FrameMap, np.ndarray]:
    """A map of 4 rows and 11 frames with uneven weights, a row of one frame, and a frame in two rows."""
    rng = np.random.default_rng(seed)
    row = np.array([0, 0, 0, 1, 2, 2, 2, 2, 3, 3, 3])
    column = np.array([0, 1, 2, 3, 4, 5, 6, 2, 8, 9, 10])
    weight = rng.random(11) + 0.1
    dense = np.zeros((4, 11))
    dense[row, column] = weight
    return FrameMap(row, column, weight, (4, 11), CPU), dense


def test_rows_are_softmax_averages_of_their_frames() -> None:
    fmap, dense = example()
    rng = np.random.default_rng(1)
    h, s = rng.standard_normal((11, 5)), 3 * rng.standard_normal(11) + 400  # far beyond what an exponential takes
    got = fmap.attend(torch.from_numpy(h), torch.from_numpy(s)).numpy()
    for i in range(4):
        frames = np.flatnonzero(dense[i])
        share = dense[i, frames] * np.exp(s[frames] - s[frames].max())
        assert np.allclose(got[i], (share / share.sum()) @ h[frames], rtol=1e-6)


def test_equal_scores_are_the_weighted_mean_and_a_row_without_frames_is_zero() -> None:
    fmap, dense = example()
    h = torch.randn(11, 5)
    expected = (torch.from_numpy(dense / dense.sum(axis=1, keepdims=True)).float()) @ h
    assert torch.allclose(fmap.attend(h, torch.full((11,), 0.7)), expected, atol=1e-6)
    part = FrameMap(np.array([2, 2]), np.array([0, 1]), np.ones(2), (4, 3), CPU)
    assert (part.attend(torch.randn(3, 2), torch.randn(3))[[0, 1, 3]] == 0).all()


def test_gradients_against_finite_differences() -> None:
    fmap, _ = example()
    h = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)
    s = torch.randn(11, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fmap.attend, (h, s), atol=1e-6)


def test_gradients_of_the_score_through_the_whole_head() -> None:
    torch.manual_seed(0)
    fmap, _ = example()
    head = Head("low_rank", 3, {"a": 2}, 2, (0, 1), 2.0, attention=True).double()
    head.set_statistics(torch.randn(3).double(), torch.rand(3).double() + 0.5)
    h, Y = torch.randn(11, 3, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    assert head.score is not None

    def loss(score: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            head.score.weight.copy_(score)  # type: ignore[union-attr]
        return mse(head(head.pool(h, fmap), "a"), Y)

    at = torch.randn(1, 3, dtype=torch.float64)
    loss(at).backward()
    assert head.score.weight.grad is not None
    for j in range(3):
        step = torch.zeros_like(at)
        step[0, j] = 1e-6
        slope = float((loss(at + step) - loss(at - step)).detach()) / 2e-6
        assert float(head.score.weight.grad[0, j]) == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_the_weights_that_made_the_responses_are_found_again() -> None:
    """Responses made with a known score: learning from the mean finds its direction and explains them."""
    torch.manual_seed(0)
    n_rows, n_each, width = 150, 6, 4
    row = np.repeat(np.arange(n_rows), n_each)
    fmap = FrameMap(row, np.arange(len(row)), np.full(len(row), 1 / n_each), (n_rows, len(row)), CPU)
    h = torch.randn(len(row), width)
    truth = Head("linear", width, {"a": 5}, 1, (0,), 2.0, attention=True)
    head = Head("linear", width, {"a": 5}, 1, (0,), 2.0, attention=True)
    assert truth.score is not None
    assert head.score is not None
    head.outputs.load_state_dict(truth.outputs.state_dict())
    with torch.no_grad():
        truth.score.weight.copy_(torch.tensor([[1.5, -1.0, 0.5, 0.0]]))
        Y = truth(truth.pool(h, fmap), "a")
        Y = Y + 0.05 * Y.std() * torch.randn_like(Y)
        start = float(mse(head(head.pool(h, fmap), "a"), Y))
    optimiser = torch.optim.Adam([head.score.weight], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        loss = mse(head(head.pool(h, fmap), "a"), Y)
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.02 * start
    assert (head.score.weight - truth.score.weight).abs().max() < 0.1


@pytest.mark.parametrize("window", READOUTS, ids=lambda w: f"{w['readout']}-{w['context']}")
@pytest.mark.parametrize("recipe", ["lora", "head"])
def test_pooled_rows_start_at_the_mean_and_then_weigh_the_frames_of_their_own_tr(
    model: SpeechModel, tmp_path: Path, window: dict[str, Any], recipe: str
) -> None:
    study, config = SmallStudy(shift={"sub-02": 0.2}), settings(window=window, recipe=recipe)
    data = TuningData(study, config)
    with get_recipe(recipe)(model, config, 3) as prepared:
        network = Network(model, prepared, 3, head_for(config, model.width, data), mse)
        assert not network.rows_fixed
        stories = Stories(model, data, config, prepared.first_block, tmp_path)
        rows = stories.pooled("s0", network)
        for key, plain in rows.plain.items():
            assert torch.allclose(rows.head[key], plain, atol=1e-5)
        score = network.head.score
        assert score is not None
        with torch.no_grad():
            score.weight.normal_(generator=torch.Generator().manual_seed(1))
        rows = stories.pooled("s0", network)
        for subject in data.subjects:
            key, times = stories.rows_of("s0", subject), data.times("s0", subject)
            expected = extract(model, study.audio("s0"), times, study.tr, WindowConfig(**window), [3])[0]
            assert np.abs(rows.plain[key].numpy() - expected).max() < 2e-5 * np.abs(expected).max()
            got = rows.head[key].numpy()
            assert np.abs(got - expected).max() > 1e-2 * np.abs(expected).max()
        if window["readout"] == "tr_window":  # by hand: one window a row, its frames and their softmax
            t, wave = times[3], study.audio("s0")
            end = round(t * 16000)
            frames = torch.from_numpy(model.hidden_states(wave[max(0, end - 40000) : end], [3])[0])
            share = torch.softmax((frames @ score.weight.detach()[0]), dim=0)
            assert np.allclose(got[3], share @ frames, atol=1e-3 * float(frames.abs().max()))


@pytest.mark.parametrize("recipe", ["lora", "head"])
def test_a_run_learns_the_weights_and_writes_a_head_that_can_be_read_back(
    model: SpeechModel, tmp_path: Path, recipe: str
) -> None:
    study = SmallStudy()
    rows: list[dict[str, Any]] = []
    config = settings(recipe=recipe, keep="last")
    result = tune(study, model, config, tmp_path, progress=rows.append, should_stop=lambda: False)
    assert result.model_dir is not None
    head = read_head(result.model_dir / "head.safetensors")
    assert head.score is not None
    assert head.score.weight.abs().max() > 1e-3
    assert (head.kind, head.subjects, head.tr, head.shared_output) == ("hrf_low_rank", study.subjects, study.tr, False)

    # the head that was read says of the validation story what the run said of its own
    data = TuningData(study, config)
    if recipe == "head":
        with get_recipe(recipe)(model, config, 3) as prepared:
            network = Network(model, prepared, 3, head, mse)
            pooled = Stories(model, data, config, prepared.first_block, tmp_path / "cache").pooled("s3", network).head
            r = []
            for s in data.subjects:
                P, Y = head(next(iter(pooled.values())), s).detach().numpy(), data.responses("s3", s)
                r.append(np.mean([np.corrcoef(P[:, j], Y[:, j])[0, 1] for j in range(Y.shape[1])]))
        last = [row for row in rows if row["kind"] == "epoch"][-1]
        assert last["head_validation_r"] == pytest.approx(np.mean(r), abs=1e-4)
        assert last["validation_r"] == last["head_validation_r"]  # the layer never changes: the head chooses


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_windows_that_lanczos_resamples_have_no_frames_of_their_own(
    model: SpeechModel, tmp_path: Path, readout: str
) -> None:
    config = settings(window={"context": 2, "stride": 0.5, "readout": readout})
    with pytest.raises(BraindashError, match=f"window.readout {readout}.*tr_mean or tr_window"):
        tune(SmallStudy(), model, config, tmp_path, progress=lambda row: None, should_stop=lambda: False)
