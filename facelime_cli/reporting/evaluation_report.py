"""An evaluation as a reader sees it: tables, charts, a page, and the same tables in the terminal."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        classes: list[str] = self.model.facts["classes"]
        probabilities = self.artifact.read("probabilities")
        subgroups = [tuple(each.values()) for each in facts["subgroups"]]
        predictions = _prediction_rows(self.artifact.texts("id"), self.cases, probabilities, classes)
        tables = {
            "figures.csv": _figure_rows(facts),
            "subgroups.csv": [("column", "value", "n", "right", "accuracy", "low", "high"), *subgroups],
            "predictions.csv": [("id", "group", "label", "predicted", *classes), *predictions],
        }
        for name, rows in tables.items():
            write_csv(self.artifact.file(name), rows)
        charts = self._charts(facts, probabilities, classes)
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        write_whole(self.artifact.file("metrics.json"), text.encode())
        write_whole(self.artifact.file("index.html"), self._page(facts).encode())
        return [*tables, *charts, "metrics.json", "index.html"]

    def _charts(
        self, facts: Mapping[str, Any], probabilities: NDArray[np.float32], classes: Sequence[str]
    ) -> list[str]:
        from facelime_cli.drawing import curves

        labels = self.cases.labels
        made = self._save("confusion", curves.confusion(facts["confusion_matrix"], facts["classes"]))
        made += self._save("curves", curves.operating(labels, probabilities, classes))
        made += self._save("calibration", curves.reliability(facts["calibration"]))
        if facts["mistakes"]:
            made += self._save("mistakes", self._sheet(facts["mistakes"]))
        return made

    def _sheet(self, mistakes: Sequence[Mapping[str, Any]]) -> Figure:
        """Return the pictures of the mistakes, the surest first."""
        from facelime_cli.drawing import charts

        # Pictures are read in the order of their rows, and shown in the order of the mistakes.
        rows = sorted(each["row"] for each in mistakes)
        place = {row: index for index, row in enumerate(rows)}
        images = self.dataset.read("images", rows)
        titles = []
        for each in mistakes:
            percent = f"{100 * each['probability']:.0f} %"
            titles.append(f"{each['label']}, called\n{each['predicted']} {percent}")
        return charts.sheet(images[[place[each["row"]] for each in mistakes]], titles)

    def _save(self, name: str, figure: Figure) -> list[str]:
        from facelime_cli.drawing import figures

        made = [f"figures/{name}.{ending}" for ending in FORMATS]
        figures.write(figure, [self.artifact.file(each) for each in made])
        return made

    def _page(self, facts: Mapping[str, Any]) -> str:
        return pages.render(
            "evaluation.html",
            title=self.artifact.name,
            reference=f"{self.artifact.kind}/{self.artifact.id}",
            model=f"models/{self.model.id}",
            dataset=f"datasets/{self.dataset.id}",
            split=self.split,
            facts=facts,
            tables=summary(facts),
            subgroups=_subgroup_rows(facts["subgroups"]),
            mistakes=_mistake_rows(facts["mistakes"]),
            command=explain_command(self.dataset, self.model, facts["mistakes"]),
            lineage=pages.origins([self.dataset, self.model]),
            software=self.model.software,
        )


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
    rows: list[tuple[str, ...]] = [("subgroup", "pictures", "accuracy", "95 % interval (Wilson)")]
    for each in subgroups:
        name = f"{each['column']}: {each['value']}"
        accuracy = f"{100 * each['accuracy']:.1f} %"
        bounds = f"{100 * each['low']:.1f} to {100 * each['high']:.1f} %"
        rows.append((name, str(each["n"]), accuracy, bounds))
    return rows


def _mistake_rows(mistakes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("picture", "label", "called", "probability")]
    for each in mistakes:
        percent = f"{100 * each['probability']:.1f} %"
        rows.append((each["id"], each["label"], each["predicted"], percent))
    return rows


def _prediction_rows(
    ids: Sequence[str], cases: Cases, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield one row for each picture."""
    for place, (picture, group) in enumerate(zip(ids, cases.groups, strict=True)):
        values = probabilities[place]
        label, predicted = classes[cases.labels[place]], classes[int(values.argmax())]
        yield picture, group, label, predicted, *map(float, values)


def _figure_rows(facts: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return every figure as a row: its name, the class it is about, its value and its interval."""
    rows: list[tuple[Any, ...]] = [("figure", "class", "value", "low", "high", "interval")]
    rows.append(("accuracy", "", facts["accuracy"], *facts["accuracy_interval"], "Wilson"))
    for name in RESAMPLED:
        bounds = facts["bootstrap_intervals"][name] or ("", "")
        rows.append((name, "", facts[name], *bounds, "bootstrap by group"))
    error = facts["calibration"]["expected_calibration_error"]
    rows.append(("expected_calibration_error", "", error, "", "", ""))
    for name in SHARES:
        for of, value in facts[name].items():
            rows.append((name, of, "" if value is None else value, "", "", ""))
    for of, each in facts["thresholds"].items():
        here = each[_reported(each)]
        for share in SHARES_AT_A_THRESHOLD:
            bounds = here[f"{share}_interval"] or ("", "")
            rows.append((f"{share} from {each['threshold']:.6g}", of, here[share], *bounds, "Wilson"))
    return rows


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
    tables = [Table(("figure", "value", "95 % interval"), _overall(facts), title), _by_class(facts)]
    limits = _at_thresholds(facts)
    if limits:
        heads = ("class", "wanted recall", "threshold", "split", *SHARES_AT_A_THRESHOLD)
        tables.append(Table(heads, limits))
    return tables


def _overall(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    low, high = facts["accuracy_interval"]
    rows: list[tuple[str, ...]] = [("accuracy", f"{facts['accuracy']:.3f}", f"{low:.3f} to {high:.3f} (Wilson)")]
    for name in RESAMPLED:
        bounds = facts["bootstrap_intervals"][name]
        words = f"{bounds[0]:.3f} to {bounds[1]:.3f} (bootstrap by group)" if bounds else ""
        rows.append((name.replace("_", " "), _share(facts[name]), words))
    error = facts["calibration"]["expected_calibration_error"]
    rows.append(("calibration error", f"{error:.3f}", ""))
    return rows


def _by_class(facts: Mapping[str, Any]) -> Table:
    names = facts["classes"]
    shown = names if len(names) <= MOST_COLUMNS else []
    rows = []
    for name, counts in zip(names, facts["confusion_matrix"], strict=True):
        shares = [_share(facts[share][name]) for share in SHARES]
        rows.append((name, *shares, *map(str, counts[: len(shown)])))
    return Table(("true class", *SHARES, *(f"called {name}" for name in shown)), rows)


def _at_thresholds(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, each in facts["thresholds"].items():
        for split in (VALIDATION, _reported(each)):
            shares = [_share(each[split][share]) for share in SHARES_AT_A_THRESHOLD]
            rows.append((name, f"{each['target_recall']:g}", f"{each['threshold']:.4f}", split, *shares))
    return rows


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
