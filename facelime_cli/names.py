"""What users name on the command line: lists with commas, pictures of a dataset, classes of a model."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from facelime_cli.errors import CommandLineError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_NAMED = 8
"""Classes that a message names: as many as fit a line."""

MOST_DIGITS = 18
"""Of a number that stands within a text: those of 64 bits."""

WITHOUT = "no {}"
"""The class of the pictures without a finding, where a dataset is about this finding alone."""


def comma_separated(text: str) -> list[str]:
    """Return the names in a list with commas between them; a name that holds a comma stands in double quotes.

    Parameters
    ----------
    text : str
        As it is typed.

    Returns
    -------
    list of str

    Raises
    ------
    CommandLineError
        When it holds a line break or a name that is too long.

    Examples
    --------
    >>> comma_separated('a, "b, c",d')
    ['a', 'b, c', 'd']
    """
    try:
        return next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as why:
        raise CommandLineError(f"{text!r} is no list of names with commas between them ({why}); correct it.") from why


def whole_number(text: str, least: int, most: int) -> int | None:
    """Return the whole number that a text is, or None where it is none within these bounds.

    Parameters
    ----------
    text : str
        As it is typed.
    least, most : int

    Returns
    -------
    int or None

    Examples
    --------
    >>> whole_number("12", 1, 99), whole_number("²", 1, 99), whole_number("9" * 5000, 1, 99)
    (12, None, None)
    """
    # Python refuses to read a text of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        return None
    number = int(text)
    return number if least <= number <= most else None


def listing(names: Iterable[str]) -> str:
    """Return names as `comma_separated` reads them.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    str
    """
    stream = io.StringIO()
    # Both characters of this line end are quoted where they stand in a name.
    csv.writer(stream, lineterminator="\r\n").writerow(names)
    return stream.getvalue().removesuffix("\r\n")


def row_of(name: str, ids: list[str]) -> int:
    """Return the place of a picture among ids, by its id or by the id's last part where that is enough.

    Parameters
    ----------
    name : str
        As it is typed.
    ids : list of str

    Returns
    -------
    int

    Raises
    ------
    NotFoundError
        When no picture is called so, or several are.
    """
    # A whole id comes first: it may be the last part of another one.
    found = [row for row, each in enumerate(ids) if each == name]
    if not found:
        found = [row for row, each in enumerate(ids) if each.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        first = ", ".join(ids[row] for row in found[:5])
        raise NotFoundError(f"{name} could be {first}; give the whole id.")
    raise NotFoundError(f"there is no picture {name!r} here; an id looks like {ids[0]!r}.")


def rows_of(names: Iterable[str], ids: list[str]) -> list[int]:
    """Return the places of pictures among ids, as `row_of` finds each of them.

    Parameters
    ----------
    names : iterable of str
        As they are typed.
    ids : list of str

    Returns
    -------
    list of int

    Raises
    ------
    NotFoundError
        When no picture is called so, or several are.

    Examples
    --------
    >>> rows_of(["b", "x/a"], ["x/a", "x/b", "y/a"])
    [1, 0]
    """
    # Looking through all ids for each of twenty thousand names would take minutes.
    whole: dict[str, int] = {}
    last: dict[str, list[int]] = {}
    for row, each in enumerate(ids):
        whole.setdefault(each, row)
        last.setdefault(each.rpartition("/")[2], []).append(row)
    found = []
    for name in names:
        alone = last.get(name, [])
        by_part = alone[0] if len(alone) == 1 else None
        place = whole.get(name, by_part)
        found.append(row_of(name, ids) if place is None else place)
    return found


def class_indices(text: str, names: list[str]) -> list[int]:
    """Return the classes in a list, each once.

    A text that is the whole name of a class is that class, whatever commas it has.

    Parameters
    ----------
    text : str
        Names or numbers with commas between them.
    names : list of str
        Of all classes.

    Returns
    -------
    list of int

    Raises
    ------
    NotFoundError
        When there is no such class.

    Examples
    --------
    >>> class_indices('1,cat, "crane, small"', ["cat", "dog", "crane, small"])
    [1, 0, 2]
    >>> class_indices("crane, small", ["cat", "crane, small"])
    [1]
    """
    words = [text] if text in names else comma_separated(text) or [text]
    found = [class_index(each, names) for each in words]
    # A dict keeps the order in which classes were first named.
    return list(dict.fromkeys(found))


def class_index(text: str, names: list[str]) -> int:
    """Return the class that a name or a number means.

    Parameters
    ----------
    text : str
        As it is typed.
    names : list of str
        Of all classes.

    Returns
    -------
    int

    Raises
    ------
    NotFoundError
        When no class is called so, or several are.
    """
    word = text.strip()
    # A name comes before a number: a class may be called 7.
    found = [index for index, name in enumerate(names) if name == word]
    if len(found) == 1:
        return found[0]
    number = whole_number(word, 0, len(names) - 1)
    if number is not None and not found:
        return number
    if found:
        raise NotFoundError(
            f"{len(found)} classes are called {word!r}; use their numbers, {', '.join(map(str, found))}."
        )
    more = len(names) > MOST_NAMED
    raise NotFoundError(
        f"there is no class {word!r}; the classes are {', '.join(names[:MOST_NAMED])}{' …' if more else ''}."
    )
