"""Explanations as a reader asks for them: everything that some surrogates say and are about, picture by picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import SURROGATES
from facelime_cli.errors import NotFoundError
from facelime_cli.names import row_of
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

PERCENT = 100
COLUMNS = ("id", "class", "rank", "segment", "coefficient", "low", "high", "p_sign", "pixels")
FIGURES = ("r2", "rmse", "effective_samples", "topk_repeat", "local_prediction")
METHOD = "how"
"""Key of the method's name among what is told of an explanation."""
UNTOLD = frozenset({"pictures", "classes"})
"""Parameters that say nothing of how an explanation was made."""
FILL = "fill"
"""What the parameters of masks begin with that count where nothing was fitted to samples."""
MOST_PROBABLE = 2
"""How many of a picture's most probable classes are explained where none is asked for; its true one as well."""


@dataclass(frozen=True)
class Quantity:
    """What the coefficients of some surrogates are: the unit beside a number, its whole name, and how a number reads in a sentence."""

    short: str
    name: str
    reads: str


QUANTITIES = {
    "probability": Quantity(
        "points",
        "probability points",
        "keeping this region raises the model's probability of the class by 12 points, on average",
    ),
    "share": Quantity(
        "%", "percent of the map", "12 % of what the network's map holds for the class lies on this region"
    ),
}
"""By the unit of the coefficients' array; every number is shown times 100."""


@dataclass(frozen=True)
class Strength:
    """One region's coefficient, as it is shown: times 100.

    `sure` is the chance of its sign in percent. Where there is no interval, `low`, `high` and `sure` are NaN.
    """

    segment: int
    rank: int
    value: float
    low: float
    high: float
    sure: float
    pixels: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def unsure(self) -> bool:
        """Whether the interval holds 0, so that the sign may be chance."""
        return self.known and self.low <= 0 <= self.high


