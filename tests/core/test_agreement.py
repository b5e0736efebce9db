"""How far explanations agree: by hand on small ones."""

import numpy as np
import pytest

from facelime_cli.core.agreement import Attribution, agreement, held

QUARTERS = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]], np.uint16)
HALVES = np.array([[0, 0, 1, 1]] * 4, np.uint16)


class TestAgreement:
    def test_an_explanation_agrees_with_itself(self, rng):
        one = Attribution(QUARTERS, rng.normal(size=4))
        assert agreement(one, one, 2) == agreement(one, Attribution(QUARTERS.copy(), one.coefficients * 3), 2)
        assert vars(agreement(one, one, 2)) == {"jaccard": 1.0, "rank_correlation": 1.0, "sign_flips": 0.0}

    def test_by_segment(self):
        found = agreement(
            Attribution(QUARTERS, np.array([4.0, 3.0, 1.0, 0.5])),
            Attribution(QUARTERS, np.array([4.0, 0.1, -3.0, 0.5])),
            2,
        )
        assert found.jaccard == pytest.approx(1 / 3)
        assert found.sign_flips == pytest.approx(1 / 3)

    def test_by_pixel(self):
        """The same left half, once as one segment and once as two."""
        found = agreement(
            Attribution(QUARTERS, np.array([2.0, 0.0, 2.0, 0.0])), Attribution(HALVES, np.array([5.0, 0.0])), 2
        )
        assert vars(found) == {"jaccard": 1.0, "rank_correlation": 1.0, "sign_flips": 0.0}
        against = agreement(
            Attribution(QUARTERS, np.array([2.0, 0.0, 2.0, 0.0])), Attribution(HALVES, np.array([-5.0, 0.0])), 2
        )
        assert (against.jaccard, against.sign_flips) == (0.0, 1.0)

    def test_nothing_to_rank(self):
        flat = Attribution(QUARTERS, np.zeros(4))
        found = agreement(flat, Attribution(QUARTERS, np.ones(4)), 2)
        assert np.isnan(found.rank_correlation)
        assert agreement(flat, flat, 2).jaccard == 1.0
        assert np.isnan(agreement(flat, flat, 2).sign_flips)

    def test_what_holds(self):
        found = held(
            [Attribution(QUARTERS, np.array([2.0, -2.0, 0.0, 0.0])), Attribution(HALVES, np.array([1.0, 0.0]))], 2
        )
        assert found[0].tolist() == [1.0, 1.0, -0.5, -0.5]
        assert found[3].tolist() == [0.5, 0.5, 0.0, 0.0]
