"""Masks: the generator's bits, what each design promises, that no design changes when more are drawn, and packing."""

import hashlib
import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from facelime_cli import choices
from facelime_cli.core import masks
from facelime_cli.errors import FacelimeError

MASK64 = (1 << 64) - 1
KEY = masks.key_of(3, "golden", "mask")
FEW = 9
"""Segments whose masks are few enough for `exact`."""
BITS = {
    "bernoulli": "06f9a10610d4f401",
    "paired": "a03f306f5f040d89",
    "balanced": "69a405b782c816dd",
    "shapley": "a309f3bfb0d4d185",
    "exact": "7c7a3f4f2ab48058",
}
"""Head of the SHA-256 of 500 packed masks of 37 segments (`exact`: of 9): no later version changes one unnoticed."""


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


def test_bernoullis_bits_are_always_the_same():
    found = masks.bernoulli(masks.key_of(0, "a", "mask"), 4, 20, 0.5)
    assert masks.pack(found, 3).tolist() == GOLDEN


GOLDEN = [[255, 255, 15], [174, 90, 5], [251, 18, 6], [159, 122, 15]]


def test_more_samples_extend_a_run():
    key = masks.key_of(1, "x", "mask")
    assert np.array_equal(masks.bernoulli(key, 1000, 63, 0.5), masks.bernoulli(key, 3000, 63, 0.5)[:1000])


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_segments_are_kept_independently_with_their_probability(probability):
    found = masks.bernoulli(masks.key_of(2, "y", "mask"), 20000, 12, probability)[1:]
    assert np.abs(found.mean(axis=0) - probability).max() < 0.015
    assert np.abs(np.corrcoef(found.T.astype(float)) - np.eye(12)).max() < 0.04


def test_pictures_and_seeds_and_purposes_draw_different_masks():
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


def draw(design, n_samples, n_segments, key=KEY):
    return choices.DESIGNS[design].load()(key, n_samples, n_segments, 0.5)


def n_segments_of(design):
    return FEW if design == "exact" else 37


@pytest.mark.parametrize("design", choices.DESIGNS)
def test_a_designs_bits_are_always_the_same(design):
    packed = masks.pack(draw(design, 500, n_segments_of(design)), 5)
    assert hashlib.sha256(packed.tobytes()).hexdigest()[:16] == BITS[design]


@pytest.mark.parametrize("n_samples", [2, 3, 4, 7, 128, 129, 130, 333, 500])
@pytest.mark.parametrize("design", choices.DESIGNS)
def test_a_run_is_extended_not_changed(design, n_samples):
    few, more = draw(design, n_samples, n_segments_of(design)), draw(design, 512, n_segments_of(design))
    assert few.shape == (n_samples, n_segments_of(design))
    assert few.dtype == np.bool_
    assert few[0].all()
    assert np.array_equal(few, more[:n_samples])
    blocks = masks.blocks(design, 512, n_segments_of(design))
    assert np.array_equal(masks.blocks(design, n_samples, n_segments_of(design)), blocks[:n_samples])


@pytest.mark.parametrize("design", choices.DESIGNS)
def test_blocks_count_on_from_the_full_picture(design):
    blocks = masks.blocks(design, 512, n_segments_of(design))
    assert blocks.dtype == np.int32
    assert (blocks == 0).tolist() == [True] + [False] * 511
    assert set(np.diff(blocks).tolist()) <= {0, 1}


@pytest.mark.parametrize("design", ["bernoulli", "paired", "balanced", "shapley"])
def test_every_design_draws_other_masks_for_other_pictures_and_seeds(design):
    drawn = [
        draw(design, 200, 30, masks.key_of(seed, picture, "mask")) for seed, picture in ((0, "a"), (1, "a"), (0, "b"))
    ]
    assert len({each.tobytes() for each in drawn}) == 3


@pytest.mark.parametrize(("design", "first"), [("paired", 1), ("balanced", 1), ("shapley", 2)])
def test_each_mask_is_followed_by_its_complement_in_its_block(design, first):
    found, blocks = draw(design, 512 + first, 37), masks.blocks(design, 512 + first, 37)
    assert (found[first::2] ^ found[first + 1 :: 2]).all()
    assert np.array_equal(blocks[first::2], blocks[first + 1 :: 2])


def test_pairs_begin_with_the_masks_of_bernoulli():
    assert np.array_equal(draw("paired", 201, 37)[1::2], draw("bernoulli", 201, 37)[1::2])


