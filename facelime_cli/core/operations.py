"""What is done to every picture on its way into a dataset: the same for all classes.

No option treats one class differently. The rosacea system doubled the contrast of one class alone, and its classes
could be told apart by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facelime_cli.core import shapes
from facelime_cli.core.images import UnreadableError, decode
from facelime_cli.errors import FacelimeError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides, Size

    Pixels = NDArray[np.uint8]
    Box = tuple[int, int, int, int]

MINKOWSKI_NORM = 6
"""Exponent of shades of gray: Finlayson and Trezzi found 6 best, and dermoscopy uses it."""
DARKEST_LIGHT = 1e-6
"""Light that is assumed at least, so that a black channel can be divided by it."""
CLAHE_CLIP = 0.01
"""Clip limit of the adaptive equalisation, 0 to 1; scikit-image's default."""
MIDDLE_GREY = 127.5
FACE_MARGIN = 0.25
"""The detector's box ends at brows and chin; this share is added on each side."""
SMALLEST_FACE = 0.2
"""Side of the smallest face that is looked for, as a share of the picture's shorter side."""
SMALLEST_FACE_PIXELS = 24
"""The side for which the detector was trained."""


@dataclass(frozen=True)
class Operations:
    """Picture operations, in the order in which they are applied.

    Attributes
    ----------
    crop_border : float
        Percent cut away on each side (markers at the edge of an X-ray).
    crop_face : bool
        Crop to the largest face that is found.
    white_balance : bool
        Shades of gray: Finlayson and Trezzi, CIC 2004.
    equalize : bool
        Contrast-limited adaptive histogram equalisation of the luminance: Zuiderveld, Graphics Gems IV, 1994.
    contrast : float
        Factor by which values move away from the middle grey; 1 changes nothing.
    fit : str
        `stretch` to the wanted size, or first bring to its aspect ratio: `pad` with black, or `crop` the middle.
    size : int or sequence of int
        Side of a square, or height and width, in pixels.
    """

    size: Size
    fit: str = "stretch"
    crop_border: float = 0.0
    crop_face: bool = False
    white_balance: bool = False
    equalize: bool = False
    contrast: float = 1.0


@dataclass(frozen=True)
class Prepared:
    """A picture after the operations.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
    box : (int, int, int, int)
        Top, left, bottom and right of what was cut out of the original, in pixels.
    face_found : bool
        Whether it was cropped to a face.
    original : (int, int)
        Height and width of the original.
    seen : (int, int, int, int)
        Top, left, bottom and right of what the picture shows of the original, in pixels. With padding it is larger than
        the original.
    """

    image: Pixels
    box: Box
    face_found: bool
    original: Sides
    seen: Box


def prepare(image: Pixels, how: Operations) -> Prepared:
    """Apply the operations to a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    how : Operations

    Returns
    -------
    Prepared
    """
    height, width = image.shape[:2]
    box = _inside(height, width, how.crop_border)
    whole = _cut(image, box)
    face = detect_face(whole) if how.crop_face else None
    if face is not None:
        # The face was found in what is left of the picture without its border.
        above, beside = box[:2]
        top, left, bottom, right = _widened(face, whole, shapes.sides(how.size))
        box = (above + top, beside + left, above + bottom, beside + right)
    picture = _cut(image, box)
    if how.white_balance:
        picture = shades_of_gray(picture)
    if how.equalize:
        picture = equalized(picture)
    if how.contrast != 1:
        picture = contrasted(picture, how.contrast)
    fitted = _fitted(picture, how, Image.Resampling.BILINEAR)
    above, beside = box[:2]
    rows, columns = picture.shape[:2]
    top, left, bottom, right = _framed(rows, columns, how)
    seen = (above + top, beside + left, above + bottom, beside + right)
    return Prepared(fitted, box, face is not None, (height, width), seen)


