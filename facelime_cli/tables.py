"""Tables that others made: delimited text, read so that no row is joined, cut or moved without a word."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.machine import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

COMMA = ","
DELIMITERS = {COMMA: "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MARKS = {
    codecs.BOM_UTF8: ("utf-8-sig", ""),
    # The mark of UTF-32 begins with that of UTF-16.
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF32_BE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
"""Encodings by the mark in front of a text: how Python calls them, and how people do where it is not UTF-8."""
WESTERN, WESTERN_WORDS = "cp1252", "Windows-1252 (Latin-1)"
"""What a text is taken for that has no mark and is no UTF-8."""
GZIPPED, ZIPPED = b"\x1f\x8b", b"PK\x03\x04"
EMPTY = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null"})
"""Cells, in small letters, that say nothing. Programs write such words where a value is missing."""
DECIMAL = re.compile(r"[+-]?\d*[.,]?\d+(?:[eE][+-]?\d+)?")
SAMPLE = 20
"""Letters around the first one that is no ASCII, in a message."""
REMEDY = "save it as comma-separated UTF-8."


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
class Sheet:
    """A table below its heading.

    Attributes
    ----------
    file : Path
    columns : tuple of str
        Their names, each once.
    doubled : tuple of str
        Names that several columns have; none of these is among the columns.
    numbers : list of int
        The first line of each row in the file, from 1.
    rows : list of tuple of str
        The cells under the columns, without spaces around them.
    form : str
        How it differs from comma-separated UTF-8, in words; empty where it does not.
    """

    file: Path
    columns: tuple[str, ...]
    doubled: tuple[str, ...]
    numbers: list[int]
    rows: list[tuple[str, ...]]
    form: str


@dataclass(frozen=True)
class _Text:
    """The lines of a text file with their ends, its encoding where that is not UTF-8, and a word that shows it."""

    lines: list[str]
    encoding: str = ""


def is_empty(cell: str) -> bool:
    """Return whether a cell says nothing.

    Parameters
    ----------
    cell : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_empty("NaN"), is_empty(""), is_empty("none")
    (True, True, False)
    """
    return cell.lower() in EMPTY


def lines(path: Path, suits: Callable[[list[str]], int]) -> tuple[list[Line], str]:
    """Return the rows of a table, those without any text left out, and how it differs from comma-separated UTF-8.

    Parameters
    ----------
    path : Path
    suits : callable
        Says how well the cells of the first row fit what is expected; the delimiter is that which fits best.

    Returns
    -------
    lines : list of Line
    form : str
        In words; empty where it does not differ.

    Raises
    ------
    NotFoundError
        When there is no such file, or it may not be read.
    FacelimeError
        When it is no such text, or a quote in it is not closed.
    """
    text, delimiter, form = _recognised(path, suits)
    return list(_lines(path, text, delimiter)), form


def sheet(path: Path, asked: Collection[str], names: Collection[str] = ()) -> Sheet:
    """Return a table below its heading.

    Parameters
    ----------
    path : Path
    asked : collection of str
        Columns that are looked for: the delimiter is that with which most of them are found.
    names : collection of str
        Columns that hold names: a decimal comma in them stays.

    Returns
    -------
    Sheet

    Raises
    ------
    NotFoundError
        When there is no such file, or it may not be read.
    FacelimeError
        When it is no table, or a row has not the heading's number of cells.
    """
    wanted = set(asked)

    def suits(cells: list[str]) -> int:
        # A heading whose columns nobody looks for is divided where it falls into most columns.
        return 1000 * len(wanted.intersection(cells)) + min(len(cells), 999)

    text, delimiter, form = _recognised(path, suits)
    found = _lines(path, text, delimiter)
    heading = next(found, Line(1, [])).cells
    # Spreadsheets write the empty columns at the right of a sheet, too.
    while heading and not heading[-1] and heading.count("") > 1:
        heading.pop()
    doubled = tuple(name for name, count in Counter(heading).items() if count > 1)
    kept = [place for place, name in enumerate(heading) if name not in doubled]
    numbers, rows = [], []
    # The same few texts stand in most cells: one of each is kept.
    seen: dict[str, str] = {}
    for line in found:
        cells = _cells(path, heading, line, delimiter)
        numbers.append(line.number)
        # A list first: a tuple of a generator takes twice as long.
        rows.append(tuple([seen.setdefault(cells[place], cells[place]) for place in kept]))
    columns = tuple(heading[place] for place in kept)
    if delimiter != COMMA:
        rows = _with_points(columns, rows, names)
    return Sheet(path, columns, doubled, numbers, rows, form)


def _recognised(path: Path, suits: Callable[[list[str]], int]) -> tuple[list[str], str, str]:
    """Return the lines of a table, its delimiter, and its form in words."""
    text = _text(path)
    rows, declared = text.lines, None
    # Excel's own way to say it.
    if rows and (match := re.fullmatch(r'"?sep=(.)"?\r?\n?', rows[0])):
        declared, rows = match[1], ["\n", *rows[1:]]
    delimiter = declared or max(DELIMITERS, key=lambda each: _suits(path, rows, each, suits))
    words = [] if delimiter == COMMA else [DELIMITERS.get(delimiter, f"{delimiter!r} between cells")]
    return rows, delimiter, ", ".join(words + [text.encoding] * bool(text.encoding))


def _suits(path: Path, rows: list[str], delimiter: str, suits: Callable[[list[str]], int]) -> int:
    try:
        first = next(_lines(path, rows, delimiter), None)
    except FacelimeError:
        return -1
    return 0 if first is None else suits(first.cells)


def _lines(path: Path, text: Iterable[str], delimiter: str) -> Iterator[Line]:
    """Yield the rows of a text, those without any text left out."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
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
                f"close the quote that opens there, or {REMEDY}"
            ) from why
        if any(cell.strip() for cell in cells):
            yield Line(begun, [cell.strip() for cell in cells])


