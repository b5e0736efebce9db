"""Segmentations of a picture into regions that a surrogate switches on and off.

A method is a function of this module and an entry of `choices.SEGMENTERS`. `segmented` calls it, searches for the
number of segments that is asked for where the method takes none, and brings what comes out into one form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import SEGMENTERS
from facelime_cli.core import label_files, lattices, regions
from facelime_cli.core import zones as named
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.choices import Scale

    Pixels = NDArray[np.uint8]
    Labels = NDArray[Any]

MOST_SEGMENTS = 4096
"""More regions than any sample of masks can tell apart, and a sign of wrong parameters."""
TOLERANCE = 0.05
"""A search ends when it is this near to the number asked for, as a share of it."""
MOST_STEPS = 8
"""A search tries at most so many scales, since each one segments the whole picture."""
NARROWEST = 1.01
"""A search ends when its two borders differ by less than this factor: no scale between them does better."""
SCALE_DIGITS = 4
"""Significant digits of a scale that a search tries, so that the last bit of a library's power decides nothing."""
SEED_MARGIN = 4
"""A seed of the watershed stays a quarter of its cell's side away from the cell's border: the side over this number."""
QUICKSHIFT_SEED = 42
"""Quickshift breaks ties at random. This is scikit-image's own seed, which the `lime` package uses too."""
REFERENCE_STEP = 2
"""The reference segments see every second pixel of every second row. They then take little time."""
REFERENCES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("slic", {"segments": 40, "compactness": 30.0, "sigma": 0.0}),
    ("felzenszwalb", {"scale": 100.0, "sigma": 0.8, "min_size": 25}),
)
"""The methods that boundary recall compares with: the first, and the second where the first is to be measured."""


@dataclass(frozen=True)
class Segmented:
    """A picture's segments, and the scale that a search chose for them.

    Attributes
    ----------
    labels : (H, W) uint16 array
        0 to K-1, without gaps.
    scale : float
        Value of the method's `Scale.parameter`. NaN without a search.
    """

    labels: NDArray[np.uint16]
    scale: float


def segment(image: Pixels, method: str, parameters: Mapping[str, Any]) -> NDArray[np.uint16]:
    """Return a picture's segments alone, see `segmented`.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    method : str
        A key of `choices.SEGMENTERS`.
    parameters : mapping
        The method's settings, as in `segmented`.

    Returns
    -------
    (H, W) uint16 array
        0 to K-1, without gaps.

    Raises
    ------
    FacelimeError
        If there is only one segment, or more than `MOST_SEGMENTS`.

    Examples
    --------
    >>> halves = np.zeros((40, 40, 3), np.uint8)
    >>> halves[:, 20:] = 255
    >>> labels = segment(halves, "slic", {"segments": 8, "compactness": 1.0, "sigma": 0.0})
    >>> labels.dtype, int(labels[0, 0]), bool(labels[0, 19] != labels[0, 20])
    (dtype('uint16'), 0, True)
    """
    return segmented(image, method, parameters).labels


def segmented(image: Pixels, method: str, parameters: Mapping[str, Any]) -> Segmented:
    """Return a picture's segments, numbered without gaps in the order of their first pixel.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    method : str
        A key of `choices.SEGMENTERS`.
    parameters : mapping
        The method's keyword arguments. A method with a scale also takes `segments`: the scale is then searched.
        Every method takes `connectivity` (4 or 8 neighbours; disconnected pieces become segments of their own; None
        changes nothing) and `min_size` (in pixels; smaller segments are merged).

    Returns
    -------
    Segmented

    Raises
    ------
    FacelimeError
        If there is only one segment, or more than `MOST_SEGMENTS`.
    """
    scale = SEGMENTERS[method].scale
    wanted = parameters.get("segments")
    own = dict(parameters)
    if scale is not None:
        # Such a method has no parameter of this name.
        own.pop("segments", None)
    if scale is None or wanted is None:
        labels = _labels(image, method, own)
        chosen = math.nan
    else:
        height, width = image.shape[:2]
        at_scale = partial(_labels_at, image, method, own, scale.parameter)
        labels, chosen = _searched(at_scale, scale, wanted, height * width)
    _refuse_useless(_count(labels), method)
    return Segmented(labels.astype(np.uint16), chosen)


