"""Describe a dataset: counts, its table's columns against the class, a sheet of sample pictures, and what could leak.

It makes one page that opens from disk, its charts as PNG and SVG, and the numbers behind them as CSV.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage
from facelime_cli.options import Input
from facelime_cli.reporting import pages
from facelime_cli.sources import PARTS
from facelime_cli.store import digests
from facelime_cli.store.arrays import Layout
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

TABLE = "table/"
MOST_ON_SHEET = 120
SHEET_PIXELS = 256
MOST_NAMED = 20
LONGEST_FILE_NAME = 60
NO_PART = "no part"
COUNTS = ("class", "part", "fold", "pictures", "groups")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `describe`."""

    dataset: Annotated[
        str,
        Argument(metavar="DATASET", help="Dataset, or - to read it from standard input.", show_default=False),
        Input(("datasets",)),
    ]
    sheet: Annotated[
        int,
        Option(
            min=1,
            max=MOST_ON_SHEET,
            help=f"Pictures of each class on the sample sheet, which holds {MOST_ON_SHEET} at most.",
        ),
    ] = 6
    seed: Annotated[int, Option(min=0, help="Seed of their choice.")] = 0


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Count what the dataset's arrays say; of its pictures only those on the sheet are read."""
    dataset = inputs["dataset"]

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            _describe(_Description(dataset, params), artifact, unit, context)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        context.console.note(f"page: {artifact.path / 'index.html'}")
        return artifact.facts_of_units()[0], []

    # The page tells what a dataset's content digest leaves out: unreadable files, leakage, operations.
    said = digests.of_value([dataset.facts, dataset.parameters])
    return Plan(
        {"sheet": params.sheet, "seed": params.seed},
        f"{dataset.name}-description",
        lambda: Layout(1),
        work,
        inputs,
        {"facts": said},
        finish,
    )


def _describe(description: _Description, artifact: Artifact, unit: Unit, context: Context) -> None:
    """Draw and write everything."""
    from facelime_cli.drawing import figures

    made = []
    with context.console.progress("describe", len(description.charts), unit="figures") as advance:
        for stem, chart in description.charts.items():
            names = [f"figures/{stem}.{ending}" for ending in ("png", "svg")]
            figures.write(chart(), [artifact.file(name) for name in names])
            made += names
            advance(1)
    tables = {"counts.csv": description.count_rows(), "columns.csv": description.column_rows()}
    for name, rows in tables.items():
        write_csv(artifact.file(name), rows)
    write_whole(artifact.file("index.html"), description.page(artifact).encode())
    unit.finish({}, made=[*made, *tables, "index.html"], facts=description.facts())


@dataclass(frozen=True)
class _Division:
    """One part of a dataset, or one fold of it: (N,) bool `within`."""

    part: str
    fold: int | None
    within: NDArray[np.bool_]

    @property
    def heading(self) -> str:
        part = self.part or NO_PART
        return part if self.fold is None else f"fold {self.fold} ({part})"


