"""An evaluation as a reader sees it: tables, charts, a page, and the same tables in the terminal."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import plain
from facelime_cli.console import Table
from facelime_cli.names import listing
from facelime_cli.reporting import pages
from facelime_cli.reporting.evaluation import RESAMPLED, VALIDATION
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.reporting.evaluation import Cases
    from facelime_cli.store.artifacts import Artifact

SHARES = ("recall", "precision", "f1")
SHARES_AT_A_THRESHOLD = ("recall", "specificity", "precision")
NOT_A_SPLIT = {"target_recall", "threshold", VALIDATION}
"""What the figures at a threshold hold beside those of the split that is evaluated."""
MOST_COLUMNS = 12
"""Classes up to which the confusion matrix is a part of the table."""
FORMATS = ("png", "svg")
SUBGROUP_COLUMNS = ("column", "value", "n", "right", "accuracy", "low", "high")
"""Heading of subgroups.csv."""


@dataclass(frozen=True)
class Report:
    """Everything that one evaluation's tables, charts and page are made from.

    Attributes
    ----------
    artifact : Artifact
        The evaluation, where the files go.
    model, dataset : Artifact
    cases : Cases
    split : str
        Name of the split.
    """

    artifact: Artifact
    model: Artifact
    dataset: Artifact
    cases: Cases
    split: str

    def write(self, facts: Mapping[str, Any]) -> list[str]:
        """Write tables, charts and the page.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.

        Returns
        -------
        list of str
            Names of the files.
        """
        artifact = self.artifact
        classes: list[str] = self.model.facts["classes"]
        probabilities = artifact.read("probabilities")
        ids = artifact.texts("id")
        tables: dict[str, list[tuple[Any, ...]]] = {}
        tables["figures.csv"] = _figure_rows(facts)
        tables["subgroups.csv"] = [SUBGROUP_COLUMNS]
        for each in facts["subgroups"]:
            values = tuple(each.values())
            tables["subgroups.csv"].append(values)
        heading = ("id", "group", "label", "predicted", *classes)
        predictions = _prediction_rows(ids, self.cases, probabilities, classes)
        tables["predictions.csv"] = [heading, *predictions]
        for name, rows in tables.items():
            file = artifact.file(name)
            write_csv(file, rows)
        charts = self._charts(facts, probabilities, classes)
        metrics = plain.json_text(facts, indent=1)
        write_whole(artifact.file("metrics.json"), metrics.encode())
        page = self._page(facts)
        write_whole(artifact.file("index.html"), page.encode())
        return [*tables, *charts, "metrics.json", "index.html"]

    def _charts(
        self, facts: Mapping[str, Any], probabilities: NDArray[np.float32], classes: Sequence[str]
    ) -> list[str]:
        from facelime_cli.drawing import curves

        matrix, shown = facts["confusion_matrix"], facts["classes"]
        confusion = curves.confusion(matrix, shown)
        made = self._save("confusion", confusion)
        operating = curves.operating(self.cases.labels, probabilities, classes)
        made += self._save("curves", operating)
        reliability = curves.reliability(facts["calibration"])
        made += self._save("calibration", reliability)
        mistakes = facts["mistakes"]
        if mistakes:
            sheet = self._sheet(mistakes)
            made += self._save("mistakes", sheet)
        return made

    def _sheet(self, mistakes: Sequence[Mapping[str, Any]]) -> Figure:
        """Return the pictures of the mistakes, the surest first."""
        from facelime_cli.drawing import charts

        # Pictures are read in the order of their rows, and shown in the order of the mistakes.
        rows = sorted(each["row"] for each in mistakes)
        images = self.dataset.read("images", rows)
        order, titles = [], []
        for each in mistakes:
            place = rows.index(each["row"])
            order.append(place)
            percent = f"{100 * each['probability']:.0f} %"
            titles.append(f"{each['label']}, called\n{each['predicted']} {percent}")
        return charts.sheet(images[order], titles)

    def _save(self, name: str, figure: Figure) -> list[str]:
        from facelime_cli.drawing import figures

        made = [f"figures/{name}.{ending}" for ending in FORMATS]
        paths = [self.artifact.file(each) for each in made]
        figures.write(figure, paths)
        return made

    def _page(self, facts: Mapping[str, Any]) -> str:
        artifact, model, dataset = self.artifact, self.model, self.dataset
        mistakes, subgroups = facts["mistakes"], facts["subgroups"]
        shown: dict[str, Any] = {"facts": facts, "split": self.split}
        shown["title"] = artifact.name
        shown["reference"] = artifact.reference
        shown["model"] = f"models/{model.id}"
        shown["dataset"] = f"datasets/{dataset.id}"
        shown["tables"] = summary(facts)
        shown["subgroups"] = _subgroup_rows(subgroups)
        shown["mistakes"] = _mistake_rows(mistakes)
        shown["command"] = explain_command(dataset, model, mistakes)
        shown["lineage"] = pages.origins([dataset, model])
        shown["software"] = model.software
        return pages.render("evaluation.html", **shown)


def explain_command(dataset: Artifact, model: Artifact, mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Return the command that explains the mistakes, to be copied into a shell.

    Parameters
    ----------
    dataset, model : Artifact
    mistakes : sequence of mapping
        From `evaluation.mistakes`.

    Returns
    -------
    str
        Empty where there are none.
    """
    if not mistakes:
        return ""
    images = listing(each["id"] for each in mistakes)
    words = ["facelime", "explain", f"datasets/{dataset.id}", "--model", f"models/{model.id}", "--images", images]
    return shlex.join(words)


