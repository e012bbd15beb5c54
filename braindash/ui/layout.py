"""The pages, in the order of the navigation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

LOGO = str(Path(__file__).with_name("logo.svg"))
ICON = str(Path(__file__).with_name("icon.svg"))  # a named one would be fetched from the network


@dataclass(frozen=True)
class PageEntry:
    """One page: its file below the repository root, and how the navigation shows it."""

    path: str
    title: str
    icon: str
    url: str
    default: bool = False


OVERVIEW = PageEntry("pages/results/overview.py", "Overview", ":material/summarize:", "home", default=True)
CORTEX = PageEntry("pages/results/cortex.py", "Cortex", ":material/neurology:", "cortex")
EXPLORER = PageEntry("pages/results/explorer.py", "Explorer", ":material/graphic_eq:", "explorer")
ENCODING = PageEntry("pages/results/encoding.py", "Encoding", ":material/show_chart:", "encoding")
PROBES = PageEntry("pages/results/probes.py", "Probes", ":material/colorize:", "probes")
RSA = PageEntry("pages/results/rsa.py", "RSA", ":material/grid_on:", "rsa")
COMPARE = PageEntry("pages/results/compare.py", "Compare", ":material/compare_arrows:", "compare")
STUDY = PageEntry("pages/results/study.py", "Study", ":material/menu_book:", "study")
TUNE = PageEntry("pages/experiments/tune.py", "Tune", ":material/tune:", "tune")
RUNS = PageEntry("pages/experiments/runs.py", "Runs", ":material/list_alt:", "runs")
PRESENT = PageEntry("pages/share/present.py", "Present", ":material/slideshow:", "present")
GLOSSARY = PageEntry("pages/help/glossary.py", "Glossary", ":material/dictionary:", "glossary")
SETTINGS = PageEntry("pages/settings/settings.py", "Settings", ":material/settings:", "settings")

SECTIONS: dict[str, tuple[PageEntry, ...]] = {
    "Results": (OVERVIEW, CORTEX, EXPLORER, ENCODING, PROBES, RSA, COMPARE, STUDY),
    "Experiments": (TUNE, RUNS),
    "Share": (PRESENT,),
    "Lab": (SETTINGS,),
    "Help": (GLOSSARY,),
}


def to_overview() -> None:
    """Show the first page under its name, with what the address says."""
    st.switch_page(OVERVIEW.path, query_params=st.query_params.to_dict())
