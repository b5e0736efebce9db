"""Keras itself: how it is imported, precision, memory, and which device computes."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import sys
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from facelime_cli import machine
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from numpy.typing import NDArray

TENSORFLOW = "tensorflow"
UNLOADABLE = (ValueError, TypeError, OSError, KeyError, AttributeError, zipfile.BadZipFile)
"""What Keras raises for a file that is not what it should be."""
COMPILED = 2
"""Raised when the compiled call changes, and with it the last bits of what it answers."""


NEEDLESS = frozenset({"sklearn", "pandas", "matplotlib"})
"""What Keras imports where it finds it, for what is not used here: a third of the time that it takes."""
_IMPORTING, _SILENCE = threading.RLock(), threading.RLock()


class DeviceMemoryError(FacelimeError):
    """A batch did not fit into the device's memory."""

    def __init__(self) -> None:
        super().__init__(
            "the device's memory is too small for a batch of this size; repeat the command with a smaller --batch-size."
        )


def keras() -> Any:
    """Import Keras with its backend, silently unless --debug asks for what they say.

    Returns
    -------
    module

    Raises
    ------
    FacelimeError
        Where KERAS_BACKEND names a backend that facelime does not run on, or one that is not installed.
    """
    # Where another thread is at it already, this one waits: a module may be used when it is whole.
    with _IMPORTING:
        if "keras" not in sys.modules:
            _import_keras()
    return sys.modules["keras"]


def tensorflow() -> Any:
    """Import TensorFlow without Keras, which would import it the other way round and take half a second more.

    Returns
    -------
    module
    """
    with _IMPORTING:
        if TENSORFLOW not in sys.modules:
            _import_tensorflow()
    return sys.modules[TENSORFLOW]


def name() -> str:
    """Return the backend on which Keras runs, or will run; nothing is imported.

    Returns
    -------
    str

    Raises
    ------
    FacelimeError
        As `keras`.
    """
    if "keras" in sys.modules:
        return str(keras().backend.backend())
    wanted = os.environ.get("KERAS_BACKEND") or settings().get("backend", TENSORFLOW)
    if wanted not in _CARDS:
        raise FacelimeError(
            f"KERAS_BACKEND={wanted} is no backend that facelime runs on; "
            f"set it to {', '.join(_CARDS)}, or leave it out."
        )
    if importlib.util.find_spec(wanted) is None:
        raise FacelimeError(
            f"KERAS_BACKEND={wanted} asks for a package that is not installed; "
            f"install {wanted}, or leave the variable out."
        )
    return str(wanted)


def settings() -> dict[str, Any]:
    """Return what the user's own file of settings tells Keras, as Keras looks for it.

    Returns
    -------
    dict
        Empty where there is none.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 - unlike `Path.home`, it answers where there is no home
    place = os.environ.get("KERAS_HOME") or Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"  # noqa: S108 - as Keras itself
    try:
        found = json.loads((Path(place) / "keras.json").expanduser().read_bytes())
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


def _import_keras() -> None:
    if name() == TENSORFLOW:
        tensorflow()
    _set_before_import()
    with silent_stderr(), _uncollected(), _without(NEEDLESS):
        import keras as imported

        # Torch takes memory as it needs it by itself, JAX by its variable.
        _ALLOW_TF32[imported.backend.backend()](allowed=False)


def _import_tensorflow() -> None:
    _set_before_import()
    with silent_stderr(), _uncollected(), _without(NEEDLESS, later="keras"):
        import tensorflow as tf

        # Memory of a shared graphics card is taken as it is needed, not all of it at once.
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, enable=True)
        _allow_tf32_in_tensorflow(allowed=False)


def _set_before_import() -> None:
    # Both are read while the backend is imported, and never again.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Do without Python's garbage collection: an import makes a million objects that stay, and it looks at all of them.

    Yields
    ------
    None
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def _without(packages: frozenset[str], later: str = "") -> Iterator[None]:
    """Let this thread find no package of some names: an importer that can do without them does.

    One more, `later`, is found but cannot be imported yet.

    Yields
    ------
    None
    """
    finder = _Hiding(packages, later, threading.get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@dataclass(frozen=True)
class _Hiding(MetaPathFinder):
    """Says that some packages are not installed, to one thread alone: others may need them meanwhile."""

    packages: frozenset[str]
    later: str
    thread: int

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Raise for a package that is hidden; leave every other to the finders that follow."""
        del target
        package = fullname.partition(".")[0]
        if threading.get_ident() != self.thread:
            return None
        if package in self.packages:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)
        spec = PathFinder.find_spec(fullname, path) if package == self.later else None
        if spec is not None:
            # TensorFlow looks where Keras lies, and imports it at its own end.
            spec.loader = _NotYet()
        return spec


