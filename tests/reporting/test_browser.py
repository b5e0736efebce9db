"""The report in real browsers, chromium and Firefox. Where one is missing, its tests are skipped and say so."""

import csv
import re
import shutil
import zlib
from pathlib import Path

import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from tests.browser import Browser, needs_chromium
from tests.firefox import Firefox, needs_firefox
from tests.support import Facelime

BROWSERS = [
    pytest.param(Browser, marks=needs_chromium, id="chromium"),
    pytest.param(Firefox, marks=[needs_firefox, pytest.mark.long], id="firefox"),
]
FIRST = "#p00000"
LOCAL = ("file:", "data:")
HOSTILE = [
    "<script>window.hacked=1</script>",
    """" onmouseover="window.hacked=1' & <b>""",
    "a\x07bell\x1b[31m",
    "long " * 60,
    "وردية مرض",
    "酒渣鼻 {{ 7*7 }}",
]
PICTURES = 12


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    """A report of twelve real chest X-rays, and its table of coefficients."""
    folder, run = tmp_path_factory.mktemp("real"), Facelime(tmp_path_factory.mktemp("browser") / "store")
    for label in ("NORMAL", "PNEUMONIA"):
        (folder / label).mkdir()
        for picture in sorted((data / "xray" / label).iterdir())[: PICTURES * 2]:
            shutil.copy(picture, folder / label)
    run.json("preprocess", folder, "--size", 64, "--name", "x")
    run.json("finetune", "x", "--backbone", "cnn-small", "--epochs", 2, "--name", "m")
    found = run.artifact(
        "explain",
        "x",
        "--model",
        "m",
        "--first",
        PICTURES,
        "--method",
        "slic",
        "--segments",
        20,
        "--samples",
        80,
        "--top",
        5,
    )
    return found, list(csv.DictReader((found.path / "coefficients.csv").open()))


@pytest.fixture(params=BROWSERS)
def browser(report, request):
    with request.param() as found:
        found.open(report[0].path / "index.html")
        yield found
        assert found.console == []
        assert [url for url in found.requests if not url.startswith(LOCAL)] == []


def told(browser):
    return browser.ask(f"document.querySelector('{FIRST} .side .told').textContent")


def test_pointing_at_a_region_shows_its_figures(browser, report):
    strongest = report[1][0]
    assert strongest["rank"] == "1"
    assert told(browser).startswith("Point at a region")
    drawing = f"document.querySelector('{FIRST} .r[data-k=\"{strongest['segment']}\"]')"
    browser.middle(f"{FIRST} .drawn svg")
    spot = browser.ask(
        f"(() => {{ const r = {drawing}.getBoundingClientRect();"
        " for (let i = 1; i < 40; i++) for (let j = 1; j < 40; j++) {"
        " const x = r.x + r.width * i / 40, y = r.y + r.height * j / 40;"
        f" if (document.elementFromPoint(x, y) === {drawing}) return [x, y]; }} }})()"
    )
    browser.move(*spot)
    said = told(browser)
    assert re.match(rf"Region {strongest['segment']} \((upper |lower )?(left|right)?(top|middle|bottom)?\): ", said)
    assert f"{100 * float(strongest['coefficient']):+.1f} points".replace("-", "−") in said
    assert f"{100 * float(strongest['low']):+.1f} to {100 * float(strongest['high']):+.1f}".replace("-", "−") in said
    assert "rank 1 of " in said
    assert browser.ask(f"document.querySelectorAll('{FIRST} tr.on').length") == 1
    browser.move(5, 5)
    assert told(browser).startswith("Point at a region")


def test_arrow_keys_go_from_the_strongest_on(browser, report):
    browser.ask(f"document.querySelector('{FIRST} .drawn svg').focus()")
    browser.press("Home")
    assert "rank 1 of " in told(browser)
    browser.press("ArrowRight")
    assert "rank 2 of " in told(browser)
    browser.press("End")
    count = sum(1 for row in report[1] if row["id"] == report[1][0]["id"] and row["class"] == report[1][0]["class"])
    assert f"rank {count} of {count}" in told(browser)


MARKED = f"[...document.querySelectorAll('{FIRST} .side .on')].map(e => e.tagName + e.dataset.k)"


def test_the_table_marks_the_picture_by_mouse_and_by_keyboard(browser, report):
    first, second = (row["segment"] for row in report[1][:2])
    browser.move(*browser.middle(f"{FIRST} .strongest tbody tr:nth-child(2)"))
    assert browser.ask(MARKED) == [f"use{second}", f"TR{second}"]
    browser.move(5, 5)
    assert browser.ask(MARKED) == []
    browser.ask(f"document.querySelector('{FIRST} .side > .list').focus()")
    browser.press("Home")
    assert browser.ask(MARKED) == [f"use{first}", f"TR{first}"]
    browser.press("ArrowDown")
    assert browser.ask(MARKED) == [f"use{second}", f"TR{second}"]
    assert "rank 2 of " in told(browser)
    browser.press("End")
    assert "rank 5 of " in told(browser)
    browser.press("Escape")
    assert browser.ask(MARKED) == []


