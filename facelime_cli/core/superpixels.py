"""Segmentations of a picture into regions that a surrogate switches on and off.

A method is a function of this module and an entry of `choices.SEGMENTERS`. `segmented` calls it, searches for the
number of segments that is asked for where the method takes none, and brings what comes out into one form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
NARROWEST = 1.01
"""It ends too when the scales of too many and of too few differ by this factor: then none between them does better."""
SCALE_DIGITS = 4
"""Significant digits of a scale that a search tries, so that the last bit of a library's power decides nothing."""
SEED_MARGIN = 4
"""A seed of the watershed keeps this part of its cell's side away from the cell's border."""
REFERENCE_STEP = 2
REFERENCES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("slic", {"segments": 40, "compactness": 30.0, "sigma": 0.0}),
    ("felzenszwalb", {"scale": 100.0, "sigma": 0.8, "min_size": 25}),
)
"""What boundary recall compares with: the first, and for the first itself the second."""


@dataclass(frozen=True)
class Segmented:
    """A picture's segments, (H, W) uint16 of 0…K-1, and the scale that a search chose for it (NaN without a search)."""

    labels: NDArray[np.uint16]
    scale: float


def segment(image: Pixels, method: str, parameters: Mapping[str, Any]) -> NDArray[np.uint16]:
    """Return a picture's segments alone, see `segmented`.

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
        The method's keyword arguments; where it has a scale, `segments` may stand for that, which then is searched. For
        every method `connectivity` (4 or 8 neighbours: what does not hang together becomes segments of its own; None:
        nothing is changed) and `min_size` (in pixels: smaller ones are merged).

    Returns
    -------
    Segmented

    Raises
    ------
    FacelimeError
        When there is one region only, or more than `MOST_SEGMENTS`.
    """
    scale, wanted = SEGMENTERS[method].scale, parameters.get("segments")
    own = {name: value for name, value in parameters.items() if scale is None or name != "segments"}
    if scale is None or wanted is None:
        labels, chosen = _labels(image, method, own), math.nan
    else:
        labels, chosen = _searched(
            lambda value: _labels(image, method, {**own, scale.parameter: value}),
            scale,
            wanted,
            image.shape[0] * image.shape[1],
        )
    _refuse_useless(_count(labels), method)
    return Segmented(labels.astype(np.uint16), chosen)


