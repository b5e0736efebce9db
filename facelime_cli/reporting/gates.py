"""Conditions on explanations and evaluations, for pipelines that stop where one does not hold."""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.console import Table
from facelime_cli.core import images, shapes, zones
from facelime_cli.core.attribution import overlap
from facelime_cli.core.images import UnreadableError
from facelime_cli.core.verdict import DEPENDS, FAIR, NEEDS_MORE, NOT_CONFIRMED, NOTHING, STRONG, word_of
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import listing
from facelime_cli.reporting.evaluation import VALIDATION
from facelime_cli.reporting.evaluation_report import interval_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.store.artifacts import Artifact

    Mask = NDArray[np.uint8]
    Figure = tuple[float | None, Sequence[float] | None]

SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
FORM = re.compile(r"\s*(?P<name>[^<>=]*?)\s*(?P<sign>>=|<=|>|<)\s*(?P<number>[-+.\deE]+)\s*(?P<percent>%?)\s*")
"""A condition, with the name of a figure in front where it has one."""
CONFIRMED = frozenset({STRONG, FAIR})
"""Verdicts with which the model confirms an explanation."""
VERDICTS = {
    "confirmed": CONFIRMED,
    "verdict-needs-samples": frozenset({word_of(NEEDS_MORE).text}),
    "verdict-not-confirmed": frozenset({NOT_CONFIRMED}),
    "verdict-depends": frozenset({DEPENDS}),
    "verdict-nothing": frozenset({word_of(NOTHING).text}),
}
"""Conditions on the share of explanations with some verdicts, by option."""
NEED_A_CHECK = frozenset({"confirmed", "verdict-not-confirmed", "verdict-depends"})
"""Those about verdicts that only a check gives."""
TRUTH = "truth"
"""Stands for the regions of the dataset, see `preprocess --truth`."""
COLUMNS = ("condition", "wanted", "measured", "of", "holds", "note")
HOLDS = {True: "yes", False: "no"}
COUNTS = frozenset({"n", "groups", "right"})
"""Numbers among an evaluation's facts that are no figures."""
OF_CLASSES = frozenset({"recall", "precision", "f1"})
"""Figures that an evaluation has for each class."""
OF_FINDINGS = ("recall", "specificity", "precision", "f1")
"""Figures that it has for each finding at its threshold."""


@dataclass(frozen=True)
class Condition:
    """What a number has to be.

    Attributes
    ----------
    sign : str
        A key of `SIGNS`.
    bound : float
    """

    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        """Return whether a number is as wanted.

        Parameters
        ----------
        value : float
        """
        return SIGNS[self.sign](value, self.bound)

    @property
    def words(self) -> str:
        """How a table shows it.

        Examples
        --------
        >>> Condition(">=", 0.8).words
        '>= 0.8'
        """
        return f"{self.sign} {self.bound:g}"