def prepare_mask(mask: Pixels, box: Box, how: Operations) -> Pixels:
    """Apply the geometry of a picture's operations to its mask.

    Parameters
    ----------
    mask : (H, W) uint8 array of 0 and 1
    box : (int, int, int, int)
        What was cut out of the picture, from `prepare`.
    how : Operations

    Returns
    -------
    (H, W) uint8 array of 0 and 1
        As large as the prepared picture.
    """
    # The nearest pixel, since a mean of 0 and 1 would be no mask.
    return _fitted(_cut(mask, box), how, Image.Resampling.NEAREST)


def shades_of_gray(image: Pixels) -> Pixels:
    """Return a picture whose channels have the same Minkowski mean, so that the light has no colour.

    Parameters
    ----------
    image : (H, W, 3) uint8 array

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    Finlayson and Trezzi, "Shades of gray and colour constancy", CIC 2004.

    Examples
    --------
    >>> reddish = np.full((2, 2, 3), (200, 100, 100), np.uint8)
    >>> bool(np.ptp(shades_of_gray(reddish)[0, 0]) <= 1)
    True
    """
    values = image.astype(np.float64)
    powers = (values**MINKOWSKI_NORM).mean(axis=(0, 1))
    light = np.maximum(powers ** (1 / MINKOWSKI_NORM), DARKEST_LIGHT)
    # The mean of the channels keeps its brightness.
    gain = light.mean() / light
    balanced = np.clip(values * gain, 0, 255)
    return np.asarray(balanced.round(), dtype=np.uint8)


def equalized(image: Pixels) -> Pixels:
    """Return a picture with its brightness equalised locally; hue and saturation stay.

    Parameters
    ----------
    image : (H, W, 3) uint8 array

    Returns
    -------
    (H, W, 3) uint8 array

    References
    ----------
    Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.
    Computed by scikit-image's `equalize_adapthist`, on the value of HSV.
    """
    from skimage.color import hsv2rgb, rgb2hsv
    from skimage.exposure import equalize_adapthist

    hsv = rgb2hsv(image)
    value = hsv[..., 2]
    # Channel by channel, equalisation would change the hue, and redness is what some models look for.
    hsv[..., 2] = equalize_adapthist(value, clip_limit=CLAHE_CLIP)
    rgb = hsv2rgb(hsv) * 255
    return np.asarray(rgb.round().astype(np.uint8))


def contrasted(image: Pixels, factor: float) -> Pixels:
    """Return a picture whose values lie farther from the middle grey.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    factor : float
        How many times as far; less than 1 brings them nearer.

    Returns
    -------
    (H, W, 3) uint8 array

    Examples
    --------
    >>> contrasted(np.array([[[100, 127, 250]]], np.uint8), 2.0).tolist()
    [[[72, 126, 255]]]
    """
    distance = image.astype(np.float64) - MIDDLE_GREY
    stretched = distance * factor + MIDDLE_GREY
    return np.clip(stretched, 0, 255).round().astype(np.uint8)


def _inside(height: int, width: int, percent: float) -> Box:
    """Return the box of a picture without a border of so many percent on each side."""
    top = int(height * percent / 100)
    left = int(width * percent / 100)
    return top, left, height - top, width - left


def _cut(image: Pixels, box: Box) -> Pixels:
    top, left, bottom, right = box
    return image[top:bottom, left:right]


def detect_face(image: Pixels) -> Box | None:
    """Return the box of the largest face in a picture, from above the brows to the mouth or chin.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Faces smaller than a fifth of its shorter side, or than 24 pixels, are not looked for.

    Returns
    -------
    (int, int, int, int) or None
        Top, left, bottom and right, in pixels. None where no face is found.

    References
    ----------
    The detector is the cascade of local binary patterns in scikit-image.
    Ojala, Pietikäinen and Mäenpää, TPAMI 24, 2002; Viola and Jones, "Robust real-time face detection", IJCV 57, 2004.
    """
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    side = min(image.shape[:2])
    least = max(SMALLEST_FACE_PIXELS, int(side * SMALLEST_FACE))
    cascade = Cascade(lbp_frontal_face_cascade_filename())
    found = cascade.detect_multi_scale(
        image, scale_factor=1.1, step_ratio=1, min_size=(least, least), max_size=(side, side)
    )
    if not found:
        return None
    # Small finds beside a face are most often false ones, such as a fold or a button.
    largest = max(found, key=lambda each: each["width"])
    top, left = largest["r"], largest["c"]
    return top, left, top + largest["height"], left + largest["width"]


