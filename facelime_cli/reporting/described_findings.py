"""Several findings per picture described: what is known of each, and which occur together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.findings import counted
from facelime_cli.core.labels import ABSENT, PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.description import Division

    Counts = NDArray[np.int64]

KNOWN = ("finding", "part", "fold", "present", "absent", "unknown", "prevalence")
"""Heading of findings.csv."""
PAIRS = ("finding", "with", "both", "known", "share")
"""Heading of together.csv."""
MOST_TOGETHER = 30
"""Findings up to which the page has a table of what occurs together; together.csv has it in any case."""


@dataclass(frozen=True)
class Findings:
    """What is known of several findings per picture.

    Attributes
    ----------
    names : sequence of L str
    labels : (N, L) int8 array
        1 present, 0 absent, -1 unknown.
    groups : sequence of N str
        Patients or lesions.
    """

    names: Sequence[str]
    labels: NDArray[np.int8]
    groups: Sequence[str]

    @cached_property
    def _counted(self) -> list[dict[str, Any]]:
        return counted(self.labels, self.groups)

    @cached_property
    def _both(self) -> Counts:
        """How many pictures have both of two findings: (L, L)."""
        present = (self.labels == PRESENT).astype(np.int64)
        return np.asarray(present.T @ present)

    @cached_property
    def _known(self) -> Counts:
        """How many pictures with the finding of the row are known to have that of the column or not: (L, L)."""
        present = (self.labels == PRESENT).astype(np.int64)
        absent = (self.labels == ABSENT).astype(np.int64)
        return np.asarray(present.T @ (present + absent))

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of them.

        Returns
        -------
        dict
            `findings` by name, as `core.findings.counted`, and `together`: how many pictures have both of two findings,
            row by row in their order.
        """
        return {"findings": dict(zip(self.names, self._counted, strict=True)), "together": self._both.tolist()}

    def rows(self, divisions: Iterable[Division]) -> Iterator[tuple[Any, ...]]:
        """Yield what is known of each finding in each split, below a heading.

        Parameters
        ----------
        divisions : iterable of Division

        Yields
        ------
        tuple
            As `KNOWN`; an empty prevalence where nothing is known.
        """
        divisions = list(divisions)
        yield KNOWN
        for name, column in zip(self.names, self.labels.T, strict=True):
            for division in divisions:
                within = column[division.within]
                n_present, n_absent = int((within == PRESENT).sum()), int((within == ABSENT).sum())
                n_known = n_present + n_absent
                prevalence = n_present / n_known if n_known else ""
                unknown = len(within) - n_known
                yield name, division.split, division.fold, n_present, n_absent, unknown, prevalence

    def pairs(self) -> Iterator[tuple[Any, ...]]:
        """Yield for each two findings how often they occur together, below a heading.

        Yields
        ------
        tuple
            As `PAIRS`; an empty share where nothing is known.
        """
        yield PAIRS
        for i, name in enumerate(self.names):
            for j, other in enumerate(self.names):
                if i != j:
                    both, n_known = int(self._both[i, j]), int(self._known[i, j])
                    yield name, other, both, n_known, both / n_known if n_known else ""

    def table(self) -> list[list[str]]:
        """Return what is known of each finding as a table on a page, the heading first."""
        table = [["finding", "present", "absent", "unknown", "prevalence", "groups with it", "groups without it"]]
        for name, found in zip(self.names, self._counted, strict=True):
            prevalence = "–" if found["prevalence"] is None else f"{100 * found['prevalence']:.1f} %"
            counts = [f"{found[each]:,}" for each in ("positive", "negative", "unknown")]
            groups = [f"{found[each]:,}" for each in ("positive_groups", "negative_groups")]
            table.append([name, *counts, prevalence, *groups])
        return table

    def together_table(self) -> list[list[str]]:
        """Return what occurs together as a table on a page, the heading first; only a hint where it is too wide."""
        if len(self.names) > MOST_TOGETHER:
            return [["findings", ""], [f"{len(self.names)}", "together.csv has them"]]
        table = [["of those with", *self.names]]
        for i, name in enumerate(self.names):
            cells = []
            for j in range(len(self.names)):
                both, n_known = int(self._both[i, j]), int(self._known[i, j])
                share = f"{100 * both / n_known:.0f} %" if n_known else "–"
                cells.append("" if i == j else f"{share} ({both:,})")
            table.append([name, *cells])
        return table
