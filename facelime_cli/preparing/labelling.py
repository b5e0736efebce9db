"""What tables say of pictures: their classes or findings, groups, splits and further columns; rows meet files by id."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.preparing import findings, gathering, matching
from facelime_cli.preparing.account import Account
from facelime_cli.preparing.findings import ANY, FIRST, MAJORITY, Reading
from facelime_cli.preparing.matching import Place
from facelime_cli.preparing.splitting import split_of
from facelime_cli.sources import LINE_BREAKS, NO_SPLIT, Entry, Fault, check_there, picture_files, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.preparing.findings import Outcome
    from facelime_cli.preparing.gathering import Cells, Records

ERROR, SKIP = "error", "skip"
MISSING_AS = (ERROR, SKIP)
"""What is done where a row's picture is not there."""
NAMED = 3
"""Places that a message names."""


@dataclass(frozen=True)
class Table:
    """Tables of pictures, and how they are read.

    Attributes
    ----------
    files : tuple of Path
    id_column : str
        Column of the picture's id.
    reading : Reading
        How classes or findings are read.
    group_column, split_column : str, optional
        Columns of its patient or lesion, and of its split.
    one_per_group : bool
        Whether only the first picture of each group counts.
    columns : tuple of str, optional
        The further columns that are kept; by default all.
    joined : tuple of Path
        Tables that add columns.
    missing : str
        Whether a picture that is not there is an error.
    """

    files: tuple[Path, ...]
    id_column: str
    reading: Reading = field(default_factory=Reading)
    group_column: str | None = None
    split_column: str | None = None
    one_per_group: bool = False
    columns: tuple[str, ...] | None = None
    joined: tuple[Path, ...] = ()
    missing: str = ERROR

    @property
    def names(self) -> dict[str, str]:
        """The columns that hold names, by the options that name them."""
        options = {
            "--id-column": self.id_column,
            "--label-column": self.reading.column,
            "--group-column": self.group_column,
            "--split-column": self.split_column,
            "--reader-column": self.reading.reader,
        }
        return {option: column for option, column in options.items() if column is not None}


@dataclass
class Listed:
    """What the rows say, by the pictures' ids as they stand in the table.

    Attributes
    ----------
    ids : list of str
        Sorted.
    outcome : Outcome
        Classes or findings.
    groups : dict
        None for a picture without one.
    splits : dict
        Indices into `SPLITS`, or `NO_SPLIT`.
    columns : dict
        The further columns.
    n_rows : int
    account : Account
    """

    ids: list[str]
    outcome: Outcome
    groups: dict[str, str | None]
    splits: dict[str, int]
    columns: dict[str, dict[str, str]]
    n_rows: int
    account: Account


def find(sources: Sequence[Path], table: Table) -> tuple[list[Entry], Account]:
    """Return the pictures that the rows of a table name, found by id in the sources and below.

    Parameters
    ----------
    sources : sequence of Path
        Folders in which its pictures lie, and pictures.
    table : Table

    Returns
    -------
    entries : list of Entry
        In the order of their ids.
    account : Account
        What was decided.

    Raises
    ------
    NotFoundError
        When a source, the table or a picture of it is not there.
    CommandLineError
        When a column is not there.
    FacelimeError
        When an id may mean several pictures, or the table contradicts itself.
    """
    check_there(sources)
    listed = read_table(table)
    faults: list[Fault] = []
    paths, places = _files(sources, faults, listed.account.passed)
    met = dict(zip(listed.ids, matching.find(listed.ids, places), strict=True))
    ids = listed.ids
    if table.missing == SKIP:
        ids = [name for name in ids if met[name].places]
    if table.one_per_group:
        ids = _first_of_groups(ids, listed.groups)
    met = _settled({name: met[name] for name in ids}, paths, table)
    lost = [name for name in listed.ids if name in met and not met[name].places]
    if not met or (lost and table.missing == ERROR):
        _refuse_lost(lost or listed.ids, listed, table, places, faults)
    found = {name: paths[meant.places[0]] for name, meant in met.items() if meant.places}
    _say_missing(listed, sum(name not in found for name in (listed.ids if table.missing == SKIP else ids)), faults)
    return _entries(found, listed), listed.account


