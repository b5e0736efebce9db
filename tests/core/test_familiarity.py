"""Distances from training pictures: what they are, and how often pictures of the same source are called strange."""

from functools import partial

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from facelime_cli.core import familiarity
from facelime_cli.core.familiarity import Familiar, class_means, familiar, neighbours


def drawn(rng, n, n_features=24, classes=2):
    """Return features of classes that lie apart, with their classes; every picture is a group of its own."""
    labels = np.arange(n) % classes
    centres = 3 * np.random.default_rng(5).standard_normal((classes, n_features))
    scales = np.linspace(0.1, 3, n_features)
    return (centres[labels] + scales * rng.standard_normal((n, n_features))).astype(np.float32), labels, np.arange(n)


def test_distances_to_class_means_are_those_of_mahalanobis(rng):
    features, labels, _ = drawn(rng, 200, n_features=6)
    means = np.stack([features[labels == c].mean(axis=0) for c in range(2)]).astype(np.float64)
    precision = LedoitWolf(assume_centered=True).fit(features - means[labels]).precision_
    others = 2 * rng.standard_normal((9, 6)).astype(np.float32)
    apart = others[:, None] - means
    expected = np.sqrt(np.einsum("ncf,fg,ncg->nc", apart, precision, apart).min(axis=1))
    assert class_means(features, labels, 200, dimensions=6).distances(others) == pytest.approx(expected, rel=1e-4)


def test_the_distance_to_a_neighbour_counts_the_wanted_rank(rng):
    features, labels, _ = drawn(rng, 60)
    summary = neighbours(features, labels, 60, dimensions=24, nearest=3)
    projected = (features - summary.offset) @ summary.projection
    apart = np.sort(np.linalg.norm(projected[:, None] - projected, axis=2), axis=1)
    # The nearest is the picture itself; differences of equal numbers are rounded.
    assert summary.distances(features) == pytest.approx(apart[:, 2], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("method", [class_means, neighbours])
def test_pictures_of_the_same_source_are_seldom_unlike(rng, method):
    features, labels, groups = drawn(rng, 400)
    others, _, _ = drawn(rng, 3000)
    summary = familiar(features, labels, groups, summarised=method)
    assert (summary.distances(others) > 1).mean() <= 0.02
    # Measured with a summary that contains them, training pictures are too near.
    whole = method(features, labels, 400)
    within = np.quantile(whole.distances(features), 0.99)
    assert (whole.distances(others) > within).mean() > (summary.distances(others) > 1).mean()


def test_the_last_one_would_fail_with_pictures_that_are_like_none(rng):
    features, labels, groups = drawn(rng, 400)
    strange = 20 * rng.standard_normal((50, 24)).astype(np.float32)
    assert (familiar(features, labels, groups).distances(strange) > 1).mean() > 0.9


def test_pictures_of_a_patient_are_measured_without_that_patient(rng):
    """Ten almost equal pictures of each patient: where some remain in the summary, all seem near."""
    patients, n_features = 40, 24
    base = rng.standard_normal((patients, n_features))
    features = np.repeat(base, 10, axis=0) + 0.001 * rng.standard_normal((10 * patients, n_features))
    classes, groups = np.zeros(len(features), np.int64), np.repeat(np.arange(patients), 10)
    taken = {"together": groups, "apart": np.arange(len(features))}
    found = {
        name: familiar(features.astype(np.float32), classes, each, summarised=partial(neighbours, nearest=1))
        for name, each in taken.items()
    }
    assert found["together"].threshold > 50 * found["apart"].threshold


def test_a_network_that_has_learned_by_heart_raises_the_threshold(rng):
    features, labels, groups = drawn(rng, 400)
    others, _, _ = drawn(rng, 400)
    usual = familiar(features, labels, groups)
    centres = np.stack([features[labels == c].mean(axis=0) for c in range(2)])
    # Its training pictures lie half as far from the middle of their class.
    tight = (centres[labels] + 0.5 * (features - centres[labels])).astype(np.float32)
    by_heart = familiar(tight, labels, groups, others)
    assert (familiar(tight, labels, groups).distances(others) > 1).mean() > 0.3
    assert (by_heart.distances(others) > 1).mean() <= 0.03
    assert familiar(features, labels, groups, others[:5]).threshold == usual.threshold


@pytest.mark.parametrize(
    ("counts", "method"),
    [((300, 200), "class means"), ((480, 20), "neighbours"), ((400,), "class means"), ((199, 200), "neighbours")],
)
def test_few_pictures_of_a_class_are_compared_one_by_one(rng, counts, method):
    labels = np.repeat(np.arange(len(counts)), counts)
    assert familiarity.method_for(labels) == method
    features = rng.standard_normal((len(labels), 8)).astype(np.float32)
    n_points = {"class means": len(counts), "neighbours": len(labels)}[method]
    assert len(familiar(features, labels, np.arange(len(labels))).points) == n_points


def test_features_that_never_change_are_no_trouble(rng):
    features, labels, groups = drawn(rng, 100)
    features[:, :12] = 7
    for method in (class_means, neighbours):
        assert np.isfinite(familiar(features, labels, groups, summarised=method).distances(features)).all()
    assert np.isfinite(familiar(np.ones_like(features), labels, groups).distances(features)).all()


def test_a_summary_is_read_as_it_was_written(rng):
    features, labels, groups = drawn(rng, 100)
    summary = familiar(features, labels, groups)
    again = Familiar.read(summary.arrays())
    assert np.array_equal(again.distances(features), summary.distances(features))


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": np.zeros(3)},
        {"points": np.zeros((2, 3))},
        {"points": np.zeros((0, 64))},
        {"projection": np.full((24, 24), np.nan)},
        {"nearest": 0},
        {"threshold": 0.0},
        {"threshold": np.nan},
    ],
)
def test_a_damaged_summary_is_refused(rng, wrong):
    features, labels, groups = drawn(rng, 100)
    with pytest.raises(ValueError, match="damaged"):
        Familiar.read({**familiar(features, labels, groups).arrays(), **wrong})


def test_features_of_another_network_are_refused(rng):
    features, labels, groups = drawn(rng, 100)
    with pytest.raises(ValueError, match="summary of 24"):
        familiar(features, labels, groups).distances(features[:, 1:])
