"""From the stored numbers of a grey DICOM picture to what a person sees: rescaled, windowed, white on black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.dicom_tables import MOST_BITS, grey_table
from facelime_cli.core.images import UnreadableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.float64]

INVERTED, WITHOUT_INVERSION = "MONOCHROME1", "MONOCHROME2"
"""The kind of picture whose small numbers are white, and the other."""
BEYOND_ANY_WINDOW = 1e9
"""A grey value that every window shows as white, and its negative as black."""
RESCALING = ("RescaleSlope", "RescaleIntercept")
WINDOW = ("WindowCenter", "WindowWidth")
WINDOW_SHAPES = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
"""The functions of a window (PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
INVERSE = "INVERSE"
"""The shape of the last step, from what a window gives to what is shown, that inverts (PS3.3, C.11.6)."""
UNSHOWN = 0
"""What padding around a picture is shown as: it belongs to no picture, so it is black."""


def shown_greys(values: NDArray[Any], data: Any, kind: str, order: str, remarks: list[str]) -> Bytes:
    """Return a grey DICOM picture as it is meant to be seen.

    The order is that of the standard (PS3.3, C.11): stored numbers, then the modality's unit, then the window on it.
    Without a window, black and white are the smallest and the largest number of the picture.

    Parameters
    ----------
    values : (H, W) array of numbers
        As they are stored.
    data : Dataset
        What the file says of them.
    kind : str
        MONOCHROME1 or MONOCHROME2.
    order : str
        How the file stores numbers of two bytes: < for the lower byte first, else >.
    remarks : list of str
        Receives a sentence where the file contradicts itself.

    Returns
    -------
    (H, W) uint8 array

    Raises
    ------
    UnreadableError
        When a number of the file makes no sense.
    """
    padding = _padding(values, data)
    rescaled = _rescaled(values, data, order, remarks)
    seen, black, white = _windowed(rescaled, data, padding, order, remarks)
    if not (np.isfinite(seen).all() and math.isfinite(white - black)):
        raise UnreadableError("has grey values that are not finite; correct its rescale slope, intercept or window")
    # A slope below zero makes the window's black the larger number.
    shown = np.clip((seen - black) / (white - black or np.finfo(float).tiny), 0, 1)
    if _is_inverted(data, kind, remarks):
        shown = 1 - shown
    greys = (255 * shown).round().astype(np.uint8)
    if padding is not None:
        greys[padding] = UNSHOWN
    return greys


def window_of(data: Any) -> str:
    """Return what says which numbers of a picture are black and white.

    Parameters
    ----------
    data : Dataset

    Returns
    -------
    str
        "table" or "window" of the file, or "range" of the picture.
    """
    if data.get("VOILUTSequence"):
        return "table"
    return "range" if number(data, WINDOW[0]) is None else "window"


def number(data: Any, name: str) -> float | None:
    """Return a number of a DICOM file.

    Parameters
    ----------
    data : Dataset
    name : str
        The keyword.

    Returns
    -------
    float or None
        The first of several; None where it is absent or empty.

    Raises
    ------
    UnreadableError
        When it is no finite number.
    """
    try:
        value = data.get(name)
        if value is not None and data[name].VM > 1:
            value = value[0]
        if value is None or value == "":
            return None
        found = float(value)
    except (ValueError, TypeError, IndexError) as why:
        raise UnreadableError(f"has a {name} that is no number; correct it") from why
    if not math.isfinite(found):
        raise UnreadableError(f"has the {name} {value}, which is no finite number; correct it")
    return found


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _padding(values: NDArray[Any], data: Any) -> NDArray[np.bool_] | None:
    """Return which pixels only fill a picture up to a rectangle (PS3.3, C.7.5.1.1.2), or None for none."""
    is_float = values.dtype.kind == "f"
    start = number(data, "FloatPixelPaddingValue" if is_float else "PixelPaddingValue")
    end = number(data, "FloatPixelPaddingRangeLimit" if is_float else "PixelPaddingRangeLimit")
    if start is None:
        return None
    least, most = (_as_stored(each, values.dtype) for each in (start, start if end is None else end))
    found: NDArray[np.bool_] = (values >= min(least, most)) & (values <= max(least, most))
    return found if found.any() else None


def _as_stored(value: float, kind: np.dtype[Any]) -> float:
    """Return a number as the pixels store it: -2000 may be written as 63536, since both have the same bits."""
    if kind.kind != "i" or value <= np.iinfo(kind).max:
        return value
    return value - 2.0 ** (8 * kind.itemsize)


def _rescaled(values: NDArray[Any], data: Any, order: str, remarks: list[str]) -> NDArray[Any]:
    """Return stored numbers in the modality's unit, by its table or by its slope and intercept."""
    if data.get("ModalityLUTSequence"):
        return grey_table(data.ModalityLUTSequence[0], "modality table", order, remarks).replaced(values)
    slope, intercept = _rescaling(data)
    return values if slope is None or intercept is None else values.astype(np.float64) * slope + intercept


def _rescaling(data: Any) -> tuple[float | None, float | None]:
    slope, intercept = (number(data, name) for name in RESCALING)
    if (slope is None) != (intercept is None) or slope == 0:
        raise UnreadableError(f"has the rescale slope {_shown(slope)} and intercept {_shown(intercept)}; correct them")
    return slope, intercept


def _windowed(
    values: NDArray[Any], data: Any, padding: NDArray[np.bool_] | None, order: str, remarks: list[str]
) -> tuple[Numbers, float, float]:
    """Return what the file's table or window makes of values, and which numbers of it are black and white."""
    # The window's range, not the picture's: one bright implant must not darken the lungs beside it.
    if data.get("VOILUTSequence"):
        table = grey_table(data.VOILUTSequence[0], "VOI table", order, remarks)
        # A table whose largest entry leaves the highest bit unused would be shown at half its brightness or less.
        if table.bits != table.declared:
            remarks.append(
                f"has a VOI table that declares {table.declared} bits and uses {table.bits}, by which it is shown"
            )
        return table.replaced(values).astype(np.float64), 0.0, 2.0**table.bits - 1
    window = _window(data)
    if window is not None:
        from pydicom.pixels.processing import apply_windowing

        extremes = np.array([-BEYOND_ANY_WINDOW, BEYOND_ANY_WINDOW])
        black, white = (float(each) for each in apply_windowing(extremes, window))
        return np.asarray(apply_windowing(values, window), np.float64), black, white
    seen = np.asarray(values, np.float64)
    counted = seen if padding is None else seen[~padding]
    if not counted.size:
        return seen, 0.0, 0.0
    return seen, float(counted.min()), float(counted.max())


def _window(data: Any) -> Any:
    """Return the file's first window, with what pydicom needs to apply it and nothing else; None for none."""
    from pydicom.dataset import Dataset

    center, width = (number(data, name) for name in WINDOW)
    if center is None and width is None:
        return None
    shape = str(data.get("VOILUTFunction") or WINDOW_SHAPES[0]).strip().upper()
    if shape not in WINDOW_SHAPES:
        raise UnreadableError(f"has a window of the kind {shape}, not one of {', '.join(WINDOW_SHAPES)}; correct it")
    # A linear window of one number has a width of 1 (PS3.3, C.11.2.1.2.1).
    least = 1.0 if shape == WINDOW_SHAPES[0] else np.nextafter(0.0, 1.0)
    if center is None or width is None or width < least or abs(center) + width > BEYOND_ANY_WINDOW:
        raise UnreadableError(
            f"has a window of center {_shown(center)} and width {_shown(width)}, which shows nothing; correct it"
        )
    window = Dataset()
    window.PhotometricInterpretation, window.VOILUTFunction = WITHOUT_INVERSION, shape
    # The range of the stored numbers, which pydicom shows the window in. Fractions have none: any will do.
    window.BitsStored = int(number(data, "BitsStored") or MOST_BITS)
    window.PixelRepresentation = int(number(data, "PixelRepresentation") or 0)
    for name in (*WINDOW, *(() if data.get("ModalityLUTSequence") else RESCALING)):
        # An empty element says as little as an absent one, but pydicom would calculate with it.
        if number(data, name) is not None:
            window[name] = data[name]
    return window


def _is_inverted(data: Any, kind: str, remarks: list[str]) -> bool:
    """Return whether small numbers are white.

    MONOCHROME1 stores bone as black. Shown as it is stored, half of a mixed data set would be negatives. The inverse
    shape says the same again, and does not invert twice.
    """
    shape = str(data.get("PresentationLUTShape") or "").strip().upper()
    if shape and (shape == INVERSE) != (kind == INVERTED):
        remarks.append(
            f"has the kind {kind} and the presentation shape {shape}, a contradiction, and is shown inverted"
        )
    return kind == INVERTED or shape == INVERSE
