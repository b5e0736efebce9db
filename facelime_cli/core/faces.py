"""Drawn faces, half of them with a rosacea-like flush on the cheeks whose place is known.

They need no download and show no person. A classifier can only tell the two classes apart by the flush: skin tone,
light, background, hair, blemishes and size vary in both alike.

A face is the same to the bit for the same seed and number: `draw` and its steps take their random numbers in a fixed
order. Do not move a line that draws one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Random = np.random.Generator

FAIR = (241, 205, 180)
LIGHT = (226, 184, 152)
OLIVE = (205, 160, 128)
BROWN = (176, 128, 98)
DARK = (140, 98, 74)
SKINS = np.array([FAIR, LIGHT, OLIVE, BROWN, DARK], dtype=float)
BLACK_HAIR = (40, 30, 26)
BROWN_HAIR = (92, 62, 40)
BLOND_HAIR = (150, 110, 66)
GREY_HAIR = (176, 168, 160)
RED_HAIR = (120, 56, 36)
HAIRS = np.array([BLACK_HAIR, BROWN_HAIR, BLOND_HAIR, GREY_HAIR, RED_HAIR], dtype=float)
FLUSH = np.array([206, 58, 62], dtype=float)
LIPS = np.array([176, 84, 84], dtype=float)
MOLE = np.array([110.0, 66.0, 52.0])
EYEBALL = np.array([245.0, 243.0, 240.0])
TRUTH_ALPHA = 0.12
"""From this share of flush colour on, a pixel counts as flushed."""
EDGE = 120
"""Steepness of an ellipse's edge: 1 / 120 of the picture's side from opaque to clear."""
SENSOR_NOISE = 3
"""Standard deviation of each pixel's noise, in grey levels."""
SIDES = (-1, 1)


class Oval(NamedTuple):
    """An ellipse along the axes: its centre and its radii, as shares of the picture's side, from the face's middle."""

    x: float
    y: float
    rx: float
    ry: float


HAIR = Oval(0, -0.08, 0.33, 0.40)
SHOULDERS = Oval(0, 0.52, 0.42, 0.22)
NECK = Oval(0, 0.36, 0.11, 0.16)
FACE = Oval(0, 0.02, 0.26, 0.35)
FRINGE = Oval(0, -0.31, 0.27, 0.10)
NOSE_BRIDGE = Oval(0, 0.06, 0.035, 0.06)


