"""What pages need to list models and to show results is there without importing what computed it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import save_tiny

from braindash.speech import FAMILIES, describe
from braindash.speech.checkpoint import HASH_FILE, hash_weights, update_with_tensor
from braindash.speech.families import LAYERS_KEYS, family_class, family_facts

HEAVY = ("torch", "transformers", "peft", "scipy.stats", "scipy.signal", "matplotlib.pyplot", "nilearn", "himalaya")


def imported(code: str, names: tuple[str, ...] = HEAVY) -> list[str]:
    """Run ``code`` in a fresh interpreter and return which of ``names`` it imported."""
    code += f"\nimport sys\nprint([m for m in {names!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1].replace("'", '"')))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_what_is_told_of_a_family_is_what_its_class_says(name: str) -> None:
    known = family_class(name)
    assert name in LAYERS_KEYS
    assert family_facts(name) == (known.family, known.layers_key)


def test_models_are_listed_without_torch(tmp_path: Path) -> None:
    """A pretrained model of two families, one with adapters and one with a head alone."""
    for family in ("whisper", "wav2vec2"):
        save_tiny(family, tmp_path / "models" / family)
    for run, recipe in (("adapted", "lora"), ("headed", "head")):
        folder = tmp_path / "runs" / run / "model"
        folder.mkdir(parents=True)
        (folder / "braindash_model.json").write_text(json.dumps({"base": "whisper", "recipe": recipe}))
        if recipe == "lora":
            (folder / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 4}))
            save_file({"a": np.ones((2, 2), dtype=np.float32)}, folder / "adapter_model.safetensors")
    names = ("whisper", "wav2vec2", "adapted", "headed")
    known = {n: describe(n, tmp_path) for n in names}
    for kept in tmp_path.rglob(HASH_FILE):
        kept.unlink()  # as on the very first visit
    code = (
        "from braindash.speech import list_models\n"
        f"found = {{m.id: m for m in list_models({str(tmp_path)!r})}}\n"
        f"expected = { ({n: (k.family, k.n_layers, k.weights_hash) for n, k in known.items()})!r}\n"
        "assert {n: (found[n].family, found[n].n_layers, found[n].weights_hash) for n in expected} == expected\n"
    )
    assert imported(code) == []


def test_weights_are_hashed_as_torch_would_without_it(tmp_path: Path) -> None:
    """Every type that models come in, one that only torch can name, a scalar, an empty tensor, two files."""
    import torch
    from safetensors.torch import save_file as save_torch

    seeded = torch.Generator().manual_seed(3)
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
             torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn)  # fmt: skip
    one = {f"w.{k}": (9 * torch.randn(3, 5, generator=seeded)).abs().to(k) for k in kinds}
    two = {"a": torch.tensor(2.5), "empty": torch.zeros(0, 4), "w.z": torch.randn(7, generator=seeded)}
    files = (tmp_path / "model-1.safetensors", tmp_path / "model-2.safetensors")
    for tensors, file in zip((one, two), files, strict=True):
        save_torch(tensors, file, metadata={"format": "pt"})
    digest = hashlib.sha256()
    for name, tensor in sorted({**one, **two}.items()):
        update_with_tensor(digest, name, tensor)
    assert hash_weights(files) == digest.hexdigest()
    code = "from pathlib import Path\nfrom braindash.speech.checkpoint import _hash_tensors\n"
    plain = tmp_path / "plain.safetensors"
    save_torch({k: v for k, v in one.items() if "float8" not in k}, plain)
    assert imported(f"{code}_hash_tensors((Path({str(plain)!r}),))") == []


@pytest.mark.parametrize(
    "statement",
    [
        "from braindash.runs.partition_document import read_partition",
        "from braindash.runs.partition_targets import read_partition_targets",
        "import braindash.encoding.inference",
        "import braindash.runs.region_courses, braindash.runs.time_courses, braindash.runs.encoding",
    ],
)
def test_results_are_read_without_what_computed_them(statement: str) -> None:
    assert imported(statement) == []


def test_the_check_sees_a_heavy_import() -> None:
    assert imported("import scipy.stats") == ["scipy.stats"]
