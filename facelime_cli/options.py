"""What a parameter of a command is: markers, what Typer reads of it, and what of it counts for the result."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from facelime_cli.errors import CommandLineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.choices import Entry

MOST_WORKERS = 256
"""Processes of one command. Each costs some 100 MB of memory: more would end the machine, not the work."""
MOST_SEGMENTS = 4096
"""Of a picture that is asked for, so also of any choice among them."""
LARGEST = 1e6
"""What a number without a bound of its own may be: far beyond it, it has no effect but overflows."""


@dataclass(frozen=True)
class Input:
    """Marks a reference to an artifact of one of these kinds. Its content digest counts for the result."""

    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Execution:
    """Marks how the work is done, such as the number of processes. The result is the same, so it never counts."""


@dataclass(frozen=True)
class Resolved:
    """Marks an option that counts by what it comes to mean, not as it was typed; of an input, beside its content.

    Attributes
    ----------
    into : tuple of str, optional
        The names under which it stands among an artifact's parameters. Without it, the option's own name. Empty when
        its meaning is in other options, such as a preset's, or in the digest of a file.
    """

    into: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Choice:
    """Marks a parameter whose values are the keys of a table."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """Marks under which heading of a long help text an option stands."""

    text: str


def hints(params: type[Any]) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return the type and the annotations of every parameter.

    Parameters
    ----------
    params : type
        A dataclass whose fields are `Annotated`.

    Returns
    -------
    dict
        From names to the type, and to markers and Typer's option or argument.
    """
    resolved = get_type_hints(params, include_extras=True)
    found = {}
    for each in fields(params):
        first, *extras = get_args(resolved[each.name])
        found[each.name] = (first, tuple(extras))
    return found


def marker(extras: tuple[Any, ...], kind: type[Any]) -> Any:
    """Return a parameter's marker of some kind, or None."""
    return next((extra for extra in extras if isinstance(extra, kind)), None)


def takes_several(kind: Any) -> bool:
    """Return whether a parameter of this type may be given several times.

    Examples
    --------
    >>> takes_several(list[str] | None), takes_several(str | None)
    (True, False)
    """
    return any(get_origin(each) is list for each in (kind, *get_args(kind)))


def inputs_of(params: type[Any]) -> dict[str, tuple[str, ...]]:
    """Return the kinds that each reference parameter may point to."""
    found = {}
    for name, (_, extras) in hints(params).items():
        declared = marker(extras, Input)
        if declared is not None:
            found[name] = declared.kinds
    return found


