"""Reports of many pictures: pages and strips of thumbnails by block, so that the number of files stays bounded."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from facelime_cli.reporting import report as reports
from facelime_cli.reporting.blocks import blocks, divided
from facelime_cli.reporting.report import BLOCK, SCALES, Report, Request
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.references import Store
from tests.browser import Browser, needs_chromium

ROWS = "[...document.querySelectorAll('.overview tbody tr')]"
REQUEST = Request(classes=None, top=7, by_zone=None, single_file=False, style="facelime")


@pytest.fixture
def divide(monkeypatch):
    """Let reports of three pictures be large ones: two pictures share a page."""
    monkeypatch.setattr(reports, "MOST_ON_A_PAGE", 2)
    monkeypatch.setattr(reports, "ON_A_PAGE", 2)


@pytest.fixture
def large(chain, divide):  # noqa: ARG001 - it must be there before
    return chain.facelime.artifact("render", chain["fit-surrogate"].id, "--top", 7)


def overview_of(report):
    index = (report.path / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="blocks">(.*?)</script>', index)[1])


def test_two_files_for_each_block_and_none_for_each_picture(large):
    of_blocks = {"pages/00000.html", "pages/00002.html", "thumbnails/00000.jpg", "thumbnails/00002.jpg"}
    assert set(large.files) == of_blocks | {"coefficients.csv", "predictions.csv", "index.html"}
    for folder in ("pages", "thumbnails"):
        assert {f"{folder}/{path.name}" for path in (large.path / folder).iterdir()} <= of_blocks
    assert not (large.path / "pictures").exists()
    heights = [Image.open(large.path / "thumbnails" / f"{first:05d}.jpg").height for first in (0, 2)]
    assert heights[0] == 2 * heights[1]


def test_pages_hold_their_pictures_and_lead_to_each_other(large, chain):
    ids = chain["fit-surrogate"].texts("id")
    for first, shown, links in (
        (0, [0, 1], {"../index.html", "00002.html"}),
        (2, [2], {"../index.html", "00000.html"}),
    ):
        page = (large.path / "pages" / f"{first:05d}.html").read_text(encoding="utf-8")
        assert re.findall(r'<article class="picture" id="(p\d+)">\s*<h2>(.*?)</h2>', page) == [
            (f"p{row:05d}", ids[row]) for row in shown
        ]
        outside = {name for name in re.findall(r'(?:src|href)="([^"#][^"]*)"', page) if not name.startswith("data:")}
        assert outside == links
        assert page.count('-photo" href="data:image/jpeg') == len(shown)


def test_the_overview_leads_to_every_picture(large, chain):
    found = overview_of(large)
    assert [each["page"] for each in found] == ["pages/00000.html", "pages/00002.html"]
    rows = [(each["page"], row) for each in found for row in each["rows"]]
    assert [row[1] for _, row in rows] == chain["fit-surrogate"].texts("id")
    for page, (place, *_) in rows:
        assert f'<article class="picture" id="{place}">' in (large.path / page).read_text(encoding="utf-8")


def test_a_page_of_many_says_of_a_picture_what_the_page_of_few_says(large, chain):
    alone = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--top", 7, "--single-file")
    few = (alone.path / "index.html").read_text(encoding="utf-8")
    many = (large.path / "pages" / "00000.html").read_text(encoding="utf-8")
    for pattern in (r'class="fidelity">(.*?)</div>', r"<use href=\"#p00000-\d+\" class=\"r [^>]*>", r'd="(M[^"]*)"'):
        there = re.findall(pattern, few, re.DOTALL)
        assert there
        assert all(each in there for each in re.findall(pattern, many, re.DOTALL))


@pytest.mark.usefixtures("divide")
def test_names_in_the_data_of_the_overview_stay_text(chain, tmp_path):
    # The id of the first is `a</script><img src=x>`.
    for number, name in enumerate(("a<\u2028/b & <!--", "a</script><img src=x>", "b/c")):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw(number, number, 48, flushed=False).image).save(path)
    run = chain.facelime
    segments = run.artifact("segment", run.artifact("preprocess", tmp_path, "--size", 48).id, "--method", "grid")
    found = run.artifact("render", run.artifact("occlusion", segments.id, "--model", "small").reference)
    index = (found.path / "index.html").read_text(encoding="utf-8")
    ids = found.texts("id")
    assert "a</script><img src=x>" in ids
    assert [row[1] for each in overview_of(found) for row in each["rows"]] == ids
    assert "<img src=x>" not in index
    assert "<!--" not in index


def test_a_block_lies_within_a_unit(chain):
    assert list(divided(range(32, 40), 5)) == [range(32, 37), range(37, 40)]
    assert list(divided(range(3, 3), 5)) == []
    assert blocks(chain["render"], 2) == [range(2), range(2, 3)]


def test_later_shards_keep_the_scale_and_the_pages_of_the_first(large, chain, monkeypatch):
    assert large.execution[BLOCK] == 2
    assert list(large.execution[SCALES].values()) == [large.facts["scale_probability_points"]]
    monkeypatch.setattr(reports, "ON_A_PAGE", 3)
    report = Report([chain["fit-surrogate"]], REQUEST)
    read = []
    original = Artifact.read
    monkeypatch.setattr(Artifact, "read", lambda self, name, rows=None: read.append(name) or original(self, name, rows))
    report.keep_to(large)
    assert report.scale(report.explanations) == large.facts["scale_probability_points"]
    assert report.blocks(large) == [range(2), range(2, 3)]
    assert "coefficients" not in read
    # Without what the first one kept every coefficient is read.
    assert Report([chain["fit-surrogate"]], REQUEST).scales == large.execution[SCALES]
    assert "coefficients" in read


@pytest.mark.parametrize("scales", [{}, {"probability points": float("nan")}, {"probability points": "1"}, [1.0]])
def test_a_scale_that_is_none_is_computed_again(large, chain, monkeypatch, scales):
    kept = {**large.execution, SCALES: scales}
    monkeypatch.setattr(Artifact, "execution", property(lambda _: kept))
    report = Report([chain["fit-surrogate"]], REQUEST)
    report.keep_to(large)
    assert report.scale(report.explanations) == large.facts["scale_probability_points"]


def test_a_large_report_that_an_earlier_facelime_began_is_refused(many, monkeypatch):
    monkeypatch.setattr(reports, "MOST_ON_A_PAGE", 30)
    surrogates = many.artifact("occlusion", "parts", "--model", "small", "--name", "begun")
    words = ["render", surrogates.reference, "--top", 3]
    with monkeypatch.context() as patch:
        patch.setattr(Report, "beginning", lambda _: {})
        patch.setattr(Report, "keep_to", lambda *_: None)
        answer = many.json(*words, "--shard", "1/2")
    assert not answer["complete"]
    before = sorted(Path(answer["path"]).rglob("*.html"))
    said = many.fails(*words)
    assert f"facelime remove reports/{answer['artifact']}" in said
    assert sorted(Path(answer["path"]).rglob("*.html")) == before
    many.json("remove", f"reports/{answer['artifact']}", "--yes")
    assert many.json(*words)["complete"]


@pytest.mark.long
def test_shards_write_the_files_of_one_process(many, monkeypatch):
    monkeypatch.setattr(reports, "MOST_ON_A_PAGE", 30)
    monkeypatch.setattr(reports, "ON_A_PAGE", 20)
    surrogates = many.artifact("occlusion", "parts", "--model", "small", "--name", "divided")
    words = ["render", surrogates.reference, "--top", 4, "--workers", 1]
    assert not many.json(*words, "--shard", "2/2")["complete"]
    sharded = many.artifact(*words, "--shard", "1/2")
    found = sharded.file_digests
    assert sum(name.startswith("pages/") for name in found) == 3
    many.json("remove", sharded.reference, "--yes")
    assert many.artifact(*words).file_digests == found


@pytest.mark.long
def test_a_shard_reads_the_answers_of_its_own_pictures(many, monkeypatch):
    monkeypatch.setattr(reports, "MOST_ON_A_PAGE", 30)
    many.json("perturb", "parts", "--samples", 20, "--fill", "black", "--name", "read")
    many.json("predict", "masks/read", "--model", "small", "--name", "read")
    surrogates = many.artifact("fit-surrogate", "predictions/read", "--name", "read")
    words = ["render", surrogates.reference, "--workers", 1]
    begun = Store(many.store).stored("reports", many.json(*words, "--shard", "2/2")["artifact"])
    read, original = set(), Artifact.read

    def reading(self, name, rows=None):
        if self.kind in {"predictions", "surrogates"} and name in {"probabilities", "coefficients"}:
            read.add((name, rows.start, rows.stop))
        return original(self, name, rows)

    report = Report([surrogates], REQUEST)
    monkeypatch.setattr(Artifact, "read", reading)
    report.keep_to(begun)
    for row in range(32, 40):
        report.to_draw(row)
    assert read == {("coefficients", 32, 40), ("probabilities", 32, 40)}


@needs_chromium
def test_the_overview_of_many_sorts_filters_and_draws_more(large, tmp_path):
    with Browser() as browser:
        browser.open(large.path / "index.html")
        assert browser.ask(f"{ROWS}.length") == 3
        assert browser.ask("document.getElementById('more').hidden")
        browser.click(".overview th[data-key=r2] button")
        values = browser.ask(f"{ROWS}.map(e => Number(e.querySelector('[data-cell=r2]').textContent))")
        assert values == sorted(values, reverse=True)
        name = browser.ask(f"{ROWS}[2].querySelector('[data-cell=id]').textContent")
        browser.ask(
            f"(() => {{ const e = document.getElementById('filter-text'); e.value = '{name}';"
            " e.dispatchEvent(new Event('input')); })()"
        )
        assert browser.ask(f"{ROWS}.map(e => e.querySelector('[data-cell=id]').textContent)") == [name]
        assert browser.ask("document.getElementById('counted').textContent") == "1 of 3 pictures"
        link = browser.ask(f"{ROWS}[0].querySelector('a').href")
        loaded = "new Promise(done => { const i = new Image(); i.onload = () => done(i.naturalHeight); i.src ="
        strip = f"{ROWS}[0].querySelector('.strip').style.backgroundImage.slice(5, -2)"
        assert browser.ask(f"{loaded} {strip}; }})") > 0
        assert browser.console == []
        # What one page draws at first, and the rest on request: the page's own data, longer.
        index = (large.path / "index.html").read_text(encoding="utf-8")
        shutil.copytree(large.path / "thumbnails", tmp_path / "thumbnails")
        few = tmp_path / "index.html"
        few.write_text(index.replace("AT_ONCE = 200", "AT_ONCE = 2"), encoding="utf-8")
        browser.open(few)
        assert browser.ask(f"{ROWS}.length") == 2
        browser.click("#more")
        assert browser.ask(f"{ROWS}.length") == 3
        assert browser.ask("document.getElementById('more').hidden")
        page, _, place = link.removeprefix("file://").partition("#")
        browser.open(page)
        assert browser.ask(f"document.querySelector('#{place} h2').textContent") == name
        assert browser.console == []


@needs_chromium
@pytest.mark.long
def test_two_thousand_pictures_open_in_under_two_seconds(large, tmp_path):
    place = shutil.copytree(large.path, tmp_path / "many")
    index = (place / "index.html").read_text(encoding="utf-8")
    found = overview_of(large)
    # 63 pages of 32 pictures, as a report of two thousand has.
    rows = [row for each in found for row in each["rows"]]
    data = [
        {**found[0], "rows": [[row[0], f"{row[1]}-{page}-{k}", *row[2:]] for k in range(11) for row in rows][:32]}
        for page in range(63)
    ]
    start, end = re.search(r'<script type="application/json" id="blocks">(.*?)</script>', index).span(1)
    (place / "index.html").write_text(index[:start] + json.dumps(data) + index[end:], encoding="utf-8")
    seconds = []
    with Browser() as browser:
        for _ in range(3):
            browser.open(place / "index.html")
            # Loading ends after the first rows are drawn.
            seconds.append(browser.ask("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
        assert browser.ask(f"{ROWS}.length") == 200
        browser.ask(
            "(e => { e.value = '-62-'; e.dispatchEvent(new Event('input')); })(document.getElementById('filter-text'))"
        )
        assert browser.ask("document.getElementById('counted').textContent") == "32 of 2016 pictures"
        assert browser.console == []
    # The first of them waits for the browser to begin; a busy machine may hold up one more.
    assert 0 < min(seconds) < 2
