"""Pictures: beside their segments and fills, their splits when a fold is tested, and reading many of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError, FacelimeError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.geometry import Placement
    from facelime_cli.store.artifacts import Artifact

MEMORY_BYTES = 1 << 30
"""Pictures up to this size are read once; more are read batch by batch."""
MOST_CLASSES = 100
"""Different values of a table column that are classes; more of them are names or measurements."""
EVERY_FOLD = "all"
"""Stands for a fold where each of them is tested, by a network of its own."""
OPERATIONS = ("fit", "crop", "crop_border", "white_balance", "equalize", "contrast")
"""Parameters of a dataset that say how its pictures were changed."""
ORIGINALS = "originals"
"""The fact of a dataset's units that says where each picture lies in its original: see `placement_of`."""
UIDS = ("dicom/study", "dicom/series", "dicom/instance", "dicom/class")
"""Arrays of a dataset with the UIDs of its DICOM files: study, series, the file itself, and its SOP class."""
LONGEST_SIDE = 1 << 30
"""Of an original that a store may name, in pixels."""


def placement_of(dataset: Artifact, row: int) -> Placement | None:
    """Return where a picture of a dataset lies in its original.

    Parameters
    ----------
    dataset : Artifact
        A complete one.
    row : int

    Returns
    -------
    Placement or None
        None for a dataset of an earlier version, which did not keep it.

    Raises
    ------
    BrokenError
        Where the store says what cannot be.
    """
    from facelime_cli.core.geometry import Placement
    from facelime_cli.core.images import MOST_PIXELS
    from facelime_cli.core.shapes import sides

    facts = dataset.unit_facts(row)
    if ORIGINALS not in facts:
        return None
    match facts[ORIGINALS][row % dataset.unit_pictures]:
        case [int(height), int(width), int(top), int(left), int(bottom), int(right)] if (
            min(height, width) > 0
            and height * width <= MOST_PIXELS
            and -LONGEST_SIDE < top < bottom < LONGEST_SIDE
            and -LONGEST_SIDE < left < right < LONGEST_SIDE
        ):
            return Placement(sides(dataset.facts["size"]), (height, width), (top, left, bottom, right))
    raise BrokenError(f"{dataset.reference} does not say where its picture {row} lies in the original; make it again.")


def number_columns(dataset: Artifact) -> list[str]:
    """Return the table columns of a dataset that hold numbers.

    Parameters
    ----------
    dataset : Artifact

    Returns
    -------
    list of str
        In the order of the table; the array of each is `table/NAME`, NaN where a picture has none.
    """
    return [name for name in dataset.facts.get("columns", []) if dataset.spec(f"table/{name}").dtype == "float64"]


def classes_in(dataset: Artifact, column: str, option: str = "") -> tuple[list[str], NDArray[np.int64]]:
    """Return the classes that a column of a dataset's table names, and that of each picture.

    Parameters
    ----------
    dataset : Artifact
    column : str
        Of texts, or of whole numbers.
    option : str
        Where it was named, for messages.

    Returns
    -------
    classes : list of str
        Sorted; whole numbers by their value.
    labels : (N,) int64 array
        -1 where a picture has none.

    Raises
    ------
    FacelimeError
        Where the table has no such column, or its values are no classes.
    """
    import numpy as np

    known = dataset.facts.get("columns", [])
    asked = f"{option} {column}: " if option else ""
    if column not in known:
        there = f"its columns are {', '.join(known)}" if known else "it was made without a table"
        raise FacelimeError(f"{asked}{dataset.reference} has no column {column!r}; {there}.")
    values = dataset.read(f"table/{column}")
    if values.dtype.kind == "f":
        whole = values[np.isfinite(values)]
        if (whole != np.rint(whole)).any():
            raise FacelimeError(
                f"{asked}the column {column} of {dataset.reference} holds numbers such as {whole[0]:g}, which are no "
                "classes; name a column of texts or of whole numbers."
            )
        # In the order of the numbers, not of their letters.
        texts = [f"{value:.0f}" if math.isfinite(value) else "" for value in values.tolist()]
        classes = [f"{value:.0f}" for value in np.unique(whole).tolist()]
    else:
        texts = [str(value).strip() for value in values.tolist()]
        classes = sorted(set(texts) - {""})
    if len(classes) > MOST_CLASSES:
        raise FacelimeError(
            f"{asked}the column {column} of {dataset.reference} has {len(classes)} different values, and a label has "
            f"at most {MOST_CLASSES}; name another column."
        )
    places = {name: place for place, name in enumerate(classes)}
    return classes, np.array([places.get(text, -1) for text in texts], np.int64)


