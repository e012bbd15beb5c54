"""Reading a CTranslate2 Whisper file, and naming its arrays as transformers does.

The file is little-endian: a version and a specification's name, then named arrays (name,
shape, type, bytes), then aliases (a name for an array already read). Self-attention holds
q, k and v in one matrix; cross-attention k and v.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from braindash.errors import BraindashError

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise ValueError("it ends too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, code: str) -> int:
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def text(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read every array of a CTranslate2 ``model.bin`` by its name; aliases share their array.

    Raises
    ------
    BraindashError
        If the file is not whole or not of this kind.
    """
    cursor = _Cursor(path.read_bytes())
    arrays: dict[str, np.ndarray] = {}
    try:
        cursor.number("I")  # format version
        specification = cursor.text()
        if specification != "WhisperSpec":
            raise ValueError(f"it holds a {specification!r}")
        cursor.number("I")  # specification's revision
        for _ in range(cursor.number("I")):
            name = cursor.text()
            shape = [cursor.number("I") for _ in range(cursor.number("B"))]
            dtype = np.dtype(TYPES[cursor.number("B")])
            arrays[name] = np.frombuffer(cursor.take(cursor.number("I")), dtype).reshape(shape)
        for _ in range(cursor.number("I")):
            alias = cursor.text()
            arrays[alias] = arrays[cursor.text()]
    except (ValueError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise BraindashError(f"{path} is not a whole CTranslate2 Whisper file: {error}.", "Install it again.") from None
    return arrays


def whisper_tensors(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays under the names of transformers' WhisperForConditionalGeneration.

    The output projection is the embedding of tokens (tied) and is not repeated.
    """
    out: dict[str, np.ndarray] = {}
    width = arrays["encoder/conv1/weight"].shape[0]

    def affine(to: str, source: str, weight: str = "weight", bias: str = "bias") -> None:
        out[f"{to}.weight"], out[f"{to}.bias"] = arrays[f"{source}/{weight}"], arrays[f"{source}/{bias}"]

    def split(source: str, to: str, names: str) -> None:
        """Part a fused projection; Whisper's k has no bias, CTranslate2 stores zeros for it."""
        for i, name in enumerate(names):
            rows = slice(i * width, (i + 1) * width)
            out[f"{to}.{name}_proj.weight"] = arrays[f"{source}/weight"][rows]
            if name != "k":
                out[f"{to}.{name}_proj.bias"] = arrays[f"{source}/bias"][rows]

    def norm(to: str, source: str) -> None:
        affine(to, f"{source}/layer_norm" if not source.endswith("layer_norm") else source, "gamma", "beta")

    for conv in ("conv1", "conv2"):
        affine(f"model.encoder.{conv}", f"encoder/{conv}")
    out["model.decoder.embed_tokens.weight"] = arrays["decoder/embeddings/weight"]
    for side in ("encoder", "decoder"):
        out[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        norm(f"model.{side}.layer_norm", f"{side}/layer_norm")
        for i in range(n_blocks(arrays, side)):
            source, to = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
            split(f"{source}/self_attention/linear_0", f"{to}.self_attn", "qkv")
            affine(f"{to}.self_attn.out_proj", f"{source}/self_attention/linear_1")
            norm(f"{to}.self_attn_layer_norm", f"{source}/self_attention")
            if side == "decoder":
                split(f"{source}/attention/linear_0", f"{to}.encoder_attn", "q")
                split(f"{source}/attention/linear_1", f"{to}.encoder_attn", "kv")
                affine(f"{to}.encoder_attn.out_proj", f"{source}/attention/linear_2")
                norm(f"{to}.encoder_attn_layer_norm", f"{source}/attention")
            affine(f"{to}.fc1", f"{source}/ffn/linear_0")
            affine(f"{to}.fc2", f"{source}/ffn/linear_1")
            norm(f"{to}.final_layer_norm", f"{source}/ffn")
    return out


def n_blocks(arrays: dict[str, np.ndarray], side: str) -> int:
    """Return how many blocks the encoder or decoder has."""
    return len(
        {
            name.split("/")[1]
            for name in arrays
            if name.startswith(f"{side}/layer_") and "layer_norm" not in name.split("/")[1]
        }
    )
