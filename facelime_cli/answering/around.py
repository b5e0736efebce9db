"""What stands around a classifier from outside: its input, its probabilities, and errors that are sentences."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import compose
from facelime_cli.errors import FacelimeError, StopRequested
from facelime_cli.models.backbones import ACTIVATIONS, WHITE, scaling_of
from facelime_cli.models.backend import DeviceMemoryError
from facelime_cli.models.wrapping import BOTH_SIDES, GREY, LUMINANCE
from facelime_cli.store.artifacts import ROUNDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    Run = Callable[[NDArray[np.float32]], Any]
    Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]

MEMORY_WORDS = ("out of memory", "bad_alloc", "failed to allocate", "could not allocate", "allocate memory")
"""What runtimes say when a batch does not fit, in small letters."""


NO_NUMBERS = "cOSUmM"
"""NumPy's kinds of dtypes that are no probabilities: complex numbers, objects, texts, times."""


FLOAT32, BYTES = "float32", "uint8"
READABLE = (FLOAT32, "float16", "float64", BYTES)
"""The dtypes that a classifier may read."""
BYTES_SCALING = "0..255"
"""What bytes hold."""
FUNCTION_SCALING = "0..1"
"""What a Python function reads."""


def output_of(facts: Mapping[str, Any]) -> str | None:
    """Return the name of the output that is explained, from the facts of a model; None for its only one."""
    found = facts.get("around", {}).get("output")
    return None if found is None else str(found)


@dataclass(frozen=True)
class Around:
    """What stands around a classifier from outside: from display space to its input, from its output to probabilities.

    Attributes
    ----------
    scaling : str
        As `backbones.scaling_of` reads it.
    channels : int
        1 for luminance, or 3.
    channels_first : bool
    activation : str or None
        What to put behind a network that ends in logits.
    classes : int
        Their number, or that of the values.
    values : bool
        Whether the classifier answers with numbers in a unit of their own, which are handed on as they are.
    output : str or None
        The name of its output, where it has several.
    reads : str
        The dtype of its input, a key of `READABLE`.
    """

    scaling: str
    channels: int
    channels_first: bool
    activation: str | None
    classes: int
    values: bool = False
    output: str | None = None
    reads: str = FLOAT32

    def facts(self) -> dict[str, Any]:
        """Return this as facts of a model, where `read` finds it.

        Returns
        -------
        dict
        """
        # What has its default is left out, so that models of earlier versions keep their facts and their digests.
        usual = {each.name: each.default for each in fields(self)}
        return {"around": {name: its for name, its in asdict(self).items() if its != usual[name]}}

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
            if self.values and wanted == (*values.shape, 1):
                # One number per picture needs no column.
                values = values[:, None]
            is_one_unit = not self.values and self.classes == BOTH_SIDES and values.shape == (len(pictures), 1)
            if values.shape != wanted and not is_one_unit:
                columns = "one column per value of --names" if self.values else "one column per class of --classes"
                raise FacelimeError(
                    f"{what} answers {len(pictures)} pictures with an array of {values.shape}; it should be {wanted}, "
                    f"{columns}."
                )
            if self.activation is None:
                return values
            found: NDArray[np.float32] = ACTIVATIONS[self.activation].load()(values)
            return found

        return outputs

    def _input(self, pictures: NDArray[np.float32]) -> NDArray[Any]:
        """Return what the classifier is given."""
        return self.to_input(pictures)

    def to_input(self, pictures: NDArray[np.float32]) -> NDArray[Any]:
        """Return what the classifier reads of pictures in display space.

        Parameters
        ----------
        pictures : (B, H, W, 3) float32 array

        Returns
        -------
        (B, H, W, C) array, or (B, C, H, W)
        """
        scaling = scaling_of(self.scaling)
        scaled = compose.model_input(
            pictures,
            scaling.scale,
            scaling.offset,
            reverse=scaling.reverse,
            luminance=LUMINANCE if self.channels == GREY else None,
            channels_first=self.channels_first,
        )
        if self.reads == BYTES:
            return np.clip(np.rint(scaled), 0, WHITE).astype(BYTES)
        return scaled.astype(self.reads, copy=False)

    def probabilities(self, run: Run, what: str) -> Answers:
        """Return what answers with a column per class, or per value: one of a single unit becomes [1 - p, p].

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
        if self.values:
            return outputs

        def probabilities(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
            values = outputs(pictures)
            check_range(values, what)
            return np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values

        return probabilities


def check_range(values: NDArray[np.float32], what: str) -> None:
    """Raise for answers that lie outside 0 to 1.

    Parameters
    ----------
    values : float32 array
    what : str
        Name of the classifier in errors.

    Raises
    ------
    FacelimeError
    """
    # NaN passes here: whoever asks knows better what was asked.
    if (values < -ROUNDING).any() or (values > 1 + ROUNDING).any():
        raise FacelimeError(
            f"{what} answers between {values.min():.3g} and {values.max():.3g}, which are no probabilities; "
            "check what it answers for dark and plain pictures, and import it again."
        )


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
        with contained(what, values.shape):
            return _numbers(run(values), what)

    return call


@contextmanager
def contained(what: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Let a classifier run that is not ours: its errors are sentences, and it stays in the working folder.

    Parameters
    ----------
    what : str
        Its name in errors.
    shape : tuple of int
        Of what it reads.

    Yields
    ------
    None

    Raises
    ------
    DeviceMemoryError
        Where a batch does not fit.
    FacelimeError
        For anything else.
    """
    folder = Path.cwd()
    try:
        yield
    except (StopRequested, FacelimeError):
        raise
    except BaseException as why:  # somebody else's code may raise anything, and may call sys.exit
        if is_for_memory(why):
            raise DeviceMemoryError from why
        raise FacelimeError(f"{what} failed on an array of {shape} ({told(why)}); --debug shows where.") from why
    finally:
        _stay_in(folder, what)


def is_for_memory(why: BaseException) -> bool:
    """Tell whether an exception says that something did not fit into memory.

    Parameters
    ----------
    why : BaseException

    Returns
    -------
    bool
    """
    text = str(why).lower()
    return isinstance(why, (MemoryError, DeviceMemoryError)) or any(words in text for words in MEMORY_WORDS)


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


def told(why: BaseException) -> str:
    """Return the kind of an exception and the first line of its text."""
    text = str(why).strip()
    first = text.splitlines()[0] if text else ""
    return f"{type(why).__name__}: {first}".rstrip(": .")
