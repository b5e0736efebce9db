"""facelime in Python: the stages as functions that return artifacts, and explanations as arrays.

`import facelime_cli.api as fl`. Options have the names and defaults of the command line, with `_` in place of `-`;
`help(fl.segment)` lists them. An input is an artifact or a reference. What the store has already is not computed again.
"""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.models import ArgumentInfo, ParameterInfo

from facelime_cli import cli, settings
from facelime_cli.console import Console
from facelime_cli.engine import Stage, execute
from facelime_cli.errors import CommandLineError
from facelime_cli.hearing import heard_by
from facelime_cli.names import listing
from facelime_cli.options import hints, marker, takes_several
from facelime_cli.stages import INDEX
from facelime_cli.stages import explain as explaining
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from facelime_cli.engine import Command, Context
    from facelime_cli.reporting.notebook import Explanation
    from facelime_cli.settings import Setting

__all__ = [
    "artifact",
    "check",
    "explain",
    "explanation",
    "finetune",
    "fit_surrogate",
    "perturb",
    "predict",
    "preprocess",
    "render",
    "run",
    "segment",
]
EVERYWHERE: dict[str, Any] = {"store": None, "name": None, "quiet": False}
"""Options of every stage in Python, with their defaults."""
PIPE = "-"


def artifact(reference: str | Artifact, *, store: str | Path | None = None) -> Artifact:
    """Return an artifact of the store, by its name, its id or the beginning of its id.

    Parameters
    ----------
    reference : str or Artifact
        A kind in front narrows it, as in `models/rosacea`.
    store : str or Path, optional
        A folder; by default that of the command line.

    Returns
    -------
    Artifact
        Complete or not.

    Raises
    ------
    FacelimeError
        When it means nothing, or several artifacts.
    """
    context = _context({**EVERYWHERE, "store": store}, [reference] if isinstance(reference, Artifact) else [])
    return context.store.resolve(_as_typed(reference, "reference"), KINDS)


def explanation(reference: str | Artifact, *, store: str | Path | None = None) -> Explanation:
    """Return what surrogates, their check or a report say, as arrays; a notebook draws it.

    Parameters
    ----------
    reference : str or Artifact
        Such as `fit_surrogate`, `check`, `render` or `explain` return.
    store : str or Path, optional
        A folder; by default that of the command line.

    Returns
    -------
    Explanation

    Raises
    ------
    FacelimeError
        When it is no explanation, or not complete.
    """
    from facelime_cli.reporting.notebook import READS, Explanation

    context = _context({**EVERYWHERE, "store": store}, [reference] if isinstance(reference, Artifact) else [])
    return Explanation(context.store.resolve(_as_typed(reference, "reference"), READS).require_complete())


def run(command: str, *arguments: Any, **options: Any) -> Artifact:
    """Run any stage by its name on the command line, such as `gradcam`, and return its artifact.

    Parameters
    ----------
    command : str
        A stage of `facelime --help`, or `explain`.
    *arguments : Artifact, str, Path or list
        What stands behind the name on the command line.
    **options
        Strings, numbers, and True for a switch; a list stands for names with commas between them. `store` is a
        folder, by default that of the inputs. `name` names the artifact. `quiet` shows no progress.

    Returns
    -------
    Artifact
        Complete.

    Raises
    ------
    FacelimeError
        With the sentence that the command line would print.
    """
    found = _command(command)
    given = _named(found, arguments, options)
    inputs = [each for value in given.values() for each in _several(value) if isinstance(each, Artifact)]
    shared = {name: given.pop(name, default) for name, default in EVERYWHERE.items()}
    context = _context(shared, inputs)
    typed = cli.subcommand(found)
    # The store is chosen before.
    known = {name: each for name, each in cli.settings_of(typed).items() if name in hints(found.params)}
    used = {name: each for name, each in known.items() if given.get(name) is None}
    _tell(used, context.console)
    values = {name: each.value for name, each in used.items()}
    params = cli.params_from(found.params, _read(found, typed, given | values))
    # As on the command line: a library's warnings go to the log of the artifact.
    with heard_by(None):
        result = execute(found, params, context) if isinstance(found, Stage) else explaining.explain(params, context)
    return result.artifact.require_complete()


def _command(name: str) -> Stage | Command:
    """Return a stage, or `explain`, by its name."""
    wanted = name.replace("_", "-")
    found = next((each.load() for each in INDEX if each.name == wanted), None)
    if isinstance(found, Stage) or found is explaining.COMMAND:
        return found
    stages = [each.name for each in INDEX if isinstance(each.load(), Stage)]
    why = "makes no artifact of its own" if found else "is no command"
    raise CommandLineError(f"{name!r} {why}; run one of explain, {', '.join(stages)}.")


def _arguments(command: Stage | Command) -> list[str]:
    """Return the parameters that stand behind a command without a name, in their order."""
    return [
        name
        for name, (_, extras) in hints(command.params).items()
        if isinstance(marker(extras, ParameterInfo), ArgumentInfo)
    ]


