"""Models with several outputs, such as a class and its subtype: which of them answers, and how one is taken alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError, CommandLineError
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.store.artifacts import Artifact

HEADS = "heads"
"""The fact that lists the outputs of a model that has several: name, classes, `label_column` and figures of each."""
ANSWERS = "answers"
"""The fact that names the output of its file that a model answers with, where it was taken from such a model."""
LABEL_COLUMN = "label_column"
"""The fact that names the column of the dataset's table that a model learned, instead of the dataset's own classes."""


def outputs_of(model: Artifact) -> list[Mapping[str, Any]]:
    """Return what a model says of its several outputs, the one that it answers with first.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    list of mapping
        Empty for a model with only one.

    Raises
    ------
    BrokenError
        For what no training has written.
    """
    found = model.facts.get(HEADS, [])
    if not isinstance(found, list) or not all(map(_is_head, found)):
        raise BrokenError(f"{model.reference} does not say what its outputs are; train it again.")
    return found


def _is_head(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return False
    classes = found.get("classes")
    is_list = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return is_list and isinstance(found.get(LABEL_COLUMN), str | None)


def answering(model: Artifact) -> str | None:
    """Return the name of the output of its file that a model answers with.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    str or None
        None where the file has only one.
    """
    if ANSWERS in model.facts:
        return str(model.facts[ANSWERS])
    several = outputs_of(model)
    return str(several[0]["name"]) if several else None


def chosen(model: Artifact, output: str) -> Mapping[str, Any] | None:
    """Return the output of a model that `--output` names.

    Parameters
    ----------
    model : Artifact
    output : str

    Returns
    -------
    mapping or None
        What the model says of it; None where it is the one that the model answers with.

    Raises
    ------
    CommandLineError
        Where the model has no such output.
    """
    if output == answering(model):
        return None
    several = outputs_of(model)
    found = next((each for each in several if each["name"] == output), None)
    if found is not None:
        return found
    if several:
        names = ", ".join(shown(each["name"]) for each in several)
        raise CommandLineError(f"{model.reference} has no output {shown(output)!r}; give --output one of {names}.")
    own = answering(model)
    what = "has one output" if own is None else f"is the output {own} of another model"
    raise CommandLineError(f"{model.reference} {what}, so --output {shown(output)} cannot choose; leave it out.")


def others(model: Artifact) -> list[str]:
    """Return the names of the outputs that a model has beside the one that it answers with.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    list of str
    """
    return [str(each["name"]) for each in outputs_of(model)[1:]]
