"""HuBERT: wav2vec 2.0's encoder, trained on clustered targets."""

from __future__ import annotations

from braindash.speech.families.wav2vec2 import Wav2Vec2


class Hubert(Wav2Vec2):
    family = "hubert"
    model_class = "HubertModel"
    config_class = "HubertConfig"
    prefixes = ("hubert.",)
    heads = ("lm_head.", "projector.", "classifier.", "layer_weights", "final_proj.", "label_embs_concat")
