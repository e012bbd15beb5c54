"""Times and sizes as people read them."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """Return "1 h 20 min", "3 min 05 s", "12 s"; "" where unknown."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def size(n_bytes: float) -> str:
    """Return a number of bytes as people read it: "12.3 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
