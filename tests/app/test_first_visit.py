"""The first visitor of a new server does not wait for what computed the results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conftest import PAGES, ROOT
from explorer_home import make_home

from braindash.config import Home

HEAVY = ("torch", "transformers", "peft", "scipy.stats", "scipy.signal", "sklearn", "matplotlib.pyplot", "nilearn")
SHOWN = ("overview", "encoding", "explorer", "cortex", "compare", "study", "tune", "runs")
CODE = f"""
import json, logging, sys
logging.disable(logging.ERROR)
from streamlit.testing.v1 import AppTest
found = {{}}
for name, file in {[(name, PAGES[name]) for name in SHOWN]!r}:
    page = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=120).switch_page(file).run()
    said = [e.value for e in page.exception] + [e.value for e in page.error]
    found[name] = said + [m for m in {HEAVY!r} if m in sys.modules]
    found[name + " title"] = [t.value for t in page.title]
print(json.dumps(found))
"""


def test_pages_of_results_import_nothing_that_computes(home: Home, tmp_path: Path) -> None:
    """Of a run that was really tuned and evaluated here, in a process that opens its pages alone."""
    make_home(tmp_path, home.path)
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: found[name] for name in SHOWN} == {name: [] for name in SHOWN}
    assert [found["explorer title"], found["tune title"]] == [["Explorer"], ["Tune"]]