def _files(sources: Sequence[Path], faults: list[Fault], passed: Counter[str]) -> tuple[list[Path], list[Place]]:
    """Return the files in some sources, and where they lie."""
    paths, places = [], []
    for source in sources:
        root = os.path.abspath(source)  # noqa: PTH100 - a Path for each of many files takes long
        if not source.is_dir():
            paths.append(source)
            places.append(Place(root, 1))
            continue
        # Paths below the current folder do not begin with its name.
        start = 0 if str(source) == "." else len(str(source))
        for path in picture_files(source, faults, passed):
            below = str(path)[start:].strip(os.sep)
            paths.append(path)
            places.append(Place(f"{root}/{below}", below.count(os.sep) + 1))
    return paths, places


def _first_of_groups(ids: Sequence[str], groups: Mapping[str, str | None]) -> list[str]:
    first: dict[str, str] = {}
    for name in ids:
        # Ids are sorted, so that the first of a group is always the same.
        first.setdefault(groups[name] or name, name)
    return list(first.values())


def _settled(met: dict[str, matching.Found], paths: Sequence[Path], table: Table) -> dict[str, matching.Found]:
    """Return one file for each id; a file that two ids may mean belongs to that which fits longer."""
    owners: dict[int, str] = {}
    settled = dict(met)
    for name, found in met.items():
        if len(found.places) > 1:
            places = ", ".join(readable(str(paths[place])) for place in found.places[:NAMED])
            raise FacelimeError(
                f"the picture {name} is there more than once: {places}; give one of these folders only, or write more "
                f"of the path in the column {table.id_column}."
            )
        for place in found.places:
            other = owners.setdefault(place, name)
            if other == name:
                continue
            if met[other].length == found.length:
                raise FacelimeError(
                    f"{other} and {name} in the column {table.id_column} both mean {readable(str(paths[place]))}; "
                    "leave one of them."
                )
            owners[place], loser = (other, name) if met[other].length > found.length else (name, other)
            settled[loser] = matching.Found()
    return settled


def _refuse_lost(
    lost: Sequence[str], listed: Listed, table: Table, places: Sequence[Place], faults: Sequence[Fault]
) -> None:
    remedy = "give the folder that holds it as one more SOURCE"
    if table.missing == ERROR:
        remedy += f", or leave such rows out with --missing-pictures {SKIP}"
    if faults:
        remedy = f"it may be in {readable(str(faults[0].path))}, which {faults[0].reason}"
    near = matching.nearest(lost[0], places)
    if near is not None:
        remedy = f"the path most like it is {readable(near)}; give the folder from which on both are alike as SOURCE"
    padded = _padded(lost, places)
    if padded is not None:
        remedy = f"{padded} is there, so the column {table.id_column} seems to have lost its zeros; save it as text"
    raise NotFoundError(
        f"{len(lost)} of {len(listed.ids)} pictures of {' and '.join(map(str, table.files))} are in none of the "
        f"sources, such as {lost[0]}; {remedy}."
    )


def _padded(lost: Sequence[str], places: Iterable[Place]) -> str | None:
    """Return the name of a file that is a lost id with zeros in front, such as 0001 for 1."""
    if not lost[0].isdigit():
        return None
    names = (matching.without_suffix(place.path.rpartition("/")[2])[0] for place in places)
    return next((name for name in names if name != lost[0] and name.lstrip("0") == lost[0].lstrip("0")), None)


def _say_missing(listed: Listed, n: int, faults: Sequence[Fault]) -> None:
    if not n:
        return
    listed.account.facts["missing_pictures"] = n
    said = f"{n:,} of {len(listed.ids):,} pictures of the table are in none of the sources, and are left out"
    if faults:
        said += f"; some may be in {readable(str(faults[0].path))}, which {faults[0].reason}"
    listed.account.warnings.append(f"{said}.")


def _entries(found: Mapping[str, Path], listed: Listed) -> list[Entry]:
    """Return the entries of the pictures; the id is that of the table, as a path without the picture's suffix."""
    stems = {name: _id_of(name, path) for name, path in found.items()}
    # A table may hold a.jpg and a.png: there the suffix stays.
    counts = Counter(stems.values())
    entries = []
    for name, path in found.items():
        own = stems[name] if counts[stems[name]] == 1 else matching.plain(name)
        entries.append(
            Entry(
                own,
                path,
                label=listed.outcome.labels.get(name),
                group=listed.groups[name],
                split=listed.splits.get(name, NO_SPLIT),
                findings=listed.outcome.findings.get(name),
                columns=listed.columns[name],
            )
        )
    return sorted(entries, key=lambda entry: entry.id)


def _id_of(name: str, path: Path) -> str:
    """Return the id of a picture; a name that only looks as if it ended in a suffix is whole."""
    whole = matching.plain(name)
    stem, suffix = matching.without_suffix(whole)
    if not suffix:
        return whole
    file = matching.without_suffix(str(path))[0].rpartition(os.sep)[2]
    return whole if file == whole.rpartition("/")[2] else stem