def test_ranks_stand_on_the_picture_when_asked_for_and_on_paper(browser):
    seen = f"getComputedStyle(document.querySelector('{FIRST} .ranks')).display"
    assert browser.ask(f"[...document.querySelector('{FIRST} .side .ranks').children].map(e => e.textContent)") == list(
        "12345"
    )
    assert browser.ask(seen) == "none"
    browser.click("#ranks")
    assert browser.ask(seen) == "inline"
    browser.click("#ranks")
    browser.medium("print")
    assert browser.ask(seen) == "inline"
    assert browser.ask(f"getComputedStyle(document.querySelector('{FIRST} .on-paper')).display") == "block"


SHOWN = "[...document.querySelectorAll('{} .side')].filter(e => e.getClientRects().length).map(e => e.dataset.class)"
COLOURS = (
    "[...document.querySelectorAll('{} .side')].filter(e => e.getClientRects().length)[0]"
    ".querySelectorAll('.r:not(.weak)')"
)


def test_another_class_another_overlay(browser):
    before, classes = (
        browser.ask(f"[...{COLOURS.format(FIRST)}].map(e => e.outerHTML).join()"),
        browser.ask(SHOWN.format(FIRST)),
    )
    browser.click(f"{FIRST} .tabs label:nth-of-type(2)")
    assert browser.ask(SHOWN.format(FIRST)) != classes
    assert browser.ask(f"[...{COLOURS.format(FIRST)}].map(e => e.outerHTML).join()") != before
    browser.click("#side")
    assert len(browser.ask(SHOWN.format(FIRST))) == 2


def test_how_many_and_how_strong(browser):
    assert browser.ask(f"{COLOURS.format(FIRST)}.length") == 5
    browser.ask(
        "(() => { const e = document.getElementById('top'); e.value = 3; e.dispatchEvent(new Event('input')); })()"
    )
    assert browser.ask(f"{COLOURS.format(FIRST)}.length") == 3
    browser.ask(
        "(() => { const e = document.getElementById('top'); e.value = e.max; e.dispatchEvent(new Event('input')); })()"
    )
    assert browser.ask("document.getElementById('top').nextElementSibling.value") == "all"
    browser.ask(
        "(() => { const e = document.getElementById('strength'); e.value = 20;"
        " e.dispatchEvent(new Event('input')); })()"
    )
    assert browser.ask(f"getComputedStyle({COLOURS.format(FIRST)}[0]).getPropertyValue('--strength')") == "0.2"


ROWS = "[...document.querySelectorAll('.overview tbody tr')].filter(e => !e.hidden)"


def test_the_overview_sorts_and_filters(browser):
    assert browser.ask(f"{ROWS}.length") == PICTURES
    browser.click(".overview th[data-key=r2] button")
    values = browser.ask(f"{ROWS}.map(e => Number(e.dataset.r2))")
    assert values == sorted(values, reverse=True)
    browser.click(".overview th[data-key=r2] button")
    assert browser.ask(f"{ROWS}.map(e => Number(e.dataset.r2))") == values[::-1]
    name = browser.ask(f"{ROWS}[3].dataset.id")
    browser.ask(
        f"(() => {{ const e = document.getElementById('filter-text'); e.value = '{name}';"
        " e.dispatchEvent(new Event('input')); })()"
    )
    assert browser.ask(f"{ROWS}.map(e => e.dataset.id)") == [name]
    assert browser.ask("[...document.querySelectorAll('.picture')].filter(e => !e.hidden).length") == 1
    assert browser.ask("document.getElementById('counted').textContent") == f"1 of {PICTURES} pictures"


@needs_chromium
def test_without_script_everything_is_there(report):
    with Browser() as browser:
        browser.without_script()
        browser.open(report[0].path / "index.html")
        x, y = browser.middle(f"{FIRST} .tabs label:nth-of-type(2)")
        assert y > 0
        before = browser.ask(SHOWN.format(FIRST))
        browser.click(f"{FIRST} .tabs label:nth-of-type(2)")
        assert browser.ask(SHOWN.format(FIRST)) != before
        assert (
            browser.ask("[...document.querySelectorAll('.js-only')].filter(e => e.getClientRects().length).length") == 0
        )
        assert browser.ask(f"document.querySelector('{FIRST} .r title').textContent").startswith("Region ")
        assert x > 0


