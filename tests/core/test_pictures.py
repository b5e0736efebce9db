"""Segments of two methods, and fills, on a drawn face."""

import numpy as np
import pytest
from skimage.segmentation import quickshift

from facelime_cli.core import faces, fills, superpixels
from facelime_cli.errors import FacelimeError

QUICKSHIFT = {"kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0}
SLIC = {"segments": 20, "compactness": 10.0, "sigma": 0.0}


@pytest.fixture(scope="module")
def face():
    return faces.draw(0, 1, 64, flushed=True)


@pytest.mark.parametrize(("method", "parameters"), [("quickshift", QUICKSHIFT), ("slic", SLIC)])
def test_segments_are_gap_free_and_the_same_bits_each_time(face, method, parameters):
    labels = superpixels.segment(face.image, method, parameters)
    assert labels.dtype == np.uint16
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()
    assert np.array_equal(labels, superpixels.segment(face.image.copy(), method, parameters))


def test_quickshift_is_limes(face):
    theirs = quickshift(face.image, kernel_size=4, max_dist=200, ratio=0.2)
    ours = superpixels.segment(face.image, "quickshift", QUICKSHIFT)
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(theirs)) == ours.max() + 1


def test_one_region_is_an_error_with_a_remedy():
    with pytest.raises(FacelimeError, match=r"only one region.*--segments"):
        superpixels.segment(
            np.full((40, 40, 3), 7, np.uint8),
            "quickshift",
            {"kernel_size": 20.0, "max_dist": 1000.0, "ratio": 0.2, "sigma": 0.0},
        )


def test_too_many_regions_are_an_error(rng):
    with pytest.raises(FacelimeError, match="more than 4096"):
        superpixels.segment(
            rng.integers(0, 256, (120, 120, 3), dtype=np.uint8),
            "quickshift",
            {"kernel_size": 1.0, "max_dist": 1.0, "ratio": 1.0, "sigma": 0.0},
        )


def test_mean_fill_is_limes(face):
    labels = superpixels.segment(face.image, "slic", SLIC)
    theirs = face.image.copy()
    for x in np.unique(labels):
        theirs[labels == x] = tuple(np.mean(face.image[labels == x][:, channel]) for channel in range(3))
    assert np.array_equal(fills.mean(face.image, labels), theirs)


def test_a_fill_that_changes_nothing_is_noticed():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 2:4] = np.arange(8, dtype=np.uint8).reshape(4, 2, 1)
    image[:, 4:] = 200
    labels = np.repeat(np.repeat(np.arange(3, dtype=np.uint16), 2)[None], 4, 0)
    assert fills.unchanged(image, fills.mean(image, labels), labels).tolist() == [True, False, True]
    assert fills.unchanged(image, fills.black(image, labels), labels).tolist() == [True, False, False]