def _labels(image: Pixels, method: str, parameters: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return what a method makes, taken apart and merged as `connectivity` and `min_size` say, and numbered."""
    own = dict(parameters)
    connectivity, min_size = own.pop("connectivity", None), own.pop("min_size", 0)
    found = SEGMENTERS[method].load()(image, **own)
    found = regions.numbered(found if connectivity is None else regions.connected(found, connectivity))
    return regions.numbered(regions.merged(image, found, min_size)) if min_size > 1 else found


@dataclass(frozen=True)
class Statistics:
    """What the segments of a picture are like.

    Attributes
    ----------
    size_quartiles : (3,) float64 array
        Pixels: lower quartile, median, upper quartile of the segments' sizes.
    boundary_recall : float
        Share of a second method's borders that are borders here too, see `regions.boundary_recall`.
    flat_share : float
        Share of the segments that have one colour: filled with their mean they do not change, and so look unimportant
        whatever the model does.
    """

    size_quartiles: NDArray[np.float64]
    boundary_recall: float
    flat_share: float


def statistics(image: Pixels, labels: NDArray[np.uint16], method: str) -> Statistics:
    """Return what the segments of a picture are like.

    (H, W, 3) uint8 and (H, W) uint16, beside those of another method.

    The other method looks at every second pixel of every second row, within the tolerance of the boundary recall, so
    that it takes little of the time.
    """
    other, parameters = REFERENCES[method == REFERENCES[0][0]]
    reduced = np.ascontiguousarray(image[::REFERENCE_STEP, ::REFERENCE_STEP])
    found = _labels(reduced, other, parameters)
    reference = np.repeat(np.repeat(found, REFERENCE_STEP, axis=0), REFERENCE_STEP, axis=1)[
        : image.shape[0], : image.shape[1]
    ]
    return Statistics(
        regions.size_quartiles(labels),
        regions.boundary_recall(labels, reference),
        float(regions.flat(image, labels).mean()),
    )


def _searched(
    made: Callable[[float], NDArray[np.int64]], scale: Scale, wanted: int, pixels: int
) -> tuple[NDArray[np.int64], float]:
    """Return the labels whose number comes nearest to the one asked for, and their scale.

    Steps by the power law until it lies between two scales, then bisection.
    """
    low, high = scale.least, scale.most
    value = _rounded(min(max(scale.start(pixels / wanted), low), high))
    tried: list[tuple[float, float, NDArray[np.int64]]] = []
    for _ in range(MOST_STEPS):
        labels = made(value)
        count = _count(labels)
        tried.append((math.inf if count == 1 else abs(count / wanted - 1), value, labels))
        if tried[-1][0] <= TOLERANCE:
            break
        low, high = (value, high) if count > wanted else (low, value)
        guess = value * (count / wanted) ** (1 / scale.power)
        between = low > scale.least and high < scale.most
        value = _rounded(math.sqrt(low * high) if between else min(max(guess, scale.least), scale.most))
        if high / low < NARROWEST or any(value == before for _, before, _ in tried):
            break
    _, chosen, labels = min(tried, key=lambda each: each[0])
    return labels, chosen


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
    """Mode seeking in colour and place.

    Vedaldi and Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008.
    """
    from skimage.segmentation import quickshift as implementation

    return np.asarray(
        implementation(image, kernel_size=kernel_size, max_dist=max_dist, ratio=ratio, sigma=sigma, rng=42)
    )


def slic(image: Pixels, *, segments: int, compactness: float, sigma: float) -> Labels:
    """k-means in colour and place.

    Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", TPAMI 2012.
    """
    from skimage.segmentation import slic as implementation

    return np.asarray(
        implementation(image, n_segments=segments, compactness=compactness, sigma=sigma, start_label=0, channel_axis=-1)
    )


def felzenszwalb(image: Pixels, *, scale: float, sigma: float) -> Labels:
    """Regions grown along the least contrast.

    Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation", IJCV 2004.
    """
    from skimage.segmentation import felzenszwalb as implementation

    return np.asarray(implementation(image, scale=scale, sigma=sigma, min_size=1, channel_axis=-1))


def watershed(image: Pixels, *, segments: int, compactness: float, sigma: float) -> Labels:
    """Basins of the colour gradient, one for each cell of a grid.

    Neubert and Protzel, "Compact watershed and preemptive SLIC", ICPR 2014.

    A basin's seed is the flattest pixel in the middle of its cell, as in Machairas et al., "Waterpixels", TIP 2015.
    """
    from skimage.filters import gaussian, sobel
    from skimage.segmentation import watershed as implementation

    smooth = gaussian(image, sigma=sigma, channel_axis=-1)
    gradient = np.max([sobel(smooth[..., channel]) for channel in range(smooth.shape[-1])], axis=0)
    return np.asarray(
        implementation(
            gradient,
            _seeds(gradient, regions.numbered(lattices.squares(gradient.shape, segments))),
            compactness=compactness,
        )
    )


def _seeds(gradient: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an array that is k + 1 at the flattest pixel in the middle of cell k, and 0 elsewhere."""
    from scipy.ndimage import distance_transform_cdt, minimum_position

    count = int(cells.max()) + 1
    margin = math.isqrt(cells.size // count) // SEED_MARGIN
    inside = distance_transform_cdt(np.pad(~regions.borders(cells), 1), metric="chessboard")[1:-1, 1:-1]
    middle = np.where(inside >= margin, cells, -1)
    seeds = np.zeros(cells.shape, dtype=np.int64)
    places = np.array(minimum_position(gradient, middle, np.arange(count)))
    seeds[places[:, 0], places[:, 1]] = np.arange(1, count + 1)
    return seeds


def grid(image: Pixels, *, segments: int, cell: str) -> Labels:
    """Cells of equal size that look at nothing in the picture.

    So pictures of one framing can be compared cell by cell.
    """
    return lattices.CELLS[cell](image.shape[:2], segments)


def file(image: Pixels, *, labels: Path) -> Labels:
    """Labels that somebody else made, see `label_files`."""
    return label_files.read(labels, image.shape[0], image.shape[1])


def zones(image: Pixels, *, zones: str) -> Labels:
    """Named regions of a kind of picture, and the rest, see `core.zones`."""
    return named.find(image, zones).zones
