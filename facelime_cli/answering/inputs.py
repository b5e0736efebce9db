"""What files of other runtimes say of their input: its layout, and how many pictures a call takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.models.wrapping import COLOUR, GREY, IMAGE_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.answering.around import Run


def layout_of(shape: Sequence[Any]) -> tuple[Any, Any, Any, bool] | None:
    """Return height, width and channels of an input, and whether channels come first; None for no pictures.

    Parameters
    ----------
    shape : sequence
        With the batch in front. What is open may be anything but a number of channels.

    Returns
    -------
    (object, object, int, bool) or None

    Examples
    --------
    >>> layout_of([1, 3, 224, 200])
    (224, 200, 3, True)
    """
    if len(shape) != IMAGE_AXES:
        return None
    _, second, third, last = shape
    if last in {GREY, COLOUR}:
        return second, third, last, False
    if second in {GREY, COLOUR}:
        return third, last, second, True
    return None


def in_calls_of(number: int | None, once: Run) -> Run:
    """Return what answers any number of pictures, of a classifier that takes a fixed number in each call.

    Parameters
    ----------
    number : int or None
        Pictures per call; None for any.
    once : callable
        One call.

    Returns
    -------
    callable
    """
    if number is None:
        return once

    def run(values: NDArray[Any]) -> Any:
        missing = -len(values) % number
        padded = np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
        answers = [once(padded[start : start + number]) for start in range(0, len(padded), number)]
        return np.concatenate(answers)[: len(values)]

    return run
