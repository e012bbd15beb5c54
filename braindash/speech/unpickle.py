"""The process that reads a pickled state dict: ``python -m braindash.speech.unpickle FILE OUT BYTES SECONDS``.

`braindash model convert` runs it and nothing else does: whatever the file makes of this
process, the one that was asked stays as it is. torch reads tensors and plain containers alone
(``weights_only``); an audit hook ends the process if anything should try to run a program,
reach the network or write elsewhere; memory and time are limited. Writes OUT (safetensors)
and one line of JSON on stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# under which name training code keeps the weights, and what else lies beside them
NESTED = ("state_dict", "model_state_dict", "model_state", "model", "module", "weights", "params", "net")
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "os.rmdir",
             "os.chmod", "os.link", "os.symlink", "shutil.", "subprocess.", "socket.", "ctypes.dlopen",
             "pickle.find_class", "urllib.", "ftplib.", "pty.", "winreg.", "mmap.__new__")  # fmt: skip
DEPTH = 3


def main(arguments: list[str]) -> int:
    """Read, flatten, write; say what came of it."""
    file, out, n_bytes, seconds = Path(arguments[0]), Path(arguments[1]), int(arguments[2]), int(arguments[3])
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    _limit(n_bytes, seconds)
    writes = {str(out)}
    sys.addaudithook(lambda event, details: _guard(event, details, writes))
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        tensors, ignored = flatten(content)
        if not tensors:
            return _say("empty", f"it holds {_kind(content)}, no tensors by name")
        save_file(tensors, out)
    except MemoryError as error:
        return _say("memory", str(error))
    except Exception as error:  # torch raises many kinds for what is damaged or refused
        line = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and ("alloc" in line or "memory" in line.lower()):
            return _say("memory", line)
        refused = "weights_only" in line or "Weights only" in line or isinstance(error, PermissionError)
        return _say("refused" if refused else "damaged", f"{type(error).__name__}: {line}")
    return _say("done", "", tensors=len(tensors), ignored=ignored)


def flatten(content: Any, depth: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors by name, from the state dict wherever it lies, and the names of what lay beside it."""
    import torch

    if not isinstance(content, Mapping):
        return {}, []
    found = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    inner = [k for k in NESTED if isinstance(content.get(k), Mapping)]
    if not found and inner and depth < DEPTH:
        tensors, ignored = flatten(content[inner[0]], depth + 1)
        return tensors, [*sorted(str(k) for k in content if k != inner[0]), *ignored]
    # copies: tensors that share memory, or are parts of larger ones, cannot be written as they are
    tensors = {k: v.detach().clone().contiguous() for k, v in found.items() if not v.is_sparse and not v.is_quantized}
    return tensors, sorted(str(k) for k in content if str(k) not in tensors)


def _limit(n_bytes: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows: the caller's time limit holds there
        return
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + n_bytes, used + n_bytes))
    except (OSError, ValueError):
        pass
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _guard(event: str, details: tuple[Any, ...], writes: set[str]) -> None:
    if event.startswith(FORBIDDEN):
        raise PermissionError(f"the file asked for {event}")
    if event == "open":
        mode, flags = details[1], details[2]
        writing = any(c in (mode or "") for c in "wax+") or (isinstance(flags, int) and flags & 3)
        if writing and str(details[0]) not in writes:
            raise PermissionError("the file asked to write elsewhere")


def _kind(content: Any) -> str:
    return f"a {type(content).__name__}"


def _say(outcome: str, why: str, **facts: Any) -> int:
    sys.stdout.write(json.dumps({"outcome": outcome, "why": why[:1000], **facts}) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
