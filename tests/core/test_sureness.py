"""By what pictures are ranked: how sure a model is of its answers and of its mistakes."""

import numpy as np
import pytest

from facelime_cli.core import sureness
from facelime_cli.core.sureness import NONE

HALVES = np.full(2, 0.5)


def test_the_mistakes_of_a_class_are_as_sure_as_the_wrong_answer():
    answers = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
    assert sureness.mistakes(answers, np.array([0, 1, 1]), None).tolist() == [0.8, 0.6, NONE]


def test_the_mistakes_of_findings_are_those_of_known_findings():
    answers = np.array([[0.9, 0.2], [0.9, 0.2], [0.9, 0.2], [0.4, 0.95]])
    labels = np.array([[0, 1], [-1, 1], [1, 0], [0, -1]], np.int8)
    found = sureness.mistakes(answers, labels, HALVES)
    assert found == pytest.approx([0.9, 0.8, NONE, NONE])
    # From another threshold on, another answer is wrong.
    assert sureness.mistakes(answers, labels, np.array([0.3, 0.5]))[3] == pytest.approx(0.4)


def test_the_errors_of_values_are_measured_by_their_own_mean():
    answers = np.array([[50.0, 1.0], [60.0, 2.0], [70.0, 3.0]])
    labels = np.array([[40.0, 1.0], [60.0, np.nan], [90.0, 3.3]])
    # Mean errors of 10 and 0.15.
    assert sureness.mistakes(answers, labels, None) == pytest.approx([1.0, 0.0, 2.0])


def test_values_that_are_right_everywhere_have_no_errors():
    answers = np.array([[50.0], [60.0]])
    assert sureness.mistakes(answers, answers, None).tolist() == [0, 0]


def test_sureness_is_the_lead_of_a_class_and_the_distance_of_a_finding():
    answers = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    assert sureness.sureness(answers, None) == pytest.approx([0.2, 0.7])
    assert sureness.sureness(answers, np.array([0.5, 0.5, 0.25])) == pytest.approx([0.0, 0.4])