class Explained:
    """Some surrogates, of whatever stage, with their pictures, segments, model and, where they have them, predictions and masks.

    `fitted_as` are the surrogates whose parameters say how these were fitted: themselves, or those that a contrast was made from.
    """

    def __init__(self, surrogates: Artifact) -> None:
        self.surrogates = surrogates
        self.segmentation, self.model = surrogates.input("segments"), surrogates.input("models")
        self._pictures = Segmented(surrogates)
        self.dataset = self._pictures.dataset
        self.masks, self.predictions = _optional(surrogates, "masks"), predictions_of(surrogates)
        self.fitted_as = _input(surrogates, "surrogates") or surrogates
        self.names: list[str] = surrogates.facts["classes"]
        self.answer_names: list[str] = (self.predictions or surrogates).facts["classes"]
        self.ids = surrogates.texts("id")
        quantity = QUANTITIES[surrogates.spec("coefficients").measure]
        self.quantity = replace(quantity, reads=surrogates.facts.get("reads", quantity.reads))
        self._units: dict[tuple[str, str], tuple[int, NDArray[Any]]] = {}

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.ids)

    def _of(self, artifact: Artifact, name: str, row: int) -> Any:
        """Return one picture's part of an array; arrays are read unit by unit."""
        unit = row // artifact.unit_pictures
        known, values = self._units.get((artifact.id, name), (-1, None))
        if known != unit or values is None:
            values = artifact.read(name, artifact.rows(unit))
            self._units[artifact.id, name] = (unit, values)
        return values[row - artifact.rows(unit).start]

    @cached_property
    def counts(self) -> list[int]:
        """How many segments each picture has."""
        return [int(count) for count in self.segmentation.read("n_segments")]

    @property
    def fitted(self) -> bool:
        """Whether a surrogate was fitted to predictions, rather than a map of gradients pooled."""
        return self.predictions is not None and bool(np.isfinite(self.surrogates.read("intercept", slice(0, 1))).all())

    @property
    def method(self) -> str:
        """What the explanations are called, such as LIME."""
        return method_of(self.surrogates)

    @property
    def contrast(self) -> tuple[int, int] | None:
        """The classes, among `answer_names`, whose probabilities' difference is explained, or None where it is one class's probability."""
        made = self.surrogates.parameters
        return (made["class"], made["versus"]) if "versus" in made else None

    @property
    def zero(self) -> str:
        """What a coefficient of exactly 0 means."""
        if self.surrogates.spec("coefficients").measure == "share":
            return "not in the map"
        return "left out by this surrogate" if _without_intervals(self.fitted_as) else "no influence"

    @property
    def without_intervals(self) -> bool:
        """Whether the surrogate is one that only the bootstrap gives intervals, and it was not asked for."""
        made = self.fitted_as.parameters
        return _without_intervals(self.fitted_as) and made["intervals"] != "bootstrap"

    @cached_property
    def _labels(self) -> NDArray[np.int16]:
        return self.dataset.read("labels")

    @cached_property
    def full(self) -> NDArray[np.float32]:
        """What is explained of each unchanged picture, mostly the model's probabilities: (N, C)."""
        return self.surrogates.read("probabilities") if self.surrogates.has("probabilities") else self.answers

    @cached_property
    def answers(self) -> NDArray[np.float32]:
        """The model's probabilities for each unchanged picture, of the classes `answer_names`: (N, C)."""
        if self.predictions is None:
            return self.surrogates.read("probabilities")
        return np.concatenate(
            [
                self.predictions.read("probabilities", self.predictions.rows(unit))[:, 0].copy()
                for unit in range(self.predictions.n_units)
            ]
        )

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return a picture: (H, W, 3) uint8."""
        return np.asarray(self._pictures.images([row])[0])

    def segments(self, row: int) -> NDArray[np.uint16]:
        """Return a picture's segments: (H, W) uint16."""
        return np.asarray(self._of(self.segmentation, "segments", row))

    def truth(self, row: int) -> NDArray[np.uint8] | None:
        """Return where an explanation should point, (H, W) uint8, or None when the dataset does not say."""
        if not self.dataset.has("truth"):
            return None
        return np.asarray(self.dataset.read("truth", [int(self._pictures.dataset_rows[row])])[0])

    def label(self, row: int) -> str | None:
        """Return a picture's true class, or None when the dataset does not say."""
        label = int(self._labels[self._pictures.dataset_rows[row]])
        return self.dataset.facts["classes"][label] if label >= 0 else None

    def coefficients(self, row: int, c: int) -> NDArray[np.float64]:
        """Return the coefficients of a picture's segments for a class: (K,) float64."""
        return np.asarray(self._of(self.surrogates, "coefficients", row)[c, : self.counts[row]])

    def figures(self, row: int, c: int) -> dict[str, float]:
        """Return the figures of fidelity by name, NaN where the surrogates have none."""
        return {name: float(self._of(self.surrogates, name, row)[c]) for name in FIGURES}

    def verdict(self, row: int, c: int) -> str:
        """Return what the figures mean, in words."""
        return str(self._of(self.surrogates, "verdict", row)[c])

    def interval(self, row: int, c: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the 95 % intervals (K, 2) and the chances of the signs (K,), NaN where there are none."""
        count = self.counts[row]
        return np.asarray(self._of(self.surrogates, "interval", row)[c, :count]), np.asarray(
            self._of(self.surrogates, "p_sign", row)[c, :count]
        )

    def samples(self, row: int) -> int | None:
        """Return how many perturbed pictures an explanation comes from, or None when it comes from none: of masks, occlusion takes the fill alone."""
        return None if self.masks is None or self.predictions is None else int(self._of(self.masks, "n_samples", row))

    def unchanged(self, row: int) -> int:
        """Return on how many segments the fill changes nothing, so that they must look unimportant."""
        from facelime_cli.core.fills import unchanged

        return (
            0
            if self.masks is None
            else int(unchanged(self.image(row), self._of(self.masks, "fill", row), self.segments(row)).sum())
        )

    def shown(self, row: int, chosen: Sequence[int] | None) -> list[int]:
        """Return the classes to show of a picture: the chosen, else its most probable and its true one; only those that were explained."""
        wanted = (
            list(chosen)
            if chosen is not None
            else [int(c) for c in self.full[row].argsort(kind="stable")[::-1][:MOST_PROBABLE]]
        )
        label = self.label(row)
        if chosen is None and self.names.count(label or "") == 1 and self.names.index(str(label)) not in wanted:
            wanted.append(self.names.index(str(label)))
        return [c for c in wanted if not np.isnan(self.coefficients(row, c)).any()]

    def strengths(self, row: int, c: int) -> list[Strength]:
        """Return every region's coefficient, strongest first, as it is shown."""
        coefficients, (interval, p_sign) = self.coefficients(row, c), self.interval(row, c)
        pixels = np.bincount(self.segments(row).ravel(), minlength=len(coefficients))
        found = []
        for rank, k in enumerate((-np.abs(coefficients)).argsort(kind="stable").tolist(), start=1):
            low, high, sure = (PERCENT * float(value) for value in (*interval[k], p_sign[k]))
            found.append(Strength(k, rank, PERCENT * float(coefficients[k]), low, high, sure, int(pixels[k])))
        return found

    def rows(self, row: int, c: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the table of coefficients (`COLUMNS`) for one picture and class, strongest first; in the array's own unit, nothing where there is no interval."""
        coefficients, (interval, p_sign) = self.coefficients(row, c), self.interval(row, c)
        for each in self.strengths(row, c):
            k = each.segment
            known = ["" if math.isnan(value) else float(value) for value in (*interval[k], p_sign[k])]
            yield self.ids[row], self.names[c], each.rank, k, float(coefficients[k]), *known, each.pixels

    def overlap(self, row: int, c: int) -> Any:
        """Return how much of an explanation lies on the known region, or None when there is none."""
        from facelime_cli.core.attribution import overlap

        truth = self.truth(row)
        return None if truth is None else overlap(self.coefficients(row, c), self.segments(row), truth)

    def row(self, name: str) -> int:
        """Return the place of a picture by its id, or by the id's last part where that is enough."""
        return row_of(name, self.ids)

    def told(self, row: int, c: int) -> dict[str, Any]:
        """Return everything that is known of one explanation as JSON values, in the array's own unit; None where there is no figure."""
        figures = {name: None if math.isnan(value) else value for name, value in self.figures(row, c).items()}
        regions = [
            dict(zip(COLUMNS[2:], (None if value == "" else value for value in each[2:]), strict=True))
            for each in self.rows(row, c)
        ]
        return {
            "class": self.names[c],
            "probability": float(self.full[row][c]),
            "verdict": self.verdict(row, c),
            **figures,
            "samples": self.samples(row),
            "regions": regions,
        }

    @property
    def origins(self) -> list[Artifact]:
        """What the explanations were made from, in order, themselves the last."""
        made = (
            self.dataset,
            self.model,
            self.segmentation,
            self.masks,
            self.predictions,
            self.fitted_as,
            self.surrogates,
        )
        return list({each.id: each for each in made if each is not None}.values())


def explained_by(artifact: Artifact) -> Artifact:
    """Return the surrogates that a report of `render` is of, whatever stands beside them; of any other artifact, itself."""
    return (_input(artifact, "surrogates") if artifact.stage == "render" else None) or artifact


def method_of(surrogates: Artifact) -> str:
    """Return what the explanations of some surrogates are called."""
    return str(
        surrogates.facts.get("method")
        or ("KernelSHAP" if surrogates.parameters.get("surrogate") == "shapley" else "LIME")
    )


def predictions_of(surrogates: Artifact) -> Artifact | None:
    """Return what some surrogates, or those that they contrast, were fitted to, or None; masks of a later round come from predictions too, which are another explanation's."""
    made_from = _input(surrogates, "surrogates") or surrogates
    return _input(made_from, "predictions")


def labels(compared: Sequence[Explained]) -> list[str]:
    """Return a label for each: those parameters that all have, and in whose values they differ."""
    told = [_told(each) for each in compared]
    names = [
        name
        for name in told[0]
        if all(each.get(name) is not None for each in told) and len({str(each[name]) for each in told}) > 1
    ]
    labels = [
        ", ".join(
            str(each[name]) if name == METHOD else f"{name.rpartition(' ')[2].replace('_', ' ')} {each[name]}"
            for name in names
        )
        for each in told
    ]
    return [
        label if label and labels.count(label) == 1 else f"{label or 'surrogates'} ({each.surrogates.id})"
        for label, each in zip(labels, compared, strict=True)
    ]


def _told(explained: Explained) -> dict[str, Any]:
    """Return every parameter on the way to some explanations, and their model."""
    told = {"model": explained.model.name, METHOD: explained.method}
    for made in explained.origins:
        if made.kind in {"segments", "masks", "predictions", "surrogates"}:
            counts = "" if made.kind != "masks" or explained.predictions is not None else FILL
            told |= {
                f"{made.kind} {name}": value
                for name, value in made.parameters.items()
                if name not in UNTOLD and name.startswith(counts)
            }
    return told


def _input(artifact: Artifact, name: str) -> Artifact | None:
    """Return what an artifact was made from directly under a name, or None."""
    given = artifact.inputs.get(name)
    return None if given is None else artifact.store.stored(given["kind"], given["id"])


def _optional(artifact: Artifact, kind: str) -> Artifact | None:
    try:
        return artifact.input(kind)
    except NotFoundError:
        return None


def _without_intervals(surrogates: Artifact) -> bool:
    """Return whether the surrogate is one that knows no intervals of its own."""
    surrogate = SURROGATES.get(surrogates.parameters.get("surrogate", ""))
    return surrogate is not None and not surrogate.intervals
