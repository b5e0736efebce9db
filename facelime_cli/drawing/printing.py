"""What figures for print have in common: their resolution, and how the pictures of a plate are lettered."""

from __future__ import annotations

from string import ascii_lowercase

DOTS_PER_INCH = 300
"""What journals ask for."""


def letters(place: int) -> str:
    """Return how a plate numbers a picture.

    Parameters
    ----------
    place : int
        From 0.

    Examples
    --------
    >>> letters(0), letters(25), letters(26), letters(52)
    ('a', 'z', 'aa', 'ba')
    """
    first, last = divmod(place, len(ascii_lowercase))
    return (letters(first - 1) if first else "") + ascii_lowercase[last]