# Rows of tables


def _subgroup_rows(subgroups: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    heading = ("subgroup", "pictures", "accuracy", "95 % interval (Wilson)")
    rows: list[tuple[str, ...]] = [heading]
    for each in subgroups:
        name = f"{each['column']}: {each['value']}"
        n_pictures = str(each["n"])
        accuracy = 100 * each["accuracy"]
        low, high = 100 * each["low"], 100 * each["high"]
        bounds = f"{low:.1f} to {high:.1f} %"
        rows.append((name, n_pictures, f"{accuracy:.1f} %", bounds))
    return rows


def _mistake_rows(mistakes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    heading = ("picture", "label", "called", "probability")
    rows: list[tuple[str, ...]] = [heading]
    for each in mistakes:
        picture, label = each["id"], each["label"]
        called = each["predicted"]
        percent = 100 * each["probability"]
        rows.append((picture, label, called, f"{percent:.1f} %"))
    return rows


def _prediction_rows(
    ids: Sequence[str], cases: Cases, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield one row for each picture."""
    labels, groups = cases.labels, cases.groups
    for place, picture in enumerate(ids):
        values = probabilities[place]
        group = groups[place]
        label = classes[labels[place]]
        most_probable = int(values.argmax())
        predicted = classes[most_probable]
        yield picture, group, label, predicted, *map(float, values)


def _figure_rows(facts: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return every figure as a row: its name, the class it is about, its value and its interval."""
    heading = ("figure", "class", "value", "low", "high", "interval")
    rows: list[tuple[Any, ...]] = [heading]
    bounds = facts["accuracy_interval"]
    rows.append(("accuracy", "", facts["accuracy"], *bounds, "Wilson"))
    intervals = facts["bootstrap_intervals"]
    for name in RESAMPLED:
        bounds = intervals[name] or ("", "")
        value = facts[name]
        rows.append((name, "", value, *bounds, "bootstrap by group"))
    calibration = facts["calibration"]
    error = calibration["expected_calibration_error"]
    rows.append(("expected_calibration_error", "", error, "", "", ""))
    for name in SHARES:
        by_class = facts[name]
        for of, value in by_class.items():
            # A class that never occurs has no recall: its cell stays empty.
            known = "" if value is None else value
            rows.append((name, of, known, "", "", ""))
    for of, each in facts["thresholds"].items():
        rows += _threshold_rows(of, each)
    return rows


def _threshold_rows(of: str, at_threshold: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield a class's figures at its threshold, on the split that is evaluated."""
    split = _reported(at_threshold)
    here, threshold = at_threshold[split], at_threshold["threshold"]
    for share in SHARES_AT_A_THRESHOLD:
        bounds = here[f"{share}_interval"] or ("", "")
        value = here[share]
        yield (f"{share} from {threshold:.6g}", of, value, *bounds, "Wilson")


def _reported(at_threshold: Mapping[str, Any]) -> str:
    """Return the split that a threshold is reported on."""
    (name,) = set(at_threshold) - NOT_A_SPLIT
    return name


# Tables for the terminal and the page


def summary(facts: Mapping[str, Any]) -> list[Table]:
    """Return an evaluation's figures as tables.

    Parameters
    ----------
    facts : mapping
        Of the evaluation.

    Returns
    -------
    list of Table
    """
    title = f"{facts['n']} pictures in {facts['groups']} groups"
    overall = Table(("figure", "value", "95 % interval"), _overall(facts), title)
    tables = [overall, _by_class(facts)]
    limits = _at_thresholds(facts)
    if limits:
        heads = ("class", "wanted recall", "threshold", "split", *SHARES_AT_A_THRESHOLD)
        tables.append(Table(heads, limits))
    return tables


def _overall(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    accuracy = _share(facts["accuracy"])
    low, high = facts["accuracy_interval"]
    rows.append(("accuracy", accuracy, f"{low:.3f} to {high:.3f} (Wilson)"))
    intervals = facts["bootstrap_intervals"]
    for name in RESAMPLED:
        bounds, words = intervals[name], ""
        if bounds:
            low, high = bounds
            words = f"{low:.3f} to {high:.3f} (bootstrap by group)"
        value = _share(facts[name])
        rows.append((name.replace("_", " "), value, words))
    calibration = facts["calibration"]
    error = calibration["expected_calibration_error"]
    rows.append(("calibration error", f"{error:.3f}", ""))
    return rows


def _by_class(facts: Mapping[str, Any]) -> Table:
    names, matrix = facts["classes"], facts["confusion_matrix"]
    shown = names if len(names) <= MOST_COLUMNS else []
    n_shown = len(shown)
    rows = []
    for name, counts in zip(names, matrix, strict=True):
        row = [name]
        for share in SHARES:
            by_class = facts[share]
            row.append(_share(by_class[name]))
        row += map(str, counts[:n_shown])
        rows.append(row)
    called = [f"called {name}" for name in shown]
    return Table(("true class", *SHARES, *called), rows)


def _at_thresholds(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    thresholds = facts["thresholds"]
    for name, each in thresholds.items():
        wanted = f"{each['target_recall']:g}"
        threshold = f"{each['threshold']:.4f}"
        reported = _reported(each)
        for split in (VALIDATION, reported):
            figures = each[split]
            shares = [_share(figures[share]) for share in SHARES_AT_A_THRESHOLD]
            rows.append((name, wanted, threshold, split, *shares))
    return rows


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
