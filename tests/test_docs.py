"""Documents say what is true today."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facelime_cli.core import verdict
from facelime_cli.stages import INDEX

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "artifacts" / "README.md"]


def test_the_command_reference_is_current():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_test_above_can_fail(tmp_path):
    copied = tmp_path / "docs"
    copied.mkdir()
    for page in ("reference.py", "choices.md"):
        (copied / page).write_text((ROOT / "docs" / page).read_text(encoding="utf-8"), encoding="utf-8")
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    (copied / "commands.md").write_text(text.replace("--batch-size", "--batch"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, copied / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "make docs" in done.stderr
    assert "commands.md" in done.stderr
    assert "choices.md" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_links_in_documents_exist(page):
    text = page.read_text(encoding="utf-8")
    known = {command.name.split()[0] for command in INDEX}
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    used = set(re.findall(r"\bfacelime ([a-z][a-z-]*)", blocks)) | set(re.findall(r"`facelime ([a-z][a-z-]*)", text))
    assert used - known == set()
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / link).exists(), link


def test_the_first_command_of_the_readme_are_the_two_that_set_up():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^make [a-z-]+", text, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("option", ["--method", "--fill", "--design", "--surrogate"])
def test_every_choice_is_in_a_table_of_the_guide(option):
    """The tables are made from the program: `test_the_command_reference_is_current` says when they are not."""
    guide = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
    assert f"<!-- table of {option}: made by `make docs` -->" in guide


def test_every_verdict_is_explained():
    """The table of words is made from the program; here each sentence stands beside the rule that gives it."""
    numbers = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    sentences = [words for name, words in vars(verdict).items() if name.isupper() and isinstance(words, str)]
    assert len(sentences) == len(set(sentences)) >= len(verdict.WORDS)
    for words in sentences:
        assert f"| {words}" in numbers
    assert "<!-- table of verdicts: made by `make docs` -->" in numbers


NAMED_TEST = re.compile(r"\[`(tests/[\w/]+\.py)((?:::\w+)+)`\]\(\.\./([^)]+)\)")


def named_tests(file):
    """Return the tests of a file as pytest names them, with `Class::` in front where they are in one."""
    found = set()
    for each in ast.parse(file.read_text(encoding="utf-8")).body:
        inside = each.body if isinstance(each, ast.ClassDef) else ()
        found |= {f"{each.name}::{one.name}" for one in inside if isinstance(one, ast.FunctionDef)}
        if isinstance(each, ast.FunctionDef):
            found.add(each.name)
    return {name for name in found if name.split("::")[-1].startswith("test_")}


def unheld(page):
    """Return the rows of a page of promises that name no test, or one that is not there."""
    found = []
    for line in page.splitlines():
        if not line.startswith("| ") or line.startswith(("| promise", "| ---")):
            continue
        tests = NAMED_TEST.findall(line)
        there = all(file == link and name[2:] in named_tests(ROOT / file) for file, name, link in tests)
        if not tests or not there or line.count("[`") != len(tests):
            found.append(line)
    return found


def test_every_promise_names_tests_that_exist():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert page.count("\n| ") > 40
    assert unheld(page) == []


def test_the_test_of_promises_can_fail():
    own = "[`tests/test_docs.py::test_every_promise_names_tests_that_exist`](../tests/test_docs.py)"
    rows = {
        f"| all is well | {own} |": False,
        "| all is well | nobody knows |": True,
        f"| all is well | {own}, [`tests/test_docs.py::test_gone`](../tests/test_docs.py) |": True,
        "| all is well | [`tests/test_docs.py::test_every_verdict_is_explained`](../tests/test_links.py) |": True,
    }
    assert unheld("| promise | held by |\n| --- | --- |\n" + "\n".join(rows)) == [
        row for row, bad in rows.items() if bad
    ]
