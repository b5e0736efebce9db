"""Conditions on table columns: what they mean, what is unknown, and what is no condition."""

import numpy as np
import pytest

from facelime_cli.core.expressions import DEEPEST, ExpressionError, parse

TABLE = {
    "age": np.array([70, 50, np.nan, 61]),
    "limit": np.array([60, 60, 60, np.nan]),
    "sex": np.array(["female", "male", "", "female"], dtype=object),
    "body site": np.array(["neck", "and", "not", "arm, left"], dtype=object),
}


def places(text):
    return np.flatnonzero(parse(text).holds(TABLE)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age > 60 and sex == 'female'", [0, 3]),
        ('age>60 and sex=="female"', [0, 3]),
        ("age > 60 AND NOT sex == 'male'", [0, 3]),
        ("60 < age", [0, 3]),
        ("50 <= age < 70", [1, 3]),
        ("age == 50 or age == 61.0", [1, 3]),
        ("age == 5e1", [1]),
        ("age > -1", [0, 1, 3]),
        ("age > limit", [0]),
        ("sex != 'male'", [0, 3]),
        ("sex in ('male', 'other')", [1]),
        ("sex not in ('male')", [0, 3]),
        ("age in (50, 70)", [0, 1]),
        ("sex is empty", [2]),
        ("sex is not empty and age is not empty", [0, 1, 3]),
        ("[body site] == 'arm, left'", [3]),
        ("[body site] in ('and', 'not')", [1, 2]),
        # `and` binds more than `or`, and `not` more than both.
        ("sex == 'male' or sex == 'female' and age > 65", [0, 1]),
        ("(sex == 'male' or sex == 'female') and age > 65", [0]),
        ("not sex == 'male' and age < 65", [3]),
        ("not (sex == 'male' and age < 65)", [0, 3]),
        ("sex < 'g'", [0, 3]),
    ],
)
def test_what_a_condition_means(text, expected):
    assert places(text) == expected


def test_what_is_unknown_fits_neither_a_condition_nor_its_contrary():
    assert 2 not in places("age > 60")
    assert 2 not in places("not age > 60")
    assert 2 not in places("age == 70 or not age == 70")
    # But what is known decides where it is enough.
    assert places("age > 60 or [body site] == 'not'") == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it ends where a column"),
        ("   ", "it ends where a column"),
        ("age", "where a comparison"),
        ("age >", "it ends where a column"),
        ("age = 60", "written =="),
        ("age > 60 and", "it ends"),
        ("age > 60 sex == 'f'", "'sex' stands where `and`"),
        ("(age > 60", "it ends where )"),
        ("age > 60)", "')' stands"),
        ("sex == 'female", "what ' opens is not closed"),
        ("[body site == 'neck'", "what [ opens is not closed"),
        ("sex in 'male'", "where ("),
        ("sex in ()", "')' stands where a column"),
        ("1 < 2", "names no column"),
        ("'a' is empty", "'is' stands where"),
        ("age + 1 > 2", "cannot be read"),
        ("__import__('os').system('true')", "cannot be read"),
        ("open('x') == 1", "where a comparison"),
        ("age > 60; age", "cannot be read"),
        ("age.real > 60", "cannot be read"),
        ("age > 60and sex == 'f'", "cannot be read"),
        ("not " * (DEEPEST + 2) + "age > 1", "within one another"),
        ("(" * 5000 + "age > 1" + ")" * 5000, "letters"),
        ("(" * 1000 + "age > 1", "within one another"),
    ],
)
def test_what_is_no_condition(text, why):
    with pytest.raises(ExpressionError) as found:
        parse(text)
    assert why in str(found.value)


@pytest.mark.parametrize(("text", "why"), [("age == '60'", "age is of numbers"), ("sex > 3", "sex is of texts")])
def test_numbers_and_texts_are_not_compared(text, why):
    with pytest.raises(ExpressionError, match=why):
        parse(text).holds(TABLE)


def test_columns_are_named_once():
    assert parse("age > 1 and (age < 5 or sex == 'age')").columns == ("age", "sex")
