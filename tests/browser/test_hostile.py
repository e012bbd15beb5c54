"""What only a browser shows: nothing that a name holds is run, drawn or made a link, wherever the reader goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fake_home
import hierarchy_home
import rsa_home
from conftest import Server, settle

from braindash.runs.record import RunStore

Visit = Callable[..., Any]
EVIL = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "<a href='https://evil.example'>a</a> [b](https://evil.example) ![c](https://evil.example/c.png) www.evil.example"
)


def untouched(page: Any) -> None:
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("a[href*='evil.example']").count() == 0
    assert page.locator("img[src*='evil.example']").count() == 0


def test_names_in_hover_texts_dialogs_messages_and_slides(server: Server, visit: Visit, monkeypatch: Any) -> None:
    monkeypatch.setattr(fake_home, "REGIONS", {**fake_home.REGIONS, EVIL: 20})
    run_id = fake_home.add_done(server.home, EVIL, caveats=(EVIL,), models=("pretrained", "brain_tuned", EVIL))
    rsa_home.add(server.home, run_id, n=12)
    document = hierarchy_home.document(run_id)
    for row in document["findings"]:
        row |= {"claim": EVIL, "shows": EVIL, "why": EVIL}
    hierarchy_home.write(server.home, run_id, document)
    RunStore(server.home).get(run_id).log_path.write_text(EVIL, encoding="utf-8")
    server.start()
    for path in ("", "encoding", "rsa"):
        page = visit(f"{path}?run={run_id}")
        chart = page.locator(".js-plotly-plot .nsewdrag").first
        chart.wait_for()
        chart.hover()
        untouched(page)
    page = visit(f"runs?run={run_id}&group={EVIL[:40]}")
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_text("cannot be undone").wait_for()
    untouched(page)
    shown = visit(f"present?run={run_id}")
    shown.locator("iframe").first.wait_for()
    untouched(shown)
    for frame in shown.frames:
        assert frame.locator("img[src=x], a[href*='evil.example'], img[src*='evil.example']").count() == 0
        assert frame.evaluate("document.title") != "owned"


def test_what_nobody_foresaw_is_a_message_without_a_traceback(server: Server, visit: Visit) -> None:
    """A first deep link, after a restart, to a run that is then damaged and deleted while it is open."""
    run_id = fake_home.add_done(server.home, "shown")
    fake_home.add_done(server.home, "the other")
    server.start()
    page = visit(f"encoding?run={run_id}&layer=abc&measure=nothing")
    page.get_by_role("heading", name="Encoding").wait_for()
    assert f"run={run_id}" in page.url
    (server.home.runs / run_id / "records.json").write_text('{"encoding": [{"layer": 1e999}]}', encoding="utf-8")
    page.reload()
    page.get_by_text("cannot be read").first.wait_for()
    RunStore(server.home).delete(run_id)
    page.reload()
    page.get_by_text("The link names something that is not here").wait_for()
    settle(page)
    assert page.get_by_text("Traceback").count() == 0
