"""Which segments are strongest, and how much lies where it should."""

import numpy as np
import pytest

from facelime_cli.core import attribution


def test_strongest_first_and_never_zero():
    coefficients = np.array([0.2, -0.4, 0.0, 0.1])
    assert attribution.strongest(coefficients, 9).tolist() == [1, 0, 3]
    assert attribution.strongest(coefficients, 1).tolist() == [1]


def test_overlap_counts_pixels_and_only_what_speaks_for_the_class():
    segments = np.repeat(np.repeat(np.arange(4, dtype=np.uint16), 5)[None], 10, 0)
    truth = np.zeros((10, 20), np.uint8)
    truth[:5, :5] = truth[:, 15:] = 1
    found = attribution.overlap(np.array([0.3, -0.9, 0.1, 0.0]), segments, truth)
    assert found.on_truth == pytest.approx(0.3 * 0.5 / 0.4)
    assert found.by_chance == pytest.approx((0.5 + 1) / 4)
    assert found.pointing == 0.5
    assert attribution.overlap(np.array([-1.0, -1, -1, -1]), segments, truth) is None
