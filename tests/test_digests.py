"""Fingerprints, contents and parameters are those of the table that `store_of_every_kind.py` keeps."""

import pytest

from tests import store_of_every_kind


@pytest.mark.long
def test_every_artifact_is_the_one_in_the_table(tmp_path):
    found = store_of_every_kind.make(tmp_path)
    assert store_of_every_kind.differences(found, store_of_every_kind.kept_table()) == []


@pytest.mark.long
def test_datasets_segments_and_masks_are_those_in_the_table(tmp_path):
    found = store_of_every_kind.make(tmp_path, integers_only=True)
    assert store_of_every_kind.differences(found, store_of_every_kind.kept_table(), integers_only=True) == []


def test_the_table_holds_every_kind_and_every_stage():
    everywhere = store_of_every_kind.kept_table()["everywhere"].values()
    assert {each["kind"] for each in everywhere} == {
        "datasets",
        "models",
        "evaluations",
        "segments",
        "masks",
        "predictions",
        "surrogates",
        "checks",
        "reports",
    }
    assert len({each["stage"] for each in everywhere}) == 17


def test_a_difference_is_named():
    expected = {"slic": {"id": "slic-1", "arrays": {"segments": "a", "row": "b"}}}
    found = {"slic": {"id": "slic-1", "arrays": {"segments": "c"}}, "more": {}}
    assert store_of_every_kind.compared("", expected, found) == [
        "more: is new",
        "slic > arrays > row: is missing",
        "slic > arrays > segments: 'c', and should be 'a'",
    ]
