"""Where a fine-tune runs and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from braindash.errors import BraindashError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def choose_device(name: str) -> torch.device:
    """Return the device for a ``TuneConfig.device``: auto, cpu, mps, cuda or cuda:N.

    Raises
    ------
    BraindashError
        If it is not a device, or not here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BraindashError(f"There is no device {name!r}.", "Use auto, cpu, cuda, cuda:N or mps.") from None
    if device.type == "cuda":
        n = torch.cuda.device_count()
        if (device.index or 0) >= n:
            raise BraindashError(f"Device {name!r} is not here: {n} CUDA devices are.", "Set device to auto or cpu.")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise BraindashError("Device 'mps' is not here.", "Set device to auto or cpu.")
    elif device.type != "cpu":
        raise BraindashError(f"Device {name!r} is not supported.", "Use auto, cpu, cuda, cuda:N or mps.")
    return device


def choose_precision(wanted: str, device: torch.device) -> Literal["fp32", "bf16"]:
    """Return the precision for a ``TuneConfig.precision``.

    ``auto`` is bf16 where the processor multiplies bf16 natively (CUDA since Ampere;
    CPUs with AMX or AVX-512 BF16 through oneDNN), which does not depend on how busy
    the machine happens to be; else fp32.
    """
    import torch

    if wanted == "fp32" or wanted == "bf16":
        return wanted  # type: ignore[return-value]
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        native = abilities.get("amx_bf16") or abilities.get("avx512_bf16")
        return "bf16" if native and torch.backends.mkldnn.is_available() else "fp32"
    return "fp32"


def put(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return ``tensor`` on ``device``; to a graphics card through pinned memory, without waiting for the copy."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def make_accelerator(device: torch.device, precision: str) -> Accelerator:
    """Return an Accelerator for ``device`` and ``precision``.

    accelerate keeps its settings for the life of a process; they are cleared first,
    so that one process can run fine-tunes of different precision one after another.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")
