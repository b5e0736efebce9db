"""Blocks of pictures: what of a large report shares a page and a strip of thumbnails, and what the files are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facelime_cli.store.artifacts import Artifact


def divided(rows: range, size: int) -> Iterator[range]:
    """Yield the blocks of some pictures, all but the last of one size.

    Parameters
    ----------
    rows : range
    size : int
        Pictures in a block.

    Examples
    --------
    >>> list(divided(range(4, 9), 2))
    [range(4, 6), range(6, 8), range(8, 9)]
    """
    for start in range(rows.start, rows.stop, size):
        yield range(start, min(start + size, rows.stop))


def blocks(artifact: Artifact, size: int) -> list[range]:
    """Return the blocks of a report: each lies within one unit, so that one process writes its files.

    Parameters
    ----------
    artifact : Artifact
        The report.
    size : int
        The most pictures in a block.
    """
    units = [artifact.rows(unit) for unit in range(artifact.n_units)]
    return [block for unit in units for block in divided(range(unit.start, unit.stop), size)]


def picture_name(row: int) -> str:
    """Return the file of a picture's copy, where the report is one page.

    Parameters
    ----------
    row : int
    """
    return f"pictures/{row:05d}.jpg"


def thumbnail_name(row: int) -> str:
    """Return the file of a picture's small copy in the overview; of a block's, from its first picture.

    Parameters
    ----------
    row : int
    """
    return f"thumbnails/{row:05d}.jpg"


def page_name(row: int) -> str:
    """Return the file of a block's page.

    Parameters
    ----------
    row : int
        Its first picture.
    """
    return f"pages/{row:05d}.html"


def anchor(row: int) -> str:
    """Return what a picture's place on its page is called.

    Parameters
    ----------
    row : int
    """
    return f"p{row:05d}"
