"""A check as reports read it."""

import numpy as np
import pytest

from facelime_cli.core.verdict import WORDS
from facelime_cli.reporting.checks import Check, Confirmation


def test_answers_are_those_of_the_masks_that_were_asked(judged):
    found, probabilities = Check(judged.check), judged.check.read("probabilities")
    count = int(judged.consensus.input("segments").read("n_segments")[0])
    assert found.answers(0, [], count) == pytest.approx(probabilities[0, :, 0])
    # Row s + 1 lacks segment s alone.
    assert found.answers(0, [3], count) == pytest.approx(probabilities[0, :, 4])
    c = int(np.flatnonzero(judged.check.read("verdict")[0] != "")[0])
    off = found.strongest(0, c)
    assert len(off) == 3
    order = judged.consensus.read("coefficients")[0, c, :count].argsort(kind="stable")[::-1].tolist()
    assert off == order[:3]
    assert found.answers(0, off, count).shape == probabilities[0, :, 0].shape
    # Nothing asks for the strongest and the weakest together.
    assert found.answers(0, [order[0], order[-1]], count) is None


def test_every_verdict_has_a_word(judged):
    for verdict in judged.check.read("verdict").ravel():
        assert verdict == "" or any(verdict.startswith(word.text) for word in WORDS)


def test_a_class_that_was_not_checked_has_no_confirmation(judged):
    verdicts, found = judged.check.read("verdict"), Check(judged.check)
    for row, c in np.ndindex(verdicts.shape):
        assert (found.confirmation(row, c) is None) == (verdicts[row, c] == "")


def test_the_largest_number_that_was_compared_counts():
    effect, p_value = np.array([[2.0, 0.5], [np.nan, np.nan]]), np.array([[0.04, 0.3], [np.nan, np.nan]])
    found = Confirmation([1, 3], ["blur", "mean"], effect, p_value)
    assert (found.number, found.mean_effect, found.worst_p) == (1, 1.25, 0.3)
    assert found.confirming == ["blur"]
    assert found.words("region") == (
        "Without the region that speaks most for it the model loses 1.2 log-odds more than without another region, "
        "as a mean over 2 stand-ins (p .04 to .3)."
    )
    less = Confirmation([1], ["mean"], np.array([[-0.25]]), np.array([[0.0001]]))
    assert "loses 0.25 log-odds less than" in less.words("region")
    assert less.words("region").endswith("(p < .001).")


def test_many_pictures_are_judged_under_a_fill_that_was_not_used(judged):
    found = Check(judged.check)
    first = [(row, int(np.flatnonzero(each != "")[0])) for row, each in enumerate(judged.check.read("verdict"))]
    cohort = found.cohort(first)
    assert (cohort.fill, cohort.number, cohort.compared) == ("mean", 3, 3)
    place = judged.check.facts["fills"].index("mean")
    p_values = [judged.check.read("p_value")[row, c, 1, place] for row, c in first]
    assert 0 <= cohort.held <= 3
    # Fisher's test: no more surprising than the product of all would be alone.
    assert np.prod(p_values) <= cohort.p_value <= 1
    assert found.cohort(first[:1]) is None
