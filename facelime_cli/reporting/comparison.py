"""Several explanations of the same pictures compared: how far each two agree, and what holds in all of them."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.agreement import Attribution, agreement, held
from facelime_cli.errors import FacelimeError
from facelime_cli.reporting import pages
from facelime_cli.reporting.explanations import Explanations, labels_of
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.console import Advance
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

FIGURES = ("jaccard", "rank_correlation", "sign_flips")
FIGURE_WORDS = ("same strongest", "rank correlation", "signs that differ")
"""How `FIGURES` are called on pages and in the terminal."""
PAIR_COLUMNS = ("id", "class", "first", "second", *FIGURES)
SEGMENT_COLUMNS = ("id", "class", "segment", "mean", "standard_deviation", "share_positive")
FORMATS = ("png", "svg")


class Comparison:
    """Explanations of the same pictures.

    Parameters
    ----------
    compared : sequence of Artifact
        Surrogates.
    top : int
        How many of the strongest segments are compared.
    chosen : int or None
        The class to compare; None is each picture's most probable one in the first.

    Attributes
    ----------
    dataset : Artifact
    names : list of str
        The classes.
    labels : list of str
        What each of the explanations is called.

    Raises
    ------
    FacelimeError
        When they have no dataset, classes or picture in common.
    """

    def __init__(self, compared: Sequence[Artifact], top: int, chosen: int | None) -> None:
        self.compared, self.top, self._chosen = compared, top, chosen
        self._everyone = [Explanations(each) for each in compared]
        self._first = self._everyone[0]
        self.dataset, self.names = self._first.dataset, self._first.names
        for each in self._everyone:
            self._check_same(each)
        self._places = [{name: place for place, name in enumerate(each.ids)} for each in self._everyone]
        self._shared = [name for name in self._first.ids if all(name in places for places in self._places)]
        if not self._shared:
            raise FacelimeError(
                f"surrogates/{compared[0].id} has no picture in common with the others; "
                "compare explanations of the same pictures."
            )
        self.labels = labels_of(self._everyone)

    def _check_same(self, other: Explanations) -> None:
        if other.dataset.content == self.dataset.content and other.names == self.names:
            return
        raise FacelimeError(
            f"surrogates/{other.surrogates.id} and surrogates/{self.compared[0].id} are about different datasets "
            "or classes; compare explanations of the same pictures and classes."
        )

    @cached_property
    def ids(self) -> list[str]:
        """The pictures whose compared class everyone explains: of many classes, Grad-CAM explains some."""
        found = [picture for picture in self._shared if self._everyone_explains(picture)]
        if not found:
            raise FacelimeError("no picture has a class that all of them explain; choose another class with --class.")
        return found

    def _everyone_explains(self, picture: str) -> bool:
        return not any(np.isnan(values).any() for values in self._coefficients(picture))

    def class_of(self, picture: str) -> int:
        """Return the class that is compared.

        Parameters
        ----------
        picture : str
            The picture's id.
        """
        if self._chosen is not None:
            return self._chosen
        # The first decides for all, so that everyone is asked about the same class.
        row = self._places[0][picture]
        return int(self._first.full[row].argmax())

    def class_name(self, picture: str) -> str:
        """Return the name of the class that is compared.

        Parameters
        ----------
        picture : str
            The picture's id.
        """
        return self.names[self.class_of(picture)]

    def attributions(self, picture: str) -> list[Attribution]:
        """Return what each says of one picture.

        Parameters
        ----------
        picture : str
            The picture's id.
        """
        found = []
        for each, places, coefficients in zip(self._everyone, self._places, self._coefficients(picture), strict=True):
            segments = each.segments(places[picture])
            found.append(Attribution(segments, coefficients))
        return found

    def _coefficients(self, picture: str) -> list[NDArray[np.float64]]:
        c = self.class_of(picture)
        found = []
        for each, places in zip(self._everyone, self._places, strict=True):
            found.append(each.coefficients(places[picture], c))
        return found

    def image(self, picture: str) -> NDArray[np.uint8]:
        """Return a picture.

        Parameters
        ----------
        picture : str
            Its id.

        Returns
        -------
        (H, W, 3) uint8 array
        """
        return self._first.image(self._places[0][picture])

    def pairs(self, picture: str, attributions: Sequence[Attribution]) -> Iterator[dict[str, Any]]:
        """Yield how far each two agree on a picture.

        Parameters
        ----------
        picture : str
            The picture's id.
        attributions : sequence of Attribution
            One of each explanation.

        Yields
        ------
        dict
            As `PAIR_COLUMNS`; None where there is no figure.
        """
        labelled = list(zip(self.labels, attributions, strict=True))
        for (first, one), (second, other) in itertools.combinations(labelled, 2):
            found = vars(agreement(one, other, self.top))
            # JSON knows no NaN: a figure that there is none of is null.
            figures = {name: value if math.isfinite(value) else None for name, value in found.items()}
            yield {"id": picture, "class": self.class_name(picture), "first": first, "second": second, **figures}

    def segments(self, picture: str, attributions: Sequence[Attribution]) -> Iterator[tuple[Any, ...]]:
        """Yield each segment's coefficient over all explanations, where they share the segments.

        Parameters
        ----------
        picture : str
            The picture's id.
        attributions : sequence of Attribution
            One of each explanation.

        Yields
        ------
        tuple
            As `SEGMENT_COLUMNS`.
        """
        # Segment 3 of another segmentation is another place: nothing to average.
        shared = attributions[0].segments
        if not all(np.array_equal(each.segments, shared) for each in attributions):
            return
        every = np.stack([each.coefficients for each in attributions])
        for k in range(every.shape[1]):
            values = every[:, k]
            mean, deviation = float(values.mean()), float(values.std(ddof=1))
            share_positive = float((values > 0).mean())
            yield picture, self.class_name(picture), k, mean, deviation, share_positive

    # Files

    def write(self, artifact: Artifact, unit: Unit, advance: Advance) -> None:
        """Draw and write everything.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.
        unit : Unit
            Its only unit; it is finished afterwards.
        advance : Advance
            Counts pictures.
        """
        # One figure for each picture; the tables and the facts hold all of them.
        pairs: list[dict[str, Any]] = []
        rows: list[tuple[Any, ...]] = []
        made = []
        for place, picture in enumerate(self.ids):
            attributions = self.attributions(picture)
            pairs += self.pairs(picture, attributions)
            rows += self.segments(picture, attributions)
            made += self._draw(artifact, place, attributions)
            advance(1)
        tables = {
            "agreement.csv": [PAIR_COLUMNS, *(tuple(each.values()) for each in pairs)],
            "segments.csv": [SEGMENT_COLUMNS, *rows],
        }
        for name, table in tables.items():
            write_csv(artifact.file(name), table)
        facts = self._facts(pairs)
        write_whole(artifact.file("index.html"), self._page(artifact, facts, pairs).encode())
        unit.finish({}, made=[*made, *tables, "index.html"], facts=facts)

    def _draw(self, artifact: Artifact, place: int, attributions: Sequence[Attribution]) -> list[str]:
        """Draw one picture's explanations and return the names of the files."""
        # matplotlib takes half a second to import, which answers to a finished comparison do without.
        from facelime_cli.drawing import comparisons, figures

        image = self.image(self.ids[place])
        in_all = held(attributions, self.top)
        drawn = comparisons.explanations(image, attributions, self.labels, in_all, self.top)
        names = [f"figures/{_stem(place)}.{ending}" for ending in FORMATS]
        figures.write(drawn, [artifact.file(name) for name in names])
        return names

    def _facts(self, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the manifest says of it."""
        by_pair = means_by_pair(pairs)
        return {"pictures": len(self.ids), "compared": self.labels, "mean": means(pairs), "pairs": by_pair}

    def _page(self, artifact: Artifact, facts: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
        table: list[tuple[str, ...]] = [("explanations", *FIGURE_WORDS)]
        table += [(f"{each['first']} and {each['second']}", *typeset(each)) for each in facts["pairs"]]
        return pages.render(
            "compare.html",
            title=artifact.name,
            reference=f"{artifact.kind}/{artifact.id}",
            top=self.top,
            facts=facts,
            pictures=[self._picture(place, pairs) for place in range(len(self.ids))],
            pairs=table,
            lineage=pages.origins([self.dataset, *self.compared]),
            software=self.compared[0].software,
        )

    def _picture(self, place: int, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the page shows of one picture."""
        picture = self.ids[place]
        its = [each for each in pairs if each["id"] == picture]
        mean = typeset(means(its))
        return {"id": picture, "class": self.class_name(picture), "stem": _stem(place), "mean": mean}


def means(pairs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return each figure's mean over those pairs that have one.

    Parameters
    ----------
    pairs : sequence of mapping
        As `Comparison.pairs` yields them.

    Returns
    -------
    dict
        By name, `FIGURES`; None where no pair has the figure.
    """
    found = {}
    for name in FIGURES:
        known = [each[name] for each in pairs if each[name] is not None]
        found[name] = sum(known) / len(known) if known else None
    return found


def means_by_pair(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean figures of each two explanations over the pictures.

    Parameters
    ----------
    pairs : sequence of mapping
        As `Comparison.pairs` yields them.
    """
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in pairs:
        grouped.setdefault((each["first"], each["second"]), []).append(each)
    return [{"first": first, "second": second, **means(each)} for (first, second), each in grouped.items()]


def typeset(figures: Mapping[str, float | None]) -> list[str]:
    """Return figures as they are shown.

    Parameters
    ----------
    figures : mapping
        With the keys `FIGURES`.
    """
    values = [figures[name] for name in FIGURES]
    return ["none" if value is None else f"{value:.2f}" for value in values]


def _stem(place: int) -> str:
    return f"{place:05d}"
