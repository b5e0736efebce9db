"""What the rows of a table say of a picture's class or findings, and what several rows of one picture say together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from facelime_cli import tables
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import comma_separated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from facelime_cli.preparing.gathering import Records

PRESENT, ABSENT, UNCERTAIN, BLANK = 1, 0, -1, -2
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
WORDS = {"true": PRESENT, "false": ABSENT}

Codes = tuple[int, ...]
Names = frozenset[str]
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
        When a cell means nothing, or says that there are findings and none.
    """
    if reading.columns is not None:
        return _of_columns(records, by_picture, reading)
    if reading.column is not None:
        return _of_cells(records, by_picture, reading)
    return Outcome(dict.fromkeys(by_picture))


# Columns of 0 and 1


def _of_columns(records: Records, by_picture: Mapping[str, Sequence[int]], reading: Reading) -> Outcome:
    assert reading.columns is not None
    names = columns_of(reading.columns, list(records.columns))
    codes = _codes(records, names)
    readers = _readers(records, reading)
    joined = {}
    ties = 0
    for picture, numbers in by_picture.items():
        joined[picture], undecided = _joined_codes([(readers[n], codes[n]) for n in numbers], reading)
        ties += undecided
    outcome = Outcome(names=names)
    if ties:
        outcome.facts["undecided"] = ties
        outcome.said.append(f"{ties} findings on which as many readers say yes as no are unknown")
    if len(names) > 1 and _is_one_hot(joined.values()):
        _say_one_hot(outcome)
        outcome.labels = {picture: _only(names, each) for picture, each in joined.items()}
    else:
        _say_codes(outcome, joined, reading)
        outcome.findings = _findings(names, joined, reading)
        if reading.uncertain == DROP:
            outcome.dropped = {picture for picture, each in joined.items() if UNCERTAIN in each}
    return outcome


def _codes(records: Records, names: Sequence[str]) -> list[Codes]:
    """Return what each row says in the columns of labels."""
    places = [records.check("--label-columns", name) for name in names]
    known: dict[tuple[str, ...], Codes] = {}
    found = []
    for number, row in enumerate(records.rows):
        cells = tuple(row[place] for place in places)
        codes = known.get(cells)
        if codes is None:
            pairs = zip(names, cells, strict=True)
            codes = known[cells] = tuple(_code(cell, name, records, number) for name, cell in pairs)
        found.append(codes)
    return found


def _code(cell: str, column: str, records: Records, number: int) -> int:
    if tables.is_empty(cell):
        return BLANK
    try:
        value = float(WORDS.get(cell.lower(), cell))
    except ValueError:
        value = float("nan")
    if value not in {PRESENT, ABSENT, UNCERTAIN}:
        raise FacelimeError(
            f"{column} is {cell!r} in {records.where(number)}, which is none of 1, 0, -1, true, false and empty; "
            "correct it, or leave the column out of --label-columns."
        )
    return int(value)


def _readers(records: Records, reading: Reading) -> list[str]:
    """Return who made each row; without a column for it, every row is made by somebody else."""
    if reading.reader is None:
        return [""] * len(records.rows)
    place = records.check("--reader-column", reading.reader)
    return [row[place] for row in records.rows]


def _joined_codes(said: Sequence[tuple[str, Codes]], reading: Reading) -> tuple[Codes, int]:
    """Return what the rows of one picture say together, and of how many findings as many say yes as no."""
    if len(said) == 1 or reading.rows in {None, FIRST}:
        return said[0][1], 0
    if reading.rows == ANY:
        return tuple(map(_any, zip(*(codes for _, codes in said), strict=True))), 0
    by_reader = _by_reader(said)
    opinions = [tuple(map(_any, zip(*each, strict=True))) for each in by_reader]
    votes = [_majority([_settled(code, reading) for code in each]) for each in zip(*opinions, strict=True)]
    return tuple(UNCERTAIN if vote is None else vote for vote in votes), votes.count(None)


def _by_reader(said: Sequence[tuple[str, Each]]) -> list[list[Each]]:
    """Return what each reader says; a row without a reader is that of one more."""
    found: dict[object, list[Each]] = {}
    for number, (reader, each) in enumerate(said):
        found.setdefault(reader or number, []).append(each)
    return list(found.values())


