"""What the rows of tables say of each picture: its class or findings, group, split and further columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.errors import FacelimeError
from facelime_cli.preparing import coded, findings, gathering, named
from facelime_cli.preparing.account import Account
from facelime_cli.preparing.findings import ANY, FIRST, MAJORITY, Outcome, Reading
from facelime_cli.preparing.splitting import split_of
from facelime_cli.sources import LINE_BREAKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.preparing.gathering import Cells, Records

ERROR, SKIP = "error", "skip"
MISSING_AS = (ERROR, SKIP)
"""What is done where a row's picture is not there."""
NAMED = 3
"""Values that a message names."""


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
    label_columns = _label_columns(records, table)
    for column in table.columns or ():
        records.check("--columns", column)
    _check_rows(records, table)
    by_picture = _by_picture(records, table)
    kept = _kept(records, table, label_columns)
    differing = _check_same(records, by_picture, table, kept, label_columns)
    outcome = _read(records, by_picture, table.reading)
    ids = [name for name in by_picture if name not in outcome.dropped]
    if not ids:
        raise FacelimeError(
            f"every picture of {records.named()} has an uncertain finding, so --uncertain drop leaves none; choose "
            "another value."
        )
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


def _read(records: Records, by_picture: Mapping[str, Sequence[int]], reading: Reading) -> Outcome:
    if reading.columns is not None:
        return coded.read(records, by_picture, reading)
    if reading.column is not None:
        return named.read(records, by_picture, reading)
    return Outcome(dict.fromkeys(by_picture))


def _label_columns(records: Records, table: Table) -> list[str]:
    """Return the columns of 0 and 1; their cells are read later."""
    typed = table.reading.columns
    found = [] if typed is None else findings.columns_of(typed, list(records.columns))
    for column in found:
        records.check("--label-columns", column)
    return found


def _check_rows(records: Records, table: Table) -> None:
    """Refuse a row without an id, and one whose names hold a line break: a quote that is not closed joins rows."""
    place = records.columns[table.id_column]
    names = {column: records.columns[column] for column in table.names.values()}
    for number, row in enumerate(records.rows):
        if not row[place]:
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
