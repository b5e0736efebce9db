"""The regions of one picture as a page draws them: copies of the picture, outlines, and which zones they lie in.

Worker processes do this work, so that what goes in and what comes out are plain records.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facelime_cli.core import places, zones
from facelime_cli.drawing import outlines
from facelime_cli.drawing.overlay import towards_against

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.drawing.figures import Panel
    from facelime_cli.drawing.plates import Plate

JPEG_QUALITY = 92
SMALL_PIXELS = 256
"""Longest side of a composed example, which a page shows at half of it."""
STAND_IN_PIXELS = 512
"""Longest side of a stand-in: pages compose pictures with it, at the size at which they show a picture."""
SMALL_QUALITY = 85
THUMBNAIL_PIXELS = 144
"""Twice the 72 pixels at which the overview shows it, for fine screens."""
THUMBNAIL_QUALITY = 80


@dataclass(frozen=True)
class ToDraw:
    """What to draw of one picture.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
    segments : list of (H, W) uint16 array
        One for each of the report's segmentations, empty where the picture is in none of that segmentation's.
    coefficients : (K,) float64 array
        Of the first segmentation, for the thumbnail.
    top : int
        How many of the strongest segments the thumbnail marks.
    picture : str
        What its copy is called.
    zones : str or None
        The zones to divide the segments among, a key of `core.zones.NAMES`.
    small : sequence of ((H, W, 3) uint8 array, str, int)
        Stand-ins and composed examples, what each is called, and the longest side that its copy may have.
    """

    image: NDArray[np.uint8]
    segments: list[NDArray[np.uint16]]
    coefficients: NDArray[np.float64]
    top: int
    picture: str
    zones: str | None
    small: Sequence[tuple[NDArray[np.uint8], str, int]] = ()


@dataclass(frozen=True)
class Drawn:
    """What was drawn of one picture, for each of the report's segmentations.

    Attributes
    ----------
    paths : list of list of str
        The outline of each segment, as an SVG path.
    shares : list of (K, Z) float64 array
        The share of each segment in each zone; an empty list where zones were not asked for.
    names : list of list of str
        What each segment is called: its zone or its place.
    spots : list of list of (int, int)
        Row and column of the pixel deepest inside each segment, where its rank is written.
    copies : mapping of str to bytes
        The picture and the small ones as JPEG, by what they are called; none where they were drawn before.
    thumbnail : (h, w, 3) uint8 array or None
        The picture as the overview shows it, its strongest segments marked.
    """

    paths: list[list[str]]
    shares: list[NDArray[np.float64]]
    names: list[list[str]]
    spots: list[list[tuple[int, int]]]
    copies: Mapping[str, bytes] = field(default_factory=dict)
    thumbnail: NDArray[np.uint8] | None = None


def draw(task: ToDraw) -> Drawn:
    """Copy a picture as JPEG, and outline its segments. No file is written: what becomes one is for the page to say.

    Parameters
    ----------
    task : ToDraw
    """
    # Colour in full resolution: lesions and flushes are told by it.
    copies = {task.picture: jpeg(Image.fromarray(task.image), JPEG_QUALITY, subsampling=0)}
    marked = towards_against(task.image, task.segments[0], task.coefficients, task.top)
    small = Image.fromarray(marked)
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    for pixels, name, longest in task.small:
        each = Image.fromarray(pixels)
        each.thumbnail((longest, longest))
        copies[name] = jpeg(each, SMALL_QUALITY, subsampling=0)
    return replace(outline(task), copies=copies, thumbnail=np.asarray(small))


def jpeg(image: Image.Image, quality: int, **options: int) -> bytes:
    """Return a picture as JPEG.

    Parameters
    ----------
    image : Image
    quality : int
    **options
        Of Pillow's writer.
    """
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality, **options)
    return stream.getvalue()


def strip(thumbnails: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return thumbnails of one size as one JPEG, one below the other.

    Parameters
    ----------
    thumbnails : sequence of (h, w, 3) uint8 array
    """
    return jpeg(Image.fromarray(np.concatenate(thumbnails)), THUMBNAIL_QUALITY)


def outline(task: ToDraw) -> Drawn:
    """Outline a picture's segments, name them, and divide them among zones; no file is written.

    Parameters
    ----------
    task : ToDraw
    """
    # A segmentation without this picture keeps its place, so that numbers of segmentations hold for all pictures.
    paths = [outlines.paths(segments) if segments.size else [] for segments in task.segments]
    spots = [places.deepest(segments) if segments.size else [] for segments in task.segments]
    shares = _shares(task) if task.zones else []
    zone_names = zones.NAMES[task.zones] if task.zones else ()
    names = []
    for place, segments in enumerate(task.segments):
        its_shares = shares[place] if shares else None
        names.append(places.names(segments, its_shares, zone_names) if segments.size else [])
    return Drawn(paths, shares, names, spots)


def _shares(task: ToDraw) -> list[NDArray[np.float64]]:
    kind = str(task.zones)
    found = zones.find(task.image, kind).zones
    n_zones = len(zones.NAMES[kind])
    shares = []
    for segments in task.segments:
        none = np.empty((0, 0))
        shares.append(zones.overlap(segments, found, n_zones) if segments.size else none)
    return shares


def figure(panel: Panel) -> None:
    """Draw a figure for print.

    Parameters
    ----------
    panel : Panel
    """
    # matplotlib takes half a second to import, and most reports have no figures.
    from facelime_cli.drawing import figures

    figures.draw(panel)


def plate(task: Plate) -> None:
    """Draw a plate for print.

    Parameters
    ----------
    task : Plate
    """
    from facelime_cli.drawing import plates

    plates.draw(task)
