"""Whisper's encoder on windows of any length up to 30 s.

The log-mel spectrogram is not padded to 30 s: positions are sliced to the window's length.
With a window of exactly 30 s (or padded to it) the states equal transformers' own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from braindash.speech.base import Preprocessing, SpeechModel, State

HOP = 160  # samples from mel frame to mel frame; the second convolution halves the rate


class Whisper(SpeechModel):
    family = "whisper"
    model_module = "transformers.models.whisper.modeling_whisper"
    model_class = "WhisperEncoder"
    config_class = "WhisperConfig"
    prefixes = ("model.encoder.", "encoder.")
    heads = ("model.decoder.", "decoder.", "proj_out.", "classifier.", "projector.", "layer_weights")
    layers_key = "encoder_layers"
    normalises = False
    needs_preprocessor = False  # the number of mel bands is in config.json, the rest is fixed
    frame_period = 2 * HOP / 16000
    min_samples = 2 * HOP

    def __init__(self, encoder: torch.nn.Module, preprocessing: Preprocessing, **about: Any) -> None:
        super().__init__(encoder, preprocessing, **about)
        from transformers import WhisperFeatureExtractor

        self.max_samples = int(self.config.max_source_positions) * 2 * HOP
        self._mel = WhisperFeatureExtractor(feature_size=int(self.config.num_mel_bins))

    @property
    def width(self) -> int:
        return int(self.config.d_model)

    def frame_times(self, n_samples: int) -> np.ndarray:
        # mel frame m is centred on sample 160 m; the second convolution keeps every other one
        n_mel = n_samples // HOP
        return np.arange((n_mel + 1) // 2) * self.frame_period

    def _prepare(self, waves: np.ndarray) -> torch.Tensor:
        features = self._mel(list(waves), sampling_rate=self.sample_rate, padding="do_not_pad", truncation=False)
        return torch.from_numpy(np.asarray(features["input_features"], dtype=np.float32))

    def front(self, batch: torch.Tensor) -> State:
        encoder: Any = self.encoder
        h = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(batch.to(self.device))))).transpose(1, 2)
        h = h + encoder.embed_positions.weight[: h.shape[1]]
        return State(functional.dropout(h, p=encoder.dropout, training=encoder.training))

    def block(self, i: int, state: State) -> State:
        encoder: Any = self.encoder
        return State(encoder.layers[i](state.h, None), state.extras)

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
            "out": f"{block}.self_attn.out_proj",
            "fc1": f"{block}.fc1",
            "fc2": f"{block}.fc2",
        }
