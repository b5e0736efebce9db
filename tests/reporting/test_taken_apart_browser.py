"""A picture taken apart in real browsers: slider, stand-ins, keyboard, print, no script, other people left out."""

import re

import numpy as np
import pytest
from PIL import Image

from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.stand_ins import Example, StandIns
from facelime_cli.reporting.taken_apart import taken_apart
from tests.browser import Browser, needs_chromium
from tests.firefox import Firefox, needs_firefox

BROWSERS = [
    pytest.param(Browser, marks=needs_chromium, id="chromium"),
    pytest.param(Firefox, marks=[needs_firefox, pytest.mark.long], id="firefox"),
]
SIDE = 48
TOLERANCE = 12
"""Levels of grey: the page composes copies as JPEG, and draws them larger."""


def page_of(judged, *words):
    return judged.facelime.artifact("render", *words).path / "index.html"


@pytest.fixture(scope="module")
def whole(judged):
    return page_of(judged, judged.check.reference, "--single-file")


@pytest.fixture(scope="module")
def shown(judged):
    """Explanations, the first picture whose first class was checked: its row, the class, and it taken apart."""
    explanations = Explanations.of(judged.check)
    for row in range(len(explanations)):
        c = explanations.shown(row, None)[0]
        found = taken_apart(explanations, StandIns(explanations, people=True), row, c)
        if found:
            return explanations, row, c, found
    raise AssertionError("the check asked about no class that is shown first")


@pytest.fixture(scope="module", params=BROWSERS)
def browser(request):
    with request.param(1280, 1400) as found:
        yield found


@pytest.fixture
def part(browser, whole, shown):
    """The page just opened, and what finds the part of its picture."""
    _, row, c, _ = shown
    browser.medium("")
    browser.open(whole)
    selector = f"#p{row:05d}-apart-{c}"
    browser.middle(selector)
    browser.ask(
        f"new Promise(done => {{ const look = () => document.querySelector('{selector}').dataset.begun"
        " ? done(true) : setTimeout(look, 20); look(); })"
    )
    yield selector
    assert browser.console == []


def told(browser, part):
    return browser.ask(f"document.querySelector('{part} .apart-told').textContent")


def choose(browser, part, place, value):
    browser.ask(
        f"(() => {{ const e = document.querySelector('{part} {place}'); e.value = {value};"
        " e.dispatchEvent(new Event('input')); })()"
    )


def test_keys_go_from_all_regions_to_none(browser, part, shown):
    explanations, _, c, found = shown
    name, steps = explanations.names[c], found.courses[0].steps
    assert f"Without the {found.number} strongest regions" in told(browser, part) or found.number == 1
    browser.ask(f"document.querySelector('{part} .apart-step').focus()")
    browser.press("Home")
    assert told(browser, part).startswith(f"With all regions the model gives {name} {100 * steps[0].answer:.1f} %.")
    assert browser.ask(f"document.querySelector('{part} .gone').getAttribute('d')") == ""
    browser.press("ArrowRight")
    one = told(browser, part)
    assert one.startswith(f"Without the strongest region ({found.order[0]}) the model gives {name} ")
    assert f"{100 * steps[1].answer:.1f} %" in one
    assert f"Without one of the others: {100 * steps[1].others.low:.1f} to {100 * steps[1].others.high:.1f} %" in one
    assert f"({steps[1].others.n} regions)" in one
    spoken = browser.ask(f"document.querySelector('{part} .apart-step').getAttribute('aria-valuetext')")
    assert spoken == f"1 of {len(found.order)} regions gone"
    browser.press("End")
    assert told(browser, part).startswith(f"Without any region the model gives {name} ")
    assert f"{100 * steps[-1].answer:.1f} %" in told(browser, part)
    assert browser.ask(f"[...document.querySelectorAll('{part} .dot')].findIndex(e => e.matches('.now'))") == (
        len(steps) - 1
    )


def seen(browser, part, path):
    """Return the composed picture as it is to be seen, at its own size."""
    browser.middle(f"{part} .map")
    box = browser.ask(
        f"(() => {{ const r = document.querySelector('{part} .map').getBoundingClientRect();"
        " return [r.left, r.top, r.right, r.bottom]; })()"
    )
    browser.picture(path)
    with Image.open(path) as everything:
        return np.asarray(everything.convert("RGB").crop(box).resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)


