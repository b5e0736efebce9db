"""Python functions as classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.answering import programs, python_modules
from facelime_cli.answering.whole_pictures import whole_pictures

if TYPE_CHECKING:
    from facelime_cli.answering.runtimes import Classifier, How
    from facelime_cli.store.artifacts import Artifact


def with_python(model: Artifact, how: How) -> Classifier:
    """Return a model that is a Python function.

    Parameters
    ----------
    model : Artifact
    how : How

    Returns
    -------
    Classifier

    Raises
    ------
    FacelimeError
        Where its source has changed since it was imported, or this user does not trust it.
    """
    reference = programs.reference_in(model)
    modules = python_modules.unchanged(model, reference)
    programs.require(model, programs.in_function(reference, modules))
    return whole_pictures(model, how, python_modules.function(reference, modules), {"runtime": "python"})