def _labels_at(image: Pixels, method: str, parameters: Mapping[str, Any], name: str, value: float) -> NDArray[np.int64]:
    """Return what a method makes with one more parameter."""
    return _labels(image, method, {**parameters, name: value})


def _labels(image: Pixels, method: str, parameters: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return what a method makes: split and merged as `connectivity` and `min_size` say, and numbered."""
    own = dict(parameters)
    connectivity = own.pop("connectivity", None)
    min_size = own.pop("min_size", 0)
    implementation = SEGMENTERS[method].load()
    # What is left of the parameters are the method's own keywords.
    found = implementation(image, **own)
    if connectivity is not None:
        found = regions.connected(found, connectivity)
    found = regions.numbered(found)
    # Every segment has one pixel, so that a least size of 1 asks for nothing.
    if min_size > 1:
        large = regions.merged(image, found, min_size)
        found = regions.numbered(large)
    return found


@dataclass(frozen=True)
class Statistics:
    """What the segments of a picture are like.

    Attributes
    ----------
    size_quartiles : (3,) float64 array
        Lower quartile, median and upper quartile of the segments' sizes, in pixels.
    boundary_recall : float
        Share of a second method's borders that are borders here too, 0 to 1, see `regions.boundary_recall`.
    flat_share : float
        Share of the segments that have one colour, 0 to 1. The fill `mean` does not change them, so they look
        unimportant whatever the model does.
    """

    size_quartiles: NDArray[np.float64]
    boundary_recall: float
    flat_share: float


def statistics(image: Pixels, labels: NDArray[np.uint16], method: str) -> Statistics:
    """Return what the segments of a picture are like, beside those of another method.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    labels : (H, W) uint16 array
        The picture's segments, 0 to K-1.
    method : str
        The key of `choices.SEGMENTERS` that made them.

    Returns
    -------
    Statistics

    Notes
    -----
    The other method sees a picture of half the height and width (`REFERENCE_STEP`). That moves its borders by at most
    one pixel, which is within the tolerance of the boundary recall.
    """
    # A method compared with itself would always score 1.
    itself = method == REFERENCES[0][0]
    other, parameters = REFERENCES[1] if itself else REFERENCES[0]
    reduced = np.ascontiguousarray(image[::REFERENCE_STEP, ::REFERENCE_STEP])
    found = _labels(reduced, other, parameters)
    taller = np.repeat(found, REFERENCE_STEP, axis=0)
    enlarged = np.repeat(taller, REFERENCE_STEP, axis=1)
    # A side with an odd number of pixels has become one pixel longer.
    height, width = image.shape[:2]
    reference = enlarged[:height, :width]
    quartiles = regions.size_quartiles(labels)
    recall = regions.boundary_recall(labels, reference)
    flat = regions.flat(image, labels)
    return Statistics(quartiles, recall, float(flat.mean()))


@dataclass(frozen=True)
class _Trial:
    """What a search found at one scale: its labels, and how far their number is from the wanted one (a share of it)."""

    scale: float
    labels: NDArray[np.int64]
    distance: float


def _searched(
    made: Callable[[float], NDArray[np.int64]], scale: Scale, wanted: int, pixels: int
) -> tuple[NDArray[np.int64], float]:
    """Return the labels whose number is nearest to the wanted one, and their scale.

    The search follows the method's power law until the wanted number lies between two scales. Then it halves the
    range on a logarithmic axis.
    """
    low, high = scale.least, scale.most
    start = scale.start(pixels / wanted)
    value = _rounded(min(max(start, low), high))
    tried: list[_Trial] = []
    for _ in range(MOST_STEPS):
        labels = made(value)
        count = _count(labels)
        trial = _Trial(value, labels, _distance(count, wanted))
        tried.append(trial)
        if trial.distance <= TOLERANCE:
            break
        # The larger the scale, the fewer the segments.
        if count > wanted:
            low = value
        else:
            high = value
        value = _next_scale(scale, low, high, value * (count / wanted) ** (1 / scale.power))
        # Rounding can lead back to a known scale, and from there the search would run in a circle.
        known = [each.scale for each in tried]
        if high / low < NARROWEST or value in known:
            break
    nearest = min(tried, key=lambda each: each.distance)
    return nearest.labels, nearest.scale


def _next_scale(scale: Scale, low: float, high: float, guess: float) -> float:
    """Return the scale to try next: the middle of two borders once both are known, else the guess of the power law."""
    # A border that no trial has moved says nothing about the number of segments there.
    bracketed = low > scale.least and high < scale.most
    if bracketed:
        return _rounded(math.sqrt(low * high))
    possible = min(max(guess, scale.least), scale.most)
    return _rounded(possible)


def _distance(count: int, wanted: int) -> float:
    """Return how far a number of segments is from the wanted one, as a share of that."""
    # One segment can never be used, so that any other number is nearer.
    if count == 1:
        return math.inf
    return abs(count / wanted - 1)


def _rounded(value: float) -> float:
    return float(f"{value:.{SCALE_DIGITS}g}")


def _count(labels: NDArray[np.int64]) -> int:
    return int(labels.max()) + 1


def _refuse_useless(count: int, method: str) -> None:
    finer, coarser = SEGMENTERS[method].remedies
    if count == 1:
        raise FacelimeError(f"only one region, so there is nothing to compare; {finer}")
    if count > MOST_SEGMENTS:
        raise FacelimeError(f"{count} regions, more than {MOST_SEGMENTS}; {coarser}, or merge small ones (--min-size)")


def quickshift(image: Pixels, *, kernel_size: float, max_dist: float, ratio: float, sigma: float) -> Labels:
    """Return regions around the modes of density in colour and place.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    kernel_size : float
        Standard deviation of the Gaussian of the density, in pixels. Larger makes fewer regions.
    max_dist : float
        Largest distance from a pixel to its neighbour of higher density. Larger makes fewer regions.
    ratio : float
        Weight of colour against place, 0 to 1.
    sigma : float
        Standard deviation of the Gaussian that smooths the picture first, in pixels.

    Returns
    -------
    (H, W) int64 array

    References
    ----------
    Vedaldi and Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008; scikit-image's `quickshift`.
    """
    from skimage.segmentation import quickshift as implementation

    found = implementation(
        image, kernel_size=kernel_size, max_dist=max_dist, ratio=ratio, sigma=sigma, rng=QUICKSHIFT_SEED
    )
    return np.asarray(found)


def slic(image: Pixels, *, segments: int, compactness: float, sigma: float) -> Labels:
    """Return clusters of k-means in colour and place.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    segments : int
        About how many regions to make.
    compactness : float
        Weight of place against colour. Larger makes squarer regions.
    sigma : float
        Standard deviation of the Gaussian that smooths the picture first, in pixels.

    Returns
    -------
    (H, W) int64 array

    References
    ----------
    Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", TPAMI 34, 2012; scikit-image's
    `slic`.
    """
    from skimage.segmentation import slic as implementation

    # From 0, since the library's own first label would be 1.
    found = implementation(
        image, n_segments=segments, compactness=compactness, sigma=sigma, start_label=0, channel_axis=-1
    )
    return np.asarray(found)


def felzenszwalb(image: Pixels, *, scale: float, sigma: float) -> Labels:
    """Return regions of a graph of pixels, grown along the least contrast.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    scale : float
        How much contrast a border needs. Larger makes fewer regions.
    sigma : float
        Standard deviation of the Gaussian that smooths the picture first, in pixels.

    Returns
    -------
    (H, W) int64 array

    References
    ----------
    Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 59, 2004; scikit-image's
    `felzenszwalb`.
    """
    from skimage.segmentation import felzenszwalb as implementation

    # `segmented` merges small regions of every method alike, so that the library must not.
    found = implementation(image, scale=scale, sigma=sigma, min_size=1, channel_axis=-1)
    return np.asarray(found)


def watershed(image: Pixels, *, segments: int, compactness: float, sigma: float) -> Labels:
    """Return basins of the colour gradient, one for each cell of a grid.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    segments : int
        About how many regions to make.
    compactness : float
        Weight of place against the gradient. Larger makes regions that are more alike in shape.
    sigma : float
        Standard deviation of the Gaussian that smooths the picture first, in pixels.

    Returns
    -------
    (H, W) int32 array

    References
    ----------
    Neubert and Protzel, "Compact watershed and preemptive SLIC", ICPR 2014; scikit-image's `watershed`. A basin's seed
    is the flattest pixel in the middle of its cell, as in Machairas et al., "Waterpixels", IEEE TIP 24, 2015.
    """
    from skimage.filters import gaussian, sobel
    from skimage.segmentation import watershed as implementation

    smooth = gaussian(image, sigma=sigma, channel_axis=-1)
    slopes = [sobel(smooth[..., channel]) for channel in range(smooth.shape[-1])]
    # The steepest channel counts: an edge in one colour alone would be weak in their mean.
    gradient = np.max(slopes, axis=0)
    cells = lattices.squares(gradient.shape, segments)
    seeds = _seeds(gradient, regions.numbered(cells))
    found = implementation(gradient, seeds, compactness=compactness)
    return np.asarray(found)


def _seeds(gradient: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an array that is k + 1 at the flattest pixel in the middle of cell k, and 0 elsewhere."""
    from scipy.ndimage import distance_transform_cdt, maximum, minimum_position

    count = _count(cells)
    side = math.isqrt(cells.size // count)
    # The picture's edge is a border too. Padding makes the distance transform see it.
    interior = np.pad(~regions.borders(cells), 1)
    to_border = distance_transform_cdt(interior, metric="chessboard")[1:-1, 1:-1]
    # Cells of a long picture can be so narrow that no pixel is as deep inside.
    depths = maximum(to_border, cells, np.arange(count))
    margin = min(side // SEED_MARGIN, int(np.min(depths)))
    middle = np.where(to_border >= margin, cells, -1)
    flattest = minimum_position(gradient, middle, np.arange(count))
    places = np.array(flattest)
    rows, columns = places[:, 0], places[:, 1]
    seeds = np.zeros(cells.shape, dtype=np.int64)
    seeds[rows, columns] = np.arange(1, count + 1)
    return seeds


def grid(image: Pixels, *, segments: int, cell: str) -> Labels:
    """Return cells of equal size, whatever the picture shows.

    Pictures of one framing can then be compared cell by cell.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Only its height and width are used.
    segments : int
        About how many cells to make.
    cell : str
        A key of `lattices.CELLS`.

    Returns
    -------
    (H, W) int64 array
    """
    size = image.shape[:2]
    return lattices.CELLS[cell](size, segments)


def file(image: Pixels, *, labels: Path) -> Labels:
    """Return labels that somebody else made.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Only its height and width are used.
    labels : Path
        A file of labels, see `label_files.read`.

    Returns
    -------
    (H, W) int64 array

    Raises
    ------
    FacelimeError
        If the file cannot be read, or its labels have another size than the picture.
    """
    height, width = image.shape[:2]
    return label_files.read(labels, height, width)


def zones(image: Pixels, *, zones: str) -> Labels:
    """Return named regions of one kind of picture, and the rest as one more.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space.
    zones : str
        The kind of picture, a key of `core.zones.NAMES`.

    Returns
    -------
    (H, W) uint8 array
        0 for the rest, k for the name k - 1 of that kind.
    """
    return named.find(image, zones).zones
