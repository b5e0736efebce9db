"""Regions as polygons in one JSON file of COCO's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import plain
from facelime_cli.drawing import outlines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from facelime_cli.core.geometry import Placement
    from facelime_cli.exporting.folders import Folder
    from facelime_cli.exporting.maps import Map

FILE = "regions.json"
DIGITS = 3
"""Of a place in the original: a thousandth of a pixel."""

Points = list[float]
"""x and y of a corner, then of the next."""


def write(maps: Iterable[Map], folder: Folder) -> Iterator[tuple[Map, list[str]]]:
    """Write the polygons of every region, with its coefficients.

    Parameters
    ----------
    maps : iterable of Map
    folder : Folder

    Yields
    ------
    Map, list of str
        What is in the file, and its name.
    """
    images: dict[int, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    names: list[str] = []
    regions: list[list[Points]] = []
    for each in maps:
        if each.row not in images:
            images[each.row] = _image(each, len(images) + 1)
            regions = polygons_of(each.segments, each.placement)
        names = each.explanations.names
        annotations += _annotations(each, images[each.row]["id"], regions, len(annotations) + 1)
        yield each, [FILE]
    categories = [{"id": c + 1, "name": name, "supercategory": "class"} for c, name in enumerate(names)]
    info = {"description": "Regions of facelime's explanations; not for diagnostic use"}
    found = {"info": info, "images": list(images.values()), "annotations": annotations, "categories": categories}
    # On one line: nobody reads thousands of places one below the other.
    folder.write(FILE, plain.json_text(found).encode())


def _image(each: Map, number: int) -> dict[str, Any]:
    height, width = each.placement.original
    # COCO's own field for the name; the dataset keeps no ending of it.
    return {"id": number, "file_name": each.id, "height": height, "width": width}


def _annotations(each: Map, image: int, regions: list[list[Points]], first: int) -> list[dict[str, Any]]:
    """Return the regions that lie in the original, the strongest first."""
    found: list[dict[str, Any]] = []
    interval, _ = each.explanations.interval(each.row, each.c)
    confirmed = set(each.confirmed)
    for strength in each.strengths:
        k = strength.segment
        if not regions[k]:
            continue
        low, high = (float(bound) if np.isfinite(bound) else None for bound in interval[k])
        made = {
            "id": first + len(found),
            "image_id": image,
            "category_id": each.c + 1,
            "iscrowd": 0,
            **_measured(regions[k]),
            "segmentation": regions[k],
            "segment": k,
            "rank": strength.rank,
            "coefficient": float(each.coefficients[k]),
            "interval": None if low is None or high is None else [low, high],
            "confirmed": k in confirmed,
        }
        found.append(made)
    return found


def _measured(polygons: list[Points]) -> dict[str, Any]:
    """Return area and box of a region, as COCO has them."""
    area, corners = 0.0, []
    for polygon in polygons:
        x, y = np.array(polygon).reshape(-1, 2).T
        area += abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)
        corners.append((x.min(), y.min(), x.max(), y.max()))
    places = np.array(corners)
    left, top = places[:, :2].min(axis=0).tolist()
    right, bottom = places[:, 2:].max(axis=0).tolist()
    box = [left, top, right - left, bottom - top]
    return {"area": round(area, DIGITS), "bbox": [round(each, DIGITS) for each in box]}


def polygons_of(segments: NDArray[np.uint16], placement: Placement) -> list[list[Points]]:
    """Return the polygons of each segment on the original.

    Parameters
    ----------
    segments : (h, w) uint16 array of 0…K-1, gap-free
    placement : Placement

    Returns
    -------
    list of K lists of polygons
        None for a segment that lies beyond the edges of the original.
    """
    shown = placement.shows()
    found = []
    for k in range(int(segments.max()) + 1):
        polygons = []
        for corners in outlines.polygons((segments == k) & shown):
            y, x = placement.points(corners[:, 0], corners[:, 1])
            polygons.append(np.stack([x, y], axis=-1).round(DIGITS).ravel().tolist())
        found.append(polygons)
    return found
