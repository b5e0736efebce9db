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
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
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
from facelime_cli.store.artifacts import ROUNDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType

    from numpy.typing import NDArray

    Run = Callable[[NDArray[np.float32]], Any]
    Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]

MEMORY_WORDS = ("out of memory", "bad_alloc", "failed to allocate", "could not allocate", "allocate memory")
"""What runtimes say when a batch does not fit, in small letters."""
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


def onnx_shape(session: Any, name: str) -> tuple[tuple[int | None, int | None], int, bool]:
    """Return what pictures an ONNX file reads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    name : str
        Of the file, in errors.

    Returns
    -------
    sides : (int or None, int or None)
        Height and width in pixels; None for what is open.
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
    # An open side has a name, or none.
    height, width = (side if isinstance(side, int) else None for side in (height, width))
    return (height, width), int(channels), is_first


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

    Raises
    ------
    BrokenError
        Where the file cannot be loaded.
    """
    import openvino

    core = openvino.Core()
    # Read now: what was looked at is what is compiled, for every size of the batch.
    try:
        network = core.read_model(path)
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(f"{path.name} cannot be loaded by OpenVINO ({_told(why)}); import the model again.") from why
    hints = {
        "INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": machine.cores(),
        # Pinned, the shards of one machine would all take the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    compiled: dict[tuple[int, ...], Any] = {}

    def run(values: NDArray[np.float32]) -> Any:
        if values.shape not in compiled:
            shaped = network.clone()
            shaped.reshape(list(values.shape))
            compiled.clear()  # the network of another batch size
            compiled[values.shape] = core.compile_model(shaped, "CPU", hints)
        return compiled[values.shape](values, share_inputs=True)[0]

    return run


def silence_openvino() -> None:
    """Keep OpenVINO's converter from telling its makers that it was used: without this package it does not."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


# Python functions

REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
"""A name such as package.module:function."""


@dataclass(frozen=True)
class Module:
    """A Python module whose code has not run yet.

    Attributes
    ----------
    path : pathlib.Path
    content : bytes
        Of its file.
    """

    path: Path
    content: bytes


def modules_of(reference: str) -> dict[str, Module]:
    """Read the module of `package.module:function` and the packages around it; nothing of them runs.

    Parameters
    ----------
    reference : str
        Its module is found from the working folder or among the installed packages.

    Returns
    -------
    dict
        By name, the outermost package first and the module itself last.

    Raises
    ------
    NotFoundError
        Where there is no such module.
    """
    module = reference.partition(":")[0]
    if "" not in sys.path:
        sys.path.insert(0, "")  # the working folder, as `python -m` does
    found: dict[str, Module] = {}
    places: Sequence[str] | None = None
    parts = module.split(".")
    for n_parts in range(1, len(parts) + 1):
        name = ".".join(parts[:n_parts])
        spec = _spec(name, places)
        if spec is not None and spec.origin and Path(spec.origin).is_file():
            path = Path(spec.origin)
            found[name] = Module(path, path.read_bytes())
            places = spec.submodule_search_locations or []
        else:
            places = _folders(parts[n_parts - 1], places)
    if module not in found:
        raise NotFoundError(
            f"there is no Python module {module} with a source file, neither in this folder nor installed; "
            f"run the command where `import {module}` works."
        )
    return found


def source_digest(modules: Mapping[str, Module]) -> str:
    """Return the digest of the source of a function's own module.

    Parameters
    ----------
    modules : mapping
        From `modules_of`.

    Returns
    -------
    str
    """
    return digests.of_bytes(list(modules.values())[-1].content)


def _spec(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    """Return where a module is; unlike `importlib.util.find_spec`, this imports no package around it."""
    for finder in sys.meta_path:
        # Python lists the folders of a package without a file of its own by the one around it, which is not there.
        with contextlib.suppress(KeyError):
            spec = finder.find_spec(name, places)
            if spec is not None:
                return spec
    return None


def _folders(name: str, places: Sequence[str] | None) -> list[str]:
    """Return the folders of a package that has no file of its own."""
    folders = [Path(place or ".").resolve() / name for place in (sys.path if places is None else places)]
    return [str(folder) for folder in folders if folder.is_dir()]


def function(reference: str, modules: Mapping[str, Module]) -> Run:
    """Import `package.module:function`, which runs the code of its modules: these bytes, whatever the files hold now.

    Parameters
    ----------
    reference : str
    modules : mapping
        From `modules_of`.

    Returns
    -------
    callable

    Raises
    ------
    NotFoundError
        Where there is no such function.
    FacelimeError
        Where the module fails.
    """
    module, _, name = reference.partition(":")
    finder = _Finder(modules)
    sys.meta_path.insert(0, finder)
    try:
        with _imported(module):
            found = getattr(importlib.import_module(module), name, None)
    finally:
        sys.meta_path.remove(finder)
    if not callable(found):
        raise NotFoundError(f"the Python module {module} has no function {name}; give module:function.")
    return found  # type: ignore[no-any-return]


class _Finder(MetaPathFinder):
    """Finds modules that were read already."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self._modules = modules

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where a module is, with a loader of what was read of it."""
        del path, target
        module = self._modules.get(fullname)
        if module is None or module.path.suffix != ".py":
            return None
        is_package = module.path.name == "__init__.py"
        return importlib.util.spec_from_file_location(
            fullname,
            module.path,
            loader=_Loader(fullname, module),
            submodule_search_locations=[str(module.path.parent)] if is_package else None,
        )


class _Loader(SourceFileLoader):
    """Runs what was read of a module: its file may be another by now, and a cache beside it may hold anything."""

    def __init__(self, fullname: str, module: Module) -> None:
        super().__init__(fullname, str(module.path))
        self._content = module.content

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled source."""
        del fullname
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


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
