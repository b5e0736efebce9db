"""How answers are scored where a picture may have several findings: each finding has a probability of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import BEST_F1, HALF
from facelime_cli.core import findings, metrics
from facelime_cli.reporting import evaluation
from facelime_cli.reporting.evaluation import RECALL, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.evaluation import Answered, Picking
    from facelime_cli.store.artifacts import Artifact

FALSE_POSITIVE, FALSE_NEGATIVE = "false positive", "false negative"


@dataclass(frozen=True)
class SeveralFindings:
    """Scoring of a model that gives each finding of a picture a probability of its own.

    Attributes
    ----------
    classes : sequence of str
        The model's findings.
    known : mapping
        From the findings that the dataset says something of, to its columns: `labels[:, column]` has them. A dataset of
        the two classes `no X` and `X` has one, whose column is that of the class `X`.
    not_in_model : sequence of str
        Findings of the dataset that the model does not know.
    """

    classes: Sequence[str]
    known: Mapping[str, int]
    not_in_model: Sequence[str] = ()

    def check(self, picking: Picking) -> None:
        """Every way to pick thresholds fits.

        Parameters
        ----------
        picking : Picking
        """

    def labels(self, dataset: Artifact) -> NDArray[np.int8]:
        """Return for each picture and each of the model's findings 1, 0, or -1 where it is unknown: (N, L) int8.

        Parameters
        ----------
        dataset : Artifact
        """
        stored = dataset.read("labels")
        found = np.full((len(stored), len(self.classes)), -1, dtype=np.int8)
        for name, column in self.known.items():
            own = stored[:, column] if stored.ndim > 1 else np.where(stored < 0, -1, stored == column)
            found[:, self.classes.index(name)] = own
        return found

    def column(self, labels: NDArray[Any], c: int) -> NDArray[np.int8]:
        """Return whether each picture has a finding: (N,) int8, -1 where it is unknown.

        Parameters
        ----------
        labels : (N, L) int8 array
        c : int
        """
        return np.asarray(labels[:, c])

    def thresholds(self, picking: Picking, before: Answered | None, here: Answered, split: str) -> dict[str, Any]:
        """Return from where on each finding is called, and what that means.

        Parameters
        ----------
        picking : Picking
        before : Answered or None
            The pictures that thresholds are picked on; None where none is picked.
        here : Answered
            The pictures that are evaluated.
        split : str
            Name of their split.

        Returns
        -------
        dict
            By the names of the findings: `threshold`, `picked` (half, f1 or recall), `target_recall` where one is
            wanted, and what follows from it on the validation split, where it was picked there, and on this one.
        """
        found = {}
        for name in self.known:
            c = self.classes.index(name)
            its: dict[str, Any] = {"picked": HALF, "threshold": findings.HALF}
            if before is not None:
                column, scores = before.cases.labels[:, c], before.probabilities[:, c]
                its = _picked(picking, name, column, scores)
                if its["picked"] != HALF:
                    its[VALIDATION] = findings.at_threshold(column, scores, its["threshold"])
            its[split] = findings.at_threshold(here.cases.labels[:, c], here.probabilities[:, c], its["threshold"])
            found[name] = its
        return found

    def figures(self, here: Answered, thresholds: Mapping[str, Any], rounds: int, seed: int) -> dict[str, Any]:
        """Return every figure of an evaluation, with its intervals.

        Parameters
        ----------
        here : Answered
        thresholds : mapping
            From `thresholds`.
        rounds, seed : int
            Of the bootstrap, which draws whole groups; the same for all findings.

        Returns
        -------
        dict
            `n`, `groups`, `classes` and `multilabel`; those of `core.findings.ALL`, their `bootstrap_intervals` and the
            findings that the means are over; for each finding its counts, figures, intervals and calibration under
            `findings`; the findings that only the model or only the dataset knows.
        """
        groups = here.cases.groups
        labels, probabilities, limits = self._common(here, thresholds)
        single = findings.figures(labels, probabilities, limits)
        values = evaluation.by_round(
            lambda drawn: findings.resampled(labels, probabilities, limits, drawn), groups, rounds, seed
        )
        found: dict[str, Any] = {"n": len(labels), "groups": len(set(groups)), "classes": list(self.classes)}
        found["multilabel"] = True
        found |= {name: single[name] for name in findings.ALL}
        found["bootstrap_intervals"] = {name: _interval(values, name) for name in findings.ALL}
        names = list(self.known)
        scorable = findings.has_both(labels)
        found["macro_over"] = [name for name, has_both in zip(names, scorable, strict=True) if has_both]
        found["exact_match_pictures"] = int(findings.wholly_known(labels).sum())
        counts = findings.counted(labels, groups)
        found["findings"] = {}
        for place, name in enumerate(names):
            its = dict(counts[place])
            for figure in findings.EACH:
                its[figure] = single[figure][place]
                its[f"{figure}_interval"] = _interval(values, figure, place)
            calibration = findings.calibration(labels[:, place], probabilities[:, place])
            its["calibration"] = None if calibration is None else vars(calibration)
            found["findings"][name] = its
        found["not_in_dataset"] = [name for name in self.classes if name not in self.known]
        found["not_in_model"] = list(self.not_in_model)
        return found

    def _common(
        self, here: Answered, thresholds: Mapping[str, Any]
    ) -> tuple[NDArray[np.int8], NDArray[np.float32], list[float]]:
        """Return labels, probabilities and thresholds of the findings that both the model and the dataset know."""
        columns = [self.classes.index(name) for name in self.known]
        limits = [thresholds[name]["threshold"] for name in self.known]
        return here.cases.labels[:, columns], here.probabilities[:, columns], limits

    def subgroups(self, dataset: Artifact, here: Answered, thresholds: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the figures of each finding for the pictures that share a value of a table column.

        Parameters
        ----------
        dataset : Artifact
        here : Answered
        thresholds : mapping
            From `thresholds`.

        Returns
        -------
        list of dict
            column, value, finding; the counts of `core.findings.counted`; auc, recall and specificity, the latter two
            with their interval (Wilson 1927).
        """
        found = []
        labels, probabilities, limits = self._common(here, thresholds)
        for column, value, within in evaluation.by_value(dataset, here.cases):
            its_groups = [here.cases.groups[place] for place in np.flatnonzero(within)]
            counts = findings.counted(labels[within], its_groups)
            areas = findings.figures(labels[within], probabilities[within], limits)["auc"]
            for place, name in enumerate(self.known):
                called = findings.at_threshold(labels[within, place], probabilities[within, place], limits[place])
                each = {"column": column, "value": value, "finding": name, **counts[place], "auc": areas[place]}
                for share in ("recall", "specificity"):
                    each[share], each[f"{share}_interval"] = called[share], called[f"{share}_interval"]
                found.append(each)
        return found

    def mistakes(
        self, here: Answered, ids: Sequence[str], thresholds: Mapping[str, Any], most: int
    ) -> list[dict[str, Any]]:
        """Return for each finding the wrong answers that the model is surest of.

        Parameters
        ----------
        here : Answered
        ids : sequence of str
            Of the pictures.
        thresholds : mapping
            From `thresholds`.
        most : int
            How many at most for each finding: half of them false positives and half false negatives, where there are
            as many.

        Returns
        -------
        list of dict
            finding, kind, id, row, probability, threshold. By finding; the most probable false positives first, then
            the least probable false negatives.
        """
        found: list[dict[str, Any]] = []
        labels, probabilities, limits = self._common(here, thresholds)
        for c, name in enumerate(self.known):
            column, scores = labels[:, c], probabilities[:, c]
            for kind, place in _surest(column, scores, limits[c], most):
                each: dict[str, Any] = {"finding": name, "kind": kind, "id": ids[place]}
                each["row"] = int(here.cases.rows[place])
                each["probability"] = float(scores[place])
                each["threshold"] = limits[c]
                found.append(each)
        return found


