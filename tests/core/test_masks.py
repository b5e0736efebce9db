"""Masks: the generator's bits, the design's meaning, packing."""

import numpy as np
import pytest

from facelime_cli.core import masks

MASK64 = (1 << 64) - 1


def philox(key, counter):
    """Philox4x64-10, written down from the paper: Salmon et al., SC 2011, figure 4 and table 2."""
    c, k = [(counter >> (64 * i)) & MASK64 for i in range(4)], [key & MASK64, key >> 64]
    for _ in range(10):
        low0, low1 = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [(low1 >> 64) ^ c[1] ^ k[0], low1 & MASK64, (low0 >> 64) ^ c[3] ^ k[1], low0 & MASK64]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK64, (k[1] + 0xBB67AE8584CAA73B) & MASK64]
    return c


def test_words_are_philox_of_key_and_sample():
    key = masks.key_of(3, "some/picture", "mask")
    found = masks.random_words(key, 5, 2, 11)
    for row, sample in enumerate((5, 6)):
        blocks = [philox(key, sample * 2 + step + 1) for step in range(2)]
        words = [word for block in blocks for value in block for word in (value & 0xFFFFFFFF, value >> 32)]
        assert found[row].tolist() == words[:11]


def test_the_same_bits_always():
    found = masks.bernoulli(masks.key_of(0, "a", "mask"), 4, 20, 0.5)
    assert masks.pack(found, 3).tolist() == GOLDEN


GOLDEN = [[255, 255, 15], [174, 90, 5], [251, 18, 6], [159, 122, 15]]


def test_a_run_is_extended_not_changed():
    key = masks.key_of(1, "x", "mask")
    assert np.array_equal(masks.bernoulli(key, 1000, 63, 0.5), masks.bernoulli(key, 3000, 63, 0.5)[:1000])


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_segments_are_kept_independently_with_their_probability(probability):
    found = masks.bernoulli(masks.key_of(2, "y", "mask"), 20000, 12, probability)[1:]
    assert np.abs(found.mean(axis=0) - probability).max() < 0.015
    assert np.abs(np.corrcoef(found.T.astype(float)) - np.eye(12)).max() < 0.04


def test_pictures_and_seeds_and_purposes_differ():
    made = [
        masks.bernoulli(masks.key_of(*which), 50, 30, 0.5)
        for which in ((0, "a", "mask"), (1, "a", "mask"), (0, "b", "mask"), (0, "a", "folds"))
    ]
    assert all(made[0].sum() != other.sum() or (made[0] != other).any() for other in made[1:])
    assert len({each.tobytes() for each in made}) == 4


@pytest.mark.parametrize("n_segments", [1, 7, 8, 9, 63])
def test_packing_is_little_endian_and_reversible(rng, n_segments):
    kept = rng.random((6, n_segments)) < 0.5
    packed = masks.pack(kept, 9)
    assert packed.shape == (6, 9)
    assert np.array_equal(masks.unpack(packed, n_segments), kept)
    for row in range(6):
        for k in range(n_segments):
            assert (packed[row, k // 8] >> (k % 8)) & 1 == kept[row, k]
