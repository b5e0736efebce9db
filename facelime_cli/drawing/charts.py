"""Charts of a dataset, and sheets of pictures.

Bars and boxes are horizontal, so that the names of classes have room.
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
from facelime_cli.drawing import palette

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

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
PALE = 0.6
"""Share of white in a pale form."""
LABELLED_SHARE = 0.045
"""A segment of a bar that is narrower, as a share of the axis, has no room for its number."""
MOST_COLUMNS = 6
FEWEST_COLUMNS = 4
LARGEST_CELL_INCHES = 2.7
TITLE_POINTS = 8.5
CELL_SHARE = 0.94
TALLEST = 8
"""Height of a sheet's cell by its width, at most."""
SRGB_LINEAR_UP_TO = 0.03928
"""Where the curve of sRGB leaves its straight part (WCAG 2.1)."""
SRGB_LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Shares of red, green and blue in the relative luminance (WCAG 2.1)."""
MISSING_GLYPH = "□"


def class_counts(counts: Integers, classes: Sequence[str], splits: Sequence[str], neutral: int = 0) -> Figure:
    """Draw how many pictures each class has in each split, as stacked bars.

    Parameters
    ----------
    counts : (C, P) int64 array
        Pictures of each class in each split.
    classes : sequence of C str
    splits : sequence of P str
    neutral : int
        How many of the last splits are drawn in grey.

    Returns
    -------
    Figure
    """
    figure, axes = _rows(len(classes), splits)
    numbers = [[str(count) for count in row] for row in counts.tolist()]
    colours = _colours(len(splits), neutral)
    _stack(axes, counts.astype(float), numbers, colours, splits)
    totals = counts.sum(axis=1)
    for row, total in enumerate(totals.tolist()):
        end = (total, row)
        axes.annotate(
            f"{total:,}", end, xytext=(5, 0), textcoords="offset points", va="center", fontsize=FONT_POINTS - 1
        )
    # The longest bar leaves room for its total at its end.
    most = int(totals.max())
    longest = max(1, most)
    axes.set_xlim(0, longest * 1.08)
    axes.set_xlabel("pictures", fontsize=FONT_POINTS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _name_rows(axes, classes)
    return figure


def numbers_by_class(values: Floats, rows: Integers, classes: Sequence[str], label: str) -> Figure:
    """Draw the distribution of a column of numbers in each class, as box plots.

    A box is the middle half, its line the median, its diamond the mean.
    Whiskers reach to the farthest value within 1.5 box lengths; points lie beyond.

    Parameters
    ----------
    values : (N,) float64 array
        Those that are not `summaries.known` are left out.
    rows : (N,) int array
        Index into `classes`.
    classes : sequence of C str
    label : str
        What the numbers are.

    Returns
    -------
    Figure

    References
    ----------
    Tukey, "Exploratory Data Analysis", 1977.
    """
    figure, axes = _rows(len(classes), ())
    usable = known(values)
    numbers = {}
    for row in range(len(classes)):
        chosen = (rows == row) & usable
        numbers[row] = values[chosen]
    # Matplotlib draws a box of no numbers as a line at no place, with a warning.
    filled = {row: each for row, each in numbers.items() if len(each)}
    if filled:
        _boxes(axes, filled)
    axes.set_xlabel(drawable(label, LEGEND_LETTERS), fontsize=FONT_POINTS)
    axes.grid(axis="x", color=palette.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    sizes = [len(each) for each in numbers.values()]
    _name_rows(axes, classes, sizes)
    return figure


def shares_by_class(
    counts: Integers, classes: Sequence[str], values: Sequence[str], label: str, neutral: int = 0
) -> Figure:
    """Draw the shares of a column's values in each class, as stacked bars of equal length.

    Parameters
    ----------
    counts : (C, V) int64 array
        Pictures of each class with each value.
    classes : sequence of C str
    values : sequence of V str
        In the order of the bars.
    label : str
        What the values are.
    neutral : int
        How many of the last values are drawn in grey.

    Returns
    -------
    Figure
        Its axis is in percent.
    """
    figure, axes = _rows(len(classes), values)
    totals = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(totals, 1)[:, None]
    numbers = [[f"{share:.0f}" for share in row] for row in shares.tolist()]
    colours = _colours(len(values), neutral)
    _stack(axes, shares, numbers, colours, values)
    axes.set_xlim(0, 100)
    shown = drawable(label, LEGEND_LETTERS)
    axes.set_xlabel(f"{shown}: share of pictures, %", fontsize=FONT_POINTS)
    _name_rows(axes, classes, totals.tolist())
    return figure


def sheet(images: Pixels, titles: Sequence[str]) -> Figure:
    """Draw pictures beside and below each other, each with its title above.

    Parameters
    ----------
    images : (n, H, W, 3) uint8 array
    titles : sequence of n str
        Line breaks stay; a line that is wider than its picture loses its middle.

    Returns
    -------
    Figure
    """
    columns = sheet_columns(len(images))
    rows = -(-len(images) // columns)
    cell = min(LARGEST_CELL_INCHES, WIDTH / columns)
    lines = max(title.count("\n") + 1 for title in titles)
    title_inches = (lines + 0.8) * 1.25 * TITLE_POINTS / POINTS_PER_INCH
    picture_inches = cell * CELL_SHARE
    # A very long picture is drawn smaller: a figure has a largest size.
    height = picture_inches * min(images.shape[1] / images.shape[2], TALLEST) + title_inches
    size = (cell * columns, height * rows + cell * (1 - CELL_SHARE))
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    width, whole = figure.get_size_inches().tolist()
    letter_points = TITLE_POINTS * GLYPH
    letters = int(picture_inches * POINTS_PER_INCH / letter_points)
    across = picture_inches / width
    up = (height - title_inches) / whole
    for place, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(place, columns)
        left = (column + (1 - CELL_SHARE) / 2) * cell
        bottom = whole - (row + 1) * height
        axes = figure.add_axes((left / width, bottom / whole, across, up))
        axes.imshow(image)
        axes.set_axis_off()
        shown = [drawable(line, letters) for line in title.split("\n")]
        axes.set_title("\n".join(shown), fontsize=TITLE_POINTS, pad=3)
    return figure


def sheet_columns(n: int) -> int:
    """Return how many pictures stand beside each other on a sheet: as many as fit, fewer where that leaves fewer gaps.

    Parameters
    ----------
    n : int
        Pictures on the sheet, at least one.

    Returns
    -------
    int
        4 to 6; `n` where there are fewer.

    Examples
    --------
    >>> [sheet_columns(n) for n in (1, 6, 7, 8, 28, 42)]
    [1, 6, 4, 4, 4, 6]
    """
    if n <= MOST_COLUMNS:
        return n
    # The widest comes first, so that it wins among widths that leave equally many gaps.
    widths = range(MOST_COLUMNS, FEWEST_COLUMNS - 1, -1)
    return min(widths, key=lambda columns: -n % columns)


def shrunk(image: Pixels, side: int) -> Pixels:
    """Return a picture that is no larger than wanted; a smaller one stays as it is.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    side : int
        Longest side that is wanted, in pixels.

    Returns
    -------
    (h, w, 3) uint8 array
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest <= side:
        return image
    scale = side / longest
    # The short side of a very long picture would round to nothing.
    new_width = max(1, round(width * scale))
    new_height = max(1, round(height * scale))
    smaller = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BOX)
    return np.asarray(smaller)


