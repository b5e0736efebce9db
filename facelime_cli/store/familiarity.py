"""The summary of training features that a model may keep, and how far pictures are from it."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError
from facelime_cli.store.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.core.familiarity import Familiar
    from facelime_cli.store.artifacts import Artifact

FILE = "reference.npz"
"""Beside a model's own file."""
FACT = "reference"
"""What a model with a summary says of it."""
DISTANCES = "distances"
"""The fact of a unit of predictions or of an evaluation: the distance of each of its pictures."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What NumPy raises for a file that is damaged."""


def write(model: Artifact, summary: Familiar) -> str:
    """Write a summary beside a model that is being made.

    Parameters
    ----------
    model : Artifact
    summary : Familiar

    Returns
    -------
    str
        The name of the file.
    """
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, **summary.arrays())
    write_whole(model.file(FILE), stream.getvalue())
    return FILE


def has_summary(model: Artifact) -> bool:
    """Return whether a model keeps a summary."""
    return isinstance(model.facts.get(FACT), dict)


def read(model: Artifact) -> Familiar:
    """Return the summary that a model keeps.

    Parameters
    ----------
    model : Artifact
        One for which `has_summary` is true.

    Returns
    -------
    Familiar

    Raises
    ------
    BrokenError
        Where the file is damaged or gone.
    """
    import numpy as np

    from facelime_cli.core.familiarity import Familiar

    try:
        with np.load(io.BytesIO(model.file(FILE).read_bytes()), allow_pickle=False) as kept:
            return Familiar.read(kept)
    except UNREADABLE as why:
        raise BrokenError(
            f"{FILE} of {model.reference} cannot be read; `facelime verify {model.reference}` checks the model, "
            "and `facelime repair` makes room to train or import it again."
        ) from why


def distances_of(artifact: Artifact) -> list[float] | None:
    """Return how far each picture of an artifact is from what its model learned from.

    Parameters
    ----------
    artifact : Artifact
        Predictions or an evaluation.

    Returns
    -------
    list of float or None
        In multiples of the 99th percentile: more than 1 is unlike anything in the training data. None where the model
        keeps no summary.
    """
    found: list[float] = []
    for unit in range(artifact.n_units):
        rows = artifact.rows(unit)
        values = artifact.unit_facts(rows.start).get(DISTANCES)
        if not isinstance(values, list) or len(values) != rows.stop - rows.start:
            return None
        if not all(isinstance(each, (int, float)) for each in values):
            return None
        found += [float(each) for each in values]
    return found


def summary_facts(summary: Familiar, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the facts of a model say of its summary.

    Parameters
    ----------
    summary : Familiar
    made : mapping
        From what it was made.

    Returns
    -------
    dict
    """
    from facelime_cli.core.familiarity import PERCENTILE

    n_features, n_dimensions = summary.projection.shape
    return {FACT: {**made, "percentile": PERCENTILE, "features": n_features, "dimensions": n_dimensions}}
