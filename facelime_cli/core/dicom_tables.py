"""Tables of DICOM files: what a stored number means, as a grey value or as a colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.images import UnreadableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_BITS, MOST_BITS = 8, 16
"""Of an entry of a table."""
MOST_ENTRIES = 65_536
"""Of a table. A descriptor, a number of 16 bits, says it as 0."""
HIGH_BYTE = 256
COLOURS = ("Red", "Green", "Blue")
PALETTE = "{}PaletteColorLookupTable"


@dataclass(frozen=True)
class Table:
    """A table that replaces stored numbers.

    Attributes
    ----------
    entries : (n,) int64 array
    first : int
        The number that the first entry stands for. Smaller ones get the first entry, too large ones the last.
    bits : int
        How many bits of an entry are used: with 12, 4095 is white.
    declared : int
        How many bits the file says that an entry has.
    """

    entries: NDArray[np.int64]
    first: int
    bits: int
    declared: int

    def replaced(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the entries of an array of numbers.

        Parameters
        ----------
        values : array
            Fractions, which a rescaling may leave, are cut off.

        Returns
        -------
        int64 array
            Of the same shape.
        """
        places = np.clip(np.asarray(values, np.float64) - self.first, 0, self.entries.size - 1)
        return self.entries[places.astype(np.intp)]


def grey_table(item: Any, name: str, order: str, remarks: list[str]) -> Table:
    """Return a table of grey values.

    Parameters
    ----------
    item : Dataset
        With LUTDescriptor and LUTData (PS3.3, C.11.1 and C.11.2).
    name : str
        What the table is called in a remark.
    order : str
        How the file stores numbers of two bytes: < for the lower byte first, else >.
    remarks : list of str
        Receives a sentence where the descriptor and the entries contradict each other. Then the entries count.

    Returns
    -------
    Table

    Raises
    ------
    UnreadableError
        When there are no entries, or the descriptor makes no sense.
    """
    count, first, bits = _described(item.get("LUTDescriptor"), name)
    entries = _counted(_numbers(item.get("LUTData"), count, bits, order), count, name, remarks)
    return Table(entries, first, max(FEWEST_BITS, int(entries.max()).bit_length()), bits)


def palette(data: Any, order: str, remarks: list[str]) -> list[Table]:
    """Return the tables of red, green and blue.

    Parameters
    ----------
    data : Dataset
        Whole tables, or tables in segments (PS3.3, C.7.6.3 and C.7.9).
    order : str
        How the file stores numbers of two bytes: < for the lower byte first, else >.
    remarks : list of str
        Receives a sentence where the descriptor and the entries contradict each other. Then the entries count.

    Returns
    -------
    list of Table
        Three.

    Raises
    ------
    UnreadableError
        When one is missing, or the descriptor makes no sense.
    """
    if any(f"{PALETTE.format(each)}Descriptor" not in data for each in COLOURS):
        raise UnreadableError("has pixels of the kind PALETTE COLOR, and no palette that says which colours they are")
    described = [_described(data.get(f"{PALETTE.format(each)}Descriptor"), "palette") for each in COLOURS]
    if all(f"{PALETTE.format(each)}Data" in data for each in COLOURS):
        entries = []
        for colour, (count, _, bits) in zip(COLOURS, described, strict=True):
            numbers = _numbers(data.get(f"{PALETTE.format(colour)}Data"), count, bits, order)
            entries.append(_counted(numbers, count, "palette", remarks))
    else:
        entries = _expanded(data, described[0])
    declared = described[0][2]
    bits = _depth(entries, declared)
    if bits != declared:
        remarks.append(f"has a palette that declares {declared} bits and uses {bits}, by which it is shown")
    # Eight bits in the higher byte of two: the whole of them is white, not 65280 of 65535.
    if bits == MOST_BITS and not any((each % HIGH_BYTE).any() for each in entries):
        entries, bits = [each // HIGH_BYTE for each in entries], FEWEST_BITS
    return [Table(each, first, bits, declared) for each, (_, first, _) in zip(entries, described, strict=True)]


def _depth(entries: list[NDArray[np.int64]], declared: int) -> int:
    """Return the bits of a palette's entries. A palette may be dark, so only another number of bytes contradicts it."""
    most = max(int(each.max()) for each in entries)
    if most < HIGH_BYTE:
        return FEWEST_BITS
    return declared if declared > FEWEST_BITS and most < 2**declared else MOST_BITS


def _described(descriptor: Any, name: str) -> tuple[int, int, int]:
    """Return how many entries there are, the number of the first, and the bits of one."""
    try:
        count, first, bits = (int(each) for each in descriptor)
    except (TypeError, ValueError) as why:
        raise UnreadableError(f"has a {name} without a descriptor of three numbers; correct it") from why
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise UnreadableError(f"has a table of {bits} bits, not of {FEWEST_BITS} to {MOST_BITS}; correct it")
    # Where the numbers are stored as signed ones, 40000 entries look like -25536.
    return count % MOST_ENTRIES or MOST_ENTRIES, first, bits


def _numbers(stored: Any, count: int, bits: int, order: str) -> NDArray[np.int64]:
    """Return the entries of a table, which are stored as numbers, or as bytes of one or two to an entry."""
    if stored is None:
        return np.zeros(0, np.int64)
    if not isinstance(stored, bytes):
        # Of two bytes each, of which signed ones only look negative.
        numbers = np.atleast_1d(np.asarray(stored, np.int64)) % MOST_ENTRIES
        stored, order = numbers.astype("<u2").tobytes(), "<"
    of_one_byte = bits == FEWEST_BITS and len(stored) - len(stored) % 2 <= count + count % 2 < 2 * count
    if of_one_byte:
        return np.frombuffer(stored, np.uint8).astype(np.int64)
    return np.frombuffer(stored[: len(stored) - len(stored) % 2], f"{order}u2").astype(np.int64)


def _counted(entries: NDArray[np.int64], count: int, name: str, remarks: list[str]) -> NDArray[np.int64]:
    """Return no more entries than are declared; tell where there are fewer, or more than one byte of padding."""
    if not entries.size:
        raise UnreadableError(f"has a {name} without entries; correct it")
    if entries.size < count or entries.size > count + 1:
        remarks.append(f"has a {name} that declares {count} entries and holds {entries.size}")
    return entries[:count]


def _expanded(data: Any, described: tuple[int, int, int]) -> list[NDArray[np.int64]]:
    """Return the tables that are stored in segments, which pydicom expands when it applies them."""
    from pydicom.pixels.processing import apply_color_lut

    count, first, bits = described
    if f"Segmented{PALETTE.format(COLOURS[0])}Data" not in data:
        raise UnreadableError("has pixels of the kind PALETTE COLOR, and a palette without entries")
    if bits not in {FEWEST_BITS, MOST_BITS} or (bits == FEWEST_BITS and count > HIGH_BYTE):
        raise UnreadableError(f"has a palette in segments of {count} entries of {bits} bits, which is not read")
    every = np.arange(count, dtype=np.int64)[None] + first
    colours = apply_color_lut(every, data)[0]
    return [colours[:, channel].astype(np.int64) for channel in range(len(COLOURS))]
