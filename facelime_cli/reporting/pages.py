"""Pages that open from disk: one template each, everything escaped, style and script inside, no request to anywhere."""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

from facelime_cli.engine import stage_called
from facelime_cli.errors import NotFoundError
from facelime_cli.options import hints, marker, takes_several
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
    from dataclasses import fields

    from typer.models import ArgumentInfo, ParameterInfo

    try:
        stage = stage_called(artifact.stage)
    except NotFoundError:
        return f"facelime {artifact.stage}"
    params, annotations = stage.params_of(artifact), hints(stage.params)
    words = ["facelime", stage.name]
    for each in fields(stage.params):
        kind, extras = annotations[each.name]
        declared = marker(extras, ParameterInfo)
        value = getattr(params, each.name)
        if each.name == "images" and value and artifact.n > MOST_IDS:
            value = "IDS"
        is_list = isinstance(value, list)
        if isinstance(declared, ArgumentInfo):
            given = value if is_list else [value]
            words += [str(one) for one in given]
            continue
        if value is None or value is False or value == each.default:
            continue
        option = _option(each.name, declared)
        # An option that takes several values is typed once for each; any other list is one value.
        given = value if is_list and takes_several(kind) else [value]
        for one in given:
            words += _words(option, each.name, one)
    return shlex.join(words)


def _option(name: str, option: Any) -> str:
    """Return an option as it is typed, by the name of its field."""
    # Within Annotated, Typer takes the first declared word for the default.
    candidates = [option.default, *(option.param_decls or ())]
    for word in candidates:
        if isinstance(word, str) and word.startswith("--"):
            return word
    return f"--{name.replace('_', '-')}"


def _words(option: str, name: str, value: Any) -> list[str]:
    """Return an option with its value as they are typed."""
    if value is True:
        return [option]
    if isinstance(value, dict):
        pairs = [f"{key}={each}" for key, each in value.items()]
        return [option, ",".join(pairs)] if pairs else []
    if not isinstance(value, list):
        return [option, str(value)]
    if name == "split":
        shares = [f"{100 * share:g}" for share in value]
        return [option, ":".join(shares)]
    typed = [str(each) for each in value]
    return [option, ",".join(typed) or "none"]
