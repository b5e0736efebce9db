"""Division of a data set into parts: stratified by class, and no group in two parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GROUP_PATTERNS = {"kermany": r"^(person\d+|(?:NORMAL2-)?IM-\d+|(?:BACTERIA|VIRUS|NORMAL)-\d+)"}
"""Named regular expressions for the patient in a file name.

kermany: the chest X-rays of Kermany et al. 2018, in both of their namings.
"""

LABEL_PATTERNS = {"kermany": r"(?i)(?P<bacteria>bacteria)|(?P<virus>virus)|(?P<normal>IM-\d|NORMAL)"}
"""Named regular expressions for the class in a file name. kermany: the subtype, in both namings."""


def part_of_folds(fold: NDArray[np.int8], tested: int, n_folds: int) -> NDArray[np.int8]:
    """Return the split of every picture when fold `tested` is tested.

    The next fold validates, the others are trained on; -1 stays -1.

    Examples
    --------
    >>> part_of_folds(np.array([0, 1, 2, 3, -1], np.int8), 3, 4).tolist()
    [1, 0, 0, 2, -1]
    """
    part = np.where(fold == tested, 2, np.where(fold == (tested + 1) % n_folds, 1, 0))
    return np.where(fold < 0, -1, part).astype(np.int8)


def divide(labels: Sequence[int], groups: Sequence[str], shares: Sequence[float], seed: int) -> NDArray[np.int8]:
    """Return the part of every picture.

    Groups are dealt out whole, the largest first (ties in an order that depends on the seed), each to the split that
    then lacks most of what the group holds, class by class. That keeps every class near its share without ever cutting
    a group.

    Parameters
    ----------
    labels : (N,) sequence of int
        Class index of each picture.
    groups : (N,) sequence of str
        Patient or lesion of each picture.
    shares : sequence of float
        Wanted size of each part, in any unit.
    seed : int
        Orders groups of equal size.

    Returns
    -------
    (N,) int8 array
        Index into `shares`.
    """
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (group, label), 1)
    share = np.asarray(shares, dtype=float) / np.sum(shares)
    wanted = share[:, None] * counts.sum(axis=0)
    filled = np.zeros_like(wanted)
    part = np.empty(len(names), dtype=np.int8)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(names))
    for g in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:
        part[g] = _neediest(filled, wanted, counts[g], share)
        filled[part[g]] += counts[g]
    return part[group]


def _neediest(
    filled: NDArray[np.float64], wanted: NDArray[np.float64], counts: NDArray[np.float64], share: NDArray[np.float64]
) -> int:
    """Return the part that lacks, relative to its size, most of the classes in `counts`."""
    lack = ((wanted - filled) / np.maximum(wanted, 1e-12) * counts).sum(axis=1)
    return int(np.argmax(np.where(share > 0, lack, -np.inf)))
