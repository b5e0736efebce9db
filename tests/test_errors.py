"""Errors: their exit codes, and what a sentence quotes of another exception."""

import pytest

from facelime_cli import errors


def test_exit_codes():
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FacelimeError)
    ]
    assert len(kinds) == 8
    codes = {kind: kind("a sentence").exit_code for kind in kinds}
    assert codes.pop(errors.CommandLineError) == 2
    assert set(codes.values()) == {1}


@pytest.mark.parametrize(
    ("why", "line"),
    [
        (ValueError("the first line.\nthe second"), "the first line"),
        (ValueError("  spaced  "), "spaced"),
        (KeyError(), "KeyError"),
        (None, "None"),
    ],
)
def test_the_first_line_of_an_exception_stands_inside_a_sentence(why, line):
    assert errors.first_line(why) == line


def test_a_stop_passes_by_those_who_catch_every_exception():
    assert not issubclass(errors.StopRequested, Exception)
    assert not errors.StopRequested().device_busy
    assert errors.EX_TEMPFAIL == 75
