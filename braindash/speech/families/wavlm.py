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
    mixed = functional.scaled_dot_product_attention(
        split(attention.q_proj(h)),
        split(attention.k_proj(h)),
        split(attention.v_proj(h)),
        attn_mask=scale * bias,
        dropout_p=attention.dropout if attention.training else 0.0,
    )
    return attention.out_proj(mixed.transpose(1, 2).reshape(batch, n, -1))