def names_classes(dataset: Artifact, column: str | None, classes: Sequence[str]) -> bool:
    """Return whether a dataset has a table column whose values are all among some classes.

    Parameters
    ----------
    dataset : Artifact
    column : str or None
        None for none.
    classes : sequence of str
        Of a model that learned such a column.
    """
    if column not in dataset.facts.get("columns", []):
        return False
    try:
        return set(classes_in(dataset, str(column))[0]) <= set(classes)
    except FacelimeError:
        return False


@dataclass(frozen=True)
class Segmented:
    """Pictures of a run beside their segments and fills.

    The arrays lie in three artifacts: images in the dataset, segments in the segmentation, fills in the masks.
    Every artifact from segments on has the same pictures in the same order, so one row means the same picture in all.

    Attributes
    ----------
    artifact : Artifact
        Any artifact from segments on: segments, masks, predictions or surrogates.
    """

    artifact: Artifact

    # Each way through the inputs reads a few small files, so it is gone once.

    @cached_property
    def segmentation(self) -> Artifact:
        """The artifact of kind segments: the given one, or the one it was made from."""
        return self.artifact if self.artifact.kind == "segments" else self.artifact.input("segments")

    @cached_property
    def dataset(self) -> Artifact:
        """The dataset of the pictures; a model has another, which is why the way leads through the segments."""
        return self.segmentation.input("datasets")

    @cached_property
    def masks(self) -> Artifact:
        """The artifact of kind masks: the given one, or the one it was made from."""
        return self.artifact if self.artifact.kind == "masks" else self.artifact.input("masks")

    @cached_property
    def dataset_rows(self) -> NDArray[np.int32]:
        """The row of each picture in the dataset: (N,) int32."""
        return self.segmentation.read("row")

    def images(self, rows: slice | Sequence[int]) -> NDArray[np.uint8]:
        """Return the pictures of n rows.

        Parameters
        ----------
        rows : slice or sequence of int
            Rows of the artifact, not of the dataset.

        Returns
        -------
        (n, H, W, 3) uint8
            RGB, as a person sees them.
        """
        return self.dataset.read("images", self.dataset_rows[rows].tolist())

    def segments(self, rows: slice | Sequence[int]) -> NDArray[np.uint16]:
        """Return the segments of n rows.

        Parameters
        ----------
        rows : slice or sequence of int
            Rows of the artifact.

        Returns
        -------
        (n, H, W) uint16
            The segment of each pixel: 0 to K - 1, without gaps.
        """
        return self.segmentation.read("segments", rows)

    def counts(self, rows: slice | Sequence[int]) -> NDArray[np.int32]:
        """Return how many segments each of n pictures has.

        Parameters
        ----------
        rows : slice or sequence of int
            Rows of the artifact.

        Returns
        -------
        (n,) int32
            The number of segments, K.
        """
        return self.segmentation.read("n_segments", rows)

    def fill(self, rows: slice | Sequence[int]) -> NDArray[np.uint8]:
        """Return what stands where a segment is switched off.

        Parameters
        ----------
        rows : slice or sequence of int
            Rows of the artifact.

        Returns
        -------
        (n, H, W, 3) uint8
            RGB, one picture for each row.

        Raises
        ------
        NotFoundError
            When the artifact was made without masks, such as a map of gradients.
        """
        return self.masks.read("fill", rows)


class RowReader:
    """Reads arrays picture by picture, as readers go: the last unit of each array stays in memory."""

    def __init__(self) -> None:
        self._units: dict[tuple[str, str], tuple[int, NDArray[Any]]] = {}

    def read(self, artifact: Artifact, name: str, row: int) -> Any:
        """Return one picture's part of an array.

        Parameters
        ----------
        artifact : Artifact
        name : str
        row : int

        Returns
        -------
        array or number
        """
        unit = row // artifact.unit_pictures
        rows = artifact.rows(unit)
        known, values = self._units.get((artifact.reference, name), (-1, None))
        if known != unit or values is None:
            values = artifact.read(name, rows)
            self._units[artifact.reference, name] = (unit, values)
        return values[row - rows.start]


def is_multilabel(artifact: Artifact) -> bool:
    """Return whether a dataset has several findings per picture.

    Parameters
    ----------
    artifact : Artifact
        A dataset, or what says the same of itself in its facts, such as a model.

    Returns
    -------
    bool
        Then `labels` is (N, L) int8: 1 present, 0 absent, -1 unknown.
    """
    return artifact.facts.get("multilabel") is True


