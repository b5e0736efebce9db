"""A column of a dataset's table against the class: as figures, as rows of a CSV file, on a page and as a chart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.labels import ABSENT, PRESENT, SEVERAL
from facelime_cli.core.summaries import by_frequency, crosstab, folded, most_shown, spread
from facelime_cli.drawing import charts
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_CLASSES = 40
MOST_VALUES = 12
NO_LABEL, NO_FINDING, NO_KNOWN_FINDING, NO_VALUE = "no label", "no finding", "no known finding", "no value"
OF_BOTH = ("column", "class", "kind", "value", "pictures", "missing")
OF_TEXT = ("share",)
OF_NUMBERS = ("mean", "sd", "minimum", "q1", "median", "q3", "maximum")
HEADING = (*OF_BOTH, *OF_TEXT, *OF_NUMBERS)
"""Of the CSV file.

A column of numbers has a row for each class. A column of text has a row for each class and value, with an empty value
for pictures that have none.
"""
NUMBERS_ON_A_PAGE = ("mean", "sd", "minimum", "lower quarter", "median", "upper quarter", "maximum")
NONE_ON_A_PAGE = "–"
DIGITS = 5
"""Significant digits on a page."""


@dataclass(frozen=True)
class Classes:
    """The rows that everything is told apart by: the classes, and last the pictures without one where there are any.

    A picture is in one of them, or, where there are several findings, in each that it has.

    Attributes
    ----------
    every : list of str
        Names; empty for the pictures without a label. Where there are several findings, `NO_FINDING` for those in which
        all are absent, and `NO_KNOWN_FINDING` for those in which one is unknown and none present.
    pictures : (M,) int64 array
        The picture of each membership.
    index : (M,) int64 array
        Its class: index into `every`.
    shown : list of str
        Names on charts and pages, where all but the largest stand together.
    rows : (M,) int64 array
        Its row: index into `shown`.
    word : str
        What a row is called: class or finding.
    """

    every: list[str]
    pictures: NDArray[np.int64]
    index: NDArray[np.int64]
    shown: list[str]
    rows: NDArray[np.int64]
    word: str

    @classmethod
    def of(cls, labels: NDArray[Any], names: Sequence[str]) -> Classes:
        """Return the rows of some labels.

        Parameters
        ----------
        labels : (N,) or (N, L) integer array
            As in `core.labels`.
        names : sequence of str
        """
        several = labels.ndim == SEVERAL
        pictures, index = (
            (labels == PRESENT).nonzero() if several else (np.flatnonzero(labels >= 0), labels[labels >= 0])
        )
        every = list(names)
        # Pictures without a label, or without a finding that is present, are the last rows.
        for name, without in _without(labels, pictures):
            pictures = np.concatenate([pictures, without])
            index = np.concatenate([index, np.full(len(without), len(every))])
            every.append(name)
        # A chart of a thousand classes is black: the smallest stand together.
        kept, rows = folded(index, len(every), MOST_CLASSES)
        shown = [every[k] or NO_LABEL for k in kept]
        n_other = len(every) - len(kept)
        if n_other:
            shown.append(f"{n_other} other {'findings' if several else 'classes'}")
        return cls(every, pictures, index.astype(np.int64), shown, rows, "finding" if several else "class")

    def within(self, k: int) -> NDArray[np.int64]:
        """Return the pictures of a class.

        Parameters
        ----------
        k : int
            Its place in `every`.

        Returns
        -------
        (n,) int64 array
        """
        return np.asarray(self.pictures[self.index == k])

    def within_row(self, row: int) -> NDArray[np.int64]:
        """Return the pictures of a row; one with two of its findings stands there once.

        Parameters
        ----------
        row : int
            Its place in `shown`.

        Returns
        -------
        (n,) int64 array
        """
        return np.unique(self.pictures[self.rows == row])


def _without(labels: NDArray[Any], pictures: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the rows of pictures that are in no class, by name: where findings are unknown, none may be absent."""
    without = np.setdiff1d(np.arange(len(labels)), pictures)
    if labels.ndim != SEVERAL:
        groups = [("", without)]
    else:
        all_absent = (labels[without] == ABSENT).all(axis=1)
        groups = [(NO_FINDING, without[all_absent]), (NO_KNOWN_FINDING, without[~all_absent])]
    yield from ((name, found) for name, found in groups if len(found))


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, NaN where there is none: (N,) float64."""

    name: str
    values: NDArray[np.float64]
    classes: Classes

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        return {"kind": "number", **asdict(spread(self.values))}

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield its rows of the CSV file."""
        for k, name in enumerate(self.classes.every):
            of_class = self.values[self.classes.within(k)]
            found = asdict(spread(of_class))
            n, missing = found["n"], found["missing"]
            figures = [found[figure] for figure in OF_NUMBERS]
            yield (self.name, name, "number", "", n, missing, "", *figures)

    def table(self) -> list[list[str]]:
        """Return its table on a page, the heading first."""
        table = [[self.classes.word, "pictures", NO_VALUE, *NUMBERS_ON_A_PAGE]]
        for row, name in enumerate(self.classes.shown):
            of_class = self.values[self.classes.within_row(row)]
            found = asdict(spread(of_class))
            line = [name, f"{found['n']:,}", f"{found['missing']:,}"]
            line += [_typeset(found[figure]) for figure in OF_NUMBERS]
            table.append(line)
        return table

    def chart(self) -> Figure:
        """Draw it."""
        classes = self.classes
        return charts.numbers_by_class(self.values[classes.pictures], classes.rows, classes.shown, self.name)


