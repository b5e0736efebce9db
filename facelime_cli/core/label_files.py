"""Label maps from files: whole numbers, one per pixel, in PNG, TIFF or NumPy's own format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facelime_cli.core.formats import NUMPY_SUFFIX
from facelime_cli.core.images import UNREADABLE
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

AXES = 2


def read(path: Path, height: int, width: int) -> NDArray[np.int64]:
    """Return the labels in a file, at a picture's size.

    A smaller map is enlarged when a whole number of the picture's pixels goes into each of its own, the same number down and across: that repeats labels and
    invents none. Every other size is refused, as nobody knows which part of the picture it shows.

    Parameters
    ----------
    path : Path
        One whole number per pixel; a palette's numbers count, not its colours.
    height, width : int
        Of the picture, in pixels.

    Returns
    -------
    (H, W) int64 array

    Raises
    ------
    FacelimeError
        For what is no label map, or has a size that does not fit.
    """
    labels = _numbers(path)
    if labels.ndim != AXES or labels.dtype.kind not in "iub" or not labels.size:
        raise FacelimeError(
            f"{path} holds {labels.dtype} of shape {labels.shape}, not one whole number per pixel; save the labels as a grey PNG or TIFF, or as a .npy array of integers"
        )
    factor = max(1, height // labels.shape[0])
    if (labels.shape[0] * factor, labels.shape[1] * factor) != (height, width):
        raise FacelimeError(
            f"{path} is {labels.shape[1]}×{labels.shape[0]}, but the dataset's pictures are {width}×{height}; save the labels of the dataset's own pictures, at that size or at a whole fraction of it"
        )
    return np.repeat(np.repeat(labels.astype(np.int64), factor, axis=0), factor, axis=1)


def _numbers(path: Path) -> NDArray[Any]:
    try:
        if path.suffix.lower() == NUMPY_SUFFIX:
            return np.asarray(np.load(path, allow_pickle=False))
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise FacelimeError(f"{path} holds {picture.n_frames} frames; save one label map per file")  # type: ignore[attr-defined]
            return np.asarray(picture)
    except UNREADABLE as why:
        raise FacelimeError(f"{path} cannot be read as labels ({why}); save it again as PNG, TIFF or .npy") from why
