"""Start the pages: ``python -m braindash.ui.serve [--home DIR] [--port N] [--open]``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from braindash.config import Home

# what the first page needs, imported before the first visitor waits for it
_EARLY = (
    "pandas",
    "plotly.graph_objects",
    "plotly.subplots",
    "braindash.runs.record",
    "braindash.figures.layers",
    "braindash.encoding.regions",
    "xarray",
    "zarr",
    "matplotlib.figure",
)
APP = Path(__file__).resolve().parents[2] / "app.py"


def serve(home: Home, port: int = 8501, open_browser: bool = False) -> None:
    """Serve the pages until the process is ended. Binds to 127.0.0.1, as .streamlit/config.toml says.

    Parameters
    ----------
    home : Home
        Whose studies and runs are shown.
    port : int
    open_browser : bool
        Open the first page in the desktop's browser.
    """
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.web import bootstrap

    # Streamlit takes a folder named pages/ for its older kind of navigation until app.py has run once; the
    # first visitor who came by a link would be told that the page does not exist.
    PagesManager.uses_pages_directory = False
    os.environ["BRAINDASH_HOME"] = str(home.path)
    os.chdir(APP.parent)  # where .streamlit/config.toml is looked for
    for module in _EARLY:
        importlib.import_module(module)
    options: dict[str, Any] = {"server_port": port, "server_headless": not open_browser}
    bootstrap.load_config_options(flag_options=options)
    bootstrap.run(str(APP), False, [], options)


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m braindash.ui.serve", description="Serve the braindash pages.")
    parser.add_argument("--home", help="default: $BRAINDASH_HOME, else ./cache")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--open", action="store_true", help="open the first page in a browser")
    given = parser.parse_args(arguments)
    serve(Home.resolve(given.home), given.port, given.open)
    return 0


if __name__ == "__main__":
    sys.exit(main())