def read_table(table: Table) -> Listed:
    """Return what the rows of a table say of each picture.

    Equal rows count once: some published tables hold each picture several times, which would be a leak.

    Parameters
    ----------
    table : Table

    Returns
    -------
    Listed

    Raises
    ------
    NotFoundError
        When there is no such file.
    CommandLineError
        When a column is not there.
    FacelimeError
        When it is no table, a row of it has no id, or two of its rows contradict each other.
    """
    names = table.names
    labels = findings.typed(table.reading.columns)
    records = gathering.gather(table.files, table.joined, [*names.values(), *labels], list(names.values()))
    for option, column in names.items():
        records.check(option, column)
    # Their cells are read later; here only whether they are there.
    typed = table.reading.columns
    label_columns = [] if typed is None else findings.columns_of(typed, list(records.columns))
    for column in label_columns:
        records.check("--label-columns", column)
    for column in table.columns or ():
        records.check("--columns", column)
    _check_rows(records, table)
    by_picture = _by_picture(records, table)
    kept = _kept(records, table, label_columns)
    differing = _check_same(records, by_picture, table, kept, label_columns)
    outcome = findings.read(records, by_picture, table.reading)
    ids = [name for name in by_picture if name not in outcome.dropped]
    chosen = {name: by_picture[name] for name in ids}
    listed = Listed(
        ids,
        outcome,
        _groups(records, chosen, table),
        _splits(records, chosen, table),
        _columns(records, chosen, [name for name in kept if name not in differing]),
        len(records.rows),
        Account(labels=outcome.names if outcome.findings else []),
    )
    _tell(listed, records, by_picture, table, differing)
    return listed


def _check_rows(records: Records, table: Table) -> None:
    """Refuse a row without an id, and one whose names hold a line break: a quote that is not closed joins rows."""
    place = records.columns[table.id_column]
    names = {column: records.columns[column] for column in table.names.values()}
    for number, row in enumerate(records.rows):
        if tables.is_empty(row[place]):
            raise FacelimeError(f"{records.where(number)} has no {table.id_column}; fill it in, or take it out.")
        for column, at in names.items():
            if LINE_BREAKS & set(row[at]):
                raise FacelimeError(
                    f"the {column} in {records.where(number)} holds a line break; close the quote that opens there."
                )


def _by_picture(records: Records, table: Table) -> dict[str, list[int]]:
    """Return the numbers of the rows of each picture, in the order of the ids."""
    place = records.columns[table.id_column]
    found: dict[str, list[int]] = {}
    for number, row in enumerate(records.rows):
        found.setdefault(row[place], []).append(number)
    return {name: found[name] for name in sorted(found)}


def _kept(records: Records, table: Table, label_columns: Sequence[str]) -> list[str]:
    """Return the further columns: class, group and split have arrays of their own."""
    used = {*table.names.values(), *label_columns}
    kept = [name for name in records.columns if name not in used]
    return kept if table.columns is None else [name for name in kept if name in table.columns]


def _check_same(
    records: Records,
    by_picture: Mapping[str, Sequence[int]],
    table: Table,
    kept: Sequence[str],
    label_columns: Sequence[str],
) -> set[str]:
    """Refuse rows of one picture that differ; with `--rows`, return the further columns in which they do."""
    reading = table.reading
    own = [column for column in (table.group_column, table.split_column) if column is not None]
    labels = [*label_columns, *([reading.column] if reading.column else [])]
    # Who takes the first row takes its columns, too.
    checked = {None: [*own, *labels, *kept], FIRST: []}.get(reading.rows, [*own, *kept])
    places = [(column, records.columns[column]) for column in checked]
    differing: set[str] = set()
    for name, numbers in by_picture.items():
        if len(numbers) == 1:
            continue
        rows = [records.rows[number] for number in numbers]
        for column, place in places:
            if all(row[place] == rows[0][place] for row in rows):
                continue
            if reading.rows is None:
                _refuse_rows(name, column, records, numbers, place)
            if column in own:
                raise FacelimeError(
                    f"the rows of the picture {name} in {records.named()} have several {column}: "
                    f"{_values(rows, place)}; correct them."
                )
            differing.add(column)
    return differing


def _values(rows: Iterable[Cells], place: int) -> str:
    return " and ".join(list(dict.fromkeys(repr(row[place]) for row in rows))[:NAMED])


