"""Figures for print, outlines for the page, and pictures of a terminal."""

import re

import numpy as np
import pytest
from PIL import Image
from skimage.segmentation import quickshift

from facelime_cli.core.faces import draw
from facelime_cli.drawing import figures, overlay
from facelime_cli.drawing.outlines import paths


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


@pytest.fixture
def panel(tmp_path):
    face = draw(0, 1, 48, flushed=True)
    segments = (np.arange(48)[:, None] // 12 * 4 + np.arange(48)[None] // 12).astype(np.uint16)
    coefficients = np.linspace(-0.2, 0.4, 16)
    interval = np.stack([coefficients - 0.1, coefficients + 0.1], axis=-1)

    def made(style, endings):
        files = tuple(tmp_path / f"figure.{ending}" for ending in endings)
        return figures.Panel(
            face.image,
            segments,
            coefficients,
            interval,
            face.truth,
            5,
            50.0,
            style,
            ("a $class$ 图", "probability points"),
            files,
        )

    return made


@pytest.mark.parametrize("style", list(figures.STYLES))
def test_the_same_figure_is_the_same_file(style, panel):
    files = []
    for _ in range(2):
        figures.draw(panel(style, ("png", "svg", "pdf")))
        files.append([path.read_bytes() for path in panel(style, ("png", "svg", "pdf")).files])
    assert files[0] == files[1]
    with Image.open(panel(style, ("png",)).files[0]) as picture:
        assert round(picture.info["dpi"][0]) == 300
        assert picture.width > 2000


def test_uncertain_segments_are_those_whose_interval_holds_zero(panel):
    coefficients = panel("facelime", ()).coefficients
    assert panel("facelime", ()).unsure.tolist() == (abs(coefficients) <= 0.1).tolist()


def test_only_the_strongest_stay_bright(panel):
    one = panel("facelime", ())
    shown = overlay.kept(one.image, one.segments, one.strongest)
    inside = np.isin(one.segments, one.strongest)
    assert np.array_equal(shown[inside], one.image[inside])
    assert shown[~inside].max() <= one.image.max() * overlay.DIMMED
