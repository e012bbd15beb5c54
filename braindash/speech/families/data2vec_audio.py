"""data2vec audio: wav2vec 2.0's blocks on a deeper positional convolution."""

from __future__ import annotations

from braindash.speech.families.wav2vec2 import Wav2Vec2


class Data2VecAudio(Wav2Vec2):
    family = "data2vec-audio"
    model_class = "Data2VecAudioModel"
    config_class = "Data2VecAudioConfig"
    prefixes = ("data2vec_audio.",)
    heads = ("lm_head.", "projector.", "classifier.", "layer_weights", "objective.", "tdnn.", "feature_extractor_proj.")
