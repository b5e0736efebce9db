"""Division of a data set into splits."""

import re

import numpy as np
import pytest

from facelime_cli.core import splits


class TestSplits:
    @pytest.mark.parametrize("seed", range(6))
    def test_no_group_is_cut_and_every_class_near_its_share(self, seed):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(300), rng.integers(1, 8, 300))
        labels = (rng.random(300) < 0.3).astype(int)[groups]
        split = splits.divide(labels.tolist(), [str(g) for g in groups], (0.7, 0.2, 0.1), seed)
        assert all(len(set(split[groups == g])) == 1 for g in range(300))
        for label in (0, 1):
            shares = np.bincount(split[labels == label], minlength=3) / (labels == label).sum()
            assert np.abs(shares - (0.7, 0.2, 0.1)).max() < 0.02

    def test_a_split_of_no_share_stays_empty(self):
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
