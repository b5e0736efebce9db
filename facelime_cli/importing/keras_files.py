"""Keras files: whole models, and weights of known networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.answering import programs
from facelime_cli.answering.runtimes import FORMATS, KERAS
from facelime_cli.errors import FacelimeError
from facelime_cli.importing.checked import Checked, check_consent, output_facts, wrapped_network
from facelime_cli.models import building, wrapping
from facelime_cli.models.backbones import BACKBONES, published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact


def from_keras(source: Source) -> Checked:
    """Check a Keras file: a whole model, or weights of a known network.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, carries code that is not trusted, or its answers are no probabilities.
    """
    wrapped, output = wrapped_network(source, _loaded(source))
    facts = {
        "model": wrapping.digest(wrapped),
        "size": wrapping.input_size(wrapped),
        "weights": wrapped.count_params(),
        **output_facts(source, output),
    }
    name = FORMATS[KERAS].file

    def write(artifact: Artifact) -> Sequence[str]:
        wrapping.save(wrapped, artifact.file(name))
        if source.trust:
            programs.trust_imported(artifact, KERAS)
        return [name]

    return Checked(facts, write)


def _loaded(source: Source) -> Any:
    """Return the network in a Keras file."""
    if source.backbone is None:
        if source.path.name.endswith(".weights.h5"):
            names = "|".join(published(BACKBONES))
            raise FacelimeError(f"{source.path} holds weights alone; name their network with --backbone {names}.")
        program = programs.in_file(KERAS, source.path)
        check_consent(source, program)
        return wrapping.load(source.path, trust=program is not None)
    size = source.file_size
    assert size is not None
    return building.application_with_weights(source.backbone, source.path, len(source.classes), size)
