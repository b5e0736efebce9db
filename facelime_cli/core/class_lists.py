"""Lists of class names as other programs write them: JSON of ImageNet and of Keras, and CSV."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS = '["tench", …], {"0": "tench", …}, {"0": ["n01440764", "tench"], …} or {"tench": 0, …}'
"""JSON that is read: a list, ImageNet's, that of `keras.applications`, and the `class_indices` of a Keras generator."""
PAIR = 2
"""Columns of a table of classes, and texts of a class in ImageNet's index."""


@dataclass(frozen=True)
class ClassList:
    """Names of classes in the order of a network's outputs.

    Attributes
    ----------
    names : list of str
    ids : list of str
        What each is called in the data, such as n01440764; its number where the list has no ids.
    """

    names: list[str]
    ids: list[str]

    @property
    def by_source(self) -> dict[str, str]:
        """The name of each class by its id and by its number: a source may call it by either."""
        numbers = {str(number): name for number, name in enumerate(self.names)}
        return numbers | dict(zip(self.ids, self.names, strict=True))


def in_order(names: list[str]) -> ClassList:
    """Return a list of names that stand one after the other.

    Parameters
    ----------
    names : list of str

    Examples
    --------
    >>> in_order(["tench", "goldfish"]).by_source
    {'0': 'tench', '1': 'goldfish'}
    """
    return ClassList(names, [str(number) for number in range(len(names))])


def from_json(text: str, file: str) -> ClassList:
    """Return the classes of a JSON text, in any of `FORMS`.

    Parameters
    ----------
    text : str
    file : str
        Its name, for messages.

    Returns
    -------
    ClassList

    Raises
    ------
    FacelimeError
        When it is none of these, or a number is missing.

    Examples
    --------
    >>> from_json('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', "index.json").by_source["n01443537"]
    'goldfish'
    >>> from_json('{"rosacea": 1, "normal": 0}', "classes.json").names
    ['normal', 'rosacea']
    """
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, file))
    except (ValueError, RecursionError) as why:
        raise FacelimeError(f"{file} is no JSON ({why}); save the class names as {FORMS}.") from why
    if isinstance(value, list):
        found = in_order(value)
    elif isinstance(value, dict) and value and all(type(each) is int for each in value.values()):
        found = in_order([value_of for _, value_of in _numbered({str(n): name for name, n in value.items()}, file)])
        _check_every(len(value), len(found.names), file)
    elif isinstance(value, dict):
        found = _by_number(value, file)
    else:
        found = in_order([])
    if not found.names or not all(isinstance(each, str) and each.strip() for each in (*found.names, *found.ids)):
        raise FacelimeError(f"{file} holds no class names; save them as {FORMS}.")
    return found


def _once(pairs: list[tuple[str, Any]], file: str) -> dict[str, Any]:
    """Return an object whose keys stand there once: JSON itself takes the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise FacelimeError(f"{file} has {twice!r} twice; leave one of them.")
    return found


def _check_every(given: int, found: int, file: str) -> None:
    if given != found:
        raise FacelimeError(f"{file} gives one number to several classes; number them from 0 to {given - 1}.")


def _by_number(value: Mapping[str, Any], file: str) -> ClassList:
    """Return the classes of an object from numbers to names, or to ids and names."""
    each = [given for _, given in _numbered(value, file)]
    if all(isinstance(one, list) and len(one) == PAIR for one in each):
        return ClassList([name for _, name in each], [key for key, _ in each])
    return in_order(each)


def _numbered(value: Mapping[str, Any], file: str) -> list[tuple[str, Any]]:
    """Return what stands under the numbers from 0 on, in their order."""
    wanted = [str(number) for number in range(len(value))]
    missing = next((number for number in wanted if number not in value), None)
    if missing is not None:
        raise FacelimeError(
            f"{file} names {len(value)} classes, and none has the number {missing}; "
            f"number them from 0 to {len(value) - 1}, as in {FORMS}."
        )
    return [(number, value[number]) for number in wanted]


def from_csv(text: str, file: str) -> ClassList:
    r"""Return the classes of a table: a name in each row, or a number or an id, and a name.

    Parameters
    ----------
    text : str
        With commas between cells. A heading is left out where the first column holds numbers.
    file : str
        Its name, for messages.

    Returns
    -------
    ClassList
        By number where there are numbers, else in the order of the rows.

    Raises
    ------
    FacelimeError
        When a row has other columns.

    Examples
    --------
    >>> from_csv("index,name\n1,rosacea\n0,normal\n", "classes.csv").names
    ['normal', 'rosacea']
    """
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    except csv.Error as why:
        raise FacelimeError(f"{file} is no table ({why}); save it as comma-separated UTF-8.") from why
    widths = {len(row) for row in rows}
    if widths == {1}:
        return in_order([row[0] for row in rows])
    if widths != {PAIR}:
        raise FacelimeError(
            f"{file} should have one column of names, or two, a number or an id and a name, in every row; "
            "quote names that hold a comma."
        )
    below = rows[1:] if not _is_number(rows[0][0]) and all(_is_number(row[0]) for row in rows[1:]) else rows
    if not below or not all(_is_number(row[0]) for row in below):
        return ClassList([name for _, name in rows], [key for key, _ in rows])
    by_number = _once([(str(int(number)), name) for number, name in below], file)
    return in_order([name for _, name in _numbered(by_number, file)])


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit()
