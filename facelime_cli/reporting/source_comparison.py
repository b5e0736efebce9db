"""How a model does on pictures of another source than those of an earlier evaluation: each figure beside the other.

`there` is the earlier evaluation, `here` what is evaluated now. The bootstrap draws the groups of either on its own,
for they have no picture in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import HALF
from facelime_cli.core import findings, metrics, shift, value_figures
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.reporting.classes_scored import OneClass
from facelime_cli.reporting.evaluation import NAMED_CLASSES, RECALL, Answered, Cases, pixel_digests
from facelime_cli.reporting.findings_scored import SeveralFindings
from facelime_cli.reporting.values_scored import Values
from facelime_cli.store import familiarity
from facelime_cli.store.pictures import is_multilabel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.drawing.source_charts import Scored
    from facelime_cli.reporting.evaluation import Scoring
    from facelime_cli.store.artifacts import Artifact

COMPARED = "compared"
"""Where the comparison stands among the facts of an evaluation."""
MOST_PROBABLE = "most probable"
"""How a class is called where no threshold was chosen for it, and there are more than two."""
MOST_DESCRIBED = 20
"""Classes that are described one by one at most: the most frequent ones here."""
ALL_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "calibration_error", "brier")
"""Figures of all classes together."""
EXPECTED = "accuracy_with_the_shares_here"
"""What the accuracy there would be if the classes were as frequent as here, and each were told as well as there."""
KNOWN = ("known_mean", "known_spread")
"""Figures of the known values themselves."""


@dataclass(frozen=True)
class Side:
    """One of the two sets of pictures.

    Attributes
    ----------
    labels : (N,), (N, L) or (N, V) array
        As those of `evaluation.Cases`.
    probabilities : (N, C) float32 array
    groups : list of str
    drawn : (D, N) int16 array
        From `core.shift.drawings`.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float32]
    groups: list[str]
    drawn: NDArray[np.int16]

    @classmethod
    def of(cls, answered: Answered, rounds: int, seed: int, *, aside: bool) -> Side:
        """Draw the groups of some answers.

        Parameters
        ----------
        answered : Answered
        rounds, seed : int
        aside : bool
            As for `core.shift.drawings`.
        """
        groups = answered.cases.groups
        drawn = shift.drawings(groups, rounds, seed, aside=aside)
        return cls(answered.cases.labels, answered.probabilities, groups, drawn)

    def has(self, c: int) -> NDArray[np.int8]:
        """Return whether each picture is of a class or has a finding: (N,), 1, 0, or -1 for unknown.

        Parameters
        ----------
        c : int
        """
        column = self.labels[:, c] if self.labels.ndim > 1 else self.labels == c
        return np.asarray(column, dtype=np.int8)

    def called(self, c: int, threshold: float | None) -> NDArray[np.bool_]:
        """Return which pictures are called of a class: (N,).

        Parameters
        ----------
        c : int
        threshold : float, optional
            None for those whose most probable class it is.
        """
        if threshold is None:
            return np.asarray(self.probabilities.argmax(axis=1) == c)
        return np.asarray(self.probabilities[:, c] >= np.float32(threshold))


def stored(evaluation: Artifact) -> Answered:
    """Return what an evaluation is about, and what the model said.

    Parameters
    ----------
    evaluation : Artifact
    """
    labels = evaluation.read("labels")
    # Classes are stored in 16 bits; findings and values as they are counted.
    labels = labels.astype(np.int64) if labels.ndim == 1 else labels
    cases = Cases(evaluation.read("row").astype(np.int64), labels, evaluation.texts("group"))
    return Answered(cases, evaluation.read("probabilities"))


