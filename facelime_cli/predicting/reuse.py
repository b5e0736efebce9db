"""Reuse of answers that the store has: of the same model, picture, segments, fill and mask."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.predicting.run import Run
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store

GONE = (FacelimeError, FileNotFoundError)
"""What reading another artifact raises when it is broken or was just removed: then nothing is reused from it."""
MOST_BLOCKS = 10
"""Parts of arrays that are kept while a unit is looked through; each has 64 MiB at most, and few have more than one."""
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
        self._blocks = _Blocks()
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
                theirs = _known(other, wanted, masks, made_with, self._blocks)
            except GONE:
                continue
            for mask, values in theirs.items():
                known[masks.pop(mask)] = values
            if theirs:
                self.taken[other.reference] += len(theirs)
        return known


class _Blocks:
    """The parts of other artifacts' arrays that were read last: a unit of theirs is read once for all its pictures."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[slice, Any]] = OrderedDict()
        self._asked: dict[str, Artifact] = {}

    def _of(self, other: Artifact, name: str, row: int, read: Callable[[slice], Any]) -> tuple[slice, Any]:
        key = (other.reference, name)
        block = self._kept.pop(key, None)
        if block is None or not block[0].start <= row < block[0].stop:
            rows = other.rows(row // other.unit_pictures)
            block = rows, read(rows)
        self._kept[key] = block
        if len(self._kept) > MOST_BLOCKS:
            self._kept.popitem(last=False)
        return block

    def asked(self, other: Artifact) -> Artifact:
        """Return what has the masks of an artifact's answers; where it is gone, its arrays cannot be read."""
        if other.reference not in self._asked:
            # A check keeps its own masks, and a fill for each of its axis.
            self._asked[other.reference] = other if other.kind == "checks" else other.input("masks")
        return self._asked[other.reference]

    def picture(self, other: Artifact, name: str, row: int) -> Any:
        """Return one picture's part of an array."""
        rows, values = self._of(other, name, row, lambda rows: other.read(name, rows))
        return values[row - rows.start]

    def made_with(self, other: Artifact, row: int) -> Any:
        """Return what decided the bits of a picture's answers."""
        read = lambda rows: other.unit_facts(rows.start).get("made_with")  # noqa: E731
        return self._of(other, "made with", row, read)[1]


def _known(
    other: Artifact, wanted: Wanted, masks: dict[bytes, int], made_with: str, blocks: _Blocks
) -> dict[bytes, NDArray[np.float32]]:
    """Return what one artifact knows of the wanted masks of a picture."""
    # A unit made with two batch sizes does not say which answer is of which, so it counts for neither.
    if blocks.made_with(other, wanted.row) != [made_with]:
        return {}
    asked = blocks.asked(other)
    n_samples = int(blocks.picture(asked, "n_samples", wanted.row))
    places = {}
    for place, each in enumerate(blocks.picture(asked, "masks", wanted.row)[:n_samples]):
        mask = each.tobytes()
        if mask in masks:
            places[mask] = place
    if not places:
        return {}
    found: dict[bytes, NDArray[np.float32]] = {}
    for values in _answers(other, asked, wanted, blocks):
        found |= {mask: values[place] for mask, place in places.items()}
    return found


def _answers(other: Artifact, asked: Artifact, wanted: Wanted, blocks: _Blocks) -> Iterator[NDArray[np.float32]]:
    """Yield the answers (S, C) that were made with a fill."""
    fills = blocks.picture(asked, "fill", wanted.row)
    fills = fills.reshape(-1, *fills.shape[-3:])
    # The fill's pixels decide, not its name: a blur may have been made with another width.
    same = [place for place, each in enumerate(fills) if each.tobytes() == wanted.fill.tobytes()]
    if not same:
        return
    answers = blocks.picture(other, "probabilities", wanted.row)
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
