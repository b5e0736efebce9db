"""An artifact as one HDF5 file. That of explanations holds what a stranger needs to read them without the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.runs import explained_by
from facelime_cli.store.hdf5 import ALONE, Beside, Borrowed, write_hdf5
from facelime_cli.store.pictures import placement_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.portions import Portion

EXPLAINING = ("surrogates", "checks")
"""Kinds that say nothing without pictures and segments."""


def write(artifact: Artifact, path: Path, portion: Portion) -> None:
    """Write an artifact as one HDF5 file.

    Parameters
    ----------
    artifact : Artifact
        A complete one.
    path : Path
        An existing file, which is replaced.
    portion : Portion
        What of it goes out.

    Raises
    ------
    BrokenError
        When an array cannot be read.
    OSError
        When the file cannot be written, such as on a full disk.
    """
    write_hdf5(artifact, path, portion, _beside(artifact, portion) if artifact.kind in EXPLAINING else ALONE)


def _beside(artifact: Artifact, portion: Portion) -> Beside:
    """Return what an explanation is about: pictures, segments, classes, stand-ins and model."""
    explanations = Explanations(*explained_by(artifact))
    rows = list(range(artifact.n) if portion.rows is None else portion.rows)
    in_dataset = [int(row) for row in explanations.surrogates.read("row")[rows]]
    segmentation, dataset = explanations.segmentation, explanations.dataset
    borrowed = (
        Borrowed("images", dataset, "images", in_dataset),
        Borrowed("segments", segmentation, "segments", rows),
        Borrowed("n_segments", segmentation, "n_segments", rows),
    )
    values = {"classes": (np.array(explanations.names, object), ("class",)), **_originals(dataset, in_dataset)}
    attributes = {
        "method": explanations.method,
        "fills": ", ".join(explanations.fills),
        "compared_with": explanations.compared_with,
        "unit": explanations.surrogates.spec("coefficients").measure,
        "model": explanations.model.id,
        "model_digest": explanations.model.content,
        "use": "not for diagnostic use",
    }
    return Beside(borrowed, values, attributes)


def _originals(dataset: Artifact, rows: Sequence[int]) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Return where each picture lies in its original, where the dataset knows it."""
    found = []
    for row in rows:
        placement = placement_of(dataset, row)
        if placement is None:
            return {}
        found.append([*placement.original, *placement.seen])
    return {"original": (np.array(found, np.int32), ("picture", "height_width_top_left_bottom_right"))}
