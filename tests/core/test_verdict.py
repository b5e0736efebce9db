"""The verdict is the first rule that holds."""

from dataclasses import replace
from math import nan

import pytest

from facelime_cli.core import verdict
from facelime_cli.core.verdict import Figures

GOOD = Figures(
    effective_samples=900.0,
    spread=0.1,
    r2=0.95,
    linear_limit=0.97,
    limit=0.96,
    imprecision=0.2,
    repeat=0.9,
    full_picture_error=0.01,
    n_samples=1000,
    n_segments=20,
    complete=False,
)
RULES = [
    ({}, verdict.TRUSTWORTHY),
    ({"effective_samples": 19.0}, verdict.TOO_NARROW),
    ({"effective_samples": 39.0}, verdict.NEEDS_MORE + "1,000"),
    ({"spread": 0.004}, verdict.NOTHING),
    ({"linear_limit": nan}, verdict.NEEDS_MORE + "100"),
    ({"linear_limit": 0.4}, verdict.NOT_LINEAR),
    ({"limit": 0.4}, verdict.TOO_SPARSE),
    ({"r2": 0.4}, verdict.NEEDS_MORE + "1,500"),
    ({"r2": nan}, verdict.NEEDS_MORE + "1,500"),
    ({"imprecision": nan, "r2": 0.8}, verdict.NO_INTERVAL),
    ({"imprecision": nan}, verdict.TRUSTWORTHY),
    ({"imprecision": 1.0}, verdict.NEEDS_MORE + "4,000"),
    ({"repeat": 0.4, "r2": 0.8}, verdict.NEEDS_MORE + "1,500"),
    ({"repeat": 0.4}, verdict.TRUSTWORTHY),
    ({"full_picture_error": 0.2}, verdict.NOT_LINEAR),
]


@pytest.mark.parametrize(("changed", "words"), RULES)
def test_each_rule(changed, words):
    assert verdict.verdict(replace(GOOD, **changed)) == words


@pytest.mark.parametrize("changed", [{"effective_samples": 19.0}, {"r2": 0.4}, {"imprecision": 1.0}])
def test_all_masks_leave_nothing_to_chance(changed):
    assert verdict.verdict(replace(GOOD, **changed, complete=True)) == verdict.TRUSTWORTHY