def check(there: Artifact | None, model: Artifact, dataset: Artifact, scoring: Scoring, cases: Cases) -> None:
    """Raise where an evaluation cannot be compared with what is evaluated.

    Parameters
    ----------
    there : Artifact, optional
        The evaluation; None where nothing is to be compared.
    model, dataset : Artifact
        What is evaluated.
    scoring : Scoring
    cases : Cases

    Raises
    ------
    FacelimeError
        Where it is of another model, other classes, findings or values, or of the same patients.
    """
    if there is None:
        return
    its_model = there.inputs["model"]
    if its_model["digest"] != model.content:
        raise FacelimeError(
            f"--compare {there.id} is an evaluation of models/{its_model['id']}, not of models/{model.id}; "
            "name an evaluation of the same model, or compare two models with `facelime compare-models`."
        )
    if _kind(there) is not type(scoring) or list(there.facts["classes"]) != list(scoring.classes):
        raise FacelimeError(
            f"--compare {there.id} was scored in another way ({_asked(there)}) than datasets/{dataset.id} is; "
            "name an evaluation on a dataset whose labels are of the same kind."
        )
    if not _common(there, scoring, cases):
        raise FacelimeError(
            f"--compare {there.id} and datasets/{dataset.id} have no class, finding or value in common that both have "
            "labels of; choose another evaluation or dataset."
        )
    if there.inputs["dataset"]["digest"] == dataset.content:
        shared = set(there.texts("group")) & set(cases.groups)
        if shared:
            raise FacelimeError(
                f"--compare {there.id} is about {len(shared)} of the same groups of datasets/{dataset.id}, so that the "
                "two sides are not of different sources; choose another --dataset or --split."
            )


def _kind(evaluation: Artifact) -> type[Any]:
    """Return the scoring of an evaluation."""
    if "values" in evaluation.facts:
        return Values
    return SeveralFindings if is_multilabel(evaluation) else OneClass


def _asked(evaluation: Artifact) -> str:
    """Return what an evaluation is about, in words."""
    classes = evaluation.facts["classes"]
    named = ", ".join(classes[:NAMED_CLASSES]) + (" and more" if len(classes) > NAMED_CLASSES else "")
    kinds = {Values: "values", SeveralFindings: "findings", OneClass: "one class for each picture"}
    return f"{kinds[_kind(evaluation)]}: {named}"


def _common(there: Artifact, scoring: Scoring, cases: Cases) -> list[str]:
    """Return the classes, findings or values that both sides have labels of."""
    if isinstance(scoring, Values):
        return [name for name in there.facts["values"] if name in scoring.columns]
    if isinstance(scoring, SeveralFindings):
        return [name for name in scoring.known if name in there.facts["findings"]]
    both = np.intersect1d(there.read("labels"), cases.labels)
    return [scoring.classes[c] for c in both]


def compare(
    there: Artifact | None, artifact: Artifact, here: Answered, scoring: Scoring, rounds: int, seed: int
) -> dict[str, Any]:
    """Return how the figures here differ from those of an evaluation.

    Parameters
    ----------
    there : Artifact, optional
        The evaluation, from `check`.
    artifact : Artifact
        The evaluation that is being made.
    here : Answered
        What it is about.
    scoring : Scoring
    rounds, seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Empty without an evaluation. Else under `COMPARED` a dict: `evaluation`, `dataset`, `split`, `n` and `groups` of
        the evaluation, whether it is of pictures that the model
        was trained on (`seen_in_training`, a sentence or None), how many pictures are on both sides, and the share of
        those that are `unlike` the model's training data, where it keeps a summary of that.
        Of values `values`: by value and figure. Else `figures`, those of all classes; `classes`, those of each; and
        `thresholds`, what follows here from those that were chosen there. Each figure is a `core.shift.difference`.
    """
    if there is None:
        return {}
    before = stored(there)
    sides = Side.of(before, rounds, seed, aside=True), Side.of(here, rounds, seed, aside=False)
    found: dict[str, Any] = {"evaluation": there.id, "dataset": there.inputs["dataset"]["id"]}
    found |= {"split": there.parameters["split"], "n": there.n, "groups": there.facts["groups"]}
    found["seen_in_training"] = there.facts.get("seen_in_training", {}).get("sentence")
    found["shared_pictures"] = _shared(there, before, artifact.input("datasets"), here)
    found["unlike"] = _unlike(there, artifact, *sides)
    names = _common(there, scoring, here.cases)
    if isinstance(scoring, Values):
        found["values"] = {name: _of_value(scoring.classes.index(name), *sides) for name in names}
    elif isinstance(scoring, SeveralFindings):
        found |= _of_findings(names, there.facts, *sides)
    else:
        found |= _of_classes(names, there.facts, *sides)
    return {COMPARED: found}