def _any(codes: Sequence[int]) -> int:
    """Return what several rows say of a finding: present where one says so, uncertain before absent."""
    return next(code for code in (PRESENT, UNCERTAIN, ABSENT, BLANK) if code in codes)


def _majority(codes: Sequence[int]) -> int | None:
    """Return what most readers say of a finding, or None where as many say yes as no."""
    yes, no = codes.count(PRESENT), codes.count(ABSENT)
    if yes == no:
        return None if yes else _any(codes)
    return PRESENT if yes > no else ABSENT


def _settled(code: int, reading: Reading) -> int:
    """Return what a cell counts as, uncertain and empty ones by their options."""
    if code == UNCERTAIN:
        return {POSITIVE: PRESENT, NEGATIVE: ABSENT}.get(reading.uncertain, UNCERTAIN)
    if code == BLANK and reading.blank == NEGATIVE:
        return ABSENT
    return code


def _is_one_hot(joined: Collection[Codes]) -> bool:
    """Return whether every picture of which something is said has one 1 and zeros."""
    known = {codes for codes in joined if set(codes) != {BLANK}}
    return bool(known) and all(codes.count(PRESENT) == 1 == len(codes) - codes.count(ABSENT) for codes in known)


def _only(names: Sequence[str], codes: Codes) -> str | None:
    return names[codes.index(PRESENT)] if PRESENT in codes else None


def _say_one_hot(outcome: Outcome) -> None:
    outcome.facts["one_hot"] = len(outcome.names)
    outcome.said.append(f"one class per picture, since each row has a single 1 in {len(outcome.names)} columns")


def _say_codes(outcome: Outcome, joined: Mapping[str, Codes], reading: Reading) -> None:
    """Count what is uncertain or empty, and say what it counts as."""
    counted = Counter(code for codes in joined.values() for code in codes)
    for code, word, meaning in ((UNCERTAIN, "uncertain", reading.uncertain), (BLANK, "blank", reading.blank)):
        # What readers do not agree on is counted apart.
        n = counted[code] - (outcome.facts.get("undecided", 0) if code == UNCERTAIN else 0)
        if n:
            outcome.facts[word] = {meaning: n}
            what = "drop their pictures" if meaning == DROP else f"count as {meaning}"
            outcome.said.append(f"{n:,} {word} values {what}")


def _findings(names: Sequence[str], joined: Mapping[str, Codes], reading: Reading) -> dict[str, Mapping[str, int]]:
    made: dict[Codes, Mapping[str, int]] = {}
    found = {}
    for picture, codes in joined.items():
        if codes not in made:
            settled = [_settled(code, reading) for code in codes]
            known = {name: code for name, code in zip(names, settled, strict=True) if code in {PRESENT, ABSENT}}
            made[codes] = known
        found[picture] = made[codes]
    return found


# Names in cells


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


def _of_cells(records: Records, by_picture: Mapping[str, Sequence[int]], reading: Reading) -> Outcome:
    assert reading.column is not None
    place = records.check("--label-column", reading.column)
    cells = [row[place] for row in records.rows]
    separator = _separator(cells, reading)
    known = {cell: _named(cell, separator) for cell in set(cells)}
    readers = _readers(records, reading)
    joined = {}
    for picture, numbers in by_picture.items():
        joined[picture] = _joined_names([(readers[n], known[cells[n]]) for n in numbers], reading)
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
    parts = [cell] if separator is None else [part.strip() for part in cell.split(separator)]
    return frozenset(part for part in parts if not tables.is_empty(part))


def _joined_names(said: Sequence[tuple[str, Names]], reading: Reading) -> _Said:
    spoken = any(names for _, names in said)
    if len(said) == 1 or reading.rows in {None, FIRST}:
        return _Said(said[0][1], spoken=bool(said[0][1]))
    if reading.rows == ANY:
        every = frozenset[str]().union(*(names for _, names in said))
        return _Said(every, spoken=spoken, several=len(every) > 1)
    opinions = [frozenset[str]().union(*each) for each in _by_reader(said)]
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
