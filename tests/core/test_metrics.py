"""Figures of a classifier equal those of scikit-learn, or those counted by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from facelime_cli.core import metrics


class TestMetrics:
    def test_the_bootstrap_draws_whole_groups(self):
        groups = ["a", "a", "b", "c", "c", "c"]
        rounds = metrics.rounds_by_group(groups, 200, 0)
        assert (rounds[:, 0] == rounds[:, 1]).all()
        assert (rounds[:, 3] == rounds[:, 5]).all()
        assert (rounds[:, [0, 2, 3]].sum(axis=1) == 3).all()
        assert np.array_equal(rounds, metrics.rounds_by_group(groups, 200, 0))

    def test_intervals_are_wider_when_pictures_of_a_patient_are_alike(self, rng):
        right = np.repeat(rng.random(40) < 0.7, 10)
        labels, probabilities = np.zeros(400, int), np.stack([right, ~right], axis=1).astype(np.float32)
        wide, narrow = (
            metrics.interval(
                metrics.resampled(labels, probabilities, metrics.rounds_by_group(groups.astype(str), 500, 0))[
                    "accuracy"
                ]
            )
            for groups in (np.repeat(np.arange(40), 10), np.arange(400))
        )
        assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])

    def test_rounds_are_what_scikit_learn_says_of_their_pictures(self, rng):
        labels = np.arange(30) % 3
        probabilities = rng.dirichlet(np.ones(3), 30).astype(np.float32)
        rounds = metrics.rounds_by_group([str(i) for i in range(30)], 20, 0)
        found = metrics.resampled(labels, probabilities, rounds)
        for place, counts in enumerate(rounds):
            drawn = np.repeat(np.arange(30), counts)
            true, said = labels[drawn], probabilities[drawn].argmax(axis=1)
            assert found["accuracy"][place] == pytest.approx(sk.accuracy_score(true, said))
            assert found["balanced_accuracy"][place] == pytest.approx(sk.balanced_accuracy_score(true, said))
            assert found["macro_f1"][place] == pytest.approx(sk.f1_score(true, said, average="macro", zero_division=0))
            if len(set(true)) == 3:
                assert found["auc"][place] == pytest.approx(
                    np.mean([sk.roc_auc_score(true == c, probabilities[drawn][:, c]) for c in range(3)])
                )

    @pytest.mark.parametrize(
        ("labels", "said"), [([0, 0, 0], [0, 0, 0]), ([0, 0, 1], [0, 2, 2]), ([2, 1, 1], [2, 2, 2])]
    )
    def test_classes_that_do_not_occur(self, labels, said):
        """As scikit-learn's own macro average, and no figure where there is nothing to count."""
        labels, said = np.array(labels), np.array(said)
        probabilities = np.eye(3, dtype=np.float32)[said]
        found = metrics.figures(labels, probabilities, ["a", "b", "c"])
        assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, said, average="macro", zero_division=0))
        for c, name in enumerate("abc"):
            assert (found["recall"][name] is None) == (c not in labels)
            assert (found["f1"][name] is None) == (c not in labels and c not in said)

    def test_all_wrong_is_an_auc_of_nothing_not_of_none(self):
        labels, probabilities = np.array([0, 0, 1, 1]), np.float32([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.8, 0.2]])
        found = metrics.resampled(labels, probabilities, np.ones((3, 4), np.int16))
        assert found["auc"].tolist() == [0, 0, 0]

    def test_a_class_without_pictures_has_no_auc(self):
        found = metrics.resampled(
            np.zeros(4, int), np.tile(np.float32([0.6, 0.4]), (4, 1)), metrics.rounds_by_group(list("abcd"), 5, 0)
        )
        assert np.isnan(found["auc"]).all()
        assert metrics.interval(found["auc"]) is None

    def test_calibration_by_hand(self):
        probabilities = np.float32([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65]])
        found = metrics.reliability(np.array([0, 1, 1, 1]), probabilities)
        assert found.counts == [2, 2]
        assert found.accuracy == [1.0, 0.5]
        assert found.expected_calibration_error == pytest.approx(0.5 * 0.35 + 0.5 * 0.45)

    @pytest.mark.parametrize("recall", [0.05, 0.5, 0.8, 0.95, 1.0])
    def test_the_threshold_is_the_highest_that_reaches_the_recall(self, recall, rng):
        labels, scores = rng.random(60) < 0.5, rng.random(60).astype(np.float32)
        threshold = metrics.threshold_for(labels, scores, recall)
        assert (scores[labels] >= threshold).mean() >= recall - 1e-9
        assert (scores[labels] > threshold).mean() < recall

    def test_numbers_in_bands(self):
        values = np.array([5.0] * 10 + [np.nan])
        assert set(metrics.bands(values)) == {"up to 5", "unknown"}
        assert set(metrics.bands(np.full(3, np.nan))) == {"unknown"}

    def test_nothing_to_count(self):
        found = metrics.at_threshold(np.array([False, False]), np.array([0.1, 0.2]), 0.5)
        assert found["recall"] is None
        assert found["precision"] is None
        assert found["specificity"] == 1.0
