"""Documents say what is true today."""

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
    known = {command.name for command in INDEX}
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
