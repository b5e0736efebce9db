"""What the rows of a table say of a picture's class or findings, and what several rows of one picture say together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from facelime_cli.errors import CommandLineError
from facelime_cli.names import comma_separated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.preparing.gathering import Records

ANY, MAJORITY, FIRST = "any", "majority", "first"
ROWS = (ANY, MAJORITY, FIRST)
UNKNOWN, POSITIVE, NEGATIVE, DROP = "unknown", "positive", "negative", "drop"
UNCERTAIN_AS = (UNKNOWN, POSITIVE, NEGATIVE, DROP)
BLANK_AS = (UNKNOWN, NEGATIVE)
SEPARATOR = "|"
"""What stands between several findings in one cell, where no option says it."""
NO_SEPARATOR = "none"
NO_FINDING = "No Finding"
"""What stands in place of findings where there are none; small letters and capitals are the same."""
RANGE = ".."
"""Between two columns: these and all between them."""

Each = TypeVar("Each")


@dataclass(frozen=True)
class Reading:
    """How the cells of labels are read.

    Attributes
    ----------
    column : str, optional
        The column of the class, or of several findings in one cell.
    columns : str, optional
        Columns of 0 and 1, as they are typed.
    separator : str, optional
        Between several findings in one cell.
    no_finding : str
        What means that there is none of the findings.
    uncertain, blank : str
        What -1 and an empty cell mean in the columns of 0 and 1.
    rows : str, optional
        How several rows of one picture are joined; without it they must not differ.
    reader : str, optional
        The column of who made a row.
    """

    column: str | None = None
    columns: str | None = None
    separator: str | None = None
    no_finding: str = NO_FINDING
    uncertain: str = UNKNOWN
    blank: str = UNKNOWN
    rows: str | None = None
    reader: str | None = None


@dataclass
class Outcome:
    """What the pictures of a table are said to show.

    Attributes
    ----------
    labels : dict
        The class of each picture by its id, None where nothing is known. Empty where there are findings.
    findings : dict
        The findings of each picture by its id: names as 1 or 0, those that are unknown left out.
    names : list of str
        Of the findings, or of the columns.
    dropped : set of str
        Ids of the pictures that are left out since a finding is uncertain.
    facts : dict
        What was decided and how often.
    said : list of str
        The same in words, to stand beside each other in one line.
    """

    labels: dict[str, str | None] = field(default_factory=dict)
    findings: dict[str, Mapping[str, int]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def columns_of(columns: str, known: Sequence[str]) -> list[str]:
    """Return the columns that a list names; `A..B` are all from A to B.

    Parameters
    ----------
    columns : str
        As they are typed.
    known : sequence of str
        The columns in their order.

    Returns
    -------
    list of str
        Those that are not known, too: the caller refuses them.

    Raises
    ------
    CommandLineError
        When it names none, or one twice.

    Examples
    --------
    >>> columns_of("a, c..e", ["a", "b", "c", "d", "e"])
    ['a', 'c', 'd', 'e']
    """
    found: list[str] = []
    for each in filter(None, map(str.strip, comma_separated(columns))):
        first, between, last = each.partition(RANGE)
        if each in known or not between or first not in known or last not in known:
            found.append(each)
        else:
            found += known[known.index(first) : known.index(last) + 1]
    if not found or len(set(found)) < len(found):
        raise CommandLineError(f"--label-columns {columns!r} names no column, or one twice; correct it.")
    return found


def typed(columns: str | None) -> list[str]:
    """Return the names that stand in a list of columns, before any column is known.

    Parameters
    ----------
    columns : str, optional

    Returns
    -------
    list of str

    Examples
    --------
    >>> typed("a,c..e")
    ['a', 'c..e', 'c', 'e']
    """
    found: list[str] = []
    for each in [] if columns is None else comma_separated(columns):
        first, between, last = each.partition(RANGE)
        found += [each, first, last] if between else [each]
    return found


def readers(records: Records, reading: Reading) -> list[str]:
    """Return who made each row.

    Parameters
    ----------
    records : Records
    reading : Reading

    Returns
    -------
    list of str
        Empty texts without a column for it: then every row is made by somebody else.
    """
    if reading.reader is None:
        return [""] * len(records.rows)
    place = records.check("--reader-column", reading.reader)
    return [row[place] for row in records.rows]


def by_reader(said: Sequence[tuple[str, Each]]) -> list[list[Each]]:
    """Return what each reader says.

    Parameters
    ----------
    said : sequence of (str, object)
        The reader of each row of a picture, and what the row says.

    Returns
    -------
    list of list
        A row without a reader is that of one more.

    Examples
    --------
    >>> by_reader([("R1", "a"), ("R2", "b"), ("R1", "c"), ("", "d")])
    [['a', 'c'], ['b'], ['d']]
    """
    found: dict[object, list[Each]] = {}
    for number, (reader, each) in enumerate(said):
        found.setdefault(reader or number, []).append(each)
    return list(found.values())
