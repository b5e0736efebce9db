"""A dataset described: counts, the columns of its table, a sheet of sample pictures, and what could leak."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import labels, shapes
from facelime_cli.core.masks import key_of
from facelime_cli.core.splits import splits_of_folds
from facelime_cli.core.summaries import crosstab
from facelime_cli.drawing import charts
from facelime_cli.reporting import pages
from facelime_cli.reporting.columns import HEADING, NO_LABEL, Classes, Numbers, Texts, column
from facelime_cli.reporting.described_findings import Findings
from facelime_cli.sources import SPLITS
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.console import Advance
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

TABLE = "table/"
"""What the names of the arrays begin with that hold columns of the dataset's table."""
SHEET_PIXELS = 256
"""Longest side of a picture on the sheet."""
MOST_NAMED = 20
"""How many unreadable files the page names."""
LONGEST_FILE_NAME = 60
NO_SPLIT = "no split"
COUNTS = ("class", "part", "fold", "pictures", "groups")
"""Heading of counts.csv."""
FORMATS = ("png", "svg")


@dataclass(frozen=True)
class Division:
    """One split of a dataset, or one fold of it.

    Attributes
    ----------
    split : str
        Empty for the pictures that are in none.
    fold : int or None
    within : (N,) bool array
        Which pictures are in it.
    """

    split: str
    fold: int | None
    within: NDArray[np.bool_]

    @property
    def heading(self) -> str:
        """What it is called at the head of a column."""
        split = self.split or NO_SPLIT
        return split if self.fold is None else f"fold {self.fold} ({split})"


class Description:
    """Everything that the charts, the tables and the page of one dataset are made from.

    Parameters
    ----------
    dataset : Artifact
    per_class : int
        Pictures of each class on the sample sheet.
    seed : int
        Of their choice.
    most : int
        How many pictures the sheet has room for.

    Attributes
    ----------
    sample : list of int
        The rows on the sheet, class by class.
    """

    def __init__(self, dataset: Artifact, per_class: int, seed: int, most: int) -> None:
        self.dataset = dataset
        self.ids, self.groups = dataset.texts("id"), dataset.texts("group")
        self._labels = dataset.read("labels")
        self.classes = Classes.of(self._labels, dataset.facts["classes"])
        self.divisions = list(_divisions(dataset))
        names = [name.removeprefix(TABLE) for name in dataset.arrays if name.startswith(TABLE)]
        self.columns: dict[str, Numbers | Texts] = {}
        for name, stem in zip(names, stems(names), strict=True):
            values = dataset.read(TABLE + name)
            self.columns[stem] = column(name, values, self.classes)
        self.sample = self._sample(per_class, seed, most)

    def _sample(self, per_class: int, seed: int, most: int) -> list[int]:
        """Return the rows on the sheet: those whose key, made from seed and id, comes first.

        Where the sheet has no room for all, every class gives its first, then its second, and so on.
        """
        # A picture's key does not depend on the others, so that a larger sheet extends a smaller one.
        order = sorted(range(len(self.ids)), key=lambda row: key_of(seed, self.ids[row], "sheet"))
        classes_of: dict[int, list[int]] = defaultdict(list)
        for row, k in zip(self.classes.pictures.tolist(), self.classes.index.tolist(), strict=True):
            classes_of[row].append(k)
        seen: Counter[int] = Counter()
        ranked = []
        for row in order:
            # A picture with several findings stands there once.
            k = min(classes_of[row], key=lambda each: (seen[each], each))
            if seen[k] < per_class:
                ranked.append((seen[k], k, row))
            seen[k] += 1
        chosen = sorted(ranked)[:most]
        by_class = sorted(chosen, key=lambda each: (each[1], each[0]))
        return [row for _, _, row in by_class]

    # Charts

    @property
    def charts(self) -> dict[str, Callable[[], Figure]]:
        """What to draw, by the file's name without its ending."""
        of_columns = {stem: each.chart for stem, each in self.columns.items()}
        return {"classes": self._class_chart, "sheet": self.sheet, **of_columns}

    def _class_chart(self) -> Figure:
        split = self.dataset.read("split")
        in_none = split < 0
        names = [*SPLITS, NO_SPLIT] if in_none.any() else list(SPLITS)
        columns = np.where(in_none, len(SPLITS), split)
        classes, n_neutral = self.classes, len(names) - len(SPLITS)
        shape = (len(classes.shown), len(names))
        counts = crosstab(classes.rows, columns[classes.pictures], shape)
        return charts.class_counts(counts, classes.shown, names, n_neutral)

    def sheet(self) -> Figure:
        """Draw the sample pictures, each below its class and its id."""
        images, titles = [], []
        for row in self.sample:
            name = labels.words(self._labels[row], self.dataset.facts["classes"])
            image = self.dataset.read("images", [row])[0]
            images.append(charts.shrunk(image, SHEET_PIXELS))
            # The folder of a class is in the id already.
            titles.append(f"{name or NO_LABEL}\n{self.ids[row].removeprefix(f'{name}/')}")
        return charts.sheet(np.stack(images), titles)

    # Facts and tables

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the dataset."""
        split = self.dataset.read("split")
        counts = {}
        for k, name in enumerate(self.classes.every):
            # Pictures without a label are no class; they are counted apart.
            if not name:
                continue
            within = split[self.classes.within(k)]
            counts[name] = {its_name: int((within == number).sum()) for number, its_name in enumerate(SPLITS)}
        columns = {each.name: each.facts() for each in self.columns.values()}
        facts: dict[str, Any] = {"pictures": len(self.ids), "counts": counts}
        facts["unlabelled"] = int((~labels.labelled(self._labels)).sum())
        facts["columns"] = columns
        if self.findings is not None:
            facts |= self.findings.facts()
        return facts

    @cached_property
    def findings(self) -> Findings | None:
        """What is known of several findings per picture; None where each picture is of one class."""
        if self._labels.ndim < labels.SEVERAL:
            return None
        return Findings(self.dataset.facts["classes"], self._labels, self.groups)

    def count_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the pictures and groups of each class in each split, below a heading; an empty name stands for none."""
        yield COUNTS
        for k, name in enumerate(self.classes.every):
            of_class = self.classes.within(k)
            for division in self.divisions:
                rows = of_class[division.within[of_class]].tolist()
                groups = {self.groups[row] for row in rows}
                yield name, division.split, division.fold, len(rows), len(groups)

    def column_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the table's columns class by class, below a heading."""
        yield HEADING
        for each in self.columns.values():
            yield from each.rows()

    # Files

    def write(self, artifact: Artifact, unit: Unit, advance: Advance) -> None:
        """Draw and write everything.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.
        unit : Unit
            Its only unit; it is finished afterwards.
        advance : Advance
            Counts figures.
        """
        from facelime_cli.drawing import figures

        made = []
        for stem, chart in self.charts.items():
            names = [f"figures/{stem}.{ending}" for ending in FORMATS]
            figures.write(chart(), [artifact.file(name) for name in names])
            made += names
            advance(1)
        tables = {"counts.csv": self.count_rows(), "columns.csv": self.column_rows()}
        if self.findings is not None:
            tables |= {"findings.csv": self.findings.rows(self.divisions), "together.csv": self.findings.pairs()}
        for name, rows in tables.items():
            write_csv(artifact.file(name), rows)
        write_whole(artifact.file("index.html"), self._page(artifact).encode())
        unit.finish({}, made=[*made, *tables, "index.html"], facts=self.facts())

    def _page(self, artifact: Artifact) -> str:
        dataset, facts = self.dataset, self.dataset.facts
        sizes = Counter(self.groups)
        unreadable = facts["unreadable"]
        shown: dict[str, Any] = {"title": dataset.name, "facts": facts}
        shown["reference"] = artifact.reference
        shown["n"] = len(self.ids)
        shown["size"] = shapes.shown(facts["size"])
        shown["largest_group"] = max(sizes.values())
        shown["counts"] = self._count_table()
        shown["findings"] = self.findings
        shown["sheet"] = [self.ids[row] for row in self.sample]
        shown["columns"] = self._column_sections()
        shown["unreadable"] = unreadable[:MOST_NAMED]
        operations = {**dataset.parameters, "size": shapes.typed(dataset.parameters["size"])}
        shown["operations"] = {name: _shown(value) for name, value in operations.items()}
        shown["lineage"] = pages.origins([dataset])
        shown["software"] = dataset.software
        return pages.render("describe.html", **shown)

    def _column_sections(self) -> list[dict[str, Any]]:
        """Return what the page shows of each column."""
        found = []
        for stem, each in self.columns.items():
            found.append({"name": each.name, "stem": stem, "table": each.table(), **each.facts()})
        return found

    def _count_table(self) -> list[list[str]]:
        """Return the pictures by shown class and split, with sums; the heading first."""
        table = [[self.classes.word, *(division.heading for division in self.divisions), "all"]]
        for row, name in enumerate(self.classes.shown):
            of_class = self.classes.within_row(row)
            counts = np.array([division.within[of_class].sum() for division in self.divisions])
            table.append(_counted(name, counts))
        # Pictures, not rows: one with two findings is in two of them.
        sums = np.array([division.within.sum() for division in self.divisions])
        # One class is all there is: its own row says everything.
        if len(self.classes.shown) > 1:
            table.append(_counted("all", sums))
        return table


