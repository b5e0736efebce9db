"""Is this picture the network's? How far pictures are from those that a stored model learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.store import familiarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.answering.runtimes import Classifier
    from facelime_cli.store.artifacts import Artifact

DIGITS = 4
"""Behind the point of a distance: the last bits depend on the runtime."""


def distances(model: Artifact, classifier: Classifier, images: NDArray[np.uint8], batch: int) -> list[float]:
    """Return how far pictures are from those that a model learned from.

    Parameters
    ----------
    model : Artifact
        With a summary.
    classifier : Classifier
        The same, ready to answer.
    images : (N, H, W, 3) uint8 array
        As they are shown.
    batch : int
        Pictures in one call.

    Returns
    -------
    list of float
        In multiples of the 99th percentile of training pictures.

    Raises
    ------
    FacelimeError
        Where features cannot be had.
    BrokenError
        Where the summary is damaged, or not of this network.
    """
    if classifier.features is None:
        raise FacelimeError(f"{model.reference} keeps a summary of features, but it shows none; import it again.")
    summary = familiarity.read(model)
    found: list[float] = []
    for start in range(0, len(images), batch):
        features = classifier.features(images[start : start + batch].astype(np.float32))
        if features.shape[1:] != summary.offset.shape:
            raise BrokenError(
                f"{familiarity.FILE} of {model.reference} is of another network: it knows {len(summary.offset)} "
                f"features, and there are {features.shape[1:]}; train or import the model again."
            )
        found += [round(float(each), DIGITS) for each in summary.distances(features)]
    return found
