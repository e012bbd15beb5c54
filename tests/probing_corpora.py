"""Tiny corpora in the layouts that labs have, written by hand: nothing in them is from a real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 16_000


def tone(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Return noise of a known length: (n,) float32."""
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def write_wav(path: Path, seconds: float = 0.5, seed: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, tone(seconds, seed, rate), rate, format="WAV", subtype="PCM_16")
    return path


def write_sphere(path: Path, samples: np.ndarray) -> Path:
    """Write a NIST SPHERE file as TIMIT has them: 1024 bytes of text, then 16-bit samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "NIST_1A", "   1024", "database_id -s5 OTHER", "channel_count -i 1", f"sample_count -i {len(samples)}",
        "sample_rate -i 16000", "sample_n_bytes -i 2", "sample_byte_format -s2 01", "sample_sig_bits -i 16",
        "sample_coding -s3 pcm", "end_head", "",
    ]  # fmt: skip
    path.write_bytes("\n".join(lines).encode().ljust(1024) + samples.astype("<i2").tobytes())
    return path


def write_timit(root: Path, *, lower: bool = False, speakers: int = 2, seconds: float = 1.0) -> Path:
    """Write TRAIN and TEST of two dialects with ``speakers`` each, three sentences a speaker."""
    for part in ("TRAIN", "TEST"):
        for dialect in ("DR1", "DR2"):
            for k in range(speakers):
                who = f"{'FM'[k % 2]}{part[0]}{dialect[-1]}{k}0"
                for sentence in ("SA1", "SX3", "SI7"):
                    parts = [part, dialect, who, sentence]
                    stem = root.joinpath(*(p.lower() if lower else p for p in parts))
                    n = round(seconds * RATE)
                    samples = np.round(tone(seconds, hash_of(parts)) * 32767)
                    files = {
                        "PHN": "0 1600 h#\n1600 2400 bcl\n2400 2720 b\n2720 4800 ix\n4800 5600 tcl\n5600 8000 s\n"
                        f"8000 {n} h#\n",
                        "WRD": "1600 5600 Bit\n5600 8000 s\n",
                        "TXT": f"0 {n} Is it a bit, {sentence}?\n",
                    }
                    write_sphere(stem.with_suffix(".wav" if lower else ".WAV"), samples)
                    for suffix, text in files.items():
                        stem.with_suffix(f".{suffix.lower() if lower else suffix}").write_text(text)
    return root


def hash_of(parts: list[str]) -> int:
    """Return a seed that does not change from process to process."""
    return sum(b * 31**i for i, b in enumerate("/".join(parts).encode())) % 2**32


def write_speech_commands(root: Path, *, words: int = 3, speakers: int = 6, listed: bool = True) -> Path:
    """Write ``words`` words by ``speakers`` speakers; the first third of the speakers are test."""
    names = ["yes", "no", "up", "down", "left"][:words]
    test, validation = [], []
    for word in names:
        for s in range(speakers):
            name = f"{word}/{s:08x}_nohash_0.wav"
            write_wav(root / name, 0.5, s)
            if s < speakers // 3:
                test.append(name)
            elif s == speakers // 3:
                validation.append(name)
    write_wav(root / "_background_noise_" / "running_tap.wav", 2.0)
    if listed:
        (root / "testing_list.txt").write_text("\n".join(test) + "\n")
        (root / "validation_list.txt").write_text("\n".join(validation) + "\n")
    return root
