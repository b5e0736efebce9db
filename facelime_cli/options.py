"""What a parameter is: markers, hints, and what of it counts for the result."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from facelime_cli.errors import CommandLineError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Input:
    """Marks a parameter that is a reference to an artifact of one of these kinds."""

    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Execution:
    """Marks a parameter that changes how the work is done but not what comes out: no part of the fingerprint."""


@dataclass(frozen=True)
class Choice:
    """Marks a parameter whose values are the keys of a table."""

    values: tuple[str, ...]


def hints(params: type[Any]) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return type and annotations (`Input`, `Execution`, option) of every parameter."""
    resolved = get_type_hints(params, include_extras=True)
    found = {}
    for each in fields(params):
        first, *extras = get_args(resolved[each.name])
        found[each.name] = (first, tuple(extras))
    return found


def inputs_of(params: type[Any]) -> dict[str, tuple[str, ...]]:
    """Return the kinds that each reference parameter may point to."""
    return {
        name: extra.kinds for name, (_, extras) in hints(params).items() for extra in extras if isinstance(extra, Input)
    }


def results_of(params: Any) -> dict[str, Any]:
    """Return the parameters that can change the result, as JSON values: the fingerprint's part."""
    values = {}
    for name, (_, extras) in hints(type(params)).items():
        if not any(isinstance(extra, (Input, Execution)) for extra in extras):
            values[name] = getattr(params, name)
    return values


def own_parameters(params: Any, option: str, table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of the chosen entry of a table, defaults filled in; one that belongs to other entries only is an error."""
    chosen = getattr(params, option)
    every = {name for each in table.values() for name in each}
    given = {name: getattr(params, name) for name in sorted(every) if getattr(params, name) is not None}
    for name in given:
        if name not in table[chosen]:
            owners = ", ".join(entry for entry, each in table.items() if name in each)
            raise CommandLineError(
                f"--{name.replace('_', '-')} belongs to --{option} {owners}, not to {chosen}; leave it out or change the {option}."
            )
    return {**table[chosen], **given}


def default_of(parameter: str, table: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the words of a help text that give a parameter's default for each entry of a table."""
    defaults: dict[float, list[str]] = {}
    for entry, each in table.items():
        if parameter in each:
            defaults.setdefault(each[parameter], []).append(entry)
    words = [f"{value:g} for {', '.join(entries)}" for value, entries in defaults.items()]
    return f"[default: {'; '.join(words)}]"
