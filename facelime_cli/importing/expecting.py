"""Whether a model's input scaling is right: what it answers to a picture whose class is known, with each usual one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.operations import picture_of
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.importing.checked import Checked
    from facelime_cli.importing.source import Source

USUAL = ("0..1", "-1..1", "0..255", "imagenet", "caffe")
"""The scalings that are tried beside the one that was asked for."""
LEAST = 0.5
"""Probability from which a class counts as found where each has one of its own."""


@dataclass(frozen=True)
class Seen:
    """What a model sees in a picture with some scaling.

    Attributes
    ----------
    scaling : str
        Empty for a function, which scales for itself.
    probabilities : (C,) float32 array
    expected : int
        The place of the class that the picture has.
    independent : bool
        Whether each class has a probability of its own.
    """

    scaling: str
    probabilities: NDArray[np.float32]
    expected: int
    independent: bool

    @property
    def probability(self) -> float:
        """That of the expected class."""
        return float(self.probabilities[self.expected])

    @property
    def is_right(self) -> bool:
        """Whether it sees the expected class."""
        if self.independent:
            return self.probability >= LEAST
        return int(np.argmax(self.probabilities)) == self.expected


def check(source: Source, picture: Path | None, expected: str | None, asked: Callable[[], Checked]) -> str:
    """Raise where a model does not see the class in a picture that it should, and name the scaling that shows it.

    Parameters
    ----------
    source : Source
    picture : pathlib.Path or None
    expected : str or None
        The class of the picture, one of the source's. Both are needed.
    asked : callable
        Returns the model as it was asked for, checked; it is called first.

    Returns
    -------
    str
        What was seen, for the user.

    Raises
    ------
    CommandLineError
        Where the scaling is missing, or one of the two options.
    FacelimeError
        Where it does not see it.
    """
    if picture is None or expected is None:
        missing = "--check PICTURE" if picture is None else "--expect CLASS"
        raise CommandLineError(f"{missing} is missing: --check and --expect go together.")
    if source.values:
        raise CommandLineError("--expect is for models of classes; leave --check and --expect out.")
    if expected not in source.classes:
        raise CommandLineError(f"--expect {shown(expected)!r} is none of --classes; give one of these.")
    name = picture.name
    own = None if source.needs_scaling else _seen(source, asked(), picture, expected)
    others = [] if source.scales_itself else _others(source, picture, expected)
    every = sorted([*others, *([] if own is None else [own])], key=lambda each: -each.probability)
    if own is not None and own.is_right:
        return _told(name, expected, own, others)
    hint = _hint(every, expected)
    if own is None:
        raise CommandLineError(f"--scaling is missing; for {name}, {hint}.")
    got = source.classes[int(np.argmax(own.probabilities))]
    how = f"with --scaling {own.scaling} " if own.scaling else ""
    raise FacelimeError(
        f"{how}{source.path} sees {shown(got)!r} in {name}, and {shown(expected)!r} with a probability of "
        f"{own.probability:.3g} only; {hint}."
    )


def _others(source: Source, picture: Path, expected: str) -> list[Seen]:
    """Return what is seen with the usual scalings, but not with the one that was asked for."""
    found = []
    for scaling in USUAL:
        if scaling == source.scaling:
            continue
        try:
            other = replace(source, scaling=scaling)
            found.append(_seen(other, other.checked(), picture, expected))
        except FacelimeError:
            continue  # it does not go with this network
    return found


def _seen(source: Source, checked: Checked, picture: Path, expected: str) -> Seen:
    display = picture_of(picture, checked.facts["size"]).astype(np.float32)
    (answers,) = checked.answers(display[None])
    both = np.array([1 - answers[0], answers[0]]) if len(answers) == 1 else answers
    is_independent = source.multi_label or (len(answers) > 1 and checked.facts["output"] == "sigmoid")
    return Seen(source.scaling or "", both, source.classes.index(expected), is_independent)


def _told(name: str, expected: str, own: Seen, others: Sequence[Seen]) -> str:
    """Return what was seen, and the scaling that shows more."""
    how = f" with --scaling {own.scaling}" if own.scaling else ""
    text = f"{name} is {shown(expected)!r} with a probability of {own.probability:.3g}{how}"
    listed = ", ".join(f"{each.probability:.3g} with {each.scaling}" for each in others)
    text += f"; it would be {listed}." if listed else "."
    more = [each for each in others if each.is_right and each.probability > own.probability]
    if more:
        best = max(more, key=lambda each: each.probability)
        text += f" The highest is that of {best.scaling}: make sure which one the network was trained with."
    return text


def _hint(every: Sequence[Seen], expected: str) -> str:
    """Return what to do next, from what is seen with every scaling, the most probable first."""
    right = [each for each in every if each.is_right]
    if right:
        best, *others = right
        besides = "".join(f", then {each.scaling} ({each.probability:.3g})" for each in others)
        highest = f"the highest probability ({best.probability:.3g})"
        return f"--scaling {best.scaling} gives {shown(expected)!r} {highest}{besides}"
    most = [f"{each.scaling} gives it most, {each.probability:.3g}: " for each in every[:1] if each.scaling]
    return f"no usual scaling shows {shown(expected)!r}; {''.join(most)}check --classes, the picture and the file"
