"""The generated half of docs/command-line.md: ``python -m braindash.cli.reference docs/command-line.md``.

A test compares the file with what the command line really takes.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from braindash.config import TuneConfig

MARK = "<!-- From here on written by `python -m braindash.cli.reference`. -->\n"
EVERYWHERE = {"--home", "--json", "--help"}


def verbs() -> Iterator[tuple[str, Any]]:
    """Yield every verb, "runs show", with its parser."""
    from typer.main import get_command

    from braindash.cli import app

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield " ".join(path), command
        else:
            for name, each in inner.items():
                yield from walk(each, (*path, name))

    yield from walk(get_command(app), ())


def reference() -> str:
    """Return the verbs with their options, and the settings of a fine-tune, as Markdown."""
    out = ["## Verbs\n"]
    for name, command in verbs():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        shown = " ".join(p.metavar if p.required or "[" in p.metavar else f"[{p.metavar}]" for p in arguments)
        out.append(f"### `braindash {name}{' ' + shown if shown else ''}`\n")
        out.append(inspect.cleandoc(command.help or "").replace("\n\n", "\n") + "\n")
        rows = [(f"`{p.metavar}`", p.help or "") for p in arguments]
        for p in command.params:
            if p.param_type_name == "option" and not EVERYWHERE & set(p.opts):
                also = "".join(f", `{o}`" for o in p.opts[1:] if o.startswith("--"))
                rows.append((f"`{p.opts[0]}{'' if p.is_flag else ' ' + (p.metavar or 'VALUE')}`{also}", _help(p)))
        if rows:
            out.append("| | |\n|---|---|")
            out += [f"| {left} | {right} |" for left, right in rows]
            out.append("")
    out.append("## Settings of `tune`\n")
    out.append("For `--set KEY=VALUE`, `--config FILE` and `braindash.tune(…)`.\n")
    out.append("| key | default | |\n|---|---|---|")
    out += _settings(TuneConfig)
    return "\n".join(out) + "\n"


def _help(option: Any) -> str:
    default = option.default
    told = f" [{default:g}]" if isinstance(default, int | float) and not isinstance(default, bool) else ""
    return f"{option.help or ''}{told}".replace("|", "\\|")


def _settings(kind: type[BaseModel], prefix: str = "") -> list[str]:
    rows = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += _settings(inner, f"{prefix}{name}.")
        else:
            rows.append(f"| `{prefix}{name}` | {_default(field)} | {_describe(field)} |")
    return rows


def _default(field: FieldInfo) -> str:
    value = field.get_default()
    if field.is_required():
        return "required"
    if value is None or value in ((), ""):
        return ""
    if isinstance(value, tuple):
        value = f"{value[0]:g} … {value[-1]:g}" if len(value) > 5 else ", ".join(map(str, value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _describe(field: FieldInfo) -> str:
    choices = [c for c in get_args(field.annotation) if isinstance(c, str)]
    text = field.description or ""
    if choices and not all(c in text for c in choices):
        text = f"{', '.join(choices)}. {text}"
    return text.strip().replace("|", "\\|")


def rewrite(file: Path) -> None:
    """Replace what stands below the mark."""
    head, mark, _ = file.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{file} does not hold the line {MARK!r}")
    file.write_text(head + MARK + "\n" + reference(), encoding="utf-8")


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))
