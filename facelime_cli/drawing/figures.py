"""Figures for print, drawn with matplotlib: the same picture gives the same file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.patches import Patch

from facelime_cli.core import attribution
from facelime_cli.drawing import curves, overlay, printing
from facelime_cli.drawing.charts import drawable
from facelime_cli.drawing.palette import AGAINST, LIME_AGAINST, LIME_FOR, MIDDLE, TOWARDS, Colour

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Bools = NDArray[np.bool_]

INCHES = (7.2, 5.6)
"""As wide as two columns of a journal."""
STUDENT_INCHES = (7.2, 3.6)
DOTS_PER_INCH = 110
"""Of charts on a page."""
FINE_PIXELS = 600
"""Side to which pixels are repeated, so that borders, a pixel wide, are thin lines."""
LONGEST_NAME = 40
SIDES = {False: ("for the class", "against it"), True: ("raises the value", "lowers it")}
"""What regions do, to a class or to a value."""
USUAL_COLOURS = (TOWARDS, AGAINST)
FONT_POINTS = 8
SMALL_POINTS = 7
HATCH = "////"
RED_BLUE = "RdBu"
"""Matplotlib's name of the X-ray system's colours: red against the class, blue for it."""


@dataclass(frozen=True)
class Panel:
    """What one figure shows: a picture and one class's explanation.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
    segments : (H, W) uint16 array
    coefficients : (K,) float64 array
    interval : (K, 2) float64 array
        NaN where there is none.
    truth : (H, W) uint8 array or None
        1 where an explanation should point.
    top : int
        How many of the strongest segments are marked.
    scale : float
        End of the colour scale, as coefficients are shown.
    times : int
        What coefficients are shown times: 100 for hundredths of their unit.
    values : bool
        Whether a value is explained, which regions raise or lower, and no class.
    dots_per_inch : int
        Of a PNG file.
    style : str
        A key of `STYLES`.
    words : (str, str)
        The class, and the name of the unit that is shown.
    files : tuple of Path
        Where the figure is written; their endings name the formats.
    """

    image: Pixels
    segments: NDArray[np.uint16]
    coefficients: NDArray[np.float64]
    interval: NDArray[np.float64]
    truth: Pixels | None
    top: int
    scale: float
    style: str
    words: tuple[str, str]
    files: tuple[Path, ...]
    times: int = 100
    values: bool = False
    dots_per_inch: int = printing.DOTS_PER_INCH

    @property
    def unsure(self) -> Bools:
        """The segments whose interval holds 0: (K,) bool."""
        # Comparisons with NaN are false: a segment without an interval is not marked as unsure.
        low, high = self.interval[:, 0], self.interval[:, 1]
        return np.asarray((low <= 0) & (high >= 0))

    @property
    def strongest(self) -> NDArray[np.int64]:
        """The marked segments, strongest first: (n,) int64."""
        return attribution.strongest(self.coefficients, self.top)


def draw(panel: Panel) -> None:
    """Draw a figure in its style and write its files.

    Parameters
    ----------
    panel : Panel

    Raises
    ------
    KeyError
        If the panel's style is not in `STYLES`, or if a file has another ending than .svg, .pdf or .png.
    OSError
        If a file cannot be written.
    """
    finer = enlarged(panel, FINE_PIXELS)
    drawn = STYLES[panel.style](finer)
    write(drawn, panel.files, panel.dots_per_inch)


def enlarged(panel: Panel, least: int) -> Panel:
    """Return a panel whose pixels are repeated, so that borders, a pixel wide, are thin lines.

    Parameters
    ----------
    panel : Panel
    least : int
        Pixels that the longer side has at least.

    Returns
    -------
    Panel
    """
    side = max(panel.segments.shape)
    times = max(1, -(-least // side))
    truth = None if panel.truth is None else _enlarged(panel.truth, times)
    return replace(panel, image=_enlarged(panel.image, times), segments=_enlarged(panel.segments, times), truth=truth)


def _enlarged(values: NDArray[Any], times: int) -> NDArray[Any]:
    rows = values.repeat(times, axis=0)
    return rows.repeat(times, axis=1)


def views(panel: Panel) -> Figure:
    """Draw six views of an explanation.

    These are the picture, its segments, the strongest segments kept, what speaks for and against the class, the
    heatmap, and the strongest coefficients with their intervals.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    Figure
    """
    made = curves.figure(INCHES)
    original, regions, kept, marked, heat, bars = made.subplots(2, 3).ravel()
    _original(original, panel)
    with_borders = overlay.with_borders(panel.image, panel.segments)
    _show(regions, with_borders, f"{len(panel.coefficients)} regions")
    strongest = panel.strongest
    bright = overlay.kept(panel.image, panel.segments, strongest)
    _show(kept, bright, f"the {len(strongest)} strongest kept")
    _for_and_against(marked, panel)
    _heatmap(heat, panel, scale_colours())
    _bars(bars, panel)
    return made


def _for_and_against(axes: Axes, panel: Panel) -> None:
    """Show the strongest segments tinted, and hatched where they may be nothing."""
    tinted = overlay.towards_against(panel.image, panel.segments, panel.coefficients, panel.top)
    name = drawable(panel.words[0], LONGEST_NAME)
    words = "what raises and lowers" if panel.values else "for and against"
    _show(axes, tinted, f"{words} {name}")
    strongest = panel.strongest
    unsure = strongest[panel.unsure[strongest]]
    hatch(axes, np.isin(panel.segments, unsure))
    colour_legend(axes, hatched=bool(len(unsure)), values=panel.values)


def as_lime(panel: Panel) -> Figure:
    """Draw the picture and its strongest segments with their borders, as the `lime` package does.

    Green speaks for the class, red against it.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    Figure

    References
    ----------
    Ribeiro et al., "Why should I trust you?", KDD 2016; `get_image_and_mask` of the `lime` package.
    """
    made = curves.figure(STUDENT_INCHES)
    left, right = made.subplots(1, 2)
    _original(left, panel)
    colours = (LIME_FOR, LIME_AGAINST)
    marked = overlay.marked(panel.image, panel.segments, panel.coefficients, panel.top, colours)
    name = drawable(panel.words[0], LONGEST_NAME)
    _show(right, marked, name)
    colour_legend(right, colours, values=panel.values)
    return made


def as_heatmap(panel: Panel) -> Figure:
    """Draw the picture, and every segment's coefficient from red (against) to blue (for) with its colour bar.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    Figure
    """
    made = curves.figure(STUDENT_INCHES)
    left, right = made.subplots(1, 2)
    _original(left, panel)
    _heatmap(right, panel, mpl.colormaps[RED_BLUE])
    return made


STYLES: dict[str, Callable[[Panel], Figure]] = {"facelime": views, "lime": as_lime, "heatmap": as_heatmap}


def scale_colours() -> Colormap:
    """Return the colours of `overlay.colour` from one end of the scale to the other.

    Returns
    -------
    Colormap
    """
    # Matplotlib takes shares, and interpolates between them along straight lines as `overlay.colour` does.
    points = [np.array(each) / 255 for each in (AGAINST, MIDDLE, TOWARDS)]
    return LinearSegmentedColormap.from_list("facelime", points)


def colour_legend(
    axes: Axes, colours: tuple[Colour, Colour] = (TOWARDS, AGAINST), *, hatched: bool = False, values: bool = False
) -> None:
    """Write below a panel what its colours mean.

    Parameters
    ----------
    axes : Axes
    colours : pair of (int, int, int)
        For the class, and against it.
    hatched : bool
        Whether the panel has hatched segments, which the legend then explains.
    values : bool
        Whether a value is explained, and no class.
    """
    handles = legend_handles(colours, hatched=hatched, values=values)
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=len(handles),
        frameon=False,
        fontsize=SMALL_POINTS,
        handlelength=1.2,
        columnspacing=0.9,
    )


def legend_handles(colours: tuple[Colour, Colour], *, hatched: bool, values: bool) -> list[Patch]:
    """Return what a legend shows, see `colour_legend`.

    Parameters
    ----------
    colours, hatched, values
        As `colour_legend` takes them.

    Returns
    -------
    list of Patch
    """
    handles = []
    for (red, green, blue), label in zip(colours, SIDES[values], strict=True):
        share = (red / 255, green / 255, blue / 255)
        handles.append(Patch(color=share, label=label))
    if hatched:
        handles.append(Patch(facecolor="white", edgecolor="black", hatch=HATCH, label="may be nothing"))
    return handles


def write(figure: Figure, files: Sequence[Path], dots_per_inch: int = DOTS_PER_INCH) -> None:
    """Save a figure in the formats that the files' endings name.

    Parameters
    ----------
    figure : Figure
    files : sequence of Path
        Ending in .svg, .pdf or .png.
    dots_per_inch : int

    Raises
    ------
    KeyError
        If a file has another ending.
    OSError
        If a file cannot be written.
    """
    # Equal figures are equal files only without dates, versions and random names.
    undated: dict[str, dict[str, Any]] = {
        ".svg": {"Date": None},
        ".pdf": {"CreationDate": None},
        ".png": {"Software": None},
    }
    with mpl.rc_context({"svg.hashsalt": "facelime", "svg.fonttype": "path", "hatch.linewidth": 0.5}):
        for path in files:
            figure.savefig(path, dpi=dots_per_inch, metadata=undated[path.suffix])


def _show(axes: Axes, image: Pixels, title: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=FONT_POINTS)
    axes.set_axis_off()


def _original(axes: Axes, panel: Panel) -> None:
    known = panel.truth is not None and panel.truth.any()
    title = "picture, known region outlined" if known else "picture"
    _show(axes, panel.image, title)
    if known:
        # Black within white can be seen on dark skin and on light.
        axes.contour(panel.truth, levels=[0.5], colors="white", linewidths=1.6)
        axes.contour(panel.truth, levels=[0.5], colors="black", linewidths=0.7)


def hatch(axes: Axes, place: Bools) -> None:
    """Hatch a part of a picture.

    Parameters
    ----------
    axes : Axes
    place : (H, W) bool array
    """
    # Matplotlib warns of contours of nothing.
    if place.any():
        axes.contourf(place.astype(float), levels=[0.5, 1.5], colors="none", hatches=[HATCH])


def _heatmap(axes: Axes, panel: Panel, colours: Colormap) -> None:
    """Show the coefficients of all segments with their colour bar."""
    shown = heat(axes, panel, colours)
    note = " (hatched: may be nothing)" if panel.unsure.any() else ""
    axes.set_title(f"coefficients{note}", fontsize=FONT_POINTS)
    bar = axes.figure.colorbar(shown, ax=axes, location="bottom", fraction=0.046, pad=0.03)
    bar.set_label(scale_words(panel), fontsize=SMALL_POINTS)
    bar.ax.tick_params(labelsize=SMALL_POINTS)


def heat(axes: Axes, panel: Panel, colours: Colormap) -> AxesImage:
    """Show the coefficients of all segments; those that may be nothing are hatched and have no colour.

    Parameters
    ----------
    axes : Axes
    panel : Panel
    colours : Colormap

    Returns
    -------
    AxesImage
        What a colour bar is of.
    """
    _show(axes, overlay.pale(panel.image), "")
    values = overlay.heatmap(panel.segments, panel.coefficients, panel.times)
    uncoloured = panel.unsure[panel.segments]
    sure = np.ma.masked_where(uncoloured, values)
    # The scale is the same on both sides of 0, so that 0 has the colour of the middle.
    shown = axes.imshow(sure, cmap=colours, vmin=-panel.scale, vmax=panel.scale, alpha=0.75, interpolation="nearest")
    hatch(axes, uncoloured)
    return shown


def scale_words(panel: Panel) -> str:
    """Return what a colour bar is called.

    Parameters
    ----------
    panel : Panel
    """
    sides = "lowers (−), raises (+)" if panel.values else "against (−), for (+)"
    return f"{panel.words[1]}: {sides}"


def _bars(axes: Axes, panel: Panel) -> None:
    """Draw the strongest coefficients with their intervals, the strongest at the top."""
    # Matplotlib's axis grows upwards.
    strongest = panel.strongest[::-1]
    places = range(len(strongest))
    values = panel.times * panel.coefficients[strongest]
    low, high = panel.times * panel.interval[strongest].T
    colours = [np.array(TOWARDS if value > 0 else AGAINST) / 255 for value in values]
    bars = axes.barh(places, values, color=colours, height=0.7)
    for bar, unsure in zip(bars, panel.unsure[strongest], strict=True):
        if unsure:
            # The colour stays at the edge: the sign of the coefficient can still be read.
            bar.set(facecolor="white", edgecolor=bar.get_facecolor(), hatch=HATCH)
    known = ~np.isnan(low)
    axes.hlines(np.flatnonzero(known), low[known], high[known], color="black", linewidth=1.0)
    axes.axvline(0, color="black", linewidth=0.6)
    names = [str(k) for k in strongest]
    axes.set_yticks(places, names, fontsize=SMALL_POINTS)
    axes.tick_params(axis="x", labelsize=SMALL_POINTS)
    axes.set_ylabel("region", fontsize=SMALL_POINTS)
    note = ", 95 % interval" if known.any() else ""
    axes.set_xlabel(f"{panel.words[1]}{note}", fontsize=SMALL_POINTS)
    axes.set_title("strongest regions", fontsize=FONT_POINTS)
    axes.spines[["top", "right"]].set_visible(False)
