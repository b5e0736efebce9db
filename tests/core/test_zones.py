"""Named regions: where they lie on faces whose parts are known, and how segments are mapped to them."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from facelime_cli.core import faces, operations, superpixels, zones

SIZE = 96
"""At this size the detector finds no face in the drawn faces 0 to 6: their zones lie as in a cropped picture."""


def middle(found, name, kind="face"):
    """Return the middle of a zone, down and across."""
    return np.argwhere(found.zones == zones.NAMES[kind].index(name) + 1).mean(axis=0)


@pytest.fixture(scope="module")
def astronaut():
    """A photograph in which the detector finds a face."""
    return zones.find(skimage.data.astronaut(), "face")


class TestFace:
    @pytest.mark.parametrize("number", [1, 3, 5])
    def test_the_flush_of_a_drawn_face_lies_on_cheeks_and_nose(self, number):
        face = faces.draw(0, number, SIZE, flushed=True)
        found = zones.find(face.image, "face")
        assert not found.sure
        on = np.isin(
            found.zones[face.truth == 1],
            [zones.NAMES["face"].index(name) + 1 for name in ("nose", "right cheek", "left cheek")],
        )
        assert on.mean() > 0.75

    @pytest.mark.parametrize("number", range(7))
    def test_parts_of_a_drawn_face_lie_where_they_are_drawn(self, number):
        found = zones.find(faces.draw(0, number, SIZE, flushed=False).image, "face")
        places = {name: middle(found, name) for name in zones.NAMES["face"]}
        down = [places[name][0] for name in ("forehead", "nose", "chin")]
        assert down == sorted(down)
        assert places["forehead"][0] < 0.4 * SIZE
        assert places["chin"][0] > 0.75 * SIZE

    def test_left_is_the_persons(self, astronaut):
        assert middle(astronaut, "left cheek")[1] > middle(astronaut, "nose")[1] > middle(astronaut, "right cheek")[1]

    def test_a_face_that_is_found_carries_its_zones_along(self, astronaut):
        assert astronaut.sure
        top, left, bottom, right = operations.detect_face(skimage.data.astronaut())
        y, x = middle(astronaut, "nose")
        assert top < y < bottom
        assert abs(x - (left + right) / 2) < 0.05 * (right - left)
        moved = zones.find(np.roll(skimage.data.astronaut(), (40, -60), axis=(0, 1)), "face")
        assert np.abs(middle(moved, "nose") - (y + 40, x - 60)).max() < 4

    def test_without_a_face_the_picture_is_taken_for_a_cropped_one(self):
        plain = np.asarray(Image.effect_noise((200, 200), 5).convert("RGB"))
        found = zones.find(plain, "face")
        assert not found.sure
        cropped = operations.prepare(skimage.data.astronaut(), operations.Operations(200, crop_face=True))
        seen = zones.find(cropped.image, "face")
        assert seen.sure
        for name in zones.NAMES["face"]:
            assert np.abs(middle(seen, name) - middle(found, name)).max() < 20


def test_lungs_are_six_zones_of_one_size_with_left_on_the_right():
    found = zones.find(np.zeros((224, 224, 3), np.uint8), "lungs")
    assert found.sure
    sizes = np.bincount(found.zones.ravel(), minlength=7)
    assert len(zones.NAMES["lungs"]) == 6
    assert np.ptp(sizes[1:]) <= 0.05 * sizes[1:].mean()
    for height in ("upper", "middle", "lower"):
        right, left = (middle(found, f"{side} {height} lung", "lungs") for side in ("right", "left"))
        assert right[1] < 112 < left[1]
        assert right[0] == left[0]
    assert (
        middle(found, "left upper lung", "lungs")[0]
        < middle(found, "left middle lung", "lungs")[0]
        < middle(found, "left lower lung", "lungs")[0]
    )


@pytest.mark.parametrize("kind", zones.NAMES)
def test_zones_as_segments_have_the_zones_numbers(kind):
    face = faces.draw(0, 1, SIZE, flushed=True).image
    labels = superpixels.segment(face, "zones", {"zones": kind})
    assert np.array_equal(labels, zones.find(face, kind).zones)


class TestOverlap:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls):
        face = faces.draw(0, 1, SIZE, flushed=True).image
        labels = superpixels.segment(face, "slic", {"segments": 50, "compactness": 20.0, "sigma": 1.0})
        return labels, zones.find(face, "face").zones

    def test_is_the_share_of_pixels(self, found):
        labels, named = found
        shares = zones.overlap(labels, named, 5)
        assert shares.shape == (int(labels.max()) + 1, 5)
        assert shares.dtype == np.float64
        assert (shares.sum(axis=1) <= 1 + 1e-12).all()
        assert shares.max() > 0.5
        for k in (0, 7, int(labels.max())):
            for z in range(1, 6):
                assert shares[k, z - 1] == pytest.approx((named[labels == k] == z).mean())

    def test_a_zone_that_is_not_in_the_picture_has_no_share(self):
        shares = zones.overlap(np.array([[0, 1]], np.uint16), np.array([[1, 0]], np.uint8), 3)
        assert shares.tolist() == [[1, 0, 0], [0, 0, 0]]

    def test_zones_as_segments_get_their_own_coefficients(self, found):
        _, named = found
        shares = zones.overlap(named.astype(np.uint16), named, 5)
        coefficients = np.array([[0.5, 0.1, -0.2, 0.3, 0.0, 0.4]])
        assert np.allclose(zones.attribution_by_zone(coefficients, shares), coefficients[:, 1:])

    def test_nothing_is_lost_or_made(self, found, rng):
        labels, named = found
        coefficients = rng.normal(size=(3, int(labels.max()) + 1))
        shares = zones.overlap(labels, named, 5)
        inside, outside = zones.attribution_by_zone(coefficients, shares), coefficients @ (1 - shares.sum(axis=1))
        assert np.allclose(inside.sum(axis=1) + outside, coefficients.sum(axis=1))
