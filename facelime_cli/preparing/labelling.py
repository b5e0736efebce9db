"""Which picture each row of a table means: rows meet files by id."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.preparing import matching
from facelime_cli.preparing.listing import ERROR, SKIP, Listed, Table, read_table
from facelime_cli.preparing.matching import Place
from facelime_cli.sources import NO_SPLIT, Entry, Fault, check_there, picture_files, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from facelime_cli.preparing.account import Account

NAMED = 3
"""Places that a message names."""


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
    spare = len(paths) - len({place for each in met.values() for place in each.places})
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
    # Often a table of a part is given on purpose, so that it is no warning.
    if spare and not listed.outcome.dropped:
        listed.account.said.append(f"{spare:,} pictures of the sources are in no row, and are left out")
    _say_missing(listed, sum(name not in found for name in (listed.ids if table.missing == SKIP else ids)), faults)
    entries = _entries(found, listed)
    _leave_silent(entries, listed.account, table)
    return entries, listed.account


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
    if len(lost) == len(listed.ids):
        remedy = f"no row has its picture there, so check SOURCE and --id-column {table.id_column!r}"
    if faults:
        remedy = f"it may be in {readable(str(faults[0].path))}, which {faults[0].reason}"
    near = matching.nearest(lost[0], places)
    if near is not None:
        remedy = f"the path most like it is {readable(near)}; give the folder from which on both are alike as SOURCE"
    padded = _padded(lost[0], places)
    if padded is not None:
        remedy = (
            f"{padded} is there, so {table.id_column} seems to have been taken for numbers, which have no zeros in "
            "front; save it as text"
        )
    raise NotFoundError(
        f"{len(lost)} of {len(listed.ids)} pictures of {' and '.join(map(str, table.files))} are in none of the "
        f"sources, such as {lost[0]}; {remedy}."
    )


def _padded(lost: str, places: Iterable[Place]) -> str | None:
    """Return the name of a file that is a lost id before a program took it for a number: 0001 for 1 or 1.0."""
    number = _digits(matching.without_suffix(lost)[0].removesuffix(".0"))
    if number is None:
        return None
    names = (matching.without_suffix(place.path.rpartition("/")[2])[0] for place in places)
    return next((name for name in names if name != lost and _digits(name) == number), None)


def _digits(name: str) -> str | None:
    """Return a number without zeros in front, or None where a name is none."""
    return name.lstrip("0") if name.isdigit() else None


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


def _leave_silent(entries: Sequence[Entry], account: Account, table: Table) -> None:
    """Leave out the names of findings of which nothing is known; refuse where that are all."""
    heard = {name for entry in entries for name in entry.findings or ()}
    silent = [name for name in account.labels if name not in heard]
    if not silent:
        return
    if not heard:
        raise FacelimeError(
            f"{' and '.join(map(str, table.files))} says of no picture here whether it has {silent[0]} or any other "
            "finding; check the columns, or see to --blank and --uncertain."
        )
    account.facts["without_values"] = silent
    account.warnings.append(f"nothing is known of {', '.join(silent)} in any picture; left out.")
    account.labels = [name for name in account.labels if name not in silent]


def _id_of(name: str, path: Path) -> str:
    """Return the id of a picture; a name that only looks as if it ended in a suffix is whole."""
    whole = matching.plain(name)
    stem, suffix = matching.without_suffix(whole)
    if not suffix:
        return whole
    file = matching.without_suffix(str(path))[0].rpartition(os.sep)[2]
    return whole if file == whole.rpartition("/")[2] else stem
