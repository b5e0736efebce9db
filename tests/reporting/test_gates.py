"""Conditions: how they are read, which figures an evaluation has, and what a JUnit file says."""

from xml.etree import ElementTree as ET

import pytest

from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.reporting import junit
from facelime_cli.reporting.gates import Condition, Outcome, condition_of, figure_of, figures


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        (">=0.8", 0.8, True),
        (">=0.8", 0.7999, False),
        (" <= 10% ", 0.1, True),
        ("<1e-1", 0.1, False),
        (">0", 0.0, False),
        (">=.5", 0.5, True),
    ],
)
def test_a_condition_holds_at_its_bound_only_where_it_says_so(text, value, holds):
    assert condition_of("--confirmed", text).holds(value) is holds


@pytest.mark.parametrize("text", ["0.8", "=0.8", "==0.8", ">=", ">=high", ">=nan", "auc>=0.8", ">=0.8 and more", ">>1"])
def test_what_is_no_condition_is_refused_with_an_example(text):
    with pytest.raises(CommandLineError, match=r'in quotation marks: --confirmed ">=0\.8"'):
        condition_of("--confirmed", text)


@pytest.mark.parametrize("text", [">=80", "<=-0.1", ">=1.01", ">=101%"])
def test_a_share_lies_between_0_and_1(text):
    with pytest.raises(CommandLineError, match="a share lies between 0 and 1"):
        condition_of("--confirmed", text)


def test_figures_may_have_names_of_several_words_and_any_bound():
    assert figure_of("mae of age<=7.5") == ("mae of age", Condition("<=", 7.5))
    for text in (">=0.9", "auc", "auc is 0.9"):
        with pytest.raises(CommandLineError, match="figure's name"):
            figure_of(text)


def test_figures_of_findings_have_the_name_of_theirs():
    at_test = {"recall": 0.9, "recall_interval": [0.8, 1.0], "specificity": 0.7, "precision": None, "f1": 0.8}
    thresholds = {"Edema": {"picked": "f1", "threshold": 0.3, "validation": {"recall": 0.1}, "test": at_test}}
    edema = {"n": 4, "enough": True, "auc": 0.8, "auc_interval": [0.7, 0.9], "calibration": {}}
    found = figures(
        {
            "n": 4,
            "right": 3,
            "macro_auc": 0.8,
            "bootstrap_intervals": {"macro_auc": [0.7, 0.9]},
            "findings": {"Edema": edema},
            "thresholds": thresholds,
            "calibration_figures": {"brier": 0.2},
        }
    )
    assert found == {
        "macro_auc": (0.8, [0.7, 0.9]),
        "auc of Edema": (0.8, [0.7, 0.9]),
        "brier": (0.2, None),
        "recall of Edema": (0.9, [0.8, 1.0]),
        "specificity of Edema": (0.7, None),
        "precision of Edema": (None, None),
        "f1 of Edema": (0.8, None),
    }


def test_figures_of_values_have_the_name_of_theirs():
    age = {"column": "age", "n": 4, "groups": 4, "mae": 3.5, "r2": None, "intervals": {"mae": [3, 4], "r2": None}}
    found = figures({"n": 4, "groups": 4, "unit": "years", "values": {"age": age}, "thresholds": {}})
    assert found == {"mae of age": (3.5, [3, 4]), "r2 of age": (None, None)}


def test_a_junit_file_has_a_test_for_each_condition_and_names_no_picture():
    outcomes = [
        Outcome("confirmed", Condition(">=", 0.8), 0.5, "1 of 2 explanations", "1 strong", ("patient/7",)),
        Outcome("inside <a>&\x1b.png", Condition("<=", 0.8), 0.5, "2 explanations"),
    ]
    content = junit.document(outcomes, {"artifact": "checks/c"})
    assert b"patient" not in content
    root = ET.fromstring(content)  # noqa: S314 - our own
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "2", "1")
    suite = root.find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "2",
        "1",
        "0",
        "0",
    )
    assert suite.find("properties/property").attrib == {"name": "artifact", "value": "checks/c"}
    first, second = suite.findall("testcase")
    assert first.find("failure").get("message") == (
        "confirmed is 0.500 (1 of 2 explanations, 1 strong), and should be >= 0.8"
    )
    assert second.find("failure") is None
    assert second.get("name") == r"inside <a>&\x1b.png <= 0.8"


def test_a_junit_file_takes_the_place_of_an_earlier_one_alone(tmp_path):
    file = tmp_path / "gate.xml"
    for begun in (None, "", '<?xml version="1.0"?>\n<testsuite name="another"/>'):
        if begun is not None:
            file.write_text(begun)
        junit.check_place(file)
    file.write_text("a letter")
    with pytest.raises(FacelimeError, match="is no report of tests"):
        junit.check_place(file)
    assert file.read_text() == "a letter"
