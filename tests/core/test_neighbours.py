"""The nearest unlike neighbour against a search by hand."""

import numpy as np
import pytest

from facelime_cli.core import neighbours
from facelime_cli.core.neighbours import nearest_unlike, thumbnails


@pytest.mark.parametrize("size", [16, 17, 40, 61])
def test_thumbnails_are_mean_colours(size, rng):
    images = rng.integers(0, 256, (3, size, size, 3), np.uint8)
    found = thumbnails(images).reshape(3, 16, 16, 3)
    borders = [i * size // 16 for i in range(17)]
    for y, x in ((0, 0), (7, 3), (15, 15)):
        cell = images[1, borders[y] : borders[y + 1], borders[x] : borders[x + 1]].reshape(-1, 3)
        assert np.abs(found[1, y, x] - cell.mean(axis=0)).max() <= 0.5


def test_against_a_search_by_hand(rng, monkeypatch):
    monkeypatch.setattr(neighbours, "AT_ONCE", 7)
    n = 60
    thumbs, classes, groups = (
        rng.integers(0, 256, (n, 5)),
        rng.integers(-1, 3, n).astype(np.int16),
        rng.integers(0, 20, n),
    )
    rows, pool = np.arange(n), np.arange(0, n, 2)
    found = nearest_unlike(thumbs, classes, groups, rows, pool, 3)
    for row in rows:
        others = [
            each
            for each in pool
            if classes[each] >= 0
            and classes[row] >= 0
            and classes[each] != classes[row]
            and groups[each] != groups[row]
        ]
        wanted = []
        while others and len(wanted) < 3:
            wanted.append(min(others, key=lambda each: ((thumbs[each] - thumbs[row]) ** 2).sum()))
            others = [each for each in others if groups[each] != groups[wanted[-1]]]
        assert found[row].tolist() == wanted + [-1] * (3 - len(wanted))


def test_none_where_there_is_no_other_class():
    thumbs = np.zeros((4, 2), np.int64)
    assert (
        nearest_unlike(thumbs, np.array([0, 0, -1, -1], np.int16), np.arange(4), np.arange(4), np.arange(4), 1).tolist()
        == [[-1]] * 4
    )
    assert (
        nearest_unlike(thumbs, np.full(4, -1, np.int16), np.arange(4), np.arange(4), np.arange(4), 1).tolist()
        == [[-1]] * 4
    )
