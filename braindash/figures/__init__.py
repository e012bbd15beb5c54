"""Arrays and tables in, figures out: nothing here reads a file or knows a run.

Plotly figures are for pages, matplotlib ones for PNG and SVG. Both libraries
are imported when a figure is drawn, not when this package is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# name -> module that holds it; resolved on first use (PEP 562)
_LAZY = {
    "MODEL_STYLE": "style",
    "THEMES": "style",
    "ModelStyle": "style",
    "model_style": "style",
    "layer_curves": "layers",
    "difference_curves": "layers",
    "layer_region_heatmap": "heatmap",
    "lag_curves": "lags",
    "loss_curves": "training",
    "part_bars": "parts",
    "ProbeLine": "probes",
    "probe_curves": "probes",
    "probe_changes": "probe_table",
    "confusion_map": "confusions",
    "SettingLine": "groups",
    "setting_lines": "groups",
    "group_curves": "groups",
    "histogram": "targets",
    "scatter": "targets",
    "alt_text": "alt",
    "static_layer_curves": "static",
    "figure_bytes": "static",
    "flatmap": "brain",
    "HeadMap": "head",
    "head_maps": "head",
    "similarity_map": "rsa",
    "similarity_curves": "rsa",
    "rdm": "rdms",
    "cka_map": "geometry",
    "moved_curves": "geometry",
    "mds_plane": "geometry",
    "Depth": "hierarchy",
    "DepthRow": "hierarchy",
    "hierarchy_picture": "hierarchy",
    "static_hierarchy": "hierarchy_static",
    "FindingLine": "findings",
    "static_findings": "findings",
}

__all__ = [
    "MODEL_STYLE",
    "THEMES",
    "Depth",
    "DepthRow",
    "FindingLine",
    "HeadMap",
    "ModelStyle",
    "ProbeLine",
    "SettingLine",
    "alt_text",
    "cka_map",
    "confusion_map",
    "difference_curves",
    "figure_bytes",
    "flatmap",
    "group_curves",
    "head_maps",
    "hierarchy_picture",
    "histogram",
    "lag_curves",
    "layer_curves",
    "layer_region_heatmap",
    "loss_curves",
    "mds_plane",
    "model_style",
    "moved_curves",
    "part_bars",
    "probe_changes",
    "probe_curves",
    "rdm",
    "scatter",
    "setting_lines",
    "similarity_curves",
    "similarity_map",
    "static_findings",
    "static_hierarchy",
    "static_layer_curves",
]

if TYPE_CHECKING:
    from braindash.figures.alt import alt_text
    from braindash.figures.brain import flatmap
    from braindash.figures.confusions import confusion_map
    from braindash.figures.findings import FindingLine, static_findings
    from braindash.figures.geometry import cka_map, mds_plane, moved_curves
    from braindash.figures.groups import SettingLine, group_curves, setting_lines
    from braindash.figures.head import HeadMap, head_maps
    from braindash.figures.heatmap import layer_region_heatmap
    from braindash.figures.hierarchy import Depth, DepthRow, hierarchy_picture
    from braindash.figures.hierarchy_static import static_hierarchy
    from braindash.figures.lags import lag_curves
    from braindash.figures.layers import difference_curves, layer_curves
    from braindash.figures.parts import part_bars
    from braindash.figures.probe_table import probe_changes
    from braindash.figures.probes import ProbeLine, probe_curves
    from braindash.figures.rdms import rdm
    from braindash.figures.rsa import similarity_curves, similarity_map
    from braindash.figures.static import figure_bytes, static_layer_curves
    from braindash.figures.style import MODEL_STYLE, THEMES, ModelStyle, model_style
    from braindash.figures.targets import histogram, scatter
    from braindash.figures.training import loss_curves


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'braindash.figures' has no attribute {name!r}")
    return getattr(importlib.import_module(f"braindash.figures.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
