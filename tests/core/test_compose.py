"""Perturbed pictures in NumPy."""

import numpy as np

from facelime_cli.core.compose import composed


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
