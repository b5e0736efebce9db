"""Write the README's command reference from `--help`, between its two marks.

python docs/reference.py          # write it
python docs/reference.py --check  # exit 1 when it is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

from facelime_cli.cli import app
from facelime_cli.stages import INDEX

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- commands: made by `make docs` from --help -->"
END = "<!-- end of commands -->"
COLUMNS = "100"


def reference() -> str:
    """Return the help of every command as Markdown."""
    runner = CliRunner(env={"COLUMNS": COLUMNS, "TERMINAL_WIDTH": COLUMNS, "NO_COLOR": "1", "FACELIME_STORE": ""})
    parts = []
    for command in INDEX:
        shown = runner.invoke(app, [command.name, "--help"], prog_name="facelime").stdout.rstrip()
        lines = "\n".join(line.rstrip() for line in shown.splitlines())
        parts.append(
            f"<details><summary><code>facelime {command.name}</code>: {command.summary}</summary>\n\n```text\n{lines}\n```\n\n</details>"
        )
    return "\n".join(parts)


def current(text: str) -> str:
    """Return the README with a fresh reference between the marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


def main() -> None:
    """Write the reference, or say that it is out of date."""
    text = README.read_text(encoding="utf-8")
    fresh = current(text)
    if "--check" in sys.argv:
        sys.exit(None if fresh == text else "the README's command reference is out of date: run `make docs`")
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
