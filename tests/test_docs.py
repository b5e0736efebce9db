"""Documents say what is true today."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from facelime_cli.choices import DESIGNS, FILLS, PROXIMITIES, SEGMENTERS, SURROGATES
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
    (tmp_path / "docs").mkdir()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(text.replace("--batch-size", "--batch"), encoding="utf-8")
    (tmp_path / "docs" / "reference.py").write_text(
        (ROOT / "docs" / "reference.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "docs" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "make docs" in done.stderr


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


def test_every_surrogate_is_in_the_guide():
    guide = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
    for name in SURROGATES:
        assert f"--surrogate {name}`" in guide
    for name in PROXIMITIES:
        assert f"--proximity {name}`" in guide


def test_every_verdict_is_explained():
    numbers = (ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    for name, words in vars(verdict).items():
        if name.isupper() and isinstance(words, str):
            assert f"| {words}" in numbers


def test_every_segmenter_is_in_the_guide():
    guide = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
    for method in SEGMENTERS:
        assert f"--method {method}`" in guide


def test_every_design_and_fill_is_in_the_guide():
    guide = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
    for design in DESIGNS:
        assert f"| `--design {design}`" in guide
    for fill in FILLS:
        assert f"| `--fill {fill}" in guide
