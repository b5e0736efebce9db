"""Explanations as a reader asks for them: what some surrogates say, and what they are about, picture by picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.choices import SURROGATES
from facelime_cli.errors import BrokenError, NotFoundError
from facelime_cli.names import row_of
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

PERCENT = 100
COLUMNS = ("id", "class", "rank", "segment", "coefficient", "low", "high", "p_sign", "pixels")
"""Heading of the table of coefficients."""
N_NAMING_COLUMNS = 2
"""The first columns of the table say of which picture and class a row is; the others are of its segment."""
FIGURES = ("r2", "rmse", "effective_samples", "topk_repeat", "local_prediction")
METHOD = "how"
"""Key of the method's name among the settings of an explanation."""
NO_SETTINGS = frozenset({"pictures", "classes"})
"""Parameters that say nothing of how an explanation was made."""
EXPLAINING_KINDS = frozenset({"segments", "masks", "predictions", "surrogates"})
"""Kinds whose parameters are settings of an explanation."""
FILL = "fill"
"""Where nothing was fitted to samples, only the parameters of masks that begin so are settings."""
MOST_PROBABLE = 2
"""How many of a picture's most probable classes are explained where none is asked for; its true one as well."""


@dataclass(frozen=True)
class Quantity:
    """What the coefficients of some surrogates are.

    Attributes
    ----------
    short : str
        The unit beside a number.
    name : str
        The unit's whole name.
    reads : str
        How a number reads in a sentence.
    """

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
    """One segment's coefficient as it is shown.

    Attributes
    ----------
    segment, rank : int
        The segment's number, and its place from the strongest, counted from 1.
    value, low, high : float
        The coefficient and its 95 % interval, times 100; the interval is NaN where there is none.
    sure : float
        The chance of the sign in percent, NaN where there is no interval.
    pixels : int
        The segment's size.
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


class Explanations:
    """What some surrogates, of whatever stage, say of their pictures.

    Parameters
    ----------
    surrogates : Artifact
        Of kind `surrogates`.

    Attributes
    ----------
    segmentation, model, dataset : Artifact
        What the explanations are about.
    masks, predictions : Artifact or None
        What they come from, where they come from samples.
    fitted_as : Artifact
        The surrogates whose parameters say how these were fitted: themselves, or those that a contrast was made from.
    names : list of str
        The classes that are explained.
    answer_names : list of str
        The classes of the model's answers. A contrast explains differences of these.
    ids : list of str
        Of the pictures.
    """

    def __init__(self, surrogates: Artifact) -> None:
        self.surrogates = surrogates
        self.segmentation = surrogates.input("segments")
        self.model = surrogates.input("models")
        self._pictures = Segmented(surrogates)
        self.dataset = self._pictures.dataset
        self.masks = _optional(surrogates, "masks")
        self.predictions = predictions_of(surrogates)
        self.fitted_as = _input(surrogates, "surrogates") or surrogates
        self.names: list[str] = surrogates.facts["classes"]
        answering = self.predictions or surrogates
        self.answer_names: list[str] = answering.facts["classes"]
        self.ids = surrogates.texts("id")
        quantity = QUANTITIES[surrogates.spec("coefficients").measure]
        self.quantity = replace(quantity, reads=surrogates.facts.get("reads", quantity.reads))
        # The last unit of each array that was read: readers go from picture to picture.
        self._units: dict[tuple[str, str], tuple[int, NDArray[Any]]] = {}

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.ids)

    def _of(self, artifact: Artifact, name: str, row: int) -> Any:
        """Return one picture's part of an array."""
        unit = row // artifact.unit_pictures
        rows = artifact.rows(unit)
        known, values = self._units.get((artifact.id, name), (-1, None))
        if known != unit or values is None:
            values = artifact.read(name, rows)
            self._units[artifact.id, name] = (unit, values)
        return values[row - rows.start]

    @cached_property
    def counts(self) -> list[int]:
        """How many segments each picture has."""
        return [int(count) for count in self.segmentation.read("n_segments")]

    @property
    def fitted(self) -> bool:
        """Whether a surrogate was fitted to predictions, rather than a map of gradients pooled."""
        if self.predictions is None:
            return False
        # An intercept is what a fit leaves behind; methods that fit nothing keep it NaN.
        intercepts = self.surrogates.read("intercept", slice(0, 1))
        return bool(np.isfinite(intercepts).all())

    @property
    def method(self) -> str:
        """What the explanations are called, such as LIME."""
        return method_of(self.surrogates)

    @property
    def contrast(self) -> tuple[int, int] | None:
        """The two classes, among `answer_names`, whose difference of probabilities is explained.

        None where the probability of one class is explained.
        """
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
        """Whether only the bootstrap gives this surrogate intervals, and it was not asked for."""
        made = self.fitted_as.parameters
        return _without_intervals(self.fitted_as) and made["intervals"] != "bootstrap"

    @cached_property
    def _labels(self) -> NDArray[np.int16]:
        return self.dataset.read("labels")

    @cached_property
    def full(self) -> NDArray[np.float32]:
        """What is explained of each unchanged picture, mostly the model's probabilities: (N, C)."""
        # A contrast keeps what it explains, a difference of probabilities, beside its coefficients.
        return self.surrogates.read("probabilities") if self.surrogates.has("probabilities") else self.answers

    @cached_property
    def answers(self) -> NDArray[np.float32]:
        """The model's probabilities of the classes `answer_names` for each unchanged picture: (N, C)."""
        if self.predictions is None:
            return self.surrogates.read("probabilities")
        unchanged = []
        for unit in range(self.predictions.n_units):
            probabilities = self.predictions.read("probabilities", self.predictions.rows(unit))
            # Mask 0 keeps every segment. The copy lets go of the other samples, which may be large.
            unchanged.append(probabilities[:, 0].copy())
        return np.concatenate(unchanged)

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (H, W, 3) uint8 array
        """
        return np.asarray(self._pictures.images([row])[0])

    def segments(self, row: int) -> NDArray[np.uint16]:
        """Return a picture's segments.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (H, W) uint16 array
        """
        return np.asarray(self._of(self.segmentation, "segments", row))

    def truth(self, row: int) -> NDArray[np.uint8] | None:
        """Return where an explanation should point.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        (H, W) uint8 array or None
            None when the dataset does not say.
        """
        if not self.dataset.has("truth"):
            return None
        dataset_row = int(self._pictures.dataset_rows[row])
        return np.asarray(self.dataset.read("truth", [dataset_row])[0])

    def label(self, row: int) -> str | None:
        """Return a picture's true class.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        str or None
            None when the dataset does not say.
        """
        label = int(self._labels[self._pictures.dataset_rows[row]])
        return self.dataset.facts["classes"][label] if label >= 0 else None

    def coefficients(self, row: int, c: int) -> NDArray[np.float64]:
        """Return the coefficients of a picture's segments.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        (K,) float64 array
            NaN where the class was not explained.
        """
        coefficients = self._of(self.surrogates, "coefficients", row)
        return np.asarray(coefficients[c, : self.counts[row]])

    def figures(self, row: int, c: int) -> dict[str, float]:
        """Return the figures of fidelity.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        dict
            By name, `FIGURES`; NaN where the surrogates have none.
        """
        return {name: float(self._of(self.surrogates, name, row)[c]) for name in FIGURES}

    def verdict(self, row: int, c: int) -> str:
        """Return what the figures mean, in words.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.
        """
        return str(self._of(self.surrogates, "verdict", row)[c])

    def interval(self, row: int, c: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the intervals of a picture's coefficients.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        (K, 2) float64 array
            The 95 % intervals, NaN where there are none.
        (K,) float64 array
            The chances of the signs, 0…1, NaN where there is no interval.
        """
        count = self.counts[row]
        interval = self._of(self.surrogates, "interval", row)[c, :count]
        p_sign = self._of(self.surrogates, "p_sign", row)[c, :count]
        return np.asarray(interval), np.asarray(p_sign)

    def samples(self, row: int) -> int | None:
        """Return how many samples an explanation comes from.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.

        Returns
        -------
        int or None
            None when it comes from none: of masks, occlusion takes the fill alone.
        """
        if self.masks is None or self.predictions is None:
            return None
        return int(self._of(self.masks, "n_samples", row))

    def unchanged(self, row: int) -> int:
        """Return on how many segments the fill changes nothing, so that they must look unimportant.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        """
        from facelime_cli.core.fills import unchanged

        # Methods that follow gradients replace nothing by a fill.
        if self.masks is None:
            return 0
        fill = self._of(self.masks, "fill", row)
        return int(unchanged(self.image(row), fill, self.segments(row)).sum())

    def shown(self, row: int, chosen: Sequence[int] | None) -> list[int]:
        """Return the classes to show of a picture.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        chosen : sequence of int or None
            Classes among `names`. None shows the picture's most probable ones, and its true one.

        Returns
        -------
        list of int
            Only classes that were explained.
        """
        wanted = self._default_classes(row) if chosen is None else chosen
        return [c for c in wanted if not np.isnan(self.coefficients(row, c)).any()]

    def _default_classes(self, row: int) -> list[int]:
        """Return a picture's most probable classes and its true one."""
        by_probability = self.full[row].argsort(kind="stable")[::-1]
        wanted = [int(c) for c in by_probability[:MOST_PROBABLE]]
        label = self.label(row)
        # A name that two classes have says of neither that it is the true one.
        if label is not None and self.names.count(label) == 1:
            true = self.names.index(label)
            if true not in wanted:
                wanted.append(true)
        return wanted

    def strengths(self, row: int, c: int) -> list[Strength]:
        """Return every segment's coefficient as it is shown, strongest first.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.
        """
        coefficients = self.coefficients(row, c)
        interval, p_sign = self.interval(row, c)
        pixels = np.bincount(self.segments(row).ravel(), minlength=len(coefficients))
        # A stable order: of equal coefficients the segment with the lower number is first, on every machine.
        order = (-np.abs(coefficients)).argsort(kind="stable")
        found = []
        for rank, k in enumerate(order.tolist(), start=1):
            low, high = interval[k]
            each = Strength(
                segment=k,
                rank=rank,
                value=PERCENT * float(coefficients[k]),
                low=PERCENT * float(low),
                high=PERCENT * float(high),
                sure=PERCENT * float(p_sign[k]),
                pixels=int(pixels[k]),
            )
            found.append(each)
        return found

    def rows(self, row: int, c: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the table of coefficients for one picture and class, strongest first.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Yields
        ------
        tuple
            As `COLUMNS`: in the array's own unit, empty text where there is no interval.
        """
        coefficients = self.coefficients(row, c)
        interval, p_sign = self.interval(row, c)
        for each in self.strengths(row, c):
            k = each.segment
            # Unlike what is shown, the table is for computing on: no rounding, no times 100.
            bounds = (*interval[k], p_sign[k])
            known = ["" if math.isnan(value) else float(value) for value in bounds]
            yield self.ids[row], self.names[c], each.rank, k, float(coefficients[k]), *known, each.pixels

    def overlap(self, row: int, c: int) -> Any:
        """Return how much of an explanation lies where it should point.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        core.attribution.Overlap or None
            None when the dataset does not say where that is.
        """
        from facelime_cli.core.attribution import overlap

        truth = self.truth(row)
        if truth is None:
            return None
        return overlap(self.coefficients(row, c), self.segments(row), truth)

    def row(self, name: str) -> int:
        """Return the place of a picture.

        Parameters
        ----------
        name : str
            The picture's id, or the id's last part where that is enough.
        """
        return row_of(name, self.ids)

    def as_json(self, row: int, c: int) -> dict[str, Any]:
        """Return everything that is known of one explanation as JSON values.

        Parameters
        ----------
        row : int
            The picture's place in `ids`.
        c : int
            The class, among `names`.

        Returns
        -------
        dict
            In the array's own unit; None where there is no figure.
        """
        figures = {name: None if math.isnan(value) else value for name, value in self.figures(row, c).items()}
        # JSON knows neither NaN nor empty numbers.
        names = COLUMNS[N_NAMING_COLUMNS:]
        regions = []
        for each in self.rows(row, c):
            values = [None if value == "" else value for value in each[N_NAMING_COLUMNS:]]
            regions.append(dict(zip(names, values, strict=True)))
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
        about = (self.dataset, self.model, self.segmentation)
        made = (*about, self.masks, self.predictions, self.fitted_as, self.surrogates)
        # Most surrogates are what they were fitted as: they are named once.
        return list({each.id: each for each in made if each is not None}.values())


def surrogates_of(artifact: Artifact) -> Artifact:
    """Return the surrogates that a report of `render` explains, whatever stands beside them.

    Parameters
    ----------
    artifact : Artifact
        Of any kind.

    Returns
    -------
    Artifact
        Any artifact but such a report is returned itself.
    """
    # A comparison has several surrogates, none of which is the one.
    found = _input(artifact, "surrogates") if artifact.stage == "render" else None
    return found or artifact


def method_of(surrogates: Artifact) -> str:
    """Return what the explanations of some surrogates are called.

    Parameters
    ----------
    surrogates : Artifact
    """
    named = surrogates.facts.get("method")
    if named:
        return str(named)
    return "KernelSHAP" if surrogates.parameters.get("surrogate") == "shapley" else "LIME"


def predictions_of(surrogates: Artifact) -> Artifact | None:
    """Return what some surrogates, or those that they contrast, were fitted to.

    Only direct inputs count: masks of a later round come from predictions too, which are another explanation's.

    Parameters
    ----------
    surrogates : Artifact

    Returns
    -------
    Artifact or None
        None where nothing was fitted.
    """
    made_from = _input(surrogates, "surrogates") or surrogates
    return _input(made_from, "predictions")


def labels_of(compared: Sequence[Explanations]) -> list[str]:
    """Return a label for each of several explanations: the settings that all have, and in whose values they differ.

    Parameters
    ----------
    compared : sequence of Explanations

    Returns
    -------
    list of str
        Each its own: where settings do not tell two apart, their ids do.
    """
    settings = [_settings(each) for each in compared]
    differing = [name for name in settings[0] if _differ([each.get(name) for each in settings])]
    labels = [_label(each, differing) for each in settings]
    found = []
    for label, each in zip(labels, compared, strict=True):
        alone = bool(label) and labels.count(label) == 1
        found.append(label if alone else f"{label or 'surrogates'} ({each.surrogates.id})")
    return found


def _differ(values: Sequence[Any]) -> bool:
    """Return whether all have a value, and not all the same."""
    # As text: some parameters are lists, which a set cannot hold.
    known = {str(value) for value in values}
    return all(value is not None for value in values) and len(known) > 1


def _label(settings: dict[str, Any], names: Sequence[str]) -> str:
    words = []
    for name in names:
        value = str(settings[name])
        setting = name.rpartition(" ")[2].replace("_", " ")
        # The method is a name of its own: "Grad-CAM" says more than "how Grad-CAM".
        words.append(value if name == METHOD else f"{setting} {value}")
    return ", ".join(words)


def _settings(explanations: Explanations) -> dict[str, Any]:
    """Return every parameter on the way to some explanations, and their model."""
    found = {"model": explanations.model.name, METHOD: explanations.method}
    for made in explanations.origins:
        if made.kind not in EXPLAINING_KINDS:
            continue
        # Occlusion takes only the fill of its masks: how their samples were drawn did not matter.
        unfitted_masks = made.kind == "masks" and explanations.predictions is None
        counted = FILL if unfitted_masks else ""
        for name, value in made.parameters.items():
            if name not in NO_SETTINGS and name.startswith(counted):
                found[f"{made.kind} {name}"] = value
    return found


def _input(artifact: Artifact, name: str) -> Artifact | None:
    """Return what an artifact was made from directly under a name, or None."""
    given = artifact.inputs.get(name)
    return None if given is None else artifact.store.stored(given["kind"], given["id"])


def _optional(artifact: Artifact, kind: str) -> Artifact | None:
    """Return the nearest artifact of a kind among what another was made from, or None."""
    try:
        return artifact.input(kind)
    except (NotFoundError, BrokenError):
        return None


def _without_intervals(surrogates: Artifact) -> bool:
    """Return whether the surrogate is one that knows no intervals of its own."""
    surrogate = SURROGATES.get(surrogates.parameters.get("surrogate", ""))
    return surrogate is not None and not surrogate.intervals