def _shared(there: Artifact, before: Answered, dataset: Artifact, here: Answered) -> int | None:
    """Return how many pictures are on both sides, by their pixels; None where those of the evaluation are gone."""
    try:
        own = there.input("datasets")
    except NotFoundError:
        return None
    known = set(pixel_digests(own, before.cases.rows.tolist()))
    return sum(each in known for each in pixel_digests(dataset, here.cases.rows.tolist()))


def chart(there: Artifact, here: Answered, scoring: Scoring, compared: Mapping[str, Any]) -> Figure:
    """Draw what the comparison is about: curves of each class or finding, or values against the known ones.

    Parameters
    ----------
    there, here, scoring
        As for `compare`.
    compared : mapping
        From `compare`.
    """
    from facelime_cli.drawing import source_charts

    sides = [Side.of(each, rounds=0, seed=0, aside=False) for each in (stored(there), here)]
    if isinstance(scoring, Values):
        drawn = []
        for name in compared["values"]:
            one, other = (_points(scoring.classes.index(name), side) for side in sides)
            drawn.append(source_charts.Both(name, one, other, scoring.unit))
        return source_charts.values(drawn)
    classes, drawn = list(scoring.classes), []
    for name, its in compared["thresholds"].items():
        one, other = (_scores(classes.index(name), side, its["threshold"]) for side in sides)
        drawn.append(source_charts.Both(name, one, other))
    return source_charts.classes(drawn)


def _points(c: int, side: Side) -> Scored:
    """Return what is drawn of a value."""
    from facelime_cli.drawing.source_charts import Scored

    known = np.isfinite(side.labels[:, c])
    return Scored(side.labels[known, c], side.probabilities[known, c].astype(np.float64))


def _scores(c: int, side: Side, threshold: float | None) -> Scored:
    """Return what is drawn of a class."""
    from facelime_cli.drawing.source_charts import Scored

    has = side.has(c)
    known = has >= 0
    return Scored(has[known] == 1, side.probabilities[known, c], side.called(c, threshold)[known])


def _unlike(there: Artifact, artifact: Artifact, *sides: Side) -> dict[str, Any] | None:
    """Return the difference of the shares of pictures that are unlike the training data; None where nobody knows."""
    shares = []
    for evaluation, side in zip((there, artifact), sides, strict=True):
        distances = familiarity.distances_of(evaluation)
        if distances is None:
            return None
        shares.append(shift.averaged(np.array(distances) > 1, side.drawn.T.astype(np.float64)))
    return shift.difference(*shares)


# Values


def _of_value(c: int, there: Side, here: Side) -> dict[str, Any]:
    """Return the differences of a value's figures."""
    figures = []
    for side in (there, here):
        known = np.isfinite(side.labels[:, c])
        true, said, drawn = side.labels[known, c], side.probabilities[known, c].astype(np.float64), side.drawn[:, known]
        weights = drawn.T.astype(np.float64)
        mean = shift.averaged(true, weights)
        # Far from 0, squares lose the digits that the variance is made of.
        centre = true.mean()
        squares = shift.averaged((true - centre) ** 2, weights) - (mean - centre) ** 2
        own = dict(zip(KNOWN, (mean, np.sqrt(np.maximum(squares, 0))), strict=True))
        figures.append(own | value_figures.resampled(true, said, drawn))
    return shift.differences(*figures)


# Several findings


