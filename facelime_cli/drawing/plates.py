"""Plates for a paper: explanations of many pictures in rows and columns, with one legend or colour bar for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from facelime_cli.drawing import curves, figures, overlay
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.palette import LIME_AGAINST, LIME_FOR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from facelime_cli.drawing.figures import Panel

WIDTH_INCHES, HEIGHT_INCHES = 7.2, 9.6
"""What a page of a journal has room for."""
BELOW_INCHES = 0.9
"""Height of the legend or of the colour bar."""
TITLE_INCHES = 0.17
"""Height of a line of a title."""
TITLE_POINTS = 7
GLYPH = 0.55
"""Width of an average letter, as a share of the size of its font."""
POINTS_PER_INCH = 72


@dataclass(frozen=True)
class Plate:
    """What one plate shows.

    Attributes
    ----------
    panels : sequence of Panel
        One for each picture, all of one size and style.
    titles : sequence of sequence of str
        For each picture the lines above it.
    columns : int
        Pictures beside each other.
    files : tuple of Path
        Where the plate is written; their endings name the formats.
    """

    panels: Sequence[Panel]
    titles: Sequence[Sequence[str]]
    columns: int
    files: tuple[Path, ...]


def room(columns: int, sides: tuple[int, int], lines: int) -> int:
    """Return how many pictures a plate has room for.

    Parameters
    ----------
    columns : int
    sides : (int, int)
        Height and width of a picture.
    lines : int
        Of the title above each.

    Returns
    -------
    int
        At least one row of them.

    Examples
    --------
    >>> room(4, (224, 224), 2), room(1, (300, 100), 2)
    (16, 1)
    """
    rows = int((HEIGHT_INCHES - BELOW_INCHES) / _row_inches(columns, sides, lines))
    return columns * max(1, rows)


def _row_inches(columns: int, sides: tuple[int, int], lines: int) -> float:
    height, width = sides
    return WIDTH_INCHES / columns * height / width + lines * TITLE_INCHES


def draw(plate: Plate) -> None:
    """Draw a plate in the style of its panels and write its files.

    Parameters
    ----------
    plate : Plate

    Raises
    ------
    KeyError
        If a file has another ending than .svg, .pdf or .png.
    OSError
        If a file cannot be written.
    """
    first, columns = plate.panels[0], min(plate.columns, len(plate.panels))
    sides = (first.segments.shape[0], first.segments.shape[1])
    rows = -(-len(plate.panels) // columns)
    lines = len(plate.titles[0])
    # A last row that is not full, and a plate of few pictures, keep the size of a full one's cells.
    width = WIDTH_INCHES / plate.columns * columns
    made = curves.figure((max(width, 2.0), rows * _row_inches(plate.columns, sides, lines) + BELOW_INCHES))
    cells = made.subplots(rows, columns, squeeze=False).ravel()
    longest = int(WIDTH_INCHES / plate.columns * POINTS_PER_INCH / (GLYPH * TITLE_POINTS))
    for axes in cells:
        axes.set_axis_off()
    shown, hatched = None, False
    for axes, panel, title in zip(cells, plate.panels, plate.titles, strict=False):
        finer = figures.enlarged(panel, figures.FINE_PIXELS // plate.columns)
        shown = CELLS[panel.style](axes, finer)
        hatched = hatched or bool(panel.unsure[panel.strongest].any())
        axes.set_title("\n".join(drawable(line, longest) for line in title), fontsize=TITLE_POINTS, loc="left")
    if shown is None:
        colours = (LIME_FOR, LIME_AGAINST) if first.style == "lime" else figures.USUAL_COLOURS
        handles = figures.legend_handles(colours, hatched=hatched and first.style != "lime", values=first.values)
        legend = made.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        for text in legend.get_texts():
            text.set_fontsize(TITLE_POINTS)
    else:
        bar = made.colorbar(shown, ax=cells.tolist(), location="bottom", fraction=0.02, aspect=50)
        bar.set_label(figures.scale_words(first), fontsize=TITLE_POINTS)
        bar.ax.tick_params(labelsize=TITLE_POINTS)
    figures.write(made, plate.files, first.dots_per_inch)


def _tinted(axes: Axes, panel: Panel) -> None:
    axes.imshow(
        overlay.towards_against(panel.image, panel.segments, panel.coefficients, panel.top), interpolation="nearest"
    )
    strongest = panel.strongest
    figures.hatch(axes, np.isin(panel.segments, strongest[panel.unsure[strongest]]))


def _as_lime(axes: Axes, panel: Panel) -> None:
    colours = (LIME_FOR, LIME_AGAINST)
    marked = overlay.marked(panel.image, panel.segments, panel.coefficients, panel.top, colours)
    axes.imshow(marked, interpolation="nearest")


def _as_heatmap(axes: Axes, panel: Panel) -> AxesImage:
    return figures.heat(axes, panel, mpl.colormaps[figures.RED_BLUE])


CELLS: dict[str, Callable[[Axes, Panel], AxesImage | None]] = {
    "facelime": _tinted,
    "lime": _as_lime,
    "heatmap": _as_heatmap,
}
"""By style what draws a picture's place; of a heatmap it returns what the colour bar is of."""
