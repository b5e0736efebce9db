"""Division of a data set into splits: stratified by class or by finding, and no group in two splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Splits = NDArray[np.int8]

TRAIN, VALIDATION, TEST = range(3)
"""Numbers of the splits that folds are made into."""
NOTHING_WANTED = 1e-12
"""Pictures below which a split wants nothing of a class: it keeps the division by what is wanted defined."""
TIE_BREAK = 1e-6
"""Weight of a group's other findings beside the one that is dealt out."""

GROUP_PATTERNS = {"kermany": r"^(person\d+|(?:NORMAL2-)?IM-\d+|(?:BACTERIA|VIRUS|NORMAL)-\d+)"}
"""Regular expressions for the patient in a file name, by name.

`kermany` is for the chest X-rays of Kermany et al., Cell 172, 2018, in both of their namings.
"""

LABEL_PATTERNS = {"kermany": r"(?i)(?P<bacteria>bacteria)|(?P<virus>virus)|(?P<normal>IM-\d|NORMAL)"}
"""Regular expressions for the class in a file name, by name. `kermany` gives the subtype, in both namings."""


def splits_of_folds(fold: Splits, tested: int, n_folds: int) -> Splits:
    """Return the split of every picture when one fold is tested.

    The next fold validates, and the others are trained on.

    Parameters
    ----------
    fold : (N,) int8 array
        Fold of each picture, -1 for a picture in none.
    tested : int
        The fold that is tested.
    n_folds : int

    Returns
    -------
    (N,) int8 array
        0 to train, 1 to validate, 2 to test; -1 stays -1.

    Examples
    --------
    >>> splits_of_folds(np.array([0, 1, 2, 3, -1], np.int8), 3, 4).tolist()
    [1, 0, 0, 2, -1]
    """
    validating = (tested + 1) % n_folds
    split = np.full(len(fold), TRAIN)
    split[fold == validating] = VALIDATION
    # With a single fold the next one is the tested one: it is tested.
    split[fold == tested] = TEST
    split[fold < 0] = -1
    return split.astype(np.int8)


def divide(labels: Sequence[int], groups: Sequence[str], shares: Sequence[float], seed: int) -> Splits:
    """Return the split of every picture, such that no group is cut and every class is near its share.

    Parameters
    ----------
    labels : (N,) sequence of int
        Class index of each picture.
    groups : (N,) sequence of str
        Patient or lesion of each picture.
    shares : sequence of float
        Wanted size of each split, in any unit.
    seed : int
        Orders groups of equal size.

    Returns
    -------
    (N,) int8 array
        Index into `shares`.

    Notes
    -----
    Groups are dealt out whole, the largest first. Each goes to the split that then lacks most of what the group
    holds, class by class. scikit-learn's `StratifiedGroupKFold` deals groups out in a similar way, to splits of one
    size.

    Examples
    --------
    >>> divide([0, 0, 1, 1], ["a", "b", "c", "d"], (1, 1), 0).tolist()
    [0, 1, 1, 0]
    """
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = len(names)
    counts = np.zeros((n_groups, len(classes)))
    np.add.at(counts, (group, label), 1)
    share = np.asarray(shares, dtype=float) / np.sum(shares)
    wanted = share[:, None] * counts.sum(axis=0)
    filled = np.zeros_like(wanted)
    split = np.empty(n_groups, dtype=np.int8)
    # Drawn first and sorted stably afterwards: the seed decides only among groups of equal size.
    drawn = np.random.Generator(np.random.Philox(seed)).permutation(n_groups)
    sizes = counts[drawn].sum(axis=1)
    # Small groups at the end even out what the large ones left uneven.
    largest_first = drawn[np.argsort(-sizes, kind="stable")]
    for g in largest_first:
        neediest = _neediest(filled, wanted, counts[g], share)
        split[g] = neediest
        filled[neediest] += counts[g]
    return split[group]


def divide_findings(labels: NDArray[np.integer], groups: Sequence[str], shares: Sequence[float], seed: int) -> Splits:
    """Return the split of every picture, such that no group is cut and every finding is near its share in each split.

    Parameters
    ----------
    labels : (N, L) integer array
        For each finding of each picture 1 present, 0 absent, -1 unknown. In each group something is known.
    groups : (N,) sequence of str
        Patient or lesion of each picture.
    shares : sequence of float
        Wanted size of each split, in any unit.
    seed : int
        Orders groups that hold equally much of a finding.

    Returns
    -------
    (N,) int8 array
        Index into `shares`.

    Notes
    -----
    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD
    2011), with groups in the place of pictures: the rarest finding is dealt out first, since nothing could even it out
    later. Each of its groups goes to the split that lacks most of it, relative to what it should have. Where several
    do, the other findings of the group decide. What is known to be absent is dealt out in the same way; what is unknown
    does not count. A group of many pictures counts as half dealt out already, so that it does not go to a split that it
    would overfill.

    Examples
    --------
    >>> divide_findings(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]), ["a", "b", "c", "d"], (1, 1), 0).tolist()
    [0, 1, 1, 0]
    """
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n_groups = len(names)
    known = np.hstack([labels == 1, labels == 0])
    counts = np.zeros((n_groups, known.shape[1]))
    np.add.at(counts, group, known)
    # Such a group would be dealt out with no finding, and so never.
    assert counts.any(axis=1).all(), "every group needs a finding that is known"
    share = np.asarray(shares, dtype=float) / np.sum(shares)
    wanted = share[:, None] * counts.sum(axis=0)
    filled = np.zeros_like(wanted)
    split = np.full(n_groups, -1, dtype=np.int8)
    drawn = np.random.Generator(np.random.Philox(seed)).permutation(n_groups)
    while (left := drawn[split[drawn] < 0]).size:
        remaining = counts[left].sum(axis=0)
        rarest = int(np.argmin(np.where(remaining > 0, remaining, np.inf)))
        holding = left[counts[left, rarest] > 0]
        for g in holding[np.argsort(-counts[holding, rarest], kind="stable")]:
            own = np.zeros(len(remaining))
            own[rarest] = counts[g, rarest]
            # A little of the others: it decides only where the rarest does not.
            middle = filled + np.maximum(counts[g] - 1, 0) / 2
            neediest = _neediest(middle, wanted, own + TIE_BREAK * counts[g], share)
            split[g] = neediest
            filled[neediest] += counts[g]
    return split[group]


def _neediest(filled: Floats, wanted: Floats, counts: Floats, share: Floats) -> int:
    """Return the split that lacks, relative to its size, most of the classes in `counts`."""
    missing = (wanted - filled) / np.maximum(wanted, NOTHING_WANTED)
    lack = (missing * counts).sum(axis=1)
    # A split of no share gets nothing, however little the others lack.
    open_to_groups = np.where(share > 0, lack, -np.inf)
    return int(np.argmax(open_to_groups))
