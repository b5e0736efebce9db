"""An evaluation of one class for each picture as a reader sees it: tables, charts, a page, and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.console import Table
from facelime_cli.reporting import calibrated
from facelime_cli.reporting.classes_scored import RESAMPLED
from facelime_cli.reporting.evaluation import VALIDATION
from facelime_cli.reporting.evaluation_report import BY_GROUP, Report, explain_command, interval_of, share_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from facelime_cli.reporting.evaluation import Answered
    from facelime_cli.reporting.evaluation_report import Rows, Tables

SHARES = ("recall", "precision", "f1")
SHARES_AT_A_THRESHOLD = ("recall", "specificity", "precision")
NOT_A_SPLIT = {"target_recall", "threshold", VALIDATION}
"""What the figures at a threshold hold beside those of the split that is evaluated."""
MOST_COLUMNS = 24
"""Classes up to which the confusion matrix is a table too; the chart shows it for any number."""
SUBGROUP_COLUMNS = ("column", "value", "n", "right", "accuracy", "low", "high")
"""Heading of subgroups.csv."""


class ClassesReport(Report):
    """The report of an evaluation of one class for each picture."""

    template = "evaluation.html"

    def tables(self, facts: Mapping[str, Any]) -> Tables:
        """Return the rows of each CSV file, by its name.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        classes: list[str] = self.model.facts["classes"]
        subgroups: Rows = [SUBGROUP_COLUMNS]
        subgroups += [tuple(each.values()) for each in facts["subgroups"]]
        heading = ("id", "group", "label", "predicted", *classes)
        predictions = _prediction_rows(self.artifact.texts("id"), self.here, classes)
        return {
            "figures.csv": _figure_rows(facts),
            "subgroups.csv": subgroups,
            "predictions.csv": [heading, *predictions],
        }

    def charts(self, facts: Mapping[str, Any]) -> list[str]:
        """Draw the charts, and return the names of their files.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        from facelime_cli.core import metrics
        from facelime_cli.drawing import curves

        labels, classes = self.here.cases.labels, self.model.facts["classes"]
        made = self.save("confusion", curves.confusion(facts["confusion_matrix"], facts["classes"]))
        of_classes = curves.one_against_rest(labels, self.here.probabilities, classes)
        made += self.save("curves", curves.operating(of_classes))
        earlier = calibrated.before(self.model, self.here)
        uncalibrated = None if earlier is None else vars(metrics.reliability(labels, earlier.probabilities))
        made += self.save("calibration", curves.reliability(facts["calibration"], uncalibrated))
        mistakes = facts["mistakes"]
        if mistakes:
            titles = [
                f"{each['label']}, called\n{each['predicted']} {100 * each['probability']:.0f} %" for each in mistakes
            ]
            made += self.save("mistakes", self.sheet(mistakes, titles))
        return made

    def shown(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the template shows beside what every evaluation has.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        mistakes = facts["mistakes"]
        return {
            "tables": summary(facts),
            "subgroups": _subgroup_rows(facts["subgroups"]),
            "mistakes": _mistake_rows(mistakes),
            "command": explain_command(self.dataset, self.model, mistakes),
        }


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


def _prediction_rows(ids: Sequence[str], here: Answered, classes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield one row for each picture."""
    labels, groups = here.cases.labels, here.cases.groups
    for place, picture in enumerate(ids):
        values = here.probabilities[place]
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
        rows.append((name, "", value, *bounds, BY_GROUP))
    calibration = facts["calibration"]
    error = calibration["expected_calibration_error"]
    rows.append(("expected_calibration_error", "", error, "", "", ""))
    rows += [(name, "", value, "", "", "") for name, value in calibrated.csv_rows(facts)]
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
    tables = [overall, _by_class(facts), *_confusion(facts), *calibrated.tables(facts)]
    limits = _at_thresholds(facts)
    if limits:
        heads = ("class", "wanted recall", "threshold", "split", *SHARES_AT_A_THRESHOLD)
        tables.append(Table(heads, limits))
    return tables


def _overall(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    rows.append(("accuracy", share_of(facts["accuracy"]), interval_of(facts["accuracy_interval"], "Wilson")))
    for name in RESAMPLED:
        words = interval_of(facts["bootstrap_intervals"][name], BY_GROUP)
        rows.append((name.replace("_", " "), share_of(facts[name]), words))
    calibration = facts["calibration"]
    error = calibration["expected_calibration_error"]
    rows.append(("calibration error", f"{error:.3f}", ""))
    # An evaluation of an older facelime has none.
    if calibrated.NAME in facts:
        rows.append(("Brier score", f"{facts[calibrated.NAME]['brier']:.3f}", ""))
    return rows


def _by_class(facts: Mapping[str, Any]) -> Table:
    rows = [(name, *(share_of(facts[share][name]) for share in SHARES)) for name in facts["classes"]]
    return Table(("true class", *SHARES), rows)


def _confusion(facts: Mapping[str, Any]) -> list[Table]:
    """Return how often pictures of each class were called what; nothing where there are too many classes."""
    names, matrix = facts["classes"], facts["confusion_matrix"]
    if len(names) > MOST_COLUMNS:
        return []
    rows = [(name, *map(str, counts)) for name, counts in zip(names, matrix, strict=True)]
    return [Table(("true class", *(f"called {name}" for name in names)), rows)]


def _at_thresholds(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    thresholds = facts["thresholds"]
    for name, each in thresholds.items():
        wanted = f"{each['target_recall']:g}"
        threshold = f"{each['threshold']:.4f}"
        reported = _reported(each)
        for split in (VALIDATION, reported):
            figures = each[split]
            shares = [share_of(figures[share]) for share in SHARES_AT_A_THRESHOLD]
            rows.append((name, wanted, threshold, split, *shares))
    return rows
