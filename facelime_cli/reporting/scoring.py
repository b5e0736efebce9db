"""Which scoring fits a model and a dataset, by the names of their classes or findings, and which report a scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering import runtimes, several
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import WITHOUT
from facelime_cli.reporting import classes_report, findings_report, source_report, values_report
from facelime_cli.reporting.classes_report import ClassesReport
from facelime_cli.reporting.classes_scored import OneClass
from facelime_cli.reporting.evaluation import NAMED_CLASSES
from facelime_cli.reporting.findings_report import FindingsReport
from facelime_cli.reporting.findings_scored import SeveralFindings
from facelime_cli.reporting.source_comparison import COMPARED
from facelime_cli.reporting.values_report import ValuesReport
from facelime_cli.reporting.values_scored import values_of
from facelime_cli.store import pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.console import Table
    from facelime_cli.reporting.evaluation import Answered, Scoring
    from facelime_cli.reporting.evaluation_report import Report
    from facelime_cli.store.artifacts import Artifact


def scoring_of(model: Artifact, dataset: Artifact, truth: Sequence[str] = ()) -> Scoring:
    """Return how a model is scored on a dataset.

    Parameters
    ----------
    model, dataset : Artifact
    truth : sequence of str
        Of a model that answers with values, which table columns have the known ones, see `values_of`.

    Returns
    -------
    Scoring
        Of one class for each picture, or of several findings. The two classes `no X` and `X` of a dataset fit a model
        that knows the finding `X` among others, and the finding `X` of a dataset fits a model of these two classes.

    Raises
    ------
    FacelimeError
        Where the dataset's classes or findings are not the model's.
    """
    classes: list[str] = model.facts["classes"]
    if runtimes.answers_values(model):
        return values_of(model, dataset, truth)
    if truth:
        raise CommandLineError(f"--truth {truth[0]} belongs to models that answer with values; leave it out.")
    own: list[str] = dataset.facts["classes"]
    column = model.facts.get(several.LABEL_COLUMN)
    fits = pictures.names_classes(dataset, column, classes)
    # Another dataset may call other things so, and have the model's classes as its own.
    if fits or (column in dataset.facts.get("columns", []) and not set(own) <= set(classes)):
        return _of_column(dataset, str(column), classes)
    if pictures.is_multilabel(dataset):
        if runtimes.independent(model):
            return _findings(dataset, own, classes)
        return _class_of_finding(model, dataset, own, classes)
    finding = finding_of(own)
    # A model whose findings are exactly the classes answers with the most probable one, as any other.
    if finding is not None and runtimes.independent(model) and set(own) & set(classes) == {finding}:
        return SeveralFindings(classes, {finding: own.index(finding)})
    return _one_class(dataset, own, classes)


def report_of(artifact: Artifact, model: Artifact, dataset: Artifact, here: Answered, split: str) -> Report:
    """Return the report of an evaluation.

    Parameters
    ----------
    artifact : Artifact
        The evaluation.
    model, dataset : Artifact
    here : Answered
    split : str

    Returns
    -------
    Report
    """
    if runtimes.answers_values(model):
        return ValuesReport(artifact, model, dataset, here, split)
    # Labels of several findings have a column for each.
    kind = FindingsReport if here.cases.labels.ndim > 1 else ClassesReport
    return kind(artifact, model, dataset, here, split)


def summary_of(facts: Mapping[str, Any]) -> list[Table]:
    """Return an evaluation's figures as tables.

    Parameters
    ----------
    facts : mapping
        Of the evaluation.
    """
    if "values" in facts:
        return [*values_report.summary(facts), *_comparison(facts)]
    tables = findings_report.summary if facts.get("multilabel") else classes_report.summary
    return [*tables(facts), *_comparison(facts)]


def _comparison(facts: Mapping[str, Any]) -> list[Table]:
    """Return the tables of the comparison with another evaluation, if there is one."""
    return source_report.tables(facts[COMPARED], facts.get("unit", "")) if COMPARED in facts else []


def in_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the sentences on an evaluation: what was left out, and how it compares with another one.

    Parameters
    ----------
    facts : mapping
        Of the evaluation.
    """
    compared = source_report.sentences(facts[COMPARED], facts.get("unit", "")) if COMPARED in facts else []
    return [*left_out(facts), *compared]


