"""Masks of the truth beside the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli import sources
from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.preparing.settings import operations_of
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.console import Console
    from facelime_cli.preparing.looking import Checked
    from facelime_cli.sources import Entry

    Pixels = NDArray[np.uint8]


def truth_files(folder: Path, catalog: Sequence[Entry]) -> dict[str, Path]:
    """Return the mask of each picture that has one, by the picture's id.

    Parameters
    ----------
    folder : Path
        Of masks; their relative names are those of the pictures.
    catalog : sequence of Entry
        The pictures.

    Returns
    -------
    dict

    Raises
    ------
    NotFoundError
        When there is no such folder.
    FacelimeError
        When no mask has the name of a picture, or a folder of them cannot be read.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} with masks; check --truth.")
    masks: dict[str, Path] = {}
    faults: list[sources.Fault] = []
    for path in sources.picture_files(folder, faults):
        # Masks are often PNG files beside pictures in JPEG, so the extension does not count.
        name = sources.without_suffix(path.relative_to(folder))
        masks[name] = path
    # A picture whose mask lies there would look as if it had none.
    for fault in faults:
        raise FacelimeError(f"{sources.readable(str(fault.path))}, among the masks, {fault.reason}; see to it first.")
    found = {entry.id: masks[entry.id] for entry in catalog if entry.id in masks}
    if not found:
        raise FacelimeError(f"no mask in {folder} has the name of a picture; a mask of a/b.jpg is a/b.png there.")
    return found


def check_truth(truths: Mapping[str, Path], processes: int | None, console: Console) -> dict[str, tuple[int, int]]:
    """Decode every mask once, so that a broken one is named before anything is written.

    Parameters
    ----------
    truths : mapping
        From `truth_files`.
    processes : int, optional
    console : Console

    Returns
    -------
    dict
        Width and height of each mask, by the picture's id.

    Raises
    ------
    FacelimeError
        When a mask cannot be read.
    """
    paths = list(truths.values())
    sizes = []
    with Workers(processes) as workers, console.progress("check masks", len(paths), unit="masks") as advance:
        for path, found in zip(paths, workers.map(_mask_size, paths), strict=True):
            advance(1)
            if isinstance(found, str):
                raise FacelimeError(f"the mask {path} {found}; replace it, or take it out of the folder.")
            sizes.append(found)
    return dict(zip(truths, sizes, strict=True))


def _mask_size(path: Path) -> tuple[int, int] | str:
    """Return a mask's width and height, or why it cannot be read."""
    from facelime_cli.core.images import UnreadableError, decode_mask

    try:
        height, width = decode_mask(path).shape
    except UnreadableError as why:
        return str(why)
    return width, height


def check_sizes(sizes: Mapping[str, tuple[int, int]], found: Checked) -> None:
    """Refuse a mask that is not as large as its picture: what is cut out of both would be different regions.

    Parameters
    ----------
    sizes : mapping
        From `check_truth`.
    found : Checked

    Raises
    ------
    FacelimeError
        When one has another width or height.
    """
    for entry, measured in zip(found.entries, found.traits, strict=True):
        width, height = (int(each) for each in measured.figures[:2])
        if sizes.get(entry.id, (width, height)) != (width, height):
            mask = "×".join(map(str, sizes[entry.id]))
            raise FacelimeError(
                f"the mask of {entry.file} has {mask} pixels, but the picture has {width}×{height}; "
                "make the mask as large as its picture."
            )


def prepare_truth(task: tuple[Path | None, Any, Mapping[str, Any]]) -> Pixels:
    """Return a mask of the truth as its picture was cut and resized; zeros where there is none.

    Parameters
    ----------
    task : tuple
        The mask's file or None, the box that was cut out of its picture, and settings from `settings_of`.

    Returns
    -------
    (H, W) uint8 array
    """
    import numpy as np

    from facelime_cli.core import images
    from facelime_cli.core.operations import prepare_mask

    path, box, settings = task
    if path is None:
        return np.zeros(shapes.sides(settings["size"]), np.uint8)
    return prepare_mask(images.decode_mask(path), box, operations_of(settings))
