"""Which maps are asked for, and what is told of all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.core.verdict import NOT_CHECKED
from facelime_cli.errors import FacelimeError
from facelime_cli.exporting import dicom_files
from facelime_cli.exporting.maps import knows_originals, maps_of
from facelime_cli.names import class_indices
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.runs import explained_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from facelime_cli.exporting.maps import Map
    from facelime_cli.store.artifacts import Artifact

DICOM = "dicom"
ORIGINAL, DATASET = "original", "dataset"
"""Whose size and place maps have."""


@dataclass(frozen=True)
class Request:
    """Maps that are asked for.

    Attributes
    ----------
    explanations : Explanations
    rows : sequence of int
        Places of the pictures.
    classes : sequence of int or None
        None stands for each picture's most probable ones, and its true one.
    form : str
        What `--format` is called with.
    """

    explanations: Explanations
    rows: Sequence[int]
    classes: Sequence[int] | None
    form: str

    def maps(self, advance: Callable[[int], None]) -> Iterator[Map]:
        """Yield the maps.

        Parameters
        ----------
        advance : callable
            Is called with 1 for each picture that is done.
        """
        for row in self.rows:
            yield from maps_of(self.explanations, [row], self.classes)
            advance(1)

    @property
    def told(self) -> dict[str, Any]:
        """What the list of an export says of all of its maps: JSON values. It names no other picture."""
        explanations = self.explanations
        check = explanations.check
        return {
            "format": self.form,
            "use": "not for diagnostic use",
            "surrogates": {"id": explanations.surrogates.id, "content": explanations.surrogates.content},
            "check": None if check is None else {"id": check.artifact.id, "content": check.artifact.content},
            "model": {"id": explanations.model.id, "content": explanations.model.content},
            "method": explanations.method,
            "compared_with": explanations.compared_with,
            "unit": explanations.surrogates.spec("coefficients").measure,
            "classes": explanations.names,
            "geometry": ORIGINAL if knows_originals(explanations.dataset) else DATASET,
        }


def of(artifact: Artifact, pictures: Sequence[str] | None, classes: str | None, form: str) -> Request:
    """Return which maps are asked for.

    Parameters
    ----------
    artifact : Artifact
        A complete one.
    pictures : sequence of str or None
        Ids; None stands for all.
    classes : str or None
        As they are typed.
    form : str
        What `--format` is called with.

    Returns
    -------
    Request

    Raises
    ------
    FacelimeError
        When the artifact holds no explanations.
    NotFoundError
        When there is no such picture or class.
    """
    surrogates, check = explained_by(artifact)
    if surrogates.kind != "surrogates":
        raise FacelimeError(
            f"{artifact.reference} holds no explanations; "
            f"--format {form} is for surrogates, for their checks, and for reports of one of them."
        )
    explanations = Explanations(surrogates, check)
    if form == DICOM:
        dicom_files.check(explanations.dataset)
    chosen = None if classes is None else class_indices(classes, explanations.names)
    rows = [explanations.row(name) for name in pictures or ()]
    return Request(explanations, list(dict.fromkeys(rows)) or range(len(explanations)), chosen, form)


def remarks(request: Request, listed: dict[str, Any]) -> Iterator[str]:
    """Yield sentences on what a reader of a folder has to know.

    Parameters
    ----------
    request : Request
    listed : dict
        The list of the folder.
    """
    lacking = len(request.rows) - len({each["id"] for each in listed["maps"]})
    if lacking:
        why = ", or their files had no UIDs" if request.form == DICOM else ""
        yield f"{lacking} of {len(request.rows)} pictures have no map: these classes were not explained{why}."
    if listed["geometry"] == DATASET:
        yield (
            "the dataset was made by an earlier version, which did not keep the size of the original pictures, so the "
            "maps have the size of the dataset's pictures; make it again in another --store for the originals' size."
        )
    counts = Counter(each["verdict"] for each in listed["maps"])
    unchecked = sum(count for verdict, count in counts.items() if verdict.startswith(NOT_CHECKED))
    if listed["check"] is None and unchecked:
        yield (
            f"{unchecked} of {len(listed['maps'])} maps were not checked by the model; "
            "`facelime check` asks it, and its reference can be exported in place of this one."
        )
