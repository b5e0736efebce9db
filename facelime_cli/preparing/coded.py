"""Findings in columns of their own: 1 present, 0 absent, -1 uncertain, or blank."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from facelime_cli import tables
from facelime_cli.errors import FacelimeError
from facelime_cli.preparing.findings import (
    ANY,
    DROP,
    FIRST,
    NEGATIVE,
    POSITIVE,
    Outcome,
    by_reader,
    columns_of,
    readers,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from facelime_cli.preparing.findings import Reading
    from facelime_cli.preparing.gathering import Records

PRESENT, ABSENT, UNCERTAIN, BLANK, TIED = 1, 0, -1, -2, -3
WORDS = {"true": PRESENT, "false": ABSENT}

Codes = tuple[int, ...]


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
        When a cell means nothing.
    """
    assert reading.columns is not None
    names = columns_of(reading.columns, list(records.columns))
    codes = _codes(records, names)
    made_by = readers(records, reading)
    joined = {}
    ties = 0
    for picture, numbers in by_picture.items():
        joined[picture], undecided = _joined_codes([(made_by[n], codes[n]) for n in numbers], reading)
        ties += undecided
    outcome = Outcome(names=names)
    if ties:
        outcome.facts["undecided"] = ties
        outcome.said.append(f"{ties} findings on which as many readers say yes as no are unknown")
    if len(names) > 1 and _is_one_hot(joined.values()):
        outcome.labels = {picture: _only(names, each) for picture, each in joined.items()}
        _say_one_hot(outcome)
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


def _joined_codes(said: Sequence[tuple[str, Codes]], reading: Reading) -> tuple[Codes, int]:
    """Return what the rows of one picture say together, and of how many findings as many say yes as no."""
    if len(said) == 1 or reading.rows in {None, FIRST}:
        return said[0][1], 0
    if reading.rows == ANY:
        return tuple(map(_any, zip(*(codes for _, codes in said), strict=True))), 0
    opinions = [tuple(map(_any, zip(*each, strict=True))) for each in by_reader(said)]
    votes = [_majority([_settled(code, reading) for code in each]) for each in zip(*opinions, strict=True)]
    return tuple(votes), votes.count(TIED)


def _any(codes: Sequence[int]) -> int:
    """Return what several rows say of a finding: present where one says so, uncertain before absent."""
    return next(code for code in (PRESENT, UNCERTAIN, ABSENT, BLANK) if code in codes)


def _majority(codes: Sequence[int]) -> int:
    """Return what most readers say of a finding; where as many say yes as no it is tied, and stays unknown."""
    yes, no = codes.count(PRESENT), codes.count(ABSENT)
    if yes == no:
        return TIED if yes else _any(codes)
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
    held = set(outcome.labels.values())
    lacking = [name for name in outcome.names if name not in held]
    if lacking:
        outcome.said.append(f"no picture is of {' or '.join(lacking)}")


def _say_codes(outcome: Outcome, joined: Mapping[str, Codes], reading: Reading) -> None:
    """Count what is uncertain or empty, and say what it counts as."""
    counted = Counter(code for codes in joined.values() for code in codes)
    for code, word, meaning in ((UNCERTAIN, "uncertain", reading.uncertain), (BLANK, "blank", reading.blank)):
        n = counted[code]
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
