"""Keras files: whole models, and weights of known networks."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import programs
from facelime_cli.answering.runtimes import FLOAT32, FORMATS, KERAS
from facelime_cli.errors import FacelimeError
from facelime_cli.importing import keras2, own_scaling
from facelime_cli.importing.checked import Checked, check_consent, output_facts, wrapped_network
from facelime_cli.models import building, features, outputs, running, wrapping
from facelime_cli.models.backbones import BACKBONES, published
from facelime_cli.store import temporary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
    net = outputs.with_one(_loaded(source), source.output, str(source.path))
    wrapped, output, answers = wrapped_network(source, net)
    twice = own_scaling.warning_of(own_scaling.of_keras(net), str(source.scaling), source.path.name)
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

    # In 32 bits, as answers are given.
    exact = wrapping.in_precision(wrapped, FLOAT32, trust=source.trust)
    looking = cache(lambda: features.network_of(exact, str(source.path)))
    return Checked(facts, write, answers, twice, lambda pictures: running.answers_of(looking(), pictures))


def _judged_and_loaded(source: Source, path: Path) -> Any:
    """Return the network in a file that may be a mended copy: what is looked at is what is loaded."""
    program = programs.in_file(KERAS, path)
    check_consent(source, program)
    return wrapping.load(path, trust=program is not None, what=str(source.path))


def _loaded(source: Source) -> Any:
    """Return the network in a Keras file."""
    if source.backbone is None:
        if source.path.name.endswith(".weights.h5"):
            names = "|".join(published(BACKBONES))
            raise FacelimeError(f"{source.path} holds weights alone; name their network with --backbone {names}.")
        if not keras2.is_from_keras_2(source.path):
            return _judged_and_loaded(source, source.path)
        with temporary.outside() as folder:
            path = keras2.mended_copy(source.path, folder)
            net = _judged_and_loaded(source, path)
            keras2.put_by_name(net, path)
            return net
    size = source.file_size
    assert size is not None
    return building.application_with_weights(source.backbone, source.path, len(source.classes), size)
