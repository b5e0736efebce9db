"""Published splits: a column of a table, or lists of ids; what is in none of them may be divided."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli import tables
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.preparing import matching
from facelime_cli.preparing.account import Account
from facelime_cli.preparing.matching import Place
from facelime_cli.sources import NO_SPLIT, SPLITS, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = {
    "train": 0,
    "training": 0,
    "val": 1,
    "valid": 1,
    "validate": 1,
    "validation": 1,
    "test": 2,
    "testing": 2,
}
"""How published tables call the splits, in small letters."""
COLUMN = "split"
"""The column of a split in a file that `--split-file` names, where no option says it."""
TRAIN = 0


def split_of(cell: str, where: str) -> int:
    """Return the split that a cell names.

    Parameters
    ----------
    cell : str
    where : str
        The cell's place, for the message.

    Returns
    -------
    int
        Index into `SPLITS`; `NO_SPLIT` for an empty cell.

    Raises
    ------
    FacelimeError
        When it names none.
    """
    if tables.is_empty(cell):
        return NO_SPLIT
    found = WORDS.get(cell.lower())
    if found is None:
        raise FacelimeError(
            f"{where} is {cell!r}, which is no split; write one of {', '.join(WORDS)}, or leave it empty."
        )
    return found


def is_published(params: Any) -> bool:
    """Return whether options of `preprocess` name a published split."""
    return params.split_column is not None or bool(params.split_file)


def column_of_table(params: Any) -> str | None:
    """Return the column of the split in the table of pictures, None where it is elsewhere or nowhere."""
    elsewhere = any(split is None for split, _ in _files(params))
    return None if elsewhere else params.split_column


def divided(entries: Sequence[Entry], params: Any) -> tuple[list[Entry], Account]:
    """Return pictures with their published split.

    With `--split`, those for training and those without a split get none, so that they are divided.

    Parameters
    ----------
    entries : sequence of Entry
        Those of a table have the split of its column.
    params : dataclass
        Those of `preprocess`.

    Returns
    -------
    entries : list of Entry
    account : Account

    Raises
    ------
    CommandLineError
        When an option names no file or no column.
    FacelimeError
        When a file is no list, names no picture of these, or names one picture in two splits.
    """
    account = Account()
    if not is_published(params):
        return list(entries), account
    found = list(entries)
    files = _files(params)
    if files:
        if any(entry.split != NO_SPLIT for entry in entries):
            raise FacelimeError(
                f"--split-file does not fit {params.source[0]}, which is already divided into train, val and test; "
                "leave it out."
            )
        found = _by_lists(found, files, params, account)
    counted = Counter(entry.split for entry in found)
    account.facts["published_split"] = {
        **{name: counted[place] for place, name in enumerate(SPLITS)},
        "none": counted[NO_SPLIT],
    }
    numbers = " / ".join(f"{counted[place]:,} {name}" for place, name in enumerate(SPLITS))
    account.said.append(f"published split: {numbers}" + f", {counted[NO_SPLIT]:,} in none" * bool(counted[NO_SPLIT]))
    if params.split is None:
        return found, account
    return [replace(entry, split=NO_SPLIT) if entry.split == TRAIN else entry for entry in found], account


def shares(given: Sequence[float] | None, default: Sequence[float], entries: Sequence[Entry]) -> list[float] | None:
    """Return the shares by which the pictures without a published split are divided.

    Parameters
    ----------
    given : sequence of float, optional
        From `--split`.
    default : sequence of float
        Shares where none are given.
    entries : sequence of Entry
        From `divided`.

    Returns
    -------
    list of float or None
        None where nothing is divided.

    Raises
    ------
    CommandLineError
        When a share is given to a published split.
    """
    published = {entry.split for entry in entries} - {NO_SPLIT}
    if given is not None:
        for place in sorted(published):
            if given[place] > 0:
                raise CommandLineError(
                    f"--split gives the {SPLITS[place]} split a share, but its pictures are published; "
                    "write 0 in its place."
                )
        return list(given)
    # Who publishes what is trained on leaves nothing to divide.
    if TRAIN in published:
        return None
    left = [0.0 if place in published else share for place, share in enumerate(default)]
    return [round(share / sum(left), 9) for share in left]


def _files(params: Any) -> list[tuple[int | None, Path]]:
    """Return the files of `--split-file`, each with the split that stands in front of it."""
    found: list[tuple[int | None, Path]] = []
    for text in params.split_file or ():
        word, equals, path = text.partition("=")
        split = WORDS.get(word.strip().lower()) if equals else None
        name = text if split is None else path
        if not name or "\0" in name:
            raise CommandLineError(
                f"--split-file {text!r} names no file; write FILE, or SPLIT=FILE such as test=list.txt."
            )
        found.append((split, Path(name)))
    return found


def _by_lists(
    entries: list[Entry], files: Sequence[tuple[int | None, Path]], params: Any, account: Account
) -> list[Entry]:
    listed: dict[str, tuple[int, Path]] = {}
    for split, path in files:
        for name, own in _read(path, split, params):
            before, elsewhere = listed.setdefault(name, (own, path))
            if before != own:
                raise FacelimeError(
                    f"{name} is in the {SPLITS[before]} split of {elsewhere} and in the {SPLITS[own]} split of {path}; "
                    "take it out of one."
                )
    places = [Place(entry.id, entry.id.count("/") + 1) for entry in entries]
    splits: dict[int, int] = {}
    lost = 0
    for name, found in zip(listed, matching.find(listed, places), strict=True):
        lost += not found.places
        if len(found.places) > 1:
            one, other = (entries[place].file for place in found.places[:2])
            raise FacelimeError(f"{name} of {listed[name][1]} may be {one} or {other}; write more of its path.")
        for place in found.places:
            if splits.setdefault(place, listed[name][0]) != listed[name][0]:
                raise FacelimeError(f"{entries[place].file} is in two splits of the --split-file; take it out of one.")
    if not splits:
        raise FacelimeError(
            f"--split-file {files[0][1]} names none of the pictures, such as {entries[0].file}, but "
            f"{next(iter(listed))}; check it."
        )
    if lost:
        account.facts["listed_without_picture"] = lost
        account.said.append(f"{lost:,} ids of the split files are no picture here")
    return [replace(entry, split=splits.get(place, NO_SPLIT)) for place, entry in enumerate(entries)]


def _read(path: Path, split: int | None, params: Any) -> list[tuple[str, int]]:
    """Return the ids of a file with their splits: of a table with the column of ids, else of a list."""

    def suits(cells: list[str]) -> int:
        return int(params.id_column in cells)

    found, _ = tables.lines(path, suits)
    if found and params.id_column in found[0].cells:
        return _of_table(path, split, params)
    if split is None:
        raise FacelimeError(
            f"{path} is no table with a column {params.id_column!r}; name this column with --id-column, or for a list "
            f"of ids give its split as --split-file test={path}."
        )
    for line in found:
        if len(line.cells) != 1:
            raise FacelimeError(
                f"line {line.number} of {path} has {len(line.cells)} cells; give a list with one id in each line, or a "
                f"table with the column {params.id_column} (--id-column)."
            )
    if not found:
        raise FacelimeError(f"{path} names no picture; check --split-file.")
    return [(line.cells[0], split) for line in found]


def _of_table(path: Path, split: int | None, params: Any) -> list[tuple[str, int]]:
    column = params.split_column or COLUMN
    sheet = tables.sheet(path, [params.id_column, column], [params.id_column, column])
    for name in (params.id_column, column) if split is None else (params.id_column,):
        if name not in sheet.columns:
            raise CommandLineError(
                f"{name!r} is no single column of {path}; its columns are {', '.join(sheet.columns)}."
            )
    names = sheet.columns.index(params.id_column)
    if split is not None:
        return [(row[names], split) for row in sheet.rows]
    place = sheet.columns.index(column)
    pairs = zip(sheet.numbers, sheet.rows, strict=True)
    found = [(row[names], split_of(row[place], f"{column} in line {line} of {path}")) for line, row in pairs]
    return [(name, own) for name, own in found if own != NO_SPLIT]
