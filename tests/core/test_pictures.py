"""Segments, fills, splits, drawn faces and overlays."""

import re

import numpy as np
import pytest
from skimage.segmentation import quickshift

from facelime_cli.core import attribution, faces, fills, splits, superpixels
from facelime_cli.drawing import overlay
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


class TestSplits:
    @pytest.mark.parametrize("seed", range(6))
    def test_no_group_is_cut_and_every_class_near_its_share(self, seed):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(300), rng.integers(1, 8, 300))
        labels = (rng.random(300) < 0.3).astype(int)[groups]
        part = splits.divide(labels.tolist(), [str(g) for g in groups], (0.7, 0.2, 0.1), seed)
        assert all(len(set(part[groups == g])) == 1 for g in range(300))
        for label in (0, 1):
            shares = np.bincount(part[labels == label], minlength=3) / (labels == label).sum()
            assert np.abs(shares - (0.7, 0.2, 0.1)).max() < 0.02

    def test_a_part_of_no_share_stays_empty(self):
        assert set(splits.divide([0, 1] * 20, [str(i) for i in range(40)], (0, 0, 100), 0).tolist()) == {2}

    def test_the_seed_decides(self):
        found = [splits.divide([0] * 50, [str(i) for i in range(50)], (0.5, 0.5), seed).tolist() for seed in (0, 0, 1)]
        assert found[0] == found[1] != found[2]

    @pytest.mark.parametrize(
        ("name", "patient"),
        [
            ("person12_bacteria_3", "person12"),
            ("person12_virus_4", "person12"),
            ("IM-0115-0001", "IM-0115"),
            ("NORMAL2-IM-0115-0001", "NORMAL2-IM-0115"),
            ("BACTERIA-30629-0001", "BACTERIA-30629"),
            ("NORMAL-28501-0001", "NORMAL-28501"),
        ],
    )
    def test_the_kermany_pattern(self, name, patient):
        assert re.search(splits.GROUP_PATTERNS["kermany"], name)[1] == patient


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


class TestOverlay:
    coefficients = np.array([0.2, -0.4, 0.0, 0.1])
    segments = np.repeat(np.repeat(np.arange(4, dtype=np.uint16), 5)[None], 10, 0)
    image = np.full((10, 20, 3), 120, np.uint8)

    def test_strongest_first_and_never_zero(self):
        assert attribution.strongest(self.coefficients, 9).tolist() == [1, 0, 3]
        assert attribution.strongest(self.coefficients, 1).tolist() == [1]

    def test_towards_is_vermilion_and_against_blue(self):
        drawn = overlay.towards_against(self.image, self.segments, self.coefficients, 2)
        assert drawn[5, 2, 0] > drawn[5, 2, 2]
        assert drawn[5, 7, 2] > drawn[5, 7, 0]
        assert len(set(drawn[5, 12].tolist())) == 1
        assert len(set(drawn[5, 17].tolist())) == 1

    def test_heatmap_is_in_points(self):
        assert np.allclose(overlay.heatmap(self.segments, self.coefficients)[0, ::5], [20, -40, 0, 10])


def test_overlap_counts_pixels_and_only_what_speaks_for_the_class():
    segments = np.repeat(np.repeat(np.arange(4, dtype=np.uint16), 5)[None], 10, 0)
    truth = np.zeros((10, 20), np.uint8)
    truth[:5, :5] = truth[:, 15:] = 1
    found = attribution.overlap(np.array([0.3, -0.9, 0.1, 0.0]), segments, truth)
    assert found.on_truth == pytest.approx(0.3 * 0.5 / 0.4)
    assert found.by_chance == pytest.approx((0.5 + 1) / 4)
    assert found.pointing == 0.5
    assert attribution.overlap(np.array([-1.0, -1, -1, -1]), segments, truth) is None