def recorded(params: Any, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that can change the result: the fingerprint's part, derived from the markers.

    Parameters
    ----------
    params : dataclass
        A stage's parameters, presets and defaults filled in.
    resolved : mapping
        What the options marked `Resolved` came to mean.

    Returns
    -------
    dict
        JSON values by name.

    Raises
    ------
    TypeError
        When something is resolved that no option declares: a mistake of the stage.
    """
    values: dict[str, Any] = {}
    declared: set[str] = set()
    for name, (_, extras) in hints(type(params)).items():
        option = marker(extras, Resolved)
        if option is not None:
            declared.update((name,) if option.into is None else option.into)
        elif not (marker(extras, Input) or marker(extras, Execution)):
            values[name] = getattr(params, name)
    undeclared = set(resolved) - declared
    if undeclared:
        raise TypeError(f"{type(params).__qualname__} declares no option that resolves into {sorted(undeclared)}")
    return values | dict(resolved)


def settings_of(params: Any, option: str, table: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the settings of the chosen entry of a table, its defaults filled in.

    Parameters
    ----------
    params : dataclass
    option : str
        The parameter that chooses the entry.
    table : mapping
        From names to entries, see `choices`.

    Raises
    ------
    CommandLineError
        When a setting is given that belongs to other entries only.
    """
    chosen = getattr(params, option)
    given = given_settings(params, table)
    for name in given:
        if name not in table[chosen].settings:
            raise CommandLineError(
                f"{option_of(name)} belongs to --{option} {owners_of(name, table)}, not to {chosen}; "
                f"leave it out or change the {option}."
            )
    return {**table[chosen].settings, **given}


def given_settings(params: Any, table: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the settings, of whatever entry, that were given on the command line."""
    every = {name for entry in table.values() for name in entry.settings}
    return {name: getattr(params, name) for name in sorted(every) if getattr(params, name) is not None}


def owners_of(setting: str, table: Mapping[str, Entry]) -> str:
    """Return the names of the entries that have a setting, with commas between them."""
    return ", ".join(name for name, entry in table.items() if setting in entry.settings)


def option_of(name: str) -> str:
    """Return a parameter as it is typed.

    Examples
    --------
    >>> option_of("kernel_size")
    '--kernel-size'
    """
    return f"--{name.replace('_', '-')}"


def default_of(setting: str, table: Mapping[str, Entry]) -> str:
    """Return the words of a help text that give a setting's default for each entry of a table."""
    owners: dict[float, list[str]] = {}
    for name, entry in table.items():
        if setting in entry.settings:
            owners.setdefault(entry.settings[setting], []).append(name)
    words = [f"{value:g} for {', '.join(names)}" for value, names in owners.items()]
    return f"[default: {'; '.join(words)}]"


def typed(params: Any) -> list[str]:
    """Return the words that a person types behind a subcommand: arguments, then options that are not at a default.

    Parameters
    ----------
    params : dataclass
        Parameters of a stage or command.

    Returns
    -------
    list of str
    """
    from typer.models import ArgumentInfo, ParameterInfo

    annotations = hints(type(params))
    words: list[str] = []
    arguments: list[str] = []
    for each in fields(params):
        kind, extras = annotations[each.name]
        declared = marker(extras, ParameterInfo)
        value = getattr(params, each.name)
        is_list = isinstance(value, list)
        if isinstance(declared, ArgumentInfo):
            arguments += [str(one) for one in (value if is_list else [value]) if one is not None]
            continue
        if value is None or value == each.default:
            continue
        option, off = _both_words(each.name, declared)
        if value is False:
            # Without a word that switches it off, leaving it out does.
            words += [off] if off else []
            continue
        # An option that takes several values is typed once for each; any other list is one value.
        for one in value if is_list and takes_several(kind) else [value]:
            words += _words(option, each.name, one)
    return arguments + words


def names_of(params: type[Any]) -> dict[str, str]:
    """Return the name of every field by what is typed for it: an option's word without dashes, or an argument's name.

    Parameters
    ----------
    params : type
        A dataclass of parameters.

    Returns
    -------
    dict of str to str
    """
    from typer.models import ArgumentInfo, ParameterInfo

    found = {}
    for name, (_, extras) in hints(params).items():
        declared = marker(extras, ParameterInfo)
        is_argument = isinstance(declared, ArgumentInfo)
        found[name if is_argument else declared_option(name, declared).removeprefix("--")] = name
    return found


def declared_option(name: str, option: Any) -> str:
    """Return an option as it is typed.

    Parameters
    ----------
    name : str
        Of its field.
    option : OptionInfo
        As it is declared; it may have a word of its own.
    """
    return _both_words(name, option)[0]


def _both_words(name: str, option: Any) -> tuple[str, str]:
    """Return the words that switch an option on and off; the second may be empty."""
    # Within Annotated, Typer takes the first declared word for the default.
    candidates = [option.default, *(option.param_decls or ())]
    for word in candidates:
        if isinstance(word, str) and word.startswith("--"):
            on, _, off = word.partition("/")
            return on, off
    return option_of(name), ""


def _words(option: str, name: str, value: Any) -> list[str]:
    """Return an option with its value as they are typed."""
    if value is True:
        return [option]
    if isinstance(value, dict):
        pairs = [f"{key}={each}" for key, each in value.items()]
        return [option, ",".join(pairs)] if pairs else []
    if not isinstance(value, list):
        return [option, str(value)]
    if name == "split":
        shares = [f"{100 * share:g}" for share in value]
        return [option, ":".join(shares)]
    typed = [str(each) for each in value]
    return [option, ",".join(typed) or "none"]
