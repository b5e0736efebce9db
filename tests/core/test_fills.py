"""Fills: each by hand on a small picture."""

import numpy as np
import pytest

from facelime_cli import choices
from facelime_cli.core import faces, fills, superpixels
from facelime_cli.core.masks import key_of

HEIGHT, WIDTH = 6, 10


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def halves():
    return np.repeat((np.arange(WIDTH) >= WIDTH // 2).astype(np.uint16)[None], HEIGHT, 0)


@pytest.fixture(scope="module")
def face():
    """A drawn face and its segments."""
    drawn = faces.draw(0, 1, 64, flushed=True).image
    return drawn, superpixels.segment(drawn, "slic", {"segments": 20, "compactness": 10.0, "sigma": 0.0})


@pytest.mark.parametrize("name", choices.FILLS)
def test_a_fill_is_a_picture_of_the_same_size_and_leaves_the_picture_alone(name, image, halves):
    settings = {"colour": (1, 2, 3), "sigma": 2.0, "key": 5, "picture": image[::-1]}
    before, need = image.copy(), choices.FILLS[name].needs
    found = choices.FILLS[name].load()(image, halves, **({need: settings[need]} if need else {}))
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
    assert np.array_equal(image, before)


def test_one_colour_everywhere(image, halves):
    assert set(fills.black(image, halves).ravel().tolist()) == {0}
    assert set(fills.grey(image, halves).ravel().tolist()) == {128}
    assert np.unique(fills.dataset_mean(image, halves, colour=(129, 107, 96)).reshape(-1, 3), axis=0).tolist() == [
        [129, 107, 96]
    ]


def test_another_picture(image, halves):
    assert np.array_equal(fills.other_picture(image, halves, picture=image[::-1]), image[::-1])


def test_mean_fill_is_limes(face):
    image, labels = face
    theirs = image.copy()
    for x in np.unique(labels):
        theirs[labels == x] = tuple(np.mean(image[labels == x][:, channel]) for channel in range(3))
    assert np.array_equal(fills.mean(image, labels), theirs)


def test_a_fill_that_changes_nothing_is_noticed():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 2:4] = np.arange(8, dtype=np.uint8).reshape(4, 2, 1)
    image[:, 4:] = 200
    labels = np.repeat(np.repeat(np.arange(3, dtype=np.uint16), 2)[None], 4, 0)
    assert fills.unchanged(image, fills.mean(image, labels), labels).tolist() == [True, False, True]
    assert fills.unchanged(image, fills.black(image, labels), labels).tolist() == [True, False, False]


class TestBlur:
    def test_is_the_gaussian_average_of_the_pixels(self, image, halves):
        found = fills.blur(image, halves, sigma=0.8)
        weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 0.8**2))
        weights /= weights.sum()
        around = np.pad(image.astype(float), ((3, 3), (3, 3), (0, 0)), mode="edge")
        for y, x, channel in ((0, 0, 0), (3, 4, 1), (5, 9, 2)):
            by_hand = weights @ around[y : y + 7, x : x + 7, channel] @ weights
            assert found[y, x, channel] == round(by_hand)

    def test_does_not_mix_colours_and_leaves_a_flat_picture(self, halves):
        flat = np.full((HEIGHT, WIDTH, 3), (10, 120, 250), np.uint8)
        assert np.array_equal(fills.blur(flat, halves, sigma=5.0), flat)

    def test_an_object_of_a_segments_size_keeps_a_third_of_its_contrast(self):
        size, side = 224, round(224 / np.sqrt(40))
        image, start = np.zeros((size, size, 3), np.uint8), (size - side) // 2
        image[start : start + side, start : start + side] = 240
        middle = fills.blur(image, np.zeros((size, size), np.uint16), sigma=fills.BLUR_SHARE * size)[
            size // 2, size // 2, 0
        ]
        assert 0.3 < middle / 240 < 0.35


class TestInpaint:
    def test_a_surface_that_is_biharmonic_goes_on(self):
        """A plane is its own inpainting, wherever a segment is surrounded."""
        y, x = np.mgrid[:24, :24]
        plane = np.stack([20 + 4 * y + 3 * x, 200 - 5 * y, 100 + 2 * x], axis=-1).astype(np.uint8)
        segments = np.zeros((24, 24), np.uint16)
        segments[5:12, 4:11], segments[14:20, 10:19] = 1, 2
        found = fills.inpaint(plane, segments)
        assert np.array_equal(found[segments > 0], plane[segments > 0])

    def test_uses_no_pixel_of_its_own_segment(self, face, rng):
        image, segments = face
        before = fills.inpaint(image, segments)
        for k in range(0, int(segments.max()) + 1, 4):
            changed = image.copy()
            changed[segments == k] = rng.integers(0, 256, (int((segments == k).sum()), 3), dtype=np.uint8)
            after = fills.inpaint(changed, segments)
            assert np.array_equal(after[segments == k], before[segments == k])
            assert not np.array_equal(after[segments != k], before[segments != k])

    def test_keeps_within_the_pixels_around(self, face):
        image, segments = face
        found = fills.inpaint(image, segments)
        for k in range(int(segments.max()) + 1):
            others = image[segments != k]
            assert (found[segments == k] >= others.min(axis=0)).all()
            assert (found[segments == k] <= others.max(axis=0)).all()

    def test_a_segment_in_pieces_and_one_at_the_edge(self, image):
        segments = np.zeros((HEIGHT, WIDTH), np.uint16)
        segments[:, 0] = segments[2:4, 5] = 1
        assert fills.inpaint(image, segments).shape == image.shape


class TestNoise:
    def test_the_same_bits_always(self, image, halves):
        found = fills.noise(image, halves, key=key_of(0, "a", "fill"))
        assert found[0, :2].tolist() == GOLDEN
        assert np.array_equal(found, fills.noise(image[::-1], halves, key=key_of(0, "a", "fill")))

    def test_pictures_and_seeds_differ(self, image, halves):
        made = [
            fills.noise(image, halves, key=key_of(seed, picture, "fill")).tobytes()
            for seed, picture in ((0, "a"), (1, "a"), (0, "b"))
        ]
        assert len(set(made)) == 3

    def test_every_value_is_alike(self):
        found = fills.noise(np.zeros((200, 201, 3), np.uint8), np.zeros((200, 201), np.uint16), key=7)
        counts = np.bincount(found.ravel(), minlength=256)
        assert counts.min() > 0.75 * counts.mean()
        assert counts.max() < 1.25 * counts.mean()
        assert abs(np.corrcoef(found[..., 0].ravel(), found[..., 1].ravel())[0, 1]) < 0.02


GOLDEN = [[98, 24, 156], [85, 212, 179]]