@pytest.mark.long
@pytest.mark.parametrize("width", [3840, 1280, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_readable(browser, width, scheme, tmp_path):
    browser.size(width, 900)
    browser.scheme(scheme)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    browser.picture(tmp_path / "seen.png")
    with Image.open(tmp_path / "seen.png") as seen:
        assert (seen.convert("L").getpixel((2, 2)) > 128) == (scheme == "light")
    axe = pytest.importorskip("axe_core_python", reason="no axe-core here: pip install axe-core-python")
    browser.ask((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8") + "; 0")
    found = browser.ask(
        "axe.run({resultTypes: ['violations']}).then(r => r.violations.map(v =>"
        " [v.id, v.impact, v.nodes[0].html.slice(0, 200), v.nodes[0].any.map(a => a.message).join()]))"
    )
    assert [each for each in found if each[1] in {"serious", "critical"}] == []


def objects(path):
    """Return the objects of a PDF file as text; Firefox packs them into compressed streams."""
    whole = path.read_bytes()
    packed = re.findall(rb"/ObjStm\b.*?stream\r?\n(.*?)endstream", whole, re.DOTALL)
    return b"".join([whole, *map(zlib.decompress, packed)])


def n_pages(browser, path):
    browser.printed(path)
    return len(re.findall(rb"/Type /Page\b", objects(path)))


WITHOUT_HEAD = (
    "for (const e of document.querySelectorAll('body > header, body > footer')) e.remove();"
    " document.querySelector('.picture').style.breakBefore = 'auto'"
)
"""Firefox leaves a page empty where a first element begins a new one."""


def test_each_picture_has_a_page_of_paper(browser, tmp_path):
    whole = n_pages(browser, tmp_path / "whole.pdf")
    browser.ask(WITHOUT_HEAD)
    assert n_pages(browser, tmp_path / "page.pdf") == PICTURES
    # Head and foot begin pages of their own.
    assert whole >= PICTURES + 2
    assert re.search(rb"/MediaBox \[ ?0 0 59[4-6][.\d]* 84[12]", objects(tmp_path / "page.pdf"))


def test_what_is_too_long_for_its_page_is_made_smaller(browser, tmp_path):
    browser.ask(WITHOUT_HEAD)
    browser.ask(
        f"document.querySelector('{FIRST} .side > .list').insertAdjacentHTML('beforeend',"
        " '<p style=\"height: 120mm\">Long.</p>')"
    )
    assert n_pages(browser, tmp_path / "page.pdf") == PICTURES
    fits = browser.ask("[...document.querySelectorAll('.picture')].map(e => +e.style.getPropertyValue('--fit'))")
    assert fits[0] < min(fits[1:])
    # On the screen nothing has changed.
    assert browser.ask(f"getComputedStyle(document.querySelector('{FIRST}')).zoom") == "1"


@needs_chromium
@pytest.mark.long
def test_whatever_a_name_is_it_stays_text(facelime, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    with (tmp_path / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["image_id", "label", "site"])
        for number in range(36):
            name = f"图片 '{number}' & \"<img src=x onerror=hacked=1>\".png".replace("/", "")
            Image.fromarray(draw(0, number, 32, flushed=number % 2 == 1).image).save(folder / name)
            table.writerow([name.removesuffix(".png"), HOSTILE[number % 6], "<script>window.hacked=1</script>"])
    facelime.json(
        "preprocess",
        folder,
        "--table",
        tmp_path / "table.csv",
        "--label-column",
        "label",
        "--size",
        32,
        "--name",
        "odd",
    )
    facelime.json("finetune", "odd", "--backbone", "cnn-small", "--epochs", 1, "--name", "m")
    report = facelime.artifact(
        "explain",
        "odd",
        "--model",
        "m",
        "--first",
        6,
        "--method",
        "slic",
        "--segments",
        5,
        "--samples",
        20,
        "--by-zone",
        "lungs",
    )
    with Browser() as browser:
        browser.open(report.path / "index.html")
        assert browser.ask("document.scripts.length") == 1
        assert browser.ask(
            "window.hacked === undefined && document.querySelector('img[onerror], [onmouseover]') === null"
        )
        shown = browser.ask("document.body.innerText")
        for name in HOSTILE:
            assert "".join(name.split())[:40].replace("\x1b", "").replace("\x07", "") in "".join(shown.split()).replace(
                "\x1b", ""
            ).replace("\x07", "")
        assert browser.ask("[...document.querySelectorAll('.picture h2')].map(e => e.textContent)") == report.texts(
            "id"
        )
        browser.size(390, 900)
        assert browser.ask("document.documentElement.scrollWidth") <= 390
        assert browser.console == []
        assert [url for url in browser.requests if not url.startswith(LOCAL)] == []