@dataclass(frozen=True)
class Outcome:
    """What was measured for one condition.

    Attributes
    ----------
    name : str
        What the condition is about, such as `confirmed`.
    condition : Condition
    value : float
    of : str
        What it was measured on.
    note : str
        What helps to judge it.
    against : list of str
        Ids of the pictures that speak against it; empty for figures of an evaluation.
    """

    name: str
    condition: Condition
    value: float
    of: str
    note: str = ""
    against: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the condition holds."""
        return self.condition.holds(self.value)

    @property
    def row(self) -> tuple[str, ...]:
        """Its row of the table, as `COLUMNS`."""
        return self.name, self.condition.words, f"{self.value:.3f}", self.of, HOLDS[self.holds], self.note

    @property
    def value_as_json(self) -> dict[str, Any]:
        """Everything about it."""
        return {
            "condition": self.name,
            "sign": self.condition.sign,
            "bound": self.condition.bound,
            "measured": self.value,
            "of": self.of,
            "holds": self.holds,
            "note": self.note,
            "against": list(self.against),
        }


def condition_of(option: str, text: str) -> Condition:
    """Return the condition on a share that an option names.

    Parameters
    ----------
    option : str
        As it is typed.
    text : str
        A sign and a number from 0 to 1, or in percent.

    Returns
    -------
    Condition

    Raises
    ------
    CommandLineError
        When it has not this form.

    Examples
    --------
    >>> condition_of("--confirmed", ">=80%") == condition_of("--confirmed", ">= 0.8")
    True
    """
    found = FORM.fullmatch(text)
    bound = None if found is None or found["name"] else _number(found)
    if found is None or bound is None:
        raise CommandLineError(
            f'{option} {text!r} should be >=, >, <= or < and a number, in quotation marks: {option} ">=0.8".'
        )
    if not 0 <= bound <= 1:
        raise CommandLineError(
            f'{option} {text!r}: a share lies between 0 and 1; write {option} "{found["sign"]}0.8", or 80%.'
        )
    return Condition(found["sign"], bound)


def figure_of(text: str) -> tuple[str, Condition]:
    """Return the name of a figure and the condition on it.

    Parameters
    ----------
    text : str
        The name, a sign and a number.

    Returns
    -------
    name : str
    condition : Condition

    Raises
    ------
    CommandLineError
        When it has not this form.

    Examples
    --------
    >>> figure_of("recall of pneumonia >= 0.95")
    ('recall of pneumonia', Condition(sign='>=', bound=0.95))
    """
    found = FORM.fullmatch(text)
    bound = None if found is None or not found["name"] else _number(found)
    if found is None or bound is None:
        raise CommandLineError(
            f"--figure {text!r} should be a figure's name, then >=, >, <= or <, and a number, in quotation marks: "
            '--figure "auc>=0.9".'
        )
    return found["name"], Condition(found["sign"], bound)


def _number(found: re.Match[str]) -> float | None:
    try:
        value = float(found["number"])
    except ValueError:
        return None
    value = value / 100 if found["percent"] else value
    return value if math.isfinite(value) else None


class Judged:
    """The explanations that conditions are about: of each picture what the model says of it, or one class.

    Parameters
    ----------
    explanations : Explanations
    chosen : int or None
        A class; None is each picture's most probable one, of independent probabilities all of at least 0.5, and every
        value.

    Raises
    ------
    FacelimeError
        When none of them was explained.
    """

    def __init__(self, explanations: Explanations, chosen: int | None) -> None:
        self._explanations = explanations
        self._pairs: list[tuple[int, int]] = []
        for row in range(len(explanations)):
            classes = explanations.said(row) if chosen is None else [chosen]
            self._pairs += [(row, c) for c in explanations.shown(row, classes)]
        if not self._pairs:
            what = "what the model says of it" if chosen is None else explanations.names[chosen]
            raise FacelimeError(
                f"{explanations.surrogates.reference} explains no picture for {what}; name another class with --class."
            )

    @cached_property
    def _words(self) -> list[str]:
        return [word_of(self._explanations.verdict(row, c)).text for row, c in self._pairs]

    def verdicts(self, name: str, condition: Condition) -> Outcome:
        """Return the share of explanations with some verdicts.

        Parameters
        ----------
        name : str
            A key of `VERDICTS`.
        condition : Condition

        Returns
        -------
        Outcome

        Raises
        ------
        FacelimeError
            When only a check could tell, and there is none of all of these.
        """
        if name in NEED_A_CHECK:
            self._require_check(name)
        has = [word in VERDICTS[name] for word in self._words]
        value = sum(has) / len(has)
        # What a share should be more of, is missed by those without it.
        wanted = condition.sign.startswith(">")
        against = [row for (row, _), each in zip(self._pairs, has, strict=True) if each != wanted]
        counts = ", ".join(f"{count} {word}" for word, count in Counter(self._words).most_common())
        return self._outcome(name, condition, value, f"{sum(has)} of {self._counted(len(has))}", counts, against)

    def _require_check(self, name: str) -> None:
        explanations = self._explanations
        reference, check = explanations.surrogates.reference, explanations.check
        if check is None:
            raise FacelimeError(
                f"--{name} needs a check of {reference}; run `facelime check {reference}` and name what it prints."
            )
        unchecked = [(row, c) for row, c in self._pairs if not check.verdict(row, c)]
        if unchecked:
            row, c = unchecked[0]
            raise FacelimeError(
                f"--{name}: {check.artifact.reference} did not check {explanations.names[c]} in {len(unchecked)} of "
                f"{len(self._pairs)} pictures, such as {explanations.ids[row]}; name the class with "
                "`facelime check --check-classes`."
            )

    def inside(self, where: str, condition: Condition) -> Outcome:
        """Return how much of what speaks for the class lies in a region, as a mean over the explanations.

        Parameters
        ----------
        where : str
            `truth`, a key of `core.zones.NAMES`, or a file.
        condition : Condition

        Returns
        -------
        Outcome

        Raises
        ------
        FacelimeError
            When the region is not known, or nothing speaks for any class.
        """
        found = [(row, c, self._overlap(row, c, mask)) for row, c, mask in self._masked(where)]
        known = [(row, each) for row, _, each in found if each is not None]
        if not known:
            raise FacelimeError(
                f"--inside {where}: in none of these pictures does a segment speak for the class and is the region "
                "known; name another region or --class."
            )
        shares = [each.on_truth for _, each in known]
        chance = float(np.mean([each.by_chance for _, each in known]))
        against = [row for (row, _), share in zip(known, shares, strict=True) if not condition.holds(share)]
        left = len(self._pairs) - len(known)
        note = f"an even map has {chance:.3f}" + (f"; {left} left out" if left else "")
        return self._outcome(
            f"inside {where}", condition, float(np.mean(shares)), self._counted(len(known)), note, against
        )

    def _overlap(self, row: int, c: int, mask: Mask) -> Any:
        explanations = self._explanations
        return overlap(explanations.coefficients(row, c), explanations.segments(row), mask)

    def _masked(self, where: str) -> Iterator[tuple[int, int, Mask]]:
        """Yield each explanation that has a region to lie in, with this region as ones and zeros."""
        explanations = self._explanations
        if where == TRUTH:
            yield from self._true()
            return
        fixed = None if where in zones.NAMES else _mask(Path(where), explanations.dataset)
        for row, c in self._pairs:
            mask = (zones.find(explanations.image(row), where).zones > 0).astype(np.uint8) if fixed is None else fixed
            yield row, c, mask

    def _true(self) -> Iterator[tuple[int, int, Mask]]:
        explanations = self._explanations
        if not explanations.dataset.has("truth"):
            raise FacelimeError(
                f"--inside {TRUTH}: {explanations.dataset.reference} has no known regions; prepare it with "
                "`preprocess --truth DIR`, or name a mask's file."
            )
        for row, c in self._pairs:
            truth = explanations.truth(row)
            # Nobody knows where an explanation of another class should point.
            if truth is not None and explanations.names[c] == explanations.label(row):
                yield row, c, truth

    def _outcome(
        self, name: str, condition: Condition, value: float, of: str, note: str, against: Sequence[int]
    ) -> Outcome:
        ids = [self._explanations.ids[row] for row in against]
        return Outcome(name, condition, value, of, note, tuple(dict.fromkeys(ids)))

    @staticmethod
    def _counted(n: int) -> str:
        return f"{n} explanation" if n == 1 else f"{n} explanations"


def _mask(path: Path, dataset: Artifact) -> Mask:
    """Return a mask for every picture of a dataset: (H, W), 1 inside."""
    if path.is_dir():
        raise FacelimeError(
            f"--inside {path} is a folder; name one mask for all pictures, or bring a mask for each with "
            f"`preprocess --truth {path}` and use --inside {TRUTH}."
        )
    try:
        mask = images.decode_mask(path)
    except UnreadableError as why:
        raise FacelimeError(
            f"--inside {path} {why}; name a picture that is black outside the region, {TRUTH}, "
            f"{' or '.join(zones.NAMES)}."
        ) from why
    height, width = shapes.sides(dataset.facts["size"])
    if mask.shape != (height, width):
        raise FacelimeError(
            f"--inside {path} has {mask.shape[1]}×{mask.shape[0]} pixels, and the pictures of {dataset.reference} have "
            f"{width}×{height}; make the mask as large as these."
        )
    if not mask.any():
        raise FacelimeError(f"--inside {path} is black everywhere; make it white inside the region.")
    return mask


# Figures of evaluations


def evaluation_of(model: Artifact, evaluations: Iterable[Artifact]) -> Artifact:
    """Return the only evaluation of a model.

    Parameters
    ----------
    model : Artifact
    evaluations : iterable of Artifact
        Those of the store.

    Returns
    -------
    Artifact

    Raises
    ------
    FacelimeError
        When there is none, or several.
    """
    found = [each for each in evaluations if each.complete and each.inputs.get("model", {}).get("id") == model.id]
    if not found:
        raise FacelimeError(
            f"{model.reference} has no evaluation in this store; run `facelime evaluate {model.reference}`."
        )
    if len(found) > 1:
        raise FacelimeError(
            f"{model.reference} has {len(found)} evaluations: {listing(each.reference for each in found)}; name one "
            "with --evaluation."
        )
    return found[0]


def measured(evaluation: Artifact, name: str, condition: Condition) -> Outcome:
    """Return a figure of an evaluation.

    Parameters
    ----------
    evaluation : Artifact
        A complete one.
    name : str
        As `figures` names it; a space stands for `_`.
    condition : Condition

    Returns
    -------
    Outcome

    Raises
    ------
    FacelimeError
        When there is no such figure, or it is undefined.
    """
    facts = evaluation.facts
    known = figures(facts)
    # Class names keep their spaces and signs.
    figure, of, about = name.partition(" of ")
    wanted = f"{figure.replace(' ', '_').replace('-', '_')}{of}{about}"
    if wanted not in known:
        raise FacelimeError(f"{evaluation.reference} has no figure {name!r}; it has {', '.join(known)}.")
    value, interval = known[wanted]
    if value is None or not math.isfinite(value):
        raise FacelimeError(
            f"the figure {name!r} of {evaluation.reference} is undefined there; evaluate more pictures, or omit it."
        )
    return Outcome(name, condition, float(value), f"{facts['n']} pictures", interval_of(interval))


def figures(facts: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of an evaluation, each with its interval where there is one.

    Parameters
    ----------
    facts : mapping
        Of the evaluation.

    Returns
    -------
    dict
        By name; those of one class, finding or value are called `recall of NAME`.

    Examples
    --------
    >>> figures({"n": 9, "accuracy": 0.5, "accuracy_interval": [0.2, 0.8], "recall": {"ill": None, "well": 1.0}})
    {'accuracy': (0.5, [0.2, 0.8]), 'recall of ill': (None, None), 'recall of well': (1.0, None)}
    """
    intervals = facts.get("bootstrap_intervals") or {}
    found: dict[str, Figure] = {}
    for name, value in facts.items():
        if name in intervals or _is_figure(name, value):
            found[name] = value, facts.get(f"{name}_interval") or intervals.get(name)
        elif name in OF_CLASSES:
            found |= {f"{name} of {of}": (each, None) for of, each in value.items()}
        elif name in {"findings", "values"}:
            found |= _by_name(value)
    for about in (facts.get("calibration"), facts.get("calibration_figures")):
        found |= {name: (value, None) for name, value in (about or {}).items() if _is_figure(name, value)}
    return found | (_at_thresholds(facts["thresholds"]) if facts.get("thresholds") and "findings" in facts else {})


