"""The gradient assertion catches adapters that a layer bypasses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from braindash.errors import BraindashError
from braindash.tuning.checks import check_gradients, check_loss, check_moved


class Attention(nn.Module):
    """Passes q's weight on by itself, as transformers' WavLM does, or calls the module."""

    def __init__(self, bypass: bool) -> None:
        super().__init__()
        self.q_proj, self.v_proj, self.bypass = nn.Linear(6, 6), nn.Linear(6, 6), bypass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = nn.functional.linear(x, self.q_proj.weight, self.q_proj.bias) if self.bypass else self.q_proj(x)
        return (q @ self.v_proj(x).transpose(-1, -2)).softmax(-1) @ x


def adapted(bypass: bool) -> nn.Module:
    import peft

    torch.manual_seed(0)
    module = Attention(bypass).requires_grad_(False)
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    return peft.get_peft_model(module, settings)  # type: ignore[arg-type]


def steps(model: nn.Module, n: int) -> None:
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for step in range(1, n + 1):
        optimiser.zero_grad()
        model(torch.randn(2, 5, 6)).square().sum().backward()
        check_gradients(model.named_parameters(), step)
        optimiser.step()


def test_adapters_that_are_used_pass_both_steps() -> None:
    steps(adapted(bypass=False), 3)


def test_an_adapter_that_is_bypassed_is_named() -> None:
    with pytest.raises(BraindashError, match="q_proj") as error:
        steps(adapted(bypass=True), 3)
    assert "v_proj" not in str(error.value)


def test_lora_a_may_be_zero_at_the_first_step_only() -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.zeros(2)
    check_gradients([("x.lora_A.default.weight", p)], 1)
    with pytest.raises(BraindashError, match=r"x\.lora_A"):
        check_gradients([("x.lora_A.default.weight", p)], 2)
    with pytest.raises(BraindashError, match=r"x\.lora_B"):
        check_gradients([("x.lora_B.default.weight", p)], 1)


def test_gradients_that_are_not_finite_and_frozen_tensors_with_a_gradient_are_refused() -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([1.0, float("nan")])
    with pytest.raises(BraindashError, match=r"Lower optimiser\.lr"):
        check_gradients([("head.weight", p)], 1)
    frozen = nn.Parameter(torch.ones(2), requires_grad=False)
    frozen.grad = torch.ones(2)
    with pytest.raises(BraindashError, match="frozen"):
        check_gradients([("encoder.weight", frozen)], 1)


def test_tensors_that_did_not_move_are_named() -> None:
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    before = {"p.weight": torch.ones(2), "q.weight": torch.zeros(2)}
    with pytest.raises(BraindashError, match="p") as error:
        check_moved(before, [("p.weight", p), ("q.weight", q)], 2)
    assert "1 trained tensors" in str(error.value)


def test_a_loss_that_is_not_finite_comes_with_a_remedy() -> None:
    check_loss(1.0, 3)
    with pytest.raises(BraindashError, match=r"step 3.*fp32"):
        check_loss(float("nan"), 3)
