"""Weights saved as a pickle (``.pth``, ``.pt``, ``.bin``), made safetensors by an explicit command.

The file is read in a process of its own (`unpickle.py`), with limits; braindash itself reads only
the safetensors that this process wrote.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.files import disk_errors, replace_folder, sync_tree

if TYPE_CHECKING:
    from braindash.speech.fitting import Fitted

SECONDS = 600
MB = 10**6
MAX_BYTES = 64 * 10**9
FETCH = "Copy or fetch the file again."
TRUST = (
    "It is not opened. Where you trust it, save its tensors alone where it was made: "
    "torch.save(model.state_dict(), FILE), or save_pretrained."
)


def convert(
    file: Path,
    out: Path,
    base: str,
    home: Home,
    *,
    prefix: str | None = None,
    fill_missing: bool = False,
    seconds: int = SECONDS,
) -> Fitted:
    """Make a tuned model's folder from a pickled state dict.

    Parameters
    ----------
    file : path
        Whole weights, or ``adapter_model.bin`` with ``adapter_config.json`` beside it.
    out : path
        A folder that is not there or is empty. What it saw is not known yet: `add_model`.
    base : str
        What opens the pretrained model.
    prefix : str, optional
        Of the encoder in the file, where it holds two.
    fill_missing : bool
        Take tensors that are not in the file from the base.
    seconds : int
        Time limit of reading the file.

    Returns
    -------
    Fitted
        How many tensors matched, were missing, were not of the encoder.

    Raises
    ------
    BraindashError
        If the file holds more than tensors, is damaged, is too large, or does not fit the base.
    """
    from braindash.speech.checkpoint import open_weights
    from braindash.speech.foreign import write_fitted
    from braindash.speech.loading import open_model

    file, out = file.expanduser(), out.expanduser().absolute()
    _check_file(file)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BraindashError(f"{out} is there already.", "Name a folder that is not there.")
    if not out.parent.is_dir():
        raise BraindashError(f"The folder {out.parent} does not exist.", "Make it, or choose another.")
    model = open_model(base, home)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        with disk_errors(out, "The converted model"):
            tensors_file = temporary / "read.safetensors"
            _read_apart(file, tensors_file, seconds)
            with open_weights(tensors_file) as handle:
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
            tensors_file.unlink()
            settings = _adapter_settings(file, list(tensors))
            fitted = write_fitted(
                temporary, tensors, settings, model, model.ref, prefix=prefix, fill_missing=fill_missing,
                about={"seen": "unknown", "converted_from": file.name},
            )  # fmt: skip
            temporary.chmod(0o755)
            sync_tree(temporary)
            replace_folder(temporary, out)
    except BraindashError as error:
        raise BraindashError(error.what if str(file) in error.what else f"{file}: {error.what}", error.remedy) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return fitted


def _check_file(file: Path) -> None:
    """Refuse what is no state dict, or would unpack to much more than it is, before any process reads it."""
    if file.is_dir():
        raise BraindashError(f"{file} is a folder.", "Name the file that holds the weights (.pth, .pt, .bin).")
    if not file.is_file():
        raise BraindashError(f"There is no file {file}.", "Name the file that holds the weights.")
    if file.suffix == ".safetensors":
        raise BraindashError(
            f"{file} is safetensors already.", "Add its folder: braindash model add FOLDER --base REF."
        )
    size = file.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise BraindashError(f"{file} has {size:,} bytes.", FETCH)
    with file.open("rb") as handle:
        start = handle.read(4)
    if start != b"PK\x03\x04":
        return  # torch's older format; the child finds out
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BraindashError(f"{file} is damaged or cut short ({error}).", FETCH) from None
    if unpacked > 2 * size + MB:  # torch stores, it does not pack
        raise BraindashError(
            f"{file} ({size:,} bytes) would unpack to {unpacked:,} bytes: torch saves no such file.", FETCH
        )


def _read_apart(file: Path, out: Path, seconds: int) -> None:
    """Have another process turn the file into safetensors; raise for whatever became of that."""
    size = file.stat().st_size
    limit = 4 * size + 1000 * MB
    source = str(Path(__file__).resolve().parents[2])
    kept = {k: os.environ[k] for k in ("LD_LIBRARY_PATH", "SYSTEMROOT", "PATH") if k in os.environ}
    environment = {**kept, "PYTHONPATH": os.pathsep.join([source, *filter(None, sys.path[1:])]), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-B",
        "-m",
        "braindash.speech.unpickle",
        str(file.resolve()),
        str(out),
        str(limit),
        str(seconds),
    ]
    with tempfile.TemporaryDirectory(prefix="braindash-convert-") as empty:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=2 * seconds, cwd=empty,
                env=environment, stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BraindashError(f"{file} was not read in {2 * seconds} s.", FETCH) from None
    said = _last_line(done.stdout)
    outcome, why = said.get("outcome"), str(said.get("why", ""))
    if outcome == "done" and done.returncode == 0 and out.is_file():
        return
    if outcome == "refused":
        raise BraindashError(f"{file} holds more than tensors ({_short(why)}), which can run code when opened.", TRUST)
    if outcome == "empty":
        raise BraindashError(f"{file} holds no weights: {why}.", "Give a state dict: tensors by name.")
    if outcome == "memory" or -done.returncode in (signal.SIGKILL, signal.SIGSEGV):
        raise BraindashError(f"{file} needs more memory than {limit:,} bytes to be read.", FETCH)
    if -done.returncode == getattr(signal, "SIGXCPU", None):
        raise BraindashError(f"{file} was not read in {seconds} s.", FETCH)
    if -done.returncode == getattr(signal, "SIGXFSZ", None):
        raise BraindashError(f"{file} gives more than {limit:,} bytes.", FETCH)
    last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
    raise BraindashError(f"{file} is damaged or cut short, or no state dict ({_short(why or last[0])}).", FETCH)


def _adapter_settings(file: Path, names: list[str]) -> dict[str, Any] | None:
    """Return adapter_config.json where the file holds adapters, which it must then lie beside."""
    from braindash.speech.checkpoint import read_json

    if not names or not all(".lora_" in n or "modules_to_save" in n for n in names):
        return None
    beside = file.with_name("adapter_config.json")
    if not beside.is_file():
        raise BraindashError(
            f"{file} holds adapters, but there is no adapter_config.json beside it, which says how they are scaled.",
            "Put the adapter_config.json that PEFT wrote beside it.",
        )
    return read_json(beside)


def _last_line(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _short(text: str) -> str:
    line = " ".join(text.split())
    called = re.search(r"GLOBAL ([\w.]+)", line)  # torch says at length how to read it after all: by trusting it
    told = re.search(r"WeightsUnpickler error: (.{1,150}?)(?: Check the documentation|$)", line)
    return f"it would call {called[1]}" if called else told[1] if told else line[:200]
