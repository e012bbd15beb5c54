"""braindash: what did brain-tuning change in a speech model?

Importing this package is cheap: neither torch nor Streamlit is loaded until a
function that needs one is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> module that holds it; resolved on first use (PEP 562)
_LAZY = {
    "open_study": "braindash.studies",
    "open_model": "braindash.speech",
    "tune": "braindash.api",
    "evaluate": "braindash.api",
    "Home": "braindash.config",
    "BraindashError": "braindash.errors",
    "figures": "braindash.figures",
}

__all__ = ["BraindashError", "Home", "evaluate", "figures", "open_model", "open_study", "tune"]

if TYPE_CHECKING:
    from braindash import figures
    from braindash.api import evaluate, tune
    from braindash.config import Home
    from braindash.errors import BraindashError
    from braindash.speech import open_model
    from braindash.studies import open_study


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'braindash' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if name == "figures" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
