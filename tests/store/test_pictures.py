"""Pictures beside their segments and fills, splits when a fold is tested, and reading many pictures."""

import numpy as np
import pytest

from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.store import pictures
from facelime_cli.store.arrays import Layout
from facelime_cli.store.manifests import Identity
from facelime_cli.store.pictures import Segmented

SIZE = 6
ROWS = [4, 1, 2]
"""Which pictures of the dataset the segments are of."""


def seal(store, kind, arrays, inputs=(), parameters=None):
    """Make a complete artifact of arrays that are known."""
    constants = {name: (values, ("picture", "y", "x", "c")[: values.ndim]) for name, values in arrays.items()}
    n = len(next(iter(arrays.values())))
    origins = {each.kind: {"kind": each.kind, "id": each.id, "digest": each.content} for each in inputs}
    identity = Identity(kind, 1, parameters or {}, {name: each["digest"] for name, each in origins.items()})
    artifact = store.create(kind, "some", identity, origins, Layout(n, {}, constants))
    for unit in range(artifact.n_units):
        with artifact.work_on(unit, print) as work:
            work.finish({})
    artifact.seal({})
    return artifact


@pytest.fixture
def arrays(rng):
    return {
        "images": rng.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8),
        "segments": rng.integers(0, 4, (3, SIZE, SIZE), np.uint16),
        "n_segments": np.array([4, 3, 4], np.int32),
        "fill": rng.integers(0, 256, (3, SIZE, SIZE, 3), np.uint8),
    }


@pytest.fixture
def run(store, arrays, rng):
    """One artifact of each kind; the model was trained on other pictures."""
    dataset = seal(store, "datasets", {"images": arrays["images"]})
    other = seal(store, "datasets", {"images": rng.integers(0, 256, (9, SIZE, SIZE, 3), np.uint8)}, (), {"seed": 1})
    model = seal(store, "models", {"a": np.zeros(1)}, [other])
    row = {"row": np.array(ROWS, np.int32)}
    segmented = {name: arrays[name] for name in ("segments", "n_segments")}
    segments = seal(store, "segments", row | segmented, [dataset])
    masks = seal(store, "masks", row | {"fill": arrays["fill"]}, [segments])
    predictions = seal(store, "predictions", row, [masks, model])
    surrogates = seal(store, "surrogates", row, [predictions])
    unmasked = seal(store, "surrogates", row, [segments, model])
    return {
        "segments": segments,
        "masks": masks,
        "predictions": predictions,
        "surrogates": surrogates,
        "a map of gradients": unmasked,
    }


@pytest.mark.parametrize("rows", [slice(0, 3), slice(1, 2), [2, 0], [], range(1, 3)])
@pytest.mark.parametrize("kind", ["segments", "masks", "predictions", "surrogates", "a map of gradients"])
def test_one_row_means_the_same_picture_in_every_array(run, arrays, kind, rows):
    joined = Segmented(run[kind])
    chosen = list(range(3))[rows] if isinstance(rows, slice) else list(rows)
    assert np.array_equal(joined.images(rows), arrays["images"][[ROWS[row] for row in chosen]])
    assert np.array_equal(joined.segments(rows), arrays["segments"][chosen])
    assert np.array_equal(joined.counts(rows), arrays["n_segments"][chosen])
    assert joined.images(rows).shape == (len(chosen), SIZE, SIZE, 3)


@pytest.mark.parametrize("kind", ["masks", "predictions", "surrogates"])
def test_fills_are_those_of_the_masks(run, arrays, kind):
    assert np.array_equal(Segmented(run[kind]).fill([2, 1]), arrays["fill"][[2, 1]])


@pytest.mark.parametrize("kind", ["segments", "a map of gradients"])
def test_without_masks_there_is_no_fill(run, kind):
    with pytest.raises(NotFoundError, match="not made from any of masks"):
        Segmented(run[kind]).fill([0])


class TestFolds:
    @pytest.fixture
    def folded(self, store):
        arrays = {"split": np.array([0, 1, 2, 0], np.int8), "fold": np.array([0, 1, 2, -1], np.int8)}
        return seal(store, "datasets", arrays, parameters={"folds": 3})

    @pytest.fixture
    def whole(self, store):
        return seal(store, "datasets", {"split": np.array([0, 1, 2], np.int8)})

    def test_the_first_is_tested_unless_another_is_given(self, folded, whole):
        assert pictures.tested_fold(folded, None) == 0
        assert pictures.tested_fold(folded, 2) == 2
        assert pictures.tested_fold(whole, None) is None

    def test_a_fold_that_is_not_there_is_a_sentence(self, folded, whole):
        with pytest.raises(FacelimeError, match="use a number from 0 to 2"):
            pictures.tested_fold(folded, 3)
        with pytest.raises(FacelimeError, match="has no folds; omit --fold"):
            pictures.tested_fold(whole, 0)

    def test_splits_follow_the_tested_fold(self, folded):
        assert pictures.splits_of(folded, None).tolist() == [0, 1, 2, 0]
        assert pictures.splits_of(folded, 0).tolist() == [2, 1, 0, -1]


@pytest.mark.parametrize("memory", [0, pictures.MEMORY_BYTES])
def test_pictures_are_the_same_from_memory_and_from_the_store(run, arrays, monkeypatch, memory):
    monkeypatch.setattr(pictures, "MEMORY_BYTES", memory)
    read = pictures.reader(Segmented(run["segments"]).dataset)
    assert np.array_equal(read([3, 0]), arrays["images"][[3, 0]])
