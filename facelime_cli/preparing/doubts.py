"""What a user may have forgotten or mistyped: labels and options that are possible, but seldom meant."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from facelime_cli.preparing.findings import NO_FINDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facelime_cli.preparing.account import Account
    from facelime_cli.sources import Entry

CODES = {"-1", "0", "1", "-1.0", "0.0", "1.0"}
"""What columns of findings hold, and classes are seldom called."""
SEPARATORS = (",", ";", "/")
PATIENT = re.compile(r"(patient|subject|lesion)[ _.-]?(id|no|nr|number)?", re.IGNORECASE)
SPLIT = "split"


def of(entries: Sequence[Entry], account: Account, params: Any) -> Iterator[str]:
    """Yield sentences on what is possible, but seldom meant.

    Parameters
    ----------
    entries : sequence of Entry
    account : Account
    params : dataclass
        Those of `preprocess`.

    Yields
    ------
    str
    """
    counts = Counter(entry.label for entry in entries if entry.label is not None)
    several = any(entry.findings is not None for entry in entries)
    if len(counts) == 1:
        yield f"there is one class alone, {next(iter(counts))!r}, so no network can be trained on this dataset."
    yield from _alike([*counts, *account.labels])
    if params.label_column is not None and not several:
        yield from _of_a_column(sorted(counts), params.label_column)
    if params.no_finding != NO_FINDING and "no_finding" not in account.facts:
        yield f"--no-finding {params.no_finding!r} stands in no cell of {params.label_column}; compare its spelling."
    if params.table is not None:
        yield from _forgotten(entries, params, labelled=bool(counts) or several)


def _alike(names: Sequence[str]) -> Iterator[str]:
    """Yield names that differ in capitals, spaces or marks alone."""
    seen: dict[str, str] = {}
    for name in dict.fromkeys(names):
        other = seen.setdefault(re.sub(r"[\W_]+", "", name.casefold()) or name, name)
        if other != name:
            yield f"{other!r} and {name!r} differ in spelling alone; --class-names makes one of them."


def _of_a_column(classes: Sequence[str], column: str) -> Iterator[str]:
    if classes and set(classes) <= CODES:
        named = ", ".join(classes)
        yield f"the classes are called {named}; a column of 1, 0 and -1 is read with --label-columns {column!r}."
    for separator in SEPARATORS:
        parts = Counter(part.strip() for name in classes for part in set(name.split(separator)))
        held = [name for name in classes if separator in name]
        # One class of two words is a name; parts that come again are findings.
        if any(parts[part.strip()] > 1 for name in held for part in name.split(separator)):
            yield (
                f"{held[0]!r} is one class; if {column} holds several findings in a cell, add "
                f"--label-separator {separator!r}."
            )
            return


def _forgotten(entries: Sequence[Entry], params: Any, *, labelled: bool) -> Iterator[str]:
    """Yield what the table has and no option names."""
    if not labelled:
        yield "no option names labels, so the pictures have none; give --label-column or --label-columns."
    columns = list(dict.fromkeys(column for entry in entries[:1] for column in entry.columns))
    patient = next((column for column in columns if PATIENT.fullmatch(column)), None)
    grouped = params.group_pattern is not None or any(entry.group is not None for entry in entries)
    if patient is not None and not grouped:
        yield f"the table has a column {patient!r}; --group-column {patient!r} keeps a patient's pictures in one split."
    split = next((column for column in columns if column.casefold() == SPLIT), None)
    if split is not None and labelled:
        yield f"the table has a column {split!r} that is not used; --split-column {split} takes its split."
