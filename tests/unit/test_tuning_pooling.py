"""Pooling inside the network is the features' own definition, and lets gradients through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import TuneConfig, WindowConfig
from braindash.features.windows import extract
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning.data import TuningData
from braindash.tuning.frame_map import FrameMap
from braindash.tuning.heads import Head
from braindash.tuning.network import Network
from braindash.tuning.objectives import mse
from braindash.tuning.prefix import PrefixStates, prefix_bytes
from braindash.tuning.recipes import get_recipe
from braindash.tuning.schedule import Item
from braindash.tuning.stories import Stories

WINDOWS = [
    WindowConfig(context=4, stride=4, readout="tr_mean"),
    WindowConfig(context=3, stride=1.2, readout="tr_mean"),
    WindowConfig(context=2, stride=0.25, readout="last"),
    WindowConfig(context=2, stride=0.4, readout="mean"),
    WindowConfig(context=2.5, stride=9, readout="tr_window"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return open_model(str(save_tiny("whisper", tmp_path_factory.mktemp("tiny"))))


def settings(**changes: object) -> TuneConfig:
    return TuneConfig.model_validate({"study": "small", "model": "tiny", "precision": "fp32", **changes})


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w.readout}-{w.stride:g}")
@pytest.mark.parametrize("layer", [2, 3])
def test_pooled_rows_equal_extracted_features(
    model: SpeechModel, window: WindowConfig, layer: int, tmp_path: Path
) -> None:
    study, config = SmallStudy(shift={"sub-02": 0.2}), settings(window=window.model_dump(), layer=layer)
    data = TuningData(study, config)
    with get_recipe("lora")(model, config, layer) as prepared:
        head = Head("linear", model.width, data.n_targets, 2, (1,), study.tr)
        network = Network(model, prepared, layer, head, mse)
        stories = Stories(model, data, config, prepared.first_block, tmp_path)
        pooled = stories.pooled("s0", network).plain
        for subject in data.subjects:
            expected = extract(model, study.audio("s0"), data.times("s0", subject), study.tr, window, [layer])[0]
            got = pooled[stories.rows_of("s0", subject)].numpy()
            assert got.shape == expected.shape
            assert np.abs(got - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w.readout}-{w.stride:g}")
def test_blocks_of_rows_add_up_to_the_story(model: SpeechModel, window: WindowConfig, tmp_path: Path) -> None:
    """The losses of the blocks, weighted by rows, are the loss of the story: history and windows are all there."""
    study, config = SmallStudy(), settings(window=window.model_dump())
    data = TuningData(study, config)
    with get_recipe("lora")(model, config, 3) as prepared, torch.no_grad():
        head = Head("low_rank", model.width, data.n_targets, 2, (1, 2, 3), study.tr)
        network = Network(model, prepared, 3, head, mse)
        stories = Stories(model, data, config, prepared.first_block, tmp_path)
        cpu = torch.device("cpu")
        whole = float(network(stories.step(Item("s1", 0, 1), network, cpu)))
        parts = [stories.step(Item("s1", k, 3), network, cpu) for k in range(3)]
        weights = [len(p.parts[0].responses) for p in parts]
        total = sum(float(network(p)) * n for p, n in zip(parts, weights, strict=True)) / sum(weights)
        assert sum(weights) == stories.n_trs("s1")
        assert total == pytest.approx(whole, rel=1e-5)


def test_frame_map_and_its_gradient_equal_the_dense_product() -> None:
    rng = np.random.default_rng(0)
    row, column, weight = rng.integers(0, 4, 20), rng.integers(0, 9, 20), rng.standard_normal(20)
    dense = torch.zeros(4, 9)
    for r, c, w in zip(row, column, weight, strict=True):
        dense[r, c] += float(w)
    fmap = FrameMap(row, column, weight, (4, 9), torch.device("cpu"))
    x = torch.randn(9, 3, requires_grad=True)
    y = torch.randn(9, 3)
    y.copy_(x.detach()).requires_grad_(True)
    fmap(x).square().sum().backward()
    (dense @ y).square().sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert torch.allclose(x.grad, y.grad, atol=1e-5)


def test_prefix_states_are_the_same_from_memory_files_and_anew(model: SpeechModel, tmp_path: Path) -> None:
    study = SmallStudy()
    spans = {"s0": [(0, 32000), (32000, 64000), (-800, 31200), (64000, 80000), (120000, 136000)]}
    size = prefix_bytes(model, spans)
    places = {"memory": (size, 0), "disk": (0, size), "nowhere": (0, 0)}
    got = {}
    for where, (memory, disk) in places.items():
        states = PrefixStates(model, 1, spans, study.audio, tmp_path / where, memory=memory, disk=disk)
        assert states.where == where
        states.fill("s0")
        got[where] = states.get("s0", [(-800, 31200), (0, 32000)]).h
    assert torch.equal(got["memory"], got["disk"])
    assert torch.allclose(got["memory"], got["nowhere"], atol=1e-5)
    wave = np.concatenate([np.zeros(800, np.float32), study.audio("s0")[:31200]])
    expected = model.hidden_states(wave, [1])[0]
    assert np.abs(got["disk"][0].numpy() - expected).max() < 1e-4
    again = PrefixStates(
        model, 1, spans, lambda story: pytest.fail("read anew"), tmp_path / "disk", memory=0, disk=size
    )
    assert torch.equal(again.get("s0", [(-800, 31200), (0, 32000)]).h, got["disk"])
    again.clear()
    assert not (tmp_path / "disk").exists()
