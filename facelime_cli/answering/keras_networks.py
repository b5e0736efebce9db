"""Networks that Keras computes on its backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.answering import programs, several
from facelime_cli.answering.around import output_of
from facelime_cli.answering.runtimes import SAVED_MODEL, Classifier, format_of
from facelime_cli.models import backend, outputs, running, wrapping

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.answering.runtimes import How
    from facelime_cli.store.artifacts import Artifact


def with_keras(model: Artifact, how: How) -> Classifier:
    """Return a model that Keras runs, with composition and forward pass in one compiled call.

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
        Where it cannot be loaded, or the backend does not compute in this precision.
    """
    net = network_of(model, how)
    backend.compute_with(how.precision)

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        return backend.on_device(pictures), backend.on_device(segments)

    return Classifier(running.forward(net), running.compiled(net), upload, backend.engine())


def network_of(model: Artifact, how: How) -> Any:
    """Return a model as a Keras network that reads display space at the size of the pictures.

    Parameters
    ----------
    model : Artifact
        Of the format `keras` or `saved-model`.
    how : How

    Returns
    -------
    keras.Model

    Raises
    ------
    FacelimeError
        Where it cannot be loaded.
    """
    with programs.opened(model) as (path, program):
        net = network_in(model, path, how, runs_code=program is not None)
    return wrapping.resized(net, how.resize_from) if how.resize_from else net


def network_in(model: Artifact, path: Path, how: How, *, runs_code: bool) -> Any:
    """Return the network in a model's file or folder; code in it runs where that is trusted."""
    if format_of(model) == SAVED_MODEL:
        around = model.facts["around"]
        return wrapping.with_scaling(
            wrapping.load_saved_model(path, model.reference, output_of(model.facts)),
            scaling=around["scaling"],
            size=model.facts["size"],
            n_classes=around["classes"],
            activation=around["activation"],
            values=around.get("values", False),
        )
    net = wrapping.load(path, trust=runs_code, what=model.reference)
    output = several.answering(model)
    if output is not None:
        net = outputs.with_one(net, output, model.reference)
    return wrapping.in_precision(net, how.precision, trust=runs_code)
