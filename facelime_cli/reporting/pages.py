"""Pages that open from disk: one template each, everything escaped, style and script inside, no request to anywhere."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import cache
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

from facelime_cli.engine import stage_called
from facelime_cli.errors import NotFoundError
from facelime_cli.options import typed
from facelime_cli.reporting.checks import p_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from facelime_cli.store.artifacts import Artifact

CONTENT_DIGITS = 16
MOST_IDS = 12
"""Pictures up to which a command names each."""


def render(template: str, **values: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template : str
        A file in `templates/`.
    **values
        What the template shows. Text is escaped; a value that is missing is an error, not an empty space.
    """
    # Style and script lie inside: a page opens from disk, wherever it is copied to.
    package = package_files("facelime_cli.reporting")
    style = package.joinpath("templates/report.css").read_text(encoding="utf-8")
    page = _templates().get_template(template)
    return page.render(style=style, **values)


def part(template: str, macro: str, *values: Any) -> str:
    """Return a part of a page.

    Parameters
    ----------
    template, macro : str
        A file in `templates/`, and one of its macros.
    *values
        What the macro shows.
    """
    found = getattr(_templates().get_template(template).module, macro)
    return str(found(*values))


def prepare() -> None:
    """Compile every template, so that the first page need not wait for it."""
    for name in _templates().list_templates(extensions=["html"]):
        _templates().get_template(name)


@cache
def _templates() -> Environment:
    """Return the templates, each of which is compiled once in a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Names of files, pictures and classes come from outside: everything is escaped.
    found = Environment(
        loader=PackageLoader("facelime_cli.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["signed"] = signed
    found.filters["p"] = p_text
    found.filters["tight"] = _without_breaks
    found.filters["commands"] = _with_commands
    return found


def _without_breaks(text: str) -> Any:
    """Return a number and its unit on one line."""
    from markupsafe import Markup, escape

    return Markup("&nbsp;").join(escape(word) for word in text.split(" "))


def _with_commands(text: str) -> Any:
    """Return a sentence whose commands, between backticks, are set as code."""
    from markupsafe import Markup, escape

    parts = str(escape(text)).split("`")
    # Every second part stood between two backticks.
    return Markup("").join(
        Markup(f"<code>{part}</code>" if place % 2 else part)  # noqa: S704 - as above
        for place, part in enumerate(parts)
    )


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign, as it is typeset.

    Parameters
    ----------
    value : float
    digits : int
        Digits behind the point.

    Examples
    --------
    >>> signed(12.345), signed(-0.5, 2), signed(0)
    ('+12.3', '−0.50', '0.0')
    """
    text = f"{value:+.{digits}f}"
    # What rounds to zero has no sign.
    return text.replace("-", "−") if float(text) else text[1:]


def origins(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """Return what the foot of a page says of the artifacts that it was made from.

    Parameters
    ----------
    artifacts : sequence of Artifact
        Complete ones, in the order in which they were made.

    Returns
    -------
    list of dict
        The `lineage` of `templates/base.html`.
    """
    found = []
    for each in artifacts:
        entry = origin(each)
        entry["content"] = each.content[:CONTENT_DIGITS]
        found.append(entry)
    return found


def origin(artifact: Artifact) -> dict[str, Any]:
    """Return what the foot of a page says of an artifact that may not be complete yet, so that it has no content.

    Parameters
    ----------
    artifact : Artifact

    Returns
    -------
    dict
        One of `origins`.
    """
    return {
        "kind": artifact.kind,
        "id": artifact.id,
        "stage": artifact.stage,
        "parameters": artifact.parameters,
        "content": "",
        "command": command(artifact),
    }


def command(artifact: Artifact) -> str:
    """Return the command that makes an artifact again: its stage, what it reads, and options that are not at a default.

    Files are no part of an artifact, so they stand as placeholders in capitals.

    Parameters
    ----------
    artifact : Artifact
    """
    try:
        stage = stage_called(artifact.stage)
    except NotFoundError:
        return f"facelime {artifact.stage}"
    params = stage.params_of(artifact)
    if getattr(params, "images", None) and artifact.n > MOST_IDS:
        params = replace(params, images="IDS")
    return shlex.join(["facelime", stage.name, *typed(params)])
