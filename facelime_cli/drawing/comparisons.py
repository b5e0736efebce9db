"""Figures of several explanations beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.agreement import difference
from facelime_cli.drawing import overlay, palette
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.curves import figure
from facelime_cli.drawing.figures import colour_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.core.agreement import Attribution

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float64]

COLUMNS = 4
CELL_INCHES = 3.1
TITLE_INCHES = 0.45
LONGEST_TITLE = 44
PALE = 0.6
"""Share of white in the picture below the tints."""


def explanations(
    image: Pixels, attributions: Sequence[Attribution], labels: Sequence[str], held: Floats, top: int
) -> Figure:
    """Draw what several explanations of one picture have in common, each of them, and how the first differs from them.

    In a difference, vermilion is where the first says more, and blue where it says less.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    attributions : sequence of n Attribution
    labels : sequence of n str
        The name of each explanation.
    held : (H, W) float64 array
        From `agreement.held`, -1 to 1.
    top : int
        How many of the strongest segments are marked.

    Returns
    -------
    Figure
    """
    panels = [(image, "picture")]
    common = f"the more tinted, the more of {len(attributions)} agree"
    panels.append((_tinted(image, held), common))
    for each, label in zip(attributions, labels, strict=True):
        marked = overlay.towards_against(image, each.segments, each.coefficients, top)
        panels.append((marked, label))
    first = attributions[0]
    for other, label in zip(attributions[1:], labels[1:], strict=True):
        # Two opposite explanations differ by up to 2, and the tint is full at 1.
        differs = np.clip(difference(first, other), -1, 1)
        panels.append((_tinted(image, differs), f"{labels[0]}, less {label}"))
    return _side_by_side(panels)


def _side_by_side(panels: Sequence[tuple[Pixels, str]]) -> Figure:
    """Draw pictures with titles in rows; the second gets the legend of the colours."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = CELL_INCHES * columns
    height = (CELL_INCHES + TITLE_INCHES) * rows
    made = figure((width, height))
    every = made.subplots(rows, columns, squeeze=False).ravel()
    # The last row may have empty places, whose frames must go too.
    for axes in every:
        axes.set_axis_off()
    for axes, (picture, title) in zip(every, panels, strict=False):
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(drawable(title, LONGEST_TITLE), fontsize=8)
    colour_legend(every[1])
    return made


def _tinted(image: Pixels, held: Floats) -> Pixels:
    """Return the picture in grey, tinted the stronger the more explanations agree on a pixel."""
    brightness = image.mean(axis=-1, keepdims=True)
    grey = np.repeat(brightness * (1 - PALE) + 255 * PALE, 3, axis=-1)
    speaks_for = (held > 0)[..., None]
    colour = np.where(speaks_for, np.array(palette.TOWARDS), np.array(palette.AGAINST))
    # Half of a tint is the picture itself, so that what it lies on can still be seen.
    tint = 0.5 * image + 0.5 * colour
    share = np.abs(held)[..., None]
    drawn = grey * (1 - share) + tint * share
    return np.asarray(drawn.astype(np.uint8))
