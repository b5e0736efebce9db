"""Classes and findings that are named in cells: one, or several with a separator between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.errors import FacelimeError
from facelime_cli.preparing.findings import ANY, FIRST, MAJORITY, NO_SEPARATOR, SEPARATOR, Outcome, by_reader, readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from facelime_cli.preparing.findings import Reading
    from facelime_cli.preparing.gathering import Records

Names = frozenset[str]


@dataclass(frozen=True)
class _Said:
    """What a picture's rows name together.

    `undecided` is what half of the readers name. `spoken` is False where all cells are empty, and `several` is True
    where a reader names more than one thing.
    """

    names: Names
    undecided: Names = frozenset()
    spoken: bool = True
    several: bool = False


def read(records: Records, by_picture: Mapping[str, Sequence[int]], reading: Reading) -> Outcome:
    """Return what the rows say of each picture.

    Parameters
    ----------
    records : Records
    by_picture : mapping
        The numbers of a picture's rows, by its id.
    reading : Reading

    Returns
    -------
    Outcome

    Raises
    ------
    FacelimeError
        When a cell says that there are findings and none, or no cell names a finding.
    """
    assert reading.column is not None
    place = records.check("--label-column", reading.column)
    cells = [row[place] for row in records.rows]
    separator = _separator(cells, reading)
    known = {cell: _named(cell, separator) for cell in set(cells)}
    made_by = readers(records, reading)
    joined = {}
    for picture, numbers in by_picture.items():
        joined[picture] = _joined_names([(made_by[n], known[cells[n]]) for n in numbers], reading)
    outcome = Outcome()
    if separator or any(said.several for said in joined.values()) or _finds_none(known.values(), reading):
        _check_contradictions(records, cells, known, reading)
        # What no majority has seen is absent everywhere, but still a finding of this table.
        every = frozenset[str]().union(*known.values())
        return _several(outcome, joined, every, separator, reading)
    outcome.labels = {picture: next(iter(said.names), None) for picture, said in joined.items()}
    outcome.names = sorted({label for label in outcome.labels.values() if label is not None})
    undecided = sum(said.spoken and not said.names for said in joined.values())
    if undecided:
        outcome.facts["undecided"] = undecided
        outcome.said.append(f"{undecided} pictures have no class that most of their rows name, and get no label")
    return outcome


def _finds_none(named: Iterable[Names], reading: Reading) -> bool:
    """Return whether joined rows can say that there is no finding: then the others are findings, not classes."""
    joins = reading.rows in {ANY, MAJORITY}
    return joins and any(_is_none(name, reading) for names in named for name in names)


def _separator(cells: Sequence[str], reading: Reading) -> str | None:
    """Return what stands between several findings in one cell, or None where a cell is one class."""
    if reading.separator == NO_SEPARATOR:
        return None
    if reading.separator is not None:
        return reading.separator
    return SEPARATOR if any(SEPARATOR in cell for cell in cells) else None


def _named(cell: str, separator: str | None) -> Names:
    """Return what a cell names."""
    if separator is None:
        return frozenset() if tables.is_empty(cell) else frozenset({cell})
    inside = cell
    # Some tables hold lists as Python writes them: ['nodule', 'effusion'].
    if cell.startswith("[") and cell.endswith("]"):
        inside = cell[1:-1]
    parts = [part.strip() for part in inside.split(separator)]
    if inside != cell:
        parts = [part.strip("'\"").strip() for part in parts]
    return frozenset(part for part in parts if not tables.is_empty(part))


def _joined_names(said: Sequence[tuple[str, Names]], reading: Reading) -> _Said:
    spoken = any(names for _, names in said)
    if len(said) == 1 or reading.rows in {None, FIRST}:
        return _Said(said[0][1], spoken=bool(said[0][1]))
    if reading.rows == ANY:
        every = frozenset[str]().union(*(names for _, names in said))
        return _Said(every, spoken=spoken, several=len(every) > 1)
    opinions = [frozenset[str]().union(*each) for each in by_reader(said)]
    votes = Counter(name for names in opinions for name in names)
    voters = sum(map(bool, opinions))
    most = frozenset(name for name, n in votes.items() if 2 * n > voters)
    half = frozenset(name for name, n in votes.items() if 2 * n == voters)
    return _Said(most, half, spoken, several=any(len(names) > 1 for names in opinions))


def _is_none(name: str, reading: Reading) -> bool:
    return name.casefold() == reading.no_finding.casefold()


def _check_contradictions(records: Records, cells: Sequence[str], known: Mapping[str, Names], reading: Reading) -> None:
    wrong = {cell for cell, names in known.items() if len(names) > 1 and any(_is_none(name, reading) for name in names)}
    if wrong:
        number = next(n for n, cell in enumerate(cells) if cell in wrong)
        raise FacelimeError(
            f"{reading.column} is {cells[number]!r} in {records.where(number)}, which are findings and none; "
            "correct it, or name what means none with --no-finding."
        )


def _several(
    outcome: Outcome, joined: Mapping[str, _Said], every: Names, separator: str | None, reading: Reading
) -> Outcome:
    """Return the findings of each picture: what its rows do not name is absent."""
    none = sorted(name for name in every if _is_none(name, reading))
    outcome.names = sorted(every.difference(none))
    if not outcome.names:
        raise FacelimeError(f"{reading.column} names no finding but {none[0] if none else 'empty cells'}; check it.")
    made: dict[_Said, Mapping[str, int]] = {}
    for picture, said in joined.items():
        if said not in made:
            made[said] = {
                name: int(name in said.names) for name in outcome.names if said.spoken and name not in said.undecided
            }
        outcome.findings[picture] = made[said]
    if separator:
        outcome.facts["separator"] = separator
        outcome.said.append(f"{reading.column} holds several findings with {separator!r} between them")
    if none:
        outcome.facts["no_finding"] = none[0]
        outcome.said.append(f"{none[0]!r} means none of the {len(outcome.names)} findings")
    undecided = sum(len(said.undecided.difference(none)) for said in joined.values())
    if undecided:
        outcome.facts["undecided"] = undecided
        outcome.said.append(f"{undecided} findings that half of the readers name are unknown")
    return outcome