@dataclass(frozen=True)
class Face:
    """A drawn face.

    Attributes
    ----------
    image : (size, size, 3) uint8 array
    truth : (size, size) uint8 array
        1 where it is flushed, else 0.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass(frozen=True)
class Plane:
    """Where each pixel lies in the face's own coordinates: shares of the picture's side from its middle.

    Attributes
    ----------
    u, v : (size, size) float64 arrays
        Right and down.
    """

    u: Floats
    v: Floats

    def ellipse(self, oval: Oval) -> Floats:
        """Return the opacity of an ellipse with a soft edge: (size, size), 1 inside, 0 outside."""
        inward = (1 - np.sqrt(self._squared_radius(oval))) * min(oval.rx, oval.ry)
        return np.clip(inward * EDGE + 0.5, 0, 1)

    def blob(self, oval: Oval) -> Floats:
        """Return the opacity of a spot that fades from its middle: (size, size), 0…1."""
        return np.exp(-(self._squared_radius(oval) ** 1.5))

    def _squared_radius(self, oval: Oval) -> Floats:
        """Return the square of the distance from the middle, 1 on the ellipse."""
        across = (self.u - oval.x) / oval.rx
        down = (self.v - oval.y) / oval.ry
        return across**2 + down**2


def draw(seed: int, number: int, size: int, *, flushed: bool) -> Face:
    """Draw face `number` of a seed.

    Parameters
    ----------
    seed, number : int
        They decide everything but the flush.
    size : int
        Side in pixels.
    flushed : bool
        Whether cheeks and nose are red.

    Returns
    -------
    Face
        The picture, and where it is flushed.

    Examples
    --------
    >>> red = draw(0, 1, 32, flushed=True)
    >>> red.image.shape, bool(red.truth.any()), bool(draw(0, 1, 32, flushed=False).truth.any())
    ((32, 32, 3), True, False)
    """
    # A counter-based generator keyed with the number: any face is drawn without those before it.
    rng = np.random.Generator(np.random.Philox(key=[seed, number]))
    # Middles of pixels, so that a face is the same at every size.
    middles = np.mgrid[:size, :size] + 0.5
    y, x = middles / size
    plane = _placed(rng, x, y)
    canvas = _background(rng, x, y)
    # Tone and brightness apart: five skins in steps would be classes of their own.
    tone = rng.integers(len(SKINS))
    skin = SKINS[tone] * rng.uniform(0.92, 1.05)
    hair = HAIRS[rng.integers(len(HAIRS))]
    face = plane.ellipse(FACE)
    canvas = _head(canvas, rng, plane, skin, hair)
    # Moles lie below the flush, features above it, as on a person.
    canvas = _blemishes(canvas, rng, plane, face)
    # The flush is drawn in both classes, and painted in one: else the random numbers after it would differ by class.
    alpha = _flush(rng, plane) * face
    red = FLUSH * rng.uniform(0.9, 1.05)
    if flushed:
        canvas = _paint(canvas, alpha, red)
    canvas = _features(canvas, rng, plane, skin, hair)
    noise = rng.normal(0, SENSOR_NOISE, canvas.shape)
    canvas += noise
    brightness = rng.uniform(0.85, 1.1)
    light = brightness * rng.uniform(0.96, 1.04, 3)
    lit = np.clip(canvas * light, 0, 255)
    image = lit.astype(np.uint8)
    truth = (alpha > TRUTH_ALPHA) & flushed
    return Face(image, truth.astype(np.uint8))


def _placed(rng: Random, x: Floats, y: Floats) -> Plane:
    """Return the coordinates of a face that is somewhat off the middle, and larger or smaller."""
    centre_x = 0.5 + rng.uniform(-0.05, 0.05)
    centre_y = 0.52 + rng.uniform(-0.04, 0.04)
    scale = rng.uniform(0.9, 1.08)
    return Plane((x - centre_x) / scale, (y - centre_y) / scale)


def _background(rng: Random, x: Floats, y: Floats) -> Floats:
    """Return a picture that runs from one colour to another in any direction."""
    start, end = rng.uniform(60, 230, (2, 3))
    across = x * rng.uniform(-1, 1)
    down = y * rng.uniform(-1, 1)
    way = np.clip(across + down + 0.5, 0, 1)[..., None]
    return np.asarray(start * (1 - way) + end * way)


def _head(canvas: Floats, rng: Random, plane: Plane, skin: Floats, hair: Floats) -> Floats:
    """Paint hair, clothes, neck and face, from back to front."""
    back_of_hair = plane.ellipse(HAIR)
    canvas = _paint(canvas, back_of_hair, hair)
    clothes = rng.uniform(40, 220, 3)
    shoulders = plane.ellipse(SHOULDERS)
    canvas = _paint(canvas, shoulders, clothes)
    neck = plane.ellipse(NECK)
    canvas = _paint(canvas, neck, skin * 0.86)
    face = plane.ellipse(FACE)
    # One cheek is always darker, in both classes: light from the side must not pass for a flush.
    from_side = rng.uniform(-0.35, 0.35)
    from_above = rng.uniform(-0.2, 0.2)
    shade = 1 + from_side * plane.u + from_above * plane.v
    canvas = _paint(canvas, face, skin * shade[..., None])
    # The forehead's hair ends where the face does.
    fringe = plane.ellipse(FRINGE) * face
    return _paint(canvas, fringe, hair)


def _flush(rng: Random, plane: Plane) -> Floats:
    """Return the opacity of the flush: two cheeks and often the bridge of the nose, uneven as telangiectasia is."""
    strength = rng.uniform(0.45, 0.75)
    cheeks = [_cheek(rng, plane, side) for side in SIDES]
    nose = plane.blob(NOSE_BRIDGE) * rng.choice([0.0, 0.8])
    waves = sum(_wave(rng, plane) for _ in range(4)) / 4
    places = np.maximum.reduce([*cheeks, nose])
    uneven = 1 + 0.25 * waves
    return np.asarray(np.clip(places * uneven * strength, 0, 1))


def _cheek(rng: Random, plane: Plane, side: int) -> Floats:
    x = side * rng.uniform(0.12, 0.15)
    y = rng.uniform(0.07, 0.11)
    rx = rng.uniform(0.060, 0.080)
    ry = rng.uniform(0.055, 0.075)
    cheek = Oval(x, y, rx, ry)
    return plane.blob(cheek)


def _wave(rng: Random, plane: Plane) -> Floats:
    across = plane.u * rng.uniform(60, 140)
    down = plane.v * rng.uniform(-90, 90)
    phase = rng.uniform(0, 6)
    return np.sin(across + down + phase)


def _blemishes(canvas: Floats, rng: Random, plane: Plane, face: Floats) -> Floats:
    """Add moles in both classes, so that a dark or reddish dot says nothing."""
    for _ in range(rng.integers(0, 6)):
        x = rng.uniform(-0.2, 0.2)
        y = rng.uniform(-0.2, 0.3)
        rx = rng.uniform(0.006, 0.012)
        ry = rng.uniform(0.006, 0.012)
        mole = Oval(x, y, rx, ry)
        spot = plane.blob(mole) * face
        canvas = _paint(canvas, spot * 0.7, MOLE)
    return canvas


def _features(canvas: Floats, rng: Random, plane: Plane, skin: Floats, hair: Floats) -> Floats:
    """Paint eyes, brows, nostrils and mouth."""
    for side in SIDES:
        eye = side * 0.105
        white_oval = Oval(eye, -0.065, 0.05, 0.024)
        white = plane.ellipse(white_oval)
        canvas = _paint(canvas, white, EYEBALL)
        iris_oval = Oval(eye, -0.065, 0.021, 0.023)
        iris = plane.ellipse(iris_oval)
        canvas = _paint(canvas, iris, rng.uniform(30, 120, 3))
        brow_oval = Oval(eye, -0.125, 0.06, 0.012)
        brow = plane.ellipse(brow_oval) * 0.85
        canvas = _paint(canvas, brow, hair * 0.8)
        nostril_oval = Oval(side * 0.02, 0.105, 0.012, 0.008)
        nostril = plane.ellipse(nostril_oval)
        canvas = _paint(canvas, nostril, skin * 0.55)
    half_width = rng.uniform(0.07, 0.1)
    half_height = rng.uniform(0.018, 0.032)
    mouth_oval = Oval(0, 0.215, half_width, half_height)
    mouth = plane.ellipse(mouth_oval) * 0.85
    lips = LIPS * rng.uniform(0.8, 1.1)
    return _paint(canvas, mouth, lips)


def _paint(canvas: Floats, alpha: Floats, colour: Floats) -> Floats:
    """Lay a colour over a picture, as opaque as `alpha` says at each pixel."""
    opacity = alpha[..., None]
    return canvas * (1 - opacity) + colour * opacity
