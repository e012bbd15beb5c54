"""Names that hold markup are shown, never interpreted, wherever Streamlit or Plotly read Markdown or HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_home
import pytest
import rsa_home
from hostile_home import PAGES, add_whole, open_any
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.runs.marks import change_marks
from braindash.runs.record import RunStore

EVIL = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> "
    "[link](https://evil.example) ![i](https://evil.example/i.png) **bold** # head\n\n| a | b |\n|---|---|\n "
    ":material/home: :red[red] $x^2$ :smile: "
    "\u202egnp.exe\u200b 🧠 %00 \" ' `code` https://evil.example/bare www.evil.example "
)
SHORT = "<img src=x> [l](https://evil.example) :red[r] $x$"
TOKENS = re.compile(  # what would be interpreted, where no backslash or joiner breaks it up
    r"(?<!\\)<(?:img|script)|(?<!\\)\[(?:l|link)\]\(|(?<!\\):(?:red\[|smile:|material/home)|(?<!\\)\*\*bold|(?<!\\)\$x|"
    r"(?<!\\)`code|https://evil|www\.evil"
)
# fields of messages that a browser shows as they are
PLAIN = {"options", "default", "value", "values", "spec", "data", "arrow_data", "src", "srcdoc", "url", "query_string",
         "id", "form_id", "placeholder", "json", "mixed_args", "file_name", "alt", "column_order", "columns", "height",
         "set_value", "raw_value", "raw_values", "columnConfig", "config", "page_script_hash",
         "default_data", "element_id"}  # fmt: skip
READ = {("ButtonGroup", "options"), ("Radio", "options")}
AS_TEXT = {"TextProto", "Text", "Code", "Json", "Arrow", "PlotlyChart", "IFrame", "BidiComponent", "ArrowData"}


def strings(message: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return every string of a message that is read as Markdown, with where it stands."""
    kind = message.DESCRIPTOR.name
    if kind in AS_TEXT:
        return
    for field, value in message.ListFields():
        if field.name in PLAIN and (kind, field.name) not in READ:
            continue
        many = value if field.is_repeated else [value]
        for one in many:
            if field.message_type is not None:
                if not field.message_type.GetOptions().map_entry:
                    yield from strings(one, f"{path}/{kind}.{field.name}")
            elif isinstance(one, str):
                yield f"{path}/{kind}.{field.name}", one


def nodes(block: Any) -> Iterator[Any]:
    for child in getattr(block, "children", {}).values():
        yield child
        yield from nodes(child)


def interpreted(app: AppTest) -> list[str]:
    """Return everything hostile that the page would have interpreted."""
    found = []
    for node in nodes(app._tree):
        proto = getattr(node, "proto", None)
        if proto is None or not hasattr(proto, "ListFields"):
            continue
        if proto.DESCRIPTOR.name == "Markdown" and proto.element_type == proto.Type.Value("CODE"):
            continue
        found += [f"{where}: {text}" for where, text in strings(proto) if TOKENS.search(text)]
        if proto.DESCRIPTOR.name == "PlotlyChart":
            found += [f"chart{at}: {text}" for at, text in _in_figure(json.loads(proto.spec)) if _in_chart(text)]
    for table in app.table:
        cells = [*table.value.index, *table.value.columns, *table.value.to_numpy().ravel()]
        found += [f"table: {c}" for c in cells if isinstance(c, str) and TOKENS.search(c)]
    return sorted({" ".join(one.split())[:160] for one in found})


def _in_figure(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return every text of a figure, with where it stands."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key != "legendgroup":
                yield from _in_figure(one, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from _in_figure(one, path)
    elif isinstance(value, str):
        yield path, value


def _in_chart(text: str) -> bool:
    """Whether Plotly would make tags of a text: it reads a few, links among them."""
    return re.search(r"<(?:img|script|a )", text) is not None


@pytest.fixture
def run_id(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of which everything that people or data name is hostile."""
    monkeypatch.setattr(fake_home, "REGIONS", {**fake_home.REGIONS, SHORT: 20})
    monkeypatch.setattr(rsa_home, "REGIONS", (*rsa_home.REGIONS, SHORT))
    fake_home.add_table_study(home, tmp_path / "mini")
    spec = tmp_path / "mini" / "study.yaml"
    text = spec.read_text(encoding="utf-8").replace("name: s5", f"name: {json.dumps(SHORT)}")
    spec.write_text(text + f"title: {json.dumps(EVIL)}\n", encoding="utf-8")
    run_id = add_whole(
        home, EVIL, subjects=("sub-01", SHORT), caveats=(EVIL,), models=("pretrained", "brain_tuned", SHORT)
    )
    folder = home.runs / run_id
    for name, keys in {
        "records.json": ("question", "answer", "study_title", "model"),
        "probing.json": ("title", "explanation", "why", "group_word", "names", "held_out", "caveats"),
        "rsa.json": ("region_titles", "why", "caveats", "space_titles", "conditions"),
        "hierarchy.json": ("title", "claim", "look_for", "shows", "why", "source", "caveats", "evaluated_on", "space"),
        "partition.json": ("why", "caveats", "space"),
    }.items():
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(_poisoned(document, keys)), encoding="utf-8")
    RunStore(home).get(run_id).log_path.write_text(EVIL * 3, encoding="utf-8")
    change_marks(home, run_id, add=["<b>tag</b> :red[x]"], note=EVIL[:900], starred=True)
    return run_id


def _poisoned(value: Any, keys: tuple[str, ...]) -> Any:
    """Return a document in which every text under the keys is hostile."""
    if isinstance(value, list):
        return [_poisoned(v, keys) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: _all_evil(v) if k in keys else _poisoned(v, keys) for k, v in value.items()}


def _all_evil(value: Any) -> Any:
    if isinstance(value, list):
        return [_all_evil(v) for v in value]
    if isinstance(value, dict):
        return {k: _all_evil(v) for k, v in value.items()}
    return EVIL if isinstance(value, str) else value


def test_the_search_finds_what_is_interpreted(home: Home) -> None:
    def script() -> None:
        import pandas as pd
        import streamlit as st

        st.markdown("**bold**")
        st.button("<img src=x>")
        st.table(pd.DataFrame({"a": ["[l](https://evil.example)"]}))
        st.text("<img src=x>")
        st.code("<img src=x>")

    found = interpreted(AppTest.from_function(script, default_timeout=60).run())
    assert len(found) == 3, found


def test_names_are_text_on_every_page(home: Home, run_id: str) -> None:
    found = []
    for page in PAGES:
        app = open_any(page, run=run_id, runs=run_id, study="mini")
        found += [f"{page} {what}" for what in interpreted(app)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("state", ["running", "failed", "interrupted"])
def test_names_are_text_where_a_run_is_at_work_or_broken(home: Home, state: str) -> None:
    run_id = fake_home.add_in_state(home, state, EVIL, group=SHORT)
    error = {"what": EVIL, "remedy": EVIL} if state == "failed" else None
    RunStore(home).get(run_id).update_status(message=EVIL, error=error)
    for address in ({"run": run_id}, {"group": SHORT, "run": run_id}):
        app = open_any("runs", **address)
        assert not interpreted(app), "\n".join(interpreted(app))


def test_names_are_text_in_the_question_before_a_run_is_deleted(home: Home) -> None:
    run_id = fake_home.add_done(home, EVIL)
    app = open_any("runs", run=run_id)
    app.button(key="delete").click().run()
    assert app.button(key="delete_for_good")
    assert not interpreted(app), "\n".join(interpreted(app))
