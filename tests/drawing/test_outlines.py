"""Outlines of segments, for the page."""

import re

import numpy as np
import pytest
from matplotlib.path import Path
from scipy.ndimage import gaussian_filter
from skimage.segmentation import quickshift

from facelime_cli.core.faces import draw
from facelime_cli.drawing.outlines import paths, polygons


def filled(path, shape):
    """Return the pixels inside an SVG path by the rule evenodd."""
    walls = np.zeros((shape[0], shape[1] + 1), int)
    for loop in path.split("z")[:-1]:
        x, y = map(int, re.match(r"M(\d+) (\d+)", loop).groups())
        first = y
        for direction, length in re.findall(r"([hv])(-?\d+)", loop):
            x, end = (x + int(length), y) if direction == "h" else (x, y + int(length))
            walls[min(y, end) : max(y, end), x] ^= 1
            y = end
        walls[min(y, first) : max(y, first), x] ^= 1
    return (walls.cumsum(axis=1) % 2)[:, :-1].astype(bool)


@pytest.mark.parametrize("kind", ["noise", "quickshift"])
def test_outlines_hold_exactly_their_segments(kind, rng):
    """Noise has every corner that there is: holes, islands, pixels that touch by a corner."""
    segments = (
        rng.integers(0, 4, (23, 31)).astype(np.uint16)
        if kind == "noise"
        else quickshift(draw(0, 3, 96, flushed=True).image, ratio=0.2).astype(np.uint16)
    )
    for k, path in enumerate(paths(segments)):
        assert np.array_equal(filled(path, segments.shape), segments == k)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.6, 0.95])
def test_polygons_cover_a_region_once_and_have_no_holes(share, rng):
    """Each of them alone is what it holds: who reads them adds them up, and takes none away."""
    mask = gaussian_filter(rng.random((30, 40)), 1.2)
    mask = mask > np.quantile(mask, share)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    middles = np.stack([x.ravel(), y.ravel()], axis=-1)
    times = np.zeros(mask.size, int)
    for corners in polygons(mask):
        times += Path(corners[:, ::-1]).contains_points(middles)
    assert np.array_equal(times.reshape(mask.shape), mask)
    assert polygons(np.zeros((3, 3), bool)) == []
