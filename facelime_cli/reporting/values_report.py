"""An evaluation of values as a reader sees it: tables, charts, a page, and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.answering.runtimes import unit_of
from facelime_cli.console import Table
from facelime_cli.core.value_figures import FIGURES
from facelime_cli.reporting.evaluation_report import BY_GROUP, Report, explain_command
from facelime_cli.reporting.quantities import Spoken, digits_for
from facelime_cli.reporting.values_scored import Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from facelime_cli.reporting.evaluation_report import Rows, Tables

WORDS = {
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "bias": "bias (model − known)",
    "lower_limit": "lower limit of agreement",
    "upper_limit": "upper limit of agreement",
}
"""The figures as tables name them."""
WITHOUT_UNIT = "r2"
"""The figure that is in no unit."""
SUBGROUP_COLUMNS = ("name", "column", "value", "n", "mae", "bias")
"""Heading of subgroups.csv."""


class ValuesReport(Report):
    """The report of an evaluation of a model that answers with values."""

    template = "evaluation_values.html"

    def tables(self, facts: Mapping[str, Any]) -> Tables:
        """Return the rows of each CSV file, by its name.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        subgroups: Rows = [SUBGROUP_COLUMNS]
        subgroups += [tuple("" if value is None else value for value in each.values()) for each in facts["subgroups"]]
        names = self.model.facts["classes"]
        known = [name for name in names if name in facts["values"]]
        heading = ("id", "group", *(f"{name} label" for name in known), *names)
        return {
            "figures.csv": _figure_rows(facts),
            "subgroups.csv": subgroups,
            "predictions.csv": [heading, *self._prediction_rows(known)],
        }

    def _prediction_rows(self, known: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield one row for each picture: what is known, then what the model answers."""
        names = self.model.facts["classes"]
        columns = [names.index(name) for name in known]
        cases = self.here.cases
        for place, picture in enumerate(self.artifact.texts("id")):
            true = ["" if value != value else float(value) for value in cases.labels[place, columns]]  # noqa: PLR0124 - NaN
            yield picture, cases.groups[place], *true, *map(float, self.here.probabilities[place])

    def charts(self, facts: Mapping[str, Any]) -> list[str]:
        """Draw the charts, and return the names of their files.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        from facelime_cli.drawing import agreement_charts

        unit = unit_of(self.model)
        scored = Values(self.model.facts["classes"], {}, unit)
        drawn = []
        for name, its in facts["values"].items():
            _, true, said = scored.known(self.here, name)
            drawn.append(agreement_charts.Agreement(name, unit, true, said, its))
        made = self.save("scatter", agreement_charts.scatter(drawn))
        made += self.save("bland-altman", agreement_charts.bland_altman(drawn))
        for place, (_, its) in enumerate(_by_value(facts["mistakes"])):
            spoken = _spoken(facts)
            titles = [f"{spoken.answer(each['answer'])}\nknown {spoken.answer(each['label'])}" for each in its]
            made += self.save(f"farthest-{place}", self.sheet(its, titles))
        return made

    def shown(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the template shows beside what every evaluation has.

        Parameters
        ----------
        facts : mapping
            Of the evaluation.
        """
        spoken = _spoken(facts)
        farthest = []
        for place, (name, its) in enumerate(_by_value(facts["mistakes"])):
            rows: list[tuple[str, ...]] = [("picture", "known", "model", "model − known")]
            rows += [
                (each["id"], *(spoken.answer(each[key]) for key in ("label", "answer")), _signed(spoken, each["error"]))
                for each in its
            ]
            command = explain_command(self.dataset, self.model, its, name)
            farthest.append((name, f"farthest-{place}", rows, command))
        return {
            "tables": summary(facts),
            "subgroups": _subgroup_rows(facts),
            "farthest": farthest,
            "errors": [
                (name, its["column"], spoken.change(its["mae"]), _bounds(spoken, its["intervals"]["mae"]))
                for name, its in facts["values"].items()
            ],
        }


def _by_value(mistakes: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the largest errors of each value."""
    names = dict.fromkeys(each["name"] for each in mistakes)
    return [(name, [each for each in mistakes if each["name"] == name]) for name in names]


def _spoken(facts: Mapping[str, Any]) -> Spoken:
    """Return how values and errors are written: three digits of the smallest error count."""
    errors = [its["mae"] for its in facts["values"].values() if its["mae"]]
    return Spoken(values=True, unit=facts["unit"], digits=digits_for(min(errors, default=0.0)))


def _signed(spoken: Spoken, value: float) -> str:
    return ("+" if value > 0 else "") + spoken.answer(value)


def _bounds(spoken: Spoken, bounds: Sequence[float] | None) -> str:
    """Return an interval in words, empty where there is none."""
    if bounds is None:
        return ""
    bare = Spoken(values=True, digits=spoken.digits)
    return f"{bare.answer(bounds[0])} to {spoken.answer(bounds[1])}"


def _figure_rows(facts: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return every figure as a row: its name, the value it is about, the figure, its interval and its unit."""
    rows: list[tuple[Any, ...]] = [("figure", "name", "value", "low", "high", "interval", "unit")]
    for name, its in facts["values"].items():
        for figure in FIGURES:
            bounds = its["intervals"][figure] or ("", "")
            value = "" if its[figure] is None else its[figure]
            rows.append((figure, name, value, *bounds, BY_GROUP, "" if figure == WITHOUT_UNIT else facts["unit"]))
    return rows


def _subgroup_rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    spoken = _spoken(facts)
    several = len(facts["values"]) > 1
    rows: list[tuple[str, ...]] = [("subgroup", "pictures", WORDS["mae"], WORDS["bias"])]
    for each in facts["subgroups"]:
        of = f"{each['name']}, " if several else ""
        name = f"{of}{each['column']}: {each['value']}"
        rows.append((name, str(each["n"]), spoken.change(each["mae"]), _signed(spoken, each["bias"])))
    return rows


def summary(facts: Mapping[str, Any]) -> list[Table]:
    """Return an evaluation's figures as tables, one for each value.

    Parameters
    ----------
    facts : mapping
        Of the evaluation.

    Returns
    -------
    list of Table
    """
    spoken = _spoken(facts)
    bare = Spoken(values=True, digits=2)
    tables = []
    for name, its in facts["values"].items():
        rows = []
        for figure in FIGURES:
            how = bare if figure == WITHOUT_UNIT else spoken
            words = "not known" if its[figure] is None else how.answer(its[figure])
            bounds = _bounds(how, its["intervals"][figure])
            rows.append((WORDS[figure], words, f"{bounds} ({BY_GROUP})" if bounds else ""))
        title = f"{name}: {its['n']} pictures in {its['groups']} groups, known from the column {its['column']}"
        tables.append(Table(("figure", "value", "95 % interval"), rows, title))
    return tables