def _named(command: Stage | Command, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments and options by the names of their parameters."""
    places = _arguments(command)
    if places and takes_several(hints(command.params)[places[0]][0]) and len(arguments) > 1:
        arguments = (list(arguments),)
    if len(arguments) > len(places):
        raise CommandLineError(
            f"{command.name} takes {', '.join(places)} and was given {len(arguments)} arguments; "
            "give what else it needs by name."
        )
    given = dict(zip(places, arguments, strict=False))
    twice = next((name for name in options if name in given), None)
    if twice is not None:
        raise CommandLineError(f"{command.name} was given {twice} twice; leave one of them out.")
    known = [*hints(command.params), *EVERYWHERE]
    asked = command.instead if isinstance(command, Stage) else ()
    for name in options:
        if name in asked:
            raise CommandLineError(
                f"{name} asks for no artifact; ask on a terminal, with `facelime {command.name}`, or leave it out."
            )
        if name not in known:
            raise CommandLineError(f"{command.name} has no option {name}; it has {', '.join(known)}.")
    return {**given, **options}


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _context(shared: Mapping[str, Any], inputs: list[Artifact]) -> Context:
    """Return the store, the terminal and the name: the store is that of the inputs where none is given."""
    roots = {each.path.parent.parent for each in inputs}
    if shared["store"] is not None:
        roots.add(Path(shared["store"]).absolute())
    if len({root.resolve() for root in roots}) > 1:
        listed = ", ".join(sorted(map(str, roots)))
        raise CommandLineError(f"the inputs are in several stores, {listed}; take all from one.")
    console = Console(quiet=bool(shared["quiet"]))
    store = shared["store"] if shared["store"] is not None else next(iter(roots), None)
    if store is None and "store" in (known := settings.read()):
        store = known["store"].value
        _tell({"store": known["store"]}, console)
    values = {"store": None if store is None else str(store), "name": shared["name"]}
    return cli.context_from(values, console)


def _tell(used: Mapping[str, Setting], console: Console) -> None:
    """Say what was taken from the settings file."""
    told = settings.sentence(used)
    if told:
        console.note(told)


def _as_typed(value: Any, name: str) -> Any:
    """Return a value as it would be typed, where a number or a text may stay one."""
    if isinstance(value, Artifact):
        return value.reference
    if isinstance(value, Path):
        return str(value)
    if value == PIPE:
        raise CommandLineError(f"{name} is -, and Python has no pipe to read from; give an artifact or a reference.")
    return value


def _read(command: Stage | Command, typed: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every parameter, as Typer reads them from the command line; defaults are filled in."""
    reading = typed.context_class(typed)
    read: dict[str, Any] = {each.name: each.default for each in fields(command.params) if each.default is not MISSING}
    annotations = hints(command.params)
    for parameter in typed.params:
        name = str(parameter.name)
        value = given.get(name)
        if value is None:
            if name in annotations and name not in read:
                raise CommandLineError(f"{command.name} needs {name}; give it.")
            continue
        values = [_as_typed(each, name) for each in _several(value)]
        if not takes_several(annotations[name][0]):
            several = isinstance(value, list | tuple)
            read[name] = _cast(parameter, reading, listing(map(str, values)) if several else values[0])
        else:
            read[name] = _cast(parameter, reading, values)
    return read


def _cast(parameter: Any, reading: Any, value: Any) -> Any:
    """Return a value that an option takes, checked as on the command line."""
    try:
        cast = parameter.type_cast_value(reading, value)
    except cli.USAGE_ERROR as why:
        message = why.message.rstrip(".")
        raise CommandLineError(f"{parameter.name} {value!r}: {message}; correct it.") from None
    return list(cast) if isinstance(cast, tuple) else cast


def _stage(name: str) -> Callable[..., Artifact]:
    """Return a stage as a function, with the signature and the help of its command."""
    command = _command(name)

    def call(*arguments: Any, **options: Any) -> Artifact:
        return run(name, *arguments, **options)

    call.__name__ = call.__qualname__ = name.replace("-", "_")
    call.__doc__ = "\n".join(_help_of(command))
    call.__signature__ = _signature(command)  # type: ignore[attr-defined]
    return call


def _signature(command: Stage | Command) -> inspect.Signature:
    """Return what a function takes: arguments first, then options by name."""
    places = _arguments(command)
    parameters = []
    for each in sorted(fields(command.params), key=lambda each: each.name not in places):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if each.name in places else inspect.Parameter.KEYWORD_ONLY
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        parameters.append(inspect.Parameter(each.name, kind, default=default))
    for name, default in EVERYWHERE.items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default))
    return inspect.Signature(parameters, return_annotation=Artifact)


def _help_of(command: Stage | Command) -> Iterator[str]:
    """Yield the lines of a function's docstring: the help of its command, and of each parameter."""
    yield from [command.help.strip(), "", "Parameters", "----------"]
    for name, (_, extras) in hints(command.params).items():
        yield name
        yield from textwrap.wrap(marker(extras, ParameterInfo).help or "", 100, initial_indent=" " * 4)
    yield from ["store, name, quiet", "    See `run`.", "", "Returns", "-------", "Artifact"]


preprocess = _stage("preprocess")
finetune = _stage("finetune")
segment = _stage("segment")
perturb = _stage("perturb")
predict = _stage("predict")
fit_surrogate = _stage("fit-surrogate")
check = _stage("check")
render = _stage("render")
explain = _stage("explain")
