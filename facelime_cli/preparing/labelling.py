"""What a table says of pictures: their classes, groups and further columns; its rows are found among files by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.sources import LINE_BREAKS, Entry, Fault, check_there, picture_files, readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table of pictures.

    Attributes
    ----------
    file : Path
    id_column : str
        Column of the picture's id.
    label_column, group_column : str, optional
        Columns of its class, and of its patient or lesion.
    one_per_group : bool
        Whether only the first picture of each group counts.
    columns : tuple of str, optional
        The further columns that are kept; by default all.
    """

    file: Path
    id_column: str
    label_column: str | None
    group_column: str | None
    one_per_group: bool = False
    columns: tuple[str, ...] | None = None


def find(sources: Sequence[Path], table: Table) -> list[Entry]:
    """Return the pictures that the rows of a table name, found by id in the sources and below.

    Parameters
    ----------
    sources : sequence of Path
        Folders in which its pictures lie, and pictures.
    table : Table

    Returns
    -------
    list of Entry
        In the order of their ids.

    Raises
    ------
    NotFoundError
        When a source, the table or a picture of it is not there.
    FacelimeError
        When a picture is there more than once, or the table contradicts itself.
    """
    check_there(sources)
    rows = read_table(table)
    ids = [row[table.id_column] for row in rows]
    faults: list[Fault] = []
    files = _files_by_name(sources, faults)
    lost = [name for name in ids if name not in files]
    if lost:
        remedy = "give the folder that holds it as one more SOURCE."
        if faults:
            remedy = f"it may be in {readable(str(faults[0].path))}, which {faults[0].reason}."
        raise NotFoundError(
            f"{len(lost)} of {len(rows)} pictures of {table.file} are in none of the sources, such as {lost[0]}; "
            f"{remedy}"
        )
    wanted = set(ids)
    for name, paths in files.items():
        if name in wanted and len(paths) > 1:
            places = ", ".join(map(str, paths[:3]))
            raise FacelimeError(
                f"the picture {name} is there more than once: {places}; give one of these folders only."
            )
    return [_of_row(row, table, files[name][0]) for name, row in zip(ids, rows, strict=True)]


def _files_by_name(sources: Sequence[Path], faults: list[Fault]) -> dict[str, list[Path]]:
    """Return the files in some sources by their names without extension."""
    files: dict[str, list[Path]] = {}
    for source in sources:
        for path in picture_files(source, faults) if source.is_dir() else (source,):
            files.setdefault(path.stem, []).append(path)
    return files


def _of_row(row: Mapping[str, str], table: Table, path: Path) -> Entry:
    """Return the picture of a row; an empty cell says nothing."""
    label = row[table.label_column] if table.label_column else ""
    group = row[table.group_column] if table.group_column else ""
    # Class and group have arrays of their own; the other columns are kept as they are.
    used = {table.id_column, table.label_column, table.group_column}
    columns = {name: value for name, value in row.items() if name not in used}
    if table.columns is not None:
        columns = {name: value for name, value in columns.items() if name in table.columns}
    return Entry(row[table.id_column], path, label=label or None, group=group or None, columns=columns)


def read_table(table: Table) -> list[dict[str, str]]:
    """Return the rows of a table, one per picture, by id; with `one_per_group` only the first of each group.

    Equal rows count once: some published tables hold each picture several times, which would be a leak.

    Parameters
    ----------
    table : Table

    Returns
    -------
    list of dict
        From column names to texts, without spaces around them.

    Raises
    ------
    NotFoundError
        When there is no such file.
    CommandLineError
        When a column is not there.
    FacelimeError
        When it is no table, a row of it has no id, or two of its rows contradict each other.
    """
    rows = tables.rows(table.file)
    if not rows:
        raise FacelimeError(f"{table.file} has no rows below its heading; check --table.")
    columns = {"id": table.id_column, "label": table.label_column, "group": table.group_column}
    for option, column in columns.items():
        if column is not None and column not in rows[0].cells:
            raise CommandLineError(
                f"--{option}-column {column!r} is no column of {table.file}; "
                f"its columns are {', '.join(rows[0].cells)}."
            )
    for column in table.columns or ():
        if column not in rows[0].cells:
            raise CommandLineError(
                f"--columns {column!r} is no column of {table.file}; its columns are {', '.join(rows[0].cells)}."
            )
    for row in rows:
        _check_row(row, table)
    rows.sort(key=lambda row: row.cells[table.id_column])
    return _one_row_each([row.cells for row in rows], table)


def _check_row(row: tables.Row, table: Table) -> None:
    """Refuse a row without an id, and one whose names hold a line break: a quote that is not closed joins rows."""
    if not row.cells[table.id_column]:
        raise FacelimeError(f"line {row.line} of {table.file} has no {table.id_column}; fill it in, or take it out.")
    for column in (table.id_column, table.label_column, table.group_column):
        if column is not None and LINE_BREAKS & set(row.cells[column]):
            raise FacelimeError(
                f"the {column} in line {row.line} of {table.file} holds a line break; close the quote that opens there."
            )


def _one_row_each(rows: list[dict[str, str]], table: Table) -> list[dict[str, str]]:
    by_id: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row[table.id_column]
        if by_id.setdefault(name, row) != row:
            raise FacelimeError(
                f"{table.file} has several rows for the picture {name}, which say different things; leave one of them."
            )
    if not table.one_per_group or table.group_column is None:
        return list(by_id.values())
    by_group: dict[str, dict[str, str]] = {}
    for row in by_id.values():
        # Rows are sorted by id, so that the first of a group is always the same.
        group = row[table.group_column] or row[table.id_column]
        by_group.setdefault(group, row)
    return list(by_group.values())