def _refuse_rows(name: str, column: str, records: Records, numbers: Sequence[int], place: int) -> None:
    rows = [records.rows[number] for number in numbers]
    raise FacelimeError(
        f"{records.named()} has several rows for the picture {name}, which say different things ({column} is "
        f"{_values(rows, place)}); leave one of them, or join them with --rows {ANY}, {MAJORITY} or {FIRST}."
    )


def _groups(records: Records, by_picture: Mapping[str, Sequence[int]], table: Table) -> dict[str, str | None]:
    """Return the group of each picture; an empty cell says nothing."""
    if table.group_column is None:
        return dict.fromkeys(by_picture)
    place = records.columns[table.group_column]
    found: dict[str, str | None] = {}
    for name, numbers in by_picture.items():
        cell = records.rows[numbers[0]][place]
        found[name] = None if tables.is_empty(cell) else cell
    return found


def _splits(records: Records, by_picture: Mapping[str, Sequence[int]], table: Table) -> dict[str, int]:
    if table.split_column is None:
        return {}
    place = records.columns[table.split_column]
    found = {}
    for name, numbers in by_picture.items():
        where = f"{table.split_column} in {records.where(numbers[0])}"
        found[name] = split_of(records.rows[numbers[0]][place], where)
    return found


def _columns(
    records: Records, by_picture: Mapping[str, Sequence[int]], kept: Sequence[str]
) -> dict[str, dict[str, str]]:
    places = [records.columns[name] for name in kept]
    # Many pictures say the same there, and nobody changes it.
    made: dict[Cells, dict[str, str]] = {}
    found = {}
    for name, numbers in by_picture.items():
        row = records.rows[numbers[0]]
        cells = tuple(row[place] for place in places)
        if cells not in made:
            made[cells] = dict(zip(kept, cells, strict=True))
        found[name] = made[cells]
    return found


def _tell(
    listed: Listed,
    records: Records,
    by_picture: Mapping[str, Sequence[int]],
    table: Table,
    differing: Iterable[str],
) -> None:
    """Count and say what was decided."""
    account, outcome = listed.account, listed.outcome
    if records.forms:
        # A word out of the table stands behind the name of its encoding, for the user alone.
        account.facts["forms"] = [form.partition(": ")[2].partition(", such as")[0] for form in records.forms]
        account.said += records.forms
    _tell_rows(account, records, by_picture, table, differing)
    account.facts |= outcome.facts
    account.said += outcome.said
    _count(account, "without_partner", records.without_partner, "rows have no row in the table of --join")
    _count(account, "dropped", len(outcome.dropped), "pictures with an uncertain finding are left out")
    if table.group_column is not None:
        without = sum(group is None for group in listed.groups.values())
        _count(account, "without_group", without, f"pictures have no {table.group_column} and are groups of their own")
    if table.reading.column or table.reading.columns:
        known = outcome.findings or outcome.labels
        without = sum(not known[name] for name in listed.ids)
        _count(account, "unlabelled", without, "pictures have no label, since their cells are empty or unknown")
    silent = [name for name in account.labels if not any(name in each for each in outcome.findings.values())]
    if silent:
        account.facts["without_values"] = silent
        account.warnings.append(f"nothing is known of {', '.join(silent)} in any picture; left out.")
        account.labels = [name for name in account.labels if name not in silent]
    if records.doubled:
        account.facts["doubled_columns"] = len(records.doubled)
        account.warnings.append(
            f"several columns of the table are called {' or '.join(map(repr, records.doubled))}; they are left out."
        )


def _tell_rows(
    account: Account,
    records: Records,
    by_picture: Mapping[str, Sequence[int]],
    table: Table,
    differing: Iterable[str],
) -> None:
    several = sum(len(numbers) > 1 for numbers in by_picture.values())
    if not several:
        return
    account.facts["rows"] = {"rows": len(records.rows), "pictures": len(by_picture), "with_several": several}
    how = "equal rows count once"
    if table.reading.rows is not None:
        account.facts["rows"]["joined"] = table.reading.rows
        how = f"joined by --rows {table.reading.rows}"
    account.said.append(
        f"{len(records.rows):,} rows of {len(by_picture):,} pictures, {several:,} of them with several rows ({how})"
    )
    left_out = sorted(differing, key=list(records.columns).index)
    if left_out:
        account.facts["rows"]["columns_left_out"] = left_out
        account.said.append(f"{', '.join(left_out)} differ between the rows of a picture and are left out")


def _count(account: Account, name: str, n: int, words: str) -> None:
    if n:
        account.facts[name] = n
        account.said.append(f"{n:,} {words}")
