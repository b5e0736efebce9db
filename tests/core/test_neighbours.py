"""The nearest unlike neighbour against a search by hand."""

import numpy as np
import pytest

from facelime_cli.core import neighbours
from facelime_cli.core.labels import unlike
from facelime_cli.core.neighbours import has_unlike, nearest_unlike, thumbnails


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


def all_at_once(thumbs, labels, groups, rows, pool, count):
    """Return the donors as they were found when every distance was in memory: the definition, in a few lines."""
    far = np.iinfo(np.int64).max
    wide = thumbs.astype(np.int64)
    found = np.full((len(rows), count), -1)
    for place, row in enumerate(rows):
        fits = unlike(labels, np.array([row]), pool)[0] & (groups[pool] != groups[row])
        distances = ((wide[pool] - wide[row]) ** 2).sum(axis=1)
        for number in range(count):
            nearest = np.where(fits, distances, far).argmin()
            if not fits[nearest]:
                break
            found[place, number] = pool[nearest]
            fits &= groups[pool] != groups[pool[nearest]]
    return found


def some_thumbnails(kind, n, rng):
    """Return thumbnails of 768 numbers: like those of pictures, noise, many alike, or of extreme values."""
    if kind == "noise":
        return rng.integers(0, 256, (n, 768)).astype(np.uint8)
    if kind == "extreme":
        return (255 * rng.integers(0, 2, (n, 768))).astype(np.uint8)
    likeness = rng.normal(size=(n, 12)) @ (12 * rng.normal(size=(12, 768)))
    drawn = np.clip(128 + likeness + rng.normal(size=(n, 768)) * 6, 0, 255).astype(np.uint8)
    return np.repeat(drawn[: n // 50], 50, axis=0) if kind == "alike" else drawn


@pytest.mark.parametrize("kind", ["pictures", "noise", "alike", "extreme"])
@pytest.mark.parametrize("several", [False, True])
def test_the_axes_lose_no_donor(kind, several, rng, monkeypatch):
    monkeypatch.setattr(neighbours, "AXES_FROM", 200)
    monkeypatch.setattr(neighbours, "AT_ONCE", 7)
    monkeypatch.setattr(neighbours, "CANDIDATES_AT_ONCE", 100)
    monkeypatch.setattr(neighbours, "FIRST_CANDIDATES", 50)
    n = 300
    thumbs, groups = some_thumbnails(kind, n, rng), rng.integers(0, n // 4, n) * 7
    labels = rng.integers(-1, 2, (n, 3)).astype(np.int8) if several else (np.arange(n) * 3 // n).astype(np.int16)
    rows, pool = rng.integers(0, n, 20), np.flatnonzero(rng.random(n) < 0.8)
    found = nearest_unlike(thumbs, labels, groups, rows, pool, 8)
    assert found.tolist() == all_at_once(thumbs, labels, groups, rows, pool, 8).tolist()


def test_the_axes_leave_most_pairs_out(rng, monkeypatch):
    counted = []
    whole = neighbours._Search._distances
    monkeypatch.setattr(neighbours._Search, "_distances", lambda *given: counted.append(len(given[3])) or whole(*given))
    n, n_rows = 3000, 60
    labels = rng.integers(0, 2, n).astype(np.int16)
    nearest_unlike(some_thumbnails("pictures", n, rng), labels, np.arange(n), np.arange(n_rows), np.arange(n), 8)
    # Half of all pairs are of two classes.
    assert 0 < sum(counted) < n * n_rows / 2 / 4


def test_memory_does_not_grow_with_the_pairs(rng):
    import tracemalloc

    peaks = []
    for n in (5000, 15000):
        thumbs, labels = rng.integers(0, 256, (n, 40)).astype(np.uint8), (np.arange(n) % 2).astype(np.int16)
        tracemalloc.start()
        nearest_unlike(thumbs, labels, np.arange(n), np.arange(256), np.arange(n), 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A matrix of 256 × 15,000 distances alone would take 20 MB more than one of 256 × 5,000.
    assert peaks[1] - peaks[0] < 10e6


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("n_groups", [1, 2, 3, 40])
def test_who_has_a_donor_at_all(several, n_groups, rng):
    for _ in range(20):
        n = 40
        labels = rng.integers(-1, 2, (n, 3)).astype(np.int8) if several else rng.integers(-1, 2, n).astype(np.int16)
        groups, rows = rng.integers(0, n_groups, n), rng.integers(0, n, 30)
        pool = np.flatnonzero(rng.random(n) < rng.choice([0.0, 0.1, 0.9]))
        fits = unlike(labels, rows, pool) & (groups[rows][:, None] != groups[pool])
        assert has_unlike(labels, groups, rows, pool).tolist() == fits.any(axis=1).tolist()


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
