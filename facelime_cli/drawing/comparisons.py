"""Figures of several explanations beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.core.agreement import difference
from facelime_cli.drawing import overlay
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.curves import figure
from facelime_cli.drawing.figures import colour_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.core.agreement import Attribution

COLUMNS = 4
CELL_INCHES = 3.1
TITLE_INCHES = 0.45
LONGEST_TITLE = 44
PALE = 0.6


def explanations(
    image: NDArray[np.uint8],
    attributions: Sequence[Attribution],
    labels: Sequence[str],
    held: NDArray[np.float64],
    top: int,
) -> Figure:
    """Draw what several explanations of one picture have in common, each of them.

    How the first differs from each other: vermilion where it says more, blue where less.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    attributions : sequence of n Attribution
    labels : sequence of n str
    held : (H, W) float64 array
        From `agreement.held`.
    top : int
        How many of the strongest segments are marked.
    """
    panels = [(image, "picture"), (_tinted(image, held), f"the more tinted, the more of {len(attributions)} agree")]
    panels += [
        (overlay.towards_against(image, each.segments, each.coefficients, top), label)
        for each, label in zip(attributions, labels, strict=True)
    ]
    panels += [
        (_tinted(image, np.clip(difference(attributions[0], each), -1, 1)), f"{labels[0]}, less {label}")
        for each, label in zip(attributions[1:], labels[1:], strict=True)
    ]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    made = figure((CELL_INCHES * columns, (CELL_INCHES + TITLE_INCHES) * rows))
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    for place, each in enumerate(axes):
        each.set_axis_off()
        if place < len(panels):
            each.imshow(panels[place][0], interpolation="nearest")
            each.set_title(drawable(panels[place][1], LONGEST_TITLE), fontsize=8)
    colour_legend(axes[1])
    return made


def _tinted(image: NDArray[np.uint8], held: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the picture in grey, tinted the stronger the more explanations agree on a pixel."""
    grey = np.repeat(image.mean(axis=-1, keepdims=True) * (1 - PALE) + 255 * PALE, 3, axis=-1)
    colour = np.where((held > 0)[..., None], np.array(overlay.TOWARDS), np.array(overlay.AGAINST))
    share = np.abs(held)[..., None]
    return np.asarray((grey * (1 - share) + (0.5 * image + 0.5 * colour) * share).astype(np.uint8))
