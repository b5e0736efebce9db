"""Drawn faces, whose flush is known."""

import numpy as np
import pytest

from facelime_cli.core import faces


@pytest.fixture(scope="module")
def face():
    return faces.draw(0, 1, 64, flushed=True)


class TestFaces:
    def test_the_same_face_each_time(self, face):
        again = faces.draw(0, 1, 64, flushed=True)
        assert np.array_equal(again.image, face.image)
        assert np.array_equal(again.truth, face.truth)

    def test_the_flush_is_the_only_difference(self, face):
        calm = faces.draw(0, 1, 64, flushed=False)
        assert not calm.truth.any()
        changed = np.abs(face.image.astype(int) - calm.image).max(-1) > 3
        assert 0.01 < face.truth.mean() < 0.12
        assert (changed & (face.truth == 1)).sum() > 0.9 * face.truth.sum()
        assert changed.mean() < 3 * face.truth.mean()

    def test_nothing_but_the_flush_tells_the_classes_apart(self):
        """Brightness of the frame, away from the face, says nothing of the class."""
        drawn = [faces.draw(0, i, 48, flushed=i % 2 == 1).image for i in range(200)]
        edge = np.array([np.concatenate([each[:4].ravel(), each[:, :4].ravel()]).mean() for each in drawn])
        assert abs(edge[::2].mean() - edge[1::2].mean()) < 3 * edge.std() / np.sqrt(100)
