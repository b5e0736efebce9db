"""Reuse of predictions that the store has: of the same model, picture, segments, fill and mask."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store

GONE = (FacelimeError, FileNotFoundError)
"""What reading another artifact raises when it is broken or was just removed: then nothing is reused from it."""


class Donors:
    """The other predictions of the same model on masks of the same segments, those of most samples first.

    Parameters
    ----------
    store : Store
    made : tuple
        What predictions must have been made as, from `made_as`.
    masks : Artifact
        The masks that are to be evaluated.
    besides : str
        Id of the predictions that are to be made, which are none to reuse.

    Attributes
    ----------
    taken : Counter
        How many evaluations were reused, by the id of the predictions.
    """

    def __init__(self, store: Store, made: tuple[Any, ...], masks: Artifact, besides: str = "") -> None:
        self._masks = masks
        found = []
        for other in store.artifacts(("predictions",)):
            its_masks = None if other.id == besides else _masks_of(other, made, masks)
            if its_masks is not None:
                found.append((other, its_masks))
        # The one with most samples is likely to know all, so that the others need not be read.
        self._found = sorted(found, key=lambda pair: pair[0].shape("probabilities")[1], reverse=True)
        self.taken: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    def take(
        self, row: int, packed: NDArray[np.uint8], missing: NDArray[np.bool_], made_with: str
    ) -> dict[int, NDArray[np.float32]]:
        """Return what is known of a picture's masks.

        Parameters
        ----------
        row : int
            The picture.
        packed : (R, M) uint8 array
            Its masks, all different.
        missing : (R,) bool array
            Which of them are asked for.
        made_with : str
            Only what was made with the same batch size on the same device and software has the same bits, and counts.

        Returns
        -------
        dict
            From positions in `packed` to (C,) float32 probabilities.
        """
        import numpy as np

        # Masks are compared byte by byte: a hash could meet another, and a wrong answer would never be noticed.
        wanted = {packed[place].tobytes(): int(place) for place in np.flatnonzero(missing)}
        known: dict[int, NDArray[np.float32]] = {}
        for predictions, masks in self._found:
            if not wanted:
                break
            try:
                theirs = self._of(predictions, masks, row, wanted, made_with)
            except GONE:
                continue
            for mask, values in theirs.items():
                known[wanted.pop(mask)] = values
            if theirs:
                self.taken[predictions.id] += len(theirs)
        return known

    def _of(
        self, predictions: Artifact, masks: Artifact, row: int, wanted: dict[bytes, int], made_with: str
    ) -> dict[bytes, NDArray[np.float32]]:
        """Return what one artifact knows of the wanted masks of a picture."""
        import numpy as np

        one = slice(row, row + 1)
        # A unit made with two batch sizes does not say which answer is of which, so it counts for neither.
        if predictions.unit_facts(row).get("made_with") != [made_with]:
            return {}
        n_samples = int(masks.read("n_samples", one)[0])
        places = {}
        for place, each in enumerate(masks.read("masks", one)[0, :n_samples]):
            mask = each.tobytes()
            if mask in wanted:
                places[mask] = place
        # The fill's pixels decide, not its name: a blur may have been made with another width.
        if not places or not np.array_equal(masks.read("fill", one), self._masks.read("fill", one)):
            return {}
        values = predictions.read("probabilities", one)[0]
        return {mask: values[place] for mask, place in places.items()}


def _masks_of(other: Artifact, made: tuple[Any, ...], masks: Artifact) -> Artifact | None:
    """Return the masks of other predictions, or None when these are of another model or of other segments."""
    try:
        if made_as(other) != made:
            return None
        its_masks = other.input("masks")
        theirs, ours = its_masks.inputs["segmentation"], masks.inputs["segmentation"]
        return its_masks if theirs["digest"] == ours["digest"] else None
    except GONE:
        return None


def made_as(predictions: Artifact) -> tuple[Any, ...]:
    """Return what, beside masks, decides the values of predictions.

    Parameters
    ----------
    predictions : Artifact

    Returns
    -------
    tuple
        Stage, version, parameters and the model's digest.
    """
    model = predictions.inputs.get("model", {})
    return predictions.stage, predictions.version, predictions.parameters, model.get("digest")
