"""Write what is made from the program itself: the command reference, the tables of choices and that of verdicts.

python docs/reference.py          # write them
python docs/reference.py --check  # exit 1 when one is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from facelime_cli import choices
from facelime_cli.answering.runtimes import FORMATS, RUNTIMES
from facelime_cli.cli import EVERYWHERE, app
from facelime_cli.core import verdict
from facelime_cli.stages import INDEX

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCS = Path(__file__).parent
COLUMNS = "100"
INTRODUCTION = """# Commands

This page is made from `--help` by `make docs`. `facelime COMMAND --help` shows the same text.

Every command takes the options that stand first. Then each command follows, with its own.
"""
TABLES: dict[str, Mapping[str, choices.Entry]] = {
    "--method": choices.SEGMENTERS,
    "--fill": choices.FILLS,
    "--design": choices.DESIGNS,
    "--surrogate": choices.SURROGATES,
    "--variant": choices.ATTRIBUTIONS,
}
"""The tables of choices, by the option that chooses."""
VERDICTS, MATRIX = "verdicts", "formats"
"""How the tables of verdicts, and of formats with their runtimes, are called."""
NONE, NO = "–", "no"
BLOCK = re.compile(r"<!-- table of (\S+): made by `make docs` -->\n.*?<!-- end of table -->", re.DOTALL)


def help_of(*words: str) -> str:
    """Return what `facelime` prints for some words and `--help`, without spaces at the ends of lines."""
    runner = CliRunner(env={"COLUMNS": COLUMNS, "TERMINAL_WIDTH": COLUMNS, "NO_COLOR": "1", "FACELIME_STORE": ""})
    shown = runner.invoke(app, [*words, "--help"], prog_name="facelime").stdout.rstrip()
    return "\n".join(line.rstrip() for line in shown.splitlines())


def block(text: str) -> str:
    """Return a text as it is, in Markdown."""
    return f"```text\n{text}\n```\n"


def reference() -> str:
    """Return the command reference as Markdown: the options of every command once, then each command."""
    found = [INTRODUCTION]
    heading = ""
    for command in INDEX:
        own, _, shared = help_of(*command.name.split()).partition(f"\n\n{EVERYWHERE}:\n")
        if not heading:
            found.append(f"## {EVERYWHERE}\n\n{block(shared)}")
        if command.heading != heading:
            heading = command.heading
            found.append(f"## {heading}\n")
        found.append(f"### facelime {command.name}\n\n{block(own)}")
    return "\n".join(found)


def table(option: str) -> str:
    """Return a table of choices as Markdown: what each does, and its own settings with their defaults."""
    rows = [f"| {option} | what it does | settings |", "| --- | --- | --- |"]
    for name, entry in TABLES[option].items():
        settings = [f"`--{key.replace('_', '-')}` {_default(value)}" for key, value in entry.settings.items()]
        rows.append(f"| `{name}` | {entry.words} | {', '.join(settings) or NONE} |")
    return "\n".join(rows)


def verdicts() -> str:
    """Return the table of verdicts as Markdown: what each says, what to do next, and what it was worth."""
    rows = ["| verdict | what it says | what to do next | measured |", "| --- | --- | --- | --- |"]
    for word in verdict.WORDS:
        worth = verdict.WORTH.get(word.text)
        measured = NONE if worth is None else f"{worth.words} ({worth.right} of {worth.cases})"
        rows.append(f"| {word.text} | {word.meaning} | {word.next_step or NONE} | {measured} |")
    return "\n".join(rows)


def matrix() -> str:
    """Return the table of formats as Markdown: in which precisions each runtime runs them, and what else works."""
    columns = [
        "format",
        *(f"`{name}`" for name in RUNTIMES),
        "`gradcam`, `activations`",
        "`--resize`, `evaluate`, `compare-models`",
    ]
    rows = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for name, form in FORMATS.items():
        precisions = (", ".join(runtime.precisions.get(name, ())) or NO for runtime in RUNTIMES.values())
        cells = [f"`{name}`: {form.words}", *precisions, "yes" if form.layers else NO, "yes"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


SPECIAL = {VERDICTS: verdicts, MATRIX: matrix}
"""Tables that do not belong to an option."""


def with_tables(text: str) -> str:
    """Return a document with fresh tables between their marks."""

    def fresh(match: re.Match[str]) -> str:
        name = match[1]
        made = SPECIAL[name]() if name in SPECIAL else table(name)
        return f"<!-- table of {name}: made by `make docs` -->\n\n{made}\n\n<!-- end of table -->"

    return BLOCK.sub(fresh, text)


def made(docs: Path) -> dict[Path, str]:
    """Return every document that is made, wholly or in part, with its fresh text."""
    found = {docs / "commands.md": reference()}
    for page in sorted(docs.glob("*.md")):
        if page.name != "commands.md":
            text = page.read_text(encoding="utf-8")
            if BLOCK.search(text):
                found[page] = with_tables(text)
    return found


def main() -> None:
    """Write what is made, or say what is out of date."""
    documents = made(DOCS)
    if "--check" in sys.argv:
        stale = [page.name for page, text in documents.items() if page.read_text(encoding="utf-8") != text]
        sys.exit(f"{', '.join(stale)} out of date: run `make docs`" if stale else None)
    for page, text in documents.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
