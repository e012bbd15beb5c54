"""Speed and memory of tuning: the same numbers with fewer passes, recomputed activations, smaller steps."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import pytest
import torch
from tiny_models import save_tiny

from braindash.config import TuneConfig
from braindash.speech.base import SpeechModel
from braindash.speech.loading import open_model
from braindash.tuning import fast, memory
from braindash.tuning.feeding import Feeder
from braindash.tuning.memory import StepMemory, choose_checkpointing, fitting_trs, halve, steps_after
from braindash.tuning.recipes import get_recipe
from braindash.tuning.schedule import Item

FAMILIES = ["wav2vec2", "wavlm", "whisper", "moonshine"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SpeechModel]:
    folder = tmp_path_factory.mktemp("tiny")
    return {family: open_model(str(save_tiny(family, folder / family))) for family in FAMILIES}


def adapted(model: SpeechModel, dropout: float = 0.0) -> Any:
    config = TuneConfig(study="s", model="m", lora={"dropout": dropout})  # type: ignore[arg-type]
    return get_recipe("lora")(model, config, model.n_layers)


def gradients(model: SpeechModel, first: int, amp: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the last layer of a fixed sound, and every adapter's gradient of a fixed function of it."""
    generator = torch.Generator().manual_seed(1)
    wave = torch.randn(1, 16000, generator=generator).numpy()
    with torch.no_grad():
        state = model.front(model.prepare(list(wave)))
        for i in range(first):
            state = model.block(i, state)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        for i in range(first, model.n_layers):
            state = model.block(i, state)
        out = model.finish(state).float()
    trained = {n: p for n, p in model.encoder.named_parameters() if p.requires_grad}
    weight = torch.randn(out.shape, generator=generator)
    found = torch.autograd.grad((out * weight).sum(), list(trained.values()))
    return out.detach(), dict(zip(trained, found, strict=True))


def randomise(model: SpeechModel) -> None:
    """Give the adapters weights that are not the identity."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in model.encoder.named_parameters():
            if "lora_" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=generator))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp_min(1e-12))


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_fast_linears_give_what_peft_gives(
    models: dict[str, SpeechModel], monkeypatch: pytest.MonkeyPatch, family: str, onednn: bool
) -> None:
    model = models[family]
    if onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(fast, "onednn_gain", lambda: 2.0 if onednn else 1.0)
    with adapted(model) as prepared:
        randomise(model)
        first = prepared.first_block
        slow_out, slow = gradients(model, first, amp=False)
        with fast.fast_linears(model, first, model.n_layers) as said:
            assert said == ("oneDNN" if onednn else "torch's default")
            out, quick = gradients(model, first, amp=False)
            assert "forward" in vars(model.encoder.get_submodule(model.linear_targets(first)["q"]))
        assert distance(out, slow_out) < 1e-6
        assert quick.keys() == slow.keys()
        assert max(distance(quick[n], slow[n]) for n in slow) < 3e-6
        again, _ = gradients(model, first, amp=False)  # everything is as it was
        assert torch.equal(again, slow_out)


def test_fast_linears_under_autocast_stay_within_its_rounding(models: dict[str, SpeechModel]) -> None:
    model = models["wav2vec2"]
    with adapted(model) as prepared:
        randomise(model)
        _, exact = gradients(model, prepared.first_block, amp=False)
        _, autocast = gradients(model, prepared.first_block, amp=True)
        with fast.fast_linears(model, prepared.first_block, model.n_layers):
            _, quick = gradients(model, prepared.first_block, amp=True)
    worst = max(distance(autocast[n], exact[n]) for n in exact)
    assert worst > 1e-4
    assert max(distance(quick[n], exact[n]) for n in exact) < 1.5 * worst


def test_a_frozen_layer_under_autocast_is_cast_once_and_bit_for_bit_the_same() -> None:
    linear = torch.nn.Linear(24, 40).requires_grad_(False)
    x = torch.randn(7, 24)
    forward = fast.fast_forward(linear)
    assert forward is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(forward(x), linear(x))
    assert torch.equal(forward(x), linear(x))


def test_layers_with_dropout_or_trained_weights_keep_their_own_forward(models: dict[str, SpeechModel]) -> None:
    model = models["wav2vec2"]
    assert fast.fast_forward(torch.nn.Linear(3, 3)) is None
    with adapted(model, dropout=0.1) as prepared, fast.fast_linears(model, prepared.first_block, model.n_layers):
        assert "forward" not in vars(model.encoder.get_submodule(model.linear_targets(prepared.first_block)["q"]))


def test_measuring_onednn_leaves_the_random_state_alone() -> None:
    fast.onednn_gain.cache_clear()
    before = torch.get_rng_state()
    assert fast.onednn_gain() >= 0
    assert torch.equal(torch.get_rng_state(), before)


def test_the_feeder_makes_one_ahead_in_order_and_hands_errors_over() -> None:
    made: list[tuple[int, str]] = []
    begun = threading.Event()

    def make(k: int) -> int:
        made.append((k, threading.current_thread().name))
        if k == 1:
            begun.set()
        if k == 3:
            raise ValueError("three")
        return 10 * k

    with Feeder(make) as feeder:
        feeder.plan(range(5))
        assert feeder.take(0) == 0
        assert begun.wait(5)  # item 1 is made before it is asked for
        assert feeder.take(1) == 10
        feeder.plan([4])  # the plan changed: what was begun is dropped
        assert feeder.take(4) == 40
        feeder.plan([3])
        with pytest.raises(ValueError, match="three"):
            feeder.take(3)
    assert made[1][1].startswith("feeder")
    assert [k for k, _ in made if k != 2] == [0, 1, 4, 3]


def test_the_feeder_counts_what_is_waited_for() -> None:
    with Feeder(lambda k: time.sleep(0.05), ahead=False) as feeder:
        feeder.plan([0, 1])
        feeder.take(0)
        feeder.take(1)
        assert feeder.waited >= 0.1


def test_halved_steps_cover_the_same_rows_in_the_same_order() -> None:
    steps = [[Item("a", 0, 1)], [Item("b", 1, 3), Item("a", 0, 2, "sub")]]
    cut = steps_after(steps, [1, 2])
    assert cut[0] == steps[0]
    assert len(cut) == 1 + 1 + 2
    for story, n in (("b", 37), ("a", 40)):
        whole = next(item for step in steps[1:] for item in step if item.story == story).bounds(n)
        parts = [item.bounds(n) for step in cut[1:] for item in step if item.story == story]
        assert (parts[0][0], parts[-1][1]) == whole
        assert all(a[1] == b[0] for a, b in pairwise(parts))
    assert steps_after(steps, []) == steps
    assert len(halve(steps)) == 4


def test_checkpointing_is_chosen_from_what_is_needed_and_free() -> None:
    need = StepMemory(kept=10 * 10**9, recomputed=2 * 10**9)
    assert not choose_checkpointing("auto", need, 13 * 10**9)[0]
    on, said = choose_checkpointing("auto", need, 12 * 10**9)
    assert on
    assert "on" in said
    assert "10 GB" in said
    assert choose_checkpointing("on", need, 10**12)[0]
    on, said = choose_checkpointing("off", need, 0)
    assert not on
    assert "as set" in said


def test_a_step_is_offered_that_fits() -> None:
    assert fitting_trs(100, needed=10, free=100) == 50
    assert fitting_trs(100, needed=100, free=40) == 25
    assert fitting_trs(6, needed=100, free=1) == memory.LEAST_TRS
