"""Explanations in a notebook: arrays, an xarray dataset, and a drawing of themselves."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.drawing import overlay
from facelime_cli.errors import FacelimeError
from facelime_cli.names import class_indices, row_of
from facelime_cli.reporting import pages
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.runs import explained_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.explanations import Strength
    from facelime_cli.store.artifacts import Artifact

READS = ("surrogates", "checks", "reports")
"""Kinds that are explanations."""
SHOWN = 6
"""Pictures that a notebook draws: more would make its file large."""
REGIONS = 5
"""Of the strongest regions, so many are listed."""
TINTED = 10
"""Of the strongest regions, so many are coloured."""
SIDE = 256
"""Pixels of the longer side of a drawn picture."""


class Explanation:
    """What some surrogates say of their pictures, as arrays whose first axis is the picture.

    A notebook draws it. `explanation["face-003"]` is that of one picture.

    Parameters
    ----------
    artifact : Artifact
        Surrogates, a check of some, or a report of `render`.

    Attributes
    ----------
    artifact : Artifact
    classes : list of str
        The classes that are explained.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        if explained_by(artifact)[0].kind != "surrogates":
            raise FacelimeError(
                f"{artifact.reference} is of `{artifact.stage}` and explains no pictures of its own; "
                "give surrogates, their check, or a report of `render`."
            )
        self._all = Explanations.of(artifact)
        self._rows = list(range(len(self._all)))
        self.classes = list(self._all.names)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._rows)

    def __getitem__(self, ids: str | Sequence[str]) -> Explanation:
        """Return the explanation of one picture, or of several, by their ids."""
        wanted = [ids] if isinstance(ids, str) else ids
        chosen = object.__new__(Explanation)
        chosen.artifact, chosen._all, chosen.classes = self.artifact, self._all, self.classes
        chosen._rows = [self._rows[row_of(each, self.ids)] for each in wanted]
        return chosen

    @property
    def ids(self) -> list[str]:
        """The id of each picture."""
        return [self._all.ids[row] for row in self._rows]

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """The pictures: (N, H, W, 3) uint8."""
        return np.stack([self._all.image(row) for row in self._rows])

    @cached_property
    def segments(self) -> NDArray[np.uint16]:
        """The number of each pixel's segment: (N, H, W) uint16."""
        return np.asarray(self._all.segmentation.read("segments", self._rows))

    @cached_property
    def coefficients(self) -> NDArray[np.float64]:
        """How far keeping a segment raises the model's answer: (N, C, K), NaN beyond a picture's segments."""
        return np.asarray(self._all.surrogates.read("coefficients", self._rows))

    @cached_property
    def interval(self) -> NDArray[np.float64]:
        """The 95 % interval of each coefficient: (N, C, K, 2), NaN where there is none."""
        return np.asarray(self._all.surrogates.read("interval", self._rows))

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """The model's answers for the unchanged pictures: (N, C)."""
        return np.stack([self._all.explained_of(row) for row in self._rows])

    @cached_property
    def verdicts(self) -> NDArray[np.str_]:
        """What the check found of each picture and class, in words: (N, C)."""
        return np.array([[self._all.verdict(row, c) for c in range(len(self.classes))] for row in self._rows])

    def map(self, picture: str, name: str) -> NDArray[np.float64]:
        """Return the coefficient of every pixel's segment.

        Parameters
        ----------
        picture : str
            Its id.
        name : str
            The class, by name or by number.

        Returns
        -------
        (H, W) float64 array

        Raises
        ------
        NotFoundError
            When there is no such picture or class.
        """
        row = self._rows[row_of(picture, self.ids)]
        (c,) = class_indices(name, self.classes)
        return overlay.heatmap(self._all.segments(row), self._all.coefficients(row, c), times=1)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by its name in the store."""
        return {
            "images": self.images,
            "segments": self.segments,
            "coefficients": self.coefficients,
            "interval": self.interval,
            "probabilities": self.probabilities,
            "verdict": self.verdicts,
        }

    def to_xarray(self) -> Any:
        """Return the arrays as an `xarray.Dataset` with ids and class names as coordinates.

        Returns
        -------
        xarray.Dataset

        Raises
        ------
        FacelimeError
            When xarray is not installed.
        """
        try:
            import xarray
        except ModuleNotFoundError as why:
            raise FacelimeError(
                "xarray is not installed; install it (`pip install xarray`), or take the NumPy arrays of `arrays`."
            ) from why
        return xarray.Dataset(
            {name: (DIMENSIONS[name], values) for name, values in self.arrays.items()},
            coords={"picture": self.ids, "class": self.classes, "bound": ["low", "high"]},
            attrs={"reference": self.artifact.reference, "unit": self._all.quantity.name},
        )

    def __repr__(self) -> str:
        """Return what it is, in one line."""
        many = "picture" if len(self) == 1 else "pictures"
        return f"Explanation of {len(self)} {many} by {self.artifact.reference}: {', '.join(self.classes)}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first pictures, what the model rests on, and the verdict."""
        everything = self._all
        return pages.render(
            "notebook.html",
            reference=self.artifact.reference,
            drawn=[each for row in self._rows[:SHOWN] for each in self._drawn(row)],
            left=len(self) - SHOWN,
            method=everything.method,
            quantity=everything.quantity,
            compared_with=everything.compared_with,
        )

    def _drawn(self, row: int) -> list[_Drawn]:
        """Return what is drawn of a picture: nothing where none of its classes was explained."""
        everything = self._all
        shown = everything.shown(row, None)
        if not shown:
            return []
        c = shown[0]
        image, segments = everything.image(row), everything.segments(row)
        tinted = overlay.towards_against(image, segments, everything.coefficients(row, c), TINTED)
        return [
            _Drawn(
                picture=everything.ids[row],
                name=everything.names[c],
                answer=everything.spoken.answer(float(everything.explained_of(row)[c])),
                verdict=everything.verdict(row, c),
                image=_address(image),
                map=_address(tinted),
                regions=everything.strengths(row, c)[:REGIONS],
            )
        ]


DIMENSIONS = {
    "images": ("picture", "y", "x", "channel"),
    "segments": ("picture", "y", "x"),
    "coefficients": ("picture", "class", "segment"),
    "interval": ("picture", "class", "segment", "bound"),
    "probabilities": ("picture", "class"),
    "verdict": ("picture", "class"),
}
"""The names of the axes."""


@dataclass(frozen=True)
class _Drawn:
    """One picture as a notebook shows it; pictures are data addresses."""

    picture: str
    name: str
    answer: str
    verdict: str
    image: str
    map: str
    regions: list[Strength]


def _address(pixels: NDArray[np.uint8]) -> str:
    """Return a picture as a data address, since a notebook has no files beside it."""
    from PIL import Image

    drawn = Image.fromarray(pixels)
    drawn.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    drawn.save(stream, format="PNG")
    return f"data:image/png;base64,{b64encode(stream.getvalue()).decode()}"
