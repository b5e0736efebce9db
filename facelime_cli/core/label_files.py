"""Maps from files, in PNG, TIFF or NumPy's own format: labels, whole numbers per pixel, and saliency, any numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.formats import NUMPY_SUFFIX
from facelime_cli.core.images import UNREADABLE, picture_in, reason
from facelime_cli.core.opening import opened
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

AXES = 2
CHANNELS = 3
"""Of a picture in colour; a fourth one is its transparency."""
NUMBERS = "iubf"
"""NumPy's kinds of numbers."""
WHOLE_NUMBERS = "iub"
"""NumPy's kinds of signed integers, unsigned integers and booleans."""


def read(path: Path, height: int, width: int) -> NDArray[np.int64]:
    """Return the labels in a file, at a picture's size.

    A smaller map is enlarged when each of its pixels stands for a whole number of the picture's, the same down and
    across. That repeats labels and invents none. Every other size is refused: nobody knows which part of the picture
    it shows.

    Parameters
    ----------
    path : Path
        One whole number per pixel. A palette's numbers count, not its colours.
    height, width : int
        Of the picture, in pixels.

    Returns
    -------
    (H, W) int64 array
        The numbers of the file.

    Raises
    ------
    FacelimeError
        When the file is no label map, or its size does not fit.
    """
    labels = _numbers(path, lambda picture: picture)
    if labels.ndim != AXES or labels.dtype.kind not in WHOLE_NUMBERS or not labels.size:
        raise FacelimeError(
            f"{path} holds {labels.dtype} of shape {labels.shape}, not one whole number per pixel; "
            "save the labels as a grey PNG or TIFF, or as a .npy array of integers"
        )
    rows, columns = labels.shape
    factor = max(1, height // rows)
    if (rows * factor, columns * factor) != (height, width):
        raise FacelimeError(
            f"{path} is {rows}×{columns}, but the dataset's pictures are {height}×{width} (height first); "
            "save the labels of the dataset's own pictures, at that size or at a whole fraction of it"
        )
    # Repeated, never interpolated: halfway between segment 2 and segment 8 there is no segment 5.
    taller = np.repeat(labels.astype(np.int64), factor, axis=0)
    return np.repeat(taller, factor, axis=1)


def saliency(path: Path) -> NDArray[np.float64]:
    """Return the saliency map in a file, of any size.

    Parameters
    ----------
    path : Path
        One number per cell. Of a picture in colour, the mean of its channels counts.

    Returns
    -------
    (h, w) float64 array

    Raises
    ------
    FacelimeError
        When the file is no map of finite numbers.
    """
    values = _numbers(path, _without_palette)
    if values.ndim == AXES + 1 and path.suffix.lower() != NUMPY_SUFFIX:
        # Two channels are grey and its transparency.
        values = values[..., : CHANNELS if values.shape[-1] >= CHANNELS else 1].mean(axis=-1)
    if values.ndim != AXES or values.dtype.kind not in NUMBERS or not values.size or not _finite(values):
        raise FacelimeError(
            f"{path} holds {values.dtype} of shape {values.shape}, not one finite number per cell; "
            "save the map as a grey PNG or TIFF, or as a .npy array of two axes"
        )
    return values.astype(np.float64)


def _finite(values: NDArray[Any]) -> bool:
    """Return whether all numbers are finite where maps are enlarged, which is done in float32."""
    return bool((np.abs(values.astype(np.float64)) <= np.finfo(np.float32).max).all())


def _without_palette(picture: Image.Image) -> Image.Image:
    """Return a picture whose numbers are colours: a map is bright or dark, whatever its palette numbers."""
    return picture.convert("RGB") if picture.mode == "P" else picture


def _numbers(path: Path, prepared: Callable[[Image.Image], Image.Image]) -> NDArray[Any]:
    """Return the numbers in a file; a picture is prepared first."""
    try:
        if path.suffix.lower() == NUMPY_SUFFIX:
            # No pickles: an array of objects runs code when it is read.
            with opened(path) as stream:
                return np.asarray(np.load(stream, allow_pickle=False))
        # Further frames would be dropped without a word: a TIFF stack holds one map each.
        with picture_in(path, several="save one map per file") as picture:
            return np.asarray(prepared(picture))
    except UNREADABLE as why:
        raise FacelimeError(
            f"{path} cannot be read as a map ({reason(why)}); save it again as PNG, TIFF or .npy"
        ) from why
