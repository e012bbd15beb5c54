"""A home of the test's own, and the app opened on one of its pages."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.ui import barrier, heading
from braindash.ui.cortex_canvas import PAINTED

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "overview": "pages/results/overview.py",
    "cortex": "pages/results/cortex.py",
    "explorer": "pages/results/explorer.py",
    "encoding": "pages/results/encoding.py",
    "probes": "pages/results/probes.py",
    "rsa": "pages/results/rsa.py",
    "compare": "pages/results/compare.py",
    "study": "pages/results/study.py",
    "tune": "pages/experiments/tune.py",
    "runs": "pages/experiments/runs.py",
    "present": "pages/share/present.py",
    "settings": "pages/settings/settings.py",
    "glossary": "pages/help/glossary.py",
}
OpenPage = Callable[..., AppTest]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home that the app is started for."""
    place = Home(tmp_path / "home")
    monkeypatch.setenv("BRAINDASH_HOME", str(place.path))
    monkeypatch.chdir(ROOT)
    return place


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser reads code here: a session's first page does not wait for it."""
    monkeypatch.setattr(heading, "FIRST", 0.0)


@pytest.fixture
def open_page(home: Home) -> OpenPage:
    """Open a page by name, with what its address says; the script must not have raised."""

    def open_(name: str, **address: Any) -> AppTest:
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        page.session_state[PAINTED] = True  # as a browser tells that has drawn the maps
        page.switch_page(PAGES[name])
        for key, value in address.items():
            page.query_params[key] = value
        return checked(page.run())

    return open_


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tracebacks of this test are kept."""
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def checked(page: AppTest) -> AppTest:
    """Fail with the page's own exception, where it has one; also where the last barrier has caught it."""
    assert not page.exception, page.exception[0].message
    caught = [e.value for e in page.error if barrier.WHAT in e.value]
    assert not caught, caught  # its traceback is in the captured log
    return page


def words(page: AppTest) -> str:
    """Return everything that the page says, one element a line."""
    kinds = (
        "title",
        "header",
        "subheader",
        "markdown",
        "caption",
        "text",
        "info",
        "warning",
        "error",
        "success",
        "code",
    )
    found = [str(e.value) for kind in kinds for e in getattr(page, kind)]
    found += [f"{m.label} {m.value}" for m in page.metric]
    return "\n".join(found)
