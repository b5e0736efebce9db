"""Make an artifact again with something changed, such as --set samples=3000.

An option of the artifact's own command is changed there. Another one is changed in the nearest command before it that
has it, and everything from there on is made again. What is in the store already is found, and not computed again.
"""

from __future__ import annotations

import shlex
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import commands
from facelime_cli.engine import Command, Context, execute, stage_called
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import Input, hints, names_of, option_of, typed
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.console import Answer
    from facelime_cli.engine import Stage
    from facelime_cli.store.artifacts import Artifact

YES, NO = ("yes", "true", "1"), ("no", "false", "0", "")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `again`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    change: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="OPTION=VALUE",
            show_default=False,
            help="Change this option. An empty value is the default; of an option without a value, yes or no. Where "
            "several commands have the option, write COMMAND.OPTION=VALUE. May be given several times.",
        ),
    ] = None


@dataclass(frozen=True)
class _Change:
    """One thing to change: an option, of any command or of one, and its new value."""

    stage: str
    option: str
    value: str

    @property
    def typed(self) -> str:
        return f"{self.stage}.{self.option}" if self.stage else self.option


def run(params: Params, context: Context) -> Answer:
    """Make an artifact again, and before it whatever has to be other."""
    artifact = context.store.resolve(params.reference)
    every = commands.in_order(artifact)
    wanted: dict[str, list[_Change]] = {}
    for change in map(_change, params.change or []):
        for found in _places(artifact, change):
            wanted.setdefault(found.reference, []).append(change)
    affected = _affected(every, wanted)
    for each in affected:
        # What is wrong is said before anything is made.
        _parsed(each, {}, wanted, context)
    made: dict[str, str] = {}
    for each in affected:
        words, new = _parsed(each, made, wanted, context)
        stage = stage_called(each.stage)
        context.console.note(shlex.join(["facelime", stage.name, *words]))
        result = execute(stage, new, replace(context, name=context.name if each is every[-1] else None))
        if result.artifact.reference != each.reference:
            made[each.reference] = result.artifact.reference
    answer = stage.answer(result)
    return replace(answer, value={**answer.value, "made": list(made.values())})


def _affected(every: Sequence[Artifact], wanted: Mapping[str, Sequence[_Change]]) -> list[Artifact]:
    """Return the artifacts to be made again, in their order: those to change, what was made from them, and the last."""
    found: dict[str, Artifact] = {}
    for each in every:
        if each.reference in wanted or each is every[-1] or any(one.reference in found for one in each.parents()):
            found[each.reference] = each
    return list(found.values())


def _parsed(
    artifact: Artifact, made: Mapping[str, str], wanted: Mapping[str, Sequence[_Change]], context: Context
) -> tuple[list[str], Any]:
    """Return the words behind a stage's name that make an artifact again, and the parameters that they mean."""
    stage = stage_called(artifact.stage)
    params = commands.instead(stage.params_of(artifact), made)
    words = _words(stage, artifact, params, wanted.get(artifact.reference, ()))
    assert context.parse is not None
    return words, context.parse(stage, words)


def _change(text: str) -> _Change:
    """Return what a `--set` asks for."""
    option, sign, value = text.partition("=")
    stage, _, name = option.rpartition(".")
    if not sign or not name:
        raise CommandLineError(f"--set {text!r} should be OPTION=VALUE, such as samples=3000.")
    return _Change(stage, name.removeprefix("--").replace("_", "-"), value)


def _places(artifact: Artifact, change: _Change) -> list[Artifact]:
    """Return the artifacts whose commands have the option: the nearest ones, all at one distance.

    Raises
    ------
    CommandLineError
        When no command has it, or two different ones have it at that distance.
    """
    level, seen = [artifact], {artifact.reference}
    while level:
        found = [each for each in level if _has(each, change)]
        stages = sorted({each.stage for each in found})
        if len(stages) > 1:
            raise CommandLineError(
                f"--set {change.typed}: {' and '.join(stages)} have this option; write which, such as "
                f"{stages[0]}.{change.option}={change.value}."
            )
        if found:
            return found
        ahead = {each.reference: each for one in level for each in one.parents() if each.reference not in seen}
        seen |= ahead.keys()
        level = list(ahead.values())
    known = ", ".join(names_of(stage_called(artifact.stage).params))
    raise CommandLineError(
        f"--set {change.typed}: no command that made {artifact.reference} has this option; `{artifact.stage}` has "
        f"{known}."
    )


def _has(artifact: Artifact, change: _Change) -> bool:
    is_meant = change.stage in {"", artifact.stage}
    return is_meant and change.option in _options(stage_called(artifact.stage))


def _options(stage: Stage) -> dict[str, str]:
    """Return the fields of a stage's parameters by what is typed for them, with dashes in them."""
    return {word.replace("_", "-"): name for word, name in names_of(stage.params).items()}


def _words(stage: Stage, artifact: Artifact, params: Any, changes: Sequence[_Change]) -> list[str]:
    """Return the words behind a stage's name that make an artifact with these changes."""
    options = _options(stage)
    defaults = {each.name: each.default for each in fields(stage.params)}
    replaced: dict[str, Any] = {}
    added: list[str] = []
    for change in changes:
        name = options[change.option]
        # An argument, or an option that has to be given, stands where it stood.
        replaced[name] = change.value if defaults[name] is MISSING else defaults[name]
        if defaults[name] is not MISSING:
            added += _added(stage, name, change)
    _refuse_files(artifact, stage, replaced)
    return [*typed(replace(params, **replaced)), *added]


def _added(stage: Stage, name: str, change: _Change) -> list[str]:
    """Return an option with its new value as they are typed."""
    kind, _ = hints(stage.params)[name]
    if kind is bool:
        if change.value.lower() not in YES + NO:
            raise CommandLineError(f"--set {change.typed}={change.value} should be yes or no.")
        return [f"--{change.option}"] if change.value.lower() in YES else []
    return [f"--{change.option}", change.value] if change.value else []


def _refuse_files(artifact: Artifact, stage: Stage, given: Mapping[str, Any]) -> None:
    """Raise where the stage reads a file whose place nobody has kept, and that is not given now."""
    known = {each.name for each in fields(stage.params)}
    for name, its in artifact.inputs.items():
        if "id" not in its and name in known and name not in given:
            word = option_of(name).removeprefix("--")
            raise FacelimeError(
                f"{artifact.reference} was made from files outside the store, and their place is not kept; "
                f"add --set {stage.name}.{word}=PATH."
            )


COMMAND = Command("again", Params, run, __doc__ or "", named=True)
