"""docs/command-line.md is complete: every verb, option and setting, as they are."""

from __future__ import annotations

from pathlib import Path

from braindash.cli.reference import EVERYWHERE, MARK, reference, verbs
from braindash.config import TuneConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_reference_is_what_the_command_line_takes() -> None:
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert text.partition(MARK)[2].strip() == reference().strip(), (
        "out of date: python -m braindash.cli.reference docs/command-line.md"
    )


def test_every_verb_option_and_setting_is_in_it() -> None:
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    names = dict(verbs())
    assert len(names) >= 19
    for name, command in names.items():
        section = text.partition(f"### `braindash {name}")[2].partition("###")[0]
        assert section, f"{name} is not documented"
        taken = {option for p in command.params for option in p.opts if option.startswith("--")}
        assert taken >= {"--home", "--json"}, f"{name} lacks --home or --json"
        for option in taken - EVERYWHERE:
            assert f"`{option}" in section, f"{name} {option} is not documented"
        assert command.help, f"{name} has no help"
        assert all(p.help for p in command.params), f"{name} has an option without help"
    for key in TuneConfig.model_fields:
        assert f"`{key}" in text, f"setting {key} is not documented"


def test_the_states_of_a_run_are_in_the_operations_guide() -> None:
    from braindash.runs.status import STATES

    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    for state in STATES:
        assert f"| `{state}` |" in text
