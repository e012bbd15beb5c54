"""Every family really trains, with adapters and with whole blocks, and comes back from its files as it was trained.

Two steps through the network itself on tiny random models in the hub's format: what is
trained gets gradients and moves, everything else stays as it was bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import TINY, save_tiny

from braindash.config import TuneConfig
from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel, State
from braindash.speech.families.wavlm import WavLM
from braindash.speech.loading import open_model
from braindash.speech.tuned import write_tuned_info
from braindash.tuning.checks import check_gradients, check_moved
from braindash.tuning.heads import Head
from braindash.tuning.network import FrameMap, Network, Part, Step
from braindash.tuning.objectives import get_loss
from braindash.tuning.optimiser import make_optimiser
from braindash.tuning.recipes import Prepared, get_recipe

N_WINDOWS, SECONDS, N_TARGETS, WIDTH = 3, 0.7, 5, 32

# The final norm belongs to what the last layer is, where the family has one.
FINAL_NORM = {
    "wav2vec2-large": "encoder.layer_norm.",
    "hubert-large": "encoder.layer_norm.",
    "wavlm-large": "encoder.layer_norm.",
    "whisper": "layer_norm.",
    "moonshine": "layer_norm.",
}
# What of a block is not trained, and nothing else may be.
LEFT_OUT = {
    "whisper": set(),
    "moonshine": set(),
    "wavlm": {"k_proj.bias", "rel_attn_embed.weight"},
    "wavlm-large": {"k_proj.bias", "rel_attn_embed.weight"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: save_tiny(name, root / name) for name in TINY}


def settings(recipe: str, **changes: Any) -> TuneConfig:
    base: dict[str, Any] = {
        "study": "s", "model": "m", "recipe": recipe, "precision": "fp32",
        "lora": {"rank": 2, "alpha": 8, "dropout": 0.2, "first_block": 1}, "full": {"first_block": 1},
        "optimiser": {"lr": 5e-3, "head_lr": 1e-3},
    }  # fmt: skip
    return TuneConfig.model_validate({**base, **changes})


def audio() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(int(SECONDS * 16000)).astype(np.float32) for _ in range(N_WINDOWS)]


def one_step(model: SpeechModel, first_block: int) -> Step:
    """Every window is two rows, each the mean of half its frames; what enters the tuned blocks is computed once."""
    with torch.no_grad():
        state = model.front(model.prepare(audio()))
        for i in range(first_block):
            state = model.block(i, state)
    n = state.h.shape[1]
    column = np.arange(N_WINDOWS * n)
    row = 2 * (column // n) + (column % n >= n // 2)
    weight = 1.0 / np.bincount(row)[row]
    fmap = FrameMap(row, column, weight, (2 * N_WINDOWS, N_WINDOWS * n), torch.device("cpu"))
    responses = torch.from_numpy(np.random.default_rng(1).standard_normal((2 * N_WINDOWS, N_TARGETS))).float()
    return Step([state], {"rows": fmap}, {}, [Part("a", "rows", 0, responses)])


@dataclass
class Trained:
    """A model in the middle of tuning, and what its two steps did."""

    model: SpeechModel
    prepared: Prepared
    network: Network
    before: dict[str, torch.Tensor]  # the encoder's tensors
    gradients: dict[str, float] = field(default_factory=dict)  # the largest of every trained tensor's


@contextmanager
def two_steps(folder: Path, config: TuneConfig, layer: int = 3) -> Iterator[Trained]:
    model = open_model(folder)
    torch.manual_seed(3)
    with get_recipe(config.recipe)(model, config, layer) as prepared:
        head = Head("linear", WIDTH, {"a": N_TARGETS}, 1, (0, 1), 2.0)
        network = Network(model, prepared, layer, head, get_loss(config.loss))
        step = one_step(model, prepared.first_block)
        made = Trained(model, prepared, network, {n: t.clone() for n, t in model.encoder.state_dict().items()})
        optimiser = make_optimiser(network, config.optimiser)
        start = {n: p.detach().clone() for n, p in network.trained() if p.requires_grad}
        for number in (1, 2):
            network.set_training(True)
            optimiser.zero_grad(set_to_none=True)
            network(step).backward()
            check_gradients(network.named_parameters(), number)
            for name, p in network.trained():
                if p.grad is not None:
                    assert torch.isfinite(p.grad).all()
                    made.gradients[name] = max(made.gradients.get(name, 0.0), float(p.grad.abs().max()))
            optimiser.step()
            network.set_training(False)
        check_moved(start, network.trained(), 2)
        yield made


@pytest.mark.parametrize("recipe", ["lora", "full"])
@pytest.mark.parametrize("name", TINY)
def test_what_is_trained_has_gradients_and_moves_and_nothing_else_does(
    folders: dict[str, Path], name: str, recipe: str
) -> None:
    with two_steps(folders[name], settings(recipe)) as done:
        trained = dict(done.prepared.parameters())
        assert all(p.requires_grad for p in trained.values())
        assert {n for n, p in done.model.encoder.named_parameters() if p.requires_grad} == trained.keys()
        # Rounding alone makes gradients of about 3e-11 here (k biases); every trained tensor's is far above that.
        assert min(done.gradients[f"encoder.{n}"] for n in trained) > 1e-7
        assert {"head.outputs.0.weight", "head.outputs.0.bias"} < done.gradients.keys()
        after = done.model.encoder.state_dict()
        moved = {n for n in after if not torch.equal(after[n], done.before[n])}
        assert moved == trained.keys()
        if recipe == "full":
            assert done.prepared.first_block == 1
            blocks = {n for n in after if ".1." in f".{n}" or ".2." in f".{n}" if "layers." in n and "conv" not in n}
            norm = {n for n in after if name in FINAL_NORM and n.startswith(FINAL_NORM[name])}
            assert len(norm) == {"moonshine": 1}.get(name, 2 if name in FINAL_NORM else 0)
            left = (blocks | norm) - moved
            assert moved <= blocks | norm
            assert {".".join(n.split(".")[-2:]) for n in left} == LEFT_OUT.get(name, {"k_proj.bias"}) - {
                "rel_attn_embed.weight"  # block 0's, which is not tuned here
            }
        else:
            assert len(moved) == 2 * 6 * 2  # A and B of six linear layers of two blocks


@pytest.mark.parametrize("name", TINY)
def test_from_block_0_all_but_the_front_end_is_trained(folders: dict[str, Path], name: str) -> None:
    with two_steps(folders[name], settings("full", full={"first_block": 0})) as done:
        trained = dict(done.prepared.parameters())
        own = {n for n in done.before if n.startswith(("layers.", "encoder.layers."))}
        left = {".".join(n.split(".")[-2:]) for n in own - trained.keys()}
        assert left == LEFT_OUT.get(name, {"k_proj.bias"})
        assert len({n.split("layers.")[1][0] for n in trained.keys() & own}) == 3


@pytest.mark.parametrize("recipe", ["lora", "full"])
@pytest.mark.parametrize("name", TINY)
def test_a_saved_model_opens_as_it_was_trained(
    folders: dict[str, Path], name: str, recipe: str, tmp_path: Path
) -> None:
    wave = audio()[0]
    with two_steps(folders[name], settings(recipe)) as done:
        done.prepared.save(tmp_path, str(folders[name]))
        live = done.model.hidden_states(wave)
        write_tuned_info(tmp_path, done.model, str(folders[name]), recipe=recipe)
        model, before = done.model, done.before
    opened = open_model(tmp_path)
    pretrained = open_model(folders[name]).hidden_states(wave)
    states = opened.hidden_states(wave)
    scale = np.abs(live).max(axis=(1, 2))
    assert (np.abs(states - live).max(axis=(1, 2)) < 1e-5 * scale).all()
    # It was worth comparing: below the first tuned block nothing changed, above it much did.
    assert np.array_equal(states[:2], pretrained[:2])
    assert (np.abs(states - pretrained).max(axis=(1, 2))[2:] > 1e-3 * scale[2:]).all()
    assert opened.weights_hash != model.weights_hash
    # On leaving the recipe the model is the pretrained one again.
    after = model.encoder.state_dict()
    plain = {n.replace(".base_layer", ""): t for n, t in before.items() if "lora_" not in n}
    assert after.keys() == plain.keys()
    assert all(torch.equal(after[n], plain[n]) for n in after)
    assert not any(p.requires_grad or p.grad is not None for p in model.encoder.parameters())


@pytest.mark.parametrize("name", TINY)
def test_left_out_tensors_have_no_gradient_by_construction(folders: dict[str, Path], name: str) -> None:
    """In float64 the gradient of what is left out is rounding error, of what is trained it is not."""
    model = open_model(folders[name])
    state = one_step(model, 0).states[0]
    model.encoder.double().requires_grad_(True)
    extras = {
        key: tuple(t.double() for t in value) if isinstance(value, tuple) else value.double()
        for key, value in state.extras.items()
    }
    state = State(state.h.double(), extras)
    for i in range(3):
        state = model.block(i, state)
    out = model.read_layer(state, 3)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).sum().backward()
    trained = model.trainable(0, 3)
    sizes = {n: 0.0 if p.grad is None else float(p.grad.abs().max()) for n, p in model.encoder.named_parameters()}
    largest = max(sizes.values())
    left = [n for n in sizes if n.startswith(("layers.", "encoder.layers.")) and n not in trained]
    assert bool(left) == (name not in ("whisper", "moonshine"))
    assert all(sizes[n] < 1e-13 * largest for n in left)
    assert all(sizes[n] > 1e-7 * largest for n in trained)
    assert all(any(n.endswith(end) for end in model.never_trained) for n in left)


@pytest.mark.parametrize("layer", [2, 3])
@pytest.mark.parametrize("name", TINY)
def test_offsets_are_not_trained_under_a_loss_that_ignores_them(
    folders: dict[str, Path], name: str, layer: int
) -> None:
    """The bias added last, and the head's, only shift predictions over time: `temporal` cannot see them."""
    temporal, both = settings("full", loss="temporal"), settings("full", loss="temporal+0.1*mse")
    with two_steps(folders[name], both, layer) as done:
        everything, shift = done.gradients.keys(), done.model.shift_of(layer)
    assert "head.outputs.0.bias" in everything
    with two_steps(folders[name], temporal, layer) as done:
        expected = {"head.outputs.0.bias"} | ({f"encoder.{shift}"} if shift else set())
        assert everything - done.gradients.keys() == expected
        assert min(done.gradients.values()) > 1e-7
    assert bool(shift) == ((name, layer) != ("moonshine", 3))  # whose final norm has no bias
    model = open_model(folders[name])
    wave = audio()[0]
    plain = model.hidden_states(wave, [layer])
    if shift:
        with torch.no_grad():
            model.encoder.get_parameter(shift).add_(0.7)
        assert np.abs(model.hidden_states(wave, [layer]) - plain - 0.7).max() < 1e-5 * max(1.0, np.abs(plain).max())


def test_adapters_on_the_stock_attention_of_wavlm_are_refused_by_name(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers hands q, k and v past the modules that hold them; without our attention tuning must not start."""

    def stock(self: WavLM, i: int, state: State) -> State:
        layer: Any = self.encoder.encoder.layers[i]  # type: ignore[index,union-attr]
        batch, n, _ = state.h.shape
        bias = state.extras["position_bias"].unsqueeze(0).repeat(batch, 1, 1, 1).view(-1, n, n)
        return State(layer(state.h, position_bias=bias)[0], state.extras)

    with two_steps(folders["wavlm"], settings("lora")):
        pass
    monkeypatch.setattr(WavLM, "block", stock)
    with pytest.raises(BraindashError, match="q_proj") as error, two_steps(folders["wavlm"], settings("lora")):
        pass
    assert "k_proj" in str(error.value)
    assert "output_dense" not in str(error.value)
    with two_steps(folders["wavlm"], settings("full")):  # whole weights it does reach
        pass
