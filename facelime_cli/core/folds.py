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

    Groups = NDArray[np.int64]

FOLDS = 5


def folds_of(masks: NDArray[np.bool_], blocks: NDArray[np.int32], seed: int, picture_id: str) -> NDArray[np.int64]:
    """Return the fold of every sample: (S,) of 0…FOLDS-1.

    Equal masks share a fold, so that none is judged that was fitted, and so do the rows of a block. Where that leaves fewer groups than folds, as for the few long blocks of
    the `balanced` design, blocks are divided, but never a mask from its complement. Each five groups, in the order of their first samples, are
    dealt to the five folds, in an order that depends on seed and picture.

    Parameters
    ----------
    masks : (S, K) bool array
    blocks : (S,) int32 array
        From `masks.blocks`.
    seed : int
    picture_id : str
    """
    equal = numbered(np.packbits(masks, axis=1))
    groups = _joined(equal, blocks)
    if groups.max() + 1 < FOLDS:
        groups = _joined(equal, units_of(masks, blocks))
    deals = -(-(int(groups.max()) + 1) // FOLDS)
    words = mask_design.random_words(mask_design.key_of(seed, picture_id, "folds"), 0, deals, FOLDS)
    return np.asarray(np.argsort(words, axis=1, kind="stable").ravel()[groups])


def _joined(one: NDArray[np.integer], other: NDArray[np.integer]) -> Groups:
    """Return the groups of rows that are linked by either of two relations, numbered from 0 in the order of their first rows."""
    if len(np.unique(other)) == len(other):
        linked = one
    elif len(np.unique(one)) == len(one):
        linked = other
    else:
        n = len(one)
        rows, links = np.tile(np.arange(n), 2), np.concatenate([n + one, n + one.max() + 1 + other])
        size = int(links.max()) + 1
        linked = connected_components(
            coo_array((np.ones(2 * n, np.int8), (rows, links)), shape=(size, size)), directed=False
        )[1][:n]
    first, which = np.unique(linked, return_index=True, return_inverse=True)[1:]
    return np.asarray(np.argsort(np.argsort(first))[which.ravel()])
