"""Keras itself: how it is imported, precision, memory, and which device computes."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import sys
import tempfile
import threading
import zipfile
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from facelime_cli import machine
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


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


def _import_keras() -> None:
    # Both are read while the backend is imported, and never again.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    wanted = os.environ.get("KERAS_BACKEND") or "tensorflow"
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
    with silent_stderr(), _uncollected(), _without(NEEDLESS):
        import keras as imported

        _leave_room(imported.backend.backend())
        compute_with("float32")


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
def _without(packages: frozenset[str]) -> Iterator[None]:
    """Let this thread find no package of some names: an importer that can do without them does.

    Yields
    ------
    None
    """
    finder = _Hiding(packages, threading.get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@dataclass(frozen=True)
class _Hiding(MetaPathFinder):
    """Says that some packages are not installed, to one thread alone: others may need them meanwhile."""

    packages: frozenset[str]
    thread: int

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raise for a package that is hidden; leave every other to the finders that follow."""
        del path, target
        if fullname.partition(".")[0] in self.packages and threading.get_ident() == self.thread:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)


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


def _leave_room(backend: str) -> None:
    """Take memory of a shared graphics card as it is needed, not all of it at once.

    Torch does so by itself, JAX by its variable.
    """
    if backend == "tensorflow":
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, enable=True)


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
    backend = sys.modules["keras"].backend.backend()
    _ALLOW_TF32[backend](allowed=precision == "tf32")


def _allow_tf32_in_tensorflow(*, allowed: bool) -> None:
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(allowed)


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
    error, words = _MEMORY_ERRORS[keras().backend.backend()]()
    try:
        yield
    except error as why:
        if any(each in str(why) for each in words):
            raise DeviceMemoryError from why
        raise


def _tensorflow_memory_error() -> tuple[type[Exception], tuple[str, ...]]:
    import tensorflow as tf

    return tf.errors.ResourceExhaustedError, ("",)


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
    return keras().ops.convert_to_tensor(array)


def engine() -> dict[str, Any]:
    """Return what decides the bits of an answer beside the network and the batch.

    Returns
    -------
    dict
        The backend, the versions, the graphics cards and the processor.
    """
    backend = keras().backend.backend()
    return {
        "backend": backend,
        "compiled": COMPILED,
        "version": sys.modules[backend].__version__,
        "keras": keras().__version__,
        "cards": _CARDS[backend](),
        **machine.hardware(),
    }


def _cards_of_tensorflow() -> list[str]:
    import tensorflow as tf

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
    return bool(_CARDS[keras().backend.backend()]())
