"""The Typer app: turns each stage and command into a subcommand, and holds the only error boundary."""

from __future__ import annotations

import errno
import inspect
import math
import os
import re
import sys
import traceback
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.models import ParameterInfo

from facelime_cli import __version__
from facelime_cli.console import Answer, Console
from facelime_cli.engine import Command, Context, Shard, Stage, execute, find, reference_from
from facelime_cli.errors import EX_TEMPFAIL, CommandLineError, FacelimeError, StopRequested
from facelime_cli.options import Choice, hints, inputs_of
from facelime_cli.stages import COMMANDS
from facelime_cli.store.references import Store

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_STORE = "artifacts"
SHARD = re.compile(r"([1-9]\d*)/([1-9]\d*)")
COMMON = {
    "store": (
        Annotated[
            Path | None,
            typer.Option(
                "--store",
                metavar="DIR",
                envvar="FACELIME_STORE",
                show_default=False,
                help="Artifact store. [default: ./artifacts]",
            ),
        ],
        None,
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", help="No progress, notes or warnings.")], False),
    "debug": (
        Annotated[bool, typer.Option("--debug", help="Show a traceback with an error, and what libraries say.")],
        False,
    ),
}
NAMED = {
    "name": (
        Annotated[
            str | None,
            typer.Option(
                "--name",
                metavar="NAME",
                help="Name of the artifact; the default is made from its inputs.",
                show_default=False,
            ),
        ],
        None,
    )
}
SHARDED = {
    "shard": (
        Annotated[
            str,
            typer.Option(
                "--shard",
                metavar="I/N",
                help="Do part I of N (counted from 1), for job arrays. [default: all]",
                show_default=False,
            ),
        ],
        "",
    ),
    "missing": (
        Annotated[
            int | None,
            typer.Option(
                "--missing",
                metavar="N",
                min=1,
                help="Do nothing; print which of N shards are not done, as 3,7.",
                show_default=False,
            ),
        ],
        None,
    ),
}
FORECAST = {
    "dry_run": (
        Annotated[
            bool,
            typer.Option(
                "--dry-run",
                help="Run a few batches, and say how long all would take (with --shard I/N, each part) and how much the store would grow.",
            ),
        ],
        False,
    )
}

app = typer.Typer(
    name="facelime",
    help="What a medical image classifier looks at, and whether that answer can be trusted.\n\n"
    "The stages: preprocess, finetune; segment, perturb, predict, fit-surrogate, render. `explain` runs the last five in one go, `demo` shows everything.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if wanted:
        print(f"facelime {__version__}")
        raise typer.Exit


@app.callback()
def _options_of_facelime(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version


def _bounded(work: Callable[[Context], Answer], values: dict[str, Any]) -> None:
    """Call a command and turn whatever happens into an exit code: the only error boundary."""
    console = Console(quiet=values["quiet"], as_json=values["as_json"])
    os.environ["FACELIME_DEBUG"] = "1" if values["debug"] else ""
    try:
        answer = work(_context(values, console))
        console.answer(answer)
        sys.stdout.flush()
    except StopRequested as why:
        console.note(f"stopped ({why}); everything done so far is kept, the same command goes on.")
        if why.device_busy:
            _leave_now(EX_TEMPFAIL)
        raise typer.Exit(EX_TEMPFAIL) from None
    except BrokenPipeError:
        _leave_now(0)
    except Exception as why:  # noqa: BLE001 - the one boundary: a user gets a sentence, never a traceback
        if values["debug"]:
            traceback.print_exc()
        console.error(_sentence(why))
        raise typer.Exit(why.exit_code if isinstance(why, FacelimeError) else 1) from None
    if answer.code:
        raise typer.Exit(answer.code)


def _sentence(why: Exception) -> str:
    if isinstance(why, FacelimeError):
        return str(why)
    if isinstance(why, OSError) and why.errno == errno.ENOSPC:
        return f"the disk is full ({why.filename or 'while writing the store'}); make room and repeat the command, what is done is kept."
    if isinstance(why, OSError) and why.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return f"{why.filename} cannot be written or read ({(why.strerror or 'no permission').lower()}); change its permissions, or choose another store with --store."
    if isinstance(why, OSError) and why.strerror:
        return f"{why.strerror.lower()}: {why.filename}; check the path and its permissions."
    return f"unexpected {type(why).__name__}: {why}; --debug shows where. Please report it."


def _leave_now(code: int) -> None:
    """End at once: a device call that cannot be interrupted must not hold the process."""
    sys.stderr.flush()
    try:
        sys.stdout.flush()
    finally:
        os._exit(code)


def _context(values: dict[str, Any], console: Console) -> Context:
    root = values["store"] or Path(os.environ.get("FACELIME_STORE") or DEFAULT_STORE)
    return Context(Store(root, console.warn), console, values.get("name"), _shard(values.get("shard") or "1/1"))


def _shard(text: str) -> Shard:
    match = SHARD.fullmatch(text)
    if not match or int(match[1]) > int(match[2]):
        raise CommandLineError(f"--shard {text!r} should be I/N with 1 <= I <= N, such as 3/8.")
    return Shard(int(match[1]), int(match[2]))


def _stage_command(stage: Stage) -> Callable[..., None]:
    def run(**values: Any) -> None:
        def work(context: Context) -> Answer:
            params = _params(stage.params, values)
            if values.get("missing"):
                return _missing(stage, params, context, values["missing"])
            if stage.forecast and values["dry_run"]:
                return stage.forecast(params, context)
            return stage.answer(execute(stage, params, context))

        _bounded(work, values)

    extra = {**NAMED, **(SHARDED if stage.sharded else {}), **(FORECAST if stage.forecast else {})}
    return _with_options(run, stage.name, stage.help, stage.params, extra)


def _missing(stage: Stage, params: Any, context: Context, count: int) -> Answer:
    _, artifact = find(stage, params, context)
    shards = list(range(1, count + 1)) if artifact is None else artifact.missing_shards(count)
    return Answer({"missing": shards, "artifact": artifact.id if artifact else None}, [",".join(map(str, shards))])


def _plain_command(command: Command) -> Callable[..., None]:
    def run(**values: Any) -> None:
        _bounded(lambda context: command.run(_params(command.params, values), context), values)

    return _with_options(run, command.name, command.help, command.params, NAMED if command.named else {})


def _params(kind: type[Any], values: dict[str, Any]) -> Any:
    given = {each.name: values[each.name] for each in fields(kind)}
    for name in (*inputs_of(kind), "source"):
        if given.get(name) == "-":
            given[name] = reference_from(sys.stdin.read())
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CommandLineError(f"--{name.replace('_', '-')} {value} should be a finite number.")
    return kind(**given)


def _with_options(
    run: Callable[..., None], name: str, text: str, params: type[Any], extra: dict[str, Any]
) -> Callable[..., None]:
    """Give a function the signature that Typer reads: the parameters, then the options of every command."""
    parameters, annotations = [], hints(params)
    for each in fields(params):
        kind, extras = annotations[each.name]
        declared = next(extra for extra in extras if isinstance(extra, ParameterInfo))
        for choice in (extra for extra in extras if isinstance(extra, Choice)):
            kind = Literal[choice.values] | None if each.default is None else Literal[choice.values]
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        parameters.append(
            inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, declared], default=default
            )
        )
    for option, (annotation, default) in {**extra, **COMMON}.items():
        parameters.append(
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__name__, run.__doc__ = name.replace("-", "_"), text
    return run


for _each in COMMANDS:
    app.command(_each.name, short_help=_each.help.strip().split("\n")[0])(
        _stage_command(_each) if isinstance(_each, Stage) else _plain_command(_each)
    )
