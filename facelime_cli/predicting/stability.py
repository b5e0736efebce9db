"""When more samples would change nothing that an explanation says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.answering.runtimes import answers_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

CONFIDENCE = 0.95
"""Chance that another run finds the same strongest segments, from which on a picture is stable."""


def stable_pictures(surrogates: Artifact, confidence: float) -> NDArray[np.bool_]:
    """Return for each picture whether more samples would change nothing that its explanation says.

    Only the most probable class counts, or every value. A picture is stable when the strongest segments would be the
    same again with this chance and the verdict asks for no more samples. It is stable too when nothing moves the
    model's answer.

    Parameters
    ----------
    surrogates : Artifact
        Made by `fit-surrogate` or `consensus`.
    confidence : float
        The chance, 0 to 1.

    Returns
    -------
    (N,) bool array
    """
    import numpy as np

    from facelime_cli.core.verdict import NEEDS_MORE, NOTHING

    found = []
    for row in range(surrogates.n):
        one = slice(row, row + 1)
        answer = _answer(surrogates, one)
        counting = range(len(answer)) if answers_values(surrogates) else [int(answer.argmax())]
        repeats, verdicts = surrogates.read("topk_repeat", one)[0], surrogates.read("verdict", one)[0]
        stable = True
        for c in counting:
            sure = float(repeats[c]) >= confidence and not str(verdicts[c]).startswith(NEEDS_MORE)
            stable &= sure or verdicts[c] == NOTHING
        found.append(stable)
    return np.array(found)


def _answer(surrogates: Artifact, one: slice) -> NDArray[np.float32]:
    """Return the model's probabilities for one unchanged picture: (C,)."""
    if surrogates.has("probabilities"):
        answer: NDArray[np.float32] = surrogates.read("probabilities", one)[0]
    else:
        # Sample 0 is the unchanged picture.
        answer = surrogates.input("predictions").read("probabilities", one)[0, 0]
    return answer
