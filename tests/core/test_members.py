"""Where the networks of a mean differ: computed by hand on a few answers."""

import numpy as np
import pytest

from facelime_cli.core.checking import log_odds
from facelime_cli.core.members import NONE, apart, differing


def asked(*members):
    """Return what members answer of the first of two classes, for each mask: (1, S, M, 2)."""
    first = np.array(members, np.float64).T[None]
    return np.stack([first, 1 - first], axis=-1)


def test_each_member_has_the_segment_that_it_loses_most_without():
    answers = asked([0.9, 0.8, 0.3, 0.9], [0.7, 0.7, 0.6, 0.2], [0.6, 0.6, 0.6, 0.6])
    found = differing(answers, 3, 0)
    assert found.first.tolist() == [1, 2, NONE]
    assert found.answers.tolist() == [0.9, 0.7, 0.6]
    assert found.loss == pytest.approx([*(log_odds(np.array([0.9, 0.7])) - log_odds(np.array([0.3, 0.2]))), 0])
    assert differing(answers, 3, 1).first.tolist() == [NONE, NONE, NONE]


def test_fills_count_alike():
    """Under one fill alone another segment would be first."""
    one, other = asked([0.9, 0.2, 0.6]), asked([0.9, 0.9, 0.05])
    assert differing(one, 2, 0).first == 0
    assert differing(np.concatenate([one, other]), 2, 0).first == 1


def test_what_follows_the_single_segments_counts_for_nothing():
    answers = asked([0.9, 0.8, 0.7, 0.01, 0.01])
    assert differing(answers, 2, 0).first == 1


def test_a_contrast_is_of_two_classes():
    answers = np.array([[[[0.6, 0.3, 0.1]], [[0.2, 0.1, 0.7]], [[0.3, 0.6, 0.1]]]])
    assert differing(answers, 2, 0).first == 0  # the class itself falls most without segment 0
    found = differing(answers, 2, 0, (0, 1))  # but what tells it from the other class is segment 1
    assert found.first == 1
    assert found.answers == pytest.approx(0.3)


def test_the_mean_stands_before_the_members():
    members = np.random.default_rng(0).random((4, 7, 3, 2))
    both = np.concatenate([members.mean(axis=2), members.reshape(4, 7, 6)], axis=-1)
    assert np.array_equal(apart(both, 3), members)
