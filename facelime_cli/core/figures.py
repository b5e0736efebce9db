"""Figures drawn with matplotlib: the same picture gives the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from facelime_cli.core import overlay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

INCHES = (13.2, 3.9)
DOTS_PER_INCH = 110
DIVERGING = "RdBu_r"


def explanation(image: NDArray[np.uint8], segments: NDArray[np.uint16], coefficients: NDArray[np.float64], top: int, scale: float, truth: NDArray[np.uint8] | None = None) -> Figure:
    """Draw one class's explanation of one picture: picture, segments, towards and against, heatmap.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
        In probability.
    top : int
        How many segments the third panel marks.
    scale : float
        End of the colour scale, in probability points.
    truth : (H, W) uint8 array, optional
        1 where an explanation should point; its contour is drawn.
    """
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4)
    _panel(axes[0], image, "picture" if truth is None or not truth.any() else "picture, known region outlined")
    if truth is not None and truth.any():
        axes[0].contour(truth, levels=[0.5], colors="white", linewidths=2.0)
        axes[0].contour(truth, levels=[0.5], colors="black", linewidths=0.8)
    _panel(axes[1], overlay.with_borders(image, segments), f"{len(coefficients)} segments")
    _panel(axes[2], overlay.towards_against(image, segments, coefficients, top), f"{min(top, len(coefficients))} strongest segments")
    colour_legend(axes[2])
    _panel(axes[3], image.mean(axis=-1), "coefficients", cmap="gray")
    heat = axes[3].imshow(overlay.heatmap(segments, coefficients), cmap=DIVERGING, vmin=-scale, vmax=scale, alpha=0.75, interpolation="nearest")
    bar = figure.colorbar(heat, ax=axes[3], fraction=0.046, pad=0.03)
    bar.set_label("probability points", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def colour_legend(axes: Axes) -> None:
    """Say below a panel which colour speaks for the class and which against it."""
    colours = [Patch(color=(colour[0] / 255, colour[1] / 255, colour[2] / 255), label=label) for colour, label in ((overlay.TOWARDS, "towards"), (overlay.AGAINST, "against"))]
    axes.legend(handles=colours, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False, fontsize=9)


def write(figure: Figure, files: Sequence[Path]) -> None:
    """Save a figure in the formats that the files' endings name, without dates, so that equal figures are equal files."""
    with mpl.rc_context({"svg.hashsalt": "facelime", "svg.fonttype": "path"}):
        for path in files:
            figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _panel(axes: Axes, image: NDArray[np.uint8], title: str, cmap: str | None = None) -> None:
    axes.imshow(image, cmap=cmap, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
