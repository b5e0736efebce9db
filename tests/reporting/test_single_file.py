"""A report in a single file is small enough to hand over, or refused before anything is drawn."""

import re

import pytest

from facelime_cli.reporting import report_files, single_file
from facelime_cli.reporting.report import Report, Request
from facelime_cli.reporting.report_pages import ReportPages
from facelime_cli.store.references import Store

REQUEST = Request(classes=None, top=10, by_zone=None, single_file=True, style="facelime")


def test_what_is_expected_is_what_it_has(chain):
    run = chain.facelime
    made = run.artifact("render", chain["fit-surrogate"].id, "--single-file")
    report = Report([chain["fit-surrogate"]], REQUEST)
    expected = single_file._expected(report, ReportPages(report, made), range(3))
    assert (made.path / "index.html").stat().st_size == pytest.approx(expected, rel=0.2)


def test_one_that_is_too_large_is_refused_and_leaves_nothing(chain, monkeypatch):
    run = chain.facelime
    monkeypatch.setattr(single_file, "MOST_BYTES", 90_000)
    before = {each.reference for each in Store(run.store).artifacts()}
    refused = run.fails("render", chain["fit-surrogate"].id, "--single-file", "--top", 8)
    assert re.search(r"--single-file would make one page of about \d+ MB, and 1 MB are allowed; leave", refused)
    assert before == {each.reference for each in Store(run.store).artifacts()}


def test_near_the_limit_every_picture_counts(chain, monkeypatch):
    report, asked = Report([chain["fit-surrogate"]], REQUEST), []
    monkeypatch.setattr(single_file, "SAMPLE", 2)
    monkeypatch.setattr(single_file, "_expected", lambda _report, _pages, rows: asked.append(list(rows)) or 20_000_000)
    single_file.check_size(report, None)
    assert asked == [[0, 2], [0, 1, 2]]


def test_far_from_the_limit_a_few_pictures_tell(chain, monkeypatch):
    report, asked = Report([chain["fit-surrogate"]], REQUEST), []
    monkeypatch.setattr(single_file, "SAMPLE", 2)
    monkeypatch.setattr(single_file, "_expected", lambda _report, _pages, rows: asked.append(list(rows)) or 63_000_000)
    with pytest.raises(single_file.FacelimeError, match="about 63 MB, and 25 MB are allowed"):
        single_file.check_size(report, None)
    assert asked == [[0, 2]]


def test_what_is_larger_than_expected_is_refused_at_the_end(chain, monkeypatch):
    run = chain.facelime
    monkeypatch.setattr(report_files, "check_size", lambda *_: None)
    monkeypatch.setattr(single_file, "MOST_BYTES", 90_000)
    refused = run.fails("render", chain["fit-surrogate"].id, "--single-file", "--top", 9)
    assert "--single-file would make one page of about" in refused
    monkeypatch.undo()
    made = run.artifact("render", chain["fit-surrogate"].id, "--single-file", "--top", 9)
    assert made.complete
