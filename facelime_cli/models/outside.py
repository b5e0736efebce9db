"""Classifiers that Keras does not run: ONNX files, OpenVINO's networks, Python functions. Each becomes one callable from an array to an array."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.core import compose
from facelime_cli.errors import BrokenError, FacelimeError, NotFoundError
from facelime_cli.models.backbones import SCALINGS
from facelime_cli.models.backend import DeviceMemoryError
from facelime_cli.models.wrapping import BOTH_SIDES, LUMINANCE
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Run = Callable[[NDArray[np.float32]], Any]
    Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]

MEMORY_WORDS = ("out of memory", "bad_alloc", "failed to allocate", "could not allocate", "allocate memory")
"""What runtimes say when a batch does not fit, in small letters."""
COLOURS = (1, 3)
FUNCTION_SCALING = "0..1"
"""What a Python function reads."""


@dataclass(frozen=True)
class Around:
    """What stands around a classifier from outside: from display space to its input, from its output to probabilities.

    Attributes
    ----------
    scaling : str
        A key of `SCALINGS`.
    channels : int
        1 for luminance, or 3.
    channels_first : bool
    activation : str or None
        What to put behind a network that ends in logits.
    classes : int
    """

    scaling: str
    channels: int
    channels_first: bool
    activation: str | None
    classes: int

    def facts(self) -> dict[str, Any]:
        """Return this as facts of a model, where `read` finds it."""
        return {"around": asdict(self)}

    @staticmethod
    def read(facts: Mapping[str, Any]) -> Around:
        """Return what the facts of a model say."""
        return Around(**facts["around"])

    def outputs(self, run: Run, what: str) -> Answers:
        """Return what answers to (B, H, W, 3) float32 display space with the classifier's own columns, after its activation.

        Parameters
        ----------
        run : callable
            The classifier.
        what : str
            Its name in errors.
        """
        scaling = SCALINGS[self.scaling]
        luminance = LUMINANCE if self.channels == 1 else None

        def outputs(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
            x = compose.model_input(
                pictures,
                scaling.scale,
                scaling.offset,
                reverse=scaling.reverse,
                luminance=luminance,
                channels_first=self.channels_first,
            )
            values = guarded(run, what)(x)
            wanted = {(len(pictures), self.classes)} | ({(len(pictures), 1)} if self.classes == BOTH_SIDES else set())
            if values.shape not in wanted:
                raise FacelimeError(
                    f"{what} answers {len(pictures)} pictures with an array of {values.shape}; it should be {(len(pictures), self.classes)}, one column per class of --classes."
                )
            return values if self.activation is None else _ACTIVATIONS[self.activation](values)

        return outputs

    def probabilities(self, run: Run, what: str) -> Answers:
        """Return what answers with a column per class: one of a single unit becomes [1 - p, p]."""
        outputs = self.outputs(run, what)

        def probabilities(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
            values = outputs(pictures)
            return np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values

        return probabilities


def guarded(run: Run, what: str) -> Answers:
    """Return a classifier that answers in float32, and whose errors are sentences: what runs in it is not ours."""

    def call(values: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(run(values), np.float32)
        except Exception as why:  # somebody else's code may raise anything
            if isinstance(why, MemoryError) or any(words in str(why).lower() for words in MEMORY_WORDS):
                raise DeviceMemoryError from why
            raise FacelimeError(
                f"{what} failed on an array of {values.shape} ({_told(why)}); --debug shows where."
            ) from why

    return call


def _told(why: BaseException) -> str:
    return f"{type(why).__name__}: {str(why).strip().splitlines()[0] if str(why).strip() else ''}".rstrip(": .")


_ACTIVATIONS = {"softmax": compose.softmax, "sigmoid": compose.sigmoid}


# ONNX


def onnx_session(path: Path) -> Any:
    """Return ONNX Runtime's session for a file: on a graphics card where its package has one, with TF32 off."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.cores()
    options.log_severity_level = 3
    providers = [
        each
        for each in (("CUDAExecutionProvider", {"use_tf32": "0"}), ("CPUExecutionProvider", {}))
        if each[0] in onnxruntime.get_available_providers()
    ]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(f"{path.name} cannot be loaded as an ONNX model ({_told(why)}); export it again.") from why


