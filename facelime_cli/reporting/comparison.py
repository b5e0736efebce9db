"""Several explanations of the same pictures compared: how far each two agree, and what holds in all of them."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.runtimes import first_classes
from facelime_cli.core.agreement import Attribution, agreement, held
from facelime_cli.errors import FacelimeError
from facelime_cli.reporting import pages
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.labels import labels_of
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
        self.compared, self.top = compared, top
        self._chosen = chosen
        self._everyone = [Explanations(each) for each in compared]
        first = self._everyone[0]
        self._first = first
        self.dataset, self.names = first.dataset, first.names
        # A picture may have another row in each of them.
        self._places: list[dict[str, int]] = []
        for each in self._everyone:
            self._check_same(each)
            places = {name: place for place, name in enumerate(each.ids)}
            self._places.append(places)
        self._shared = [name for name in first.ids if self._everyone_has(name)]
        if not self._shared:
            raise FacelimeError(
                f"surrogates/{first.surrogates.id} has no picture in common with the others; "
                "compare explanations of the same pictures."
            )
        self.labels = labels_of(self._everyone)

    def _everyone_has(self, picture: str) -> bool:
        return all(picture in places for places in self._places)

    def _check_same(self, other: Explanations) -> None:
        same_pictures = other.dataset.content == self.dataset.content
        if same_pictures and other.names == self.names:
            return
        one, first = other.surrogates.id, self.compared[0].id
        raise FacelimeError(
            f"surrogates/{one} and surrogates/{first} are about different datasets "
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
        # NaN stands for a class that an explanation says nothing about.
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
        return int(first_classes(self._first.model, self._first.full[row : row + 1])[0, 0])

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
        its = self._coefficients(picture)
        for each, places, coefficients in zip(self._everyone, self._places, its, strict=True):
            row = places[picture]
            segments = each.segments(row)
            found.append(Attribution(segments, coefficients))
        return found

    def _coefficients(self, picture: str) -> list[NDArray[np.float64]]:
        c = self.class_of(picture)
        found = []
        for each, places in zip(self._everyone, self._places, strict=True):
            row = places[picture]
            found.append(each.coefficients(row, c))
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
        row = self._places[0][picture]
        return self._first.image(row)

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
        name = self.class_name(picture)
        labelled = list(zip(self.labels, attributions, strict=True))
        for (first, one), (second, other) in itertools.combinations(labelled, 2):
            pair: dict[str, Any] = {"id": picture, "class": name}
            pair["first"] = first
            pair["second"] = second
            found = agreement(one, other, self.top)
            for figure, value in vars(found).items():
                # JSON knows no NaN: a figure that there is none of is null.
                pair[figure] = value if math.isfinite(value) else None
            yield pair

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
        name = self.class_name(picture)
        every = np.stack([each.coefficients for each in attributions])
        n_segments = every.shape[1]
        for k in range(n_segments):
            values = every[:, k]
            mean = float(values.mean())
            deviation = float(values.std(ddof=1))
            is_positive = values > 0
            share_positive = float(is_positive.mean())
            yield picture, name, k, mean, deviation, share_positive

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
        pair_rows = [tuple(each.values()) for each in pairs]
        tables = {"agreement.csv": [PAIR_COLUMNS, *pair_rows], "segments.csv": [SEGMENT_COLUMNS, *rows]}
        for name, table in tables.items():
            file = artifact.file(name)
            write_csv(file, table)
        facts = self._facts(pairs)
        page = self._page(artifact, facts, pairs)
        write_whole(artifact.file("index.html"), page.encode())
        unit.finish({}, made=[*made, *tables, "index.html"], facts=facts)

    def _draw(self, artifact: Artifact, place: int, attributions: Sequence[Attribution]) -> list[str]:
        """Draw one picture's explanations and return the names of the files."""
        # matplotlib takes half a second to import, which answers to a finished comparison do without.
        from facelime_cli.drawing import comparisons, figures

        picture, stem = self.ids[place], _stem(place)
        image = self.image(picture)
        in_all = held(attributions, self.top)
        drawn = comparisons.explanations(image, attributions, self.labels, in_all, self.top)
        names = [f"figures/{stem}.{ending}" for ending in FORMATS]
        files = [artifact.file(name) for name in names]
        figures.write(drawn, files)
        return names

    def _facts(self, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the manifest says of it."""
        facts: dict[str, Any] = {"pictures": len(self.ids), "compared": self.labels}
        facts["mean"] = means(pairs)
        facts["pairs"] = means_by_pair(pairs)
        return facts

    def _page(self, artifact: Artifact, facts: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
        heading = ("explanations", *FIGURE_WORDS)
        table: list[tuple[str, ...]] = [heading]
        for each in facts["pairs"]:
            both = f"{each['first']} and {each['second']}"
            figures = typeset(each)
            table.append((both, *figures))
        pictures = []
        for place in range(len(self.ids)):
            picture = self._picture(place, pairs)
            pictures.append(picture)
        made_from = [self.dataset, *self.compared]

        shown: dict[str, Any] = {"facts": facts, "top": self.top}
        shown["title"] = artifact.name
        shown["reference"] = artifact.reference
        shown["pictures"] = pictures
        shown["pairs"] = table
        shown["lineage"] = pages.origins(made_from)
        shown["software"] = self.compared[0].software
        return pages.render("compare.html", **shown)

    def _picture(self, place: int, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the page shows of one picture."""
        picture = self.ids[place]
        its = [each for each in pairs if each["id"] == picture]
        mean = means(its)
        shown: dict[str, Any] = {"id": picture, "class": self.class_name(picture)}
        shown["stem"] = _stem(place)
        shown["mean"] = typeset(mean)
        return shown


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
        both = (each["first"], each["second"])
        group = grouped.setdefault(both, [])
        group.append(each)
    found = []
    for (first, second), group in grouped.items():
        mean = means(group)
        found.append({"first": first, "second": second, **mean})
    return found


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