def training_operations(model: Artifact) -> dict[str, Any] | None:
    """Return how the pictures were changed that a model was trained on.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    dict or None
        A value for each of `OPERATIONS`. None where it was not trained here, or its dataset is not in the store.
    """
    if "dataset" not in model.inputs:
        return None
    try:
        parameters = model.input("datasets").parameters
    except (NotFoundError, BrokenError):
        return None
    return {name: parameters.get(name) for name in OPERATIONS}


def changed_otherwise(model: Artifact, dataset: Artifact) -> str | None:
    """Return a sentence on pictures that were changed otherwise than those that a model was trained on.

    Parameters
    ----------
    model, dataset : Artifact

    Returns
    -------
    str or None
        None where they were changed alike, or nobody knows.
    """
    own = training_operations(model) or {}
    differing = [name for name in own if dataset.parameters.get(name) != own[name]]
    if not differing:
        return None
    found = dataset.parameters
    words = ", ".join(f"{name.replace('_', ' ')}: {found.get(name)}, not {own[name]}" for name in differing)
    return (
        f"the pictures of {dataset.reference} were changed otherwise than those that the model was trained on "
        f"({words}), so its answers may differ."
    )


def learned_from(model: Artifact, dataset: Artifact) -> str | None:
    """Return a sentence on a model of several networks, of which some have learned from each picture of a dataset.

    Parameters
    ----------
    model, dataset : Artifact

    Returns
    -------
    str or None
        None for a model of one network, and for another dataset.
    """
    is_own = model.inputs.get("dataset", {}).get("digest") == dataset.content
    if not is_own or model.facts.get("fold") != EVERY_FOLD:
        return None
    networks = len(model.facts["folds"])
    return (
        f"each picture of {dataset.reference} was in the training of some of the {networks} networks of "
        f"models/{model.id}, so the answers are surer than those to other pictures; `facelime evaluate` answers with "
        "the network that has not seen it."
    )


def tested_fold(dataset: Artifact, fold: int | None) -> int | None:
    """Return the fold to test.

    Parameters
    ----------
    dataset : Artifact
        With folds or without.
    fold : int or None
        As a person gives it, from 0; None for the first.

    Returns
    -------
    int or None
        None for a dataset without folds.

    Raises
    ------
    FacelimeError
        When the dataset has no such fold.
    """
    folds = dataset.parameters.get("folds")
    # The default is decided here and not by the option: without folds there is nothing to test.
    if folds is None:
        if fold is None:
            return None
        raise FacelimeError(f"{dataset.reference} has no folds; omit --fold, or preprocess its source with --folds K.")
    if fold is not None and fold >= folds:
        raise FacelimeError(
            f"--fold {fold}: {dataset.reference} has {folds} folds; use a number from 0 to {folds - 1}."
        )
    return fold or 0


def members_by_split(dataset: Artifact, split: int) -> NDArray[np.int64]:
    """Return for every picture the fold whose training has it in a split.

    Parameters
    ----------
    dataset : Artifact
        With folds.
    split : int
        1 for validation, 2 for test: of the networks of all folds exactly one has a picture there.

    Returns
    -------
    (N,) int64
        The fold that is tested then; -1 for a picture in no fold.
    """
    import numpy as np

    found = np.full(dataset.n, -1, np.int64)
    for fold in range(dataset.parameters["folds"]):
        found[splits_of(dataset, fold) == split] = fold
    return found


def splits_of(dataset: Artifact, fold: int | None) -> NDArray[np.int8]:
    """Return the split of every picture when a fold is tested.

    Parameters
    ----------
    dataset : Artifact
        The dataset.
    fold : int or None
        The fold to test, from 0; None for the dataset's own splits.

    Returns
    -------
    (N,) int8
        -1 none, 0 train, 1 validation, 2 test.
    """
    from facelime_cli.core.splits import splits_of_folds

    if fold is None:
        return dataset.read("split")
    return splits_of_folds(dataset.read("fold"), fold, dataset.parameters["folds"])


def reader(dataset: Artifact) -> Callable[[list[int]], NDArray[np.uint8]]:
    """Return a function that reads the pictures of some rows.

    Parameters
    ----------
    dataset : Artifact
        Up to `MEMORY_BYTES` of pictures are read at once and stay in memory.

    Returns
    -------
    callable
        Takes n rows, gives (n, H, W, 3) uint8.
    """
    # One byte a value, so the number of values is the size.
    if math.prod(dataset.shape("images")) > MEMORY_BYTES:
        return lambda rows: dataset.read("images", rows)
    # Training reads each picture many times.
    whole = dataset.read("images")
    return lambda rows: whole[rows]
