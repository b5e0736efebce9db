"""Models made ready to answer: one function for each entry of `runtimes.RUNTIMES`."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine, trust
from facelime_cli.core import compose, shapes
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.models import backend, outside, programs, running, wrapping
from facelime_cli.models.runtimes import KERAS, SAVED_MODEL, Classifier, check_layers, format_of, usual
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.models.runtimes import How
    from facelime_cli.store.artifacts import Artifact

CONVERTED = "converted"
"""What the user's own facelime has made of a model, among what is trusted."""


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
        net = _network(model, path, how, runs_code=program is not None)
    return wrapping.resized(net, how.resize_from) if how.resize_from else net


def _network(model: Artifact, path: Path, how: How, *, runs_code: bool) -> Any:
    """Return the network in a model's file or folder; code in it runs where that is trusted."""
    if format_of(model) == SAVED_MODEL:
        around = model.facts["around"]
        return wrapping.with_scaling(
            wrapping.load_saved_model(path, model.reference),
            scaling=around["scaling"],
            size=model.facts["size"],
            n_classes=around["classes"],
            activation=around["activation"],
        )
    net = wrapping.load(path, trust=runs_code, what=model.reference)
    return wrapping.in_precision(net, how.precision, trust=runs_code)


def with_onnx(model: Artifact, how: How) -> Classifier:
    """Return a model that ONNX Runtime runs, converted first where it is a Keras network.

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
        Where it cannot be converted or loaded.
    """
    import onnxruntime

    with _file_for(model, "onnx", "model.onnx", {"onnxruntime": onnxruntime.__version__}) as path:
        session = outside.onnx_session(path)
    engine = {"runtime": "onnx", "version": onnxruntime.__version__, "providers": session.get_providers()}
    return _whole_pictures(model, how, outside.onnx_run(session), engine)


def with_openvino(model: Artifact, how: How) -> Classifier:
    """Return a model that OpenVINO runs on the processor, converted first where it is a Keras network.

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
        Where it cannot be converted.
    """
    outside.silence_openvino()
    import openvino

    with _file_for(model, "openvino", "model.xml", {"openvino": openvino.__version__}) as path:
        run = outside.openvino_run(path, how.precision)
    return _whole_pictures(model, how, run, {"runtime": "openvino", "version": openvino.__version__})


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
    modules = outside.modules_of(reference)
    if outside.source_digest(modules) != model.facts["source"]:
        raise FacelimeError(
            f"the source of {reference} has changed since models/{model.id} was imported; "
            f"import it again with `facelime import-model {reference}`."
        )
    programs.require(model, programs.in_function(reference, modules))
    return _whole_pictures(model, how, outside.function(reference, modules), {"runtime": "python"})


def _whole_pictures(model: Artifact, how: How, run: Callable[..., Any], engine: Mapping[str, Any]) -> Classifier:
    """Return a classifier that reads whole pictures, composed in NumPy."""
    own = shapes.sides(model.facts["size"])
    what = f"models/{model.id}"
    # A network that was converted from Keras has its scaling inside.
    is_converted = format_of(model) == KERAS
    answer = outside.guarded(run, what) if is_converted else outside.Around.read(model.facts).probabilities(run, what)

    room = np.empty((0, *(how.resize_from or own), 3), np.float32)

    def forward(pictures: NDArray[Any]) -> NDArray[np.float32]:
        values = np.asarray(pictures, np.float32)
        if how.resize_from:
            values = compose.resized(values, own)
        return answer(values)

    def composed(
        packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: NDArray[np.uint8], segments: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        nonlocal room
        try:
            # The same memory serves every batch of one size.
            if len(room) != len(packed):
                room = np.empty((len(packed), *room.shape[1:]), np.float32)
            flat = room.reshape(len(room), -1, 3)
            compose.compose(packed, index, pictures, segments, flat)
            return forward(room)
        except MemoryError as why:
            raise backend.DeviceMemoryError from why

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        return pictures, segments

    return Classifier(forward, composed, upload, {**engine, "numpy": np.__version__, **machine.hardware()})


@contextmanager
def _file_for(model: Artifact, form: str, name: str, versions: Mapping[str, str]) -> Iterator[Path]:
    """Yield a private copy of a model's file for another runtime: its own, or one converted once and kept beside it.

    What is kept is known by the digest of what it was made from and with. It is used where this user's own facelime has
    made it: in a store from elsewhere, anything could stand there.
    """
    with programs.opened(model) as (path, program):
        if format_of(model) != KERAS:
            yield path
            return
        source = digests.of_file(path)

        def convert(folder: Path) -> None:
            wrapping.export(_network(model, path, usual(model), runs_code=program is not None), folder / name, form)
            trust.add(CONVERTED, _conversion(source, folder), model.reference)

        def is_own(folder: Path) -> bool:
            return trust.is_trusted(CONVERTED, _conversion(source, folder))

        made_from = {"content": model.content, "for": form, "keras": version("keras"), **versions}
        copied = path.with_name("converted")
        programs.copy(model.kept(made_from, convert, is_own), copied, model.reference)
        if not is_own(copied):
            raise BrokenError(f"what {model.reference} was converted to changed while it was read; try again.")
        yield copied / name


def _conversion(source: str, folder: Path) -> str:
    """Return the digest of a converted model, and of the file that it was made from."""
    files = programs.files_of(folder)
    files.pop(digests.SEAL, None)  # it is written last
    return digests.of_value({"source": source, "files": files})


def layered(model: Artifact) -> Any:
    """Return a model's Keras network, for what looks into its layers.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    keras.Model

    Raises
    ------
    FacelimeError
        For every format but Keras' own.
    """
    check_layers(model)
    return network_of(model, usual(model))
