"""Arrays that show an explanation on its picture."""

import numpy as np

from facelime_cli.drawing import overlay


class TestOverlay:
    coefficients = np.array([0.2, -0.4, 0.0, 0.1])
    segments = np.repeat(np.repeat(np.arange(4, dtype=np.uint16), 5)[None], 10, 0)
    image = np.full((10, 20, 3), 120, np.uint8)

    def test_towards_is_vermilion_and_against_blue(self):
        drawn = overlay.towards_against(self.image, self.segments, self.coefficients, 2)
        assert drawn[5, 2, 0] > drawn[5, 2, 2]
        assert drawn[5, 7, 2] > drawn[5, 7, 0]
        assert len(set(drawn[5, 12].tolist())) == 1
        assert len(set(drawn[5, 17].tolist())) == 1

    def test_heatmap_is_in_points(self):
        assert np.allclose(overlay.heatmap(self.segments, self.coefficients)[0, ::5], [20, -40, 0, 10])