def _picked(picking: Picking, name: str, column: NDArray[np.int8], scores: NDArray[np.float32]) -> dict[str, Any]:
    """Return how the threshold of a finding is picked, and where it is."""
    if name in picking.recalls:
        recall = picking.recalls[name]
        known = column >= 0
        threshold = metrics.threshold_for(column[known], scores[known], recall)
        return {"picked": RECALL, "target_recall": recall, "threshold": threshold}
    best = findings.best_threshold(column, scores) if picking.how == BEST_F1 else None
    # A finding that no picture of the validation split has gives nothing to pick by.
    return {"picked": HALF, "threshold": findings.HALF} if best is None else {"picked": BEST_F1, "threshold": best}


def _interval(values: Mapping[str, Any] | None, name: str, place: int | None = None) -> list[float] | None:
    """Return the interval of a figure, or of a finding's."""
    if values is None:
        return None
    return metrics.interval(values[name] if place is None else values[name][:, place])


def _surest(
    column: NDArray[np.int8], scores: NDArray[np.float32], threshold: float, most: int
) -> Iterator[tuple[str, int]]:
    """Yield the mistakes about a finding, the surest of each kind first: kind and place."""
    called = scores >= threshold
    # A stable order: pictures of the same probability stay in the order of the dataset.
    ascending, descending = scores.argsort(kind="stable"), (-scores).argsort(kind="stable")
    false = [int(place) for place in descending if called[place] and column[place] == 0]
    missed = [int(place) for place in ascending if not called[place] and column[place] == 1]
    n_missed = min(len(missed), max(most // 2, most - len(false)))
    yield from ((FALSE_POSITIVE, place) for place in false[: most - n_missed])
    yield from ((FALSE_NEGATIVE, place) for place in missed[:n_missed])
