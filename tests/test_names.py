"""What users name on the command line."""

from facelime_cli.names import class_indices


def test_classes_as_they_are_named():
    names = ["cat", "dog", "crane, small"]
    assert class_indices('1,cat, "crane, small", cat', names) == [1, 0, 2]
    assert class_indices("crane, small", names) == [2]
