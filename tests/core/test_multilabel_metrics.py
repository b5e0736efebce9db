"""Figures by finding equal those of scikit-learn on the known labels, finding by finding."""

import numpy as np
import pytest
from sklearn import metrics as sk

from facelime_cli.core import findings, metrics

N, L = 120, 5


@pytest.fixture
def answered(rng):
    """Labels with unknown ones and scores with ties."""
    labels = (rng.random((N, L)) < [0.5, 0.3, 0.3, 0.25, 0.6]).astype(np.int8)
    labels[rng.random((N, L)) < 0.2] = -1
    scores = np.clip(0.3 * (labels == 1) + rng.random((N, L)), 0, 1).round(1).astype(np.float32)
    return labels, scores, [f"patient{number // 3}" for number in range(N)]


THRESHOLDS = (0.5, 0.5, 0.4, 0.9, 0.5)


def by_scikit_learn(labels, scores, drawn):
    """Every figure of some pictures, which may be drawn several times, by scikit-learn."""
    labels, scores = labels[drawn], scores[drawn]
    found = {"auc": [], "average_precision": []}
    f1, known_true, known_called = [], [], []
    for c, threshold in enumerate(THRESHOLDS):
        known = labels[:, c] >= 0
        true, its = labels[known, c], scores[known, c]
        found["auc"].append(sk.roc_auc_score(true, its))
        found["average_precision"].append(sk.average_precision_score(true, its))
        called = its >= np.float32(threshold)
        f1.append(sk.f1_score(true, called))
        known_true.extend(true)
        known_called.extend(called)
    complete = (labels >= 0).all(axis=1)
    right = (scores >= np.float32(THRESHOLDS)) == labels
    return found | {
        "macro_auc": np.mean(found["auc"]),
        "macro_average_precision": np.mean(found["average_precision"]),
        "macro_f1": np.mean(f1),
        "micro_f1": sk.f1_score(known_true, known_called),
        "exact_match": right[complete].all(axis=1).mean(),
    }


def test_figures_are_scikit_learn_s_on_the_known_labels(answered):
    labels, scores, _ = answered
    expected = by_scikit_learn(labels, scores, np.arange(N))
    found = findings.figures(labels, scores, THRESHOLDS)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_each_round_is_what_scikit_learn_says_of_its_pictures(answered, monkeypatch):
    labels, scores, groups = answered
    # Several parts, the last of which is smaller.
    monkeypatch.setattr(findings, "CHUNK_VALUES", 7 * N)
    rounds = metrics.rounds_by_group(groups, 30, 0)
    found = findings.resampled(labels, scores, THRESHOLDS, rounds)
    for place, counts in enumerate(rounds):
        expected = by_scikit_learn(labels, scores, np.repeat(np.arange(N), counts))
        for name, value in expected.items():
            assert found[name][place] == pytest.approx(value, abs=1e-12), name


def test_an_unknown_label_counts_nowhere(answered):
    """Whatever a model says of them: 0 or 1 for each unknown label gives the same figures."""
    labels, scores, groups = answered
    unknown = labels < 0
    rounds = metrics.rounds_by_group(groups, 20, 0)

    def everything(its):
        columns = [
            (
                findings.at_threshold(labels[:, c], its[:, c], 0.5),
                findings.best_threshold(labels[:, c], its[:, c]),
                vars(findings.calibration(labels[:, c], its[:, c])),
            )
            for c in range(L)
        ]
        resampled = findings.resampled(labels, its, THRESHOLDS, rounds)
        return (
            findings.figures(labels, its, THRESHOLDS),
            columns,
            {name: each.tolist() for name, each in resampled.items()},
        )

    low, high = (everything(np.where(unknown, np.float32(value), scores)) for value in (0.0, 1.0))
    assert low == high
    # The first can fail: a known label does count.
    assert everything(np.where(labels == 0, np.float32(1), scores)) != low


def test_pictures_are_counted_by_finding():
    labels = np.array([[1, -1], [1, 0], [0, 0], [-1, 0]], np.int8)
    first, second = findings.counted(labels, ["a", "a", "b", "c"])
    assert first == {
        "n": 3,
        "positive": 2,
        "negative": 1,
        "unknown": 1,
        "prevalence": 2 / 3,
        "positive_groups": 1,
        "negative_groups": 1,
        "enough": False,
    }
    assert (second["positive"], second["prevalence"], second["negative_groups"]) == (0, 0.0, 3)


@pytest.mark.parametrize(("n_groups", "enough"), [(9, False), (10, True)])
def test_ten_groups_of_both_kinds_are_enough(n_groups, enough):
    """A hundred pictures of nine patients are as few as nine."""
    groups = [f"{kind}{number % n_groups}" for kind in "ab" for number in range(100)]
    labels = np.repeat([[1], [0]], 100, axis=0).astype(np.int8)
    for each in (labels, 1 - labels):
        assert findings.counted(each, groups)[0]["enough"] == enough


def test_a_finding_that_nobody_has_says_nothing_and_is_in_no_mean():
    labels = np.array([[1, 0, -1], [0, 0, -1], [1, 0, -1]], np.int8)
    scores = np.float32([[0.9, 0.8, 0.1], [0.1, 0.2, 0.9], [0.8, 0.1, 0.5]])
    found = findings.figures(labels, scores, [0.5] * 3)
    assert found["auc"] == [1.0, None, None]
    assert found["macro_auc"] == 1.0
    # It was called once, wrongly: that is an F1 of 0. The third was never known.
    assert found["macro_f1"] == pytest.approx((1 + 0) / 2)
    assert found["micro_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert found["exact_match"] is None
    assert findings.calibration(labels[:, 2], scores[:, 2]) is None
    assert findings.best_threshold(labels[:, 1], scores[:, 1]) is None


def test_a_round_without_a_finding_has_no_mean():
    labels, scores = np.array([[1], [0]], np.int8), np.float32([[0.9], [0.1]])
    found = findings.resampled(labels, scores, [0.5], np.int16([[2, 0], [1, 1], [0, 2]]))
    assert np.isnan(found["macro_auc"]).tolist() == [True, False, True]
    assert np.isnan(found["macro_average_precision"]).tolist() == [True, False, True]
    assert found["exact_match"].tolist() == [1, 1, 1]


def test_the_threshold_with_the_highest_f1(rng):
    labels = (rng.random(80) < 0.3).astype(np.int8)
    scores = np.clip(0.2 * labels + rng.random(80), 0, 1).round(2).astype(np.float32)
    threshold = findings.best_threshold(labels, scores)
    by_value = {value: sk.f1_score(labels, scores >= value) for value in np.unique(scores)}
    best = max(by_value.values())
    assert threshold == max(value for value, f1 in by_value.items() if f1 == best)
    assert findings.at_threshold(labels, scores, threshold)["f1"] == pytest.approx(best)


def test_calibration_by_hand():
    labels = np.array([1, 0, 1, 1, -1], np.int8)
    found = findings.calibration(labels, np.float32([0.05, 0.05, 0.95, 0.95, 0.5]))
    assert found.counts == [2, 2]
    assert found.accuracy == [0.5, 1.0]
    assert found.expected_calibration_error == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)


def test_memory_does_not_grow_with_the_number_of_rounds():
    """The rounds are worked on in parts of a bounded size, which together are all of them."""
    rounds = np.ones((300, 50_000), np.int16)
    parts = [each.shape[1] for each in findings.chunks(rounds)]
    assert sum(parts) == 300
    assert max(parts) * 50_000 <= findings.CHUNK_VALUES