class _NotYet(Loader):
    """Loads nothing."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Raise as for a package that is not there, before anybody sees the module."""
        raise ModuleNotFoundError(f"{spec.name} is not needed yet", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Never comes so far."""


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Hold back what C++ libraries print while they are imported; show it after all when the import fails.

    Yields
    ------
    None
    """
    if os.environ.get("FACELIME_DEBUG"):
        yield
        return
    # Of two threads at once, the second would give back what the first has put in the stream's place.
    with _SILENCE:
        yield from _silenced()


def _silenced() -> Iterator[None]:
    sys.stderr.flush()
    said, kept = sys.stderr, os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        if said is sys.__stderr__:  # what Python itself says in the meantime, in whatever thread, is not held back
            sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr = said
            os.dup2(kept, 2)
            os.close(kept)


def compute_with(precision: str) -> None:
    """Let a graphics card multiply float32 with TF32, or keep float32 what it says.

    Parameters
    ----------
    precision : str
        One of `runtimes.PRECISIONS`.

    Raises
    ------
    FacelimeError
        For tf32 where there is no graphics card.
    """
    if precision == "tf32" and not on_accelerator():
        raise FacelimeError(
            "--precision tf32 is a mode of NVIDIA cards, and this backend sees none; "
            "use float32, or bfloat16 where the processor has instructions for it."
        )
    _ALLOW_TF32[name()](allowed=precision == "tf32")


def _allow_tf32_in_tensorflow(*, allowed: bool) -> None:
    tensorflow().config.experimental.enable_tensor_float_32_execution(allowed)


def _allow_tf32_in_torch(*, allowed: bool) -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _allow_tf32_in_jax(*, allowed: bool) -> None:
    import jax

    # JAX multiplies float32 with fewer bits by default wherever a device can.
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if allowed else "highest")


_ALLOW_TF32: dict[str, Callable[..., None]] = {
    "tensorflow": _allow_tf32_in_tensorflow,
    "torch": _allow_tf32_in_torch,
    "jax": _allow_tf32_in_jax,
}


def fresh_names() -> None:
    """Start layer names anew, so that the same network built later in one process is the same network."""
    keras().utils.clear_session()


@contextlib.contextmanager
def memory_errors_named() -> Iterator[None]:
    """Turn what a backend raises when a batch does not fit into the device's memory into our own error.

    Yields
    ------
    None

    Raises
    ------
    DeviceMemoryError
    """
    error, words = _MEMORY_ERRORS[name()]()
    try:
        yield
    except error as why:
        if any(each in str(why) for each in words):
            raise DeviceMemoryError from why
        raise


def _tensorflow_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    return tensorflow().errors.ResourceExhaustedError, ("",)


def _jax_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    import jax

    return jax.errors.JaxRuntimeError, ("RESOURCE_EXHAUSTED",)


def _torch_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    return RuntimeError, ("out of memory", "allocate memory")  # of a graphics card, of the processor


_MEMORY_ERRORS: dict[str, Callable[[], tuple[type[Exception], tuple[str, ...]]]] = {
    "tensorflow": _tensorflow_memory_error,
    "jax": _jax_memory_error,
    "torch": _torch_memory_error,
}
"""What each backend raises for want of memory, and the words that tell it from other errors."""


def on_device(array: NDArray[Any]) -> Any:
    """Put an array on the device, to be used by many calls.

    Parameters
    ----------
    array : array

    Returns
    -------
    tensor
        Of the backend.
    """
    return tensorflow().convert_to_tensor(array) if name() == TENSORFLOW else keras().ops.convert_to_tensor(array)


def operations() -> Any:
    """Return the operations of Keras from which perturbed pictures are composed; those of TensorFlow without Keras.

    Returns
    -------
    namespace
    """
    if name() != TENSORFLOW:
        return keras().ops
    tf = tensorflow()
    return SimpleNamespace(
        arange=lambda stop, dtype: tf.range(stop, dtype=dtype),
        bitwise_and=tf.bitwise.bitwise_and,
        cast=tf.cast,
        expand_dims=tf.expand_dims,
        reshape=tf.reshape,
        right_shift=tf.bitwise.right_shift,
        take=tf.gather,
    )


def engine() -> dict[str, Any]:
    """Return what decides the bits of an answer beside the network and the batch.

    Returns
    -------
    dict
        The backend, the versions, the graphics cards and the processor.
    """
    backend = name()
    return {
        "backend": backend,
        "compiled": COMPILED,
        "version": sys.modules[backend].__version__,
        "keras": version("keras"),
        "cards": _CARDS[backend](),
        **machine.hardware(),
    }


def _cards_of_tensorflow() -> list[str]:
    tf = tensorflow()
    return [
        str(tf.config.experimental.get_device_details(card).get("device_name"))
        for card in tf.config.list_physical_devices("GPU")
    ]


def _cards_of_jax() -> list[str]:
    import jax

    return [str(device.device_kind) for device in jax.devices() if device.platform != "cpu"]


def _cards_of_torch() -> list[str]:
    import torch

    return [str(torch.cuda.get_device_name(card)) for card in range(torch.cuda.device_count())]


_CARDS: dict[str, Callable[[], list[str]]] = {
    "tensorflow": _cards_of_tensorflow,
    "jax": _cards_of_jax,
    "torch": _cards_of_torch,
}


def on_accelerator() -> bool:
    """Tell whether the backend computes on something other than the processor.

    Returns
    -------
    bool
    """
    return bool(_CARDS[name()]())
