"""How a model is scored that answers with values: against the numbers in table columns of the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.runtimes import unit_of
from facelime_cli.core import metrics, value_figures
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.reporting import evaluation
from facelime_cli.store.pictures import number_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.evaluation import Answered, Picking
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True)
class Values:
    """Scoring of a model that answers with values.

    Attributes
    ----------
    classes : sequence of str
        The names of its values.
    columns : mapping
        From a value to the table column with the known one; it has one value at least.
    unit : str
        Of the values.
    """

    classes: Sequence[str]
    columns: Mapping[str, str]
    unit: str

    def check(self, picking: Picking) -> None:
        """Raise where thresholds are to be picked.

        Parameters
        ----------
        picking : Picking

        Raises
        ------
        FacelimeError
        """
        if picking.option:
            raise FacelimeError(
                f"{picking.option} is for models that answer with probabilities, and this one answers with values; "
                "leave it out."
            )

    def labels(self, dataset: Artifact) -> NDArray[np.float64]:
        """Return the known values of each picture: (N, V) float64, NaN where one is unknown.

        Parameters
        ----------
        dataset : Artifact
        """
        unknown = np.full(dataset.n, np.nan)
        columns = [self.columns.get(name) for name in self.classes]
        return np.stack([unknown if each is None else dataset.read(f"table/{each}") for each in columns], axis=1)

    def column(self, labels: NDArray[Any], c: int) -> NDArray[np.int8]:
        """Return whether a value is known of each picture: (N,) int8.

        Parameters
        ----------
        labels : (N, V) float64 array
        c : int
        """
        return np.asarray(np.isfinite(labels[:, c]), np.int8)

    def thresholds(self, picking: Picking, before: Answered | None, here: Answered, split: str) -> dict[str, Any]:
        """Return nothing: a value has no threshold."""
        del picking, before, here, split
        return {}

    def figures(self, here: Answered, thresholds: Mapping[str, Any], rounds: int, seed: int) -> dict[str, Any]:
        """Return every figure of an evaluation, with its intervals.

        Parameters
        ----------
        here : Answered
        thresholds : mapping
            Not needed.
        rounds, seed : int
            Of the bootstrap, which draws whole groups.

        Returns
        -------
        dict
            n, groups, unit, and by the names of the values: the column of the known ones, n, groups, the figures of
            `value_figures`, and their `intervals`.
        """
        del thresholds
        found: dict[str, Any] = {"n": len(here.cases.rows), "groups": len(set(here.cases.groups))}
        found |= {"unit": self.unit, "values": {}}
        for name, column in self.columns.items():
            known, true, said = self.known(here, name)
            groups = [group for group, has in zip(here.cases.groups, known, strict=True) if has]
            drawn = evaluation.by_round(partial(value_figures.resampled, true, said), groups, rounds, seed)
            intervals = {
                figure: None if drawn is None else metrics.interval(drawn[figure]) for figure in value_figures.FIGURES
            }
            its = {"column": column, "n": len(true), "groups": len(set(groups)), **value_figures.figures(true, said)}
            found["values"][name] = {**its, "intervals": intervals}
        return found

    def known(self, here: Answered, name: str) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Return of which pictures a value is known, and there the known value and the model's.

        Parameters
        ----------
        here : Answered
        name : str

        Returns
        -------
        known : (N,) bool array
        true, said : (n,) float64 arrays
        """
        c = self.classes.index(name)
        known = np.isfinite(here.cases.labels[:, c])
        return known, here.cases.labels[known, c], here.probabilities[known, c].astype(np.float64)

    def subgroups(self, dataset: Artifact, here: Answered, thresholds: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the errors of the pictures that share a value of a table column; numbers are in quarters.

        Parameters
        ----------
        dataset : Artifact
        here : Answered
        thresholds : mapping
            Not needed.

        Returns
        -------
        list of dict
            name of the model's value, column, value, n, mae and bias.
        """
        del thresholds
        found = []
        for column, value, within in evaluation.by_value(dataset, here.cases):
            for name in self.columns:
                known, true, said = self.known(here, name)
                inside = within[known]
                if inside.any():
                    its = value_figures.figures(true[inside], said[inside])
                    found.append(
                        {
                            "name": name,
                            "column": column,
                            "value": value,
                            "n": int(inside.sum()),
                            "mae": its["mae"],
                            "bias": its["bias"],
                        }
                    )
        return found

    def mistakes(
        self, here: Answered, ids: Sequence[str], thresholds: Mapping[str, Any], most: int
    ) -> list[dict[str, Any]]:
        """Return the answers that are farthest from the known values.

        Parameters
        ----------
        here : Answered
        ids : sequence of str
            Of the pictures.
        thresholds : mapping
            Not needed.
        most : int
            How many at most of each value.

        Returns
        -------
        list of dict
            name of the value, id, row, label, answer and error; the largest error first, value by value.
        """
        del thresholds
        found: list[dict[str, Any]] = []
        for name in self.columns:
            known, true, said = self.known(here, name)
            places, error = np.flatnonzero(known), said - true
            # A stable order: pictures of the same error stay in the order of the dataset.
            farthest = (-np.abs(error)).argsort(kind="stable")[:most]
            found += [
                {
                    "name": name,
                    "id": ids[places[each]],
                    "row": int(here.cases.rows[places[each]]),
                    "label": float(true[each]),
                    "answer": float(said[each]),
                    "error": float(error[each]),
                }
                for each in farthest
            ]
        return found


def values_of(model: Artifact, dataset: Artifact, truth: Sequence[str]) -> Values:
    """Return how values are scored on a dataset.

    Parameters
    ----------
    model, dataset : Artifact
    truth : sequence of str
        From --truth, each COLUMN or VALUE=COLUMN; without any, a value's column has its own name.

    Returns
    -------
    Values

    Raises
    ------
    CommandLineError
        For a text that names no value of the model.
    FacelimeError
        Where the dataset has no such column of numbers.
    """
    names: list[str] = model.facts["classes"]
    there = number_columns(dataset)
    columns = _named(names, truth) if truth else {name: name for name in names if name in there}
    what = ", ".join(there) or "none"
    for column in columns.values():
        if column not in there:
            raise FacelimeError(
                f"datasets/{dataset.id} has no table column of numbers called {column!r} (those of numbers: {what}); "
                "name another with --truth, or preprocess again with --table and --columns."
            )
    if not columns:
        raise FacelimeError(
            f"datasets/{dataset.id} has no table column of numbers called {names[0]!r} (those of numbers: {what}); "
            "name the column with the known values with --truth, or preprocess again with --table and --columns."
        )
    return Values(names, columns, unit_of(model))


def _named(names: Sequence[str], truth: Sequence[str]) -> dict[str, str]:
    """Return the column of each value that --truth names."""
    found: dict[str, str] = {}
    for text in truth:
        name, between, column = text.partition("=")
        if name not in names or not between:
            if len(names) > 1 or len(truth) > 1:
                raise CommandLineError(
                    f"--truth {text!r} should be VALUE=COLUMN, and the model's values are "
                    f"{', '.join(names[: evaluation.NAMED_CLASSES])}."
                )
            name, column = names[0], text
        if name in found:
            raise CommandLineError(f"--truth names {name} twice; leave one of the two.")
        found[name] = column
    return found
