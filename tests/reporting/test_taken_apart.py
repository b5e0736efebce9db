"""A picture taken apart: every answer is one that the model gave."""

import numpy as np
import pytest

from facelime_cli.core.checking import compared, log_odds, strongest_first
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.stand_ins import StandIns
from facelime_cli.reporting.taken_apart import Course, Others, Step, TakenApart, taken_apart


def checked(explanations):
    """Return picture and class of everything that the check asked about."""
    verdicts = explanations.check.artifact.read("verdict")
    return [(row, int(c)) for row, c in np.argwhere(verdicts != "")]


@pytest.fixture(scope="module")
def explanations(judged):
    return Explanations.of(judged.check)


@pytest.fixture(scope="module")
def stood_in(explanations):
    return StandIns(explanations, people=True)


def test_every_step_is_an_answer_to_the_picture_without_the_strongest(explanations, stood_in):
    check = explanations.check
    for row, c in checked(explanations):
        found, count = taken_apart(explanations, stood_in, row, c), explanations.counts[row]
        assert found.order == strongest_first(explanations.coefficients(row, c)).tolist()
        assert (found.steps[0], found.steps[-1]) == (0, count)
        assert {1, 3} <= set(found.steps)
        assert found.steps == sorted(set(found.steps))
        assert found.number == explanations.confirmation(row, c).number
        for course in found.courses:
            place = course.stand_in.place
            for step in course.steps:
                answers = check.answers(row, found.order[: step.gone], count)[place]
                assert step.answer == answers[c]
                most = int(answers.argmax())
                assert step.instead == ("" if most == c else explanations.answer_names[most])
            # The surrogate's own answer to the full picture is another one.
            assert course.steps[0].answer == pytest.approx(explanations.full[row, c], abs=1e-5)
            assert course.steps[0].answer != pytest.approx(explanations.figures(row, c)["local_prediction"], abs=1e-5)


def test_the_band_is_of_the_sets_that_effect_and_p_value_are_of(explanations, stood_in):
    check = explanations.check
    asked_more = 0
    for row, c in checked(explanations):
        found, count = taken_apart(explanations, stood_in, row, c), explanations.counts[row]
        _, answers = check.asked(row, count)
        sets = check.others(row, c, np.array(found.order), explanations.ids[row])
        assert list(sets) == found.compared == [1, 3]
        confirmation = explanations.confirmation(row, c)
        for course in found.courses:
            place = course.stand_in.place
            for number, k in enumerate(check.numbers):
                step, its = course.step(k), answers[place, sets[k], c]
                assert (step.others.low, step.others.high) == (its.min(), its.max())
                assert (step.others.n, step.others.more) == (len(its), (its > step.answer).sum())
                odds = log_odds(np.array([step.answer, *its]))
                wanted = confirmation.effect[number, place], confirmation.p_value[number, place]
                assert compared(odds) == pytest.approx(wanted)
        asked_more += len(sets[3])
    assert asked_more


def test_other_people_are_left_out_when_asked(judged, explanations):
    alone = StandIns(Explanations.of(judged.check), people=False)
    row, c = checked(explanations)[0]
    found = taken_apart(explanations, alone, row, c)
    assert {course.stand_in.fill for course in found.courses} == {"blur", "inpaint", "mean"}
    everyone = taken_apart(explanations, StandIns(explanations, people=True), row, c)
    assert everyone.courses[0].stand_in.fill == "nearest-unlike"


def test_what_was_not_asked_is_not_taken_apart(judged, explanations, stood_in):
    verdicts = judged.check.read("verdict")
    for row, c in np.ndindex(verdicts.shape):
        assert (taken_apart(explanations, stood_in, row, c) is None) == (verdicts[row, c] == "")
    unchecked = Explanations(judged.consensus)
    assert taken_apart(unchecked, StandIns(unchecked, people=True), 0, 0) is None


def test_of_a_contrast_the_difference_is_taken_apart(chain):
    check = chain.facelime.artifact("check", chain.reference("contrast"))
    explanations = Explanations.of(check)
    found = taken_apart(explanations, StandIns(explanations, people=True), 0, 0)
    one, other = explanations.contrast
    course = found.courses[0]
    answers = check.read("probabilities")[0, course.stand_in.place, 0]
    assert course.steps[0].answer == pytest.approx(answers[one] - answers[other])
    assert found.drawing.scale == (-1.0, 1.0) or min(step.answer for step in course.steps) >= 0
    assert not found.rivals


def drawn(answers, *, values=False, band=None):
    steps = [Step(gone, each, "", 0.0, (band or {}).get(gone)) for gone, each in answers.items()]
    return TakenApart([0, 1, 2], 1, [Course(None, steps)], values).drawing


def test_the_curve_stands_where_its_scale_says():
    drawing = drawn({0: 0.9, 1: 0.4, 3: 0.0}, band={1: Others(0.5, 0.8, 2, 2)})
    assert drawing.scale == (0.0, 1.0)
    assert (drawing.y(0.0), drawing.y(1.0)) == (drawing.bottom, drawing.top)
    middle = (drawing.left + drawing.right) / 2
    height = drawing.bottom - drawing.top
    line = [tuple(map(float, each.split(","))) for each in drawing.line(drawing.apart.courses[0]).split()]
    assert [x for x, _ in line] == [drawing.left, middle, drawing.right]
    assert [(drawing.bottom - y) / height for _, y in line] == pytest.approx([0.9, 0.4, 0.0], abs=0.001)
    band = [tuple(map(float, each.split(","))) for each in drawing.band(drawing.apart.courses[0]).split()]
    # From the full picture to both ends of what others answered, and back.
    assert [(drawing.bottom - y) / height for _, y in band] == pytest.approx([0.9, 0.8, 0.5, 0.9], abs=0.001)
    assert [x for x, _ in band] == [drawing.left, middle, middle, drawing.left]


def test_low_probabilities_and_values_have_a_scale_of_their_own():
    assert drawn({0: 0.031, 3: 0.01}).scale == (0.0, 0.05)
    assert drawn({0: -0.2, 3: 0.1}).scale == (-1.0, 1.0)
    low, high = drawn({0: 120.0, 3: 100.0}, values=True).scale
    assert low < 100
    assert high > 120
    # A value that never moves has a scale all the same.
    low, high = drawn({0: 5.0, 3: 5.0}, values=True).scale
    assert low < 5 < high


def test_a_check_says_what_its_band_is_of(explanations, stood_in):
    row, c = checked(explanations)[0]
    found = taken_apart(explanations, stood_in, row, c)
    assert "The check asked for them at 1 and 3 regions." in found.band
    assert "`facelime check --regions 1,3,5,10`" in found.band
    steps = [Step(0, 0.9, "", 0.0, None), Step(2, 0.5, "", 0.0, None)]
    assert TakenApart([0, 1], 2, [Course(None, steps)], values=False).band == ""
