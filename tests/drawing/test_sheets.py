"""Sheets of feature maps."""

import numpy as np

from facelime_cli.drawing.sheets import tiled


def test_feature_maps_are_tiled_each_on_its_own_scale():
    values = np.zeros((1, 2, 3), np.float32)
    values[0, 1] = (1, 10, 0)
    assert tiled(values, 2).tolist() == [[0, 255, 255, 0, 255], [255] * 5, [0, 0, 255, 255, 255]]
