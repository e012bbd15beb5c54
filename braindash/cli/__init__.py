"""The ``braindash`` command: the same verbs as the pages.

Exit code 0: done. 2: the user must change something, told in one line with the value
and the remedy. 1: failed. 130: interrupted from the keyboard.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from braindash.cli import (
    analysis,
    comparing,
    evaluation,
    machine,
    marking,
    models,
    probing,
    reporting,
    rsa,
    runs,
    settings,
    sharing,
    studies,
    tuning,
)
from braindash.cli.session import DebugOption, HomeOption, JsonOption, Root, Session, VersionOption
from braindash.config import TuneConfig
from braindash.errors import BraindashError

app = typer.Typer(
    name="braindash",
    help="What did brain-tuning change? Tune speech models on brain responses and compare them with themselves.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    home: HomeOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
    version: VersionOption = False,
) -> None:
    if not isinstance(ctx.obj, Root):
        ctx.obj = Root()
    ctx.obj.home = home
    ctx.obj.as_json = ctx.obj.as_json or as_json
    if version:
        from braindash import __version__

        Session(ctx).emit({"braindash": __version__}, f"braindash {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        ctx.obj.out.write(ctx.get_help() + "\n")


tuning.add_to(app)
evaluation.add_to(app)
comparing.add_to(app)
probing.add_to(app)
analysis.add_to(app)
reporting.add_to(app)
rsa.add_to(app)
machine.add_to(app)
app.add_typer(studies.app, name="study")
app.add_typer(models.app, name="model")
app.add_typer(settings.app, name="settings")
sharing.add_to(runs.app)
marking.add_to(runs.app)
app.add_typer(runs.app, name="runs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    raise SystemExit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; nothing a user does wrong ends in a traceback."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    before_end = args[: args.index("--")] if "--" in args else args
    root = Root(out=sys.stdout, as_json="--json" in before_end)
    try:
        # with --json the one object is all that reaches stdout, whatever a library prints
        with contextlib.redirect_stdout(sys.stderr) if root.as_json else contextlib.nullcontext():
            result = get_command(app)(args=args, prog_name="braindash", standalone_mode=False, obj=root)
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        what = " ".join(error.format_message().split()) + _value_given(error, before_end)
        verb = " ".join(["braindash", *_verb_of(error)])
        return _complain(root, what, f"See `{verb} --help`.", error.exit_code)
    except BraindashError as error:
        if "--debug" in before_end:
            traceback.print_exc()
        return _complain(root, error.what, error.remedy, 2)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return 130
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        if "--debug" in before_end:
            traceback.print_exc()
            remedy = "This is a defect of braindash; the traceback is above."
        else:
            remedy = f"This is a defect of braindash; its traceback is in {_keep_traceback()}."
        return _complain(root, what, remedy, 1)


def _verb_of(error: Exception) -> list[str]:
    context = getattr(error, "ctx", None)
    return context.command_path.split()[1:] if context else []


def _value_given(error: Exception, args: Sequence[str]) -> str:
    """Return " (got 'VALUE')." where an option's value was refused: the parser's own words leave it out."""
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for word, following in zip(args, [*args[1:], ""], strict=True):
            if word == option:
                return f" (got {following!r})."
            if word.startswith(f"{option}="):
                return f" (got {word.partition('=')[2]!r})."
    return ""


def _complain(root: Root, what: str, remedy: str, code: int) -> int:
    line = " ".join(f"{what} {remedy}".split())
    sys.stderr.write(f"error: {line}\n")
    if root.as_json and not root.emitted:
        root.write_json({"error": {"what": what, "remedy": remedy}})
    return code


def _keep_traceback() -> Path:
    with tempfile.NamedTemporaryFile("w", prefix="braindash-error-", suffix=".txt", delete=False) as file:
        file.write(traceback.format_exc())
    return Path(file.name)


def config_of_command(arguments: Sequence[str]) -> TuneConfig:
    """Return the configuration that ``braindash ARGUMENTS`` would tune with, without tuning."""
    root: Any = get_command(app)
    args = list(arguments)
    if args[:1] != ["tune"]:
        raise BraindashError(f"{' '.join(args)!r} is not a `braindash tune` command.", "It begins with tune.")
    verb = root.commands["tune"]
    context = verb.make_context("tune", args[1:])
    return tuning.config_from(context.params)
