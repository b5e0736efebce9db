"""The report in Firefox: what the tests in Chromium show must hold in another engine. Skipped where there is none."""

import pytest

from tests.firefox import Firefox, needs_firefox

pytestmark = [needs_firefox, pytest.mark.long]

FIRST = "#p00000"
MARKED = f"[...document.querySelectorAll('{FIRST} .side .on')].map(e => e.tagName.toLowerCase()).join()"
TOLD = f"document.querySelector('{FIRST} .told').textContent"


@pytest.fixture(scope="module")
def firefox(chain):
    with Firefox() as found:
        found.open(chain["render"].path / "index.html")
        yield found


def test_the_picture_marks_the_table_by_keyboard(firefox):
    firefox.ask(f"document.querySelector('{FIRST} .drawn .regions').focus()")
    firefox.press("Home")
    assert "rank 1 of " in firefox.ask(TOLD)
    assert firefox.ask(MARKED) == "use,tr"
    firefox.press("ArrowRight")
    assert "rank 2 of " in firefox.ask(TOLD)
    firefox.press("Escape")
    assert firefox.ask(MARKED) == ""


def test_the_table_marks_the_picture_by_keyboard_and_by_mouse(firefox):
    firefox.ask(f"document.querySelector('{FIRST} .side > .list').focus()")
    firefox.press("Home")
    firefox.press("ArrowDown")
    assert "rank 2 of " in firefox.ask(TOLD)
    assert firefox.ask(MARKED) == "use,tr"
    firefox.press("Escape")
    row = f"document.querySelector('{FIRST} .strongest tbody tr')"
    firefox.ask(f"{row}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    x, y = firefox.ask(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({row}.getBoundingClientRect())")
    firefox.move(x, y)
    assert firefox.ask(MARKED) == "use,tr"


def test_the_slider_and_the_filter(firefox):
    firefox.ask("(e => { e.value = 2; e.dispatchEvent(new Event('input')); })(document.getElementById('top'))")
    assert firefox.ask(f"document.querySelectorAll('{FIRST} .side:first-child .r:not(.weak)').length") <= 2
    firefox.ask(
        "(e => { e.value = 'no such name'; e.dispatchEvent(new Event('input')); })"
        "(document.getElementById('filter-text'))"
    )
    assert firefox.ask("document.getElementById('counted').textContent") == "0 of 3 pictures"
    firefox.ask("(e => { e.value = ''; e.dispatchEvent(new Event('input')); })(document.getElementById('filter-text'))")


def test_each_picture_has_a_page_of_paper(firefox, tmp_path):
    firefox.ask("document.querySelectorAll('body > header, body > footer').forEach(e => e.remove())")
    firefox.printed(tmp_path / "page.pdf")
    # Cairo writes each page's object so, whichever way it orders them.
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") == 3
