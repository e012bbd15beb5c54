"""A tuning step: braindash against a plain Hugging Face Trainer loop with LoRA.

    python benchmarks/tuning.py [--size small|base] [--steps N] [--rounds N] [--threads N] [--only NAME ...] [--json]

One process, methods interleaved over rounds, the same random-weight model on disk, the same audio
and responses: a step is one window of 16 s, 8 TRs of 2 s, a low-rank head on the last layer, all
targets. The plain loop is transformers.Trainer with peft's LoRA on all six linear layers of all
blocks, AdamW, clipping, the pretrained model's dropouts off (as in braindash). "exact" trains the
same adapters in float32; "bf16" the same under autocast; "upper half" the adapters of the upper
half of the blocks, below which everything is computed once, under autocast.

The model has wav2vec 2.0's architecture: transformers' WavLM hands its weights to torch's fused
attention past the modules, so adapters on q, k, v and out get no gradient there and a plain loop
does not train. Its other shapes are those of wavlm-base-plus.

Times are of the steps themselves (reading the input, forth, back, update) without the first; wall
and CPU time, because the second hardly depends on what else the machine does. The share of the
GEMM peak (of CPU time on a CPU) counts the operations that cannot be avoided with frozen weights: twice the blocks' way
forth. Before each method glibc's malloc is set as that method finds it: the plain loop as glibc
adapts itself, ours as a worker sets it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import math
import os
import platform
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from braindash.config import TuneConfig
from braindash.studies.base import Finding, Split, Story, Study

TR, N_TRS, RATE = 2.0, 8, 16000
# width, blocks, heads, inner width, channels of the convolutions, targets
SIZES = {"small": (128, 4, 4, 512, 64, 2_000), "base": (768, 12, 12, 3_072, 512, 20_000)}
VARIANTS: dict[str, dict[str, Any]] = {
    "exact": {"precision": "fp32", "lora": {"first_block": 0}},
    "bf16": {"precision": "bf16", "lora": {"first_block": 0}},
    "upper half": {"precision": "bf16"},
}
PLAIN = "Trainer"
LR, HEAD_LR = 1e-3, 3e-3


@dataclass
class Measured:
    """What a method took: of every step but each round's first, and of a whole round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory_gb: float = 0.0
    validation: list[float] = field(default_factory=list)  # loss after every epoch of the last round
    busy: list[float] = field(default_factory=list)


class Windows(Study):
    """Stories of one window each, whose targets follow the sound's loudness and noise."""

    kind = "benchmark"

    def __init__(self, n_tune: int, n_targets: int) -> None:
        self.id, self.title, self.tr, self.signal, self.subjects = "windows", "Windows", TR, "bold", ("s",)
        parts = ["tune"] * n_tune + ["validation"] * 6 + ["test"]
        names = [f"w{i:03d}" for i in range(len(parts))]
        self.stories = {n: Story(n, p, Path(n), N_TRS * TR) for n, p in zip(names, parts, strict=True)}  # type: ignore[arg-type]
        self._targets = pd.DataFrame({"name": [f"t{i}" for i in range(n_targets)], "hemi": "L", "roi": ""})
        weights = np.random.default_rng(0).standard_normal(n_targets)
        self._audio, self._responses = {}, {}
        for i, name in enumerate(names):
            rng = np.random.default_rng([1, i])
            level = rng.uniform(0.05, 1.0, N_TRS)
            loud = np.repeat(level, int(TR * RATE))
            self._audio[name] = (loud * rng.standard_normal(len(loud))).astype(np.float32)
            late = np.r_[0.0, 0.0, np.log(level)[:-2]]
            y = late[:, None] * weights + 0.5 * rng.standard_normal((N_TRS, n_targets))
            self._responses[name] = y.astype(np.float32)

    @property
    def split(self) -> Split:
        def of(part: str) -> tuple[str, ...]:
            return tuple(s.name for s in self.stories.values() if s.part == part)

        return Split(of("tune"), of("validation"), of("test"))

    def audio(self, story: str) -> np.ndarray:
        return self._audio[story]

    def row_times(self, story: str, subject: str) -> np.ndarray:
        return TR / 2 + TR * np.arange(N_TRS)

    def read_responses(self, story: str, subject: str) -> np.ndarray:
        return self._responses[story]

    def read_repeats(self, story: str, subject: str) -> None:
        return None

    def targets(self, subject: str) -> pd.DataFrame:
        return self._targets

    def check(self) -> list[Finding]:
        return []


