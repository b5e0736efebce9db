"""The verdict before the check is the first rule that holds; after it, the number of fills that confirm."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest

from facelime_cli.core import verdict
from facelime_cli.core.verdict import Figures

GOOD = Figures(
    effective_samples=900.0,
    spread=0.1,
    r2=0.95,
    limit=0.96,
    imprecision=0.2,
    repeat=0.9,
    n_samples=1000,
    n_segments=20,
    complete=False,
)
RULES = [
    ({}, verdict.NOT_CHECKED),
    ({"effective_samples": 19.0}, verdict.TOO_NARROW),
    ({"effective_samples": 39.0}, verdict.NEEDS_MORE + "1,000"),
    ({"spread": 0.004}, verdict.NOTHING),
    ({"limit": nan}, verdict.NEEDS_MORE + "100"),
    ({"r2": 0.1}, verdict.NOT_CHECKED),
    ({"imprecision": nan}, verdict.NOT_CHECKED),
    ({"imprecision": 1.0}, verdict.NEEDS_MORE + "4,000"),
    ({"repeat": 0.4, "r2": 0.8}, verdict.NEEDS_MORE + "1,500"),
    ({"repeat": 0.4, "r2": nan}, verdict.NEEDS_MORE + "1,500"),
    ({"repeat": 0.4}, verdict.NOT_CHECKED),
]
ANSWERS = np.array([[0.0, 1.0, 3.0]] * 4)
YES, NO = 1 / 40, 0.5
NUMBERS = (1, 3)


@pytest.mark.parametrize(("changed", "words"), RULES)
def test_each_rule(changed, words):
    assert verdict.before_check(replace(GOOD, **changed)) == words


@pytest.mark.parametrize("changed", [{"effective_samples": 19.0}, {"limit": nan}, {"imprecision": 1.0}])
def test_all_masks_leave_nothing_to_chance(changed):
    assert verdict.before_check(replace(GOOD, **changed, complete=True)) == verdict.NOT_CHECKED


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ([[YES, YES, YES, YES], [NO] * 4], verdict.STRONG),
        ([[YES, YES, NO, NO], [NO, YES, YES, NO]], verdict.STRONG),
        ([[YES, NO, NO, NO], [NO, YES, YES, YES]], verdict.FAIR),
        ([[NO] * 4, [YES] * 4], verdict.FAIR),
        ([[YES, YES, NO, NO], [NO] * 4], verdict.FAIR),
        ([[NO] * 4, [NO, YES, NO, NO]], verdict.DEPENDS),
        ([[NO] * 4] * 2, verdict.NOT_CONFIRMED),
    ],
)
def test_the_number_of_fills_that_confirm_gives_the_word(p, words):
    p = np.array(p)
    assert verdict.after_check(verdict.NOT_CHECKED, ANSWERS, np.ones(p.shape), p, NUMBERS) == words


@pytest.mark.parametrize("before", [verdict.NEEDS_MORE + "2,400", verdict.TOO_NARROW])
def test_too_few_samples_are_only_named_where_nothing_is_confirmed(before):
    effect = np.ones((1, 4))
    assert verdict.after_check(before, ANSWERS, effect, np.full((1, 4), NO), [1]) == before
    assert verdict.after_check(before, ANSWERS, effect, np.full((1, 4), YES), [1]) == verdict.STRONG


def test_a_small_effect_confirms_nothing():
    p = np.full((1, 4), YES)
    assert verdict.after_check(verdict.NOT_CHECKED, ANSWERS, np.full((1, 4), 0.09), p, [1]) == verdict.NOT_CONFIRMED


def test_still_and_saturated_answers_have_nothing_to_explain():
    effect, p = np.ones((1, 4)), np.full((1, 4), YES)
    assert verdict.after_check(verdict.NOTHING, ANSWERS, effect, p, [1]) == verdict.NOTHING
    assert verdict.after_check(verdict.NOT_CHECKED, np.full((4, 3), 2.0), effect, p, [1]) == verdict.NOTHING
    assert verdict.after_check(verdict.NOT_CHECKED, ANSWERS + 15.1, effect, p, [1]) == verdict.SATURATED


def test_nothing_to_compare_with_is_no_refutation():
    nothing = np.full((2, 4), nan)
    assert verdict.after_check(verdict.NOT_CHECKED, ANSWERS, nothing, nothing, NUMBERS) == verdict.TOO_FEW_REGIONS


@pytest.mark.parametrize("old", ["trustworthy", "not linear here", "too sparse: the model answers to more segments"])
def test_verdicts_of_earlier_versions_read_as_not_checked(old):
    assert verdict.known(old) == verdict.NOT_CHECKED
    assert verdict.word_of(old).text == verdict.NOT_CHECKED
