"""Charts of a dataset, and sheets of pictures.

Bars and boxes lie on their side, so that the names of classes have room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator
from PIL import Image

from facelime_cli.core.summaries import known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WIDTH = 10.8
"""Inches; at the dots per inch of `figures`, as wide as a page's column on a screen of 1280 pixels."""
POINTS_PER_INCH = 72
ROW_INCHES = 0.42
FRAME_INCHES = 1.0
LEGEND_ROW_INCHES = 0.24
FONT_POINTS = 11
GLYPH = 0.6
"""Width of an average letter, as a share of the size of its font."""
LONGEST_NAME = 34
LEGEND_LETTERS = 96
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
"""Okabe and Ito's palette: apart for colour-blind readers too."""
DARK = (0, 1, 2, 3, 5)
"""Colours of the palette whose pale forms are apart from all others."""
PALE = 0.6
"""Share of white in a pale form."""
NEUTRAL = ("#9AA0A6", "#DDE0E3")
"""What is put together, and what is not known."""
DARK_INK, LIGHT_INK = "#111111", "#FFFFFF"
LABELLED_SHARE = 0.045
"""A segment of a bar that is narrower, as a share of the axis, has no room for its number."""
MOST_COLUMNS = 6
FEWEST_COLUMNS = 4
LARGEST_CELL_INCHES = 2.7
TITLE_POINTS = 8.5
CELL_SHARE = 0.94
SRGB_LINEAR_UP_TO = 0.03928
"""Where the curve of sRGB leaves its straight part (WCAG 2.1)."""
MISSING_GLYPH = "□"