def _of_findings(names: Sequence[str], facts: Mapping[str, Any], there: Side, here: Side) -> dict[str, Any]:
    """Return the differences of what is said of findings, at the thresholds there."""
    columns = [facts["classes"].index(name) for name in names]
    chosen = {name: facts["thresholds"][name] for name in names}
    limits = [each["threshold"] for each in chosen.values()]
    one, other = (
        findings.resampled(side.labels[:, columns], side.probabilities[:, columns], limits, side.drawn)
        for side in (there, here)
    )
    found: dict[str, Any] = {"figures": {name: shift.difference(one[name], other[name]) for name in findings.ALL}}
    found["classes"] = {}
    for place, name in enumerate(names):
        of_both = [
            shift.described(side.has(columns[place]), side.probabilities[:, columns[place]], side.drawn)
            for side in (there, here)
        ]
        its = shift.differences(*of_both)
        its |= {each: shift.difference(one[each][:, place], other[each][:, place]) for each in findings.EACH}
        found["classes"][name] = its
    found["too_few"] = _too_few(dict(zip(names, columns, strict=True)), there, here)
    found["thresholds"] = {
        name: _transferred(chosen[name], columns[place], there, here) for place, name in enumerate(names)
    }
    return found


def _too_few(columns: Mapping[str, int], there: Side, here: Side) -> dict[str, list[str]]:
    """Return for both sides the classes whose figures say nothing, by their names."""
    found: dict[str, list[str]] = {}
    for key, side in (("there", there), ("here", here)):
        labels = np.stack([side.has(c) for c in columns.values()], axis=1)
        counts = findings.counted(labels, side.groups)
        found[key] = [name for name, its in zip(columns, counts, strict=True) if not its["enough"]]
    return found


# One class for each picture


def _of_classes(names: Sequence[str], facts: Mapping[str, Any], there: Side, here: Side) -> dict[str, Any]:
    """Return the differences of what is said of classes: those that both sides have pictures of."""
    classes = list(facts["classes"])
    columns = [classes.index(name) for name in names]
    areas = [
        {c: shift.area(side.has(c), side.probabilities[:, c], side.drawn) for c in columns} for side in (there, here)
    ]
    figures = [_together(of_each, side) for of_each, side in zip(areas, (there, here), strict=True)]
    found: dict[str, Any] = {"figures": shift.differences(*figures)}
    found["figures"][EXPECTED] = _expected(columns, there, here)
    found["only_there"] = _only(classes, there, here)
    found["only_here"] = _only(classes, here, there)
    shown = _most_frequent(columns, here)
    found["not_described"] = len(columns) - len(shown)
    found["classes"] = {classes[c]: _of_class(c, areas, there, here) for c in shown}
    found["too_few"] = _too_few({classes[c]: c for c in shown}, there, here)
    chosen = _chosen(classes, [classes[c] for c in shown], facts["thresholds"])
    found["thresholds"] = {name: _transferred(each, classes.index(name), there, here) for name, each in chosen.items()}
    return found


def _together(areas: Mapping[int, NDArray[np.float64]], side: Side) -> dict[str, NDArray[np.float64]]:
    """Return the figures of some classes together in each drawing, from the area of each."""
    of_all = shift.of_most_probable(side.labels, side.probabilities, side.drawn)
    of_each = [shift.called(side.has(c), side.called(c, None), side.drawn) for c in areas]
    of_all["balanced_accuracy"] = np.mean([each["recall"] for each in of_each], axis=0)
    of_all["macro_f1"] = np.mean([each["f1"] for each in of_each], axis=0)
    of_all["auc"] = np.mean(list(areas.values()), axis=0)
    return {name: of_all[name] for name in ALL_CLASSES}


