"""Plates for print."""

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from facelime_cli.drawing import figures, plates

SIDE = 24


@pytest.fixture
def plate(tmp_path):
    segments = (np.arange(SIDE)[:, None] // 12 * 2 + np.arange(SIDE)[None] // 12).astype(np.uint16)
    coefficients = np.array([0.4, -0.2, 0.05, 0.0])
    interval = np.stack([coefficients - 0.1, coefficients + 0.1], axis=-1)

    def made(style, n, columns, endings, dots=60):
        panels = [
            figures.Panel(
                draw(0, number, SIDE, flushed=True).image,
                segments,
                coefficients,
                interval,
                None,
                3,
                50.0,
                style,
                ("a $class$ 图", "probability points"),
                (),
                dots_per_inch=dots,
            )
            for number in range(n)
        ]
        titles = [(f"({number}) a $class$ 图 98.0 %", "strong") for number in range(n)]
        return plates.Plate(panels, titles, columns, tuple(tmp_path / f"plate.{ending}" for ending in endings))

    return made


@pytest.mark.parametrize("style", list(figures.STYLES))
def test_the_same_plate_is_the_same_file(style, plate):
    files = []
    for _ in range(2):
        one = plate(style, 3, 2, ("png", "svg", "pdf"))
        plates.draw(one)
        files.append([path.read_bytes() for path in one.files])
    assert files[0] == files[1]
    assert b"<svg" in files[0][1]
    assert files[0][2].startswith(b"%PDF")


def test_every_style_has_a_cell():
    assert set(plates.CELLS) == set(figures.STYLES)


def test_dots_per_inch_are_those_that_were_asked_for(plate):
    widths = []
    for dots in (50, 100):
        one = plate("lime", 2, 2, ("png",), dots)
        plates.draw(one)
        with Image.open(one.files[0]) as picture:
            assert round(picture.info["dpi"][0]) == dots
            widths.append(picture.width)
    assert widths == [round(50 * plates.WIDTH_INCHES), round(100 * plates.WIDTH_INCHES)]


def test_a_plate_of_few_pictures_keeps_the_size_of_its_cells(plate):
    sizes = []
    for n in (2, 4):
        one = plate("lime", n, 4, ("png",))
        plates.draw(one)
        with Image.open(one.files[0]) as picture:
            sizes.append(picture.size)
    assert sizes[0] == (sizes[1][0] // 2, sizes[1][1])


@pytest.mark.parametrize("columns", [1, 4, 12])
@pytest.mark.parametrize("sides", [(224, 224), (300, 100), (100, 300)])
def test_a_full_plate_is_no_higher_than_a_page_has_room_for(columns, sides):
    rows, rest = divmod(plates.room(columns, sides, 2), columns)
    assert rest == 0
    high = rows * (plates.WIDTH_INCHES / columns * sides[0] / sides[1] + 2 * plates.TITLE_INCHES)
    assert rows == 1 or high + plates.BELOW_INCHES <= plates.HEIGHT_INCHES
