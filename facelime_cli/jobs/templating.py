"""The templates of what engines read: job scripts, workflows and their profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment


def environment(filters: Mapping[str, Callable[..., str]], **more: Any) -> Environment:
    """Return what renders the templates of this package.

    Parameters
    ----------
    filters : mapping
        By name, functions that write a value as the engine reads it.
    **more
        Further settings of Jinja2.

    Returns
    -------
    jinja2.Environment
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # What comes from outside goes through one of the filters: there is no HTML here to escape.
    found = Environment(
        loader=PackageLoader("facelime_cli.jobs"),
        autoescape=False,  # noqa: S701 - as above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **more,
    )
    found.filters.update(filters)
    return found
