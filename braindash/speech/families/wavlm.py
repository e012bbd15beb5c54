"""WavLM, with an attention that adapters can reach.

transformers passes the weights of q, k, v and out to torch's fused attention, so a module
wrapped around them (LoRA) is never called and gets no gradient. Here the modules are called.
The gated relative position bias is that of Chen et al. 2022 (WavLM, section III-B).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional

from braindash.speech.base import State
from braindash.speech.families.wav2vec2 import Wav2Vec2


class WavLM(Wav2Vec2):
    family = "wavlm"
    model_class = "WavLMModel"
    config_class = "WavLMConfig"
    prefixes = ("wavlm.",)
    heads = ("lm_head.", "quantizer.", "project_q.", "project_hid.", "projector.", "classifier.", "layer_weights")
    attention = "eager"  # transformers has no other; ours is below
    never_trained: ClassVar[dict[str, str]] = {
        **Wav2Vec2.never_trained,
        "attention.rel_attn_embed.weight": "the bias of relative positions enters block 0 with the front end's output",
    }

    def front(self, batch: torch.Tensor) -> State:
        state = super().front(batch)
        n = state.h.shape[1]
        blocks: Any = self.encoder.encoder.layers  # type: ignore[union-attr]
        # the first block owns the embedding of relative positions; all blocks gate the same bias
        return State(state.h, {"position_bias": blocks[0].attention.compute_bias(n, n)})

    def block(self, i: int, state: State) -> State:
        layer: Any = self.encoder.encoder.layers[i]  # type: ignore[index, union-attr]
        h, bias = state.h, state.extras["position_bias"]
        if self._norm_first:
            h = h + layer.dropout(attend(layer.attention, layer.layer_norm(h), bias))
            h = h + layer.feed_forward(layer.final_layer_norm(h))
        else:
            h = layer.layer_norm(h + layer.dropout(attend(layer.attention, h, bias)))
            h = layer.final_layer_norm(h + layer.feed_forward(h))
        return State(h, state.extras)


def attend(attention: Any, h: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Apply WavLM's self-attention by calling its linear modules.

    Parameters
    ----------
    attention : transformers WavLMAttention
    h : (batch, n_frames, width)
    bias : (heads, n_frames, n_frames)
        Bias of relative positions, before gating.
    """
    batch, n, _ = h.shape
    heads = attention.num_heads

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.view(batch, n, heads, -1).transpose(1, 2)

    # two gates a head and frame, each the sum of four outputs
    gates = attention.gru_rel_pos_linear(split(h)).view(batch, heads, n, 2, 4).sum(-1).sigmoid()
    update, reset = gates[..., :1], gates[..., 1:]
    scale = update * (reset * attention.gru_rel_pos_const - 1.0) + 2.0
    q, k, v = split(attention.q_proj(h)), split(attention.k_proj(h)), split(attention.v_proj(h))
    dropout = attention.dropout if attention.training else 0.0
    if own_attention(scale, bias, dropout):
        mixed = _GatedAttention.apply(q, k, v, scale, bias)
    else:
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=scale * bias, dropout_p=dropout)
    return attention.out_proj(mixed.transpose(1, 2).reshape(batch, n, -1))


def own_attention(scale: torch.Tensor, bias: torch.Tensor, dropout: float) -> bool:
    """Say whether torch's CPU kernel would fall back to its plain formula: where the mask needs a gradient."""
    wanted = torch.is_grad_enabled() and scale.requires_grad and not bias.requires_grad
    return wanted and scale.device.type == "cpu" and dropout == 0.0


class _GatedAttention(torch.autograd.Function):
    """Attention under a gated bias, with a gradient for the gate, in as few passes as the plain formula allows.

    ``softmax(q k' / sqrt(d) + scale * bias) v`` for q, k, v (batch, heads, n, d), scale (batch, heads, n, 1)
    and a bias (heads, n, n) that is not trained. One window at a time; the weights are kept for the way back.
    """

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        ctx.kind, scale = scale.dtype, scale.to(q.dtype)
        with torch.autocast(q.device.type, enabled=False):
            bias = bias.to(q.dtype)
            weights, out = [], torch.empty_like(q)
            for b in range(len(q)):
                scores = torch.baddbmm(scale[b] * bias, q[b], k[b].transpose(1, 2), alpha=q.shape[-1] ** -0.5)
                weights.append(scores.softmax(-1))
                out[b] = weights[b] @ v[b]
        ctx.save_for_backward(q, k, v, bias, *weights)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, bias, *weights = ctx.saved_tensors
        root = q.shape[-1] ** -0.5
        of_q, of_k, of_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        of_scale = q.new_empty((*q.shape[:3], 1), dtype=ctx.kind)
        for b, weight in enumerate(weights):
            g = grads[0][b]
            of_v[b] = weight.transpose(1, 2) @ g
            scores = torch._softmax_backward_data(g @ v[b].transpose(1, 2), weight, -1, weight.dtype)
            of_q[b] = (scores @ k[b]).mul_(root)
            of_k[b] = (scores.transpose(1, 2) @ q[b]).mul_(root)
            of_scale[b] = scores.mul_(bias).sum(-1, keepdim=True, dtype=ctx.kind)
        return of_q, of_k, of_v, of_scale, None
