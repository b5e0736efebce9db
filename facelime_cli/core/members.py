"""Where the networks of a mean differ: what each answers, and which segment each loses most without.

Notation: M members, F fills, K segments, C classes, S masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.checking import log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = -1
"""Stands for a segment where no segment costs a member anything."""
LEAST_LOSS = 0.01
"""In log-odds: a smaller loss is noise, and makes no segment the first."""


@dataclass(frozen=True)
class Differing:
    """What the members of a mean say of one class of a picture.

    Attributes
    ----------
    answers : (M,) float64 array
        Each one's probability of the class for the whole picture; of a contrast, the difference of two.
    first : (M,) int64 array
        The segment that each loses most without, -1 where it loses nothing without any.
    loss : (M,) float64 array
        What it loses without that segment, in log-odds; the mean over the fills.
    """

    answers: NDArray[np.float64]
    first: NDArray[np.int64]
    loss: NDArray[np.float64]


def apart(answers: NDArray[np.floating[Any]], n_members: int) -> NDArray[np.floating[Any]]:
    """Return what each member says, of answers that hold the mean first and then the members.

    Parameters
    ----------
    answers : (..., (1 + M) · C) float array
    n_members : int
        M.

    Returns
    -------
    (..., M, C) float array

    Examples
    --------
    >>> apart(np.array([0.5, 0.5, 0.2, 0.8, 0.8, 0.2]), 2).tolist()
    [[0.2, 0.8], [0.8, 0.2]]
    """
    n_classes = answers.shape[-1] // (1 + n_members)
    return answers[..., n_classes:].reshape(*answers.shape[:-1], n_members, n_classes)


def differing(
    answers: NDArray[np.floating[Any]], n_segments: int, c: int, versus: tuple[int, int] | None = None
) -> Differing:
    """Return what the members say of a class, from what they answered without each segment alone.

    Parameters
    ----------
    answers : (F, S, M, C) float array
        As `checking.questions` asks: the first mask keeps all, then each segment alone is off.
    n_segments : int
        K.
    c : int
        The class.
    versus : (int, int), optional
        Of a contrast, the two classes that are told apart instead.

    Returns
    -------
    Differing

    Examples
    --------
    >>> full, without = [[0.9, 0.1], [0.8, 0.2]], [[0.2, 0.8], [0.8, 0.2]]
    >>> differing(np.array([[full, without, full]]), 2, 0).first.tolist()
    [0, -1]
    """
    asked = answers[:, : 1 + n_segments].astype(np.float64)
    if versus is None:
        evidence, said = log_odds(asked)[..., c], asked[0, 0, :, c]
    else:
        one, other = versus
        both = log_odds(asked[..., one] / (asked[..., one] + asked[..., other]).clip(min=1e-30))
        evidence, said = both, asked[0, 0, :, one] - asked[0, 0, :, other]
    losses = (evidence[:, :1] - evidence[:, 1:]).mean(axis=0)
    first = losses.argmax(axis=0)
    most = losses.max(axis=0)
    return Differing(said, np.where(most >= LEAST_LOSS, first, NONE), most)
