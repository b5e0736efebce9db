"""What goes out of each explanation: its regions on the original picture, and what the model said of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.geometry import Placement
from facelime_cli.core.verdict import FAIR, STRONG
from facelime_cli.store.pictures import placement_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.explanations import Explanations, Strength
    from facelime_cli.store.artifacts import Artifact

CONFIRMED = (STRONG, FAIR)
"""Verdicts with which the model confirms the strongest regions."""


@dataclass(frozen=True)
class Map:
    """One explanation of one picture.

    Attributes
    ----------
    explanations : Explanations
    row, c : int
        The picture's place in their `ids`, and the class in their `names`.
    placement : Placement
        Where the picture lies in its original.
    """

    explanations: Explanations
    row: int
    c: int
    placement: Placement

    @property
    def id(self) -> str:
        """The picture's id."""
        return self.explanations.ids[self.row]

    @property
    def class_name(self) -> str:
        """The class that is explained."""
        return self.explanations.names[self.c]

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The picture as the dataset has it: (h, w, 3)."""
        return self.explanations.image(self.row)

    @cached_property
    def segments(self) -> NDArray[np.uint16]:
        """Its segments: (h, w)."""
        return self.explanations.segments(self.row)

    @cached_property
    def coefficients(self) -> NDArray[np.float64]:
        """The coefficients of the segments: (K,), in the unit of the array."""
        return self.explanations.coefficients(self.row, self.c)

    @cached_property
    def strengths(self) -> list[Strength]:
        """The segments with what is shown of them, strongest first."""
        return self.explanations.strengths(self.row, self.c)

    @property
    def verdict(self) -> str:
        """What the check found, in words."""
        return self.explanations.verdict(self.row, self.c)

    @cached_property
    def confirmed(self) -> list[int]:
        """The segments that the model confirmed together, the strongest first; none where it confirmed none.

        The check takes several away at once, and a weak one may be among them by chance: those whose own interval holds
        0 are left out.
        """
        check, found = self.explanations.check, self.explanations.confirmation(self.row, self.c)
        if check is None or found is None or self.verdict not in CONFIRMED:
            return []
        clear = {each.segment for each in self.strengths if each.value > 0 and not each.unsure}
        return [k for k in check.strongest(self.row, self.c)[: found.number] if k in clear]

    def on_original(self, outside: float) -> NDArray[np.float32]:
        """Return the coefficient of each pixel of the original.

        Parameters
        ----------
        outside : float
            What stands where the model saw nothing.

        Returns
        -------
        (H, W) float32 array
        """
        values = self.coefficients.astype(np.float32)[self.segments]
        return self.placement.restored(values, outside)

    def told(self) -> dict[str, Any]:
        """Return what the list of an export says of it: JSON values."""
        found = self.explanations.confirmation(self.row, self.c)
        return {
            "id": self.id,
            "class": self.class_name,
            "answer": float(self.explanations.explained_of(self.row)[self.c]),
            "verdict": self.verdict,
            "effect": None if found is None else found.mean_effect,
            "p_value": None if found is None else found.worst_p,
            "confirmed": self.confirmed,
            "original": list(self.placement.original),
            "seen": list(self.placement.seen),
        }


def maps_of(explanations: Explanations, rows: Sequence[int], classes: Sequence[int] | None) -> Iterator[Map]:
    """Yield what goes out, picture by picture.

    Parameters
    ----------
    explanations : Explanations
    rows : sequence of int
        Places of the pictures.
    classes : sequence of int or None
        None stands for each picture's most probable ones, and its true one.

    Yields
    ------
    Map
        Of classes that were explained. Where the dataset does not know the original, the picture stands for it.
    """
    dataset_rows = explanations.surrogates.read("row")
    for row in rows:
        placement = placement_of(explanations.dataset, int(dataset_rows[row]))
        if placement is None:
            height, width = explanations.segments(row).shape
            placement = Placement((height, width), (height, width), (0, 0, height, width))
        for c in explanations.shown(row, classes):
            yield Map(explanations, row, c, placement)


def knows_originals(dataset: Artifact) -> bool:
    """Return whether a dataset knows the sizes of the pictures that it was made from.

    Parameters
    ----------
    dataset : Artifact
    """
    return placement_of(dataset, 0) is not None
