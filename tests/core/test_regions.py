"""Label maps: merging what is too small, and figures of a segmentation."""

import numpy as np

from facelime_cli.core import regions


def test_merging_is_what_it_says(rng):
    """Against the rule written down without any bookkeeping."""
    image = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    start = regions.numbered(rng.integers(0, 30, (12, 12)))
    labels = start.copy()
    while True:
        values, sizes = np.unique(labels, return_counts=True)
        if sizes.min() >= 9:
            break
        k = values[np.lexsort((values, sizes))[0]]
        rims = np.concatenate(
            [[a.ravel(), b.ravel()] for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:]))],
            axis=1,
        )
        near = sorted(set(rims[1][rims[0] == k].tolist()) | set(rims[0][rims[1] == k].tolist()) - {k})
        means = {each: image[labels == each].mean(axis=0) for each in [*near, k]}
        labels[labels == k] = min(
            (each for each in near if each != k), key=lambda each: ((means[each] - means[k]) ** 2).sum()
        )
    assert np.array_equal(regions.numbered(regions.merged(image, start, 9)), regions.numbered(labels))


def test_quartiles():
    labels = np.repeat(np.arange(5), [1, 2, 3, 4, 10])[None]
    assert regions.size_quartiles(labels).tolist() == [2, 3, 4]


def test_recall_tolerates_two_pixels_and_no_more():
    reference = np.repeat([[0, 1]], [20, 20], axis=1).repeat(30, axis=0)
    for shift, expected in ((0, 1.0), (2, 1.0), (-2, 1.0), (3, 0.0), (-3, 0.0)):
        assert (
            regions.boundary_recall(np.repeat([[0, 1]], [20 + shift, 20 - shift], axis=1).repeat(30, axis=0), reference)
            == expected
        )
    half = np.where(np.arange(30)[:, None] < 15, reference, 0)
    assert 0.5 <= regions.boundary_recall(half, reference) < 0.6
    assert np.isnan(regions.boundary_recall(reference, np.zeros((30, 40), int)))
