"""What computes a model's answers: a light table of runtimes, and one way to load a model for any of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import CommandLineError, FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

PRECISIONS = ("float32", "tf32", "bfloat16")
KERAS, SAVED_MODEL, ONNX, FUNCTION = "keras", "saved-model", "onnx", "function"
"""Formats of models: the fact `format`; without it a model is Keras' own."""
NAMES_OF_FORMATS = {
    KERAS: "a Keras network",
    SAVED_MODEL: "a TensorFlow SavedModel",
    ONNX: "an ONNX file",
    FUNCTION: "a Python function",
}
FILES = {KERAS: "model.keras", SAVED_MODEL: "saved_model", ONNX: "model.onnx"}


@dataclass(frozen=True)
class How:
    """How a model is run: the runtime, its precision, and the side of the pictures where a layer in front must make them the model's own."""

    runtime: str
    precision: str
    resize_from: int | None = None


@dataclass(frozen=True)
class Classifier:
    """A model that is ready to answer.

    Attributes
    ----------
    forward : callable
        From (B, H, W, 3) values in display space to (B, C) float32 probabilities.
    composed : callable
        From packed masks (B, M) uint8, the picture of each (B,) int32, and what `upload` returned, to the same: composition and forward pass in one call.
    upload : callable
        Puts fills and images (U, 2, H·W, 3) uint8 and segments (U, H·W) int32 where `composed` reads them.
    engine : mapping
        What decides the bits of an answer beside the model and the batch.
    """

    forward: Callable[..., NDArray[np.float32]]
    composed: Callable[..., NDArray[np.float32]]
    upload: Callable[[NDArray[np.uint8], NDArray[np.int32]], tuple[Any, Any]]
    engine: Mapping[str, Any]


@dataclass(frozen=True)
class Runtime:
    """One way to run models: the precisions that it has for each format, the packages that it needs, and how it loads a model.

    `extra` is what to install it with.
    """

    precisions: Mapping[str, tuple[str, ...]]
    load: Callable[[Artifact, How], Classifier]
    packages: Mapping[str, tuple[str, ...]]
    extra: str = ""


def usual(model: Artifact) -> How:
    """Return how a model is run when nothing else is asked for, which is the reference too: the first runtime of the table that takes its format, in float32."""
    return How(next(name for name, runtime in RUNTIMES.items() if format_of(model) in runtime.precisions), "float32")


def format_of(model: Artifact) -> str:
    """Return the format of a model."""
    return str(model.facts.get("format", KERAS))


def settle(model: Artifact, runtime: str | None, precision: str) -> str:
    """Return the runtime for a model, or say why it cannot be the one that is asked for."""
    chosen = runtime or usual(model).runtime
    its_format = format_of(model)
    able = [name for name, each in RUNTIMES.items() if precision in each.precisions.get(its_format, ())]
    if chosen not in able:
        there_is = f"use --runtime {' or '.join(able)}" if able else "use --precision float32"
        raise CommandLineError(
            f"--runtime {chosen} does not run {NAMES_OF_FORMATS[its_format]} (models/{model.id}) in {precision}; {there_is}."
        )
    return chosen


def check_installed(name: str, form: str) -> None:
    """Raise when a runtime's packages for a format are not there, with how to install them."""
    runtime = RUNTIMES[name]
    missing = [package for package in runtime.packages.get(form, ()) if importlib.util.find_spec(package) is None]
    if missing:
        raise FacelimeError(
            f"--runtime {name} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; `python3 -m pip install 'facelime[{runtime.extra}]'` brings it."
        )


def check_size(model: Artifact, dataset: Artifact, besides: str = ", or add --resize") -> None:
    """Raise when a model reads pictures of another size than a dataset has; `besides` is what a command can do besides preprocessing again."""
    size, pictures = int(model.facts["size"]), int(dataset.facts["size"])
    if size != pictures:
        raise FacelimeError(
            f"models/{model.id} reads pictures of {size}×{size}, but those of datasets/{dataset.id} are {pictures}×{pictures}; preprocess them again with --size {size}{besides}."
        )


def load(model: Artifact, how: How) -> Classifier:
    """Return a model ready to answer."""
    check_installed(how.runtime, format_of(model))
    return RUNTIMES[how.runtime].load(model, how)


def check_layers(model: Artifact) -> None:
    """Raise when a model shows nobody its layers."""
    if format_of(model) != KERAS:
        raise FacelimeError(
            f"models/{model.id} is {NAMES_OF_FORMATS[format_of(model)]}, whose layers cannot be looked into; only Keras networks show theirs, explain this one with LIME or `facelime occlusion`."
        )


def layered(model: Artifact) -> Any:
    """Return a model's Keras network, for what looks into its layers."""
    check_layers(model)
    return _network(model, How("keras", "float32"))


# The runtimes


def _keras(model: Artifact, how: How) -> Classifier:
    from facelime_cli.models import backend, running

    net = _network(model, how)
    backend.compute_with(how.precision)
    return Classifier(
        running.forward(net),
        running.compiled(net),
        lambda *arrays: (backend.on_device(arrays[0]), backend.on_device(arrays[1])),
        backend.engine(),
    )


