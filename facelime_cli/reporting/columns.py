"""A column of a dataset's table against the class: as figures, as rows of a CSV file, as a table of a page and as a chart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.summaries import by_frequency, crosstab, folded, most_shown, spread
from facelime_cli.drawing import charts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_CLASSES = 40
MOST_VALUES = 12
NO_LABEL, NO_VALUE = "no label", "no value"
HEADING = (
    "column",
    "class",
    "kind",
    "value",
    "pictures",
    "missing",
    "share",
    "mean",
    "sd",
    "minimum",
    "q1",
    "median",
    "q3",
    "maximum",
)
"""Of the CSV file. A column of numbers has a row for each class; one of text has a row for each class and value, with an empty value for pictures that have none."""
DIGITS = 5
"""Significant digits on a page."""


@dataclass(frozen=True)
class Classes:
    """The rows that everything is told apart by: the classes, and last the pictures without one where there are any.

    Attributes
    ----------
    every : list of str
        Names; empty for the pictures without a label.
    index : (N,) int64 array
        Index into `every`.
    shown : list of str
        Names on charts and pages, where all but the largest stand together.
    rows : (N,) int64 array
        Index into `shown`.
    """

    every: list[str]
    index: NDArray[np.int64]
    shown: list[str]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[Any], names: Sequence[str]) -> Classes:
        """Return the rows of (N,) labels, -1 for a picture without one."""
        every = [*names, *([""] if (labels < 0).any() else [])]
        index = np.where(labels < 0, len(names), labels).astype(np.int64)
        kept, rows = folded(index, len(every), MOST_CLASSES)
        others = [f"{len(every) - len(kept)} other classes"] if len(kept) < len(every) else []
        return cls(every, index, [every[k] or NO_LABEL for k in kept] + others, rows)


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
            found = spread(self.values[self.classes.index == k])
            yield (
                self.name,
                name,
                "number",
                "",
                found.n,
                found.missing,
                "",
                found.mean,
                found.sd,
                found.minimum,
                found.q1,
                found.median,
                found.q3,
                found.maximum,
            )

    def table(self) -> list[list[str]]:
        """Return its table on a page, the heading first."""
        body = []
        for row, name in enumerate(self.classes.shown):
            found = asdict(spread(self.values[self.classes.rows == row]))
            body.append(
                [
                    name,
                    *(f"{found.pop(count):,}" for count in ("n", "missing")),
                    *("–" if figure is None else f"{figure:.{DIGITS}g}" for figure in found.values()),
                ]
            )
        return [
            [
                "class",
                "pictures",
                NO_VALUE,
                "mean",
                "sd",
                "minimum",
                "lower quarter",
                "median",
                "upper quarter",
                "maximum",
            ],
            *body,
        ]

    def chart(self) -> Figure:
        """Draw it."""
        return charts.numbers_by_class(self.values, self.classes.rows, self.classes.shown, self.name)


@dataclass(frozen=True)
class Texts:
    """A column of text, empty where there is none: N str."""

    name: str
    values: Sequence[str]
    classes: Classes

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        known = by_frequency(value for value in self.values if value)
        missing = sum(not value for value in self.values)
        return {
            "kind": "text",
            "n": len(self.values) - missing,
            "missing": missing,
            "distinct": len(known),
            "most_frequent": [list(each) for each in known[:MOST_VALUES]],
        }

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield its rows of the CSV file."""
        for k, name in enumerate(self.classes.every):
            within = [value for value, index in zip(self.values, self.classes.index, strict=True) if index == k]
            for value, count in by_frequency(within):
                yield (self.name, name, "text", value, count, "", count / len(within), *[""] * 7)

    def table(self) -> list[list[str]]:
        """Return its table on a page, the heading first."""
        counts, values, _ = self._counts()
        return [
            ["class", *values],
            *(
                [name, *(f"{count:,}" for count in row)]
                for name, row in zip(self.classes.shown, counts.tolist(), strict=True)
            ),
        ]

    def chart(self) -> Figure:
        """Draw it."""
        counts, values, neutral = self._counts()
        return charts.shares_by_class(counts, self.classes.shown, values, self.name, neutral)

    def _counts(self) -> tuple[NDArray[np.int64], list[str], int]:
        """Return the pictures by shown class and shown value, the values, and how many of the last stand for others or for none."""
        known = [value for value, _ in by_frequency(value for value in self.values if value)]
        shown = known[: most_shown(len(known), MOST_VALUES)]
        neutral = ([f"{len(known) - len(shown)} other values"] if len(shown) < len(known) else []) + (
            [NO_VALUE] if not all(self.values) else []
        )
        place = {value: min(index, len(shown)) for index, value in enumerate(known)} | {
            "": len(shown) + len(neutral) - 1
        }
        codes = np.array([place[value] for value in self.values])
        return (
            crosstab(self.classes.rows, codes, (len(self.classes.shown), len(shown) + len(neutral))),
            [*shown, *neutral],
            len(neutral),
        )


def column(name: str, values: NDArray[Any], classes: Classes) -> Numbers | Texts:
    """Return a column of a dataset's table: (N,) numbers or strings."""
    if values.dtype.kind in "OTU":
        return Texts(name, [str(value) for value in values], classes)
    return Numbers(name, values.astype(np.float64), classes)
