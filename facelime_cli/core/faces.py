"""Drawn faces, half of them with a rosacea-like flush on the cheeks whose place is known.

They need no download and show no person. A classifier can only tell the two classes apart by the flush: skin tone, light, background, hair, blemishes and
size vary in both alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SKINS = np.array([[241, 205, 180], [226, 184, 152], [205, 160, 128], [176, 128, 98], [140, 98, 74]], dtype=float)
HAIRS = np.array([[40, 30, 26], [92, 62, 40], [150, 110, 66], [176, 168, 160], [120, 56, 36]], dtype=float)
FLUSH = np.array([206, 58, 62], dtype=float)
LIPS = np.array([176, 84, 84], dtype=float)
TRUTH_ALPHA = 0.12
"""From this share of flush colour on, a pixel counts as flushed."""


@dataclass(frozen=True)
class Face:
    """A drawn face: (size, size, 3) uint8, and where it is flushed, (size, size) uint8 of 0 and 1."""

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def draw(seed: int, number: int, size: int, *, flushed: bool) -> Face:
    """Draw face `number` of a seed.

    Parameters
    ----------
    seed, number : int
        Decide everything but the flush.
    size : int
        Side in pixels.
    flushed : bool
        Whether cheeks and nose are red.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, number]))
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    cx, cy, scale = 0.5 + rng.uniform(-0.05, 0.05), 0.52 + rng.uniform(-0.04, 0.04), rng.uniform(0.9, 1.08)
    u, v = (x - cx) / scale, (y - cy) / scale
    canvas = _background(rng, x, y)
    skin = SKINS[rng.integers(len(SKINS))] * rng.uniform(0.92, 1.05)
    hair = HAIRS[rng.integers(len(HAIRS))]
    canvas = _paint(canvas, _ellipse(u, v, 0, -0.08, 0.33, 0.40), hair)
    canvas = _paint(canvas, _ellipse(u, v, 0, 0.52, 0.42, 0.22), rng.uniform(40, 220, 3))
    canvas = _paint(canvas, _ellipse(u, v, 0, 0.36, 0.11, 0.16), skin * 0.86)
    face = _ellipse(u, v, 0, 0.02, 0.26, 0.35)
    shade = 1 + rng.uniform(-0.35, 0.35) * u + rng.uniform(-0.2, 0.2) * v
    canvas = _paint(canvas, face, skin * shade[..., None])
    canvas = _paint(canvas, _ellipse(u, v, 0, -0.31, 0.27, 0.10) * face, hair)
    canvas = _blemishes(canvas, rng, u, v, face)
    alpha, red = _flush(rng, u, v) * face, FLUSH * rng.uniform(0.9, 1.05)
    if flushed:
        canvas = _paint(canvas, alpha, red)
    canvas = _features(canvas, rng, u, v, skin, hair)
    canvas += rng.normal(0, 3, canvas.shape)
    light = rng.uniform(0.85, 1.1) * rng.uniform(0.96, 1.04, 3)
    truth = (alpha > TRUTH_ALPHA) & flushed
    return Face(np.clip(canvas * light, 0, 255).astype(np.uint8), truth.astype(np.uint8))


def _background(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    ends = rng.uniform(60, 230, (2, 3))
    way = np.clip(x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) + 0.5, 0, 1)[..., None]
    return np.asarray(ends[0] * (1 - way) + ends[1] * way)


def _flush(rng: np.random.Generator, u: Floats, v: Floats) -> Floats:
    """Return the opacity of the flush: two cheeks and often the bridge of the nose, uneven as telangiectasia is."""
    strength = rng.uniform(0.45, 0.75)
    cheeks = [
        _blob(
            u,
            v,
            side * rng.uniform(0.12, 0.15),
            rng.uniform(0.07, 0.11),
            rng.uniform(0.060, 0.080),
            rng.uniform(0.055, 0.075),
        )
        for side in (-1, 1)
    ]
    nose = _blob(u, v, 0, 0.06, 0.035, 0.06) * rng.choice([0.0, 0.8])
    waves = sum(np.sin(u * rng.uniform(60, 140) + v * rng.uniform(-90, 90) + rng.uniform(0, 6)) for _ in range(4)) / 4
    return np.asarray(np.clip(np.maximum.reduce([*cheeks, nose]) * (1 + 0.25 * waves) * strength, 0, 1))


def _blemishes(canvas: Floats, rng: np.random.Generator, u: Floats, v: Floats, face: Floats) -> Floats:
    """Add moles in both classes, so that a dark or reddish dot says nothing."""
    for _ in range(rng.integers(0, 6)):
        spot = _blob(
            u, v, rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.3), rng.uniform(0.006, 0.012), rng.uniform(0.006, 0.012)
        )
        canvas = _paint(canvas, spot * face * 0.7, np.array([110.0, 66.0, 52.0]))
    return canvas


def _features(canvas: Floats, rng: np.random.Generator, u: Floats, v: Floats, skin: Floats, hair: Floats) -> Floats:
    for side in (-1, 1):
        canvas = _paint(canvas, _ellipse(u, v, side * 0.105, -0.065, 0.05, 0.024), np.array([245.0, 243.0, 240.0]))
        canvas = _paint(canvas, _ellipse(u, v, side * 0.105, -0.065, 0.021, 0.023), rng.uniform(30, 120, 3))
        canvas = _paint(canvas, _ellipse(u, v, side * 0.105, -0.125, 0.06, 0.012) * 0.85, hair * 0.8)
        canvas = _paint(canvas, _ellipse(u, v, side * 0.02, 0.105, 0.012, 0.008), skin * 0.55)
    return _paint(
        canvas,
        _ellipse(u, v, 0, 0.215, rng.uniform(0.07, 0.1), rng.uniform(0.018, 0.032)) * 0.85,
        LIPS * rng.uniform(0.8, 1.1),
    )


def _paint(canvas: Floats, alpha: Floats, colour: Floats) -> Floats:
    return canvas * (1 - alpha[..., None]) + colour * alpha[..., None]


def _ellipse(u: Floats, v: Floats, cx: float, cy: float, rx: float, ry: float) -> Floats:
    """Return an ellipse with a soft edge: 1 inside, 0 outside."""
    radius = np.sqrt(((u - cx) / rx) ** 2 + ((v - cy) / ry) ** 2)
    return np.clip((1 - radius) * min(rx, ry) * 120 + 0.5, 0, 1)


def _blob(u: Floats, v: Floats, cx: float, cy: float, rx: float, ry: float) -> Floats:
    return np.exp(-((((u - cx) / rx) ** 2 + ((v - cy) / ry) ** 2) ** 1.5))
