"""What readers are told of pictures beyond the 99th percentile: a warning, or a note where chance explains them."""

import math

import pytest
from scipy.stats import binom

from facelime_cli.reporting import unlike


@pytest.mark.parametrize("n", [1, 2, 5, 6, 8, 35, 36, 200, 1000, 25_596])
def test_chance_brings_as_many_as_a_binomial_distribution(n):
    most = unlike.most_by_chance(n)
    assert binom.sf(most, n, 0.01) < 0.05
    assert most == 0 or binom.sf(most - 1, n, 0.01) >= 0.05


def test_one_of_two_hundred_is_a_note():
    facts = unlike.facts_of([0.5] * 199 + [1.25])
    [said] = unlike.said_of(facts)
    assert said.startswith(
        "1 of 200 pictures is beyond the 99th percentile of the training data, at a distance of 1.25"
    )
    assert "do not trust" not in said
    assert unlike.shown(facts) == {"unlike": said, "unlike_expected": True}


def test_more_than_chance_brings_is_a_warning():
    for strange, others in ((6, 194), (6, 2), (1, 0), (1, 4)):
        facts = unlike.facts_of([0.5] * others + [1.25] * strange)
        [said] = unlike.said_of(facts)
        assert said.startswith("warning: ")
        assert said.endswith("do not trust answers and maps there.")
        assert not unlike.shown(facts)["unlike_expected"]


def test_nothing_beyond_is_nothing_to_say():
    for facts in ({}, unlike.facts_of([]), unlike.facts_of([0.5, 1.0])):
        assert unlike.said_of(facts) == []
        assert unlike.shown(facts) == {"unlike": None, "unlike_expected": False}


def test_the_bound_is_found_for_very_many_pictures():
    n = 10**6
    assert abs(unlike.most_by_chance(n) - (0.01 * n + 1.645 * math.sqrt(0.0099 * n))) < 5
