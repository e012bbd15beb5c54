"""The router, its safety settings, and what importing a page costs."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from braindash.ui.layout import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "nilearn", "cortex", "pandas", "plotly", "matplotlib", "xarray", "scipy", "sklearn"}


def test_every_page_is_in_the_navigation_and_none_lies_where_streamlit_finds_it_alone() -> None:
    listed = {ROOT / p.path for pages in SECTIONS.values() for p in pages}
    assert listed == set((ROOT / "pages").rglob("*.py"))
    assert not list((ROOT / "pages").glob("*.py"))


def test_pages_import_nothing_heavy_at_top_level() -> None:
    for file in (*(ROOT / "pages").rglob("*.py"), *(ROOT / "braindash" / "ui").glob("*.py"), ROOT / "app.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules.append(node.module)
            assert not {m.split(".")[0] for m in modules} & HEAVY, file


def test_no_html_and_no_css_is_injected() -> None:
    for file in (*(ROOT / "pages").rglob("*.py"), *(ROOT / "braindash" / "ui").glob("*.py"), ROOT / "app.py"):
        source = file.read_text(encoding="utf-8")
        assert "unsafe_allow_html=True" not in source, file
        assert "st.html" not in source, file
        assert "<style" not in source, file


def test_the_server_listens_here_only_and_tells_nobody() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["server"]["address"] == "127.0.0.1"
    assert "127.0.0.1" in settings["server"]["allowedHosts"]
    assert settings["browser"]["gatherUsageStats"] is False
    for theme in ("light", "dark"):
        colours = settings["theme"][theme]
        assert len(colours["chartSequentialColors"]) == len(colours["chartDivergingColors"]) == 10
        assert colours["chartCategoricalColors"]