def save_model(folder: Path, size: str) -> Path:
    """Write a random-weight checkpoint of the size and return its folder."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    width, blocks, heads, inner, channels, _ = SIZES[size]
    config = Wav2Vec2Config(
        hidden_size=width, num_hidden_layers=blocks, num_attention_heads=heads, intermediate_size=inner,
        conv_dim=(channels,) * 7, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
        feat_proj_dropout=0.0, layerdrop=0.0, apply_spec_augment=False,
    )  # fmt: skip
    torch.manual_seed(0)
    Wav2Vec2Model(config).save_pretrained(folder)
    about = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": RATE, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


def settings(folder: Path, epochs: int, **changes: Any) -> TuneConfig:
    return TuneConfig.model_validate(
        {
            "study": "windows", "model": str(folder), "control": "none", "keep": "last",
            "window": {"context": N_TRS * TR, "stride": N_TRS * TR},
            "head": {"init": "random"},
            "optimiser": {"lr": LR, "head_lr": HEAD_LR, "epochs": epochs, "schedule": "constant", "warmup_steps": 0},
            "encoding": {"alphas": [100.0], "delays": [1, 2]},
            "checkpoint_steps": 10**6, **changes,
        }
    )  # fmt: skip


def ours(folder: Path, study: Windows, epochs: int, changes: dict[str, Any], into: Measured) -> None:
    """Run the engine as a worker does and read its own step rows."""
    from braindash.speech.loading import open_model
    from braindash.tuning import tune

    last: list[tuple[float, float]] = []

    def take(row: dict[str, Any]) -> None:
        now = time.perf_counter(), time.process_time()
        if row["kind"] == "step":
            if last:
                into.wall.append(now[0] - last[0][0])
                into.cpu.append(now[1] - last[0][1])
            into.busy.append(float(row.get("busy", math.nan)))
            last[:] = [now]
        else:
            last.clear()  # a validation lies between
            if row["kind"] == "epoch" and row["epoch"]:
                into.validation.append(float(row["validation_loss"]))

    into.validation.clear()
    with tempfile.TemporaryDirectory() as workspace:
        config = settings(folder, epochs, **changes)
        tune(study, open_model(str(folder)), config, Path(workspace), progress=take, should_stop=lambda: False)


def plain(folder: Path, study: Windows, epochs: int, into: Measured) -> None:
    """Fine-tune with transformers.Trainer and peft, as their manuals do."""
    import peft
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments, Wav2Vec2Model

    from braindash.config import HeadConfig
    from braindash.speech.base import normalise_waves
    from braindash.tuning.data import TuningData
    from braindash.tuning.heads import build_head

    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = TuningData(study, settings(folder, epochs))
    encoder = Wav2Vec2Model.from_pretrained(folder)
    adapters = ["q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense"]
    model: Any = peft.get_peft_model(encoder, peft.LoraConfig(r=8, lora_alpha=16, target_modules=adapters))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.head = build_head(
                HeadConfig(init="random"), encoder.config.hidden_size, data.n_targets, (1,), TR, "bold"
            )

        def rows(self, audio: torch.Tensor) -> torch.Tensor:
            h = self.model(audio).last_hidden_state[0]
            edges = np.linspace(0, len(h), N_TRS + 1).round().astype(int)
            return torch.stack([h[a:b].mean(0) for a, b in pairwise(edges)])

        def forward(self, audio: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            predicted = self.head(self.rows(audio), "s")
            return {"loss": torch.nn.functional.mse_loss(predicted, labels[0])}

    def example(story: str) -> dict[str, torch.Tensor]:
        wave = normalise_waves(study.audio(story)[None])[0]
        return {"audio": torch.from_numpy(wave), "labels": torch.from_numpy(data.responses(story, "s"))}

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.last: tuple[float, float] | None = None

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if device == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter(), time.process_time()
            if self.last is not None:
                into.wall.append(now[0] - self.last[0])
                into.cpu.append(now[1] - self.last[1])
            self.last = now

        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.last = None
            into.validation.append(validation())

    torch.manual_seed(0)
    net = Net().to(device)

    def validation() -> float:
        with torch.no_grad():
            losses = [
                net(**{k: v[None].to(device) for k, v in example(s).items()})["loss"] for s in study.split.validation
            ]
        return float(torch.stack(losses).mean())

    tuning = [example(s) for s in study.split.tune]
    with torch.no_grad():
        rows = torch.cat([net.rows(e["audio"][None].to(device)) for e in tuning])
    net.head.set_statistics(rows.mean(0), rows.std(0))
    lora = [p for n, p in net.named_parameters() if "lora_" in n]
    groups = [{"params": lora, "lr": LR}, {"params": list(net.head.parameters()), "lr": HEAD_LR}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    into.validation.clear()
    with tempfile.TemporaryDirectory() as workspace:
        arguments = TrainingArguments(
            workspace, per_device_train_batch_size=1, num_train_epochs=epochs, lr_scheduler_type="constant",
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=device == "cpu",
            remove_unused_columns=False, max_grad_norm=1.0, seed=0,
        )  # fmt: skip
        constant = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
        Trainer(
            net,
            arguments,
            train_dataset=tuning,
            optimizers=(optimiser, constant),
            callbacks=[Clock()],  # type: ignore[arg-type]
        ).train()


def set_malloc(ours_next: bool) -> None:
    """Set glibc's malloc as a worker does, or to where its own adaptation ends; give freed memory back first."""
    if not sys.platform.startswith("linux"):
        return
    from braindash.tuning.fast import keep_freed_memory

    gc.collect()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    if ours_next:
        keep_freed_memory()
    else:  # mallopt(3): the threshold grows to 32 MiB as blocks are freed, the trim threshold to twice that
        libc.mallopt(-3, 2**25), libc.mallopt(-1, 2**26), libc.mallopt(-2, 0)


