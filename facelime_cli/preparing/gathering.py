"""The rows of one or several tables, with the columns that joined tables add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.preparing.findings import RANGE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.tables import Sheet

Cells = tuple[str, ...]


@dataclass
class Records:
    """The rows of some tables under common columns.

    Attributes
    ----------
    columns : dict
        From the name of each to its place in a row.
    rows : list of tuple of str
    lines : list of (int, int)
        Of each row, the number of its table and its line there.
    files : tuple of Path
        The tables.
    joined : tuple of Path
        The tables that only add columns.
    doubled : dict
        Names that several columns of a table have, with this table; none of these is among the columns.
    forms : list of str
        How tables differ from comma-separated UTF-8, each with its name.
    without_partner : int
        Rows for which a joined table has no row.
    """

    columns: dict[str, int]
    rows: list[Cells]
    lines: list[tuple[int, int]]
    files: tuple[Path, ...]
    joined: tuple[Path, ...]
    doubled: dict[str, Path]
    forms: list[str]
    without_partner: int = 0

    def where(self, number: int) -> str:
        """Return where a row stands, for a message.

        Parameters
        ----------
        number : int
            Of the row.

        Returns
        -------
        str
        """
        table, line = self.lines[number]
        return f"line {line} of {self.files[table]}"

    def named(self) -> str:
        """Return the tables' names for a message."""
        return " and ".join(map(str, self.files))

    def check(self, option: str, column: str) -> int:
        """Return the place of a column that an option names.

        Parameters
        ----------
        option : str
            As it is typed.
        column : str

        Returns
        -------
        int

        Raises
        ------
        FacelimeError
            When several columns are called so.
        CommandLineError
            When none is.
        """
        if column in self.doubled:
            raise FacelimeError(
                f"{self.doubled[column]} has several columns {column!r}, so {option} is not clear; rename or remove "
                "all but one."
            )
        if column not in self.columns:
            # Of a range, the end that is wrong is named.
            for end in column.split(RANGE) if RANGE in column else ():
                self.check(option, end)
            raise CommandLineError(
                f"{option} {column!r} is no column of {self.named()}; its columns are {', '.join(self.columns)}."
            )
        return self.columns[column]


def gather(files: Sequence[Path], joined: Sequence[Path], asked: Collection[str], names: Collection[str]) -> Records:
    """Return the rows of some tables, one below the other, with the columns that others add.

    Parameters
    ----------
    files : sequence of Path
        Tables of pictures. A column that one of them has not is empty there.
    joined : sequence of Path
        Tables whose rows are found by the columns that they share with these.
    asked, names : collection of str
        Columns that options name, and those among them that hold names.

    Returns
    -------
    Records

    Raises
    ------
    NotFoundError
        When there is no such file.
    FacelimeError
        When one is no table, has no rows, or cannot be joined.
    """
    sheets = [_sheet(file, asked, names, "--table") for file in files]
    columns = {name: None for sheet in sheets for name in sheet.columns}
    places = {name: place for place, name in enumerate(columns)}
    found = Records(places, [], [], tuple(files), tuple(joined), {}, [])
    for number, sheet in enumerate(sheets):
        _note(found, sheet)
        for line, row in zip(sheet.numbers, _under(sheet, places), strict=True):
            found.rows.append(row)
            found.lines.append((number, line))
    for file in joined:
        sheet = _sheet(file, [*places, *asked], names, "--join")
        _note(found, sheet)
        _join(found, sheet)
    for name in found.doubled:
        found.columns.pop(name, None)
    return found


def _sheet(file: Path, asked: Collection[str], names: Collection[str], option: str) -> Sheet:
    sheet = tables.sheet(file, asked, names)
    if not sheet.rows:
        raise FacelimeError(f"{file} has no rows below its heading; check {option}.")
    return sheet


def _note(found: Records, sheet: Sheet) -> None:
    for name in sheet.doubled:
        found.doubled.setdefault(name, sheet.file)
    if sheet.form:
        found.forms.append(f"{sheet.file.name}: {sheet.form}")


def _under(sheet: Sheet, places: Mapping[str, int]) -> list[Cells]:
    """Return the rows of a table under the columns of all tables."""
    if tuple(places) == sheet.columns:
        return sheet.rows
    own = {name: place for place, name in enumerate(sheet.columns)}
    order = [own.get(name) for name in places]
    return [tuple("" if place is None else row[place] for place in order) for row in sheet.rows]


def _join(found: Records, sheet: Sheet) -> None:
    """Add the columns of a table to the rows that say the same in the columns they share with it."""
    shared = [name for name in sheet.columns if name in found.columns and name not in found.doubled]
    if not shared:
        raise FacelimeError(
            f"{sheet.file} shares no column with {found.named()}, so its rows cannot be joined; its columns are "
            f"{', '.join(sheet.columns)}."
        )
    theirs = [sheet.columns.index(name) for name in shared]
    ours = [found.columns[name] for name in shared]
    # What is doubled in one of the tables is left out of all.
    added = [place for place, name in enumerate(sheet.columns) if name not in shared and name not in found.doubled]
    rows: dict[Cells, tuple[int, Cells]] = {}
    for line, row in zip(sheet.numbers, sheet.rows, strict=True):
        key = tuple(row[place] for place in theirs)
        more = tuple(row[place] for place in added)
        first, known = rows.setdefault(key, (line, more))
        if known != more:
            raise FacelimeError(
                f"lines {first} and {line} of {sheet.file} both belong to {_shown(shared, key)} and say different "
                "things; leave one of them."
            )
    _add(found, rows, ours, [sheet.columns[place] for place in added], sheet, shared)


def _add(
    found: Records,
    rows: Mapping[Cells, tuple[int, Cells]],
    ours: Sequence[int],
    added: Sequence[str],
    sheet: Sheet,
    shared: Sequence[str],
) -> None:
    empty, lost = ("",) * len(added), 0
    for number, row in enumerate(found.rows):
        partner = rows.get(tuple(row[place] for place in ours))
        lost += partner is None
        found.rows[number] = row + (empty if partner is None else partner[1])
    if lost == len(found.rows):
        key = tuple(found.rows[0][place] for place in ours)
        raise FacelimeError(
            f"no row of {sheet.file} belongs to a row of {found.named()}, such as that with {_shown(shared, key)}; "
            "check --join."
        )
    found.without_partner += lost
    for name in added:
        found.columns[name] = len(found.columns)


def _shown(names: Sequence[str], cells: Cells) -> str:
    return ", ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
