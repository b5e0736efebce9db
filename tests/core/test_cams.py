"""Maps of importance against their definitions, in numpy alone."""

import numpy as np
import pytest

from facelime_cli.core import cams


def relu(values):
    return np.maximum(values, 0)


def test_gradcam_plus_plus(rng):
    a, g = relu(rng.normal(size=(4, 5, 3))), rng.normal(size=(4, 5, 3))
    expected = np.zeros((4, 5))
    for k in range(3):
        total, weight = a[..., k].sum(), 0.0
        for value in g[..., k].ravel():
            weight += value**2 / (2 * value**2 + total * value**3) * max(value, 0)
        expected += weight * a[..., k]
    assert cams.gradcam_plus_plus(a, g) == pytest.approx(relu(expected), rel=1e-9)


def test_eigencam_is_the_main_component(rng):
    place = relu(rng.normal(size=(4, 5)))
    maps = place[..., None] * np.array([1.0, 2.0, -0.5]) + 1e-6 * rng.normal(size=(4, 5, 3))
    found = cams.eigencam(maps, maps)
    assert found / found.max() == pytest.approx(place / place.max(), abs=1e-4)
