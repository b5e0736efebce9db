"""An evaluation as a reader sees it: the tables, the charts and the page that every evaluation has."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import plain
from facelime_cli.names import listing
from facelime_cli.reporting import pages, unlike
from facelime_cli.store import familiarity
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.figure import Figure

    from facelime_cli.console import Table
    from facelime_cli.reporting.evaluation import Answered
    from facelime_cli.store.artifacts import Artifact

    Rows = list[tuple[Any, ...]]
    Tables = dict[str, Iterable[tuple[Any, ...]]]

BY_GROUP = "bootstrap by group"
"""How intervals are computed that count patients or lesions, not pictures."""
FORMATS = ("png", "svg")
HISTORY = "history"
"""The chart of the training, and what it is drawn from among the facts of a model."""
PREDICTIONS = "predictions.csv"
"""The table with a row for each picture."""
SOURCES, CHART = "sources.csv", "sources"
"""Names of the table of a comparison, and of its chart without an ending."""


@dataclass(frozen=True)
class Beside:
    """How an evaluation compares with another one: a section of the page, a table and a chart.

    Attributes
    ----------
    there : Artifact
        The other evaluation.
    sentences : sequence of str
    tables : sequence of Table
    rows : list of tuple
        Of the CSV file.
    chart : Figure
    """

    there: Artifact
    sentences: Sequence[str]
    tables: Sequence[Table]
    rows: Rows
    chart: Figure


@dataclass(frozen=True)
class Report(ABC):
    """Everything that one evaluation's tables, charts and page are made from.

    Attributes
    ----------
    artifact : Artifact
        The evaluation, where the files go.
    model, dataset : Artifact
    here : Answered
    split : str
        Name of the split.
    """

    artifact: Artifact
    model: Artifact
    dataset: Artifact
    here: Answered
    split: str

    @property
    @abstractmethod
    def template(self) -> str:
        """The page's template."""

    @abstractmethod
    def tables(self, facts: Mapping[str, Any]) -> Tables:
        """Return the rows of each CSV file, by its name."""

    @abstractmethod
    def charts(self, facts: Mapping[str, Any]) -> list[str]:
        """Draw the charts, and return the names of their files."""

    @abstractmethod
    def shown(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the template shows beside what every evaluation has."""

    def write(self, facts: Mapping[str, Any], beside: Beside | None = None) -> list[str]:
        """Write tables, charts and the page.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        beside : Beside, optional
            How it compares with another evaluation.

        Returns
        -------
        list of str
            Names of the files.
        """
        artifact = self.artifact
        tables = self.tables(facts)
        distances = familiarity.distances_of(artifact)
        tables[PREDICTIONS] = unlike.with_column(tables[PREDICTIONS], distances)
        if beside is not None:
            tables[SOURCES] = beside.rows
        for name, rows in tables.items():
            write_csv(artifact.file(name), rows)
        charts = [*self.charts(facts), *self._learning_curve()]
        if beside is not None:
            charts += self.save(CHART, beside.chart)
        metrics = plain.json_text(facts, indent=1)
        write_whole(artifact.file("metrics.json"), metrics.encode())
        page = self._page(facts, beside)
        write_whole(artifact.file("index.html"), page.encode())
        return [*tables, *charts, "metrics.json", "index.html"]

    def sheet(self, mistakes: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> Figure:
        """Return the pictures of mistakes, in their order.

        Parameters
        ----------
        mistakes : sequence of mapping
            From `Scoring.mistakes`, at least one.
        titles : sequence of str
            One for each.

        Returns
        -------
        Figure
        """
        from facelime_cli.drawing import charts

        # Pictures are read in the order of their rows, and shown in the order of the mistakes.
        rows = sorted(each["row"] for each in mistakes)
        images = self.dataset.read("images", rows)
        order = [rows.index(each["row"]) for each in mistakes]
        return charts.sheet(images[order], titles)

    def save(self, name: str, figure: Figure) -> list[str]:
        """Save a chart in every format, and return the names of the files.

        Parameters
        ----------
        name : str
            Of the files, without their ending.
        figure : Figure
        """
        from facelime_cli.drawing import figures

        made = [f"figures/{name}.{ending}" for ending in FORMATS]
        paths = [self.artifact.file(each) for each in made]
        figures.write(figure, paths)
        return made

    def _learning_curve(self) -> list[str]:
        """Draw how the model was trained, where that is known, and return the names of the files."""
        from facelime_cli.drawing import curves

        facts = self.model.facts
        return self.save(HISTORY, curves.history(facts)) if facts.get(HISTORY) else []

    def _page(self, facts: Mapping[str, Any], beside: Beside | None) -> str:
        artifact, model, dataset = self.artifact, self.model, self.dataset
        shown: dict[str, Any] = {"facts": facts, "split": self.split}
        shown["title"] = artifact.name
        shown |= unlike.shown(facts)
        shown["reference"] = artifact.reference
        shown["model"] = f"models/{model.id}"
        shown["dataset"] = f"datasets/{dataset.id}"
        shown["beside"] = beside
        shown["beside_table"], shown["beside_chart"] = SOURCES, CHART
        shown["lineage"] = pages.origins([dataset, model] if beside is None else [dataset, model, beside.there])
        shown["software"] = model.software
        shown["history"] = bool(model.facts.get(HISTORY))
        return pages.render(self.template, **shown, **self.shown(facts))


def explain_command(
    dataset: Artifact, model: Artifact, mistakes: Sequence[Mapping[str, Any]], classes: str | None = None
) -> str:
    """Return the command that explains the mistakes, to be copied into a shell.

    Parameters
    ----------
    dataset, model : Artifact
    mistakes : sequence of mapping
        From `Scoring.mistakes`.
    classes : str, optional
        The class to explain.

    Returns
    -------
    str
        Empty where there are none.
    """
    if not mistakes:
        return ""
    images = listing(each["id"] for each in mistakes)
    words = ["facelime", "explain", f"datasets/{dataset.id}", "--model", f"models/{model.id}", "--images", images]
    if classes is not None:
        words += ["--classes", listing([classes])]
    return shlex.join(words)


def share_of(value: float | None) -> str:
    """Return a share as a table shows it.

    Parameters
    ----------
    value : float or None
    """
    return "none" if value is None else f"{value:.3f}"


def interval_of(bounds: Sequence[float] | None, how: str = "") -> str:
    """Return an interval as a table shows it.

    Parameters
    ----------
    bounds : sequence of float or None
        Lower and upper bound; None where there is no interval.
    how : str
        How it was computed.

    Returns
    -------
    str

    Examples
    --------
    >>> interval_of((0.25, 0.5), "Wilson"), interval_of(None, "Wilson")
    ('0.250 to 0.500 (Wilson)', '')
    """
    if not bounds:
        return ""
    low, high = bounds
    return f"{low:.3f} to {high:.3f}" + (f" ({how})" if how else "")
