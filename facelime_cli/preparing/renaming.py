"""Long names of classes and findings, from a table of two columns, JSON or a list."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.core import class_lists
from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.names import WITHOUT
from facelime_cli.sources import LINE_BREAKS, Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.preparing.account import Account

TWO_COLUMNS = 2
MOST_SHOWN = 3
"""Names that a message shows."""


def renamed(entries: list[Entry], file: Path, account: Account) -> list[Entry]:
    """Return entries whose classes and findings have long names.

    Two that get one name become one: such a finding is present where one of them is, and absent where all are.

    Parameters
    ----------
    entries : list of Entry
    file : Path
        The table.
    account : Account
        Its findings are renamed, too. A single one makes two classes.

    Returns
    -------
    list of Entry

    Raises
    ------
    FacelimeError
        When a row has not two columns, or a class has two names.
    """
    names, form = class_names(file)
    if form:
        account.said.append(f"{file.name}: {form}")
    known = {*account.labels, *(entry.label for entry in entries if entry.label is not None)}
    if known and known.isdisjoint(names):
        raise FacelimeError(
            f"{file} names {_some(names)}, and the source has {_some(known)}: none of them; give two columns, a name "
            "as the source has it, and its long name."
        )
    if len(account.labels) == 1:
        name = account.labels[0]
        # Who renames a finding means its absence, too.
        names.setdefault(WITHOUT.format(name), WITHOUT.format(names.get(name, name)))
        entries = with_two_classes(entries, account)
    old = account.labels
    made: dict[int, dict[str, int]] = {}
    found = []
    for entry in entries:
        findings = entry.findings
        if findings is not None:
            # Pictures that say the same share one mapping.
            if id(findings) not in made:
                made[id(findings)] = _joined(findings, old, names)
            findings = made[id(findings)]
        label = None if entry.label is None else names.get(entry.label, entry.label)
        found.append(replace(entry, label=label, findings=findings))
    account.labels = list(dict.fromkeys(names.get(name, name) for name in old))
    return with_two_classes(found, account)


def _some(names: Collection[str]) -> str:
    """Return the first of some names, as a message shows them."""
    first = sorted(names)[:MOST_SHOWN]
    return ", ".join(map(repr, first)) + (" …" if len(names) > len(first) else "")


def with_two_classes(entries: list[Entry], account: Account) -> list[Entry]:
    """Return entries of a source with a single finding as those of two classes, without it and with it.

    Parameters
    ----------
    entries : list of Entry
    account : Account
        Names the findings; of a single one then the two classes.

    Returns
    -------
    list of Entry
        As they are where there are several findings or none.
    """
    if len(account.labels) != 1 or all(entry.findings is None for entry in entries):
        return entries
    (name,) = account.labels
    absent = WITHOUT.format(name)
    account.labels = [absent, name]
    account.said.append(f"the single finding {name!r} makes two classes, {absent!r} and {name!r}")
    classes = {1: name, 0: absent, None: None}
    return [
        replace(entry, label=classes[None if entry.findings is None else entry.findings.get(name)], findings=None)
        for entry in entries
    ]


def _joined(findings: Mapping[str, int], every: Sequence[str], names: Mapping[str, str]) -> dict[str, int]:
    """Return findings under their long names; one of several is known to be absent only where all of them are."""
    said: dict[str, list[int | None]] = {}
    for name in every:
        said.setdefault(names.get(name, name), []).append(findings.get(name))
    joined = {}
    for name, values in said.items():
        if 1 in values:
            joined[name] = 1
        elif None not in values:
            joined[name] = 0
    return joined


def class_names(path: Path) -> tuple[dict[str, str], str]:
    """Return the long name of each class, and how the file differs from comma-separated UTF-8.

    A JSON file and a text of one name per line name classes by their numbers from 0; JSON may have ids too.

    Parameters
    ----------
    path : Path

    Returns
    -------
    names : dict
    form : str

    Raises
    ------
    FacelimeError
        When a row has not two columns, or a class has two names.
    """
    if path.suffix.lower() == ".json":
        return _of_json(path), ""
    names: dict[str, str] = {}
    lines, form = tables.lines(path, lambda cells: len(cells) == TWO_COLUMNS)
    if lines and all(len(line.cells) == 1 and '"' not in line.cells[0] for line in lines):
        return class_lists.in_order([line.cells[0] for line in lines]).by_source, form
    for line in lines:
        cells = line.cells
        if len(cells) != TWO_COLUMNS or not all(cells) or LINE_BREAKS & set("".join(cells)):
            raise FacelimeError(
                f"{path} should have two columns in every row, a class and its long name, and line {line.number} "
                "has not; quote names that hold a comma."
            )
        if names.setdefault(cells[0], cells[1]) != cells[1]:
            raise FacelimeError(f"{path} has two long names for the class {cells[0]}; leave one of them.")
    return names, form


def _of_json(path: Path) -> dict[str, str]:
    try:
        with opened(path) as stream:
            text = stream.read().decode("utf-8-sig")
    except OSError as why:
        raise NotFoundError(f"the class names in {path} cannot be read ({reason_of(why)}); check the path.") from why
    except UnicodeDecodeError as why:
        raise FacelimeError(f"{path} is not UTF-8 text; save the class names as UTF-8.") from why
    return class_lists.from_json(text, str(path)).by_source
