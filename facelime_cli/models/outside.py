"""Classifiers that Keras does not run: ONNX files, OpenVINO's networks, Python functions.

Each becomes one callable from an array to an array.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.core import compose
from facelime_cli.errors import BrokenError, FacelimeError, NotFoundError, StopRequested
from facelime_cli.models.backbones import ACTIVATIONS, SCALINGS
from facelime_cli.models.backend import DeviceMemoryError
from facelime_cli.models.wrapping import BOTH_SIDES, COLOUR, GREY, IMAGE_AXES, LUMINANCE
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Run = Callable[[NDArray[np.float32]], Any]
    Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]

MEMORY_WORDS = ("out of memory", "bad_alloc", "failed to allocate", "could not allocate", "allocate memory")
"""What runtimes say when a batch does not fit, in small letters."""
ROUNDING = 1e-3
"""How far a probability may lie beyond 0 and 1 in half precision."""
NO_NUMBERS = "cOSUmM"
"""NumPy's kinds of dtypes that are no probabilities: complex numbers, objects, texts, times."""
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
        Their number.
    """

    scaling: str
    channels: int
    channels_first: bool
    activation: str | None
    classes: int

    def facts(self) -> dict[str, Any]:
        """Return this as facts of a model, where `read` finds it.

        Returns
        -------
        dict
        """
        return {"around": asdict(self)}

    @staticmethod
    def read(facts: Mapping[str, Any]) -> Around:
        """Return what the facts of a model say.

        Parameters
        ----------
        facts : mapping

        Returns
        -------
        Around
        """
        return Around(**facts["around"])

    def outputs(self, run: Run, what: str) -> Answers:
        """Return what answers with the classifier's own columns, after its activation.

        Parameters
        ----------
        run : callable
            The classifier.
        what : str
            Its name in errors.

        Returns
        -------
        callable
            From (B, H, W, 3) float32 display space to (B, C) float32; C is 1 for a single unit. It raises FacelimeError
            where the classifier fails, or answers with an array of another shape.
        """
        call = guarded(run, what)

        def outputs(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
            values = call(self._input(pictures))
            wanted = (len(pictures), self.classes)
            is_one_unit = self.classes == BOTH_SIDES and values.shape == (len(pictures), 1)
            if values.shape != wanted and not is_one_unit:
                raise FacelimeError(
                    f"{what} answers {len(pictures)} pictures with an array of {values.shape}; it should be {wanted}, "
                    "one column per class of --classes."
                )
            if self.activation is None:
                return values
            found: NDArray[np.float32] = ACTIVATIONS[self.activation].load()(values)
            return found

        return outputs

    def _input(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the classifier reads of pictures in display space."""
        scaling = SCALINGS[self.scaling]
        return compose.model_input(
            pictures,
            scaling.scale,
            scaling.offset,
            reverse=scaling.reverse,
            luminance=LUMINANCE if self.channels == GREY else None,
            channels_first=self.channels_first,
        )

    def probabilities(self, run: Run, what: str) -> Answers:
        """Return what answers with a column per class: one of a single unit becomes [1 - p, p].

        Parameters
        ----------
        run : callable
            The classifier.
        what : str
            Its name in errors.

        Returns
        -------
        callable
            As that of `outputs`, with a column for every class.
        """
        outputs = self.outputs(run, what)

        def probabilities(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
            values = outputs(pictures)
            # NaN passes here: whoever asks knows better what was asked.
            if (values < -ROUNDING).any() or (values > 1 + ROUNDING).any():
                raise FacelimeError(
                    f"{what} answers between {values.min():.3g} and {values.max():.3g}, which are no probabilities; "
                    "check what it answers for dark and plain pictures, and import it again."
                )
            return np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values

        return probabilities


def guarded(run: Run, what: str) -> Answers:
    """Return a classifier whose errors are sentences: what runs in it is not ours.

    Parameters
    ----------
    run : callable
        The classifier.
    what : str
        Its name in errors.

    Returns
    -------
    callable
        It answers in float32. It raises DeviceMemoryError where a batch does not fit, FacelimeError for anything else.
    """

    def call(values: NDArray[np.float32]) -> NDArray[np.float32]:
        folder = Path.cwd()
        try:
            return _numbers(run(values), what)
        except (StopRequested, FacelimeError):
            raise
        except BaseException as why:  # somebody else's code may raise anything, and may call sys.exit
            text = str(why).lower()
            if isinstance(why, MemoryError) or any(words in text for words in MEMORY_WORDS):
                raise DeviceMemoryError from why
            raise FacelimeError(
                f"{what} failed on an array of {values.shape} ({_told(why)}); --debug shows where."
            ) from why
        finally:
            _stay_in(folder, what)

    return call


def _numbers(answers: Any, what: str) -> NDArray[np.float32]:
    """Return answers as float32 of their own memory: a classifier may use its memory again for the next batch."""
    found = np.asarray(answers)
    if found.dtype.kind in NO_NUMBERS:
        raise FacelimeError(f"{what} answers with an array of {found.dtype}; it should be one of float32.")
    # What is too large for float32 becomes infinite, which is refused where answers are looked at.
    with np.errstate(over="ignore"):
        return np.array(found, np.float32)


def _stay_in(folder: Path, what: str) -> None:
    """Go back to the folder that the command works in, and say who left it: a store may be named from there."""
    if Path.cwd() != folder:
        os.chdir(folder)
        raise FacelimeError(f"{what} changes the working folder while it answers; let it use absolute paths.")


def _told(why: BaseException) -> str:
    """Return the kind of an exception and the first line of its text."""
    text = str(why).strip()
    first = text.splitlines()[0] if text else ""
    return f"{type(why).__name__}: {first}".rstrip(": .")


# ONNX


def onnx_session(path: Path) -> Any:
    """Return ONNX Runtime's session for a file: on a graphics card where its package has one, with TF32 off.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    BrokenError
        Where the file cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.cores()
    options.log_severity_level = 3
    available = onnxruntime.get_available_providers()
    wanted: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}, "CPUExecutionProvider": {}}
    providers = [(name, its) for name, its in wanted.items() if name in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(f"{path.name} cannot be loaded as an ONNX model ({_told(why)}); export it again.") from why


def onnx_run(session: Any) -> Run:
    """Return a session as a callable.

    A file with a fixed number of pictures per call is called as often as needed.

    Parameters
    ----------
    session : onnxruntime.InferenceSession

    Returns
    -------
    callable
    """
    given = session.get_inputs()[0]
    fixed = given.shape[0] if isinstance(given.shape[0], int) else None

    def once(values: NDArray[np.float32]) -> Any:
        return session.run(None, {given.name: values})[0]

    def run(values: NDArray[np.float32]) -> Any:
        if fixed is None:
            return once(values)
        missing = -len(values) % fixed
        padding = [(0, missing)] + [(0, 0)] * (values.ndim - 1)
        padded = np.pad(values, padding)
        answers = [once(padded[start : start + fixed]) for start in range(0, len(padded), fixed)]
        return np.concatenate(answers)[: len(values)]

    return run


def onnx_shape(session: Any, name: str) -> tuple[int | None, int, bool]:
    """Return what pictures an ONNX file reads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    name : str
        Of the file, in errors.

    Returns
    -------
    side : int or None
        In pixels; None when it is open.
    channels : int
    channels_first : bool

    Raises
    ------
    FacelimeError
        Where it cannot be explained.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise FacelimeError(
            f"{name} has {len(inputs)} inputs and {len(outputs)} outputs; "
            "facelime explains networks with one picture in and one vector out."
        )
    shape, kind = inputs[0].shape, inputs[0].type
    layout = _layout_of(shape)
    if layout is None or kind != "tensor(float)":
        raise FacelimeError(
            f"{name} reads {kind} of {shape}; "
            "it should read float32 of (batch, height, width, 1 or 3) or (batch, 1 or 3, height, width)."
        )
    height, width, channels, is_first = layout
    sides = {side for side in (height, width) if isinstance(side, int)}
    if len(sides) > 1:
        raise FacelimeError(
            f"{name} reads pictures of {height}×{width}; only square inputs can be explained, "
            "put a resizing layer in front of it."
        )
    return next(iter(sides), None), int(channels), is_first


def _layout_of(shape: list[Any]) -> tuple[Any, Any, Any, bool] | None:
    """Return height, width and channels of an input, and whether channels come first; None for no pictures."""
    if len(shape) != IMAGE_AXES:
        return None
    _, second, third, last = shape
    if last in {GREY, COLOUR}:
        return second, third, last, False
    if second in {GREY, COLOUR}:
        return third, last, second, True
    return None


# OpenVINO

OPENVINO_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def openvino_run(path: Path, precision: str) -> Run:
    """Return a network as a callable on the processor.

    It is compiled for the shape of the batches, which is faster than for any.

    Parameters
    ----------
    path : pathlib.Path
        In OpenVINO's format, or an ONNX file.
    precision : str
        `float32` or `bfloat16`.

    Returns
    -------
    callable
    """
    import openvino

    core = openvino.Core()
    hints = {
        "INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": machine.cores(),
        # Pinned, the shards of one machine would all take the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    compiled: dict[tuple[int, ...], Any] = {}

    def run(values: NDArray[np.float32]) -> Any:
        if values.shape not in compiled:
            network = core.read_model(path)
            network.reshape(list(values.shape))
            compiled.clear()  # the network of another batch size
            compiled[values.shape] = core.compile_model(network, "CPU", hints)
        return compiled[values.shape](values, share_inputs=True)[0]

    return run


def silence_openvino() -> None:
    """Keep OpenVINO's converter from telling its makers that it was used: without this package it does not."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


# Python functions

REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
"""A name such as package.module:function."""


def source_digest(reference: str) -> str:
    """Return the digest of the source of the module of `package.module:function`.

    Parameters
    ----------
    reference : str
        Its module is found from the working folder or among the installed packages.

    Returns
    -------
    str

    Raises
    ------
    NotFoundError
        Where there is no such module.
    """
    return digests.of_file(_source(reference))


def _source(reference: str) -> Path:
    module = reference.partition(":")[0]
    spec = None
    if "" not in sys.path:
        sys.path.insert(0, "")  # the working folder, as `python -m` does
    # This imports the packages around the module.
    with _imported(module), contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise NotFoundError(
            f"there is no Python module {module} with a source file, neither in this folder nor installed; "
            f"run the command where `import {module}` works."
        )
    return Path(spec.origin)


def function(reference: str) -> Run:
    """Import `package.module:function`, which runs the module's code.

    Parameters
    ----------
    reference : str

    Returns
    -------
    callable

    Raises
    ------
    NotFoundError
        Where there is no such module or function.
    FacelimeError
        Where the module fails.
    """
    module, _, name = reference.partition(":")
    _source(reference)  # its own message for a module that is not there
    with _imported(module):
        found = getattr(importlib.import_module(module), name, None)
    if not callable(found):
        raise NotFoundError(f"the Python module {module} has no function {name}; give module:function.")
    return found  # type: ignore[no-any-return]


@contextlib.contextmanager
def _imported(module: str) -> Iterator[None]:
    """Let a module run that is not ours: its errors are sentences, and the command keeps its folder and its signals."""
    folder = Path.cwd()
    # Only the main thread may set a handler, so that only a module that it imports can have done so.
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    except StopRequested:
        raise
    except BaseException as why:  # as in `guarded`
        raise FacelimeError(
            f"the Python module {module} cannot be imported ({_told(why)}); --debug shows where."
        ) from why
    finally:
        os.chdir(folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)
