"""Where matrix products run: NumPy, torch on the CPU, or a CUDA device.

The solver needs very little: products, row-wise dot products and a way in and
out. Two engines offer it, so the same lines run on every device.
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindash.errors import BraindashError

log = logging.getLogger(__name__)

# Below this many operations the choice of library cannot matter, and torch is not imported for it.
WORTH_MEASURING = 2e11
FEW_THREADS = 4


class NumpyEngine:
    """Matrix products by the BLAS that NumPy is linked to."""

    name = "numpy"
    device = "cpu"

    def __init__(self, dtype: str = "float32") -> None:
        self.dtype = np.dtype(dtype)

    def put(self, a: np.ndarray) -> Any:
        return np.ascontiguousarray(a, dtype=self.dtype)

    def get(self, a: Any) -> np.ndarray:
        return np.asarray(a)

    def matmul(self, a: Any, b: Any) -> Any:
        return a @ b

    def short(self, a: Any) -> Any:
        """Return ``a`` in the format that `matmul_short` multiplies fastest: here as it is."""
        return a

    def matmul_short(self, a: Any, b: Any) -> Any:
        """Return a @ b where a few digits suffice and ``b`` is `short`."""
        return a @ b

    def rowdot(self, a: Any, b: Any) -> np.ndarray:
        """Return Σ over the last axis of a·b, as float64 on the host."""
        return np.vecdot(a, b).astype(np.float64)

    def take(self, a: Any, rows: Any) -> Any:
        return a[:, rows]

    def is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def free_bytes(self) -> int | None:
        return None

    def recover(self) -> None:
        """Give back what a failed block left allocated."""


class TorchEngine:
    """Matrix products by torch, on the CPU or a CUDA device; float32 without TF32."""

    def __init__(self, device: str = "cpu", dtype: str = "float32") -> None:
        import torch

        self.torch = torch
        self.device = device
        self.name = f"torch:{device}"
        self.dtype = np.dtype(dtype)
        self._kind = getattr(torch, dtype)
        if device.startswith("cuda"):
            # TF32 keeps 10 bits of mantissa: r would be off by 1e-3, far beyond what is promised.
            torch.backends.cuda.matmul.allow_tf32 = False
        self._short = torch.bfloat16 if self._has_bfloat16() else self._kind

    def _has_bfloat16(self) -> bool:
        if self.device.startswith("cuda"):
            return bool(self.torch.cuda.get_device_capability(self.device) >= (8, 0))
        abilities = self.torch.cpu.get_capabilities()
        return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))

    def put(self, a: np.ndarray) -> Any:
        a = np.ascontiguousarray(a, dtype=self.dtype)
        return self.torch.as_tensor(a).to(self.device, self._kind)

    def get(self, a: Any) -> np.ndarray:
        return a.detach().cpu().numpy()

    def matmul(self, a: Any, b: Any) -> Any:
        return a @ b

    def short(self, a: Any) -> Any:
        return a.to(self._short)

    def matmul_short(self, a: Any, b: Any) -> Any:
        return (a.to(self._short) @ b).to(self._kind)

    def rowdot(self, a: Any, b: Any) -> np.ndarray:
        if self.device == "cpu" and self.torch.get_num_threads() <= FEW_THREADS:
            # torch multiplies first and sums after: five times the time of one thread of BLAS
            return np.vecdot(a.numpy(), b.numpy()).astype(np.float64)
        return self.torch.linalg.vecdot(a, b).double().cpu().numpy()

    def take(self, a: Any, rows: Any) -> Any:
        if isinstance(rows, slice):
            return a[:, rows]
        return a[:, self.torch.as_tensor(rows, device=a.device)]

    def is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, (self.torch.cuda.OutOfMemoryError, MemoryError))

    def free_bytes(self) -> int | None:
        if not self.device.startswith("cuda"):
            return None
        return int(self.torch.cuda.mem_get_info(self.device)[0])

    def recover(self) -> None:
        if self.device.startswith("cuda"):
            self.torch.cuda.empty_cache()


Engine = NumpyEngine | TorchEngine


@dataclass(frozen=True)
class GemmSpeed:
    """What the matrix-product libraries of this machine reach, in GFLOP/s, float32."""

    best: str
    gflops: dict[str, float]

    @property
    def peak(self) -> float:
        return self.gflops[self.best]


def time_gemm(engine: Engine, m: int = 768, k: int = 3072, n: int = 2048, repeats: int = 3) -> float:
    """Return the best speed of ``engine`` over ``repeats`` products, in GFLOP/s."""
    rng = np.random.default_rng(0)
    a = engine.put(rng.standard_normal((m, k)))
    b = engine.put(rng.standard_normal((k, n)))
    engine.get(engine.matmul(a, b)[:1, :1])
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        engine.get(engine.matmul(a, b)[:1, :1])  # reading a value back waits for the device
        best = min(best, time.perf_counter() - start)
    return 2.0 * m * k * n / best / 1e9


@functools.lru_cache(maxsize=1)
def gemm_speed() -> GemmSpeed:
    """Time NumPy's and torch's float32 products once in this process and say which is faster."""
    engines: list[Engine] = [NumpyEngine()]
    try:
        engines.append(TorchEngine("cpu"))
    except ImportError:
        log.info("torch is not installed: matrix products run in NumPy.")
    speeds = {e.name: time_gemm(e) for e in engines}
    best = max(speeds, key=speeds.__getitem__)
    log.info("Matrix products: %s; using %s.", ", ".join(f"{k} {v:.0f} GF/s" for k, v in speeds.items()), best)
    return GemmSpeed(best, speeds)


def choose_engine(device: str, dtype: str, flops: float) -> Engine:
    """Return the engine for a job of ``flops`` operations.

    Parameters
    ----------
    device : "auto", "cpu", "numpy", "torch", or "cuda"/"cuda:N"
        "auto" takes a CUDA device where there is one; "cpu" the faster of NumPy
        and torch as measured; "numpy" and "torch" insist on one of them.
    """
    if device == "numpy":
        return NumpyEngine(dtype)
    if device == "torch":
        return TorchEngine("cpu", dtype)
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise BraindashError(
                f"device={device!r} was asked for, but torch sees no CUDA device.", "Use device='cpu' or 'auto'."
            )
        return TorchEngine(device, dtype)
    if device not in ("auto", "cpu"):
        raise BraindashError(f"device={device!r} is not known.", "Use auto, cpu, numpy, torch, cuda or cuda:N.")
    if flops < WORTH_MEASURING:
        return NumpyEngine(dtype)
    if device == "auto":
        try:
            import torch
        except ImportError:
            return NumpyEngine(dtype)
        if torch.cuda.is_available():
            return TorchEngine("cuda", dtype)
    return TorchEngine("cpu", dtype) if gemm_speed().best.startswith("torch") else NumpyEngine(dtype)
