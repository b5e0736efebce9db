"""Write what is made from the program itself: the command reference, tables in documents, and what a shell completes.

python docs/reference.py          # write them
python docs/reference.py --check  # exit 1 when one is out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from facelime_cli import choices, completing
from facelime_cli.answering.runtimes import FORMATS, RUNTIMES
from facelime_cli.cli import EVERYWHERE, app, subcommand
from facelime_cli.core import verdict
from facelime_cli.options import hints, inputs_of, takes_several
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
NAMES = {
    **dict.fromkeys(("--class", "--classes", "--versus", "--check-classes", "--expect"), completing.CLASSES),
    **dict.fromkeys(("--predicted",), completing.CLASSES),
    **dict.fromkeys(("--images", "--picture"), completing.PICTURES),
}
"""Options that name classes or pictures of what the command reads."""
REFERENCES = {
    "source": ("datasets",),
    "dataset": ("datasets",),
    "models": ("models",),
    "surrogates": ("surrogates",),
    "beside": ("surrogates", "checks"),
}
"""Parameters that are references without being an `Input`, such as several, each of which counts by itself."""
WIDEST = 70
"""Letters of a help beside a word."""
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


def completions() -> str:
    """Return what a shell completes, as JSON with a line for each option."""
    known = {each.name: _entry(each.load()) for each in INDEX}
    for name, entry in known.items():
        entry["help"] = _short(next(each.summary for each in INDEX if each.name == name))
    options = {"--help": "Show this message and exit.", "--version": "Print the version and exit."}
    lines = []
    for name, entry in known.items():
        of_command = ",\n".join(f"   {_json(word)}: {_json(each)}" for word, each in entry.pop("options").items())
        rest = ",\n".join(f"  {_json(key)}: {_json(each)}" for key, each in entry.items())
        lines.append(f' {_json(name)}: {{\n  "options": {{\n{of_command}\n  }},\n{rest}\n }}')
    return f'{{"options": {_json(options)}, "commands": {{\n' + ",\n".join(lines) + "\n}}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(command: Any) -> dict[str, Any]:
    """Return what a subcommand takes: its options by their names, and its arguments in their order."""
    options: dict[str, Any] = {}
    arguments = []
    for parameter in subcommand(command).params:
        takes = _takes(command, parameter)
        if parameter.param_type_name == "argument":
            arguments.append(takes)
            continue
        for word in (*parameter.opts, *parameter.secondary_opts):
            options[word] = {"help": _short(parameter.help or "")}
            if not parameter.is_flag:
                options[word]["takes"] = takes
    return {"options": options | {"--help": {"help": "Show this message and exit."}}, "arguments": arguments}


def _takes(command: Any, parameter: Any) -> dict[str, Any]:
    """Return what may be given for an option or an argument; nothing of it is empty."""
    annotations = hints(command.params)
    kind = annotations[parameter.name][0] if parameter.name in annotations else None
    is_path = parameter.name == "store" or "Path" in str(kind)
    inputs = inputs_of(command.params)
    reads = inputs.get(parameter.name) or (() if is_path else REFERENCES.get(parameter.name, ()))
    is_argument = parameter.param_type_name == "argument"
    named = None if is_argument else NAMES.get(parameter.opts[0])
    found = {
        "choices": list(getattr(parameter.type, "choices", ())),
        "kinds": list(reads),
        "names": named,
        "list": bool(named or reads) and ",…" in (parameter.metavar or ""),
        # The source of `explain` may be a dataset or a folder.
        "files": is_path or (parameter.name == "source" and parameter.name not in inputs),
        "several": is_argument and takes_several(kind),
    }
    return {name: each for name, each in found.items() if each}


def _short(text: str) -> str:
    """Return the first sentence of a help, cut where it is long."""
    first = re.split(r"(?<=[a-z)`])\. |: ", text.replace("`", ""))[0].rstrip(".")
    return first if len(first) <= WIDEST else first[: WIDEST - 1].rstrip() + "…"


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
    found = {docs / "commands.md": reference(), docs.parent / "facelime_cli" / completing.TABLE: completions()}
    for page in sorted(docs.glob("*.md")):
        if page.name != "commands.md":
            text = page.read_text(encoding="utf-8")
            if BLOCK.search(text):
                found[page] = with_tables(text)
    return found


def _written(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.is_file() else ""


def main() -> None:
    """Write what is made, or say what is out of date."""
    documents = made(DOCS)
    if "--check" in sys.argv:
        stale = [page.name for page, text in documents.items() if _written(page) != text]
        sys.exit(f"{', '.join(stale)} out of date: run `make docs`" if stale else None)
    for page, text in documents.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
