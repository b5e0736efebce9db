"""Pages that open from disk: one template each, everything escaped, the style inside, no request to anywhere."""

from __future__ import annotations

from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.store import Artifact

CONTENT_DIGITS = 16


def render(template: str, **values: Any) -> str:
    """Return a page made from a template of the package; a value that the template asks for and does not get is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("facelime_cli"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style = package_files("facelime_cli").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, **values)


def origins(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """Return what the foot of a page says of each artifact that it was made from: the `lineage` of `templates/base.html`."""
    return [{"kind": each.kind, "id": each.id, "stage": each.layout["stage"], "parameters": each.parameters, "content": each.content[:CONTENT_DIGITS]} for each in artifacts]
