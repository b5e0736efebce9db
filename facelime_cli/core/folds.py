"""Folds for cross-fitting: which samples are held out together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from facelime_cli.core import masks as mask_design
from facelime_cli.core.intervals import numbered, units_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Groups = NDArray[np.integer]

FOLDS = 5


def folds_of(masks: Bools, blocks: NDArray[np.int32], seed: int, picture_id: str) -> NDArray[np.int64]:
    """Return the fold of every sample.

    Equal masks share a fold, so that no sample is judged whose mask was fitted, and so do the rows of a block. Where
    that leaves fewer groups than folds, as for the few long blocks of the `balanced` design, blocks are divided, but
    never a mask from its complement.

    Parameters
    ----------
    masks : (S, K) bool array
        1 where a segment is kept.
    blocks : (S,) int32 array
        From `masks.blocks`: rows of one block depend on each other.
    seed : int
        With the picture's id, decides which group is in which fold.
    picture_id : str
        The picture.

    Returns
    -------
    (S,) int64 array
        0…FOLDS-1.

    Notes
    -----
    Cross-fitting is that of Chernozhukov et al., "Double/debiased machine learning" (Econometrics Journal 21, 2018):
    every sample is judged once, by a surrogate that did not see it.

    Examples
    --------
    >>> masks = np.array([[1, 1], [0, 1], [0, 1], [1, 0]], bool)
    >>> folds = folds_of(masks, np.arange(4, dtype=np.int32), 0, "a")
    >>> bool(folds[1] == folds[2])
    True
    """
    equal = numbered(np.packbits(masks, axis=1))
    groups = _joined(equal, blocks)
    if groups.max() + 1 < FOLDS:
        groups = _joined(equal, units_of(masks, blocks))
    n_groups = int(groups.max()) + 1
    # Groups are dealt like cards, five at a time, so that folds stay equal in size and a longer run keeps its folds.
    deals = -(-n_groups // FOLDS)
    key = mask_design.key_of(seed, picture_id, "folds")
    words = mask_design.random_words(key, 0, deals, FOLDS)
    fold_of_group = np.argsort(words, axis=1, kind="stable").ravel()
    return np.asarray(fold_of_group[groups])


def _joined(one: Groups, other: Groups) -> Groups:
    """Return the groups of rows that are linked by either of two relations: (S,) from 0, in order of first rows."""
    # Most designs have no equal masks, or blocks of one row. Then one of the two relations says nothing.
    if len(np.unique(other)) == len(other):
        linked = one
    elif len(np.unique(one)) == len(one):
        linked = other
    else:
        linked = _linked(one, other)
    _, first, which = np.unique(linked, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[which.ravel()])


def _linked(one: Groups, other: Groups) -> Groups:
    """Return the connected components of a graph in which each row is tied to its group of either relation: (S,)."""
    # Links run on: a mask in two blocks ties these, and each of them the masks that are in a third.
    n = len(one)
    row = np.tile(np.arange(n), 2)
    nodes_of_one = n + one
    nodes_of_other = n + one.max() + 1 + other
    group = np.concatenate([nodes_of_one, nodes_of_other])
    size = int(group.max()) + 1
    ties = np.ones(2 * n, np.int8)
    graph = coo_array((ties, (row, group)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component[:n])