class TestBalanced:
    @pytest.mark.parametrize("n_segments", [2, 3, 8, 9, 40, 64])
    def test_in_a_whole_block_segments_pairs_and_triples_are_equally_often_kept(self, n_segments):
        half = 1 << (n_segments - 1).bit_length()
        found = draw("balanced", 1 + 6 * half, n_segments)
        blocks = masks.blocks("balanced", len(found), n_segments)
        for block in (1, 2, 3):
            z = found[blocks == block].astype(int)
            assert len(z) == 2 * half
            together = z.T @ z
            assert (np.diag(together) == half).all()
            assert (2 * together[~np.eye(n_segments, dtype=bool)] == half).all()
            for i, j, k in itertools.islice(itertools.combinations(range(n_segments), 3), 500):
                assert 4 * (z[:, i] * z[:, j] * z[:, k]).sum() == half

    def test_bernoulli_masks_are_not_so_balanced(self):
        z = draw("bernoulli", 129, 40)[1:].astype(int)
        assert set(z.sum(axis=0).tolist()) != {64}

    def test_the_least_order_is_taken(self):
        assert [masks.blocks("balanced", 1000, k)[1:].tolist().count(1) for k in (2, 4, 5, 64, 65)] == [
            4,
            8,
            16,
            128,
            256,
        ]

    def test_every_pair_of_rows_leaves_the_segments_equally_often_kept(self):
        found = draw("balanced", 301, 37)
        for n in (3, 51, 131, 301):
            assert (2 * found[1:n].sum(axis=0) == n - 1).all()

    def test_blocks_differ_in_columns_signs_and_order(self):
        found = draw("balanced", 1 + 3 * 128, 37)
        assert len({found[1 + 128 * block : 129 + 128 * block].tobytes() for block in range(3)}) == 3
        sizes = [sorted(found[1 + 128 * block : 129 + 128 * block].sum(axis=1).tolist()) for block in range(3)]
        assert sizes[0] != sizes[1]  # other columns and signs, not only another order


class TestShapley:
    n_segments = 12

    def expected(self):
        sizes = np.arange(1, self.n_segments)
        shares = (self.n_segments - 1) / (sizes * (self.n_segments - sizes))
        return shares / shares.sum()

    def chance(self, found):
        """Return the chance that subset sizes as far from the kernel come from it."""
        counts = np.bincount(found.sum(axis=1), minlength=self.n_segments)[1 : self.n_segments]
        return chisquare(counts, self.expected() * counts.sum()).pvalue

    def test_sizes_follow_the_kernel(self):
        assert 0.01 < self.chance(draw("shapley", 20_002, self.n_segments)[2::2]) < 0.99

    def test_those_of_bernoulli_do_not(self):
        assert self.chance(draw("bernoulli", 20_002, self.n_segments)[2::2]) < 1e-9

    def test_every_subset_of_a_size_is_alike(self):
        found = draw("shapley", 20_002, 5)[2::2]
        for size in (2, 3):
            numbers = found[found.sum(axis=1) == size] @ (1 << np.arange(5))
            counts = np.unique(numbers, return_counts=True)[1]
            assert len(counts) == 10
            assert chisquare(counts).pvalue > 0.01

    @pytest.mark.parametrize("n_segments", [2, 3, 37])
    def test_the_second_row_keeps_none_and_no_other_is_full_or_empty(self, n_segments):
        sizes = draw("shapley", 301, n_segments).sum(axis=1)
        assert sizes[:2].tolist() == [n_segments, 0]
        assert sizes[2:].min() >= 1
        assert sizes[2:].max() <= n_segments - 1


class TestExact:
    @pytest.mark.parametrize("n_segments", [2, 5, 10])
    def test_every_mask_once(self, n_segments):
        found = draw("exact", masks.rows_in_use("exact", 5000, n_segments), n_segments)
        assert len(found) == len(np.unique(found, axis=0)) == 2**n_segments
        assert not found[-1].any()

    def test_too_many_are_refused_with_their_number(self):
        assert masks.rows_in_use("exact", 1024, 10) == 1024
        with pytest.raises(FacelimeError, match=r"11 segments have 2\^11 = 2,048 masks, more than --samples 1024"):
            masks.rows_in_use("exact", 1024, 11)

    @pytest.mark.parametrize("design", [each for each in choices.DESIGNS if each != "exact"])
    def test_the_others_need_what_is_asked_for(self, design):
        assert masks.rows_in_use(design, 1024, 3) == 1024
