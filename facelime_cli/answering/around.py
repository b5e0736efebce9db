"""What stands around a classifier from outside: its input, its probabilities, and errors that are sentences."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core import compose
from facelime_cli.errors import FacelimeError, StopRequested
from facelime_cli.models.backbones import ACTIVATIONS, SCALINGS
from facelime_cli.models.backend import DeviceMemoryError
from facelime_cli.models.wrapping import BOTH_SIDES, GREY, LUMINANCE
from facelime_cli.store.artifacts import ROUNDING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        """Return what the classifier is given."""
        return self.to_input(pictures)

    def to_input(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the classifier reads of pictures in display space.

        Parameters
        ----------
        pictures : (B, H, W, 3) float32 array

        Returns
        -------
        (B, H, W, C) float32 array, or (B, C, H, W)
        """
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
                f"{what} failed on an array of {values.shape} ({told(why)}); --debug shows where."
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


def told(why: BaseException) -> str:
    """Return the kind of an exception and the first line of its text."""
    text = str(why).strip()
    first = text.splitlines()[0] if text else ""
    return f"{type(why).__name__}: {first}".rstrip(": .")
