"""Pictures of a dataset: splits when a fold is tested, reading many of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

MEMORY_BYTES = 1 << 30
"""Pictures up to this size are read once; more are read batch by batch."""


def tested_fold(dataset: Artifact, fold: int | None) -> int | None:
    """Return the fold to test: the first, 0, unless another is given; None for a dataset without folds."""
    folds = dataset.parameters.get("folds")
    if folds is None and fold is not None:
        raise FacelimeError(
            f"datasets/{dataset.id} has no folds; leave --fold out, or preprocess its source with --folds K."
        )
    if folds is not None and fold is not None and fold >= folds:
        raise FacelimeError(
            f"--fold {fold} is none of the {folds} folds of datasets/{dataset.id}; use 0 to {folds - 1}."
        )
    return None if folds is None else fold or 0


def splits_of(dataset: Artifact, fold: int | None) -> NDArray[np.int8]:
    """Return the part of every picture, (N,), when a fold is tested; None is the dataset's own division."""
    from facelime_cli.core.splits import part_of_folds

    return (
        dataset.read("split")
        if fold is None
        else part_of_folds(dataset.read("fold"), fold, dataset.parameters["folds"])
    )


def reader(dataset: Artifact) -> Callable[[list[int]], NDArray[np.uint8]]:
    """Return what reads the pictures of some rows: from memory when they all fit, else batch by batch."""
    whole = dataset.read("images") if math.prod(dataset.shape("images")) <= MEMORY_BYTES else None
    return lambda rows: dataset.read("images", rows) if whole is None else whole[rows]
