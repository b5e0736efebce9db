"""Segmentations of a picture into regions that a surrogate switches on and off.

A method is a function of this module and an entry of `choices.SEGMENTERS`.
`segmented` calls it and brings what comes out into one form.
Where a method takes no number of segments, it searches for the scale that gives it.
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
    """A picture's segments.

    Attributes
    ----------
    labels : (H, W) uint16 array
        0…K-1.
    scale : float
        What a search chose, NaN without a search.
    """

    labels: NDArray[np.uint16]
    scale: float


def segment(image: Pixels, method: str, parameters: Mapping[str, Any]) -> NDArray[np.uint16]:
    """Return a picture's segments alone.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    method : str
    parameters : mapping
        As `segmented` takes them.

    Returns
    -------
    (H, W) uint16 array

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
        The method's keyword arguments. Where it has a scale, `segments` may stand for that, which then is searched.
        Every method also takes `connectivity` and `min_size`.
        `connectivity` is 4 or 8 neighbours: unconnected pieces become segments of their own. None changes nothing.
        `min_size` is in pixels: smaller segments are merged.

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
        # A method with a scale knows nothing of a number of segments.
        own.pop("segments", None)
    if scale is None or wanted is None:
        labels = _labels(image, method, own)
        chosen = math.nan
    else:
        name = scale.parameter
        pixels = image.shape[0] * image.shape[1]
        labels, chosen = _searched(lambda value: _labels(image, method, {**own, name: value}), scale, wanted, pixels)
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
    found = implementation(image, **own)
    if connectivity is not None:
        found = regions.connected(found, connectivity)
    found = regions.numbered(found)
    if min_size > 1:
        merged = regions.merged(image, found, min_size)
        found = regions.numbered(merged)
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
        Share of the segments that have one colour. Filled with their mean they do not change.
        So they look unimportant whatever the model does.
    """

    size_quartiles: NDArray[np.float64]
    boundary_recall: float
    flat_share: float


def statistics(image: Pixels, labels: NDArray[np.uint16], method: str) -> Statistics:
    """Return what the segments of a picture are like, beside those of another method.

    The other method looks at every second pixel of every second row, so that it takes little of the time.
    That is within the tolerance of the boundary recall.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    labels : (H, W) uint16 array
    method : str
        The method that made `labels`.

    Returns
    -------
    Statistics
    """
    first, second = REFERENCES
    other, parameters = second if method == first[0] else first
    reduced = np.ascontiguousarray(image[::REFERENCE_STEP, ::REFERENCE_STEP])
    found = _labels(reduced, other, parameters)
    height, width = image.shape[:2]
    enlarged = found.repeat(REFERENCE_STEP, axis=0).repeat(REFERENCE_STEP, axis=1)
    # Sides of an odd number of pixels are one too long after the enlargement.
    reference = enlarged[:height, :width]
    sizes = regions.size_quartiles(labels)
    recall = regions.boundary_recall(labels, reference)
    flat_share = float(regions.flat(image, labels).mean())
    return Statistics(sizes, recall, flat_share)


def _searched(
    made: Callable[[float], NDArray[np.int64]], scale: Scale, wanted: int, pixels: int
) -> tuple[NDArray[np.int64], float]:
    """Return the labels whose number is nearest to the wanted one, and their scale.

    Steps follow the power law until the number lies between two scales. Bisection follows.
    """
    low = scale.least
    high = scale.most
    guess = scale.start(pixels / wanted)
    value = _rounded(min(max(guess, low), high))
    tried: list[tuple[float, float, NDArray[np.int64]]] = []
    for _ in range(MOST_STEPS):
        labels = made(value)
        count = _count(labels)
        # One region only is refused later, so everything else is nearer.
        distance = math.inf if count == 1 else abs(count / wanted - 1)
        tried.append((distance, value, labels))
        if distance <= TOLERANCE:
            break
        if count > wanted:
            low = value
        else:
            high = value
        between = low > scale.least and high < scale.most
        if between:
            # Scales are compared by their factor, so the middle is the geometric one.
            value = _rounded(math.sqrt(low * high))
        else:
            guess = value * (count / wanted) ** (1 / scale.power)
            value = _rounded(min(max(guess, scale.least), scale.most))
        known = any(value == before for _, before, _ in tried)
        if known or high / low < NARROWEST:
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
    """Segment by mode seeking in colour and place, with scikit-image's `quickshift`.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    kernel_size, max_dist, ratio, sigma : float
        As scikit-image takes them; lengths are in pixels.

    Returns
    -------
    (H, W) int array

    References
    ----------
    Vedaldi and Soatto, Quick shift and kernel methods for mode seeking, ECCV 2008.
    """
    from skimage.segmentation import quickshift as implementation

    # The seed breaks ties, and must be the same in every run.
    found = implementation(image, kernel_size=kernel_size, max_dist=max_dist, ratio=ratio, sigma=sigma, rng=42)
    return np.asarray(found)


def slic(image: Pixels, *, segments: int, compactness: float, sigma: float) -> Labels:
    """Segment by k-means in colour and place, with scikit-image's `slic`.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : int
        About how many.
    compactness, sigma : float
        Weight of place against colour, and the smoothing in pixels.

    Returns
    -------
    (H, W) int array

    References
    ----------
    Achanta et al., SLIC superpixels compared to state-of-the-art superpixel methods, TPAMI 2012.
    """
    from skimage.segmentation import slic as implementation

    found = implementation(
        image, n_segments=segments, compactness=compactness, sigma=sigma, start_label=0, channel_axis=-1
    )
    return np.asarray(found)


def felzenszwalb(image: Pixels, *, scale: float, sigma: float) -> Labels:
    """Segment by growing regions along the least contrast, with scikit-image's `felzenszwalb`.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    scale, sigma : float
        Larger scales make larger regions. `sigma` is the smoothing in pixels.

    Returns
    -------
    (H, W) int array

    References
    ----------
    Felzenszwalb and Huttenlocher, Efficient graph-based image segmentation, IJCV 2004.
    """
    from skimage.segmentation import felzenszwalb as implementation

    # Small regions are merged by `regions.merged`, the same way for every method.
    found = implementation(image, scale=scale, sigma=sigma, min_size=1, channel_axis=-1)
    return np.asarray(found)


def watershed(image: Pixels, *, segments: int, compactness: float, sigma: float) -> Labels:
    """Segment into basins of the colour gradient, one for each cell of a grid.

    A basin's seed is the flattest pixel in the middle of its cell.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : int
        About how many.
    compactness, sigma : float
        Weight of place against the gradient, and the smoothing in pixels.

    Returns
    -------
    (H, W) int array

    References
    ----------
    Neubert and Protzel, Compact watershed and preemptive SLIC, ICPR 2014.
    Seeds: Machairas et al., Waterpixels, IEEE Transactions on Image Processing 24, 2015.
    """
    from skimage.filters import gaussian, sobel
    from skimage.segmentation import watershed as implementation

    smooth = gaussian(image, sigma=sigma, channel_axis=-1)
    slopes = [sobel(smooth[..., channel]) for channel in range(smooth.shape[-1])]
    gradient = np.max(slopes, axis=0)
    cells = regions.numbered(lattices.squares(gradient.shape, segments))
    found = implementation(gradient, _seeds(gradient, cells), compactness=compactness)
    return np.asarray(found)


def _seeds(gradient: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an array that is k + 1 at the flattest pixel in the middle of cell k, and 0 elsewhere."""
    from scipy.ndimage import distance_transform_cdt, minimum_position

    count = _count(cells)
    margin = math.isqrt(cells.size // count) // SEED_MARGIN
    # The padding makes the picture's edge a border too.
    padded = np.pad(~regions.borders(cells), 1)
    inside = distance_transform_cdt(padded, metric="chessboard")[1:-1, 1:-1]
    middle = np.where(inside >= margin, cells, -1)
    seeds = np.zeros(cells.shape, dtype=np.int64)
    places = np.array(minimum_position(gradient, middle, np.arange(count)))
    rows, columns = places.T
    seeds[rows, columns] = np.arange(1, count + 1)
    return seeds


def grid(image: Pixels, *, segments: int, cell: str) -> Labels:
    """Segment into cells of equal size that look at nothing in the picture.

    So pictures of one framing can be compared cell by cell.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    segments : int
        About how many.
    cell : str
        A key of `lattices.CELLS`.

    Returns
    -------
    (H, W) int array
    """
    size = image.shape[:2]
    return lattices.CELLS[cell](size, segments)


def file(image: Pixels, *, labels: Path) -> Labels:
    """Read the labels that somebody else made.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    labels : Path
        See `label_files`.

    Returns
    -------
    (H, W) int array
    """
    return label_files.read(labels, image.shape[0], image.shape[1])


def zones(image: Pixels, *, zones: str) -> Labels:
    """Segment into the named regions of a kind of picture, and the rest.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    zones : str
        A key of `core.zones.NAMES`.

    Returns
    -------
    (H, W) uint8 array
    """
    return named.find(image, zones).zones
