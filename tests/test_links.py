"""Every relative link between documents points to a file that exists, and to a heading of it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "artifacts" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
LARGEST_README = 12 * 1024


def named(page):
    return str(page.relative_to(ROOT))


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", text))
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


def broken(page):
    """Return the relative links of a page that lead nowhere."""
    text = page.read_text(encoding="utf-8")
    found = []
    for link in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_and_its_anchor_exist(page):
    assert broken(page) == []


def test_the_test_above_can_fail(tmp_path):
    page = tmp_path / "page.md"
    links = ["[a](missing.md)", "[b](#no-such-heading)", "[c](page.md#two-words)", "[d](https://example.org/x)"]
    page.write_text("# Two words\n\n" + "\n".join(links) + "\n\n```text\n# not a heading\n[e](also-missing.md)\n```\n")
    assert broken(page) == ["missing.md", "#no-such-heading"]


def test_every_document_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= LARGEST_README