@contextlib.contextmanager
def peak_memory(into: Measured) -> Iterator[None]:
    """Sample the process's memory; on CUDA the card's."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        yield
        into.memory_gb = max(into.memory_gb, torch.cuda.max_memory_allocated() / 1e9)
        return
    process, done = psutil.Process(), threading.Event()
    start = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            into.memory_gb = max(into.memory_gb, (process.memory_info().rss - start) / 1e9)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def floor_gflop(size: str, first_block: int) -> float:
    """Return the operations of a step that cannot be avoided: twice the way forth through blocks ``first_block`` up."""
    width, blocks, _, inner, _, _ = SIZES[size]
    frames = 799
    block = 2 * frames * (4 * width**2 + 2 * width * inner) + 4 * frames**2 * width
    return 2 * (blocks - first_block) * block / 1e9


def gemm_peak(precision: str) -> float:
    """Return the best GF/s of a matrix product on the device."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    n = 8192 if device == "cuda" else 1024
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    best = math.inf
    clock = time.perf_counter if device == "cuda" else time.process_time
    for _ in range(8):
        began = clock()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - began)
    return 2 * n**3 / best / 1e9


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def steps_to(losses: list[float], goal: float, per_epoch: int) -> int | None:
    """Return the steps after which the validation loss had reached the goal, counted in whole epochs."""
    reached = [k for k, loss in enumerate(losses, start=1) if loss <= goal]
    return reached[0] * per_epoch if reached else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, default=None, help="tuning windows; default 24, for base 3")
    parser.add_argument("--epochs", type=int, default=None, help="default 4, for base 1")
    parser.add_argument("--rounds", type=int, default=None, help="default 2, for base 1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=[PLAIN, *VARIANTS], default=[PLAIN, *VARIANTS])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

    import torch

    torch.set_num_threads(args.threads)
    small = args.size == "small"
    steps, epochs = args.steps or (24 if small else 3), args.epochs or (4 if small else 1)
    rounds = args.rounds or (2 if small else 1)
    study = Windows(steps, SIZES[args.size][-1])
    found = {name: Measured() for name in args.only}
    with tempfile.TemporaryDirectory() as place:
        folder = save_model(Path(place) / "model", args.size)
        for _ in range(rounds):
            for name in args.only:
                run: Callable[[], None]
                if name == PLAIN:
                    run = lambda: plain(folder, study, epochs, found[PLAIN])  # noqa: E731
                else:
                    run = lambda name=name: ours(folder, study, epochs, VARIANTS[name], found[name])  # type: ignore[misc]  # noqa: E731
                set_malloc(name != PLAIN)
                with peak_memory(found[name]):
                    run()
    peaks = {p: gemm_peak(p) for p in ("fp32", "bf16")}
    blocks = SIZES[args.size][1]
    goal = min(found[PLAIN].validation, default=math.inf) if PLAIN in found else math.inf
    rows = []
    for name, m in found.items():
        wall, cpu = min(m.wall), min(m.cpu)
        busy_s = wall if torch.cuda.is_available() else cpu
        precision = VARIANTS.get(name, {"precision": "fp32"})["precision"]
        gflop = floor_gflop(args.size, blocks // 2 if name == "upper half" else 0)
        rows.append(
            {
                "method": name, "step_s": round(wall, 4), "step_cpu_s": round(cpu, 4),
                "speed_up": round(min(found[PLAIN].wall) / wall, 2) if PLAIN in found else None,
                "speed_up_cpu": round(min(found[PLAIN].cpu) / cpu, 2) if PLAIN in found else None,
                "memory_gb": round(m.memory_gb, 2), "share_of_gemm_peak": round(gflop / busy_s / peaks[precision], 2),
                "busy": round(float(np.mean(m.busy)), 3) if m.busy else None,
                "steps_to_plain_loss": steps_to(m.validation, goal * 1.001, steps),
                "validation_losses": [round(loss, 4) for loss in m.validation],
            }
        )  # fmt: skip
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
    result = {
        "benchmark": "tuning", "size": args.size, "targets": SIZES[args.size][-1], "threads": args.threads,
        "device": device, "gemm_gflops": {p: round(v) for p, v in peaks.items()}, "methods": rows,
    }  # fmt: skip
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.size}: 1 window of 16 s a step, {SIZES[args.size][-1]:,} targets, {args.threads} thread(s), {device}")
    print(f"matrix products: {peaks['fp32']:.0f} GF/s float32, {peaks['bf16']:.0f} GF/s bfloat16")
    titles = ("step", 10), ("CPU", 10), ("faster", 8), ("(CPU)", 8), ("memory", 9), ("of peak", 9), ("busy", 7)
    print(" " * 12 + "".join(f"{t:>{w}s}" for t, w in titles) + "  steps to the Trainer's loss")
    for r in rows:
        busy = "" if r["busy"] is None or math.isnan(r["busy"]) else f"{100 * r['busy']:.0f} %"
        print(
            f"{r['method']:12s}{r['step_s']:8.3f} s{r['step_cpu_s']:8.3f} s{r['speed_up'] or 0:7.2f}x"
            f"{r['speed_up_cpu'] or 0:7.2f}x{r['memory_gb']:6.2f} GB{100 * r['share_of_gemm_peak']:7.0f} %"
            f"{busy:>7s}  {r['steps_to_plain_loss'] or 'not reached'}"
        )


if __name__ == "__main__":
    main()
