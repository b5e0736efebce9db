"""Reports of several findings per picture: independent probabilities, and what is true and right of each finding."""

import csv
import html
import json
import re

import numpy as np
import pytest

from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.report_records import PictureShown
from tests.browser import Browser, needs_chromium
from tests.findings import NAMES, ORDER

PICTURES = 6
WORDS = ("--method", "grid", "--segments", 16)


@pytest.fixture(scope="module")
def surrogates(several):
    """Surrogates of some pictures for every finding, by one plain run."""
    segments = several.artifact("segment", "chest", "--split", "test", "--first", PICTURES, *WORDS, "--name", "parts")
    masks = several.artifact("perturb", segments.id, "--samples", 60, "--fill", "grey")
    predictions = several.artifact("predict", masks.id, "--model", "good")
    return several.artifact("fit-surrogate", predictions.id)


@pytest.fixture(scope="module")
def explanations(surrogates):
    return Explanations(surrogates)


@pytest.fixture(scope="module")
def known(explanations):
    """For each picture what is known: from a finding to whether it is present."""
    dataset, rows = explanations.dataset, explanations.segmentation.read("row")
    labels, names = dataset.read("labels"), dataset.facts["classes"]
    return [{name: bool(each) for name, each in zip(names, labels[row], strict=True) if each >= 0} for row in rows]


def shown(explanations, row):
    nothing = {"anchor": "", "image": "", "inside": False, "outlines": [], "classes": [], "stand_ins": []}
    return PictureShown(explanations=explanations, row=row, left_out=False, **nothing)


class TestPicture:
    def test_every_finding_has_its_probability_and_its_label(self, explanations, known):
        wrong = 0
        for row, its in enumerate(known):
            answers = shown(explanations, row).answers
            assert sorted(each.name for each in answers) == sorted(ORDER)
            for each in answers:
                probability = explanations.answers[row, ORDER.index(each.name)]
                assert each.points == pytest.approx(100 * float(probability))
                assert each.said == (probability >= 0.5)
                assert each.flag == {True: "present", False: "absent", None: ""}[its.get(each.name)]
                expected = "" if each.name not in its else "right" if each.said == its[each.name] else "wrong"
                assert each.right == expected
                wrong += each.right == "wrong"
        # Among them is a mistake, so that both words are looked at.
        assert wrong

    def test_what_the_model_does_not_know_is_told(self, explanations, known, monkeypatch):
        monkeypatch.setattr(explanations, "answer_names", ["Effusion", "Edema", "Hernia", "other"])
        for row, its in enumerate(known):
            states = {True: "present", False: "absent"}
            expected = [f"Mass {states[its['Mass']]}"] if "Mass" in its else []
            assert shown(explanations, row).elsewhere == expected

    def test_right_counts_known_findings_only(self, explanations, known):
        for row, its in enumerate(known):
            assert set(explanations.right(row)) == set(its)


@pytest.fixture(scope="module")
def report(several, surrogates):
    return several.artifact("render", surrogates.id, "--classes", ",".join(ORDER))


@pytest.fixture(scope="module")
def page(report):
    return html.unescape((report.path / "index.html").read_text())


class TestReport:
    def test_the_page_says_that_probabilities_are_independent(self, page):
        assert page.count("Each finding has a probability of its own") == 1
        assert "do not add up to 100" in page
        assert " together " not in re.sub(r"<[^>]*>", " ", page).partition("Overview")[2].partition("Regions act")[0]

    def test_the_overview_counts_right_findings(self, page, explanations, known):
        rows = re.findall(r'<tr data-id="([^"]*)" data-said="([^"]*)" data-points="[^"]*" data-right="([^"]*)"', page)
        assert [row[0] for row in rows] == explanations.ids
        for row, (_, said, right) in enumerate(rows):
            called = [ORDER[c] for c in np.argsort(-explanations.answers[row]) if explanations.answers[row, c] >= 0.5]
            assert said.split("\n") == (called or [""])
            is_right = [(name in called) == present for name, present in known[row].items()]
            assert right == ("right" if all(is_right) else "wrong")
            assert f"{sum(is_right)} of {len(is_right)} right" in page

    def test_the_table_of_predictions(self, report, known):
        rows = list(csv.DictReader((report.path / "predictions.csv").open()))
        words = {True: "present", False: "absent", None: ""}
        for row, its in zip(rows, known, strict=True):
            assert [row[f"{name} label"] for name in NAMES] == [words[its.get(name)] for name in NAMES]

    def test_the_same_report_again_is_the_same(self, several, surrogates, report):
        answer = several.json("render", surrogates.id, "--classes", ",".join(ORDER))
        assert (answer["artifact"], answer["reused"]) == (report.id, True)

    @needs_chromium
    def test_in_a_browser(self, report, explanations):
        with Browser() as browser:
            browser.open(report.path / "index.html")
            assert browser.console == []
            meters = "[...document.querySelector('#p00000 .answer').querySelectorAll('.meter.own')]"
            widths = browser.ask(f"{meters}.map(each => each.firstElementChild.offsetWidth / each.clientWidth)")
            expected = np.sort(explanations.answers[0])[::-1]
            assert widths == pytest.approx(expected.tolist(), abs=0.02)
            line = browser.ask(f"getComputedStyle({meters}[0], '::after').left")
            width = browser.ask(f"{meters}[0].clientWidth")
            assert float(line.removesuffix("px")) == pytest.approx(width / 2, abs=1)
            # A picture with two called findings is found by either of them.
            rows = browser.ask("[...document.querySelectorAll('.overview tbody tr')].map(each => each.dataset.said)")
            for name in sorted({name for row in rows for name in row.split("\n") if name}):
                browser.ask(
                    "(() => { const select = document.getElementById('filter-said');"
                    f" select.value = {json.dumps(name)}; select.dispatchEvent(new Event('input', {{bubbles: true}}));"
                    " select.dispatchEvent(new Event('change', {bubbles: true})); })()"
                )
                left = browser.ask(
                    "[...document.querySelectorAll('.overview tbody tr')].filter(each => !each.hidden).length"
                )
                assert left == sum(name in row.split("\n") for row in rows)
