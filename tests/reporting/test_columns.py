"""Columns of a table against the class: what one counts by hand."""

import statistics
import warnings
from collections import Counter

import numpy as np
import pytest

from facelime_cli.drawing import figures
from facelime_cli.reporting import columns
from tests.reporting.reading import NASTY, PICTURES, cells, page_of, read_csv, rows_of_table


def test_more_classes_than_a_chart_has_room_for():
    labels = np.array([0, *range(50), 49, -1])
    classes = columns.Classes.of(labels, [f"c{k}" for k in range(50)])
    assert len(classes.shown) == 41
    assert classes.shown[0] == "c0"
    assert "c49" in classes.shown
    assert classes.shown[-1] == "11 other classes"
    assert classes.every[-1] == ""
    assert (classes.rows == 40).sum() == 11


def test_numbers_by_class(described):
    report = described.report
    rows = {row["class"]: row for row in read_csv(report, "columns.csv") if row["column"] == "age"}
    for name in ("mel", NASTY):
        of = [row["age"] for row in rows_of_table() if row["dx"] == name]
        ages = [float(age) for age in of if age]
        row = rows[name]
        assert (row["kind"], int(row["pictures"]), int(row["missing"])) == ("number", len(ages), of.count(""))
        assert float(row["mean"]) == pytest.approx(statistics.mean(ages))
        assert float(row["sd"]) == pytest.approx(statistics.stdev(ages))
        quarters = statistics.quantiles(ages, method="inclusive")
        assert [float(row[each]) for each in ("minimum", "q1", "median", "q3", "maximum")] == pytest.approx(
            [min(ages), *quarters, max(ages)]
        )
    assert report.facts["columns"]["age"]["missing"] == 2
    table = cells(page_of(report), "<h3>age</h3>")
    assert table[2][:3] == ["mel", rows["mel"]["pictures"], rows["mel"]["missing"]]


def test_values_by_class_and_empty_ones(described):
    report = described.report
    rows = [row for row in read_csv(report, "columns.csv") if row["column"] == "sex"]
    wanted = Counter((row["dx"], row["sex"]) for row in rows_of_table())
    assert {(row["class"], row["value"]): int(row["pictures"]) for row in rows} == wanted
    assert sum(float(row["share"]) for row in rows if row["class"] == "mel") == pytest.approx(1)
    assert next(row["share"] for row in rows if (row["class"], row["value"]) == ("mel", "")) == "0.1"
    assert report.facts["columns"]["sex"] == {
        "kind": "text",
        "n": 29,
        "missing": 1,
        "distinct": 2,
        "most_frequent": [["female", 21], ["male", 8]],
    }
    assert cells(page_of(report), "<h3>sex</h3>")[0] == ["class", "female", "male", "no value"]


def test_of_many_values_the_most_frequent_and_the_rest_are_shown(described):
    report = described.report
    table = cells(page_of(report), "<h3>site &lt;i&gt;&amp;</h3>")
    assert table[0][1] == "back"
    assert len(table[0]) == 14
    assert table[0][-1] == "8 other values"
    assert sum(int(cell) for row in table[1:] for cell in row[1:]) == PICTURES
    assert len({row["value"] for row in read_csv(report, "columns.csv") if row["column"] == "site <i>&"}) == 20


def test_a_class_without_any_number_or_value(tmp_path):
    classes = columns.Classes.of(np.array([0, 0, 1, -1]), ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (
            columns.column("x", np.array([1.0, np.nan, np.nan, 2.0]), classes),
            columns.column("y", np.array(["", "u", "", ""], dtype=object), classes),
        ):
            figures.write(each.chart(), [tmp_path / f"{each.name}.png"])
            assert [row[1] for row in each.rows()].count("b") == 1
            assert each.table()[-1][0] == "no label"


@pytest.mark.parametrize("values", [[1.0] * 4, [np.nan] * 4, [1e308, -1e308, 1e308, 5.0], [1e-300] * 4])
def test_odd_numbers_can_be_drawn(values, tmp_path):
    each = columns.column("x", np.array(values), columns.Classes.of(np.array([0, 0, 1, 1]), ["a", "b"]))
    figures.write(each.chart(), [tmp_path / "x.png", tmp_path / "x.svg"])
    assert (tmp_path / "x.png").stat().st_size > 1000
    assert {type(value) for value in each.facts().values()} <= {str, int, float, type(None)}
