"""Quick pictures of what the stages make.

They show segments with their numbers, perturbed pictures with their predictions, or a fit.
"""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import withStroke
from scipy.ndimage import center_of_mass

from facelime_cli.drawing import overlay, palette
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.curves import figure
from facelime_cli.drawing.figures import colour_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Segments = NDArray[np.uint16]
    Floats = NDArray[np.float64]

FINE_PIXELS = 900
"""Longest side to which pixels are repeated, so that borders, a pixel wide, are thin lines."""
SHEET_COLUMNS = 6
CELL_INCHES = 1.7
LISTED_LINES = 60
LONGEST_LINE = 100
TITLE_POINTS = 8
TITLE_LETTERS = 25
"""Letters of a line above a perturbed picture."""


def numbered(image: Pixels, segments: Segments, title: str) -> Figure:
    """Draw a picture with the borders and the numbers of its segments.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    title : str

    Returns
    -------
    Figure
    """
    made = figure((7.0, 7.3))
    axes = made.subplots()
    side = max(segments.shape)
    times = max(1, FINE_PIXELS // side)
    fine_image = image.repeat(times, axis=0).repeat(times, axis=1)
    fine_segments = segments.repeat(times, axis=0).repeat(times, axis=1)
    _show(axes, overlay.with_borders(fine_image, fine_segments), title)
    n_segments = int(segments.max()) + 1
    centres = center_of_mass(np.ones_like(segments), segments, range(n_segments))
    # White within black can be read on any picture.
    outline = withStroke(linewidth=1.8, foreground="black")
    for k, (y, x) in enumerate(centres):
        number = axes.text(x * times, y * times, str(k), ha="center", va="center")
        number.set(fontsize=TITLE_POINTS, color="white", path_effects=[outline])
    return made


def perturbed(images: Pixels, titles: Sequence[str], probabilities: Floats | None, label: str) -> Figure:
    """Draw perturbed pictures, and above them the distribution of all predictions.

    Parameters
    ----------
    images : (n, H, W, 3) uint8 array
    titles : sequence of n str
    probabilities : (S,) float64 array or None
        Of one class; the first is the unperturbed picture's.
    label : str
        What the probabilities are of.

    Returns
    -------
    Figure
    """
    rows = -(-len(images) // SHEET_COLUMNS)
    height = (CELL_INCHES + 0.3) * rows
    above_inches = 2.4 if probabilities is not None else 0.3
    made = figure((CELL_INCHES * SHEET_COLUMNS, height + above_inches))
    below = made
    if probabilities is not None:
        halves = made.subfigures(2, 1, height_ratios=(above_inches, height))
        above, below = np.ravel(np.asarray(halves))
        _histogram(above.subplots(), probabilities, label)
    cells = below.subplots(rows, SHEET_COLUMNS, squeeze=False).ravel()
    # The last row may have empty places, whose frames must go too.
    for axes in cells:
        axes.set_axis_off()
    for axes, image, title in zip(cells, images, titles, strict=False):
        _show(axes, image, fill(drawable(title, LONGEST_LINE), TITLE_LETTERS))
    return made


def _histogram(axes: Axes, probabilities: Floats, label: str) -> None:
    """Draw how probabilities are distributed, and where the first lies."""
    # Bins of a fixed width, so that the histograms of two runs can be compared.
    bins = np.linspace(0, 1, 41).tolist()
    axes.hist(probabilities, bins=bins, color=palette.BLUE)
    axes.axvline(probabilities[0], color=palette.VERMILION, label="the unchanged picture")
    axes.set_xlabel(drawable(label, LONGEST_LINE), fontsize=TITLE_POINTS + 1)
    axes.set_ylabel("samples", fontsize=TITLE_POINTS + 1)
    axes.legend(frameon=False, fontsize=TITLE_POINTS)
    axes.spines[["top", "right"]].set_visible(False)


def fitted(
    image: Pixels,
    segments: Segments,
    coefficients: Floats,
    top: int,
    title: str,
    fit: tuple[Floats, Floats] | None,
    words: tuple[str, str],
) -> Figure:
    """Draw an explanation, and beside it the surrogate's answer to each sample against the model's.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
        How many of the strongest segments are tinted.
    title : str
    fit : pair of (S,) float64 arrays, or None
        Answers of the model and of the surrogate, the unperturbed picture first. None where there was nothing to fit.
    words : (str, str)
        What the answers are, and to which samples the surrogate was fitted.

    Returns
    -------
    Figure
    """
    inches = (9.6, 4.6) if fit else (5.0, 5.4)
    made = figure(inches)
    n_panels = 2 if fit else 1
    panels = made.subplots(1, n_panels, squeeze=False)[0]
    tinted = overlay.towards_against(image, segments, coefficients, top)
    _show(panels[0], tinted, title)
    colour_legend(panels[0])
    if fit:
        model, surrogate = fit
        _answers(panels[1], model, surrogate, words)
    return made


def _answers(axes: Axes, model: Floats, surrogate: Floats, words: tuple[str, str]) -> None:
    """Draw the surrogate's answers against the model's; a faithful surrogate's lie on the diagonal."""
    # Differences of two probabilities go down to -1, probabilities to 0.
    least = -1 if model.min() < 0 else 0
    axes.plot([least, 1], [least, 1], color="grey", linestyle=":")
    axes.scatter(model, surrogate, s=8, alpha=0.5, color=palette.BLUE, label="a sample")
    red = palette.VERMILION
    axes.scatter(model[:1], surrogate[:1], s=60, color=red, marker="D", label="the unchanged picture")
    axes.set(xlabel=words[0], ylabel=f"by the surrogate, which was {words[1]}", xlim=(least - 0.02, 1.02))
    axes.legend(frameon=False, fontsize=TITLE_POINTS)
    axes.spines[["top", "right"]].set_visible(False)


def listing(lines: Sequence[str], title: str) -> Figure:
    """Draw lines of text, where there is nothing else to see.

    Parameters
    ----------
    lines : sequence of str
        The first `LISTED_LINES` are shown; a last line counts the others.
    title : str

    Returns
    -------
    Figure
    """
    shown = list(lines[:LISTED_LINES])
    hidden = len(lines) - LISTED_LINES
    if hidden > 0:
        shown.append(f"… and {hidden} more")
    height = 0.6 + 0.17 * len(shown)
    made = figure((8.0, height))
    axes = made.subplots()
    axes.set_axis_off()
    axes.set_title(drawable(title, LONGEST_LINE), fontsize=TITLE_POINTS + 1, loc="left")
    text = "\n".join(drawable(line, LONGEST_LINE) for line in shown)
    # In shares of the axes: their limits mean nothing here.
    written = axes.text(0, 1, text, va="top", transform=axes.transAxes)
    written.set(fontsize=TITLE_POINTS, family="monospace")
    return made


def tiled(values: NDArray[np.float32], columns: int) -> Pixels:
    """Tile feature maps into one picture in grey, each from its own least to its own largest value.

    Parameters
    ----------
    values : (h, w, n) float32 array
        One map per channel.
    columns : int
        Maps beside each other.

    Returns
    -------
    (H, W) uint8 array
    """
    height, width, count = values.shape
    least = values.min(axis=(0, 1))
    most = values.max(axis=(0, 1))
    # A map of one value would be 0 divided by 0.
    span = np.maximum(most - least, np.finfo(np.float32).tiny)
    grey = (255 * (values - least) / span).astype(np.uint8)
    rows = -(-count // columns)
    # A white line, one pixel wide, lies between neighbours.
    down, across = height + 1, width + 1
    sheet = np.full((rows * down - 1, columns * across - 1), 255, np.uint8)
    for k in range(count):
        row, column = divmod(k, columns)
        top, left = row * down, column * across
        sheet[top : top + height, left : left + width] = grey[..., k]
    return sheet


def _show(axes: Axes, image: Pixels, title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=TITLE_POINTS)
    axes.set_axis_off()
