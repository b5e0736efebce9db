"""One explanation of several views of a picture: views differ in segments, in fill, and in who stands in.

Notation: V views, K segments of the carrier, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from facelime_cli.core.fidelity import imprecision
from facelime_cli.core.intervals import DRAWS, TAIL
from facelime_cli.core.masks import WORD_VALUES, random_words
from facelime_cli.core.verdict import NOT_CHECKED, NOTHING, PRECISE_SHARE, more

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Segments = NDArray[np.uint16]


@dataclass(frozen=True)
class View:
    """What one run of LIME says of a picture.

    Attributes
    ----------
    segments : (H, W) uint16 array
        The segment of each pixel, 0…K-1 of this view.
    coefficients : (K, C) float64 array
        In probability.
    interval : (K, C, 2) float64 array
        95 %, NaN where there is none.
    """

    segments: Segments
    coefficients: Floats
    interval: Floats


@dataclass(frozen=True)
class Consensus:
    """What several views say together, on the segments of the carrier.

    Attributes
    ----------
    coefficients : (K, C) float64 array
        Mean over the views.
    interval : (K, C, 2) float64 array
        95 %, from the differences between views and from the masks within each.
    p_sign : (K, C) float64 array
        Chance that the mean of other views like these has the same sign.
    votes : (K, C) int16 array
        Views whose interval lies on the coefficient's side of 0.
    agreement : (K, C) float32 array
        Share of the views whose own value has the coefficient's sign.
    by_masks : (K, C, 2) float64 array
        The part of the interval that more samples would narrow. NaN where no view has an interval.
    """

    coefficients: Floats
    interval: Floats
    p_sign: Floats
    by_masks: Floats
    votes: NDArray[np.int16]
    agreement: NDArray[np.float32]


def shares(carrier: Segments, segments: Segments) -> Floats:
    """Return which share of each segment of a view lies in each segment of the carrier.

    Parameters
    ----------
    carrier : (H, W) uint16 array
        0…K-1.
    segments : (H, W) uint16 array
        0…L-1.

    Returns
    -------
    (K, L) float64 array
        Each column sums to 1.

    Examples
    --------
    >>> shares(np.array([[0, 0, 1]], np.uint16), np.array([[0, 1, 1]], np.uint16)).tolist()
    [[1.0, 0.5], [0.0, 0.5]]
    """
    n_carrier, n_view = int(carrier.max()) + 1, int(segments.max()) + 1
    pair = carrier.astype(np.int64).ravel() * n_view + segments.ravel()
    pixels = np.bincount(pair, minlength=n_carrier * n_view).reshape(n_carrier, n_view)
    return np.asarray(pixels / pixels.sum(axis=0))


def carried(view: View, carrier: Segments) -> tuple[Floats, Floats]:
    """Return a view's coefficients on the segments of the carrier, and their standard errors.

    Parameters
    ----------
    view : View
    carrier : (H, W) uint16 array
        0…K-1.

    Returns
    -------
    values : (K, C) float64 array
        Each coefficient is divided among the carrier's segments by its pixels, so that their sum stays.
    errors : (K, C) float64 array
        NaN where the view has no interval.
    """
    share = shares(carrier, view.segments)
    half = (view.interval[..., 1] - view.interval[..., 0]) / 2
    variance = (half / ndtri(1 - TAIL)) ** 2
    # Errors of a view's own segments count as independent: masks are drawn so.
    return share @ view.coefficients, np.sqrt(share**2 @ variance)


def join(views: Sequence[View], carrier: Segments) -> Consensus:
    """Return what several views of one picture say together.

    Parameters
    ----------
    views : sequence of View
    carrier : (H, W) uint16 array
        The segments that the answer is about, 0…K-1.

    Returns
    -------
    Consensus

    Notes
    -----
    The interval is that of Hartung and Knapp for a mean of studies of equal weight: Student's t with one degree of
    freedom less than views, and the variance between them. It is never narrower than the masks within the views allow.
    With a single view it is that view's own.

    References
    ----------
    Hartung and Knapp, "A refined method for the meta-analysis of controlled clinical trials with binary outcome",
    Statistics in Medicine 20, 2001.

    Examples
    --------
    >>> segments = np.array([[0, 1]], np.uint16)
    >>> def view(*values):
    ...     coefficients = np.array(values)[:, None]
    ...     return View(segments, coefficients, np.stack([coefficients - 0.1, coefficients + 0.1], axis=-1))
    >>> both = join([view(0.4, 0.0), view(0.2, -0.2)], segments)
    >>> both.coefficients[:, 0].round(2).tolist(), both.votes[:, 0].tolist(), both.agreement[:, 0].tolist()
    ([0.3, -0.1], [2, 1], [1.0, 0.5])
    """
    found = [carried(view, carrier) for view in views]
    values = np.stack([value for value, _ in found])
    errors = np.stack([error for _, error in found])
    mean = values.mean(axis=0)
    z = ndtri(1 - TAIL)
    within = np.sqrt((errors**2).sum(axis=0)) / len(views)
    half, p_sign = _uncertainty(values, within, mean)
    side = np.sign(mean)
    with np.errstate(invalid="ignore"):
        beyond = (side * values - z * errors > 0).sum(axis=0)
    return Consensus(
        coefficients=mean,
        interval=np.stack([mean - half, mean + half], axis=-1),
        p_sign=p_sign,
        by_masks=np.stack([mean - z * within, mean + z * within], axis=-1),
        votes=beyond.astype(np.int16),
        agreement=(np.sign(values) == side).mean(axis=0).astype(np.float32),
    )


def _uncertainty(values: Floats, within: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """Return half of each interval, and the chance of each sign: both (K, C)."""
    n = len(values)
    freedom = n - 1
    tiny = np.finfo(np.float64).tiny
    by_masks = np.maximum(within, tiny)
    if not freedom:
        return ndtri(1 - TAIL) * within, _chance(stdtr(np.inf, np.abs(mean) / by_masks), within)
    between = values.std(axis=0, ddof=1) / np.sqrt(n)
    half = np.fmax(stdtrit(freedom, 1 - TAIL) * between, ndtri(1 - TAIL) * within)
    chance = stdtr(freedom, np.abs(mean) / np.maximum(between, by_masks))
    return half, _chance(chance, half)


def _chance(chance: Floats, width: Floats) -> Floats:
    """Return chances, NaN where there is no interval."""
    return np.where(np.isnan(width), np.nan, chance)


def verdicts(found: Consensus, before: Sequence[Sequence[str]], n_samples: int, top: int) -> list[str]:
    """Say in words what the samples of all views allow to say, before the model is asked.

    Parameters
    ----------
    found : Consensus
    before : sequence of sequence of str
        The verdicts of the views, each on C classes.
    n_samples : int
        Of all views together.
    top : int
        How many of the strongest segments have to be precise.

    Returns
    -------
    list of C str

    Notes
    -----
    Only what more samples would narrow asks for samples. Views that differ for another reason would go on differing.
    """
    wide = imprecision(found.coefficients, found.by_masks, top)
    words = []
    for c, share in enumerate(wide.tolist()):
        if all(view[c].startswith(NOTHING) for view in before):
            words.append(NOTHING)
        elif share > PRECISE_SHARE:
            words.append(more(share, n_samples, len(found.coefficients)))
        else:
            words.append(NOT_CHECKED)
    return words


def draws(found: Consensus, key: int, c: int) -> Floats:
    """Return what other views might find, for `fidelity.repeats`.

    Parameters
    ----------
    found : Consensus
    key : int
        Philox key, 128 bits.
    c : int
        The class.

    Returns
    -------
    (D, K) float64 array
    """
    coefficients = found.coefficients[:, c]
    words = random_words(key, 0, DRAWS, len(coefficients))
    normal = ndtri((words + 0.5) / WORD_VALUES)
    half = (found.interval[:, c, 1] - found.interval[:, c, 0]) / 2
    return np.asarray(coefficients + normal * half / ndtri(1 - TAIL))


def first_by_fill(views: Sequence[View], fills: Sequence[str], carrier: Segments) -> dict[str, NDArray[np.int32]]:
    """Return the segment that speaks most for each class, by what stood in.

    Parameters
    ----------
    views : sequence of View
    fills : sequence of str
        The fill of each view.
    carrier : (H, W) uint16 array
        0…K-1.

    Returns
    -------
    dict
        From each fill to (C,) int32, the segments of the carrier.
    """
    found = {}
    for fill in dict.fromkeys(fills):
        values = [carried(view, carrier)[0] for view, its in zip(views, fills, strict=True) if its == fill]
        found[fill] = np.mean(values, axis=0).argmax(axis=0).astype(np.int32)
    return found
