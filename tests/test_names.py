"""What users name on the command line."""

import pytest

from facelime_cli.names import class_indices, comma_separated, listing


@pytest.mark.parametrize("names", [["a", "b"], ["a\nb", "c"], ["a\rb"], ['a"b', "c,d"], ["=1", "-2"], [" a"]])
def test_a_listing_is_read_as_it_was_written(names):
    assert [name.strip() for name in comma_separated(listing(names))] == [name.strip() for name in names]


def test_classes_as_they_are_named():
    names = ["cat", "dog", "crane, small"]
    assert class_indices('1,cat, "crane, small", cat', names) == [1, 0, 2]
    assert class_indices("crane, small", names) == [2]