def drawable(text: str, longest: int) -> str:
    r"""Return a text in one line, as a figure can show it.

    Matplotlib's mathematics is switched off, □ stands for what the font lacks, and … for the middle of a long text.

    Parameters
    ----------
    text : str
    longest : int
        Letters that have room.

    Returns
    -------
    str

    Examples
    --------
    >>> drawable("a line\nbreak", 28), drawable("0123456789", 7), drawable("5 $", 28), drawable("图", 28)
    ('a line break', '012…789', '5 \\$', '□')
    """
    short = " ".join(text.split())
    if len(short) > longest:
        end = len(short) - (longest - 1) // 2
        short = f"{short[: longest // 2]}…{short[end:]}"
    font = get_font(findfont(FontProperties()))
    shown = ""
    for letter in short:
        has_glyph = letter.isprintable() and font.get_char_index(ord(letter))
        shown += letter if has_glyph else MISSING_GLYPH
    return shown.replace("$", r"\$")


def _rows(n: int, entries: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a figure with room for `n` rows and a legend of these entries."""
    legend = 0.0
    if entries:
        legend_rows = -(-len(entries) // _legend_columns(entries))
        legend = legend_rows * LEGEND_ROW_INCHES
    height = FRAME_INCHES + ROW_INCHES * n + legend
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_POINTS - 1)
    return figure, axes


def _legend_columns(entries: Sequence[str]) -> int:
    longest = max(len(drawable(each, LONGEST_NAME)) for each in entries)
    # A patch of colour and the gap beside it take the room of five letters.
    fitting = LEGEND_LETTERS // (longest + 5)
    return max(1, min(len(entries), fitting))


def _stack(
    axes: Axes,
    lengths: Floats,
    numbers: Sequence[Sequence[str]],
    colours: Sequence[str],
    names: Sequence[str],
) -> None:
    """Draw one bar a row, its segments beside each other; a number stands in each that has room for it."""
    ends = lengths.cumsum(axis=1)
    # Bars of no length at all have no room for numbers, and no room must not be 0 of 0.
    longest = max(float(ends.max()), np.finfo(float).tiny)
    rows = np.arange(len(lengths))
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        # Matplotlib leaves names that begin with _ out of the legend: hence the space in front.
        label = f" {drawable(name, LONGEST_NAME)}"
        widths = lengths[:, k]
        starts = ends[:, k] - widths
        bars = axes.barh(rows, widths, left=starts, color=colour, label=label, height=0.7)
        for bar in bars:
            bar.set(edgecolor="white", linewidth=0.8)
        ink = _ink(colour)
        has_room = widths >= LABELLED_SHARE * longest
        for row in np.flatnonzero(has_room).tolist():
            middle = ends[row, k] - widths[row] / 2
            number = axes.text(middle, row, numbers[row][k], ha="center", va="center")
            number.set(fontsize=FONT_POINTS - 2, color=ink)
    columns = _legend_columns(names)
    axes.figure.legend(
        loc="outside upper left", ncols=columns, frameon=False, fontsize=FONT_POINTS - 1, handletextpad=0.3
    )


def _boxes(axes: Axes, filled: Mapping[int, Floats]) -> None:
    """Draw one box of numbers a row; no row is empty."""
    mean = {"marker": "D", "markerfacecolor": palette.WHITE, "markeredgecolor": palette.INK, "markersize": 6}
    beyond = {"marker": ".", "markerfacecolor": palette.BLUE, "markeredgecolor": palette.BLUE, "markersize": 5}
    axes.boxplot(
        list(filled.values()),
        positions=list(filled),
        orientation="horizontal",
        widths=0.6,
        showmeans=True,
        patch_artist=True,
        boxprops={"facecolor": palette.SKY_BLUE, "edgecolor": palette.INK},
        medianprops={"color": palette.INK, "linewidth": 2},
        meanprops=mean,
        flierprops=beyond,
    )


def _name_rows(axes: Axes, classes: Sequence[str], counts: Sequence[int] | None = None) -> None:
    """Write the classes beside the rows, the first at the top, with how many pictures a row is about."""
    labels = [drawable(name, LONGEST_NAME) for name in classes]
    if counts is not None:
        labels = [f"{name} ({count:,})" for name, count in zip(labels, counts, strict=True)]
    axes.set_yticks(range(len(classes)), labels)
    # Matplotlib's axis grows upwards; turned round, the first class is at the top.
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _colours(n: int, neutral: int) -> list[str]:
    """Return `n` colours, the last `neutral` of them grey."""
    pale = [_mixed(colour, PALE) for colour in palette.WITH_PALE_FORM]
    every = [*palette.BARS, *pale]
    coloured = [every[k % len(every)] for k in range(n - neutral)]
    return coloured + list(palette.PUT_TOGETHER[:neutral])


def _mixed(colour: str, white: float) -> str:
    channels = mpl.colors.to_rgb(colour)
    # White has the value 1 in every channel.
    red, green, blue = (channel * (1 - white) + white for channel in channels)
    return mpl.colors.to_hex((red, green, blue))


def _ink(colour: str) -> str:
    """Return the ink that can be read on a colour: the one of the higher contrast (WCAG 2.1)."""
    channels = mpl.colors.to_rgb(colour)
    shares = np.array(channels)
    curved = ((shares + 0.055) / 1.055) ** 2.4
    linear = np.where(shares <= SRGB_LINEAR_UP_TO, shares / 12.92, curved)
    luminance = np.dot(linear, SRGB_LUMINANCE)
    # The contrast with black is (L + .05) / .05, that with white 1.05 / (L + .05): both are equal at this root.
    dark_is_better = (luminance + 0.05) ** 2 > 1.05 * 0.05
    return palette.INK if dark_is_better else palette.WHITE