def left_out(facts: Mapping[str, Any]) -> list[str]:
    """Return sentences on the findings that only the model or only the dataset knows.

    Parameters
    ----------
    facts : mapping
        Of the evaluation.

    Examples
    --------
    >>> left_out({"not_in_dataset": ["Hernia"], "not_in_model": []})
    ['the dataset says nothing of Hernia']
    """
    found = []
    if facts.get("not_in_dataset"):
        found.append(f"the dataset says nothing of {_named(facts['not_in_dataset'])}")
    if facts.get("not_in_model"):
        found.append(f"the model does not know {_named(facts['not_in_model'])}")
    return found


def finding_of(classes: Sequence[str]) -> str | None:
    """Return the finding that two classes are about.

    Parameters
    ----------
    classes : sequence of str

    Returns
    -------
    str or None
        None where they are no `no X` and `X`.

    Examples
    --------
    >>> finding_of(["no Edema", "Edema"])
    'Edema'
    >>> finding_of(["normal", "Edema"]) is None
    True
    """
    for name in classes:
        if len(classes) == 2 and WITHOUT.format(name) in classes:  # noqa: PLR2004 - with the finding, and without
            return name
    return None


def _findings(dataset: Artifact, own: Sequence[str], classes: Sequence[str]) -> SeveralFindings:
    """Return the scoring of the findings that a model and a dataset both know."""
    # In the model's order. A name that the model has twice could be either.
    known = {name: own.index(name) for name in classes if name in own and classes.count(name) == 1}
    if not known:
        raise FacelimeError(
            f"datasets/{dataset.id} has the findings {_named(own)}, and the model's are {_named(classes)}; "
            "choose another dataset, or import the model with these names."
        )
    return SeveralFindings(classes, known, [name for name in own if name not in known])


def _class_of_finding(model: Artifact, dataset: Artifact, own: Sequence[str], classes: Sequence[str]) -> OneClass:
    """Return the scoring of a model of the classes `no X` and `X` on the finding X of a dataset."""
    finding = finding_of(classes)
    if finding not in own:
        raise FacelimeError(
            f"models/{model.id} gives each picture one of the classes {_named(classes)}, and datasets/{dataset.id} has "
            f"several findings per picture: {_named(own)}; choose a model that was trained on findings, or a dataset "
            "with one class per picture."
        )
    column = own.index(finding)
    # From 0 and 1 to the places of the two classes.
    places = np.array([1 - classes.index(finding), classes.index(finding)])

    def read(dataset: Artifact) -> NDArray[np.int64]:
        stored = dataset.read("labels")[:, column]
        return np.where(stored >= 0, places[stored], -1)

    return OneClass(classes, read)


def _one_class(dataset: Artifact, own: Sequence[str], classes: Sequence[str]) -> OneClass:
    """Return the scoring of one class for each picture."""
    _check_classes(dataset, own, classes)
    # From the dataset's order of the classes to the model's.
    places = np.array([classes.index(name) for name in own])

    def read(dataset: Artifact) -> NDArray[np.int64]:
        stored = dataset.read("labels").astype(np.int64)
        return np.where(stored >= 0, places[stored], -1)

    return OneClass(classes, read)


def _of_column(dataset: Artifact, column: str, classes: Sequence[str]) -> OneClass:
    """Return the scoring of the class that a table column has of each picture."""
    values, _ = pictures.classes_in(dataset, column)
    _check_classes(dataset, values, classes, f"in its column {column} ")
    places = np.array([classes.index(name) for name in values])

    def read(dataset: Artifact) -> NDArray[np.int64]:
        _, stored = pictures.classes_in(dataset, column)
        return np.where(stored >= 0, places[stored], -1)

    return OneClass(classes, read)


def _check_classes(dataset: Artifact, own: Sequence[str], classes: Sequence[str], where: str = "") -> None:
    """Raise where a class of the dataset is not exactly one of the model's."""
    lost = [name for name in own if list(classes).count(name) != 1]
    if own and not lost:
        return
    what = f"the class {lost[0]!r}" if lost else "no labels"
    raise FacelimeError(
        f"datasets/{dataset.id} has {where}{what}, and the model's classes are {_named(classes)}; "
        "rename classes with `preprocess --class-names`, or choose another dataset."
    )


def _named(names: Sequence[str]) -> str:
    """Return the first names of many, and how many more there are."""
    more = len(names) - NAMED_CLASSES
    return ", ".join(names[:NAMED_CLASSES]) + (f" and {more} more" if more > 0 else "")
