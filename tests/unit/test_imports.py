"""Imports point one way, and importing braindash is cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "streamlit", "transformers", "pandas", "xarray", "scipy", "sklearn", "plotly", "matplotlib", "zarr")


def test_import_direction_holds() -> None:
    """The layers of docs/architecture.md, as import-linter reads them from pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("statement", ["import braindash", "import braindash.cli"])
def test_import_is_light(statement: str) -> None:
    code = f"import sys; {statement}; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_torch_outside_its_packages() -> None:
    """torch belongs to speech, features, tuning and encoding; nothing else names it."""
    allowed = {"speech", "features", "tuning", "encoding"}
    offenders = []
    for file in (ROOT / "braindash").rglob("*.py"):
        part = file.relative_to(ROOT / "braindash").parts[0]
        if part in allowed or file.name.startswith("make_"):  # generators of shipped files; nothing imports them
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip().startswith(("import torch", "from torch")):
                offenders.append(f"{file.relative_to(ROOT)}:{number}")
    # what a run was computed with may be asked of torch, but only for its version and devices
    assert [o for o in offenders if "provenance" not in o and "doctor" not in o] == []


def test_streamlit_only_in_pages_and_ui() -> None:
    offenders = [
        str(f.relative_to(ROOT))
        for f in (ROOT / "braindash").rglob("*.py")
        if "ui" not in f.parts and "import streamlit" in f.read_text(encoding="utf-8")
    ]
    assert offenders == []


def test_no_page_lies_directly_in_pages() -> None:
    """Streamlit would serve it without app.py, past any sign-in."""
    assert list((ROOT / "pages").glob("*.py")) == []
