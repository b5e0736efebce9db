"""Sheets of perturbed pictures and of feature maps."""

import numpy as np

from facelime_cli.drawing.sheets import composed, tiled


def test_perturbed_pictures_are_those_of_the_model():
    image, fill, segments = (
        np.full((2, 2, 3), 9, np.uint8),
        np.full((2, 2, 3), 4, np.uint8),
        np.array([[0, 0], [1, 1]], np.uint16),
    )
    assert composed(image, fill, segments, np.array([[True, True], [False, True]]))[..., 0].tolist() == [
        [[9, 9], [9, 9]],
        [[4, 4], [9, 9]],
    ]


def test_feature_maps_are_tiled_each_on_its_own_scale():
    values = np.zeros((1, 2, 3), np.float32)
    values[0, 1] = (1, 10, 0)
    assert tiled(values, 2).tolist() == [[0, 255, 255, 0, 255], [255] * 5, [0, 0, 255, 255, 255]]