def test_the_picture_is_the_one_that_the_model_got(browser, part, shown, tmp_path):
    explanations, row, _, found = shown
    stand_ins = StandIns(explanations, people=True)
    browser.click(f"{part} .apart-edge")
    off = np.isin(explanations.segments(row), found.order[: found.number])
    for place in (0, len(found.courses) - 1):
        choose(browser, part, ".apart-fill", place)
        course = found.courses[place]
        wanted = stand_ins.composed(Example(course.stand_in, found.order[: found.number], 0.0, 0.0)).astype(np.float64)
        picture = seen(browser, part, tmp_path / f"{place}.png")
        assert np.abs(picture - wanted).mean() < TOLERANCE
        # What is gone looks like what stood in, more than like the picture itself.
        before = explanations.image(row).astype(np.float64)
        assert np.abs(picture - wanted)[off].mean() < np.abs(picture - before)[off].mean()


def test_another_stand_in_has_its_own_answers(browser, part, shown):
    explanations, _, c, found = shown
    choose(browser, part, ".apart-fill", 1)
    step = found.courses[1].step(found.number)
    assert f"the model gives {explanations.names[c]} {100 * step.answer:.1f} %" in told(browser, part)
    assert browser.ask(
        f"[...document.querySelectorAll('{part} .curve g')].map(e => e.getClientRects().length > 0)"
    ) == [place == 1 for place in range(len(found.courses))]
    stands = browser.ask(f"document.querySelector('{part} .apart-stands').textContent")
    assert stands == found.courses[1].stand_in.words


def test_a_step_of_the_curve_can_be_pointed_at(browser, part, shown):
    last = len(shown[3].steps)
    browser.click(f"{part} .curve g:not([hidden]) circle:nth-of-type({last})")
    assert told(browser, part).startswith("Without any region")


def test_it_prints_a_curve_and_no_controls(browser, part, tmp_path):
    browser.printed(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").stat().st_size
    # Printing composes what nobody has scrolled to.
    assert browser.ask("[...document.querySelectorAll('.apart')].every(e => e.dataset.begun)")
    browser.medium("print")
    widths = "[...document.querySelectorAll('{} {}')].map(e => Math.round(e.getBoundingClientRect().width))"
    assert [width > 100 for width in browser.ask(widths.format(part, ".curve g:not([hidden]) .line"))] == [True]
    assert browser.ask(widths.format(part, ".apart-tools")) == [0]


def test_it_fits_a_narrow_screen(browser, part):
    browser.size(320, 800)
    rights = f"[...document.querySelectorAll('{part}, {part} *')].map(e => e.getBoundingClientRect().right)"
    assert max(browser.ask(rights)) <= 320
    browser.size(1280, 1400)


@needs_chromium
def test_without_script_curve_and_figures_are_there(whole, shown):
    _, row, c, found = shown
    with Browser() as browser:
        browser.without_script()
        browser.open(whole)
        part = f"#p{row:05d}-apart-{c}"
        assert browser.ask(f"document.querySelector('{part} .apart-step').getClientRects().length") == 0
        assert browser.ask(f"document.querySelector('{part} .curve .line').getBoundingClientRect().width") > 100
        assert browser.ask(f"document.querySelectorAll('{part} tr[data-gone]').length") == (
            len(found.steps) * len(found.courses)
        )


def test_nobody_else_is_shown_where_that_was_asked(judged, browser):
    page = page_of(judged, judged.check.reference, "--single-file", "--no-stand-ins")
    said = page.read_text(encoding="utf-8")
    apart = "".join(re.findall(r'<section class="apart".*?</section>', said, re.DOTALL))
    lines = "".join(re.findall(r'<p class="first-line">.*?</p>', said, re.DOTALL))
    assert apart
    assert lines
    assert "another patient" not in apart + lines
    browser.open(page)
    for selector in browser.ask("[...document.querySelectorAll('.apart')].map(e => '#' + e.id)"):
        browser.middle(selector)
    # Each picture that is composed is one of the three that show nobody.
    used = browser.ask("[...document.querySelectorAll('.apart .fill')].map(e => e.getAttribute('href')).filter(e => e)")
    allowed = browser.ask("[...document.querySelectorAll('.stand-ins img')].map(e => e.getAttribute('src'))")
    assert used
    assert set(used) <= set(allowed)
    assert len(allowed) == 3 * 3


def test_a_report_without_a_check_says_what_to_do(judged, browser):
    browser.open(page_of(judged, judged.consensus.reference))
    assert browser.ask("document.querySelectorAll('.apart').length") == 0
    said = browser.ask("document.querySelector('header').innerText")
    assert "This report has no check, so that it cannot take pictures apart" in said
    assert f"facelime check {judged.consensus.reference} | facelime render -" in said
