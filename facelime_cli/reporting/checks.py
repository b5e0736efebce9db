"""A check as a reader asks for it: what the model answered, picture by picture, and over all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.checking import combined, discoveries, questions
from facelime_cli.core.masks import key_of, unpack
from facelime_cli.core.members import apart
from facelime_cli.core.verdict import LEAST_EFFECT, confirming
from facelime_cli.reporting.quantities import PROBABILITIES, Spoken
from facelime_cli.store.pictures import RowReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

    Floats = NDArray[np.float64]

FEWEST_OF_COHORT = 2
"""Pictures below which there is no cohort."""
USUAL_NUMBER = 3
"""How many of the strongest regions the cohort's test takes away."""
LEAST_P = 0.001
"""Smaller p values are not told apart."""
FALSE_DISCOVERIES = 0.05
"""Expected share of false ones among the pictures whose explanations hold."""


@dataclass(frozen=True)
class Confirmation:
    """What a check found of one class of a picture.

    Attributes
    ----------
    numbers : list of int
        How many of the strongest regions were taken away at once.
    fills : list of str
        What stood in, keys of `choices.FILLS`.
    effect, p_value : (k, F) float64 array
        Log-odds lost beyond what other regions cost, and its p value; NaN where nothing was there to compare with. Of
        a value, what it loses.
    least : float
        Least effect with which the model confirms.
    spoken : Spoken
        How the model's answers are written.
    """

    numbers: list[int]
    fills: list[str]
    effect: Floats
    p_value: Floats
    least: float = LEAST_EFFECT
    spoken: Spoken = PROBABILITIES

    @cached_property
    def _shown(self) -> int:
        """The place of the number of regions that most fills confirm; of equals the largest that was compared."""
        compared = np.flatnonzero(~np.isnan(self.effect).all(axis=1))
        # One number at a time: the verdict takes whichever confirms, and the sentence should speak of that.
        n_fills = [int(confirming(self.effect[[k]], self.p_value[[k]], self.least).sum()) for k in compared]
        best = np.flatnonzero(np.array(n_fills) == max(n_fills))[-1]
        return int(compared[best])

    @property
    def number(self) -> int:
        """The number of regions that most fills confirm, else the largest; `mean_effect` and `worst_p` are of it."""
        return self.numbers[self._shown]

    @property
    def mean_effect(self) -> float:
        """The mean effect over the fills."""
        return float(np.nanmean(self.effect[self._shown]))

    @property
    def worst_p(self) -> float:
        """The largest p value over the fills."""
        return float(np.nanmax(self.p_value[self._shown]))

    @property
    def confirming(self) -> list[str]:
        """The fills under which the model confirms the strongest regions, for any number of them."""
        held = confirming(self.effect, self.p_value, self.least)
        return [fill for fill, each in zip(self.fills, held.tolist(), strict=True) if each]

    def words(self, region: str) -> str:
        """Return mean effect and p values in a sentence.

        Parameters
        ----------
        region : str
            What a region is called: `region` on pages, `segment` in the terminal.

        Examples
        --------
        >>> found = Confirmation([1, 3], ["mean"], np.array([[0.5], [2.06]]), np.array([[0.2], [0.025]]))
        >>> found.words("region")
        'Without the 3 regions that speak most for it the model loses 2.1 log-odds more than without 3 others (p .025).'
        """
        one = self.number == 1
        if self.spoken.values:
            return self._words_of_value(region)
        which = f"{region} that speaks" if one else f"{self.number} {region}s that speak"
        others = f"another {region}" if one else f"{self.number} others"
        size = abs(self.mean_effect)
        effect = f"{size:.{1 if size >= 1 else 2}f} log-odds {'more' if self.mean_effect >= 0 else 'less'}"
        return f"Without the {which} most for it the model loses {effect} than without {others}{self._over_fills}."

    def _words_of_value(self, region: str) -> str:
        one = self.number == 1
        which = f"{region} that raises it" if one else f"{self.number} {region}s that raise it"
        others = f"another {region}" if one else f"{self.number} others"
        lower = "lower" if self.mean_effect >= 0 else "higher"
        size = self.spoken.change(self.mean_effect)
        return f"Without the {which} most the value is {size} {lower} than without {others}{self._over_fills}."

    @property
    def _over_fills(self) -> str:
        """What the mean is over, and the p values, at the end of a sentence."""
        n_fills = len(self.fills)
        mean = f", as a mean over {n_fills} stand-ins" if n_fills > 1 else ""
        least = float(np.nanmin(self.p_value[self._shown]))
        p = " to ".join(dict.fromkeys((p_text(least), p_text(self.worst_p))))
        return f"{mean} (p {p})"


