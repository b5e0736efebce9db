"""Print the script with which a shell completes commands, options, artifacts, classes and pictures at the Tab key.

bash: put `source <(facelime completion bash)` into ~/.bashrc. zsh: put `source <(facelime completion zsh)` into
~/.zshrc, behind compinit. fish: run `facelime completion fish > ~/.config/fish/completions/facelime.fish`. Names of
artifacts come from the store that the command line would use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from facelime_cli.console import Answer
from facelime_cli.engine import Command
from facelime_cli.errors import CommandLineError
from facelime_cli.options import Choice

if TYPE_CHECKING:
    from facelime_cli.engine import Context

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `completion`."""

    shell: Annotated[
        str | None,
        Choice(SHELLS),
        Argument(help="For this shell. [default: that of $SHELL]", show_default=False),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Answer with the script."""
    del context
    shell = params.shell or _own()
    script = package_files("facelime_cli").joinpath(f"shells/complete.{shell}").read_text(encoding="utf-8")
    return Answer({"shell": shell, "script": script}, script.splitlines())


def _own() -> str:
    """Return the user's shell."""
    path = os.environ.get("SHELL", "")
    name = PurePath(path).name
    if name not in SHELLS:
        raise CommandLineError(f"$SHELL is {path!r}; say for which shell the script shall be: {', '.join(SHELLS)}.")
    return name


COMMAND = Command("completion", Params, run, __doc__ or "")
