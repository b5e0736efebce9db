"""Figures for print."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from facelime_cli.drawing import figures, overlay


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


@pytest.mark.long
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