def _by_name(by_name: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """Return the figures of each finding or value."""
    found: dict[str, Figure] = {}
    for of, its in by_name.items():
        intervals = its.get("intervals", {})
        for figure, value in its.items():
            interval = its.get(f"{figure}_interval") or intervals.get(figure)
            # One that is undefined has no number, but the place of its interval.
            if f"{figure}_interval" in its or figure in intervals or _is_figure(figure, value):
                found[f"{figure} of {of}"] = value, interval
    return found


def _at_thresholds(thresholds: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """Return the figures of each finding at its threshold, on the split that is evaluated."""
    found: dict[str, Figure] = {}
    for of, its in thresholds.items():
        # Where a threshold was picked, the validation split stands there too, and is not what is reported.
        splits = [name for name, each in its.items() if isinstance(each, dict)]
        (reported,) = [name for name in splits if name != VALIDATION] or splits
        here = its[reported]
        for figure in OF_FINDINGS:
            found[f"{figure} of {of}"] = here[figure], here.get(f"{figure}_interval")
    return found


def _is_figure(name: str, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and name not in COUNTS


# What people and servers read


def table(outcomes: Sequence[Outcome], title: str) -> Table:
    """Return the conditions as a table.

    Parameters
    ----------
    outcomes : sequence of Outcome
    title : str
    """
    return Table(COLUMNS, [each.row for each in outcomes], title)
