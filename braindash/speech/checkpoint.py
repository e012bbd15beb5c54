"""A model folder in hub format: what is in it, read without running any of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from braindash.errors import BraindashError
from braindash.files import atomic_write, parse_json, read_file

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
HASH_FILE = ".braindash_weights.json"
TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
               "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model: ``config`` parsed, ``files`` the safetensors that hold its weights."""

    folder: Path
    config: dict[str, Any]
    preprocessor: dict[str, Any] | None
    files: tuple[Path, ...]

    @property
    def n_bytes(self) -> int:
        return sum(f.stat().st_size for f in self.files)

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type"))


def read_checkpoint(folder: Path) -> Checkpoint:
    """Look at a folder in hub format.

    Raises
    ------
    BraindashError
        If config.json is missing or damaged, asks for code of its own, or the
        weights are not safetensors.
    """
    config = read_json(folder / "config.json")
    preprocessor_file = folder / "preprocessor_config.json"
    preprocessor = read_json(preprocessor_file) if preprocessor_file.exists() else None
    for name, content in (("config.json", config), ("preprocessor_config.json", preprocessor or {})):
        if "auto_map" in content or content.get("trust_remote_code"):
            raise BraindashError(
                f"{folder / name} asks for code of its own to be run (auto_map or trust_remote_code).",
                "braindash never runs a model's code. If the model is a plain "
                f"{config.get('model_type', 'transformers')} one, take those keys out of the file.",
            )
    return Checkpoint(folder, config, preprocessor, find_weights(folder))


def find_weights(folder: Path, stem: str = "model") -> tuple[Path, ...]:
    """Return the safetensors files of ``folder``: one file, or the shards that its index names."""
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.exists():
        return (whole,)
    if index.exists():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        shards = []
        for name in names:
            if Path(name).name != name or not (folder / name).exists():
                raise BraindashError(
                    f"{index} names {name!r}, which is not in {folder}.", "Fetch every shard of the model."
                )
            shards.append(folder / name)
        if shards:
            return tuple(shards)
    pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
    if pickles:
        raise BraindashError(
            f"{folder} holds its weights as {', '.join(pickles)}, which can run code when opened; "
            "braindash reads safetensors only.",
            "Weights that were tuned: braindash model convert FILE OUT --base REF. Others, where you trust the file: "
            "load it with transformers' from_pretrained and save_pretrained it into a new folder, or fetch a revision "
            "that has model.safetensors (ID@REVISION).",
        )
    raise BraindashError(f"{folder} holds no {stem}.safetensors.", "Put the model's safetensors file there.")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    BraindashError
        If the file is missing or is not a JSON object.
    """
    try:
        content = parse_json(read_file(path))
    except FileNotFoundError:
        raise BraindashError(
            f"{path} does not exist.", "A model folder in hub format holds config.json and model.safetensors."
        ) from None
    except (OSError, ValueError) as error:
        raise BraindashError(f"{path} cannot be read: {error}.", "Fetch the file again.") from None
    if not isinstance(content, dict):
        raise BraindashError(f"{path} does not hold a JSON object.", "Fetch the file again.")
    return content


@contextlib.contextmanager
def open_weights(path: Path, framework: Literal["pt", "np"] = "pt") -> Iterator[Any]:
    """Open a safetensors file; a damaged one becomes a BraindashError. For names alone "np" spares torch's import."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as handle:
            yield handle
    except (SafetensorError, OSError) as error:
        raise BraindashError(
            f"{path} ({path.stat().st_size if path.exists() else 0} bytes) is damaged or cut short: {error}.",
            "Fetch the file again.",
        ) from None


def hash_weights(files: tuple[Path, ...]) -> str:
    """Return the sha256 over names, types, shapes and bytes of the tensors in ``files``, in order of name.

    The result is kept beside the weights and believed while size and time of
    change of every file stay what they were.
    """
    stamp = {f.name: [f.stat().st_size, f.stat().st_mtime_ns] for f in files}
    kept = files[0].parent / HASH_FILE
    with contextlib.suppress(BraindashError):
        known = read_json(kept)
        if known.get("files") == stamp and isinstance(known.get("sha256"), str):
            return known["sha256"]
    value = _hash_tensors(files)
    with contextlib.suppress(OSError, BraindashError):  # a folder that may not be written to is hashed each time
        atomic_write(kept, json.dumps({"files": stamp, "sha256": value}))
    return value


def _hash_tensors(files: tuple[Path, ...]) -> str:
    """Return what `update_with_tensor` gives over all tensors in order of name, from the files' bytes as they lie."""
    digest = hashlib.sha256()
    where: dict[str, Path] = {}
    for path in files:
        with open_weights(path, "np") as handle:  # whose check of the whole file is relied on below
            where.update(dict.fromkeys(handle.keys(), path))
    tensors = {path: _layout(path) for path in dict.fromkeys(where.values())}
    with contextlib.ExitStack() as stack:
        opened = {path: stack.enter_context(path.open("rb")) for path in tensors}
        for name in sorted(where):
            path = where[name]
            dtype, shape, start, stop = tensors[path][name]
            if dtype not in TORCH_NAMES:  # torch knows what it calls it
                with open_weights(path) as handle:
                    update_with_tensor(digest, name, handle.get_tensor(name))
                continue
            digest.update(f"{name}:torch.{TORCH_NAMES[dtype]}:{shape}\n".encode())
            opened[path].seek(start)
            while start < stop:
                block = opened[path].read(min(2**24, stop - start))
                if not block:
                    raise BraindashError(f"{path} was cut short while it was read.", "Fetch the file again.")
                digest.update(block)
                start += len(block)
    return digest.hexdigest()


def _layout(path: Path) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    """Return every tensor's type, shape, and first and last byte in a safetensors file that was found whole.

    The format: eight bytes, the length of a JSON header (little-endian), that header, then the tensors' bytes,
    counted from there (huggingface/safetensors, README).
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(size))
    return {
        name: (
            told["dtype"],
            tuple(told["shape"]),
            8 + size + told["data_offsets"][0],
            8 + size + told["data_offsets"][1],
        )
        for name, told in header.items()
        if name != "__metadata__"
    }


def update_with_tensor(digest: Any, name: str, tensor: Any) -> None:
    """Feed one tensor to a hashlib digest: name, type, shape, bytes."""
    import torch

    digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}\n".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def read_licence(folder: Path) -> str:
    """Return the licence that the model card's header states, or "not stated"."""
    card = folder / "README.md"
    if card.exists():
        header = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        stated = re.search(r"^license:\s*(\S+)\s*$", header[1], re.MULTILINE) if header else None
        if stated:
            return stated[1].strip("\"'")
    return "not stated"
