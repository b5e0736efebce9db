"""Composition and forward pass in one compiled call."""

import numpy as np
import pytest

from facelime_cli.core.masks import pack
from facelime_cli.models import backend, running, wrapping

SIZE = 32


@pytest.fixture(scope="module")
def keras():
    return backend.keras()


def test_composition_is_exactly_the_formula(keras, rng):
    n, k, batch = 3, 11, 8
    images, fills = rng.integers(0, 256, (2, n, SIZE, SIZE, 3), dtype=np.uint8)
    segments = rng.integers(0, k, (n, SIZE, SIZE)).astype(np.int32)
    masks, index = rng.random((batch, k)) < 0.5, rng.integers(0, n, batch).astype(np.int32)
    inputs = keras.Input((SIZE, SIZE, 3))
    flat = keras.Model(inputs, keras.layers.Flatten()(inputs))
    call = running.compiled(flat)
    arrays = (
        backend.on_device(np.stack([fills, images], 1).reshape(n, 2, -1, 3)),
        backend.on_device(segments.reshape(n, -1)),
    )
    got = call(pack(masks, 2), index, *arrays).reshape(batch, SIZE, SIZE, 3)
    for row in range(batch):
        kept = masks[row][segments[index[row]]][..., None]
        wanted = fills[index[row]].astype(float) + (images[index[row]].astype(float) - fills[index[row]]) * kept
        assert np.array_equal(got[row], wanted)


def test_the_last_batch_is_padded(chain):
    """The bits of an answer do not depend on how many pictures come after it."""
    net = wrapping.load(chain["finetune"].file("model.keras"))
    images = chain["preprocess"].read("images")
    few, many = (
        running.probabilities(net, running.Labelled(lambda rows: images[rows], np.arange(n), np.zeros(n, np.int64)), 8)
        for n in (11, 16)
    )
    assert few.shape == (11, 2)
    assert np.array_equal(few, many[:11])
