"""Speed and memory of tuning: the same numbers with fewer passes, recomputed activations, smaller steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_tiny
from tuning_study import SmallStudy

from braindash.config import HeadConfig, TuneConfig
from braindash.errors import BraindashError
from braindash.speech.base import SpeechModel, State
from braindash.speech.families import wavlm
from braindash.speech.loading import open_model
from braindash.tuning import fast, memory, tune
from braindash.tuning.feeding import Feeder
from braindash.tuning.heads import build_head
from braindash.tuning.memory import StepMemory, choose_checkpointing
from braindash.tuning.network import Network, Step
from braindash.tuning.objectives import get_loss
from braindash.tuning.recipes import get_recipe
from braindash.tuning.schedule import Item
from braindash.tuning.shrinking import LEAST_TRS, fitting_trs, halve, steps_after
from braindash.tuning.stories import Stories

CPU = torch.device("cpu")
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
    a, b = a.detach(), b.detach()
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
        with fast.fast_linears(model, first, model.n_layers, CPU) as said:
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
        with fast.fast_linears(model, prepared.first_block, model.n_layers, CPU):
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
    with adapted(model, dropout=0.1) as prepared, fast.fast_linears(model, prepared.first_block, model.n_layers, CPU):
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
    assert fitting_trs(6, needed=100, free=1) == LEAST_TRS


SETTINGS: dict[str, Any] = {
    "study": "small",
    "model": "tiny",
    "precision": "fp32",
    "window": {"context": 4, "stride": 4},
    "head": {"rank": 3},
    "lora": {"dropout": 0.1},
    "optimiser": {"epochs": 2, "warmup_steps": 1},
    "encoding": {"alphas": (1.0, 100.0), "delays": (1, 2)},
    "block_trs": 8,
}


def run(
    model: SpeechModel,
    workspace: Path,
    *,
    stop: Callable[[list[dict[str, Any]]], bool] = lambda rows: False,
    resume: bool = False,
    **changes: Any,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    config = TuneConfig.model_validate({**SETTINGS, **changes})
    study = SmallStudy(n_tune=2, shift={"sub-02": 0.2})
    tune(study, model, config, workspace, progress=rows.append, should_stop=lambda: stop(rows), resume=resume)
    return rows


def steps_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in {"seconds", "busy"}} for row in rows if row["kind"] == "step"]


def said(rows: list[dict[str, Any]], words: str) -> list[str]:
    return [row["text"] for row in rows if row["kind"] == "log" and words in row["text"]]


@pytest.mark.parametrize("family", ["wavlm", "whisper"])
def test_recomputed_activations_train_the_same_model_bit_for_bit(
    models: dict[str, SpeechModel], tmp_path: Path, family: str
) -> None:
    """Also the adapters' dropout is the same the second time."""
    kept = run(models[family], tmp_path / "off", gradient_checkpointing="off")
    again = run(models[family], tmp_path / "on", gradient_checkpointing="on")
    assert steps_of(again) == steps_of(kept)
    weights = [p / "model" / "adapter_model.safetensors" for p in (tmp_path / "off", tmp_path / "on")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert said(kept, "Gradient checkpointing is off, as set")
    assert said(again, "Gradient checkpointing is on, as set")


def test_recomputed_activations_keep_less(models: dict[str, SpeechModel]) -> None:
    model = models["whisper"]
    with adapted(model) as prepared:
        head = build_head(HeadConfig(rank=3), model.width, {"s": 5}, (1,), 0.5, "bold")
        network = Network(model, prepared, model.n_layers, head, get_loss("mse"))
        wave = torch.randn(4 * 16000, generator=torch.Generator().manual_seed(0)).numpy()
        with torch.no_grad():
            state = model.front(model.prepare([wave, wave]))
            for i in range(prepared.first_block):
                state = model.block(i, state)
        bytes_kept = {}
        for on in (False, True):
            network.checkpointing = on
            with memory.counted(network) as total:
                frames = network.frames([state])
            bytes_kept[on] = total["bytes"]
            del frames
        network.checkpointing = False
        whole = memory.step_memory(network, Step([state], {}, {}, []))
        n_blocks = model.n_layers - prepared.first_block
    assert bytes_kept[True] < bytes_kept[False] / 3
    # one window was run and two are meant; what the step keeps is what was counted, the frames and what moves
    assert whole.kept == pytest.approx(memory.MOVING * (bytes_kept[False] + 2 * len(frames_of(state)) * 4), rel=0.05)
    assert whole.recomputed == pytest.approx(
        memory.MOVING * (n_blocks * state.h.nbytes + (whole.kept / memory.MOVING) / n_blocks), rel=0.05
    )


def frames_of(state: State) -> torch.Tensor:
    """Return one window's frames, flat."""
    return state.h[0].reshape(-1)


def test_auto_computes_again_where_a_step_would_not_fit(
    models: dict[str, SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = run(models["whisper"], tmp_path / "roomy")
    assert said(roomy, "Gradient checkpointing is off: a step's activations need")
    monkeypatch.setattr("braindash.tuning.loop.free_memory", lambda device: 100_000)
    tight = run(models["whisper"], tmp_path / "tight")
    assert said(tight, "Gradient checkpointing is on: without it")
    assert steps_of(tight) == steps_of(roomy)


class Narrow:
    """A device that is out of memory for batches of more than ``rows`` TRs, after ``after`` batches that went well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int, after: int = 0) -> None:
        self.rows, self.refused, self.left = rows, 0, after
        inner = Network.forward

        def forward(network: Network, step: Step) -> torch.Tensor:
            loss = inner(network, step)  # the activations are there when it fails
            self.left -= 1
            if self.left < 0 and max(len(part.responses) for part in step.parts) > self.rows:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return loss

        monkeypatch.setattr(Network, "forward", forward)


def test_out_of_memory_offers_a_step_that_fits(
    models: dict[str, SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Narrow(monkeypatch, rows=4)
    with pytest.raises(BraindashError, match=r"out of memory at step 1, which has 8 TRs") as refused:
        run(models["whisper"], tmp_path)
    assert "Set block_trs to 4" in refused.value.remedy
    assert "halve_on_memory" in refused.value.remedy
    assert "gradient_checkpointing to on" in refused.value.remedy


@pytest.mark.parametrize("after", [0, 1])
def test_out_of_memory_halves_the_steps_and_carries_on(
    models: dict[str, SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Two stories of 16 TRs, in steps of 16: refused at 16 and at 8, taken at 4; the second epoch knows."""
    narrow = Narrow(monkeypatch, rows=4, after=after)
    rows = run(models["whisper"], tmp_path / "whole", block_trs=16, halve_on_memory=True)
    assert narrow.refused == 2
    assert said(rows, "going on with 8 TRs a step")
    assert said(rows, "going on with 4 TRs a step")
    steps = steps_of(rows)
    first_epoch = 8 if after == 0 else 1 + 4  # the step that fitted is not taken again
    assert [s["epoch"] for s in steps] == [1] * first_epoch + [2] * 8
    assert [s["step"] for s in steps] == list(range(1, first_epoch + 9))
    assert {s["n_steps"] for s in steps[after:]} == {first_epoch + 8}

    for stop_after in (0, 3, 11):
        place = tmp_path / str(stop_after)
        narrow.left = after

        def stop(seen: list[dict[str, Any]], stop_after: int = stop_after) -> bool:
            return bool(said(seen, "going on with 4")) and len(steps_of(seen)) >= stop_after

        changes = {
            "block_trs": 16,
            "halve_on_memory": True,
            "checkpoint_steps": 1,
        }  # one is there when steps are halved
        first = run(models["whisper"], place, stop=stop, **changes)
        narrow.refused = narrow.left = 0
        rest = run(models["whisper"], place, resume=True, **changes)
        assert narrow.refused == 0  # the resumed run takes the small steps at once
        assert steps_of(first) + steps_of(rest) == steps
        found = [p / "model" / "adapter_model.safetensors" for p in (tmp_path / "whole", place)]
        assert found[0].read_bytes() == found[1].read_bytes()


def test_a_step_that_cannot_be_halved_is_refused(
    models: dict[str, SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Narrow(monkeypatch, rows=3)
    with pytest.raises(BraindashError, match="out of memory at step 1, which has 4 TRs"):
        run(models["whisper"], tmp_path, halve_on_memory=True)


def test_steps_say_how_busy_the_device_was(models: dict[str, SpeechModel], tmp_path: Path) -> None:
    rows = run(models["whisper"], tmp_path)
    busy = [row["busy"] for row in rows if row["kind"] == "step"]
    assert all(0 < share <= 1 for share in busy)


def test_reading_ahead_changes_no_digit(
    models: dict[str, SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = run(models["whisper"], tmp_path / "ahead")
    threads: list[str] = []
    inner = Stories.step

    def step(stories: Stories, *args: Any) -> Step:
        threads.append(threading.current_thread().name)
        return inner(stories, *args)

    monkeypatch.setattr(Stories, "step", step)
    run(models["whisper"], tmp_path / "watched")
    assert any(name.startswith("feeder") for name in threads)
    monkeypatch.setattr("braindash.tuning.loop.Feeder", lambda make, ahead: Feeder(make, ahead=False))
    threads.clear()
    alone = run(models["whisper"], tmp_path / "alone")
    assert not any(name.startswith("feeder") for name in threads)
    assert steps_of(ahead) == steps_of(alone)


@pytest.mark.parametrize("amp", [False, True])
def test_wavlm_attends_by_the_formula_also_on_the_way_back(
    models: dict[str, SpeechModel], monkeypatch: pytest.MonkeyPatch, amp: bool
) -> None:
    """Against torch's own attention with the gated bias as its mask, where the gates matter."""
    model = models["wavlm"]
    with adapted(model) as prepared:
        randomise(model)
        calls: list[bool] = []
        rule = wavlm.own_attention

        def noted(*about: Any) -> bool:
            calls.append(rule(*about))
            return calls[-1]

        monkeypatch.setattr(wavlm, "own_attention", noted)
        out, own = gradients(model, prepared.first_block, amp=amp)
        assert any(calls)
        monkeypatch.setattr(wavlm, "own_attention", lambda *about: False)
        exact_out, exact = gradients(model, prepared.first_block, amp=False)
        _, torchs = gradients(model, prepared.first_block, amp=amp)
    bound = 3e-6 if not amp else 1.5 * max(distance(torchs[n], exact[n]) for n in exact)
    assert distance(out, exact_out) < (1e-6 if not amp else 0.05)
    assert max(distance(own[n], exact[n]) for n in exact) < bound


def test_the_gradient_of_every_input_of_gated_attention_is_right() -> None:
    """Finite differences in float64, two windows at once."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    q, k, v = (draw(2, 3, 5, 4).requires_grad_() for _ in range(3))
    scale = draw(2, 3, 5, 1).requires_grad_()
    bias = draw(3, 5, 5)
    assert torch.autograd.gradcheck(lambda *x: wavlm._GatedAttention.apply(*x, bias), (q, k, v, scale))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=scale * bias)
    assert distance(wavlm._GatedAttention.apply(q, k, v, scale, bias), expected) < 1e-12
