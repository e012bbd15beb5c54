"""wav2vec 2.0, and what its relatives (HuBERT, WavLM, data2vec) share with it.

Base models (group norm in the first convolution, norm after each block) and large
ones (layer norm in every convolution, norm before each block and a final one) differ
only in ``config.do_stable_layer_norm``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from braindash.speech.base import Preprocessing, SpeechModel, State, conv_frames, normalise_waves


class Wav2Vec2(SpeechModel):
    family = "wav2vec2"
    model_class = "Wav2Vec2Model"
    config_class = "Wav2Vec2Config"
    prefixes = ("wav2vec2.",)
    heads: ClassVar[tuple[str, ...]] = (
        "lm_head.",
        "quantizer.",
        "project_q.",
        "project_hid.",
        "projector.",
        "classifier.",
        "layer_weights",
    )

    never_trained: ClassVar[dict[str, str]] = {
        "attention.k_proj.bias": "it adds the same to a query's score of every key, which the softmax takes out",
    }

    def __init__(self, encoder: torch.nn.Module, preprocessing: Preprocessing, **about: Any) -> None:
        super().__init__(encoder, preprocessing, **about)
        _, self.min_samples, hop = conv_frames(0, self.config.conv_kernel, self.config.conv_stride)
        self.frame_period = hop / self.sample_rate

    @property
    def _norm_first(self) -> bool:
        return bool(getattr(self.config, "do_stable_layer_norm", False))

    def frame_times(self, n_samples: int) -> np.ndarray:
        n, field_size, hop = conv_frames(n_samples, self.config.conv_kernel, self.config.conv_stride)
        return (np.arange(n) * hop + field_size / 2) / self.sample_rate

    def _prepare(self, waves: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(normalise_waves(waves) if self.preprocessing.do_normalize else waves)

    def front(self, batch: torch.Tensor) -> State:
        return self.enter(self.project(batch)[0])

    def project(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the convolutions' output projected to the model's width, and as it was before the projection.

        The second is what pretraining predicts where the first was masked: (batch, n_frames, ·) both.
        """
        model: Any = self.encoder
        features = model.feature_extractor(batch.to(self.device)).transpose(1, 2)
        projected = model.feature_projection(features)
        return projected if isinstance(projected, tuple) else (projected, features)

    def enter(self, h: torch.Tensor) -> State:
        """Return the state that enters block 0 from `project`'s frames: positions added, and the first norm."""
        model: Any = self.encoder
        h = h + model.encoder.pos_conv_embed(h)
        if not self._norm_first:
            h = model.encoder.layer_norm(h)
        return State(model.encoder.dropout(h))

    def block(self, i: int, state: State) -> State:
        model: Any = self.encoder
        return State(model.encoder.layers[i](state.h, attention_mask=None), state.extras)

    def finish(self, state: State) -> torch.Tensor:
        model: Any = self.encoder
        return model.encoder.layer_norm(state.h) if self._norm_first else state.h

    def block_path(self, i: int) -> str:
        return f"encoder.layers.{i}"

    @property
    def norm_path(self) -> str:
        return "encoder.layer_norm" if self._norm_first else ""

    def last_linear(self, i: int) -> str:
        return super().last_linear(i) if self._norm_first else f"{self.block_path(i)}.final_layer_norm"

    def linear_targets(self, i: int) -> dict[str, str]:
        block = self.block_path(i)
        return {
            "q": f"{block}.attention.q_proj",
            "k": f"{block}.attention.k_proj",
            "v": f"{block}.attention.v_proj",
            "out": f"{block}.attention.out_proj",
            "fc1": f"{block}.feed_forward.intermediate_dense",
            "fc2": f"{block}.feed_forward.output_dense",
        }
