"""The temperature that was put in is found again, and the figures are scikit-learn's or those counted by hand."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics as sk

from facelime_cli.core import calibration

MANY = 4000


@pytest.fixture
def scores(rng):
    """Scores of three classes, and labels that are drawn from their softmax."""
    values = rng.normal(size=(MANY, 3)) * 2
    labels = np.array([rng.choice(3, p=each) for each in softmax(values, axis=1)])
    return values, labels


class TestTemperature:
    @pytest.mark.parametrize("wrong", [0.4, 1.0, 3.0])
    def test_of_a_softmax(self, scores, wrong):
        values, labels = scores
        assert calibration.temperature_for(values * wrong, labels) == pytest.approx(wrong, rel=0.06)

    @pytest.mark.parametrize("wrong", [0.4, 3.0])
    def test_of_one_sigmoid(self, rng, wrong):
        values = rng.normal(size=(MANY, 1)) * 2
        labels = (rng.random(MANY) < expit(values[:, 0])).astype(int)
        assert calibration.temperature_for(values * wrong, labels) == pytest.approx(wrong, rel=0.1)

    @pytest.mark.parametrize("wrong", [0.4, 3.0])
    def test_of_findings_counts_what_is_known_alone(self, rng, wrong):
        values = rng.normal(size=(MANY, 2)) * 2
        labels = (rng.random((MANY, 2)) < expit(values)).astype(int)
        values[:500] = -values[:500] * 9  # would spoil it
        labels[:500] = -1
        assert calibration.temperature_for(values * wrong, labels) == pytest.approx(wrong, rel=0.1)

    def test_is_that_of_the_least_log_loss(self, scores):
        values, labels = scores
        found = calibration.temperature_for(values * 2, labels)
        losses = [sk.log_loss(labels, softmax(values * 2 / each, axis=1)) for each in (found * 0.9, found, found * 1.1)]
        assert losses[1] == min(losses)

    def test_a_network_that_is_always_right_is_not_made_infinitely_sure(self):
        values = np.eye(2)[np.arange(40) % 2] * 2.0
        found = calibration.temperature_for(values, np.arange(40) % 2)
        sure = softmax(values / found, axis=1).max()
        assert 0.95 < sure < 0.995
        # One that is never right says nothing instead.
        never = calibration.temperature_for(values, 1 - np.arange(40) % 2)
        assert softmax(values / never, axis=1).max() < 0.53


class TestAtTemperature:
    def test_is_the_softmax_of_divided_scores_and_is_undone(self, scores):
        values, _ = scores
        before = softmax(values, axis=1).astype(np.float32)
        after = calibration.at_temperature(before, 1.7, independent=False)
        assert after == pytest.approx(softmax(values / 1.7, axis=1), abs=1e-6)
        assert calibration.at_temperature(after, 1 / 1.7, independent=False) == pytest.approx(before, abs=1e-6)

    def test_of_both_sides_of_a_sigmoid(self, rng):
        values = rng.normal(size=(50, 1)) * 3
        sides = np.hstack([expit(-values), expit(values)]).astype(np.float32)
        wanted = np.hstack([expit(-values / 2), expit(values / 2)])
        assert calibration.at_temperature(sides, 2.0, independent=False) == pytest.approx(wanted, abs=1e-6)

    def test_of_findings(self, rng):
        values = rng.normal(size=(50, 3)) * 3
        found = calibration.at_temperature(expit(values).astype(np.float32), 2.0, independent=True)
        assert found == pytest.approx(expit(values / 2), abs=1e-6)

    def test_each_picture_may_have_its_own(self, scores):
        before = softmax(scores[0][:3], axis=1).astype(np.float32)
        found = calibration.at_temperature(before, np.array([1.0, 2.0, 1.0]), independent=False)
        assert found[[0, 2]] == pytest.approx(before[[0, 2]], abs=1e-6)
        assert found[1].max() < before[1].max()

    @pytest.mark.parametrize("independent", [False, True])
    def test_certainty_stays_a_number(self, independent):
        sure = np.array([[1.0, 0.0]], np.float32)
        for temperature in (0.05, 20.0):
            assert np.isfinite(calibration.at_temperature(sure, temperature, independent=independent)).all()


class TestFigures:
    def test_brier_of_two_classes_is_twice_that_of_scikit_learn(self, rng):
        p, labels = rng.random(200).astype(np.float32), rng.integers(0, 2, 200)
        found = calibration.figures(labels, np.stack([1 - p, p], axis=1))
        assert found["brier"] == pytest.approx(2 * sk.brier_score_loss(labels, p), rel=1e-5)

    def test_of_findings_counts_what_is_known_alone(self):
        labels = np.array([[1, -1], [0, 1]])
        probabilities = np.array([[0.9, 0.123], [0.2, 0.5]], np.float32)
        found = calibration.figures(labels, probabilities)
        assert found["brier"] == pytest.approx((0.1**2 + 0.2**2 + 0.5**2) / 3, abs=1e-6)
        assert found["expected_calibration_error"] == pytest.approx((0.1 + 0.2 + 0.5) / 3, abs=1e-6)
        assert calibration.figures(np.full((2, 2), -1), probabilities) == {}

    def test_the_right_temperature_has_the_better_figures(self, scores):
        values, labels = scores
        sure, right = (softmax(values * each, axis=1).astype(np.float32) for each in (3, 1))
        before, after = calibration.figures(labels, sure), calibration.figures(labels, right)
        assert before["expected_calibration_error"] > 0.1
        assert after["expected_calibration_error"] < 0.03
        assert before["brier"] > after["brier"]