def _counted(name: str, counts: NDArray[np.int64]) -> list[str]:
    """Return a row of counts and their sum."""
    return [name, *(f"{count:,}" for count in counts.tolist()), f"{int(counts.sum()):,}"]


def _divisions(dataset: Artifact) -> Iterator[Division]:
    """Yield the folds of a dataset that has some, else its splits; and last the pictures in none, if there are any."""
    n_folds = dataset.parameters["folds"]
    if n_folds is None:
        divided = dataset.read("split")
        for index, name in enumerate(SPLITS):
            yield Division(name, None, divided == index)
    else:
        divided = dataset.read("fold")
        # Which split each fold is when the first is tested, as training does unless it is told otherwise.
        splits = splits_of_folds(np.arange(n_folds, dtype=np.int8), 0, n_folds)
        for fold, split in enumerate(splits.tolist()):
            yield Division(SPLITS[split], fold, divided == fold)
    if (divided < 0).any():
        yield Division("", None, divided < 0)


def stems(names: Sequence[str]) -> list[str]:
    """Return for each column a name that a file and an address can have.

    Parameters
    ----------
    names : sequence of str
        Whatever the head of a table holds.

    Returns
    -------
    list of str
        Each its own, also on file systems where upper and lower case are the same.
    """
    taken: dict[str, str] = {}
    for name in names:
        # Letters that some system refuses in a name, or that an address must escape, become hyphens.
        plain = re.sub("[^A-Za-z0-9]+", "-", name).strip("-")
        stem = free = f"column-{plain[:LONGEST_FILE_NAME] or 'unnamed'}"
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
