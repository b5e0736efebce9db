"""Quick pictures of what the stages make.

Segments with their numbers, perturbed pictures with their predictions, a fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import withStroke
from scipy.ndimage import center_of_mass

from facelime_cli.drawing import overlay
from facelime_cli.drawing.charts import COLOURS, drawable
from facelime_cli.drawing.curves import figure
from facelime_cli.drawing.figures import colour_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FINE_PIXELS = 900
SHEET_COLUMNS = 6
CELL_INCHES = 1.7
LISTED_LINES = 60
LONGEST_LINE = 100
TITLE_POINTS = 8


def numbered(image: NDArray[np.uint8], segments: NDArray[np.uint16], title: str) -> Figure:
    """Draw a picture with the borders and the numbers of its segments.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    title : str
    """
    made = figure((7.0, 7.3))
    axes = made.subplots()
    times = max(1, FINE_PIXELS // max(segments.shape))
    _show(
        axes,
        overlay.with_borders(
            image.repeat(times, axis=0).repeat(times, axis=1), segments.repeat(times, axis=0).repeat(times, axis=1)
        ),
        title,
    )
    for k, (y, x) in enumerate(center_of_mass(np.ones_like(segments), segments, range(int(segments.max()) + 1))):
        axes.text(
            x * times,
            y * times,
            str(k),
            ha="center",
            va="center",
            fontsize=TITLE_POINTS,
            color="white",
            path_effects=[withStroke(linewidth=1.8, foreground="black")],
        )
    return made


def composed(
    image: NDArray[np.uint8], fill: NDArray[np.uint8], segments: NDArray[np.uint16], kept: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return perturbed pictures as the model sees them: fill where a segment is switched off.

    Parameters
    ----------
    image, fill : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    kept : (n, K) bool array

    Returns
    -------
    (n, H, W, 3) uint8 array
    """
    return np.stack([np.where(one[segments][..., None], image, fill) for one in kept])


def perturbed(
    images: NDArray[np.uint8], titles: Sequence[str], probabilities: NDArray[np.float64] | None, label: str
) -> Figure:
    """Draw perturbed pictures, and above them how the predictions of all of them lie.

    Parameters
    ----------
    images : (n, H, W, 3) uint8 array
    titles : sequence of n str
    probabilities : (S,) float64 array or None
        Of one class; the first is the unperturbed picture's.
    label : str
        What the probabilities are of.
    """
    rows = -(-len(images) // SHEET_COLUMNS)
    made = figure(
        (CELL_INCHES * SHEET_COLUMNS, (CELL_INCHES + 0.3) * rows + (2.4 if probabilities is not None else 0.3))
    )
    below = made
    if probabilities is not None:
        above, below = np.ravel(np.asarray(made.subfigures(2, 1, height_ratios=(2.4, (CELL_INCHES + 0.3) * rows))))
        axes = above.subplots()
        axes.hist(probabilities, bins=np.linspace(0, 1, 41).tolist(), color=COLOURS[0])
        axes.axvline(probabilities[0], color=COLOURS[3], label="the unchanged picture")
        axes.set_xlabel(drawable(label, LONGEST_LINE), fontsize=TITLE_POINTS + 1)
        axes.set_ylabel("samples", fontsize=TITLE_POINTS + 1)
        axes.legend(frameon=False, fontsize=TITLE_POINTS)
        axes.spines[["top", "right"]].set_visible(False)
    cells = below.subplots(rows, SHEET_COLUMNS, squeeze=False).ravel()
    for place, axes in enumerate(cells):
        axes.set_axis_off()
        if place < len(images):
            _show(axes, images[place], drawable(titles[place], LONGEST_LINE))
    return made


def fitted(
    image: NDArray[np.uint8],
    segments: NDArray[np.uint16],
    coefficients: NDArray[np.float64],
    top: int,
    title: str,
    fit: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    words: tuple[str, str],
) -> Figure:
    """Draw an explanation, and beside it what the surrogate says of each sample against what the model says.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    top : int
    title : str
    fit : pair of (S,) float64 arrays, or None
        What the model and the surrogate say, the unperturbed picture first; None where there was nothing to fit.
    words : (str, str)
        What it is that both say, and to which samples the surrogate was fitted.
    """
    made = figure((9.6, 4.6) if fit else (5.0, 5.4))
    axes = made.subplots(1, 2 if fit else 1, squeeze=False)[0]
    _show(axes[0], overlay.towards_against(image, segments, coefficients, top), title)
    colour_legend(axes[0])
    if fit:
        model, surrogate = fit
        least = -1 if model.min() < 0 else 0
        axes[1].plot([least, 1], [least, 1], color="grey", linestyle=":")
        axes[1].scatter(model, surrogate, s=8, alpha=0.5, color=COLOURS[0], label="a sample")
        axes[1].scatter(model[:1], surrogate[:1], s=60, color=COLOURS[3], marker="D", label="the unchanged picture")
        axes[1].set(xlabel=words[0], ylabel=f"by the surrogate, which was {words[1]}", xlim=(least - 0.02, 1.02))
        axes[1].legend(frameon=False, fontsize=TITLE_POINTS)
        axes[1].spines[["top", "right"]].set_visible(False)
    return made


def listing(lines: Sequence[str], title: str) -> Figure:
    """Draw lines of text, where there is nothing else to see."""
    shown = [*lines[:LISTED_LINES], *([f"… and {len(lines) - LISTED_LINES} more"] if len(lines) > LISTED_LINES else [])]
    made = figure((8.0, 0.6 + 0.17 * len(shown)))
    axes = made.subplots()
    axes.set_axis_off()
    axes.set_title(drawable(title, LONGEST_LINE), fontsize=TITLE_POINTS + 1, loc="left")
    axes.text(
        0,
        1,
        "\n".join(drawable(line, LONGEST_LINE) for line in shown),
        va="top",
        fontsize=TITLE_POINTS,
        family="monospace",
        transform=axes.transAxes,
    )
    return made


def tiled(values: NDArray[np.float32], columns: int) -> NDArray[np.uint8]:
    """Tile feature maps into one picture in grey, each from its own least to its own largest value.

    Parameters
    ----------
    values : (h, w, n) float32 array
    columns : int

    Returns
    -------
    (H, W) uint8 array
    """
    height, width, count = values.shape
    least, most = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    grey = (255 * (values - least) / np.maximum(most - least, np.finfo(np.float32).tiny)).astype(np.uint8)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), 255, np.uint8)
    for k in range(count):
        y, x = divmod(k, columns)
        sheet[y * (height + 1) : y * (height + 1) + height, x * (width + 1) : x * (width + 1) + width] = grey[..., k]
    return sheet


def _show(axes: Axes, image: NDArray[np.uint8], title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=TITLE_POINTS)
    axes.set_axis_off()