def onnx_run(session: Any) -> Run:
    """Return a session as a callable; a file with a fixed number of pictures per call is called as often as needed."""
    given = session.get_inputs()[0]
    fixed = given.shape[0] if isinstance(given.shape[0], int) else None

    def run(values: NDArray[np.float32]) -> Any:
        if fixed is None:
            return session.run(None, {given.name: values})[0]
        padded = np.pad(values, [(0, -len(values) % fixed), *[(0, 0)] * (values.ndim - 1)])
        return np.concatenate(
            [
                session.run(None, {given.name: padded[start : start + fixed]})[0]
                for start in range(0, len(padded), fixed)
            ]
        )[: len(values)]

    return run


def onnx_shape(session: Any, name: str) -> tuple[int | None, int, bool]:
    """Return side, channels and whether these come first, or say why a file cannot be explained."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise FacelimeError(
            f"{name} has {len(inputs)} inputs and {len(outputs)} outputs; facelime explains networks with one picture in and one vector out."
        )
    shape, kind = inputs[0].shape, inputs[0].type
    first = len(shape) == 4 and shape[1] in COLOURS and shape[3] not in COLOURS  # noqa: PLR2004 - batch, height, width, channel
    if len(shape) != 4 or kind != "tensor(float)" or not (first or shape[3] in COLOURS):  # noqa: PLR2004 - as above
        raise FacelimeError(
            f"{name} reads {kind} of {shape}; it should read float32 of (batch, height, width, 1 or 3) or (batch, 1 or 3, height, width)."
        )
    height, width = shape[2:] if first else shape[1:3]
    sides = {side for side in (height, width) if isinstance(side, int)}
    if len(sides) > 1:
        raise FacelimeError(
            f"{name} reads pictures of {height}×{width}; only square inputs can be explained, put a resizing layer in front of it."
        )
    return next(iter(sides), None), int(shape[1] if first else shape[3]), first


# OpenVINO


def openvino_run(path: Path, precision: str) -> Run:
    """Return a network, in OpenVINO's format or as an ONNX file, as a callable on the processor; compiled for the shape of the batches, which is faster than for any."""
    import openvino

    core = openvino.Core()
    compiled: dict[tuple[int, ...], Any] = {}

    def run(values: NDArray[np.float32]) -> Any:
        if values.shape not in compiled:
            network = core.read_model(path)
            network.reshape(list(values.shape))
            compiled.clear()
            hints = {
                "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
                "INFERENCE_NUM_THREADS": machine.cores(),
            }
            compiled[values.shape] = core.compile_model(network, "CPU", hints)
        return compiled[values.shape](values, share_inputs=True)[0]

    return run


def silence_openvino() -> None:
    """Keep OpenVINO's converter from telling its makers that it was used: without this package it does not. Nothing is sent anywhere."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


# Python functions

REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def source_digest(reference: str) -> str:
    """Return the digest of the source of the module of `package.module:function`, found from the working folder or among the installed packages."""
    return digests.of_file(_source(reference))


def _source(reference: str) -> Path:
    module = reference.partition(":")[0]
    if "" not in sys.path:
        sys.path.insert(0, "")  # the working folder, as `python -m` does
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise NotFoundError(
            f"there is no Python module {module} with a source file, neither in this folder nor installed; run the command where `import {module}` works."
        )
    return Path(spec.origin)


def function(reference: str) -> Run:
    """Import `package.module:function`, which runs the module's code."""
    module, _, name = reference.partition(":")
    _source(reference)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as why:  # as in `guarded`
        raise FacelimeError(
            f"the Python module {module} cannot be imported ({_told(why)}); --debug shows where."
        ) from why
    if not callable(found):
        raise NotFoundError(f"the Python module {module} has no function {name}; give module:function.")
    return found  # type: ignore[no-any-return]