def class_counts(counts: NDArray[np.int64], classes: Sequence[str], parts: Sequence[str], neutral: int = 0) -> Figure:
    """Draw how many pictures each class has in each part, as stacked bars.

    Parameters
    ----------
    counts : (C, P) int64 array
    classes : sequence of C str
    parts : sequence of P str
    neutral : int
        How many of the last parts are drawn in grey.
    """
    figure, axes = _rows(len(classes), parts)
    _stack(
        axes,
        counts.astype(float),
        [[str(count) for count in row] for row in counts.tolist()],
        _colours(len(parts), neutral),
        parts,
    )
    totals = counts.sum(axis=1)
    for row, total in enumerate(totals.tolist()):
        axes.annotate(
            f"{total:,}", (total, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=FONT_POINTS - 1
        )
    axes.set_xlim(0, max(1, int(totals.max())) * 1.08)
    axes.set_xlabel("pictures", fontsize=FONT_POINTS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _name_rows(axes, classes)
    return figure


def numbers_by_class(
    values: NDArray[np.float64], rows: NDArray[np.int64], classes: Sequence[str], label: str
) -> Figure:
    """Draw how a column of numbers lies in each class, as box plots.

    A box is the middle half, its line the median, its diamond the mean; whiskers reach to the farthest value within 1.5
    box lengths, points are beyond (Tukey).

    Parameters
    ----------
    values : (N,) float64 array
        Those that are not `summaries.known` are left out.
    rows : (N,) int array
        Index into `classes`.
    classes : sequence of C str
    label : str
        What the numbers are.
    """
    figure, axes = _rows(len(classes), ())
    numbers = {row: values[(rows == row) & known(values)] for row in range(len(classes))}
    filled = {row: each for row, each in numbers.items() if len(each)}
    if filled:
        _boxes(axes, filled)
    axes.set_xlabel(drawable(label, LEGEND_LETTERS), fontsize=FONT_POINTS)
    axes.grid(axis="x", color="#E3E6E9", linewidth=0.8)
    axes.set_axisbelow(True)
    _name_rows(axes, classes, [len(each) for each in numbers.values()])
    return figure


def shares_by_class(
    counts: NDArray[np.int64], classes: Sequence[str], values: Sequence[str], label: str, neutral: int = 0
) -> Figure:
    """Draw the shares of a column's values in each class, as stacked bars that are all of one length.

    Parameters
    ----------
    counts : (C, V) int64 array
    classes : sequence of C str
    values : sequence of V str
        In the order of the bars.
    label : str
        What the values are.
    neutral : int
        How many of the last values are drawn in grey.
    """
    figure, axes = _rows(len(classes), values)
    totals = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(totals, 1)[:, None]
    _stack(
        axes,
        shares,
        [[f"{share:.0f}" for share in row] for row in shares.tolist()],
        _colours(len(values), neutral),
        values,
    )
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"{drawable(label, LEGEND_LETTERS)}: share of pictures, %", fontsize=FONT_POINTS)
    _name_rows(axes, classes, totals.tolist())
    return figure


def sheet(images: NDArray[np.uint8], titles: Sequence[str]) -> Figure:
    """Draw pictures beside and below each other, each with its title above.

    Parameters
    ----------
    images : (n, H, W, 3) uint8 array
    titles : sequence of n str
        Line breaks stay; a line that is wider than its picture loses its middle.
    """
    columns = sheet_columns(len(images))
    rows, cell = -(-len(images) // columns), min(LARGEST_CELL_INCHES, WIDTH / columns)
    lines = max(title.count("\n") + 1 for title in titles)
    title_inches = (lines + 0.8) * 1.25 * TITLE_POINTS / POINTS_PER_INCH
    height = cell * CELL_SHARE * images.shape[1] / images.shape[2] + title_inches
    figure = Figure(figsize=(cell * columns, height * rows + cell * (1 - CELL_SHARE)))
    FigureCanvasAgg(figure)
    width, whole = figure.get_size_inches().tolist()
    letters = int(cell * CELL_SHARE * POINTS_PER_INCH / (TITLE_POINTS * GLYPH))
    for place, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(place, columns)
        left, bottom = (column + (1 - CELL_SHARE) / 2) * cell, whole - (row + 1) * height
        axes = figure.add_axes(
            (left / width, bottom / whole, cell * CELL_SHARE / width, (height - title_inches) / whole)
        )
        axes.imshow(image)
        axes.set_axis_off()
        axes.set_title("\n".join(drawable(line, letters) for line in title.split("\n")), fontsize=TITLE_POINTS, pad=3)
    return figure


def sheet_columns(n: int) -> int:
    """Return how many pictures stand beside each other on a sheet of `n`.

    As many as fit, fewer where that leaves fewer gaps.

    Examples
    --------
    >>> [sheet_columns(n) for n in (1, 6, 7, 8, 28, 42)]
    [1, 6, 4, 4, 4, 6]
    """
    return (
        n if n <= MOST_COLUMNS else min(range(MOST_COLUMNS, FEWEST_COLUMNS - 1, -1), key=lambda columns: -n % columns)
    )


def shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture of (H, W, 3) uint8 with no side longer than `side` pixels; a smaller one stays as it is."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    scale = side / max(height, width)
    return np.asarray(
        Image.fromarray(image).resize(
            (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX
        )
    )


def drawable(text: str, longest: int) -> str:
    r"""Return a text as a figure can show it in one line.

    No mathematics, □ for what the font lacks, … for the middle of one that is too long.

    Examples
    --------
    >>> drawable("a line\nbreak", 28), drawable("0123456789", 7), drawable("5 $", 28), drawable("图", 28)
    ('a line break', '012…789', '5 \\$', '□')
    """
    words = " ".join(text.split())
    short = words if len(words) <= longest else f"{words[: longest // 2]}…{words[len(words) - (longest - 1) // 2 :]}"
    font = get_font(findfont(FontProperties()))
    return "".join(
        each if each.isprintable() and font.get_char_index(ord(each)) else MISSING_GLYPH for each in short
    ).replace("$", r"\$")


def _rows(n: int, entries: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a figure with room for `n` rows and a legend of these entries."""
    legend = -(-len(entries) // _legend_columns(entries)) * LEGEND_ROW_INCHES if entries else 0.0
    figure = Figure(figsize=(WIDTH, FRAME_INCHES + ROW_INCHES * n + legend), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_POINTS - 1)
    return figure, axes


def _legend_columns(entries: Sequence[str]) -> int:
    longest = max(len(drawable(each, LONGEST_NAME)) for each in entries)
    return max(1, min(len(entries), LEGEND_LETTERS // (longest + 5)))


def _stack(
    axes: Axes,
    lengths: NDArray[np.float64],
    numbers: Sequence[Sequence[str]],
    colours: Sequence[str],
    names: Sequence[str],
) -> None:
    """Draw one bar a row, its segments beside each other; a number stands in each that has room for it."""
    ends = lengths.cumsum(axis=1)
    longest = max(float(ends.max()), np.finfo(float).tiny)
    rows = np.arange(len(lengths))
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        # A space in front: matplotlib leaves out a name that begins with _.
        label = f" {drawable(name, LONGEST_NAME)}"
        axes.barh(
            rows,
            lengths[:, k],
            left=ends[:, k] - lengths[:, k],
            color=colour,
            edgecolor="white",
            linewidth=0.8,
            height=0.7,
            label=label,
        )
        for row in np.flatnonzero(lengths[:, k] >= LABELLED_SHARE * longest).tolist():
            axes.text(
                ends[row, k] - lengths[row, k] / 2,
                row,
                numbers[row][k],
                ha="center",
                va="center",
                fontsize=FONT_POINTS - 2,
                color=_ink(colour),
            )
    axes.figure.legend(
        loc="outside upper left",
        ncols=_legend_columns(names),
        frameon=False,
        fontsize=FONT_POINTS - 1,
        handletextpad=0.3,
    )


def _boxes(axes: Axes, filled: Mapping[int, NDArray[np.float64]]) -> None:
    axes.boxplot(
        list(filled.values()),
        positions=list(filled),
        orientation="horizontal",
        widths=0.6,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": COLOURS[4], "edgecolor": DARK_INK},
        medianprops={"color": DARK_INK, "linewidth": 2},
        meanprops={"marker": "D", "markerfacecolor": LIGHT_INK, "markeredgecolor": DARK_INK, "markersize": 6},
        flierprops={"marker": ".", "markerfacecolor": COLOURS[0], "markeredgecolor": COLOURS[0], "markersize": 5},
    )


def _name_rows(axes: Axes, classes: Sequence[str], counts: Sequence[int] | None = None) -> None:
    """Write the classes beside the rows, the first at the top, with how many pictures a row is about."""
    names = [drawable(name, LONGEST_NAME) for name in classes]
    labels = names if counts is None else [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)]
    axes.set_yticks(range(len(classes)), labels)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _colours(n: int, neutral: int) -> list[str]:
    """Return `n` colours, the last `neutral` of them grey."""
    every = [*COLOURS, *(_mixed(COLOURS[k], PALE) for k in DARK)]
    return [every[k % len(every)] for k in range(n - neutral)] + list(NEUTRAL[:neutral])


def _mixed(colour: str, white: float) -> str:
    red, green, blue = (part * (1 - white) + white for part in mpl.colors.to_rgb(colour))
    return mpl.colors.to_hex((red, green, blue))


def _ink(colour: str) -> str:
    """Return the ink that can be read on a colour, by its relative luminance (WCAG 2.1)."""
    shares = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(shares <= SRGB_LINEAR_UP_TO, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return DARK_INK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else LIGHT_INK
