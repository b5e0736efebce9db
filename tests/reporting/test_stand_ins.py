"""What stands where a region is off, beside pictures."""

from collections import Counter

import numpy as np
import pytest

from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.stand_ins import StandIns, shared_by


@pytest.fixture(scope="module")
def stood_in(judged):
    return StandIns(Explanations.of(judged.check), people=True)


def test_each_stands_once_in_plain_words(judged, stood_in):
    found, explanations = stood_in.of(0), Explanations(judged.consensus)
    other = {"normal": "rosacea", "rosacea": "normal"}[explanations.label(0)]
    assert [each.words for each in found] == [
        f"the most similar picture of class {other} (another patient)",
        f"the second most similar picture of class {other} (another patient)",
        "a blurred copy",
        "the region painted over from its border",
        "its mean colour",
    ]
    # Only the check took the mean colour.
    assert [each.own for each in found] == [True] * 4 + [False]


def test_the_pictures_are_those_that_stood_in(judged, stood_in):
    dataset, rows = judged.consensus.input("datasets"), judged.check.read("fill_row")
    first, second, *_ = stood_in.of(1)
    assert np.array_equal(first.picture(), dataset.read("images", [int(rows[1])])[0])
    assert np.array_equal(second.picture(), judged.views[1].input("masks").read("fill", [1])[0])
    mean = stood_in.of(1)[-1]
    assert np.array_equal(mean.picture(), judged.check.read("fill", [1])[0, judged.check.facts["fills"].index("mean")])


def test_other_people_are_left_out_when_asked(judged):
    alone = StandIns(Explanations.of(judged.check), people=False)
    assert alone.left_out
    assert {each.fill for each in alone.of(0)} == {"blur", "inpaint", "mean"}
    c = Explanations.of(judged.check).shown(0, None)[0]
    assert {each.stand_in.fill for each in alone.examples(0, c)} <= {"blur", "inpaint", "mean"}
    assert not StandIns(Explanations.of(judged.check), people=True).left_out


def test_without_a_check_the_views_tell_what_stood_in(judged, chain):
    joined = StandIns(Explanations(judged.consensus), people=True)
    assert [each.fill for each in joined.of(0)] == ["nearest-unlike", "nearest-unlike", "blur", "inpaint"]
    assert joined.examples(0, 0) == []
    single = StandIns(Explanations(chain["fit-surrogate"]), people=True)
    assert np.array_equal(single.of(2)[0].picture(), chain["perturb"].read("fill", [2])[0])
    assert StandIns(Explanations(chain["gradcam"]), people=True).of(0) == []


def test_examples_are_what_the_model_saw_and_answered(judged, stood_in):
    c = int(np.flatnonzero(judged.check.read("verdict")[0] != "")[0])
    explanations, found = Explanations.of(judged.check), stood_in.examples(0, c)
    assert [each.stand_in.fill for each in found] == judged.check.facts["fills"]
    off = np.isin(explanations.segments(0), found[0].regions)
    for place, each in enumerate(found):
        composed = stood_in.composed(each)
        assert np.array_equal(composed[off], judged.check.read("fill", [0])[0, place][off])
        assert np.array_equal(composed[~off], explanations.image(0)[~off])
        assert each.before == pytest.approx(judged.check.read("probabilities")[0, place, 0, c], rel=1e-5)
        assert each.before == pytest.approx(explanations.full[0, c], abs=1e-5)
        assert 0 <= each.after <= 1


def test_a_contrast_is_told_as_a_difference(chain):
    check = chain.facelime.artifact("check", chain.reference("contrast"))
    explanations = Explanations.of(check)
    found = StandIns(explanations, people=True).examples(0, 0)
    assert found
    assert found[0].before == pytest.approx(float(explanations.full[0, 0]), abs=1e-5)


def test_one_picture_for_many_is_said(judged):
    assert shared_by(5, 8) == "One picture stands in for 5 of 8 patients."
    assert shared_by(2, 3) == ""
    assert shared_by(3, 40) == ""
    # Of the donors, each counts for every patient whom it stands in for.
    donors = [each.input("masks").read("fill_row").tolist() for each in judged.views[:2]]
    most = max(Counter(donor for pair in zip(*donors, strict=True) for donor in set(pair)).values())
    found = StandIns(Explanations.of(judged.check), people=True)
    assert found.sharing == shared_by(most, 3)
