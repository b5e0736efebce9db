"""Several views of one picture: what their consensus is, and how often its interval holds."""

import numpy as np
import pytest

from facelime_cli.core import consensus
from facelime_cli.core.consensus import View
from facelime_cli.core.fidelity import repeats

FINE = np.arange(8, dtype=np.uint16).reshape(1, 8)
COARSE = FINE // 4


def view(segments, values, half=0.05):
    coefficients = np.asarray(values, float)[:, None]
    return View(segments, coefficients, np.stack([coefficients - half, coefficients + half], axis=-1))


def test_a_view_on_the_carrier_itself_stays_as_it_is():
    values = np.linspace(-0.3, 0.4, 8)
    found = consensus.join([view(FINE, values)], FINE)
    assert np.allclose(found.coefficients[:, 0], values)
    assert np.allclose(found.interval[:, 0, 1] - found.interval[:, 0, 0], 0.1)
    assert found.votes[:, 0].tolist() == [int(abs(value) > 0.05) for value in values]


def test_the_sum_of_coefficients_stays_whatever_the_carrier():
    rng = np.random.default_rng(0)
    segments = rng.integers(0, 9, (20, 20)).astype(np.uint16)
    carrier = rng.integers(0, 5, (20, 20)).astype(np.uint16)
    values = rng.normal(size=9)
    found = consensus.join([view(segments, values)], carrier)
    assert found.coefficients.sum() == pytest.approx(values.sum())


def test_a_coarse_segment_is_divided_by_pixels():
    found = consensus.join([view(COARSE, [0.4, -0.8])], FINE)
    assert found.coefficients[:, 0].tolist() == [0.1] * 4 + [-0.2] * 4


def test_a_view_that_speaks_against_the_mean_votes_for_nothing():
    found = consensus.join([view(FINE, [0.5] * 8), view(FINE, [-0.3] * 8)], FINE)
    assert np.allclose(found.coefficients, 0.1)
    assert (found.votes == 1).all()
    assert (found.agreement == 0.5).all()


def test_views_that_differ_make_the_interval_wide():
    alike = consensus.join([view(FINE, [0.3] * 8)] * 4, FINE)
    apart = consensus.join([view(FINE, [value] * 8) for value in (0.1, 0.2, 0.4, 0.5)], FINE)

    def width(found):
        return found.interval[0, 0, 1] - found.interval[0, 0, 0]

    assert width(alike) == pytest.approx(0.1 / 2)
    assert width(apart) > 5 * width(alike)
    assert apart.p_sign[0, 0] < alike.p_sign[0, 0]


@pytest.mark.parametrize(
    ("n_views", "between", "within"), [(3, 0.1, 0.02), (6, 0.05, 0.05), (8, 0.0, 0.1), (4, 0.1, 0.0)]
)
def test_intervals_hold_what_other_views_find_on_average(n_views, between, within):
    rng = np.random.default_rng(n_views)
    truth, held, total = 0.2, 0, 0
    for _ in range(150):
        views = []
        for _ in range(n_views):
            values = truth + rng.normal(size=8) * between + rng.normal(size=8) * within
            views.append(view(FINE, values, 1.96 * within))
        interval = consensus.join(views, FINE).interval[:, 0]
        held += int(((interval[:, 0] <= truth) & (truth <= interval[:, 1])).sum())
        total += 8
    assert 0.92 <= held / total <= 0.995


def test_views_without_intervals_give_one_by_their_differences():
    values = [[0.1] * 8, [0.2] * 8, [0.3] * 8]
    views = [View(FINE, np.array(each)[:, None], np.full((8, 1, 2), np.nan)) for each in values]
    found = consensus.join(views, FINE)
    assert np.isfinite(found.interval).all()
    assert (found.votes == 0).all()
    alone = consensus.join(views[:1], FINE)
    assert np.isnan(alone.interval).all()
    assert np.isnan(alone.p_sign).all()


def test_draws_tell_a_clear_first_segment_from_ties():
    clear = consensus.join([view(FINE, [0.9, *[0.0] * 7])] * 3, FINE)
    tied = consensus.join([view(FINE, [0.1] * 8)] * 3, FINE)
    chances = [repeats(each.coefficients[:, 0], consensus.draws(each, 1, 0), 1) for each in (clear, tied)]
    assert chances[0] == 1
    assert chances[1] < 0.5


def test_the_first_segment_by_fill():
    views = [view(FINE, np.eye(8)[2]), view(FINE, np.eye(8)[5]), view(COARSE, [0.0, 1.0])]
    found = consensus.first_by_fill(views, ["blur", "inpaint", "inpaint"], FINE)
    assert {fill: its.tolist() for fill, its in found.items()} == {"blur": [2], "inpaint": [5]}