class _Description:
    """Everything that the charts, the tables and the page of one dataset are made from."""

    def __init__(self, dataset: Artifact, params: Params) -> None:
        from facelime_cli.reporting.columns import Classes, column

        self.dataset, self.params = dataset, params
        self.ids, self.groups = dataset.texts("id"), dataset.texts("group")
        self.classes = Classes.of(dataset.read("labels"), dataset.facts["classes"])
        self.divisions = list(_divisions(dataset))
        names = [name.removeprefix(TABLE) for name in dataset.arrays if name.startswith(TABLE)]
        self.columns = {
            stem: column(name, dataset.read(TABLE + name), self.classes)
            for name, stem in zip(names, _stems(names), strict=True)
        }
        self.sample = self._sample()

    @property
    def charts(self) -> dict[str, Callable[[], Figure]]:
        """What to draw, by the file's name without its ending."""
        return {
            "classes": self._class_chart,
            "sheet": self._sheet,
            **{stem: each.chart for stem, each in self.columns.items()},
        }

    def _class_chart(self) -> Figure:
        import numpy as np

        from facelime_cli.core.summaries import crosstab
        from facelime_cli.drawing import charts

        split = self.dataset.read("split")
        parts = [*PARTS, *([NO_PART] if (split < 0).any() else [])]
        counts = crosstab(
            self.classes.rows, np.where(split < 0, len(PARTS), split), (len(self.classes.shown), len(parts))
        )
        return charts.class_counts(counts, self.classes.shown, parts, len(parts) - len(PARTS))

    def _sample(self) -> list[int]:
        """Return the rows on the sheet, class by class: those whose key, made from seed and id, comes first.

        Where the sheet has no room for all, every class gives its first, then its second, and so on.
        """
        from facelime_cli.core.masks import key_of

        order = sorted(range(len(self.ids)), key=lambda row: key_of(self.params.seed, self.ids[row], "sheet"))
        seen: Counter[int] = Counter()
        ranked = []
        for row in order:
            of = int(self.classes.index[row])
            ranked.append((seen[of], of, row))
            seen[of] += 1
        chosen = sorted(each for each in ranked if each[0] < self.params.sheet)[:MOST_ON_SHEET]
        return [row for _, _, row in sorted(chosen, key=lambda each: (each[1], each[0]))]

    def _sheet(self) -> Figure:
        import numpy as np

        from facelime_cli.drawing import charts
        from facelime_cli.reporting.columns import NO_LABEL

        names = [self.classes.every[self.classes.index[row]] for row in self.sample]
        titles = [
            f"{name or NO_LABEL}\n{self.ids[row].removeprefix(f'{name}/')}"
            for row, name in zip(self.sample, names, strict=True)
        ]
        return charts.sheet(
            np.stack([charts.shrunk(self.dataset.read("images", [row])[0], SHEET_PIXELS) for row in self.sample]),
            titles,
        )

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the dataset."""
        split, index = self.dataset.read("split"), self.classes.index
        counts = {
            name: {part: int(((split == p) & (index == k)).sum()) for p, part in enumerate(PARTS)}
            for k, name in enumerate(self.classes.every)
            if name
        }
        return {
            "pictures": len(self.ids),
            "counts": counts,
            "unlabelled": int((index == len(counts)).sum()),
            "columns": {each.name: each.facts() for each in self.columns.values()},
        }

    def count_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the pictures and groups of each class in each part, below a heading; an empty class or part is none."""
        yield COUNTS
        for k, name in enumerate(self.classes.every):
            for division in self.divisions:
                within = (division.within & (self.classes.index == k)).nonzero()[0]
                yield name, division.part, division.fold, len(within), len({self.groups[row] for row in within})

    def column_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the table's columns class by class, below a heading."""
        from facelime_cli.reporting.columns import HEADING

        yield HEADING
        for each in self.columns.values():
            yield from each.rows()

    def page(self, artifact: Artifact) -> str:
        """Return the page."""
        facts = self.dataset.facts
        sizes = Counter(self.groups)
        return pages.render(
            "describe.html",
            title=self.dataset.name,
            reference=f"{artifact.kind}/{artifact.id}",
            facts=facts,
            n=len(self.ids),
            largest_group=max(sizes.values()),
            counts=self._count_table(),
            sheet=[self.ids[row] for row in self.sample],
            columns=[
                {"name": each.name, "stem": stem, "table": each.table(), **each.facts()}
                for stem, each in self.columns.items()
            ],
            unreadable=facts["unreadable"][:MOST_NAMED],
            operations={name: _shown(value) for name, value in self.dataset.parameters.items()},
            lineage=pages.origins([self.dataset]),
            software=self.dataset.software,
        )

    def _count_table(self) -> list[list[str]]:
        """Return the pictures by shown class and part, with sums; the heading first."""
        counts = [
            [int((division.within & (self.classes.rows == k)).sum()) for division in self.divisions]
            for k in range(len(self.classes.shown))
        ]
        body = [[name, *row, sum(row)] for name, row in zip(self.classes.shown, counts, strict=True)]
        sums = [sum(column) for column in zip(*counts, strict=True)]
        total = [["all", *sums, sum(sums)]] if len(body) > 1 else []
        return [
            ["class", *(division.heading for division in self.divisions), "all"],
            *([cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in (*body, *total)),
        ]


def _divisions(dataset: Artifact) -> Iterator[_Division]:
    """Yield the folds of a dataset that has some, else its parts; and last the pictures in none where there are any."""
    import numpy as np

    from facelime_cli.core.splits import part_of_folds

    n_folds = dataset.parameters["folds"]
    divided = dataset.read("split" if n_folds is None else "fold")
    parts = (
        range(len(PARTS)) if n_folds is None else part_of_folds(np.arange(n_folds, dtype=np.int8), 0, n_folds).tolist()
    )
    for index, part in enumerate(parts):
        yield _Division(PARTS[part], None if n_folds is None else index, divided == index)
    if (divided < 0).any():
        yield _Division("", None, divided < 0)


def _stems(names: Sequence[str]) -> list[str]:
    """Return for each column a name that a file and an address can have, each its own also where upper and lower case are the same."""
    taken: dict[str, str] = {}
    for name in names:
        stem = free = f"column-{re.sub('[^A-Za-z0-9]+', '-', name).strip('-')[:LONGEST_FILE_NAME] or 'unnamed'}"
        number = 1
        while free.lower() in taken:
            number += 1
            free = f"{stem}-{number}"
        taken[free.lower()] = free
    return list(taken.values())


def _shown(value: Any) -> str:
    """Return a parameter as a page shows it."""
    if isinstance(value, list):
        return " : ".join(f"{each:g}" for each in value)
    return "none" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


STAGE = Stage(name="describe", writes="reports", version=1, params=Params, plan=plan, help=__doc__)
