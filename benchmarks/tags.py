"""Tags to plant in pictures, so that the truth of an explanation is known.

Kinds are split into two halves of their alphabetical list, by turns. This was fixed before any result was seen. Both
halves have small tags and wide ones. Defaults are chosen on the half `choose` and reported on the half `other`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Where = NDArray[np.bool_]

SIZE = 128
"""Height and width of all pictures, in pixels."""
STRONG = 0.5
"""A wide tag counts as being where it changes a picture by half of its most."""
DARK_HAIR = (45, 32, 26)
RULER_TICK, RULER_LONG_TICK = 4, 20
"""Pixels between the ticks of a ruler, and between the long ones."""


@dataclass(frozen=True)
class Tag:
    """Something to plant.

    Attributes
    ----------
    rows, columns : slice
        Where it stands in a picture of `SIZE`.
    paint : callable
        From the pixels there and a random generator to new pixels.
    covers : callable, optional
        From height and width to the pixels that count as the tag, (height, width) bool. All by default.
    """

    rows: slice
    columns: slice
    paint: Callable[[Pixels, np.random.Generator], Any]
    covers: Callable[[int, int], Where] | None = None

    def planted(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the picture with the tag."""
        place = (self.rows, self.columns)
        with_tag = image.copy()
        painted = self.paint(image[place], rng)
        with_tag[place] = np.clip(painted, 0, 255)
        return with_tag

    @property
    def truth(self) -> Where:
        """Where it stands: (SIZE, SIZE) bool."""
        where = np.zeros((SIZE, SIZE), np.bool_)
        there = where[self.rows, self.columns]
        there[:] = True if self.covers is None else self.covers(*there.shape)
        return where


