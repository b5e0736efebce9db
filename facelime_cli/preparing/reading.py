"""What was read of a source: as figures for the manifest, as one line, and what to be warned of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError
from facelime_cli.sources import counts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.console import Console
    from facelime_cli.core.leakage import Traits
    from facelime_cli.preparing.looking import Checked

ALL_BITS = 16
NAMED_PROFILES = 3
NAMED_KINDS = 6
"""Kinds of other files that the line names; the manifest has all."""


def facts_of(found: Checked, passed: Mapping[str, int]) -> dict[str, Any]:
    """Return what was read, as figures. No name of a file is among them.

    Parameters
    ----------
    found : Checked
    passed : mapping
        Files that are no pictures, by kind.

    Returns
    -------
    dict
        Numbers of files: `kinds` by format, `notes` by how they were read, `skipped` by why they were not, and
        `passed_over` by kind. And `said`, the same in one line.
    """
    kinds = Counter(each.kind for each in found.traits)
    notes = Counter(note for each in found.traits for note in each.notes)
    counts = {"kinds": kinds, "notes": notes, "skipped": found.skipped, "passed_over": passed}
    facts = {name: dict(sorted(each.items())) for name, each in counts.items()}
    return {**facts, "said": line(facts)}


def line(facts: Mapping[str, Any]) -> str:
    """Return what was read in one line.

    Parameters
    ----------
    facts : mapping
        The numbers of `facts_of`.

    Returns
    -------
    str

    Examples
    --------
    >>> line({"kinds": {"PNG": 3}, "notes": {}, "skipped": {"truncated": 1}, "passed_over": {".txt": 2}})
    'read 3 PNG; 1 skipped: 1 truncated; 2 other files passed over: 2 .txt.'
    """
    said = [f"read {counts_of(facts['kinds'])}"]
    profiles = _converted(facts["notes"])
    if profiles:
        said.append(f"{_number(sum(profiles.values()), 'profile')} converted: {_first(profiles, NAMED_PROFILES)}")
    skipped, passed = facts["skipped"], facts["passed_over"]
    if skipped:
        said.append(f"{sum(skipped.values()):,} skipped: {counts_of(skipped)}")
    if passed:
        said.append(f"{_number(sum(passed.values()), 'other file')} passed over: {_first(passed, NAMED_KINDS)}")
    return f"{'; '.join(said)}."


def _converted(notes: Mapping[str, int]) -> dict[str, int]:
    """Return the profiles that changed colours, with their numbers of pictures."""
    from facelime_cli.core.colours import SRGB, UNUSABLE

    named = {note.removeprefix("profile:"): count for note, count in notes.items() if note.startswith("profile:")}
    return {name: count for name, count in named.items() if name not in {SRGB, UNUSABLE}}


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _first(counts: Mapping[str, int], most: int) -> str:
    """Return the largest counts in words, and the sum of the rest."""
    largest = dict(Counter(counts).most_common(most))
    rest = sum(counts.values()) - sum(largest.values())
    return counts_of(largest) + (f", {rest:,} more" if rest else "")


def check_used(found: Checked, bits: int | None) -> None:
    """Refuse a number of bits that no picture of the source needs.

    Parameters
    ----------
    found : Checked
    bits : int, optional

    Raises
    ------
    FacelimeError
    """
    if bits is not None and not any(each.note("bits") for each in found.traits):
        raise FacelimeError(
            f"--bits {bits} is about pictures with 16 bits per value, and no picture has them; leave it out."
        )


def warn(found: Checked, console: Console) -> None:
    """Say what may be wrong with how pictures were read.

    Parameters
    ----------
    found : Checked
    console : Console
    """
    told = Counter(sentence for each in found.traits for sentence in each.warnings)
    first = _first_with(found)
    for sentence, count in told.items():
        more = f", and so do {_number(count - 1, 'more file')}" if count > 1 else ""
        console.warn(f"{first[sentence]} {sentence}{more}.")
    _warn_of_bits(found.traits, console)


def _first_with(found: Checked) -> dict[str, str]:
    """Return the first file that each sentence is about."""
    first: dict[str, str] = {}
    for entry, each in zip(found.entries, found.traits, strict=True):
        for sentence in each.warnings:
            first.setdefault(sentence, entry.file)
    return first


def _warn_of_bits(traits: list[Traits], console: Console) -> None:
    """Say that pictures use only a part of their 16 bits, so that they came out dark."""
    from facelime_cli.core.leakage import NEARLY_BLACK

    used = [int(each.note("uses")) for each in traits if each.note("uses")]
    most = max(used, default=0)
    dark = sum(bits <= NEARLY_BLACK for bits in used)
    # A black picture needs no bit at all, and says nothing of the others.
    if 0 < most < ALL_BITS:
        console.warn(
            f"{_number(len(used), 'picture')} with 16 bits per value use only 0…{2**most - 1:,} of 0…65,535, so that "
            f"they are dark; with --bits {most}, {2**most - 1:,} is white."
        )
    elif dark and most:
        console.warn(
            f"{dark:,} of {_number(len(used), 'picture')} with 16 bits per value use only 0…{2**NEARLY_BLACK - 1:,} of "
            f"0…65,535, so that they are nearly black beside the others; give those as a dataset of their own, with "
            f"--bits {NEARLY_BLACK}."
        )
