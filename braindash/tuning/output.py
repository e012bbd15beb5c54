"""The tuned model as files: adapter, head, what it saw, and a card for people."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.config import TuneConfig
from braindash.features.store import audio_key
from braindash.files import disk_errors, replace_folder, sync_folder, write_synced
from braindash.tuning.checkpoints import RESUME_AFTER
from braindash.tuning.controls import get_control
from braindash.tuning.heads import describe_head
from braindash.wording import explain

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel
    from braindash.tuning.data import TuningData
    from braindash.tuning.heads import Head
    from braindash.tuning.recipes import Prepared

MODEL_FILE, HEAD_FILE, CARD = "braindash_model.json", "head.safetensors", "README.md"
LIBRARY = {"lora": "peft", "full": "transformers"}  # by recipe: whose format the weights have
LOAD = {
    "lora": "`braindash.open_model(<this run>)`, or with PEFT: "
    "`PeftModel.from_pretrained(encoder, <this folder>)` on the base model's encoder.",
    "full": "`braindash.open_model(<this run>)`, or `encoder.load_state_dict(load_file('model.safetensors'))` "
    "on the base model's encoder in transformers.",
    "head": "The speech model is the base, unchanged; `head.safetensors` holds the read-out.",
}


def describe_model(model: SpeechModel, config: TuneConfig, data: TuningData, layer: int) -> dict[str, Any]:
    """Return what ``braindash_model.json`` holds, without the outcome.

    ``stories`` and ``subjects`` are what the weights have seen: whoever evaluates
    the model later is refused a test story that is among them.
    """
    control = get_control(config.control)
    drawn = {"base_random_seed": config.seed} if control.random_weights else {}
    return {
        "braindash": 1,
        "base": config.model,
        "base_weights_hash": model.weights_hash,
        **drawn,
        "family": model.family,
        "recipe": control.recipe or config.recipe,
        "layer": layer,
        "control": config.control,
        "study": data.study.id,
        "stories": {"tune": list(data.tune_stories), "validation": list(data.validation_stories)},
        "audio": {s: audio_key(data.study, s) for s in (*data.tune_stories, *data.validation_stories)},
        "subjects": list(data.subjects),
        "targets": {s: sel.counts() for s, sel in data.selections.items()},
        "targets_hash": {s: hashlib.sha256(sel.index.tobytes()).hexdigest()[:16] for s, sel in data.selections.items()},
        "config": config.model_dump(mode="json"),
    }


def save_model(folder: Path, prepared: Prepared, head: Head, about: dict[str, Any], model: SpeechModel) -> Path:
    """Write the model folder atomically and return it.

    ``adapter_config.json`` and ``adapter_model.safetensors`` are PEFT's (recipe
    lora), ``model.safetensors`` is the whole encoder (recipe full);
    ``head.safetensors`` holds the head, its kind, subjects and delays as JSON in
    the metadata's ``head``.

    Raises
    ------
    BraindashError
        If the disk is full; a model folder that was there stays.
    """
    from safetensors.torch import save

    n_trained = sum(p.numel() for _, p in prepared.parameters())
    about = {**about, "trained": prepared.what, "n_trained": n_trained}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    tensors = {k: v.detach().cpu().contiguous() for k, v in head.state_dict().items()}
    try:
        with disk_errors(folder, "the tuned model", RESUME_AFTER):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            prepared.save(temporary, about["base"])
            # One key: several would be written in an order that changes from run to run.
            metadata = json.dumps(describe_head(head))
            write_synced(temporary / HEAD_FILE, save(tensors, metadata={"head": metadata}))
            write_synced(temporary / CARD, card(about, model).encode())
            write_synced(temporary / MODEL_FILE, json.dumps(about, indent=1).encode())
            sync_folder(temporary)
            replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def card(about: dict[str, Any], model: SpeechModel) -> str:
    """Return the model card: what was tuned on what, what was left out, how good, how to load it."""
    config, outcome = about["config"], about["outcome"]
    blocks = f" A block has {config['permute_block']} TRs." if "permuted" in about["control"] else ""
    is_control = f"\n**This is a control.** {explain(about['control'])}{blocks}\n" if about["control"] != "none" else ""
    rows = "\n".join(
        f"| {s} | {c['n_targets']} | {c['n_excluded']} | {c['n_outside']} | {c['n_outside_mask']} "
        f"| {c['n_below_ceiling']} |"
        for s, c in about["targets"].items()
    )
    caveats = "".join(f"\n- {c}" for c in about["caveats"])
    kept = ", the last" if config["keep"] == "last" else ", the best"
    where = {"left": ", left hemisphere", "right": ", right hemisphere"}.get(config["hemi"], "")
    mask = f", mask {Path(config['mask']).name}" if config["mask"] else ""
    return f"""---
base_model: {about["base"]}
library_name: {LIBRARY.get(about["recipe"], "braindash")}
tags: [brain-tuning, braindash]
---
# {about["base"]}, tuned on {about["study"]}
{is_control}
- base: {about["base"]} ({about["family"]}; {model.source or "source not recorded"}),
  weights {about["base_weights_hash"][:16]}
- licence of the base: {model.licence or "not recorded"}
- recipe: {about["recipe"]}, layer {about["layer"]}, loss {config["loss"]},
  head {config["head"]["kind"]}, seed {config["seed"]}
- trained: {about["trained"]} ({about["n_trained"]:,} weights), and the head
- regions: {", ".join(config["rois"]) or "every target"}{where}{mask}; least noise ceiling {config["min_ceiling"]:g}
- stories tuned on: {", ".join(about["stories"]["tune"])}
- stories for validation: {", ".join(about["stories"]["validation"])}
- epoch kept: {outcome["best_epoch"]}{kept}, validation r {outcome["best_validation_r"]:.4f}
  (before tuning {outcome["pretrained_validation_r"]:.4f})

| subject | targets tuned on | not finite or constant | outside the regions | outside the mask | below the ceiling |
|---|---|---|---|---|---|
{rows}

Do not test this model on the stories above: it has seen them.{caveats}

To load it: {LOAD.get(about["recipe"], LOAD["full"])}
"""
