"""Columns of a table on a terminal: how wide each is, which stand beside each other, and which hold numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BETWEEN, AROUND = 3, 2
"""Cells between two columns, and at both ends of a line together."""
LONGEST_WORD = 24
"""Letters of a word up to which a column keeps it whole: identifiers may be longer."""
LEAST_WIDTH = 8
"""Cells that a column has, however narrow the terminal is."""
NUMBER = re.compile(r"[<>]?=? ?[+\-−±]?(\d[\d,]*\.?\d*|\.\d+)(e[+\-]?\d+)?( ?(%|B|KiB|MiB|GiB))?")
WITHOUT_NUMBER = frozenset({"", "none", "–"})
"""Cells that a column of numbers may have where there is none."""


def is_numeric(cells: Sequence[str]) -> bool:
    """Return whether a column holds numbers, which stand under each other by their last digit.

    Parameters
    ----------
    cells : sequence of str

    Examples
    --------
    >>> is_numeric(["12", "−3.5 %", "none"]), is_numeric(["1 of 4"]), is_numeric(["", ""])
    (True, False, False)
    """
    known = [each for each in cells if each not in WITHOUT_NUMBER]
    return bool(known) and all(NUMBER.fullmatch(each) for each in known)


def laid_out(
    texts: Sequence[Sequence[str]], available: int, keys: int, cell_width: Callable[[str], int]
) -> list[dict[int, int]]:
    """Return which columns stand beside each other, and how wide each is.

    Columns of numbers are never made narrower, and those of texts not beyond their longest word. What then has no room
    goes below, in a block of its own that begins with the columns that say what a row is of.

    Parameters
    ----------
    texts : sequence of sequence of str
        For each column its heading and its cells.
    available : int
        Cells of a line.
    keys : int
        How many of the first columns say what a row is of.
    cell_width : callable
        From a text to the cells that it takes on a terminal.

    Returns
    -------
    list of dict
        For each block, from the number of a column to its width.

    Examples
    --------
    >>> laid_out([["true class", "a nevus"], ["melanoma", "12"], ["nevus", "3"]], 24, 1, len)
    [{0: 10, 1: 8}, {0: 10, 2: 5}]
    """
    natural = [max(map(cell_width, column)) for column in texts]
    least = [min(_least(column, cell_width), wide) for column, wide in zip(texts, natural, strict=True)]
    blocks = [list(range(len(texts)))]
    if _total(least) > available:
        blocks = _divided(least, available, keys)
    return [_fitted({each: natural[each] for each in block}, least, available) for block in blocks]


def _least(column: Sequence[str], cell_width: Callable[[str], int]) -> int:
    heading, *cells = column
    longest = max(map(cell_width, heading.split()), default=0)
    if is_numeric(cells):
        return max(longest, *map(cell_width, cells))
    words = max((cell_width(word) for cell in cells for word in cell.split()), default=0)
    return max(min(longest, LONGEST_WORD), min(words, LONGEST_WORD), 1)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + BETWEEN * (len(widths) - 1) + AROUND


def _divided(least: Sequence[int], available: int, keys: int) -> list[list[int]]:
    """Return the columns of each block, as many in each as have room beside the first ones."""
    begin = list(range(min(keys, len(least) - 1)))
    blocks = [list(begin)]
    for each in range(len(begin), len(least)):
        block = blocks[-1]
        if len(block) > len(begin) and _total([least[one] for one in [*block, each]]) > available:
            blocks.append(list(begin))
        blocks[-1].append(each)
    return blocks


def _fitted(widths: dict[int, int], least: Sequence[int], available: int) -> dict[int, int]:
    """Return the widths of a block's columns: the widest are made narrower until all have room."""
    while _total(list(widths.values())) > available:
        # Where words are already as narrow as they may be, they are broken: a line must not be.
        loose = [each for each in widths if widths[each] > least[each]]
        loose = loose or [each for each in widths if widths[each] > LEAST_WIDTH]
        if not loose:
            break
        widest = max(loose, key=lambda each: widths[each])
        widths[widest] -= 1
    return widths