def _expected(columns: Sequence[int], there: Side, here: Side) -> dict[str, Any]:
    """Return the accuracy that the recalls there give with the class shares here, beside the accuracy here."""
    weights = here.drawn.T.astype(np.float64)
    accuracy = shift.averaged(here.probabilities.argmax(axis=1) == here.labels, weights)
    total = np.zeros(min(len(there.drawn), len(here.drawn)))
    # A class that only this side has is not told at all by what is known from there.
    covered = np.isin(here.labels, columns).all()
    for c in columns:
        recall = shift.called(there.has(c), there.called(c, None), there.drawn)["recall"]
        share = shift.averaged(here.has(c), weights)
        total = total + recall[: len(total)] * share[: len(total)]
    return shift.difference(total if covered else np.full(1, np.nan), accuracy)


def _only(classes: Sequence[str], one: Side, other: Side) -> list[str]:
    """Return the classes that one side has pictures of and the other has not."""
    return [classes[c] for c in np.setdiff1d(one.labels, other.labels)]


def _most_frequent(columns: Sequence[int], side: Side) -> list[int]:
    """Return the most frequent classes, at most as many as are described, in their own order."""
    counts = {c: int((side.labels == c).sum()) for c in columns}
    first = sorted(columns, key=lambda c: -counts[c])[:MOST_DESCRIBED]
    return [c for c in columns if c in first]


def _of_class(
    c: int, areas: Sequence[Mapping[int, NDArray[np.float64]]], there: Side, here: Side
) -> dict[str, dict[str, Any]]:
    """Return the differences of what is said of one class."""
    of_both = [
        shift.described(side.has(c), side.probabilities[:, c], side.drawn) | {"auc": its[c]}
        for its, side in zip(areas, (there, here), strict=True)
    ]
    return shift.differences(*of_both)


def _chosen(classes: Sequence[str], shown: Sequence[str], thresholds: Mapping[str, Any]) -> dict[str, Any]:
    """Return how each class is called: from the threshold chosen there, else as the most probable one."""
    if len(classes) > 2:  # noqa: PLR2004 - two classes mirror each other
        usual = {name: {"picked": MOST_PROBABLE, "threshold": None} for name in shown}
        return usual | {name: {"picked": RECALL, **each} for name, each in thresholds.items() if name in usual}
    if thresholds:
        return {name: {"picked": RECALL, **each} for name, each in thresholds.items()}
    return {classes[-1]: {"picked": HALF, "threshold": findings.HALF}}


# Thresholds


def _transferred(chosen: Mapping[str, Any], c: int, there: Side, here: Side) -> dict[str, Any]:
    """Return what follows on both sides from a threshold that was chosen there."""
    threshold = chosen["threshold"]
    calls = [side.called(c, threshold) for side in (there, here)]
    labels = [side.has(c) for side in (there, here)]
    drawn = [
        shift.called(own, is_called, side.drawn)
        for own, is_called, side in zip(labels, calls, (there, here), strict=True)
    ]
    # Those that are called have a score of 1: the counts and Wilson's intervals are those of any threshold.
    counted = [
        findings.at_threshold(own, is_called.astype(np.float32), findings.HALF)
        for own, is_called in zip(labels, calls, strict=True)
    ]
    found: dict[str, Any] = {"picked": chosen["picked"], "threshold": threshold}
    if chosen["picked"] == RECALL:
        found["target_recall"] = chosen["target_recall"]
        found["here_for_that_recall"] = _for_recall(labels[1], here.probabilities[:, c], chosen["target_recall"])
    for share in shift.SHARES:
        its = shift.difference(drawn[0][share], drawn[1][share])
        its |= {
            f"{side}_interval": each[f"{share}_interval"] for side, each in zip(("there", "here"), counted, strict=True)
        }
        found[share] = its
    return found


def _for_recall(labels: NDArray[np.int8], scores: NDArray[np.float32], recall: float) -> dict[str, Any] | None:
    """Return the threshold that would reach a recall here, and what would follow from it; None without a picture."""
    if not (labels == 1).any():
        return None
    known = labels >= 0
    threshold = metrics.threshold_for(labels[known] == 1, scores[known], recall)
    reached = findings.at_threshold(labels, scores, threshold)
    return {"threshold": threshold, **{share: reached[share] for share in shift.SHARES}}