def _widened(box: Box, image: Pixels, wanted: Sides) -> Box:
    """Return a face's box widened to the whole head and to the wanted aspect ratio, inside the picture."""
    height, width = image.shape[:2]
    top, left, bottom, right = box
    # The same on all sides, from the width alone: the detector's boxes are square.
    margin = int((right - left) * FACE_MARGIN)
    rows, columns = bottom - top + 2 * margin, right - left + 2 * margin
    # A picture that is not square shows more beside or above the head, so that faces are not distorted.
    above = margin + max(0, _other_side(columns, wanted[0], wanted[1]) - rows) // 2
    beside = margin + max(0, _other_side(rows, wanted[1], wanted[0]) - columns) // 2
    return max(0, top - above), max(0, left - beside), min(height, bottom + above), min(width, right + beside)


def _other_side(side: int, wanted: int, of: int) -> int:
    """Return how long the side beside another is at the aspect ratio `wanted` to `of`."""
    return max(1, round(side * wanted / of))


def padded(height: int, width: int, size: Size) -> Sides:
    """Return height and width of a picture that is padded to the aspect ratio of a size.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels.
    size : int or sequence of int
        Side of a square, or height and width.

    Returns
    -------
    (int, int)

    Examples
    --------
    >>> padded(60, 90, 32), padded(60, 90, [20, 10]), padded(60, 90, [10, 30])
    ((90, 90), (180, 90), (60, 180))
    """
    rows, columns = shapes.sides(size)
    return max(height, _other_side(width, rows, columns)), max(width, _other_side(height, columns, rows))


def _framed(height: int, width: int, how: Operations) -> Box:
    """Return what of a picture is resized: less than it when it is cropped, and more when it is padded."""
    rows, columns = height, width
    wanted = shapes.sides(how.size)
    if how.fit == "crop":
        rows = min(height, _other_side(width, wanted[0], wanted[1]))
        columns = min(width, _other_side(height, wanted[1], wanted[0]))
    elif how.fit == "pad":
        rows, columns = padded(height, width, how.size)
    # What is cropped is the middle, and an odd pixel of padding stands behind it.
    top = (height - rows) // 2 if how.fit == "crop" else -((rows - height) // 2)
    left = (width - columns) // 2 if how.fit == "crop" else -((columns - width) // 2)
    return top, left, top + rows, left + columns


def _fitted(image: Pixels, how: Operations, resampling: Image.Resampling) -> Pixels:
    """Bring a picture or a mask to its size."""
    height, width = image.shape[:2]
    wanted = shapes.sides(how.size)
    top, left, bottom, right = _framed(height, width, how)
    if how.fit == "pad":
        around = [(-top, bottom - height), (-left, right - width)]
        # A picture has an axis of channels, which is not padded; a mask has none.
        channels = [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, [*around, *channels])
    else:
        image = image[top:bottom, left:right]
    if image.shape[:2] == wanted:
        return image
    # With a reducing gap, Pillow would shrink large pictures coarsely first, and change their values.
    resized = Image.fromarray(image).resize(wanted[::-1], resampling, reducing_gap=None)
    return np.asarray(resized)


def picture_of(file: Path, size: Size) -> Pixels:
    """Return one picture as `preprocess` makes it.

    Parameters
    ----------
    file : pathlib.Path
    size : int or sequence of int
        Side, or height and width, in pixels.

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    NotFoundError
        Where there is none.
    FacelimeError
        Where it cannot be read.
    """
    if not file.is_file():
        raise NotFoundError(f"there is no picture {file}; check the path.")
    try:
        return prepare(decode(file), Operations(size)).image
    except UnreadableError as why:
        raise FacelimeError(f"{file} {why}; give another picture.") from why
