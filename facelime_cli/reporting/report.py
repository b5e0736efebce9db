"""A report of explanations: whose they are, which classes are shown, the colour scale, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np

from facelime_cli.core import shapes
from facelime_cli.core.verdict import word_of
from facelime_cli.core.zones import NAMES as ZONE_NAMES
from facelime_cli.core.zones import attribution_by_zone
from facelime_cli.drawing.printing import DOTS_PER_INCH, letters
from facelime_cli.errors import BrokenError, NotFoundError
from facelime_cli.reporting import captions, members, unlike
from facelime_cli.reporting.blocks import blocks, picture_name
from facelime_cli.reporting.explanations import COLUMNS
from facelime_cli.reporting.quantities import PERCENT, round_above
from facelime_cli.reporting.regions import SMALL_PIXELS, STAND_IN_PIXELS, ToDraw
from facelime_cli.reporting.stand_ins import StandIns
from facelime_cli.reporting.voices import voices_of
from facelime_cli.store.files import write_csv
from facelime_cli.store.pictures import number_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.drawing.figures import Panel
    from facelime_cli.drawing.plates import Plate
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.regions import Drawn
    from facelime_cli.reporting.stand_ins import Example, StandIn
    from facelime_cli.reporting.voices import Voice
    from facelime_cli.store.artifacts import Artifact

NICE_SCALES = (1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)
"""Ends of the colour scale, in probability points."""
KNOWN = {True: "present", False: "absent", None: ""}
"""What is known of a finding, in a table."""
MOST_ON_A_PAGE = 48
"""Pictures up to which the report is one page; at about 100 kB each it opens at once."""
ON_A_PAGE = 32
"""Pictures on each page of a larger report; a block of pictures never crosses the border of two units."""
LINES_ABOVE = 2
"""Above each picture of a plate: class and answer, and the verdict."""
BLOCK, SCALES = "pictures_a_page", "scales"
WHOLE_SCALE = "whole_scale"
"""What a report keeps from its beginning, so that every shard makes the same pages without reading all pictures."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for of a report.

    Attributes
    ----------
    classes : list of int or None
        Classes to show; None shows each picture's most probable ones, and its true one.
    top : int
        How many of the strongest segments are marked and listed at first.
    by_zone : str or None
        A key of `core.zones.NAMES`.
    single_file : bool
        Whether pictures lie inside the page.
    style : str
        Of the figures, a key of `drawing.figures.STYLES`.
    people : bool
        Whether pictures of other people that stand in are shown.
    columns : int or None
        Pictures beside each other on a plate; None makes no plates.
    dots_per_inch : int
        Of figures in PNG files.
    """

    classes: list[int] | None
    top: int
    by_zone: str | None
    single_file: bool
    style: str
    people: bool = True
    columns: int | None = None
    dots_per_inch: int = DOTS_PER_INCH


class Report:
    """Everything that the pages, the tables and the figures of one report are made from.

    Parameters
    ----------
    given : sequence of Artifact
        The report's own surrogates or check, and those beside them.
    request : Request

    Attributes
    ----------
    voices : list of Voice
    stood_in : list of StandIns
        What stood in for the regions of each voice.
    explanations : Explanations
        Of the first voice: its pictures and classes are the report's.
    shown : sequence of list of int
        For each picture the classes that are shown. They are looked up when they are asked for: a shard asks for its
        own pictures.
    one_page : bool
        Whether all pictures stand on one page.

    Raises
    ------
    NotFoundError
        When there is nothing to show, or one of the voices has nothing to say.
    """

    def __init__(self, given: Sequence[Artifact], request: Request) -> None:
        self.request = request
        self.voices = voices_of(given)
        self.stood_in = [StandIns(voice.explanations, people=request.people) for voice in self.voices]
        self.explanations: Explanations = self.voices[0].explanations
        self.shown: Sequence[list[int]] = _Shown(self.explanations, request.classes)
        # A single file has no pages beside it, however many pictures it has.
        self.one_page = request.single_file or len(self.explanations) <= MOST_ON_A_PAGE
        # Pages of a larger report hold their pictures too: a file each would be too many for a file system.
        self.inside = request.single_file or not self.one_page
        self.pictures_a_page = ON_A_PAGE
        self._known_scales: dict[str, float] | None = None
        self._known_whole: float | None = None
        if not any(self.shown):
            raise NotFoundError(
                f"surrogates/{self.explanations.surrogates.id} explains none of these classes; "
                "choose others with --classes."
            )
        for voice in self.voices[1:]:
            self._check_says_something(voice)

    def _check_says_something(self, voice: Voice) -> None:
        for row, picture in enumerate(self.explanations.ids):
            if any(voice.explains(picture, c) for c in self.shown[row]):
                return
        raise NotFoundError(
            f"surrogates/{voice.explanations.surrogates.id} explains none of this report's pictures for a class "
            "that is shown; give --beside explanations of the same pictures and classes, or choose other --classes."
        )

    def explaining(self, row: int, c: int) -> Iterator[tuple[Voice, int, int]]:
        """Yield who explains a picture's class, the report's own surrogates first.

        Parameters
        ----------
        row, c : int
            The picture and the class, as the report numbers them.

        Yields
        ------
        voice : Voice
        its_row, its_class : int
            The picture and the class, as the voice numbers them.
        """
        picture = self.explanations.ids[row]
        for voice in self.voices:
            found = voice.explains(picture, c)
            if found:
                its_row, its_class = found
                yield voice, its_row, its_class

    def everything_shown(self) -> Iterator[tuple[int, Voice, int, int]]:
        """Yield every explanation of the report.

        Yields
        ------
        row : int
            The picture, as the report numbers it.
        voice : Voice
        its_row, its_class : int
            The picture and the class, as the voice numbers them.
        """
        for row, classes in enumerate(self.shown):
            for c in classes:
                for voice, its_row, its_class in self.explaining(row, c):
                    yield row, voice, its_row, its_class

    # What holds from the beginning

    def beginning(self) -> dict[str, Any]:
        """Return what the layout keeps: this reads every coefficient, and nobody has to do so again."""
        one_scale = {WHOLE_SCALE: self.whole_scale} if self.mixed else {}
        return {BLOCK: self.pictures_a_page, SCALES: self.scales, **one_scale}

    def keep_to(self, artifact: Artifact) -> None:
        """Keep to what a report was begun with.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.

        Raises
        ------
        BrokenError
            When it was begun by a facelime that divided its pages otherwise.
        """
        begun = artifact.execution
        size, scales = begun.get(BLOCK), begun.get(SCALES)
        if isinstance(size, int) and size > 0:
            self.pictures_a_page = size
        elif not self.one_page:
            raise BrokenError(
                f"{artifact.reference} was begun by an earlier facelime, which wrote a page for each picture; "
                f"remove it (`facelime remove {artifact.reference}`) and make it again."
            )
        units = {voice.explanations.quantity.name for voice in self.voices}
        # Of a report that was begun without them they are computed, as they were then.
        if isinstance(scales, dict) and set(scales) == units and all(_is_end(each) for each in scales.values()):
            self._known_scales = {unit: float(each) for unit, each in scales.items()}
        whole = begun.get(WHOLE_SCALE)
        if _is_end(whole):
            self._known_whole = float(whole)

    def blocks(self, artifact: Artifact) -> list[range]:
        """Return which pictures share a page, page after page.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.
        """
        return blocks(artifact, self.pictures_a_page)

    # The colour scale

    @property
    def scales(self) -> dict[str, float]:
        """The end of each unit's colour scale: the least round number that no shown coefficient exceeds."""
        if self._known_scales is None:
            self._known_scales = self._measured_scales()
        return self._known_scales

    def _measured_scales(self) -> dict[str, float]:
        # What stands beside counts too: colours must be comparable from voice to voice.
        largest = {voice.explanations.quantity.name: 0.0 for voice in self.voices}
        for _, voice, its_row, its_class in self.everything_shown():
            unit = voice.explanations.quantity.name
            coefficients = voice.explanations.coefficients(its_row, its_class)
            strongest = voice.explanations.quantity.times * float(np.abs(coefficients).max())
            largest[unit] = max(largest[unit], strongest)
        quantities = [voice.explanations.quantity for voice in self.voices]
        in_units = {each.name for each in quantities if each.is_value}
        return {unit: (round_above if unit in in_units else _round_up)(value) for unit, value in largest.items()}

    def scale(self, explanations: Explanations) -> float:
        """Return the end of the colour scale of some explanations: that of all in the report with the same unit.

        Parameters
        ----------
        explanations : Explanations
        """
        return self.scales[explanations.quantity.name]

    @property
    def mixed(self) -> bool:
        """Whether explanations of different units stand side by side, so that colours show shares of each."""
        return len({voice.explanations.quantity.name for voice in self.voices}) > 1

    @property
    def whole_scale(self) -> float:
        """The end of the one scale of explanations of different units, in percent of the whole explanation."""
        if self._known_whole is None:
            shares = [0.0]
            for _, voice, its_row, its_class in self.everything_shown():
                sizes = np.abs(voice.explanations.coefficients(its_row, its_class))
                shares.append(float(PERCENT * sizes.max() / sizes.sum()) if sizes.any() else 0.0)
            self._known_whole = _round_up(max(shares))
        return self._known_whole

    def end(self, voice: Voice, row: int, c: int) -> float:
        """Return where the colour scale of one explanation ends, in its own unit.

        Parameters
        ----------
        voice : Voice
        row, c : int
            The picture and the class, as the voice numbers them.

        Returns
        -------
        float
            That of its unit; where the report has several units, as much as the end of the one scale is of this
            explanation.
        """
        if not self.mixed:
            return self.scale(voice.explanations)
        sizes = np.abs(voice.explanations.coefficients(row, c))
        whole = voice.explanations.quantity.times * float(sizes.sum())
        # An explanation that says nothing has no colours: any end will do.
        return whole * self.whole_scale / PERCENT or self.scale(voice.explanations)

    # Pictures

    def to_draw(self, row: int) -> ToDraw:
        """Return what to draw of a picture for its page.

        Parameters
        ----------
        row : int
        """
        small = [(pixels(), name, longest) for name, pixels, longest in self._small(row)]
        return replace(self.to_outline(row), small=small)

    def to_outline(self, row: int) -> ToDraw:
        """Return what to outline of a picture that is drawn already.

        Parameters
        ----------
        row : int
        """
        explanations = self.explanations
        # The thumbnail shows one class, the first.
        classes = self.shown[row]
        unmarked = np.zeros(explanations.counts[row])
        return ToDraw(
            image=explanations.image(row),
            segments=self._segments(row),
            coefficients=explanations.coefficients(row, classes[0]) if classes else unmarked,
            top=self.request.top,
            picture=picture_name(row),
            zones=self.request.by_zone,
        )

    # What stands in

    def stand_ins(self, row: int) -> list[tuple[str, StandIn]]:
        """Return the stand-ins that stand beside a picture, each with its file.

        Parameters
        ----------
        row : int
            The picture, as the report numbers it.
        """
        found: dict[str, StandIn] = {}
        for voice, stand_ins in zip(self.voices, self.stood_in, strict=True):
            its_row = voice.places.get(self.explanations.ids[row])
            # Explanations of the same pictures share most of them.
            for each in [] if its_row is None else stand_ins.of(its_row):
                found.setdefault(each.words, each)
        return [(f"stand-ins/{row:05d}-{place}.jpg", each) for place, each in enumerate(found.values())]

    def examples(self, row: int, c: int) -> dict[str, list[tuple[str, Example]]]:
        """Return the composed examples of everyone who explains a picture's class, each with its file.

        Parameters
        ----------
        row, c : int
            The picture and the class, as the report numbers them.

        Returns
        -------
        dict
            By the voice's label.
        """
        found = {}
        for number, (voice, stand_ins) in enumerate(zip(self.voices, self.stood_in, strict=True)):
            its = voice.explains(self.explanations.ids[row], c)
            examples = stand_ins.examples(*its) if its else []
            stem = f"examples/{row:05d}-class{c}-{number}"
            found[voice.label] = [(f"{stem}-{place}.jpg", each) for place, each in enumerate(examples)]
        return found

    def _small(self, row: int) -> Iterator[tuple[str, Callable[[], NDArray[np.uint8]], int]]:
        """Yield the small pictures beside a picture: file, what reads or composes it, and longest side."""
        for name, stand_in in self.stand_ins(row):
            yield name, stand_in.picture, STAND_IN_PIXELS
        for c in self.shown[row]:
            composing = zip(self.stood_in, self.examples(row, c).values(), strict=True)
            for stand_ins, examples in composing:
                for name, each in examples:
                    yield name, partial(stand_ins.composed, each), SMALL_PIXELS

    def _segments(self, row: int) -> list[NDArray[np.uint16]]:
        """Return a picture's segments by segmentation; empty where a segmentation does not have the picture."""
        n_segmentations = len({voice.segmentation for voice in self.voices})
        found = [np.zeros((0, 0), np.uint16) for _ in range(n_segmentations)]
        for voice in self.voices:
            its_row = voice.places.get(self.explanations.ids[row])
            if its_row is not None:
                found[voice.segmentation] = voice.explanations.segments(its_row)
        return found

    def panels(self, artifact: Artifact, row: int, formats: Sequence[str]) -> Iterator[Panel]:
        """Yield what to draw as figures of a picture, one for each class.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.
        row : int
        formats : sequence of str
            Endings of the files; none where no figures were asked for.
        """
        if not formats:
            return
        for c in self.shown[row]:
            names = [f"figures/{row:05d}-class{c}.{ending}" for ending in formats]
            yield self._panel(row, c, tuple(artifact.file(name) for name in names))

    def _panel(self, row: int, c: int, files: tuple[Path, ...] = ()) -> Panel:
        from facelime_cli.drawing.figures import Panel

        explanations = self.explanations
        interval, _ = explanations.interval(row, c)
        return Panel(
            image=explanations.image(row),
            segments=explanations.segments(row),
            coefficients=explanations.coefficients(row, c),
            interval=interval,
            truth=explanations.truth(row),
            top=self.request.top,
            scale=self.scale(explanations),
            times=explanations.quantity.times,
            values=explanations.values,
            dots_per_inch=self.request.dots_per_inch,
            style=self.request.style,
            words=(explanations.names[c], explanations.quantity.name),
            files=files,
        )

    def plates(self) -> list[tuple[str, list[int]]]:
        """Return the name of each plate and its pictures; none where no plates were asked for."""
        columns = self.request.columns
        if columns is None:
            return []
        from facelime_cli.drawing.plates import room

        sides = shapes.sides(self.explanations.dataset.facts["size"])
        shown = [row for row, classes in enumerate(self.shown) if classes]
        most = room(columns, sides, LINES_ABOVE)
        begins = range(0, len(shown), most)
        return [(f"plate-{place:03d}", shown[start : start + most]) for place, start in enumerate(begins, start=1)]

    def plate(self, artifact: Artifact, name: str, rows: Sequence[int], formats: Sequence[str]) -> Plate:
        """Return what to draw of a plate.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.
        name : str
        rows : sequence of int
            Its pictures, each with the class that is shown first.
        formats : sequence of str
            Endings of the files.
        """
        from facelime_cli.drawing.plates import Plate

        explanations = self.explanations
        panels, titles = [], []
        for place, row in enumerate(rows):
            c = self.shown[row][0]
            panels.append(self._panel(row, c))
            above = f"({letters(place)}) {captions.said(explanations, row, c)}"
            titles.append((above, word_of(explanations.verdict(row, c)).text))
        files = tuple(artifact.file(f"figures/{name}.{ending}") for ending in formats)
        return Plate(panels, titles, self.request.columns or len(rows), files)

    # Tables

    def write_tables(self, artifact: Artifact) -> list[str]:
        """Write the tables.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made; all its pictures are drawn.

        Returns
        -------
        list of str
            The names of the files.
        """
        # Rows are written as they are read, so that memory does not grow with the number of pictures.
        predictions = unlike.with_column(self._prediction_rows(), self.explanations.distances)
        tables = {"coefficients.csv": self._coefficient_rows(), "predictions.csv": predictions}
        if self.request.by_zone:
            tables["zones.csv"] = self._zone_table(artifact)
        if self.members:
            tables["members.csv"] = members.rows(self.explanations, self.shown)
        for name, rows in tables.items():
            write_csv(artifact.file(name), rows)
        return list(tables)

    def _coefficient_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield everyone's coefficients below a heading; where there are several, the last column says whose."""
        # Alone it is the very table that `show --format csv` prints.
        several = len(self.voices) > 1
        yield (*COLUMNS, "explanation") if several else COLUMNS
        for _, voice, its_row, its_class in self.everything_shown():
            for values in voice.explanations.rows(its_row, its_class):
                yield (*values, voice.label) if several else values

    def _prediction_rows(self) -> Iterator[tuple[Any, ...]]:
        explanations = self.explanations
        # What is known of each finding has a column of its own; a class needs one for all.
        names = explanations.dataset.facts["classes"] if explanations.several else []
        if explanations.values:
            yield from self._value_rows()
            return
        yield "id", "label", *(f"{name} label" for name in names), *explanations.answer_names
        for row, picture in enumerate(explanations.ids):
            states = [KNOWN[explanations.holds(row, name)] for name in names]
            probabilities = map(float, explanations.answers_of(row))
            yield picture, explanations.label(row) or "", *states, *probabilities

    def _value_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the values of each picture below a heading; what the dataset says of one stands before it."""
        explanations = self.explanations
        names = explanations.answer_names
        known = [name for name in names if name in number_columns(explanations.dataset)]
        yield "id", *(f"{name} label" for name in known), *names
        for row, picture in enumerate(explanations.ids):
            true = [explanations.true_value(row, name) for name in known]
            yield picture, *("" if each is None else each for each in true), *map(float, explanations.answers_of(row))

    # Zones

    def zones(self, row: int, drawn: Drawn) -> list[list[Any]]:
        """Return the coefficients of a picture's zones, as a unit's record keeps them.

        Parameters
        ----------
        row : int
        drawn : Drawn

        Returns
        -------
        list of [int, int, list of float]
            Picture, class and coefficients; nothing where zones were not asked for.
        """
        # Only of the report's own explanations: the table of zones has no column for others.
        if not drawn.shares:
            return []
        found: list[list[Any]] = []
        for c in self.shown[row]:
            values = [value for _, value in self.zones_of(self.voices[0], row, c, drawn)]
            found.append([row, c, values])
        return found

    def zones_of(self, voice: Voice, row: int, c: int, drawn: Drawn) -> list[tuple[str, float]]:
        """Return what an explanation says by zone.

        Parameters
        ----------
        voice : Voice
        row, c : int
            The picture and the class, as the voice numbers them.
        drawn : Drawn

        Returns
        -------
        list of (str, float)
            Each zone and its coefficient; nothing where zones were not asked for.
        """
        if not drawn.shares:
            return []
        names = ZONE_NAMES[str(self.request.by_zone)]
        coefficients = voice.explanations.coefficients(row, c)
        values = attribution_by_zone(coefficients, drawn.shares[voice.segmentation])
        return [(name, float(value)) for name, value in zip(names, values, strict=True)]

    def zone_rows(self, artifact: Artifact) -> Iterator[tuple[str, str, str, float]]:
        """Yield picture, class, zone and coefficient, from the records of the units that are done.

        Parameters
        ----------
        artifact : Artifact
            The report that is being made.
        """
        names = ZONE_NAMES[str(self.request.by_zone)]
        for facts in artifact.facts_of_units():
            for row, c, values in facts["zones"]:
                for zone, value in zip(names, values, strict=True):
                    yield self.explanations.ids[row], self.explanations.names[c], zone, value

    def _zone_table(self, artifact: Artifact) -> Iterator[tuple[Any, ...]]:
        yield "id", "class", "zone", "coefficient"
        yield from self.zone_rows(artifact)

    # Facts

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the report."""
        name = "scale" if self.explanations.quantity.is_value else "scale_probability_points"
        differing = {"members": self.members} if self.members else {}
        strange = unlike.facts_of(self.explanations.distances)
        return {name: self.scale(self.explanations), **self.truth_summary(), **strange, **differing}

    @cached_property
    def members(self) -> dict[str, int]:
        """In how many pictures the networks differ whose mean the model is; empty for a model of one network."""
        return members.summary(self.explanations, self.shown)

    def truth_summary(self) -> dict[str, Any]:
        """Return how much of the attribution lies on the known regions.

        Returns
        -------
        dict
            Means over the pictures that have a known region and are explained for their own class; empty without any.
        """
        overlaps = self._overlaps_of_true_classes()
        if not overlaps:
            return {}
        summary: dict[str, Any] = {"explanations": len(overlaps)}
        for name in ("on_truth", "by_chance", "pointing"):
            values = [getattr(each, name) for each in overlaps]
            summary[name] = round(float(np.mean(values)), 4)
        return {"truth": summary}

    def _overlaps_of_true_classes(self) -> list[Any]:
        explanations = self.explanations
        found = []
        for row, classes in enumerate(self.shown):
            label = explanations.label(row)
            # Nobody knows where an explanation of another class should point, nor which of several findings it is.
            true = [c for c in classes if explanations.names[c] == label]
            found += [explanations.overlap(row, c) for c in true]
        return [each for each in found if each is not None]


class _Shown(Sequence[list[int]]):
    """For each picture the classes that are shown, each looked up once."""

    def __init__(self, explanations: Explanations, chosen: list[int] | None) -> None:
        self._explanations, self._chosen = explanations, chosen
        self._found: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._explanations)

    @overload
    def __getitem__(self, row: int) -> list[int]: ...

    @overload
    def __getitem__(self, row: slice) -> list[list[int]]: ...

    def __getitem__(self, row: int | slice) -> list[int] | list[list[int]]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        if row not in self._found:
            self._found[row] = self._explanations.shown(row, self._chosen)
        return self._found[row]


def _is_end(value: Any) -> TypeGuard[float]:
    """Return whether a value may be the end of a colour scale; what is read from a store may be anything."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _round_up(value: float) -> float:
    # Beyond the last round number the scale ends at the largest coefficient itself.
    enough = (nice for nice in NICE_SCALES if nice >= value)
    return float(next(enough, value))