def _network(model: Artifact, how: How) -> Any:
    """Return a model as a Keras network that reads display space at the size of the pictures."""
    from facelime_cli.models import wrapping

    path = model.file(FILES[format_of(model)])
    if format_of(model) == SAVED_MODEL:
        around = model.facts["around"]
        net = wrapping.with_scaling(
            wrapping.load_saved_model(path),
            scaling=around["scaling"],
            size=model.facts["size"],
            n_classes=around["classes"],
            activation=around["activation"],
        )
    else:
        trust = bool(model.facts.get("trusted"))
        net = wrapping.in_precision(wrapping.load(path, trust=trust), how.precision, trust=trust)
    return wrapping.resized(net, how.resize_from) if how.resize_from else net


def _onnx(model: Artifact, how: How) -> Classifier:
    import onnxruntime

    from facelime_cli.models import outside

    session = outside.onnx_session(_file_for(model, "onnx", "model.onnx", {"onnxruntime": onnxruntime.__version__}))
    engine = {"runtime": "onnx", "version": onnxruntime.__version__, "providers": session.get_providers()}
    return _whole_pictures(model, how, outside.onnx_run(session), engine)


def _openvino(model: Artifact, how: How) -> Classifier:
    from facelime_cli.models import outside

    outside.silence_openvino()
    import openvino

    path = _file_for(model, "openvino", "model.xml", {"openvino": openvino.__version__})
    return _whole_pictures(
        model, how, outside.openvino_run(path, how.precision), {"runtime": "openvino", "version": openvino.__version__}
    )


def _python(model: Artifact, how: How) -> Classifier:
    from facelime_cli.models import outside

    facts = model.facts
    if outside.source_digest(facts["function"]) != facts["source"]:
        raise FacelimeError(
            f"the source of {facts['function']} is not the one that models/{model.id} was imported from; import it again with `facelime import-model {facts['function']}`."
        )
    return _whole_pictures(model, how, outside.function(facts["function"]), {"runtime": "python"})


def _whole_pictures(model: Artifact, how: How, run: Callable[..., Any], engine: Mapping[str, Any]) -> Classifier:
    """Return a classifier that reads whole pictures, composed in NumPy; one that was converted from a Keras network has its scaling inside."""
    import numpy as np

    from facelime_cli import machine
    from facelime_cli.core import compose
    from facelime_cli.models import backend, outside

    size = int(model.facts["size"])
    what = f"models/{model.id}"
    answer = (
        outside.guarded(run, what)
        if format_of(model) == KERAS
        else outside.Around.read(model.facts).probabilities(run, what)
    )

    side = how.resize_from or size
    room = np.empty((0, side, side, 3), np.float32)

    def forward(pictures: NDArray[Any]) -> NDArray[np.float32]:
        values = np.asarray(pictures, np.float32)
        return answer(compose.resized(values, size) if how.resize_from else values)

    def composed(
        packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: NDArray[np.uint8], segments: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        nonlocal room
        try:
            if len(room) != len(packed):
                room = np.empty((len(packed), *room.shape[1:]), np.float32)
            compose.compose(packed, index, pictures, segments, room.reshape(len(room), -1, 3))
            return forward(room)
        except MemoryError as why:
            raise backend.DeviceMemoryError from why

    return Classifier(
        forward,
        composed,
        lambda pictures, segments: (pictures, segments),
        {**engine, "numpy": np.__version__, **machine.hardware()},
    )


def _file_for(model: Artifact, form: str, name: str, versions: Mapping[str, str]) -> Path:
    """Return a model's file for another runtime: its own, or converted once and kept beside it under the digest of what it was made from and with."""
    if format_of(model) != KERAS:
        return model.file(FILES[format_of(model)])
    from importlib.metadata import version

    from facelime_cli.models import wrapping

    def convert(folder: Path) -> None:
        wrapping.export(_network(model, How("keras", "float32")), folder / name, form)

    return model.kept({"content": model.content, "for": form, "keras": version("keras"), **versions}, convert) / name


_FLOAT32 = ("float32",)
RUNTIMES = {
    "keras": Runtime({KERAS: PRECISIONS, SAVED_MODEL: ("float32", "tf32")}, _keras, {}),
    "onnx": Runtime(
        {ONNX: _FLOAT32, KERAS: _FLOAT32},
        _onnx,
        {ONNX: ("onnxruntime",), KERAS: ("onnxruntime", "onnx", "tf2onnx")},
        "onnx",
    ),
    "openvino": Runtime(
        {KERAS: ("float32", "bfloat16"), ONNX: ("float32", "bfloat16")},
        _openvino,
        {KERAS: ("openvino",), ONNX: ("openvino",)},
        "openvino",
    ),
    "python": Runtime({FUNCTION: _FLOAT32}, _python, {}),
}
"""The first that takes a format is what its models run on by default, and in float32 the reference for the others."""
