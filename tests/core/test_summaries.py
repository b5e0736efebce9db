"""Counts and figures of a dataset's columns."""

import numpy as np
import pytest

from facelime_cli.core import summaries


def test_no_number_has_no_figures():
    assert summaries.spread(np.array([np.nan])) == summaries.Spread(0, 1, *[None] * 7)


def test_one_number_has_no_deviation():
    found = summaries.spread(np.array([3.0, np.inf]))
    assert (found.n, found.missing, found.mean, found.sd) == (1, 1, 3.0, None)
    assert (found.minimum, found.median, found.maximum) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_what_nobody_measured_is_missing(value):
    assert summaries.known(np.array([value, 1.0])).tolist() == [False, True]


def test_a_pair_that_is_there_twice_counts_twice():
    rows, columns = np.array([1, 1, 0]), np.array([0, 0, 1])
    assert summaries.crosstab(rows, columns, (2, 2)).tolist() == [[0, 1], [2, 0]]
