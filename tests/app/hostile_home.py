"""Every page and every parameter of an address, found in the code; a home with all that pages show."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import fake_home
import hierarchy_home
import probing_home
import rsa_home
from streamlit.testing.v1 import AppTest
from test_partition_section import document as partition
from test_partition_section import write as write_partition

from braindash.config import Home
from braindash.ui import barrier
from braindash.ui.cortex_canvas import PAINTED
from braindash.ui.layout import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = {entry.url: entry.path for entries in SECTIONS.values() for entry in entries}
SECONDS = 60  # a page that takes longer hangs


@functools.cache
def parameters() -> tuple[str, ...]:
    """Return every name that a page reads from the address: of `links`, of bound widgets, of ``st.query_params``."""
    found = set()
    for file in (*(ROOT / "pages").rglob("*.py"), *(ROOT / "braindash" / "ui").rglob("*.py")):
        constants = {}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.Tuple):
                names = [n for t in node.targets for n in (t.elts if isinstance(t, ast.Tuple) else [t])]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                constants |= {n.id: v for n, v in zip(names, values, strict=False) if isinstance(n, ast.Name)}
            named = _named(node)
            named = constants.get(named.id) if isinstance(named, ast.Name) else named
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                found.add(named.value)
    return tuple(sorted(found - {"", "embed"}))


def _named(node: ast.AST) -> ast.AST | None:
    """Return what names the parameter, where a node reads one."""
    if isinstance(node, ast.Subscript) and _last(node.value) == "query_params":
        return node.slice
    if not isinstance(node, ast.Call):
        return None
    if any(k.arg == "bind" for k in node.keywords):
        return next((k.value for k in node.keywords if k.arg == "key"), None)
    call = node.func
    of_address = isinstance(call, ast.Attribute) and call.attr in ("get", "pop") and _last(call.value) == "query_params"
    if of_address or (isinstance(call, ast.Attribute) and _last(call.value) == "links"):
        return node.args[0] if node.args else None
    return None


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def add_whole(home: Home, name: str = "whole", **more: object) -> str:
    """Write a run that every page has something to show of; return its id."""
    run_id = fake_home.add_done(home, name, **more)  # type: ignore[arg-type]
    probing_home.write(home, run_id, probing_home.TASKS[:3])
    rsa_home.add(home, run_id, n=12)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    write_partition(home, run_id, partition(run_id))
    return run_id


def open_any(page: str, **address: str | list[str]) -> AppTest:
    """Open a page by its address; it must end in time and say nothing that was not foreseen."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SECONDS)
    app.session_state[PAINTED] = True  # as a browser tells that has drawn the maps
    app.switch_page(PAGES[page])
    for key, value in address.items():
        app.query_params[key] = value
    return looked_at(app.run(), f"{page} {str(address)[:200]}")


def looked_at(app: AppTest, where: str) -> AppTest:
    """Fail where the page raised, or where its last barrier, or that for files, was needed."""
    assert not app.exception, (where, app.exception[0].message, app.exception[0].stack_trace)
    for error in app.error:
        assert barrier.WHAT not in error.value, (where, error.value)
        assert "on the machine that serves this page" not in error.value, (where, error.value)
    return app