@dataclass(frozen=True)
class Texts:
    """A column of text, empty where there is none: N str."""

    name: str
    values: Sequence[str]
    classes: Classes

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        # Only the most frequent are facts: a column of free text has as many values as pictures.
        known = self._known()
        most_frequent = [list(each) for each in known[:MOST_VALUES]]
        missing = sum(not value for value in self.values)
        n = len(self.values) - missing
        facts: dict[str, Any] = {"kind": "text", "n": n, "missing": missing}
        facts["distinct"] = len(known)
        facts["most_frequent"] = most_frequent
        return facts

    def _known(self) -> list[tuple[str, int]]:
        """Return the values and their counts, the most frequent first."""
        return by_frequency(value for value in self.values if value)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield its rows of the CSV file."""
        no_numbers = [""] * len(OF_NUMBERS)
        for k, name in enumerate(self.classes.every):
            within = [self.values[picture] for picture in self.classes.within(k).tolist()]
            # Empty values count here: a class of which half has no value should show that.
            for value, count in by_frequency(within):
                share = count / len(within)
                yield (self.name, name, "text", value, count, "", share, *no_numbers)

    def table(self) -> list[list[str]]:
        """Return its table on a page, the heading first."""
        counts, values, _ = self._counts()
        table = [[self.classes.word, *values]]
        for name, row in zip(self.classes.shown, counts.tolist(), strict=True):
            table.append([name, *(f"{count:,}" for count in row)])
        return table

    def chart(self) -> Figure:
        """Draw it."""
        counts, values, neutral = self._counts()
        return charts.shares_by_class(counts, self.classes.shown, values, self.name, neutral)

    def _counts(self) -> tuple[NDArray[np.int64], list[str], int]:
        """Count pictures by shown class and shown value.

        Returns
        -------
        (C, V) int64 array
        list of V str
            The values.
        int
            How many of the last values stand for all others, or for none.
        """
        known = [value for value, _ in self._known()]
        n_shown = most_shown(len(known), MOST_VALUES)
        values = known[:n_shown]
        n_other = len(known) - len(values)
        neutral = []
        if n_other:
            neutral.append(f"{n_other} other values")
        if not all(self.values):
            neutral.append(NO_VALUE)
        # Values that are not shown stand at the first place behind those that are, an empty one at the last.
        behind = len(values)
        place = {value: min(index, behind) for index, value in enumerate(known)}
        values += neutral
        place[""] = len(values) - 1
        codes = np.array([place[value] for value in self.values])
        classes = self.classes
        shape = (len(classes.shown), len(values))
        counts = crosstab(classes.rows, codes[classes.pictures], shape)
        return counts, values, len(neutral)


def column(name: str, values: NDArray[Any], classes: Classes) -> Numbers | Texts:
    """Return a column of a dataset's table.

    Parameters
    ----------
    name : str
    values : (N,) array
        Numbers or strings.
    classes : Classes
        Of the same N pictures.
    """
    if values.dtype.kind in digests.TEXT_KINDS:
        return Texts(name, [str(value) for value in values], classes)
    return Numbers(name, values.astype(np.float64), classes)


def _typeset(figure: float | None) -> str:
    return NONE_ON_A_PAGE if figure is None else f"{figure:.{DIGITS}g}"
