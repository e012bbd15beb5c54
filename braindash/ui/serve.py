"""Start the pages: ``python -m braindash.ui.serve [--home DIR] [--port N] [--open]``."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.exposure import ALLOW_ANYONE, OWN, Door, open_door

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


def serve(home: Home, port: int = 8501, open_browser: bool = False, door: Door | None = None) -> None:
    """Serve the pages until the process is ended, on 127.0.0.1 if nothing else is said.

    Parameters
    ----------
    home : Home
        Whose studies and runs are shown.
    port : int
    open_browser : bool
        Open the first page in the desktop's browser.
    door : Door, optional
        Where it listens, and who may come.

    Raises
    ------
    BraindashError
        For a sign-in with a mistake.
    """
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.web import bootstrap

    # Streamlit takes a folder named pages/ for its older kind of navigation until app.py has run once; the
    # first visitor who came by a link would be told that the page does not exist.
    PagesManager.uses_pages_directory = False
    door = door or open_door(APP.parent)
    os.environ["BRAINDASH_HOME"] = str(home.path)
    os.environ[ALLOW_ANYONE] = "1" if door.anyone else "0"
    os.chdir(APP.parent)  # where .streamlit/config.toml is looked for
    for module in _EARLY:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what was imported stays: looking through it again and again would stop every reader
    options: dict[str, Any] = {
        "server_port": port,
        "server_headless": not open_browser,
        "server_address": door.address,
        "server_allowedHosts": list(door.hosts),
    }
    bootstrap.load_config_options(flag_options=options)
    bootstrap.run(str(APP), False, [], options)


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m braindash.ui.serve", description="Serve the braindash pages.")
    parser.add_argument("--home", help="default: $BRAINDASH_HOME, else ./cache")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--open", action="store_true", help="open the first page in a browser")
    parser.add_argument("--address", default=OWN[0], help="address of this machine to listen on")
    parser.add_argument("--allowed-host", action="append", default=[], help="a further name that it answers to")
    parser.add_argument("--allow-anyone", action="store_true", help="public without sign-in, on purpose")
    given = parser.parse_args(arguments)
    try:
        door = open_door(APP.parent, given.address, given.allowed_host, given.allow_anyone)
    except BraindashError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    serve(Home.resolve(given.home), given.port, given.open, door)
    return 0


if __name__ == "__main__":
    sys.exit(main())
