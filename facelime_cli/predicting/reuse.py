"""Reuse of answers that the store has: of the same model, picture, segments, fill and mask."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.predicting.run import Run
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store

GONE = (FacelimeError, FileNotFoundError)
"""What reading another artifact raises when it is broken or was just removed: then nothing is reused from it."""
VERSIONS = {"predictions": 2, "checks": 1}
"""Kinds of artifacts that keep answers, and the version of the stage that makes them: others are not reused."""
MADE_BY = ("runtime", "precision", "resize")
"""Parameters that decide the value of an answer."""


@dataclass(frozen=True)
class Wanted:
    """Masks of one picture and fill whose answers are looked for.

    Attributes
    ----------
    row : int
        The picture.
    fill : uint8 array
        What stands in, in any shape.
    packed : (R, M) uint8 array
        The masks, all different.
    missing : (R,) bool array
        Which of them are asked for.
    """

    row: int
    fill: NDArray[np.uint8]
    packed: NDArray[np.uint8]
    missing: NDArray[np.bool_]


class Donors:
    """The other artifacts that keep answers of the same model on the same segments, those of most samples first.

    Parameters
    ----------
    store : Store
    made : tuple
        What answers must have been made as, from `made_as`.
    segments : Artifact
        The segments of the pictures that are to be evaluated.
    n_answers : int
        How many answers each evaluation has: a check of a mean of several networks keeps what each of them says.
    besides : str
        Id of the artifact that is to be made, which is none to reuse.

    Attributes
    ----------
    taken : Counter
        How many evaluations were reused, by the reference of the artifact.
    """

    def __init__(
        self, store: Store, made: tuple[Any, ...], segments: Artifact, n_answers: int, besides: str = ""
    ) -> None:
        others = (other for other in store.artifacts(tuple(VERSIONS)) if other.id != besides)
        fitting = (other for other in others if _fits(other, made, segments))
        found = [other for other in fitting if other.shape("probabilities")[-1] == n_answers]
        # The one with most samples is likely to know all, so that the others need not be read.
        self._found = sorted(found, key=lambda other: other.shape("probabilities")[-2], reverse=True)
        self.taken: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    def take(self, wanted: Wanted, made_with: str) -> dict[int, NDArray[np.float32]]:
        """Return what is known of a picture's masks.

        Parameters
        ----------
        wanted : Wanted
        made_with : str
            Only what was made with the same batch size on the same device and software has the same bits, and counts.

        Returns
        -------
        dict
            From positions in `packed` to (C,) float32 probabilities.
        """
        import numpy as np

        # Masks are compared byte by byte: a hash could meet another, and a wrong answer would never be noticed.
        masks = {wanted.packed[place].tobytes(): int(place) for place in np.flatnonzero(wanted.missing)}
        known: dict[int, NDArray[np.float32]] = {}
        for other in self._found:
            if not masks:
                break
            try:
                theirs = _known(other, wanted, masks, made_with)
            except GONE:
                continue
            for mask, values in theirs.items():
                known[masks.pop(mask)] = values
            if theirs:
                self.taken[other.reference] += len(theirs)
        return known


def _known(
    other: Artifact, wanted: Wanted, masks: dict[bytes, int], made_with: str
) -> dict[bytes, NDArray[np.float32]]:
    """Return what one artifact knows of the wanted masks of a picture."""
    # A unit made with two batch sizes does not say which answer is of which, so it counts for neither.
    if other.unit_facts(wanted.row).get("made_with") != [made_with]:
        return {}
    one = slice(wanted.row, wanted.row + 1)
    # A check keeps its own masks, and a fill for each of its axis.
    asked = other if other.kind == "checks" else other.input("masks")
    n_samples = int(asked.read("n_samples", one)[0])
    places = {}
    for place, each in enumerate(asked.read("masks", one)[0, :n_samples]):
        mask = each.tobytes()
        if mask in masks:
            places[mask] = place
    if not places:
        return {}
    found: dict[bytes, NDArray[np.float32]] = {}
    for values in _answers(other, asked, one, wanted.fill):
        found |= {mask: values[place] for mask, place in places.items()}
    return found


def _answers(other: Artifact, asked: Artifact, one: slice, fill: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    """Yield the answers (S, C) that were made with a fill."""
    fills = asked.read("fill", one)[0]
    fills = fills.reshape(-1, *fills.shape[-3:])
    # The fill's pixels decide, not its name: a blur may have been made with another width.
    same = [place for place, each in enumerate(fills) if each.tobytes() == fill.tobytes()]
    if not same:
        return
    answers = other.read("probabilities", one)[0]
    answers = answers.reshape(-1, *answers.shape[-2:])
    for place in same:
        yield answers[place]


def _fits(other: Artifact, made: tuple[Any, ...], segments: Artifact) -> bool:
    """Return whether other answers are of this model, made so, and of these segments."""
    try:
        if other.version != VERSIONS[other.kind] or made_as(other) != made:
            return False
        asked = other if other.kind == "checks" else other.input("masks")
        return bool(asked.inputs["segmentation"]["digest"] == segments.content)
    except GONE:
        return False


def made_as(artifact: Artifact) -> tuple[Any, ...]:
    """Return what, beside masks and fill, decides the values of stored answers.

    Parameters
    ----------
    artifact : Artifact
        Predictions or a check.

    Returns
    -------
    tuple
        Runtime, precision, whether pictures are resized, and the model's digest.
    """
    model = artifact.inputs.get("model", {})
    return (*(artifact.parameters.get(name) for name in MADE_BY), model.get("digest"))


def made_of(run: Run) -> tuple[Any, ...]:
    """Return the same of answers that a run is going to make.

    Parameters
    ----------
    run : Run
    """
    return run.how.runtime, run.how.precision, run.how.resize_from is not None, run.model.content
