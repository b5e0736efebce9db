"""Networks that Keras computes on its backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.answering import programs
from facelime_cli.answering.around import output_of
from facelime_cli.answering.runtimes import FLOAT32, KERAS, SAVED_MODEL, Classifier, How, format_of, n_members
from facelime_cli.models import backend, ensembles, running, wrapping

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

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
    net = network_of(model, how, members=True)
    backend.compute_with(how.precision)

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        return backend.on_device(pictures), backend.on_device(segments)

    return Classifier(running.forward(net), running.compiled(net), upload, backend.engine())


def member_of(model: Artifact, member: int) -> Callable[..., NDArray[np.float32]]:
    """Return what one network of a model answers that has one for each fold, in float32.

    Parameters
    ----------
    model : Artifact
    member : int
        The fold that it was tested on.

    Returns
    -------
    callable
        From (B, H, W, 3) values in display space to (B, C) float32 probabilities.

    Raises
    ------
    FacelimeError
        Where it cannot be loaded.
    """
    with programs.opened(model, str(model.facts["folds"][member]["file"])) as (path, program):
        net = network_in(model, path, How(KERAS, FLOAT32), runs_code=program is not None)
    backend.compute_with(FLOAT32)
    return running.forward(net)


def network_of(model: Artifact, how: How, *, members: bool = False) -> Any:
    """Return a model as a Keras network that reads display space at the size of the pictures.

    Parameters
    ----------
    model : Artifact
        Of the format `keras` or `saved-model`.
    how : How
    members : bool
        Whether the mean of several networks answers with each of them too, see `ensembles.speaking`.

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
    if members and n_members(model):
        net = ensembles.speaking(net, n_members(model), model.reference)
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
    return wrapping.in_precision(net, how.precision, trust=runs_code)
