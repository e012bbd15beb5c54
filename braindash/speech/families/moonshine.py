"""Moonshine's encoder: raw waveform, three convolutions, rotary positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from braindash.speech.base import Preprocessing, SpeechModel, State, conv_frames, normalise_waves

KERNELS, STRIDES = (127, 7, 3), (64, 3, 2)


class Moonshine(SpeechModel):
    family = "moonshine"
    model_module = "transformers.models.moonshine.modeling_moonshine"
    model_class = "MoonshineEncoder"
    config_class = "MoonshineConfig"
    prefixes = ("model.encoder.", "encoder.")
    heads = ("model.decoder.", "decoder.", "proj_out.")
    layers_key = "encoder_num_hidden_layers"
    normalises = False

    def __init__(self, encoder: torch.nn.Module, preprocessing: Preprocessing, **about: Any) -> None:
        super().__init__(encoder, preprocessing, **about)
        _, self.min_samples, hop = conv_frames(0, KERNELS, STRIDES)
        self.frame_period = hop / self.sample_rate

    def frame_times(self, n_samples: int) -> np.ndarray:
        n, field_size, hop = conv_frames(n_samples, KERNELS, STRIDES)
        return (np.arange(n) * hop + field_size / 2) / self.sample_rate

    def _prepare(self, waves: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(normalise_waves(waves) if self.preprocessing.do_normalize else waves)

    def front(self, batch: torch.Tensor) -> State:
        encoder: Any = self.encoder
        h = encoder.groupnorm(torch.tanh(encoder.conv1(batch.to(self.device)[:, None])))
        h = functional.gelu(encoder.conv3(functional.gelu(encoder.conv2(h)))).transpose(1, 2)
        positions = torch.arange(h.shape[1], device=h.device)[None]
        return State(h, {"position_embeddings": encoder.rotary_emb(h, position_ids=positions)})

    def block(self, i: int, state: State) -> State:
        encoder: Any = self.encoder
        return State(encoder.layers[i](state.h, attention_mask=None, **state.extras), state.extras)

    def finish(self, state: State) -> torch.Tensor:
        encoder: Any = self.encoder
        return encoder.layer_norm(state.h)

    def block_path(self, i: int) -> str:
        return f"layers.{i}"

    @property
    def norm_path(self) -> str:
        return "layer_norm"

    def linear_targets(self, i: int) -> dict[str, str]:
        block = self.block_path(i)
        return {
            "q": f"{block}.self_attn.q_proj",
            "k": f"{block}.self_attn.k_proj",
            "v": f"{block}.self_attn.v_proj",
            "out": f"{block}.self_attn.o_proj",
            "fc1": f"{block}.mlp.fc1",
            "fc2": f"{block}.mlp.fc2",
        }
