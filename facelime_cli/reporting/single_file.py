"""How large a report in a single file would be: a file that is handed over must stay small enough to be opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.errors import FacelimeError
from facelime_cli.reporting import regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.reporting.report import Report
    from facelime_cli.reporting.report_pages import ReportPages

MOST_BYTES = 25_000_000
"""Largest single file: mail programs take as much, and a browser opens it at once."""
SAMPLE = 8
"""Pictures that are drawn to tell the size of all."""
NEAR = 0.25
"""Share of `MOST_BYTES` that the size of a sample may be wrong by: nearer to it, every picture is drawn."""
PAGE_BYTES = 40_000
"""Of the page without its pictures: style, script, head and foot."""


def check_size(report: Report, pages: ReportPages) -> None:
    """Check before anything is drawn that a single file will not be too large.

    Parameters
    ----------
    report : Report
    pages : ReportPages

    Raises
    ------
    FacelimeError
        When it will.
    """
    n_pictures = len(report.explanations)
    every = range(n_pictures)
    # Evenly over all, since pictures of one class may be alike.
    sample = every[:: max(1, -(-n_pictures // SAMPLE))]
    size = _expected(report, pages, sample)
    if len(sample) < n_pictures and abs(size - MOST_BYTES) < NEAR * MOST_BYTES:
        size = _expected(report, pages, every)
    check_bytes(size)


def check_bytes(size: int) -> None:
    """Check that a single file is not too large.

    Parameters
    ----------
    size : int
        In bytes.

    Raises
    ------
    FacelimeError
        When it is.
    """
    if size > MOST_BYTES:
        raise FacelimeError(
            f"--single-file would make one page of about {_megabytes(size)}, and {_megabytes(MOST_BYTES)} are allowed; "
            "leave --single-file out and hand over the folder, which opens from disk, or explain fewer pictures."
        )


def _expected(report: Report, pages: ReportPages, rows: Sequence[int]) -> int:
    """Return the size of the whole file, from some of its pictures."""
    measured = sum(pages.size_of(row, regions.draw(report.to_draw(row))) for row in rows)
    return PAGE_BYTES + round(measured * len(report.explanations) / len(rows))


def _megabytes(size: int) -> str:
    """Return a size as it is written, rounded up, so that what is too large never reads as the limit."""
    return f"{-(-size // 1_000_000):,} MB"
