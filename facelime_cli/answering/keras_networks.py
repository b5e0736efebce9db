"""Networks that Keras computes on its backend."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering import kept_graphs, programs, several
from facelime_cli.answering.around import output_of
from facelime_cli.answering.runtimes import FLOAT32, FORMATS, KERAS, SAVED_MODEL, Classifier, How, format_of, n_members
from facelime_cli.models import backend, ensembles, features, graphs, outputs, running, wrapping
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    net = kept_graphs.kept(model, how) or _made(model, how)
    backend.compute_with(how.precision)

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        return backend.on_device(pictures), backend.on_device(segments)

    @cache
    def looking() -> Any:
        # Rounded to 16 bits, features would seem to be farther away.
        is_exact = how.precision == FLOAT32
        if is_exact and isinstance(net, graphs.Graph) and net.of_features is not None:
            return running.forward(net.of_features)
        has_layers = is_exact and not isinstance(net, graphs.Graph)
        exact = net if has_layers else network_of(model, replace(how, precision=FLOAT32))
        return partial(running.answers_of, features.network_of(exact, model.reference))

    def features_of(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(looking()(pictures))

    its = features_of if FORMATS[format_of(model)].features else None
    return Classifier(running.forward(net), running.compiled(net), upload, backend.engine(), features=its)


def _made(model: Artifact, how: How) -> Any:
    """Return a model's graph where it can run as one; it is kept for the next command. Else return its network."""
    with programs.opened(model) as (path, program):
        net = _speaking(model, network_in(model, path, how, runs_code=program is not None))
        net = _at_size(net, how)
        # Code may do something else each time that it is built.
        if format_of(model) != KERAS or program is not None or backend.name() != backend.TENSORFLOW:
            return net
        has_summary = kept_graphs.has_features(model)
        graph = graphs.of(net, features.network_of(net, model.reference) if has_summary else None)
        if graph is None:
            return net
        kept_graphs.keep(model, how, digests.of_file(path), graph)
        return graph


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
        return _at_size(network_in(model, path, how, runs_code=program is not None), how)


def _speaking(model: Artifact, net: Any) -> Any:
    """Return a network whose members answer too, where it is the mean of several."""
    return ensembles.speaking(net, n_members(model), model.reference) if n_members(model) else net


def _at_size(net: Any, how: How) -> Any:
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
