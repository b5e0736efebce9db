"""What is done to every picture on its way into a dataset: the same for all classes.

There is no way to treat one class differently: the doubled contrast of one class alone is how the rosacea system's
classes could be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Box = tuple[int, int, int, int]

MINKOWSKI_NORM = 6
"""Exponent of shades of gray; 6 is what Finlayson and Trezzi found best, and what dermoscopy uses."""
CLAHE_CLIP = 0.01
FACE_MARGIN = 0.25
"""The detector's box ends at brows and chin; this share is added on each side."""
SMALLEST_FACE = 0.2


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
        `stretch` to the square, `pad` with black, or `crop` the middle.
    size : int
        Side in pixels.
    """

    size: int
    fit: str = "stretch"
    crop_border: float = 0.0
    crop_face: bool = False
    white_balance: bool = False
    equalize: bool = False
    contrast: float = 1.0


@dataclass(frozen=True)
class Prepared:
    """A picture after the operations, (size, size, 3) uint8.

    With it, the box that was cut out, and whether the face was found.
    """

    image: Pixels
    box: Box
    face_found: bool


def prepare(image: Pixels, how: Operations) -> Prepared:
    """Apply the operations to a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    how : Operations
    """
    box = _inside(image.shape[0], image.shape[1], how.crop_border)
    whole = _cut(image, box)
    face = detect_face(whole) if how.crop_face else None
    if face is not None:
        face = _widened(face, *whole.shape[:2])
        box = (box[0] + face[0], box[1] + face[1], box[0] + face[2], box[1] + face[3])
    picture = _cut(image, box)
    if how.white_balance:
        picture = shades_of_gray(picture)
    if how.equalize:
        picture = equalized(picture)
    if how.contrast != 1:
        picture = contrasted(picture, how.contrast)
    return Prepared(_fitted(picture, how, Image.Resampling.BILINEAR), box, face is not None)


def prepare_mask(mask: Pixels, box: Box, how: Operations) -> Pixels:
    """Apply the geometry of a picture's operations to its mask: (size, size) uint8 of 0 and 1."""
    return _fitted(_cut(mask, box), how, Image.Resampling.NEAREST)


def shades_of_gray(image: Pixels) -> Pixels:
    """Return a picture whose channels have the same Minkowski mean, so that the light has no colour.

    Examples
    --------
    >>> reddish = np.full((2, 2, 3), (200, 100, 100), np.uint8)
    >>> bool(np.ptp(shades_of_gray(reddish)[0, 0]) <= 1)
    True
    """
    values = image.astype(np.float64)
    light = np.maximum((values**MINKOWSKI_NORM).mean(axis=(0, 1)) ** (1 / MINKOWSKI_NORM), 1e-6)
    return np.asarray(np.clip(values * (light.mean() / light), 0, 255).round(), dtype=np.uint8)


def equalized(image: Pixels) -> Pixels:
    """Return a picture with its luminance equalised locally; hue and saturation stay."""
    from skimage.color import hsv2rgb, rgb2hsv
    from skimage.exposure import equalize_adapthist

    hsv = rgb2hsv(image)
    hsv[..., 2] = equalize_adapthist(hsv[..., 2], clip_limit=CLAHE_CLIP)
    return np.asarray((hsv2rgb(hsv) * 255).round().astype(np.uint8))


def contrasted(image: Pixels, factor: float) -> Pixels:
    """Return a picture whose values lie `factor` times as far from the middle grey."""
    return np.clip((image.astype(np.float64) - 127.5) * factor + 127.5, 0, 255).round().astype(np.uint8)


def _inside(height: int, width: int, percent: float) -> Box:
    top, left = int(height * percent / 100), int(width * percent / 100)
    return top, left, height - top, width - left


def _cut(image: Pixels, box: Box) -> Pixels:
    return image[box[0] : box[2], box[1] : box[3]]


def detect_face(image: Pixels) -> Box | None:
    """Return the box of the largest face in a picture, from above the brows to the mouth or chin, or None.

    A cascade of local binary patterns that scikit-image brings along: Ojala et al., TPAMI 2002; Viola and Jones, IJCV
    2004.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Faces smaller than a fifth of its shorter side, or than 24 pixels, are not looked for.
    """
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    side = min(image.shape[:2])
    least = max(24, int(side * SMALLEST_FACE))
    found = Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale(
        image, scale_factor=1.1, step_ratio=1, min_size=(least, least), max_size=(side, side)
    )
    if not found:
        return None
    largest = max(found, key=lambda each: each["width"])
    return largest["r"], largest["c"], largest["r"] + largest["height"], largest["c"] + largest["width"]


def _widened(box: Box, height: int, width: int) -> Box:
    """Return a face's box widened to the whole head, inside the picture."""
    margin = int((box[3] - box[1]) * FACE_MARGIN)
    return max(0, box[0] - margin), max(0, box[1] - margin), min(height, box[2] + margin), min(width, box[3] + margin)


def _fitted(image: Pixels, how: Operations, resampling: Image.Resampling) -> Pixels:
    """Bring a picture or a mask to the square."""
    height, width = image.shape[:2]
    if how.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    elif how.fit == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        spare = [(top, side - height - top), (left, side - width - left)] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, spare)
    if image.shape[:2] == (how.size, how.size):
        return image
    return np.asarray(Image.fromarray(image).resize((how.size, how.size), resampling, reducing_gap=None))
