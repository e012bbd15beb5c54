"""Tiny random-weight checkpoints of every family, saved as on a hub, for tests.

The weights are drawn from a seed and are far from their initial values, so that a
parameter which is silently re-initialised on loading changes the states.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONV = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 4,
}
BASE = {**CONV, "num_conv_pos_embeddings": 16}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
SEQ2SEQ = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}

# name -> (model_type, transformers class, config class, config)
TINY: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "wav2vec2": ("wav2vec2", "Wav2Vec2Model", "Wav2Vec2Config", BASE),
    "wav2vec2-large": ("wav2vec2", "Wav2Vec2Model", "Wav2Vec2Config", {**BASE, **LARGE}),
    "hubert": ("hubert", "HubertModel", "HubertConfig", BASE),
    "hubert-large": ("hubert", "HubertModel", "HubertConfig", {**BASE, **LARGE}),
    "wavlm": ("wavlm", "WavLMModel", "WavLMConfig", BASE),
    "wavlm-large": ("wavlm", "WavLMModel", "WavLMConfig", {**BASE, **LARGE}),
    "data2vec-audio": (
        "data2vec-audio",
        "Data2VecAudioModel",
        "Data2VecAudioConfig",
        {**CONV, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    ),
    "whisper": (
        "whisper",
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            **SEQ2SEQ,
            "d_model": 32,
            "encoder_layers": 3,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
        },
    ),
    "moonshine": (
        "moonshine",
        "MoonshineForConditionalGeneration",
        "MoonshineConfig",
        {
            **SEQ2SEQ,
            "hidden_size": 32,
            "intermediate_size": 48,
            "encoder_num_hidden_layers": 3,
            "decoder_num_hidden_layers": 1,
            "encoder_num_attention_heads": 4,
            "decoder_num_attention_heads": 4,
        },
    ),
}


def save_tiny(family: str, folder: str | Path, *, seed: int = 0, do_normalize: bool = True, **changes: Any) -> Path:
    """Write a 3-layer, 32-wide checkpoint of ``family`` in hub format and return its folder.

    Parameters
    ----------
    family : str
        A key of ``TINY``: a family, or "wav2vec2-large" / "hubert-large" / "wavlm-large" for the
        variant with norm before each block.
    folder : path
        Made when missing.
    seed : int
        Of the weights.
    do_normalize : bool
        Written to preprocessor_config.json.
    **changes
        Settings of config.json to change, e.g. ``num_hidden_layers=4``.
    """
    import torch
    import transformers

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model_type, model_class, config_class, settings = TINY[family]
    config = getattr(transformers, config_class)(**{**settings, **changes})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = getattr(transformers, model_class)(config)
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape)
            p.copy_(p + 0.1 * noise if p.ndim == 1 else noise * max(p.std().item(), 0.05))
            if name.endswith("original0"):
                p.abs_()
    model.save_pretrained(folder)
    extractor = "WhisperFeatureExtractor" if model_type == "whisper" else "Wav2Vec2FeatureExtractor"
    preprocessor = {"feature_extractor_type": extractor, "sampling_rate": 16000, "feature_size": 1}
    preprocessor |= (
        {"feature_size": 80, "n_fft": 400, "hop_length": 160, "chunk_length": 30} if model_type == "whisper" else {}
    )
    preprocessor |= {"do_normalize": do_normalize} if model_type != "whisper" else {}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder
