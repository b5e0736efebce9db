"""The Typer app: turns each stage and command into a subcommand, and holds the only error boundary."""

from __future__ import annotations

import inspect
import math
import os
import re
import sys
import traceback
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import MISSING, Field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ArgumentInfo, ParameterInfo

from facelime_cli import __version__, settings, stopping
from facelime_cli.console import Answer, Console, size_text
from facelime_cli.errors import EX_TEMPFAIL, CommandLineError, FacelimeError, StopRequested, first_line
from facelime_cli.names import whole_number
from facelime_cli.plain import shown
from facelime_cli.stages import INDEX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from facelime_cli.engine import Command, Context, Shard, Stage
    from facelime_cli.settings import Setting
    from facelime_cli.stages import Listed

MOST_PIPED = 1 << 24
"""Bytes: the JSON object of a stage is far shorter."""
MOST_SHARDS = 100_000
"""More than any scheduler takes as tasks of one job."""
MOST_IN_UNIT = 100_000
"""Pictures. Memory sets a smaller bound where pictures are large."""
SET = "set_by_settings"
"""Under this name a command finds which of its options have a value from the settings."""
LISTED = "listed"
"""The field of the option that names a list of pictures, see `predicting.choosing`."""
ARGUMENTS, OPTIONS, RUN, EVERYWHERE = "Arguments", "Options", "Run", "Options of every command"
"""Headings of a subcommand's help, where an option names none."""
STOPPED = "stopped ({why}); everything done so far is kept, the same command resumes."
FILE_WORDS = ("FILE", "DIR", "SOURCE", "PICTURE", "IMAGE")
"""Words of a metavar that stand for a file or a folder."""
ADDRESS = re.compile(r"(?:@|[\w-]+[=:])?(?P<address>[A-Za-z][A-Za-z0-9+.-]*://.*)", re.DOTALL)
"""An address of the network, such as https://…, also behind `@`, `test=` or `image:`."""
LAST = (RUN, EVERYWHERE)
"""Headings that stand at the end, in this order."""
TEXT_OF: list[tuple[Any, Any]] = [
    (Path, str),
    (Path | None, str | None),
    (list[Path], list[str]),
    (list[Path] | None, list[str] | None),
]
"""The type as which a path is read from the command line."""
METAVARS = {int: "N", float: "X"}
"""How a number is written in help, where the option does not say it."""
RANGE = re.compile(r"(?:(?P<low>[\d.e+-]+)<=)?x(?:(?P<sign>[<>])=(?P<bound>[\d.e+-]+))?")
"""How click writes the bounds of a number."""
USAGE_ERROR: Any = typer.BadParameter.__bases__[0]
"""What Typer raises for a wrong command line. It brings click along under a name of its own."""
COMMON = {
    "store": (
        Annotated[
            str | None,
            typer.Option(
                "--store",
                metavar="DIR",
                envvar="FACELIME_STORE",
                show_envvar=False,
                show_default=False,
                help="Use this artifact store. [default: $FACELIME_STORE, that of facelime.toml, else ./artifacts]",
            ),
        ],
        None,
    ),
    "as_json": (Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")], False),
    "quiet": (Annotated[bool, typer.Option("--quiet", help="Print no progress, notes or warnings.")], False),
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
                help="Give the artifact this name. [default: made from its inputs]",
                show_default=False,
            ),
        ],
        None,
    )
}
SHARDED = {
    "shard": (
        Annotated[
            str | None,
            typer.Option(
                "--shard",
                metavar="I/N",
                help="Do only shard I of N, counted from 1, for job arrays. [default: everything]",
                show_default=False,
            ),
        ],
        None,
    ),
    "missing": (
        Annotated[
            int | None,
            typer.Option(
                "--missing",
                metavar="N",
                min=1,
                max=MOST_SHARDS,
                help="Compute nothing; print which of N shards are not done, as 3,7.",
                show_default=False,
            ),
        ],
        None,
    ),
    "lay_out": (
        Annotated[
            bool,
            typer.Option(
                "--lay-out",
                help="Begin the artifact and do no unit of it: the first short job of a run in shards.",
            ),
        ],
        False,
    ),
}
DIVIDED = {
    "unit": (
        Annotated[
            int | None,
            typer.Option(
                "--unit",
                metavar="N",
                min=1,
                max=MOST_IN_UNIT,
                help="Put so many pictures into a unit, the smallest part that a shard has. Larger ones make fewer "
                "files. [default: 32, or fewer when their arrays are large]",
                show_default=False,
            ),
        ],
        None,
    ),
}
"""Where units are runs of pictures, and no trainings."""
NOT_WITH_LAY_OUT = {"shard": "--shard", "missing": "--missing", "dry_run": "--dry-run", "find_rate": "--find-rate"}
FORECAST = {
    "dry_run": (
        Annotated[
            bool,
            typer.Option(
                "--dry-run",
                help="Run a few batches and write nothing. Say how long all would take, by shard with --shard I/N, "
                "and how much the store would grow.",
            ),
        ],
        False,
    )
}


def bounds_in_words(text: str) -> str:
    """Return a help text in which the bounds of numbers are words, not click's `x>=1`.

    Examples
    --------
    >>> bounds_in_words("[default: 4; 1<=x<=100]"), bounds_in_words("[x>=1]")
    ('[default: 4; 1 to 100]', '[1 or more]')
    """

    def words(match: re.Match[str]) -> str:
        low, sign, bound = match["low"], match["sign"], match["bound"]
        if low and bound:
            return f"{float(low):.10g} to {float(bound):.10g}"
        if bound:
            number = f"{float(bound):.10g}"
            return f"{number} or more" if sign == ">" else f"at most {number}"
        return match[0]

    return re.sub(r"\[[^\]]*\]", lambda brackets: RANGE.sub(words, brackets[0]), text)


def _is_stop(why: BaseException | None) -> bool:
    """Return whether a request to stop is what led to an exception."""
    seen: set[int] = set()
    # Causes and contexts may lead round and round.
    while why is not None and id(why) not in seen:
        if isinstance(why, StopRequested):
            return True
        seen.add(id(why))
        why = why.__cause__ or why.__context__
    return False


@contextmanager
def _plain_usage_errors() -> Iterator[None]:
    """Let a wrong command line be quoted without what a terminal would obey."""
    try:
        yield
    except USAGE_ERROR as why:
        why.message = shown(why.message)
        raise


class Subcommand(TyperCommand):
    """A subcommand whose options stand under headings, and whose help is plain text."""

    headings: dict[str, str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words behind the subcommand; settings stand in for options that are not there."""
        # Help does not depend on settings, and helps where they are wrong.
        asks_help = any(word in ctx.help_option_names for word in args)
        known = {} if asks_help else _settings_for(self)
        ctx.default_map = {name: each.value for name, each in known.items()}
        with _plain_usage_errors():
            left = super().parse_args(ctx, args)
        # The function of the command says what of these it has used.
        ctx.params[SET] = {name: each for name, each in known.items() if _is_set(ctx, name)}
        return left

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options under their headings, those of every command last."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            argument = parameter.param_type_name == "argument"
            heading = self.headings.get(parameter.name or "", ARGUMENTS if argument else EVERYWHERE)
            names, text = record
            rows.setdefault(heading, []).append((names, bounds_in_words(text)))
        # Options of every command that takes pictures are declared before its own arguments.
        rows = {each: rows[each] for each in (ARGUMENTS, *rows) if each in rows}
        for heading in LAST:
            if heading in rows:
                rows[heading] = rows.pop(heading)
        for heading, entries in rows.items():
            with formatter.section(heading):
                formatter.write_dl(entries)


def _settings_for(command: TyperCommand) -> dict[str, Setting]:
    """Return the settings that stand in for options of a command; a wrong settings file ends it in a sentence."""
    try:
        return settings_of(command)
    except FacelimeError as why:
        Console().error(str(why))
        raise typer.Exit(why.exit_code) from None


def settings_of(command: TyperCommand) -> dict[str, Setting]:
    """Return the settings that stand in for options of a command, by the names of their parameters.

    Parameters
    ----------
    command : TyperCommand

    Raises
    ------
    FacelimeError
        When the settings file is wrong.
    """
    options = {each.name: each for each in command.params if each.param_type_name == "option"}
    return {name: each for name, each in settings.read().items() if _takes(options.get(name), name, each)}


def _takes(option: Any, name: str, setting: Setting) -> bool:
    """Return whether a setting stands in for an option of its name."""
    if option is None:
        return False
    # Elsewhere a missing --model has a meaning of its own, such as the model of the surrogates.
    if name == "model":
        return bool(option.required)
    # Some commands know a part of the presets: the others say nothing about them.
    choices = getattr(option.type, "choices", None)
    return choices is None or setting.value in choices


def _is_set(ctx: Any, name: str) -> bool:
    """Return whether an option has its value from the settings."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


class Group(TyperGroup):
    """`facelime` itself: it lists subcommands from the index, and loads the module of the one that is asked for."""

    family = ""
    """The first word of the subcommands' names, where they have two, such as `jobs`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words before the subcommand."""
        with _plain_usage_errors():
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the subcommand that the first word names."""
        with _plain_usage_errors():
            return super().resolve_command(ctx, args)

    def main(self, *words: Any, **how: Any) -> Any:
        """Run the command line; a stop that comes before the subcommand does is one too."""
        try:
            return super().main(*words, **how)
        except SystemExit as why:
            # Typer takes what a signal raises for Ctrl-C, and has a code of its own for it.
            if _is_stop(why):
                raise SystemExit(EX_TEMPFAIL) from None
            raise

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all subcommands, as they are typed behind this one."""
        del ctx
        return list(dict.fromkeys(each.name.removeprefix(self.family).split()[0] for each in self._listed()))

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Return a subcommand, made from its module."""
        del ctx
        name = f"{self.family}{cmd_name}"
        listed = next((each for each in self._listed() if each.name == name), None)
        if listed is not None:
            return subcommand(listed.load())
        return _family(cmd_name) if any(each.name.startswith(f"{name} ") for each in self._listed()) else None

    def _listed(self) -> list[Listed]:
        return [each for each in INDEX if each.name.startswith(self.family)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the subcommands under their headings; no module is loaded."""
        del ctx
        listed = self._listed()
        widest = max(len(each.name) for each in listed)
        for heading in dict.fromkeys(each.heading for each in listed):
            rows = [(each.name.ljust(widest), each.summary) for each in listed if each.heading == heading]
            with formatter.section(heading):
                formatter.write_dl(rows)


def _family(word: str) -> Group:
    """Return the group of the subcommands whose names begin with a word."""
    settings = {"help_option_names": ["-h", "--help"]}
    made = Group(name=word, no_args_is_help=True, context_settings=settings, rich_markup_mode=None)
    made.family = f"{word} "
    return made


app = typer.Typer(
    name="facelime",
    cls=Group,
    help="What a medical image classifier looks at, and whether that answer can be trusted.\n\n"
    "`facelime demo` shows everything on drawn faces. `facelime explain` runs the LIME stages in one go.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # The scripts of `facelime completion` know artifacts too, and answer without Typer.
    add_completion=False,
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
    # Imported here: `facelime --help` does nothing that a library could warn of.
    from facelime_cli import hearing

    console = Console(quiet=values["quiet"], as_json=values["as_json"])
    os.environ["FACELIME_DEBUG"] = "1" if values["debug"] else ""
    told = settings.sentence(values.get(SET, {}))
    if told:
        console.note(told)
    context: Context | None = None
    late = partial(console.note, STOPPED.format(why="in the middle of a long call"))
    try:
        with (
            stopping.leaving_in_time(late),
            console.results_alone(),
            hearing.heard_by(console.say if values["debug"] else None),
        ):
            context = context_from(values, console)
            answer = work(context)
            console.answer(answer)
            console.flush()
    except StopRequested as why:
        console.note(STOPPED.format(why=why))
        # An import in a thread would hold the process as a call on the device does.
        if why.device_busy or stopping.busy_beside():
            _leave_now(console, EX_TEMPFAIL)
        raise typer.Exit(EX_TEMPFAIL) from None
    except BrokenPipeError:
        _leave_now(console, 0)
    except Exception as why:  # noqa: BLE001 - the one boundary: a user gets a sentence, never a traceback
        if values["debug"]:
            console.trace(traceback.format_exc())
        console.error(_sentence(why, _root(values), gone=context is not None and context.store.is_gone))
        raise typer.Exit(why.exit_code if isinstance(why, FacelimeError) else 1) from None
    if answer.code:
        raise typer.Exit(answer.code)


def _sentence(why: Exception, root: Path, *, gone: bool) -> str:
    """Return what went wrong and what to do next, in one sentence."""
    # Loaded only now: a command that goes well does without.
    from facelime_cli import disk

    # Whatever is missed in a store that is gone, that it is gone comes first.
    if gone:
        return disk.GONE.format(root=root)
    if isinstance(why, FacelimeError):
        return str(why)
    refused = disk.sentence(why, root)
    if refused:
        return refused
    if isinstance(why, MemoryError):
        return (
            "the memory of this machine is too small for this; use smaller pictures, fewer samples or fewer --workers."
        )
    return f"unexpected {type(why).__name__}: {why}; --debug shows where. Please report it."


def _leave_now(console: Console, code: int) -> None:
    """End at once: a device call that cannot be interrupted must not hold the process."""
    sys.stderr.flush()
    try:
        console.flush()
    finally:
        os._exit(code)


def context_from(values: dict[str, Any], console: Console) -> Context:
    """Return what a command may use: the store that is chosen, the terminal, and its own name and shard."""
    # Imported here: `facelime --help` needs neither the store nor a stage.
    from facelime_cli.engine import Context
    from facelime_cli.store.references import Store, check_name

    given, root = values["store"], _root(values)
    if given is not None:
        _path("--store", given)
    there = next(each for each in (root, *root.absolute().parents) if each.exists())
    if not there.is_dir():
        raise FacelimeError(f"{there} is no folder, so the store {root} cannot be written; choose another --store.")
    name = values.get("name")
    # Before anything else: a command that runs several stages would find a wrong name at its end.
    if name is not None:
        check_name(name)
    _check_together(values)
    unit = values.get("unit")
    return Context(
        Store(root, console.warn),
        console,
        name,
        _shard(values.get("shard")),
        lay_out=bool(values.get("lay_out")),
        # `import-model` has a --unit of its own, in which values are measured.
        unit=unit if isinstance(unit, int) else None,
        parse=_parsed,
    )


def _check_together(values: dict[str, Any]) -> None:
    """Raise where an option would be ignored beside --lay-out, which does no shard and asks for nothing."""
    given = [word for name, word in NOT_WITH_LAY_OUT.items() if values.get(name) not in {None, False}]
    if values.get("lay_out") and given:
        raise CommandLineError(f"--lay-out does no unit, so {given[0]} means nothing beside it; leave one of them out.")


def _root(values: dict[str, Any]) -> Path:
    return Path(values["store"] or os.environ.get("FACELIME_STORE") or settings.STORE)


def _shard(text: str | None) -> Shard:
    from facelime_cli.engine import Shard

    # An empty variable of a job script is not everything.
    if text is None:
        return Shard()
    index, _, count = text.partition("/")
    of = whole_number(count, 1, MOST_SHARDS)
    this = None if of is None else whole_number(index, 1, of)
    if this is None or of is None:
        raise CommandLineError(f"--shard {text!r} should be I/N with 1 <= I <= N <= {MOST_SHARDS}, such as 3/8.")
    return Shard(this, of)


def subcommand(command: Stage | Command) -> TyperCommand:
    """Return what Typer makes of a stage or of a command beside the stages."""
    from facelime_cli.engine import Stage
    from facelime_cli.store.kinds import TRAINED

    extra: dict[str, Any]
    if isinstance(command, Stage):
        run = _stage_function(command)
        divided = DIVIDED if command.sharded and command.writes != TRAINED else {}
        extra = {
            **NAMED,
            **(SHARDED if command.sharded else {}),
            **divided,
            **(FORECAST if command.forecast else {}),
        }
    else:
        run = _command_function(command)
        extra = NAMED if command.named else {}
    _sign(run, command.params, extra)
    run.__name__, run.__doc__ = command.name.replace("-", "_").replace(" ", "_"), command.help
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(command.name.split()[-1], cls=Subcommand, context_settings={"help_option_names": ["-h", "--help"]})(
        run
    )
    made = typer.main.get_command(alone)
    assert isinstance(made, Subcommand)
    made.headings = _headings(command.params, extra)
    return made


def _stage_function(stage: Stage) -> Callable[..., None]:
    from facelime_cli.engine import answer_instead, execute

    def run(**values: Any) -> None:
        def work(context: Context) -> Answer:
            params = params_from(stage.params, values)
            instead = answer_instead(stage, params, context)
            if instead is not None:
                return instead
            if values.get("missing"):
                return _missing(stage, params, context, values["missing"])
            if stage.forecast and values["dry_run"]:
                return stage.forecast(params, context)
            result = execute(stage, params, context)
            answer = stage.answer(result)
            return replace(answer, notes=[*answer.notes, *stage.beside(params, result)])

        _bounded(work, values)

    return run


def _command_function(command: Command) -> Callable[..., None]:
    def run(**values: Any) -> None:
        def work(context: Context) -> Answer:
            with ExitStack() as using:
                return command.run(params_from(command.params, values), replace(context, using=using))

        _bounded(work, values)

    return run


def _missing(stage: Stage, params: Any, context: Context, count: int) -> Answer:
    from facelime_cli.engine import find

    artifact = find(stage, params, context).artifact
    if artifact is None:
        every = list(range(1, count + 1))
        return Answer({"missing": every, "artifact": None, "shards": count}, [",".join(map(str, every))])
    shards = artifact.missing_shards(count)
    value = {
        "missing": shards,
        "artifact": artifact.id,
        "shards": count,
        "idle": max(0, count - artifact.n_units),
        "units": artifact.n_units,
        "units_done": artifact.n_done,
        "complete": artifact.complete,
    }
    idle = artifact.idle(count)
    return Answer(value, [",".join(map(str, shards))], said=[f"{idle}."] if idle else [])


def params_from(kind: type[Any], values: dict[str, Any]) -> Any:
    """Return a command's parameters from what Typer has read."""
    from facelime_cli.options import hints, inputs_of

    given = {each.name: values[each.name] for each in fields(kind)}
    optional = {each.name for each in fields(kind) if each.default is not MISSING}
    known = hints(kind)
    references = inputs_of(kind)
    words = {name: _word_of(name, extras) for name, (_, extras) in known.items()}
    given |= _from_pipe(given, [*references, "source"], words)
    _refuse_addresses({words[name]: given[name] for name, of_name in known.items() if _names_file(*of_name)})
    for name, value in given.items():
        # A variable of a job script that was not set asks for nothing, but does not mean the default.
        if name in optional and value in ("", [""]):
            raise CommandLineError(f"{words[name]} is empty; give it a value, or leave it out.")
        if name in references and value == "":
            raise CommandLineError(f"{words[name]} is empty; name what the command shall read.")
        if isinstance(value, float) and not math.isfinite(value):
            raise CommandLineError(f"{words[name]} {value} should be a finite number.")
    for name, (declared, _) in known.items():
        if declared in {list[Path], list[Path] | None} and given[name] is not None:
            given[name] = [_path(words[name], each) for each in given[name]]
        elif declared in {Path, Path | None} and given[name] is not None:
            given[name] = _path(words[name], given[name])
    return kind(**given)


def _names_file(kind: Any, extras: Any) -> bool:
    """Return whether a parameter may name a file, or an artifact."""
    from facelime_cli.options import Input, marker

    metavar = marker(extras, ParameterInfo).metavar or ""
    return "Path" in str(kind) or marker(extras, Input) is not None or any(word in metavar for word in FILE_WORDS)


def _refuse_addresses(given: dict[str, Any]) -> None:
    """Raise where a file is named by an address of the network: nothing is downloaded."""
    for what, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            match = ADDRESS.match(text) if isinstance(text, str) else None
            if match:
                raise FacelimeError(
                    f"{what} {match['address']} is an address, and facelime downloads nothing; "
                    "save the file on this machine, and give its path."
                )


def _parsed(stage: Stage, words: Sequence[str]) -> Any:
    """Return a stage's parameters from words as they are typed behind its name."""
    from facelime_cli.options import hints, takes_several

    try:
        values = dict(subcommand(stage).make_context(stage.name, list(words)).params)
    except USAGE_ERROR as why:
        raise CommandLineError(f"`facelime {stage.name}`: {why.format_message().rstrip('.')}; correct it.") from None
    kinds = hints(stage.params)
    for each in fields(stage.params):
        # Typer itself does so when it calls a command.
        if takes_several(kinds[each.name][0]):
            values[each.name] = list(values[each.name] or []) or each.default
    return params_from(stage.params, values)


def _word_of(name: str, extras: Any) -> str:
    """Return what an option or an argument is called on the command line."""
    from facelime_cli.options import declared_option, marker

    declared = marker(extras, ParameterInfo)
    return name.upper() if isinstance(declared, ArgumentInfo) else declared_option(name, declared)


def _from_pipe(given: Mapping[str, Any], references: Iterable[str], words: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that standard input gives: those that were typed as `-`."""
    reading = [name for name in dict.fromkeys((*references, LISTED)) if str(given.get(name)) == "-"]
    if len(reading) > 1:
        raise CommandLineError(
            f"{words[reading[0]]} and {words[reading[1]]} both read standard input; give one of them another way."
        )
    if reading == [LISTED]:
        return _piped_list(given)
    # A pipe hands on one reference; the last line is the result.
    return {name: _piped() for name in reading}


def _piped() -> str:
    """Return the reference that the command before a pipe has printed."""
    from facelime_cli.engine import reference_from

    return reference_from(_standard_input("a reference", "pipe what a stage prints"))


def _piped_list(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `--from -` means: the pictures that standard input names, as --images or --picture would."""
    from facelime_cli.names import listing
    from facelime_cli.predicting.choosing import lines_in

    at_once = "images" in given
    other = "images" if at_once else "picture"
    if given[other]:
        raise CommandLineError(f"--{other} and --from both name pictures; leave one of them out.")
    names = lines_in(_standard_input("a list of pictures", "pipe what `facelime list` prints"), "standard input")
    return {LISTED: None, other: listing(names) if at_once else names}


def _standard_input(what: str, advice: str) -> str:
    """Return the text that the command before a pipe has printed."""
    try:
        read = sys.stdin.buffer.read(MOST_PIPED + 1)
    except OSError as why:
        raise FacelimeError(f"standard input cannot be read ({first_line(why)}); {advice} to `-`.") from why
    if len(read) > MOST_PIPED:
        raise FacelimeError(
            f"standard input holds more than {size_text(MOST_PIPED)}, which is no {what[2:]}; {advice}."
        )
    return read.decode(errors="surrogateescape")


def _path(what: str, text: str) -> Path:
    """Return a path that was typed. An empty one would mean the current folder."""
    if not text:
        raise CommandLineError(f"{what} is empty; name a file or a folder, . is this one.")
    if "\0" in text:
        raise CommandLineError(f"{what} {text!r} is no path; name a file or a folder.")
    return Path(text)


def _sign(run: Callable[..., None], params: type[Any], extra: dict[str, Any]) -> None:
    """Give a function the signature that Typer reads: the parameters, then the options of every command."""
    from facelime_cli.options import Choice, hints, marker

    parameters, annotations = [], hints(params)
    for each in fields(params):
        kind, extras = annotations[each.name]
        # A copy: the declaration belongs to the stage, and `explain` shows it too.
        declared = copy(marker(extras, ParameterInfo))
        choice = marker(extras, Choice)
        number = next((name for name in METAVARS if kind in {name, name | None}), None)
        if each.name in settings.SETTINGS and _may_be_set(each, declared):
            declared.help = f"{declared.help} [env var: {settings.variable(each.name)}]"
        if number is not None and declared.metavar is None:
            declared.metavar = METAVARS[number]
        if choice is not None:
            kind = Literal[choice.values] | None if each.default is None else Literal[choice.values]
        # As text: "" as a path is the current folder, and nobody could tell any more that nothing was named.
        kind = next((text for path, text in TEXT_OF if kind == path), kind)
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        parameters.append(_keyword(each.name, Annotated[kind, declared], default))
    for option, (annotation, default) in {**extra, **COMMON}.items():
        parameters.append(_keyword(option, annotation, default))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}


def _may_be_set(field: Field[Any], declared: Any) -> bool:
    """Return whether a setting may stand in for an option, see `settings_of`."""
    return not isinstance(declared, ArgumentInfo) and (field.name != "model" or field.default is MISSING)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _headings(params: type[Any], extra: dict[str, Any]) -> dict[str, str]:
    """Return the heading of every option that is not one of every command."""
    from facelime_cli.options import Heading, hints, marker

    found = {}
    for name, (_, extras) in hints(params).items():
        if isinstance(marker(extras, ParameterInfo), ArgumentInfo):
            continue
        heading = marker(extras, Heading)
        found[name] = OPTIONS if heading is None else heading.text
    # A short help needs no heading of its own for these.
    run = RUN if RUN in found.values() else OPTIONS
    return found | dict.fromkeys(extra, run)
