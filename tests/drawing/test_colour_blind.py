"""Readers who are colour-blind tell the colours of a page, a chart and a figure apart, by simulation."""

from itertools import combinations

import pytest

from facelime_cli.drawing import palette
from facelime_cli.drawing.overlay import colour
from tests.drawing.seeing import KINDS, difference

CLEAR = 10.0
"""CIEDE2000 that is seen at a glance; 2.3 is just noticeable."""
FARTHEST = 35.0
"""Of the ends of the scale from each other and from its middle."""

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_for_against_and_nothing_are_three_colours(kind):
    colours = palette.TOWARDS, palette.AGAINST, palette.MIDDLE
    assert min(difference(*pair, kind) for pair in combinations(colours, 2)) > FARTHEST


@kinds
@pytest.mark.parametrize("share", [0.15, 0.3, 0.6, 1.0])
def test_a_weak_region_has_a_sign_already(kind, share):
    assert difference(colour(share, 1.0), colour(-share, 1.0), kind) > CLEAR


@kinds
def test_the_stronger_is_the_farther_from_the_middle(kind):
    for sign in (1, -1):
        far = [difference(colour(sign * share, 1.0), palette.MIDDLE, kind) for share in (0.1, 0.25, 0.5, 0.75, 1.0)]
        assert far == sorted(far)


@kinds
def test_no_two_bars_look_alike(kind):
    pairs = combinations(map(palette.rgb, palette.BARS), 2)
    assert min(difference(*pair, kind) for pair in pairs) > CLEAR


@kinds
def test_no_two_of_seven_lines_look_alike(kind):
    pairs = combinations(map(palette.rgb, palette.LINES[:7]), 2)
    assert min(difference(*pair, kind) for pair in pairs) > CLEAR


def test_the_tests_above_can_fail():
    # Green for and red against is what the `lime` package draws, and what is drawn only on request.
    assert difference(palette.LIME_FOR, palette.LIME_AGAINST, "deuteranopia") < CLEAR
    assert difference(palette.LIME_FOR, palette.LIME_AGAINST, "tritanopia") > FARTHEST
