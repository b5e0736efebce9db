"""What the numbers of an explanation are measured in, and how a reader sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.answering.runtimes import answers_values, unit_of

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

PERCENT = 100
"""Probabilities and shares are shown times this."""
DIGITS = 1
"""Digits behind the point of what is shown in percent or in points."""
SIGNIFICANT = 3
"""Digits that count of the largest value."""
MOST_DIGITS = 6
"""Behind the point."""
NICE = (1, 2, 5, 10)
"""First digits of round numbers."""


@dataclass(frozen=True)
class Quantity:
    """What the coefficients of some surrogates are.

    Attributes
    ----------
    short : str
        The unit beside a number.
    name : str
        The unit's whole name.
    reads : str
        How a number reads in a sentence, with `{number}` where it stands.
    times : int
        What a coefficient is shown times.
    digits : int
        Behind the point of a shown number.
    example : str
        The number in that sentence.
    raises, lowers : str
        What a region of a positive and of a negative coefficient does, such as `speaks for`.
    of : str
        What the colour scale says that it does this to, such as `the class`.
    """

    short: str
    name: str
    reads: str
    times: int = PERCENT
    digits: int = DIGITS
    example: str = "12"
    raises: str = "speaks for"
    lowers: str = "speaks against"
    of: str = "the class"

    @property
    def sentence(self) -> str:
        """How the example reads."""
        return self.reads.replace("{number}", self.example)

    @property
    def is_value(self) -> bool:
        """Whether coefficients are in the unit of a value."""
        return self.times == 1


QUANTITIES = {
    "probability": Quantity(
        "points",
        "probability points",
        "keeping this region raises the model's probability of the class by {number} points, on average",
    ),
    "share": Quantity(
        "%", "percent of the map", "{number} % of what the network's map holds for the class lies on this region"
    ),
}
"""By the unit of the coefficients' array, where a model answers with probabilities."""
SHARE_OF_VALUE = Quantity(
    "%",
    "percent of the map",
    "{number} % of what the network's map holds for this value lies on this region",
    raises="raises",
    lowers="lowers",
    of="the value",
)
"""That of a map of a model that answers with values."""

WHOLE = Quantity(
    "% of its explanation",
    "percent of its explanation",
    "{number} % of everything that this explanation says lies on this region",
)
"""What colours mean where explanations of different units share one scale."""


def of_values(unit: str, largest: float, reads: str | None) -> Quantity:
    """Return what coefficients in the unit of a value are.

    Parameters
    ----------
    unit : str
        It may be empty.
    largest : float
        The largest coefficient in size: it decides how many digits are shown.
    reads : str, optional
        How a number reads, where the method says so.

    Returns
    -------
    Quantity

    Examples
    --------
    >>> of_values("months", 4.14, None).sentence
    'keeping this region raises the estimate by 2 months, on average'
    >>> of_values("", 0.031, None).digits
    4
    """
    behind = f" {unit}" if unit else ""
    return Quantity(
        short=unit or "change",
        name=unit or "change of the value",
        reads=reads or f"keeping this region raises the estimate by {{number}}{behind}, on average",
        times=1,
        digits=digits_for(largest),
        example=f"{round_below(largest):g}",
        raises="raises",
        lowers="lowers",
        of="the value",
    )


def digits_for(largest: float) -> int:
    """Return how many digits stand behind the point, so that three count of the largest number.

    Parameters
    ----------
    largest : float

    Examples
    --------
    >>> [digits_for(each) for each in (250.0, 4.1, 0.05, 0.0)]
    [1, 2, 4, 1]
    """
    if not largest or not math.isfinite(largest):
        return DIGITS
    before = math.floor(math.log10(abs(largest))) + 1
    return min(max(SIGNIFICANT - before, DIGITS), MOST_DIGITS)


def round_below(value: float) -> float:
    """Return the largest round number that is no larger: 1, 2 or 5 and zeros.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> round_below(4.1), round_below(0.7), round_below(0.0)
    (2.0, 0.5, 1.0)
    """
    if not value or not math.isfinite(value):
        return 1.0
    size = 10.0 ** math.floor(math.log10(abs(value)))
    return max((each * size for each in NICE if each * size <= abs(value)), default=size)


def round_above(value: float) -> float:
    """Return the least round number that is no smaller: 1, 2 or 5 and zeros.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> round_above(4.1), round_above(0.7), round_above(0.0)
    (5.0, 1.0, 1.0)
    """
    if not value or not math.isfinite(value):
        return 1.0
    size = 10.0 ** math.floor(math.log10(abs(value)))
    return min((each * size for each in NICE if each * size >= abs(value)), default=abs(value))


def spoken_of(model: Artifact, largest: float) -> Spoken:
    """Return how a model's answers are written.

    Parameters
    ----------
    model : Artifact
        The model, or what was made with it.
    largest : float
        The largest value in size: it decides how many digits are shown.
    """
    if not answers_values(model):
        return PROBABILITIES
    return Spoken(values=True, unit=unit_of(model), digits=digits_for(largest))


@dataclass(frozen=True)
class Spoken:
    """How a model's answers are written.

    Attributes
    ----------
    values : bool
        Whether they are values, not probabilities.
    unit : str
        Of the values.
    digits : int
        Behind the point.
    """

    values: bool = False
    unit: str = ""
    digits: int = DIGITS

    @property
    def behind(self) -> str:
        """The unit as it stands behind a number."""
        return f" {self.unit}" if self.unit else ""

    @property
    def what(self) -> str:
        """What the model's answers are called."""
        return "value" if self.values else "probability"

    def answer(self, value: float, digits: int | None = None) -> str:
        """Return an answer in words.

        Parameters
        ----------
        value : float
        digits : int, optional
            Behind the point of a percentage.

        Examples
        --------
        >>> Spoken().answer(0.973), Spoken(True, "months", 1).answer(128.42)
        ('97.3 %', '128.4 months')
        """
        if self.values:
            return f"{value:.{self.digits}f}".replace("-", "−") + self.behind
        return f"{PERCENT * value:.{self.digits if digits is None else digits}f}".replace("-", "−") + " %"

    def change(self, value: float) -> str:
        """Return the size of a difference of two answers in words.

        Parameters
        ----------
        value : float

        Examples
        --------
        >>> Spoken().change(0.12), Spoken(True, "months", 1).change(-4.13)
        ('12.0 points', '4.1 months')
        """
        if self.values:
            return f"{abs(value):.{self.digits}f}{self.behind}"
        return f"{PERCENT * abs(value):.{self.digits}f} points"


PROBABILITIES = Spoken()
"""How the answers of a model of classes are written."""