def _letter(below: Pixels, _: np.random.Generator, ground: int = 235, ink: int = 20) -> Pixels:
    """Return a plate with an L on it."""
    side = len(below)
    plate = np.full_like(below, ground)
    plate[side // 5 : -side // 5, side // 4 : side // 4 + 2] = ink
    plate[-side // 5 - 2 : -side // 5, side // 4 : -side // 4] = ink
    return plate


def _checks(below: Pixels, _: np.random.Generator) -> NDArray[np.int64]:
    """Return the pixels with a fine chequered pattern that leaves their mean as it is."""
    y, x = np.mgrid[: below.shape[0], : below.shape[1]] // 2
    colour = below.mean(axis=(0, 1)).astype(np.int64)
    pattern = np.where((x + y) % 2, 60, -60)
    return np.asarray(colour + pattern[..., None])


def _tint(below: Pixels, _: np.random.Generator) -> Floats:
    """Return the pixels in a warmer colour."""
    return np.asarray(below * (1.0, 0.82, 0.55) + (12, 6, 0))


def _blurred(below: Pixels, _: np.random.Generator) -> Floats:
    """Return the pixels smoothed."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(below.astype(np.float64), (4, 4, 0), mode="nearest"))


def _checkers(below: Pixels, _: np.random.Generator) -> Pixels:
    """Return coarse checkers in black and white."""
    y, x = np.mgrid[: below.shape[0], : below.shape[1]] // 4
    board = np.where((x + y) % 2, 225, 25)
    return np.broadcast_to(board[..., None], below.shape).astype(np.uint8)


def _flat(below: Pixels, _: np.random.Generator, value: int) -> Pixels:
    """Return one grey."""
    return np.full_like(below, value)


def _ruler(below: Pixels, _: np.random.Generator) -> Pixels:
    """Return a light ruler with dark ticks, some of them long."""
    height, width = below.shape[:2]
    ruler = np.full_like(below, 222)
    ruler[height // 2 :, ::RULER_TICK] = 30
    ruler[height // 5 :, ::RULER_LONG_TICK] = 30
    assert width > RULER_LONG_TICK
    return ruler


def _stripes(below: Pixels, _: np.random.Generator) -> NDArray[np.int64]:
    """Return the pixels with oblique stripes, lighter and darker by turns."""
    y, x = np.mgrid[: below.shape[0], : below.shape[1]]
    pattern = np.where((x + y) // 3 % 2, 50, -50)
    return np.asarray(below.astype(np.int64) + pattern[..., None])


def _disc(height: int, width: int, share: float = 1.0) -> Where:
    """Return a round spot, whose diameter is a share of the side."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return np.asarray(away <= share / 2)


def _sticker(below: Pixels, _: np.random.Generator) -> Pixels:
    """Return a round blue sticker with a light rim."""
    extent = below.shape[:2]
    stuck = below.copy()
    stuck[_disc(*extent)] = (225, 228, 232)
    stuck[_disc(*extent, share=0.75)] = (50, 90, 190)
    return stuck


def _strands(height: int, width: int) -> Where:
    """Return where three thin bent hairs lie."""
    y, x = np.mgrid[:height, :width]
    along = x / width
    lies = np.zeros((height, width), np.bool_)
    for start, bend in ((0.25, 0.5), (0.45, 0.35), (0.6, -0.45)):
        centre = height * (start + bend * along**2)
        # A hair is as thick where it is steep.
        slope = 2 * bend * along * height / width
        lies |= np.abs(y - centre) <= 0.9 * np.sqrt(1 + slope**2)
    return lies


def _hair(below: Pixels, _: np.random.Generator) -> Pixels:
    """Return the pixels with hairs over them."""
    covered = below.copy()
    covered[_strands(*below.shape[:2])] = DARK_HAIR
    return covered


def _ramp(height: int, width: int, *, down: bool) -> Floats:
    """Return numbers that grow from 0 to 1, downwards or to the right."""
    grows = np.linspace(0, 1, height)[:, None] if down else np.linspace(0, 1, width)[None]
    return np.broadcast_to(grows, (height, width))


def _gradient(below: Pixels, _: np.random.Generator, *, down: bool) -> Floats:
    """Return the pixels lighter towards one side."""
    return np.asarray(below + 80 * _ramp(*below.shape[:2], down=down)[..., None])


def _side(height: int, width: int, *, down: bool) -> Where:
    """Return the half where a gradient is strong."""
    return _ramp(height, width, down=down) >= STRONG


def _distance(height: int, width: int, *, row: float, column: float) -> Floats:
    """Return the squared distance from a centre as a share of its largest value."""
    y, x = np.mgrid[:height, :width]
    squared = (y / height - row) ** 2 + (x / width - column) ** 2
    return np.asarray(squared / squared.max())


def _vignette(below: Pixels, _: np.random.Generator, *, row: float, column: float) -> Floats:
    """Return the pixels darker away from a centre."""
    away = _distance(*below.shape[:2], row=row, column=column)
    return np.asarray(below * (1 - 0.8 * away[..., None]))


def _edge(height: int, width: int, *, row: float, column: float) -> Where:
    """Return where a vignette is strong."""
    return _distance(height, width, row=row, column=column) >= STRONG


def _square(side: int, row: int, column: int) -> tuple[slice, slice]:
    """Return a square's place. Negative positions count from the far edge."""
    top, left = (at if at >= 0 else SIZE + at - side for at in (row, column))
    return slice(top, top + side), slice(left, left + side)


def _wide(paint: Callable[..., Any], covers: Callable[..., Where], **where: Any) -> Tag:
    """Return a tag over the whole picture."""
    whole = slice(0, SIZE)
    return Tag(whole, whole, partial(paint, **where), partial(covers, **where))


KINDS: dict[str, tuple[Tag, ...]] = {
    "bar": (
        Tag(slice(4, 10), slice(4, 4 + SIZE // 2), _letter),
        Tag(slice(SIZE - 12, SIZE - 6), slice(SIZE // 2 - 6, SIZE - 6), _letter),
    ),
    "blur": (Tag(*_square(44, 0, 0), _blurred), Tag(*_square(44, 40, -1), _blurred)),
    "bright": tuple(Tag(*_square(14, *at), _letter) for at in ((4, 4), (4, -5), (-5, 4))),
    "checker": tuple(Tag(*_square(16, *at), _checkers) for at in ((70, 92), (20, 24))),
    "dark": tuple(Tag(*_square(14, *at), partial(_letter, ground=0, ink=70)) for at in ((30, 12), (52, 58), (88, 100))),
    "eyes": tuple(Tag(slice(46, 62), slice(28, 100), partial(_flat, value=value)) for value in (0, 150)),
    "gradient": (_wide(_gradient, _side, down=False), _wide(_gradient, _side, down=True)),
    "hair": tuple(Tag(*_square(80, *at), _hair, _strands) for at in ((10, 10), (38, 44))),
    "ruler": (
        Tag(slice(SIZE - 14, SIZE - 4), slice(8, 80), _ruler),
        Tag(slice(6, 16), slice(44, 116), _ruler),
    ),
    "sticker": tuple(Tag(*_square(16, *at), _sticker, _disc) for at in ((84, 18), (14, 60))),
    "stripes": (Tag(*_square(26, 70, 70), _stripes), Tag(*_square(26, 18, 10), _stripes)),
    "textured": tuple(Tag(*_square(14, *at), _checks) for at in ((8, 70), (60, 20), (92, 90))),
    "tint": (Tag(*_square(28, 6, 6), _tint), Tag(*_square(28, 50, -40), _tint)),
    "vignette": (
        _wide(_vignette, _edge, row=0.5, column=0.5),
        _wide(_vignette, _edge, row=0.3, column=0.3),
    ),
}
"""Each kind in several places.

`bar`, `bright` and `dark` are plates with a letter; `textured` is a fine pattern and `checker` a coarse one; `eyes` is
a bar over the eyes of a face. `blur`, `gradient`, `hair`, `stripes`, `tint` and `vignette` change a wider area.
"""
HALVES = {"choose": tuple(sorted(KINDS))[::2], "other": tuple(sorted(KINDS))[1::2]}
FACES_ALONE = ("eyes",)
"""Kinds that make no sense elsewhere."""


def half_of(kind: str) -> str:
    """Return the half that a kind belongs to."""
    return next(half for half, kinds in HALVES.items() if kind in kinds)
