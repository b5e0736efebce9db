"""When more samples would change nothing that an explanation says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

CONFIDENCE = 0.95
"""Chance that another run finds the same strongest segments, from which on a picture is stable."""


def stable_pictures(surrogates: Artifact, confidence: float) -> NDArray[np.bool_]:
    """Return for each picture whether more samples would change nothing that its explanation says.

    Only the most probable class counts. A picture is stable when the strongest segments would be the same again with
    this chance and the verdict asks for no more samples. It is stable too when nothing moves the model's answer.

    Parameters
    ----------
    surrogates : Artifact
        Made by `fit-surrogate`.
    confidence : float
        The chance, 0 to 1.

    Returns
    -------
    (N,) bool array
    """
    import numpy as np

    from facelime_cli.core.verdict import NEEDS_MORE, NOTHING

    predictions = surrogates.input("predictions")
    found = []
    for row in range(surrogates.n):
        one = slice(row, row + 1)
        # Sample 0 is the unchanged picture.
        answer = predictions.read("probabilities", one)[0, 0]
        c = int(answer.argmax())
        repeat = float(surrogates.read("topk_repeat", one)[0, c])
        verdict = str(surrogates.read("verdict", one)[0, c])
        sure = repeat >= confidence and not verdict.startswith(NEEDS_MORE)
        found.append(sure or verdict == NOTHING)
    return np.array(found)
