"""Figures of each drawing equal those of scikit-learn and of `metrics` on the pictures that it holds."""

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from facelime_cli.core import calibration, calibration_line, findings, shift

N, ROUNDS = 60, 5


@pytest.fixture
def drawn():
    return shift.drawings([str(number // 2) for number in range(N)], ROUNDS, 0)


def fitted(odds, true):
    """Return the slope of scikit-learn's logistic regression without a penalty."""
    return LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], true).coef_[0, 0]


class TestDrawings:
    def test_the_first_drawing_is_every_picture_once(self, drawn):
        assert drawn.shape == (1 + ROUNDS, N)
        assert (drawn[0] == 1).all()
        assert (drawn[:, ::2] == drawn[:, 1::2]).all()

    def test_both_sides_are_drawn_independently(self):
        groups = [str(number) for number in range(400)]
        one = shift.drawings(groups, 50, 3)
        other = shift.drawings(groups, 50, 3, aside=True)
        same = shift.drawings(groups, 50, 3)
        assert np.array_equal(one, same)
        related, unrelated = (np.corrcoef(one[1:].ravel(), each[1:].ravel())[0, 1] for each in (same, other))
        assert related == pytest.approx(1)
        assert abs(unrelated) < 0.03

    def test_one_group_has_nothing_to_draw(self):
        assert shift.drawings(["a"] * 4, 100, 0).shape == (1, 4)


class TestDifference:
    def test_the_interval_is_that_of_independent_rounds(self, rng):
        there, here = rng.normal(0.9, 0.03, 4001), rng.normal(0.5, 0.04, 4001)
        there[0], here[0] = 0.9, 0.5
        found = shift.difference(there, here)
        assert found["difference"] == pytest.approx(-0.4)
        # The spreads add up as squares: 0.05.
        assert found["interval"] == pytest.approx([-0.4 - 1.96 * 0.05, -0.4 + 1.96 * 0.05], abs=0.006)

    @pytest.mark.parametrize(("undefined", "has_interval"), [(4, True), (6, False)])
    def test_rounds_without_a_figure_may_be_few(self, rng, undefined, has_interval):
        there, here = rng.random(101), rng.random(101)
        here[1 : 1 + undefined] = np.nan
        assert (shift.difference(there, here)["interval"] is not None) is has_interval

    def test_what_one_side_lacks_has_no_difference(self):
        found = shift.difference(np.array([0.5, 0.4]), np.array([np.nan, 0.2]))
        assert found == {"there": 0.5, "here": None, "difference": None, "interval": None}


def test_every_drawing_has_the_figures_of_its_pictures(rng, drawn):
    scores = rng.random(N).astype(np.float32)
    labels = (rng.random(N) < scores).astype(np.int8)
    labels[:4] = -1
    found = shift.described(labels, scores, drawn)
    areas, calls = shift.area(labels, scores, drawn), shift.called(labels, scores >= 0.5, drawn)
    for place, counts in enumerate(drawn):
        rows = np.repeat(np.arange(N), counts * (labels >= 0))
        true, said = labels[rows] == 1, scores[rows].astype(float)
        odds = np.log(said / (1 - said))
        assert found["prevalence"][place] == pytest.approx(true.mean())
        assert found["mean_probability"][place] == pytest.approx(said.mean())
        assert found["brier"][place] == pytest.approx(sk.brier_score_loss(true, said))
        error = findings.calibration(labels[rows], scores[rows]).expected_calibration_error
        assert found["calibration_error"][place] == pytest.approx(error)
        assert found["slope"][place] == pytest.approx(fitted(odds, true), rel=1e-3)
        # Moved by it, the probabilities are as frequent as what happens.
        moved = 1 / (1 + np.exp(-(odds + found["in_the_large"][place])))
        assert moved.mean() == pytest.approx(true.mean())
        assert areas[place] == pytest.approx(sk.roc_auc_score(true, said))
        assert calls["recall"][place] == pytest.approx(sk.recall_score(true, said >= 0.5))
        assert calls["specificity"][place] == pytest.approx(sk.recall_score(~true, said < 0.5))
        assert calls["precision"][place] == pytest.approx(sk.precision_score(true, said >= 0.5))
        assert calls["f1"][place] == pytest.approx(sk.f1_score(true, said >= 0.5))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_all_classes_together(rng, drawn, n_classes):
    labels = rng.integers(0, n_classes, N)
    probabilities = rng.dirichlet(np.ones(n_classes), N).astype(np.float32)
    found = shift.of_most_probable(labels, probabilities, drawn)
    for place, counts in enumerate(drawn):
        rows = np.repeat(np.arange(N), counts)
        true, said = labels[rows], probabilities[rows]
        assert found["accuracy"][place] == pytest.approx((said.argmax(axis=1) == true).mean())
        expected = calibration.figures(true, said)
        assert found["calibration_error"][place] == pytest.approx(expected["expected_calibration_error"])
        assert found["brier"][place] == pytest.approx(expected["brier"])


class TestSlope:
    def test_overconfident_probabilities_have_half_the_slope(self, rng):
        odds = rng.normal(0, 1.5, 20_000)
        true = rng.random(20_000) < 1 / (1 + np.exp(-odds))
        once = np.ones((20_000, 1))
        assert calibration_line.slope(odds, true, once)[0] == pytest.approx(1, abs=0.05)
        assert calibration_line.slope(2 * odds, true, once)[0] == pytest.approx(0.5, abs=0.03)
        assert calibration_line.in_the_large(odds, true, once)[0] == pytest.approx(0, abs=0.05)
        assert calibration_line.in_the_large(odds - 1, true, once)[0] == pytest.approx(1, abs=0.05)

    @pytest.mark.parametrize("turned", [False, True])
    def test_what_is_told_without_a_mistake_has_none(self, turned):
        odds, true = np.arange(-3.0, 3.0), np.arange(6) >= 3
        weights = np.ones((6, 2))
        assert np.isnan(calibration_line.slope(odds, true ^ turned, weights)).all()
        # One mistake, and there is one; a round that lacks it has none again.
        true[0] = True
        weights[0, 1] = 0
        found = calibration_line.slope(odds, true ^ turned, weights)
        assert np.isfinite(found).tolist() == [True, False]

    def test_certain_and_wrong_answers_are_finite(self):
        """A network that says 0 and 1 themselves, and is wrong now and then."""
        scores = np.array([0, 1] * 20, np.float32)
        true = np.array([0, 1] * 18 + [1, 0] * 2, bool)
        odds, once = calibration_line.log_odds(scores), np.ones((40, 1))
        # Of those that are called, 9 in 10 are so: log-odds of 9 in place of the clipped ones.
        assert calibration_line.slope(odds, true, once)[0] == pytest.approx(np.log(9) / odds.max())
        assert calibration_line.in_the_large(odds, true, once)[0] == pytest.approx(0, abs=1e-6)

    def test_far_off_probabilities_are_found_back(self):
        """Newton's own steps would leave the curve here and not come back."""
        odds, true = np.linspace(-16, -12, 50), np.arange(50) >= 25
        true[[0, 49]] = True, False
        once = np.ones((50, 1))
        shift_found = calibration_line.in_the_large(odds, true, once)[0]
        assert (1 / (1 + np.exp(-(odds + shift_found)))).mean() == pytest.approx(0.5)
        assert calibration_line.slope(odds, true, once)[0] == pytest.approx(fitted(odds, true), rel=1e-3)

    def test_pictures_of_one_kind_have_neither(self):
        odds, once = np.array([0.0, 1.0]), np.ones((2, 1))
        assert np.isnan(calibration_line.slope(odds, np.ones(2, bool), once)).all()
        assert np.isnan(calibration_line.in_the_large(odds, np.ones(2, bool), once)).all()


@pytest.mark.long
def test_nineteen_of_twenty_intervals_hold_the_true_difference():
    """Patients with two pictures that are much alike, 60 there and 90 here, whose true figures are known."""
    rng = np.random.default_rng(0)

    def figures(patients, quality, seed, *, aside):
        present = rng.random(patients) < 0.5
        odds = quality * (present - 0.5) + rng.normal(size=patients)
        scores = (np.repeat(odds, 2) + rng.normal(0, 0.3, 2 * patients)).astype(np.float32)
        labels = np.repeat(present, 2).astype(np.int8)
        drawn = shift.drawings([str(number // 2) for number in range(2 * patients)], 300, seed, aside=aside)
        return shift.area(labels, scores, drawn), shift.called(labels, scores >= 0, drawn)["recall"]

    spread = np.sqrt(1 + 0.3**2)
    areas, recalls = ([normal(quality / scale) for quality in (2.0, 1.2)] for scale in (spread * 2**0.5, spread * 2))
    held = np.zeros(2)
    for seed in range(300):
        there = figures(60, 2.0, seed, aside=True)
        here = figures(90, 1.2, seed, aside=False)
        for place, true in enumerate((areas, recalls)):
            low, high = shift.difference(there[place], here[place])["interval"]
            held[place] += low <= true[1] - true[0] <= high
    # 95 %, give or take three standard errors of 300 trials, and what a percentile interval loses with few patients.
    assert ((held / 300 > 0.90) & (held / 300 < 0.99)).all(), held / 300


def normal(value):
    """Return the share of the normal distribution below a value."""
    from scipy.stats import norm

    return float(norm.cdf(value))