class Check:
    """What a check of some explanations found.

    Parameters
    ----------
    artifact : Artifact
        Of kind `checks`.
    spoken : Spoken
        How the model's answers are written.

    Attributes
    ----------
    numbers : list of int
        How many of the strongest regions were taken away at once.
    fills : list of str
        What stood in, keys of `choices.FILLS`.
    own : list of str
        Those of them that the explanations used.
    """

    def __init__(self, artifact: Artifact, spoken: Spoken = PROBABILITIES) -> None:
        self.artifact, self.spoken = artifact, spoken
        facts = artifact.facts
        self.numbers: list[int] = facts["numbers"]
        self.fills: list[str] = facts["fills"]
        self.own: list[str] = facts["own"]
        self._reader = RowReader()

    def _of(self, name: str, row: int) -> Any:
        return self._reader.read(self.artifact, name, row)

    def verdict(self, row: int, c: int) -> str:
        """Return what the model's answers mean, in words; empty for a class that was not checked.

        Parameters
        ----------
        row, c : int
            The picture and the class.
        """
        return str(self._of("verdict", row)[c])

    def confirmation(self, row: int, c: int) -> Confirmation | None:
        """Return effect and p value of a class.

        Parameters
        ----------
        row, c : int
            The picture and the class.

        Returns
        -------
        Confirmation or None
            None where nothing was compared.
        """
        effect = np.asarray(self._of("effect", row)[c])
        if np.isnan(effect).all():
            return None
        p_value = np.asarray(self._of("p_value", row)[c])
        # Of values, what counts as much depends on their range.
        least = float(self._of("least_effect", row)[c]) if self.spoken.values else LEAST_EFFECT
        return Confirmation(self.numbers, self.fills, effect, p_value, least, self.spoken)

    def strongest(self, row: int, c: int) -> list[int]:
        """Return the regions that were taken away, the strongest first.

        Parameters
        ----------
        row, c : int
            The picture and the class.

        Returns
        -------
        list of int
            At most as many as a picture has regions but one, so that something was left.
        """
        regions = self._of("regions", row)[c]
        return [int(each) for each in regions if each >= 0]

    def answers(self, row: int, off: Sequence[int], n_segments: int) -> Floats | None:
        """Return the model's answers without some regions.

        Parameters
        ----------
        row : int
            The picture.
        off : sequence of int
            The regions that are switched off.
        n_segments : int
            How many regions the picture has.

        Returns
        -------
        (F, C) float64 array or None
            The probability of each of the model's classes, for each fill; None where this was not asked.
        """
        masks, answers = self.asked(row, n_segments)
        wanted = np.ones(n_segments, np.bool_)
        wanted[list(off)] = False
        asked = np.flatnonzero((masks == wanted).all(axis=1))
        if not len(asked):
            return None
        return np.asarray(answers[:, asked[0]], np.float64)

    def asked(self, row: int, n_segments: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return everything that was asked of a picture, and what the model answered.

        Parameters
        ----------
        row : int
            The picture.
        n_segments : int
            How many regions the picture has.

        Returns
        -------
        (S, K) bool array
            The masks: True where a region is kept.
        (F, S, C) float32 array
            The answers, for each fill. Those of the networks of a mean follow behind its own.
        """
        count = int(self._of("n_samples", row))
        masks = unpack(self._of("masks", row)[:count], n_segments)
        return masks, np.asarray(self._of("probabilities", row))[:, :count]

    def others(self, row: int, c: int, order: NDArray[np.int64], picture: str) -> dict[int, NDArray[np.int64]]:
        """Return which rows of `asked` lack the sets of others that the strongest regions are compared with.

        Parameters
        ----------
        row, c : int
            The picture and the class.
        order : (K,) int64 array
            The regions, the strongest first.
        picture : str
            The picture's id, from which the sets were drawn.

        Returns
        -------
        dict
            For each number of regions the rows of all sets: (R,) int64. A number that was not compared has none.
        """
        made = self.artifact.parameters
        key = key_of(int(made["seed"]), picture, "check")
        again = questions({c: order}, len(order), self.numbers, int(made["sets"]), key)
        masks, _ = self.asked(row, len(order))
        # Other classes were asked about too, so that rows are found by what they lack.
        places = {mask.tobytes(): place for place, mask in enumerate(masks)}
        found = {}
        for k in self.numbers:
            sets = [places.get(mask.tobytes()) for mask in again.masks[again.places.get((c, k), [])[1:]]]
            if sets and None not in sets:
                found[k] = np.array(sets, np.int64)
        return found

    def members(self, row: int) -> Floats | None:
        """Return what each network of a mean answered.

        Parameters
        ----------
        row : int
            The picture.

        Returns
        -------
        (F, S, M, C) float64 array or None
            Under the fills of the explanation, or all where it used none. None for a model of one network.
        """
        n_members = int(self.artifact.facts.get("members", 0))
        if not n_members:
            return None
        places = [place for place, fill in enumerate(self.fills) if fill in self.own]
        answers = np.asarray(self._of("probabilities", row))
        return apart(answers[places] if places else answers, n_members).astype(np.float64)

    def fill(self, row: int, place: int) -> NDArray[np.uint8]:
        """Return what stood in for a picture's regions.

        Parameters
        ----------
        row : int
            The picture.
        place : int
            Which of `fills`.

        Returns
        -------
        (H, W, 3) uint8 array
        """
        return np.asarray(self.artifact.read("fill", [row])[0, place])

    @cached_property
    def donors(self) -> NDArray[np.int32]:
        """The row of the dataset that stood in for each picture under `nearest-unlike`; -1 for none: (N,) int32."""
        return self.artifact.read("fill_row")

    @property
    def judging(self) -> int:
        """Which fill the cohort is judged under: the first that the explanations did not use, else the first."""
        others = [place for place, fill in enumerate(self.fills) if fill not in self.own]
        return others[0] if others else 0

    def cohort(self, shown: Sequence[tuple[int, int]]) -> Cohort | None:
        """Return what holds for many pictures together.

        Parameters
        ----------
        shown : sequence of (int, int)
            Picture and class of each explanation, one class for each picture.

        Returns
        -------
        Cohort or None
            None where fewer than two were compared.
        """
        place = self.numbers.index(USUAL_NUMBER) if USUAL_NUMBER in self.numbers else len(self.numbers) - 1
        p_values = np.array([self._of("p_value", row)[c, place, self.judging] for row, c in shown], np.float64)
        known = int((~np.isnan(p_values)).sum())
        if known < FEWEST_OF_COHORT:
            return None
        fill = self.fills[self.judging]
        held = int(discoveries(p_values, FALSE_DISCOVERIES).sum())
        return Cohort(known, held, combined(p_values), self.numbers[place], fill, fill not in self.own)


@dataclass(frozen=True)
class Cohort:
    """What a check says of many pictures together.

    Attributes
    ----------
    compared : int
        How many pictures have a p value.
    held : int
        How many of them hold, with the false discovery rate controlled.
    p_value : float
        Of all pictures together.
    number : int
        How many of the strongest regions were taken away.
    fill : str
        What stood in, a key of `choices.FILLS`.
    unused : bool
        Whether no explanation used it.
    """

    compared: int
    held: int
    p_value: float
    number: int
    fill: str
    unused: bool


def p_text(value: float) -> str:
    """Return a p value as it is typeset.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> p_text(0.025), p_text(0.3), p_text(1.0), p_text(2e-5)
    ('.025', '.3', '1', '< .001')
    """
    if value < LEAST_P:
        return f"< {p_text(LEAST_P)}"
    return f"{value:.3f}".rstrip("0").rstrip(".").lstrip("0")


def known_number(value: float) -> float | None:
    """Return a figure as JSON has it: None for NaN.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> known_number(0.5), known_number(float("nan"))
    (0.5, None)
    """
    return None if math.isnan(value) else float(value)