def _text(path: Path) -> _Text:
    """Return a text file, whatever of the usual encodings it has."""
    content = _unpacked(path)
    for mark, (name, words) in MARKS.items():
        if content.startswith(mark):
            try:
                text = content.decode(name)
            except UnicodeDecodeError as why:
                raise FacelimeError(f"{path} is not {words or 'UTF-8'} text ({why}); {REMEDY}") from why
            return _Text(_divided(path, text), words)
    try:
        return _Text(_divided(path, content.decode()))
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode(WESTERN)
    except UnicodeDecodeError as why:
        raise FacelimeError(f"{path} is neither UTF-8, UTF-16 nor {WESTERN_WORDS} text ({why}); {REMEDY}") from why
    # Any bytes nearly are such a text, so that a reader must see what became of them.
    sample = re.search(r"\w*[^\x00-\x7f]\w*", text)
    shown = f', such as "{sample[0][:SAMPLE]}"' if sample else ""
    return _Text(_divided(path, text), f"{WESTERN_WORDS}{shown}")


def _divided(path: Path, text: str) -> list[str]:
    """Return the lines of a text with their ends."""
    if "\0" in text:
        raise FacelimeError(f"{path} holds a zero byte, so it is no table; {REMEDY}")
    # Lines end as in a file: other marks, such as the line separator of Unicode, may stand in a cell.
    return list(io.StringIO(text, newline=""))


def _unpacked(path: Path) -> bytes:
    """Return the bytes of a file, unpacked where it is a .gz file."""
    try:
        with opened(path) as stream:
            content = stream.read()
            if not content.startswith(GZIPPED):
                return _checked(path, content)
            stream.seek(0)
            # A few kilobytes can hold zeros without end; the text is kept several times.
            most = free_memory() // 4
            content = gzip.GzipFile(fileobj=stream).read(most + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as why:
        raise FacelimeError(f"{path} is a damaged .gz file ({why}); get it again.") from why
    except OSError as why:
        raise NotFoundError(f"{path} cannot be read as a table ({reason_of(why)}); give a .csv file.") from why
    if len(content) > most:
        raise FacelimeError(f"{path} unpacks to more than fits into the memory; give a part of it.")
    return _checked(path, content)


def _checked(path: Path, content: bytes) -> bytes:
    if content.startswith(ZIPPED):
        raise FacelimeError(f"{path} is a workbook or a .zip file, not a table; {REMEDY}")
    return content


def _cells(path: Path, heading: list[str], line: Line, delimiter: str) -> list[str]:
    """Return a row's cells; refuse one whose cells stand under no column, or that has swallowed another row."""
    cells = list(line.cells)
    # Spreadsheets fill short rows of a sheet up with empty cells.
    while len(cells) > len(heading) and not cells[-1]:
        cells.pop()
    if len(cells) != len(heading):
        word = "comma" if delimiter == COMMA else "delimiter"
        raise FacelimeError(
            f"line {line.number} of {path} has {len(cells)} cells, but the heading has {len(heading)}; "
            f"quote cells that hold a {word}, and correct the row."
        )
    for cell in cells:
        if "\n" not in cell and "\r" not in cell:
            continue
        further = cell.replace("\r", "\n").split("\n")[1:]
        # Commas of a text have a space behind them; those between cells have none.
        if any(part.count(delimiter) >= len(heading) - 1 > 0 and f"{delimiter} " not in part for part in further):
            raise FacelimeError(
                f"a cell in line {line.number} of {path} holds a whole row; close the quote that opens there."
            )
    return cells


def _with_points(
    columns: tuple[str, ...], rows: list[tuple[str, ...]], names: Collection[str]
) -> list[tuple[str, ...]]:
    """Return rows in which columns of numbers have decimal points, not commas."""
    commas = []
    for place, column in enumerate(columns):
        said = {row[place] for row in rows if not is_empty(row[place])}
        if column not in names and any("," in cell for cell in said) and all(map(DECIMAL.fullmatch, said)):
            commas.append(place)
    if not commas:
        return rows
    changed = []
    for row in rows:
        cells = list(row)
        for place in commas:
            cells[place] = cells[place].replace(",", ".")
        changed.append(tuple(cells))
    return changed
