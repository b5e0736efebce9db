"""Text and marks of every page stand out from their ground as WCAG 2.2 AA asks, by day and in the dark."""

import re
from importlib.resources import files

import pytest

from facelime_cli.drawing import palette
from tests.drawing.seeing import contrast

TEXT, MARKS = 4.5, 3.0
"""Least ratios of success criteria 1.4.3 and 1.4.11."""
ON = ("ink", "soft", "accent", "good", "doubt", "towards", "against")
"""Colours of text, see `report.css`."""
GROUNDS = ("paper", "wash")


def schemes():
    """Return the colours of both schemes, by what `report.css` calls them."""
    style = files("facelime_cli.reporting").joinpath("templates/report.css").read_text(encoding="utf-8")
    found = {}
    for name, block in zip(("light", "dark"), re.findall(r":root \{(.*?)\}", style, re.DOTALL), strict=True):
        found[name] = {each: palette.rgb(_long(value)) for each, value in re.findall(r"--(\w+): (#\w+)", block)}
    return found


def _long(value):
    return value if len(value) == len("#rrggbb") else "#" + "".join(2 * each for each in value[1:])


SCHEMES = schemes()
schemes_too = pytest.mark.parametrize("scheme", SCHEMES)


@schemes_too
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("text", ON)
def test_text_stands_out(scheme, ground, text):
    assert contrast(SCHEMES[scheme][text], SCHEMES[scheme][ground]) >= TEXT


@schemes_too
def test_bars_stand_out(scheme):
    for mark in (palette.TOWARDS, palette.AGAINST):
        assert contrast(mark, SCHEMES[scheme]["paper"]) >= MARKS


def test_outlines_stand_out_on_the_paper_of_a_pale_map():
    style = files("facelime_cli.reporting").joinpath("templates/explanation.css").read_text(encoding="utf-8")
    outlines = re.findall(r"\.r\.[ta] \{ stroke: (#\w{6})", style)
    assert len(outlines) == 2
    for each in outlines:
        assert contrast(palette.rgb(each), palette.MIDDLE) >= MARKS


def test_both_schemes_name_the_same_colours():
    assert SCHEMES["light"].keys() == SCHEMES["dark"].keys() == {*ON, *GROUNDS, "line"}


def test_the_tests_above_can_fail():
    # Lines between rows are decoration.
    assert contrast(SCHEMES["light"]["line"], SCHEMES["light"]["paper"]) < MARKS
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
