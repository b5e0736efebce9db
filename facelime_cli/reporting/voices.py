"""Voices of a report: explanations of the same pictures that stand side by side, and who explains what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.labels import labels_of
from facelime_cli.reporting.runs import explained_by
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True)
class Voice:
    """One of the explanations that stand side by side.

    Attributes
    ----------
    explanations : Explanations
    label : str
        What it is called in the report.
    segmentation : int
        Which of the report's segmentations it is of.
    places : mapping of str to int
        Its row of each picture that it has, by the picture's id.
    classes : mapping of int to int
        Its class for each class of the report that it has.
    """

    explanations: Explanations
    label: str
    segmentation: int
    places: Mapping[str, int]
    classes: Mapping[int, int]

    def explains(self, picture: str, c: int) -> tuple[int, int] | None:
        """Return with which row and class of its own it explains a picture's class of the report.

        Parameters
        ----------
        picture : str
            The picture's id.
        c : int
            The class, as the report numbers it.

        Returns
        -------
        (int, int) or None
            None where it does not explain it.
        """
        row = self.places.get(picture)
        its_class = self.classes.get(c)
        if row is None or its_class is None:
            return None
        # Methods that explain only some classes of a picture leave the others NaN.
        if np.isnan(self.explanations.coefficients(row, its_class)).any():
            return None
        return row, its_class


def check_beside(given: Artifact, beside: Sequence[Artifact]) -> None:
    """Check that explanations may stand side by side.

    Parameters
    ----------
    given : Artifact
        The report's own surrogates, or a check of them.
    beside : sequence of Artifact
        Those of `--beside`.

    Raises
    ------
    FacelimeError
        When they are not of the same pictures.
    CommandLineError
        When one is named twice.
    """
    pictures = Segmented(given).dataset
    seen = {explained_by(given)[0].id}
    # By content: the same pictures under another name are the same.
    for each in beside:
        its_pictures = Segmented(each).dataset
        if its_pictures.content != pictures.content:
            raise FacelimeError(
                f"{each.reference} explains pictures of another dataset than {given.reference}; "
                "put explanations of the same pictures beside each other."
            )
        # A check and what it checked are the same explanation.
        explained = explained_by(each)[0].id
        if explained in seen:
            raise CommandLineError(f"--beside {each.id} is in the report already; name each explanation once.")
        seen.add(explained)


def voices_of(given: Sequence[Artifact]) -> list[Voice]:
    """Return the voices of a report.

    Parameters
    ----------
    given : sequence of Artifact
        Surrogates, or checks of them. The report's own first: its pictures and classes are the report's.
    """
    everyone = [Explanations.of(each) for each in given]
    first = everyone[0]
    # Outlines are drawn once for each segmentation, however many voices share it.
    segmentations = list(dict.fromkeys(each.segmentation.id for each in everyone))
    labels = labels_of(everyone) if len(everyone) > 1 else [first.method]
    voices = []
    for each, label in zip(everyone, labels, strict=True):
        segmentation = segmentations.index(each.segmentation.id)
        # Another run may have other pictures of the dataset, in another order.
        places = {picture: row for row, picture in enumerate(each.ids)}
        voices.append(Voice(each, label, segmentation, places, same_classes(first.names, each.names)))
    return voices


def same_classes(names: Sequence[str], its: Sequence[str]) -> dict[int, int]:
    """Return for each class of one list its place in another.

    Equal lists have each class at the same place. Else a class is found by its name, which each list must have once.

    Parameters
    ----------
    names, its : sequence of str

    Returns
    -------
    dict of int to int
    """
    if names == its:
        return {c: c for c in range(len(names))}
    ours, theirs = _places_of_single_names(names), _places_of_single_names(its)
    return {place: theirs[name] for name, place in ours.items() if name in theirs}


def _places_of_single_names(names: Sequence[str]) -> dict[str, int]:
    """Return where each name stands that is in a list once: lists of a thousand classes have two cranes."""
    number = Counter(names)
    return {name: place for place, name in enumerate(names) if number[name] == 1}
