"""Which views an explanation is made of, and how they share the samples."""

import dataclasses

import pytest

from facelime_cli.choices import LEAST_SAMPLES_OF_VIEW, VIEWS
from facelime_cli.predicting.views import planned

UNLIKE = {"usual": 40, "fill": "nearest-unlike", "donors": 4}
BLUR = {"usual": 40, "fill": "blur", "donors": 4}


def keys(views):
    return [(each.segments, each.fill, each.donor) for each in views]


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("samples", [2, 49, 50, 99, 100, 333, 1000, 1007])
def test_the_samples_are_shared_exactly(name, samples):
    for where in (UNLIKE, BLUR, {**UNLIKE, "usual": None}):
        found = planned(VIEWS[name], **where, samples=samples)
        shares = [each.samples for each in found]
        assert sum(shares) == samples
        assert max(shares) - min(shares) <= 1
        assert shares == sorted(shares, reverse=True)
        assert len(found) == 1 or min(shares) >= LEAST_SAMPLES_OF_VIEW


@pytest.mark.parametrize("name", VIEWS)
def test_no_view_is_run_twice(name):
    for where in (UNLIKE, BLUR, {**BLUR, "usual": None}, {**UNLIKE, "donors": 1}, {**UNLIKE, "usual": 2}):
        found = keys(planned(VIEWS[name], **where, samples=10_000))
        assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", VIEWS)
def test_fewer_samples_run_the_first_of_the_views(name):
    every = keys(planned(VIEWS[name], **UNLIKE, samples=10_000))
    for samples in range(2, 600, 37):
        found = keys(planned(VIEWS[name], **UNLIKE, samples=samples))
        assert found == every[: len(found)]
        assert len(found) == min(len(every), max(1, samples // LEAST_SAMPLES_OF_VIEW))


def test_the_first_view_is_of_medium_scale_and_the_default_fill():
    for chosen in VIEWS.values():
        assert keys(planned(chosen, **UNLIKE, samples=1000))[0] == (40, "nearest-unlike", 1)
        assert keys(planned(chosen, **BLUR, samples=1000))[0] == (40, "blur", None)


def test_every_donor_has_a_view():
    for chosen in VIEWS.values():
        for donors in (1, 2, 3, 5, 8):
            found = planned(chosen, **{**UNLIKE, "donors": donors}, samples=10_000)
            assert {each.donor for each in found if each.donor is not None} == set(range(1, donors + 1))


def test_donors_belong_to_real_pictures_alone():
    assert all(each.donor is None for each in planned(VIEWS["consensus"], **BLUR, samples=1000))
    painted = [each for each in planned(VIEWS["consensus"], **UNLIKE, samples=1000) if each.fill != "nearest-unlike"]
    assert painted
    assert all(each.donor is None for each in painted)


def test_without_a_number_of_segments_there_is_one_scale():
    found = planned(VIEWS["consensus"], **{**UNLIKE, "usual": None}, samples=1000)
    assert {each.segments for each in found} == {None}
    assert {each.fill for each in found} == {"nearest-unlike", "blur", "inpaint"}
    assert len(planned(VIEWS["scales"], **{**UNLIKE, "usual": None, "donors": 1}, samples=1000)) == 1


def test_a_scale_has_two_segments_at_least():
    found = planned(VIEWS["scales"], **{**UNLIKE, "usual": 3, "donors": 1}, samples=1000)
    assert [each.segments for each in found] == [3, 2, 6]


def test_one_view_is_one_run():
    (only,) = planned(VIEWS["single"], **{**UNLIKE, "donors": 1}, samples=1000)
    assert dataclasses.astuple(only) == (40, "nearest-unlike", 1, 1000)
