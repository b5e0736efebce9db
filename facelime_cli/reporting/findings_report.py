"""An evaluation of several findings per picture as a reader sees it: tables, charts, a page, and the terminal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import HALF
from facelime_cli.console import Table
from facelime_cli.core.findings import ALL, EACH, FEWEST_GROUPS
from facelime_cli.reporting import calibrated
from facelime_cli.reporting.evaluation import RECALL, VALIDATION
from facelime_cli.reporting.evaluation_report import BY_GROUP, Report, explain_command, interval_of, share_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from facelime_cli.reporting.evaluation_report import Rows, Tables

COUNTS = ("n", "positive", "negative", "unknown", "prevalence", "positive_groups", "negative_groups")
SHARES = ("recall", "specificity", "precision")
"""Figures at a threshold that have an interval."""
SUBGROUP_COLUMNS = ("column", "value", "finding", *COUNTS, "enough", "auc", "recall", "low", "high", "specificity")
"""Heading of subgroups.csv; the interval is that of the recall."""
STATES = {1: "present", 0: "absent", -1: ""}
"""A label in predictions.csv."""
WORDS = {
    "macro_auc": "macro AUC",
    "macro_average_precision": "macro average precision",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "exact_match": "exact match",
}


class FindingsReport(Report):
    """The report of an evaluation of several findings per picture."""

    template = "evaluation_findings.html"

    def tables(self, facts: Mapping[str, Any]) -> Tables:
        """Return the rows of each CSV file, by its name.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        return {
            "findings.csv": _finding_rows(facts),
            "figures.csv": _figure_rows(facts, self.split),
            "subgroups.csv": [SUBGROUP_COLUMNS, *map(_subgroup_values, facts["subgroups"])],
            "predictions.csv": self._prediction_rows(list(facts["findings"])),
        }

    def _prediction_rows(self, findings: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield one row for each picture below a heading: what is known of each finding, then its probability."""
        classes: list[str] = self.model.facts["classes"]
        columns = [classes.index(name) for name in findings]
        yield "id", "group", *(f"{name} label" for name in findings), *classes
        labels, probabilities, groups = self.here.cases.labels, self.here.probabilities, self.here.cases.groups
        for place, picture in enumerate(self.artifact.texts("id")):
            known = [STATES[int(labels[place, c])] for c in columns]
            yield picture, groups[place], *known, *map(float, probabilities[place])

    def charts(self, facts: Mapping[str, Any]) -> list[str]:
        """Draw the charts, and return the names of their files.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        from facelime_cli.drawing import curves

        made = []
        found = facts["findings"]
        panels = {
            title: [curves.Estimate(each[name], each[f"{name}_interval"]) for each in found.values()]
            for name, title in zip(EACH, ("AUC", "average precision"), strict=True)
        }
        made += self.save(
            "findings", curves.forest(list(found), panels, [not each["enough"] for each in found.values()])
        )
        made += self.save("curves", curves.operating(list(self._ranked(found))))
        calibration = {name: each["calibration"] for name, each in found.items() if each["calibration"]}
        made += self.save("calibration", curves.reliabilities(calibration))
        for place, (_, mistakes) in enumerate(_by_finding(facts["mistakes"])):
            titles = [f"{each['kind']}\n{_percent(each['probability'])}" for each in mistakes]
            made += self.save(f"mistakes-{place}", self.sheet(mistakes, titles))
        return made

    def _ranked(self, findings: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the scores of each finding on the pictures whose label is known."""
        from facelime_cli.drawing import curves

        classes: list[str] = self.model.facts["classes"]
        for number, name in enumerate(findings):
            c = classes.index(name)
            column = self.here.cases.labels[:, c]
            known = column >= 0
            yield curves.Ranked(name, column[known] == 1, self.here.probabilities[known, c], number)

    def shown(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the template shows beside what every evaluation has.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        mistakes = []
        for place, (name, its) in enumerate(_by_finding(facts["mistakes"])):
            command = explain_command(self.dataset, self.model, its, name)
            mistakes.append((name, f"mistakes-{place}", _mistake_rows(its), command))
        enough = [each for each in facts["subgroups"] if each["enough"]]
        return {
            "tables": summary(facts),
            "subgroups": _subgroup_rows(enough) if enough else [],
            "subgroups_left_out": len(facts["subgroups"]) - len(enough),
            "mistakes": mistakes,
            "without_mistakes": [name for name in facts["findings"] if name not in {each[0] for each in mistakes}],
            "fewest": FEWEST_GROUPS,
        }


def _by_finding(mistakes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the mistakes of each finding that has any."""
    return [(name, list(its)) for name, its in groupby(mistakes, key=lambda each: str(each["finding"]))]


# Rows of tables


def _finding_rows(facts: Mapping[str, Any]) -> Rows:
    """Return one row for each finding, below a heading: its counts and its figures with their intervals."""
    bounds = [f"{name} {end}" for name in EACH for end in ("", "low", "high")]
    heading = ("finding", *COUNTS, "enough", *(name.strip() for name in bounds), "expected_calibration_error")
    rows: Rows = [heading]
    for name, each in facts["findings"].items():
        values = [_cell(each[count]) for count in COUNTS]
        figures = [cell for figure in EACH for cell in (_cell(each[figure]), *(each[f"{figure}_interval"] or ("", "")))]
        error = each["calibration"]["expected_calibration_error"] if each["calibration"] else ""
        rows.append((name, *values, each["enough"], *figures, error))
    return rows


def _figure_rows(facts: Mapping[str, Any], split: str) -> Rows:
    """Return every figure as a row: its name, the finding it is about, its value and its interval."""
    rows: Rows = [("figure", "class", "value", "low", "high", "interval")]
    for name in ALL:
        rows.append((name, "", _cell(facts[name]), *(facts["bootstrap_intervals"][name] or ("", "")), BY_GROUP))
    rows += [(name, "", value, "", "", "") for name, value in calibrated.csv_rows(facts)]
    for finding, each in facts["findings"].items():
        for name in EACH:
            rows.append((name, finding, _cell(each[name]), *(each[f"{name}_interval"] or ("", "")), BY_GROUP))
        if each["calibration"]:
            error = each["calibration"]["expected_calibration_error"]
            rows.append(("expected_calibration_error", finding, error, "", "", ""))
    for finding, each in facts["thresholds"].items():
        here, limit = each[split], f"from {each['threshold']:.6g}"
        for name in SHARES:
            rows.append(
                (f"{name} {limit}", finding, _cell(here[name]), *(here[f"{name}_interval"] or ("", "")), "Wilson")
            )
        rows.append((f"f1 {limit}", finding, _cell(here["f1"]), "", "", ""))
    return rows


def _subgroup_values(each: Mapping[str, Any]) -> tuple[Any, ...]:
    named = {**each, "low": "", "high": ""}
    if each["recall_interval"]:
        named["low"], named["high"] = each["recall_interval"]
    return tuple(_cell(named[column]) for column in SUBGROUP_COLUMNS)


def _subgroup_rows(subgroups: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("subgroup", "finding", "known", "positive", "AUC", "recall", "95 % interval (Wilson)")
    ]
    for each in subgroups:
        subgroup = f"{each['column']}: {each['value']}"
        counts = str(each["n"]), str(each["positive"])
        rows.append(
            (
                subgroup,
                each["finding"],
                *counts,
                *map(share_of, (each["auc"], each["recall"])),
                interval_of(each["recall_interval"]),
            )
        )
    return rows


def _mistake_rows(mistakes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("picture", "mistake", "probability")]
    rows += [(each["id"], each["kind"], _percent(each["probability"])) for each in mistakes]
    return rows


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
        Over all findings; each finding's figures; what follows from its threshold.
    """
    title = f"{facts['n']} pictures in {facts['groups']} groups"
    overall = Table(("figure", "value", "95 % interval", "of"), _overall(facts), title)
    heads = ("finding", "known", "positive", "prevalence", "AUC", "95 % interval", "AP", "95 % interval", "ECE", "note")
    return [overall, Table(heads, _each(facts)), *calibrated.tables(facts), _at_thresholds(facts)]


def _overall(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    n_averaged, n_exact = len(facts["macro_over"]), facts["exact_match_pictures"]
    n_known = sum(each["n"] for each in facts["findings"].values())
    averaged = f"{n_averaged} of {len(facts['findings'])} findings, present and absent at least once"
    n_few = sum(not facts["findings"][name]["enough"] for name in facts["macro_over"])
    if n_few:
        averaged += f"; too few for {n_few} of them"
    of = dict.fromkeys(ALL, averaged)
    of["macro_f1"] = "findings that are present or called at least once"
    of["micro_f1"] = f"{n_known} known labels"
    of["exact_match"] = f"{n_exact} pictures without an unknown label"
    rows: list[tuple[str, ...]] = []
    for name in ALL:
        words = interval_of(facts["bootstrap_intervals"][name], BY_GROUP)
        rows.append((WORDS[name], share_of(facts[name]), words, of[name]))
    # An evaluation of an older facelime has none.
    for name, value in facts.get(calibrated.NAME, {}).items():
        if name in calibrated.FIGURES:
            rows.append((calibrated.FIGURES[name], share_of(value), "", of["micro_f1"]))
    return rows


def _each(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, each in facts["findings"].items():
        counts = str(each["n"]), str(each["positive"])
        prevalence = "none" if each["prevalence"] is None else f"{100 * each['prevalence']:.1f} %"
        figures = [
            cell for figure in EACH for cell in (share_of(each[figure]), interval_of(each[f"{figure}_interval"]))
        ]
        error = each["calibration"]["expected_calibration_error"] if each["calibration"] else None
        rows.append((name, *counts, prevalence, *figures, share_of(error), note_of(each)))
    return rows


def note_of(each: Mapping[str, Any]) -> str:
    """Return whether there are too few pictures to say anything of a finding; empty where there are enough.

    Parameters
    ----------
    each : mapping
        From `core.findings.counted`.

    Examples
    --------
    >>> note_of({"enough": False, "positive_groups": 3, "negative_groups": 200})
    'too few: 3 groups with it'
    """
    if each["enough"]:
        return ""
    if each["positive_groups"] <= each["negative_groups"]:
        return f"too few: {_groups(each['positive_groups'])} with it"
    return f"too few: {_groups(each['negative_groups'])} without it"


def _groups(n: int) -> str:
    return f"{n} group" if n == 1 else f"{n} groups"


def _at_thresholds(facts: Mapping[str, Any]) -> Table:
    rows = []
    for name, each in facts["thresholds"].items():
        picked = {HALF: "0.5", RECALL: f"recall {each.get('target_recall', 0):g} on {VALIDATION}"}
        words = picked.get(each["picked"], f"best F1 on {VALIDATION}")
        splits = [split for split, its in each.items() if isinstance(its, dict)]
        for split in splits:
            shares = [share_of(each[split][share]) for share in (*SHARES, "f1")]
            rows.append((name, words, f"{each['threshold']:.4f}", split, *shares))
    return Table(("finding", "threshold by", "threshold", "split", *SHARES, "F1"), rows)


def _cell(value: Any) -> Any:
    """Return a value as a CSV table has it: what is not known stays empty."""
    return "" if value is None else value


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"
