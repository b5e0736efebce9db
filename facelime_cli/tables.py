"""Tables that others made: CSV files, read so that no row is joined, cut or moved without a word."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import FacelimeError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Line:
    """A row as it stands in the file.

    Attributes
    ----------
    number : int
        Of its first line, from 1.
    cells : list of str
        Without spaces around them.
    """

    number: int
    cells: list[str]


@dataclass(frozen=True)
class Row:
    """A row below a heading.

    Attributes
    ----------
    line : int
        Its first line in the file, from 1.
    cells : dict
        From column names to texts, without spaces around them.
    """

    line: int
    cells: dict[str, str]


def lines(path: Path) -> Iterator[Line]:
    """Yield the rows of a CSV file, those without any text left out.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Line

    Raises
    ------
    NotFoundError
        When there is no such file, or it may not be read.
    FacelimeError
        When it is not CSV in UTF-8.
    """
    reader = csv.reader(_text(path), strict=True)
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as why:
            # A quote that is not closed runs on to the end of the file, or to the next quote.
            raise FacelimeError(
                f"{path} is no readable CSV table ({why}, in the row that begins in line {begun}); "
                "close the quote that opens there, or save it as comma-separated UTF-8."
            ) from why
        if any(cell.strip() for cell in cells):
            yield Line(begun, [cell.strip() for cell in cells])


def _text(path: Path) -> list[str]:
    """Return the lines of a text file, with their ends."""
    try:
        with opened(path) as stream:
            # Spreadsheets write a byte order mark, which would become a part of the first cell.
            text = stream.read().decode("utf-8-sig")
    except OSError as why:
        raise NotFoundError(f"{path} cannot be read as a table ({reason_of(why)}); give a .csv file.") from why
    except UnicodeDecodeError as why:
        raise FacelimeError(f"{path} is not UTF-8 text ({why}); save it as comma-separated UTF-8.") from why
    if "\0" in text:
        raise FacelimeError(f"{path} holds a zero byte, so it is no table; save it as comma-separated UTF-8.")
    # Lines end as in a file: other marks, such as the line separator of Unicode, may stand in a cell.
    return list(io.StringIO(text, newline=""))


def rows(path: Path) -> list[Row]:
    """Return the rows of a table below its heading.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of Row

    Raises
    ------
    NotFoundError
        When there is no such file, or it may not be read.
    FacelimeError
        When it is no table: two columns have one name, or a row has not the heading's number of cells.
    """
    found = lines(path)
    names = next(found, Line(1, [])).cells
    # Spreadsheets write the empty columns at the right of a sheet, too.
    while names and not names[-1] and names.count("") > 1:
        names.pop()
    _check_heading(path, names)
    return [_row(path, names, line) for line in found]


def _check_heading(path: Path, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FacelimeError(f"{path} has several columns {twice[0]!r}; rename or remove all but one.")
    for separator, words in OTHER_SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise FacelimeError(f"{path} is separated by {words}, not by commas; save it as comma-separated UTF-8.")


def _row(path: Path, names: list[str], line: Line) -> Row:
    """Return a row by its columns; refuse one whose cells stand under no column, or that has swallowed another row."""
    cells = list(line.cells)
    # Spreadsheets fill short rows of a sheet up with empty cells.
    while len(cells) > len(names) and not cells[-1]:
        cells.pop()
    if len(cells) != len(names):
        raise FacelimeError(
            f"line {line.number} of {path} has {len(cells)} cells, but the heading has {len(names)}; "
            "quote cells that hold a comma, and correct the row."
        )
    for cell in cells:
        further = cell.replace("\r", "\n").split("\n")[1:]
        # Commas of a text have a space behind them; those between cells have none.
        if any(part.count(",") >= len(names) - 1 > 0 and ", " not in part for part in further):
            raise FacelimeError(
                f"a cell in line {line.number} of {path} holds a whole row; close the quote that opens there."
            )
    return Row(line.number, dict(zip(names, cells, strict=True)))
