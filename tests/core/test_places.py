"""Regions have the name of a zone or of a place, and a pixel deep inside them."""

import numpy as np

from facelime_cli.core.places import PLACES, deepest, names, places


def thirds():
    """Nine squares of four pixels, row after row."""
    return np.kron(np.arange(9).reshape(3, 3), np.ones((4, 4), int)).astype(np.uint16)


def test_nine_squares_have_the_nine_names():
    assert places(thirds()) == [name for row in PLACES for name in row]
    assert len({name for row in PLACES for name in row}) == 9


def test_a_picture_that_is_not_square_is_divided_by_its_own_sides():
    assert places(np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2]], np.uint16)) == ["left", "middle", "right"]


def test_a_zone_needs_half_of_the_region():
    shares = np.array([[0.5, 0.4], [0.49, 0.49]] + [[0.0, 1.0]] * 7)
    assert names(thirds(), shares, ["nose", "left cheek"])[:3] == ["nose", "top of the picture", "left cheek"]
    assert names(thirds(), None, []) == places(thirds())


def test_the_deepest_pixel_of_a_bent_region_is_its_own():
    ring = np.zeros((9, 9), np.uint16)
    ring[3:6, 3:6] = 1
    found = deepest(ring)
    assert [ring[spot] for spot in found] == [0, 1]
    assert found[1] == (4, 4)
