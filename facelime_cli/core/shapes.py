"""How large pictures are. A size is one number where they are square, else height and width, in this order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from facelime_cli.errors import BrokenError, CommandLineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Size = int | Sequence[int]
    """As it stands in facts and parameters: the side of a square, or [height, width]."""
    Sides = tuple[int, int]
    """Height and width, in pixels."""

SMALLEST, LARGEST = 16, 4096
"""Of a side of pictures, in pixels."""
TYPED = re.compile(r"([0-9]{1,999})(?:[xX×]([0-9]{1,999}))?")


def sides(size: Size) -> Sides:
    """Return height and width of pictures.

    Parameters
    ----------
    size : int or sequence of int
        The side of a square, or height and width.

    Returns
    -------
    (int, int)
        Height and width, in pixels.

    Raises
    ------
    BrokenError
        When it is neither: a store may be a stranger's.

    Examples
    --------
    >>> sides(224), sides([75, 100])
    ((224, 224), (75, 100))
    """
    match [size, size] if isinstance(size, int) else size:
        case [int(height), int(width)] if min(height, width) > 0:
            return height, width
    raise BrokenError(f"{size!r} should be a size of pictures, such as 224 or [75, 100]; make the artifact again.")


def size_of(height: int, width: int) -> int | list[int]:
    """Return a size as facts and parameters hold it.

    Parameters
    ----------
    height, width : int
        In pixels.

    Returns
    -------
    int or list of int
        One number for a square: what was made before other pictures could be, keeps its facts and fingerprint.

    Examples
    --------
    >>> size_of(75, 75), size_of(75, 100)
    (75, [75, 100])
    """
    return height if height == width else [height, width]


def shown(size: Size) -> str:
    """Return a size in words.

    Parameters
    ----------
    size : int or sequence of int

    Returns
    -------
    str

    Examples
    --------
    >>> shown(224), shown([75, 100])
    ('224×224', '75×100')
    """
    height, width = sides(size)
    return f"{height}×{width}"


def typed(size: Size) -> str:
    """Return a size as it stands behind `--size`.

    Parameters
    ----------
    size : int or sequence of int

    Returns
    -------
    str

    Examples
    --------
    >>> typed(224), typed([75, 100])
    ('224', '75x100')
    """
    height, width = sides(size)
    return str(height) if height == width else f"{height}x{width}"


def parsed(text: str) -> int | list[int]:
    """Return the size that was typed behind `--size`.

    Parameters
    ----------
    text : str
        Such as 224 for a square, 75x100 or 75×100 for 75 rows of 100 pixels.

    Returns
    -------
    int or list of int

    Raises
    ------
    CommandLineError
        When it is no size, or a side is too small or too large.

    Examples
    --------
    >>> parsed("224"), parsed("75x100"), parsed("75×75")
    (224, [75, 100], 75)
    """
    found = TYPED.fullmatch(text)
    if found is None:
        raise CommandLineError(
            f"--size {text!r} should be the side of a square such as 224, or height x width such as 75x100, in pixels."
        )
    height = int(found[1])
    width = height if found[2] is None else int(found[2])
    if not SMALLEST <= min(height, width) <= max(height, width) <= LARGEST:
        raise CommandLineError(
            f"--size {text} is not in the range of {SMALLEST} to {LARGEST} pixels a side; give such as 224 or 75x100."
        )
    return size_of(height, width)
