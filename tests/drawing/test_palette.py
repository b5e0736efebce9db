"""One palette for every chart, figure and overlay."""

import re
from pathlib import Path

import pytest

import facelime_cli.drawing
from facelime_cli.drawing import palette

MODULES = [path for path in Path(facelime_cli.drawing.__file__).parent.glob("*.py") if path.name != "palette.py"]
NAMED = re.compile(r"#[0-9A-Fa-f]{6}\b")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_other_module_writes_a_colour_of_its_own(path):
    assert NAMED.findall(path.read_text()) == []


def test_the_test_above_can_fail():
    assert len(NAMED.findall(Path(palette.__file__).read_text())) > 8


@pytest.mark.parametrize("colours", [palette.BARS, palette.LINES])
def test_no_two_bars_or_lines_have_one_colour(colours):
    assert len(set(colours)) == len(colours) == 8


def test_a_text_that_is_no_colour_is_an_error():
    with pytest.raises(ValueError, match="hexadecimal"):
        palette.rgb("vermilion")
