"""The pages of a report: what the templates `report.html` and `picture.html` show of each picture and explanation."""

from __future__ import annotations

import math
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering.runtimes import n_members
from facelime_cli.choices import FILLS
from facelime_cli.core import shapes
from facelime_cli.core.agreement import Attribution, agreement
from facelime_cli.core.leakage import nameless
from facelime_cli.core.verdict import CONFIRMED, WORDS
from facelime_cli.reporting import pages, unlike
from facelime_cli.reporting.blocks import anchor, page_name, picture_name, thumbnail_name
from facelime_cli.reporting.explanations import listed
from facelime_cli.reporting.plain_words import first_line, how_to_check
from facelime_cli.reporting.quantities import PERCENT, WHOLE
from facelime_cli.reporting.regions import strip
from facelime_cli.reporting.report_records import (
    NOT_EXPLAINED,
    RIGHT,
    STATES,
    ClassShown,
    OverviewRow,
    PictureShown,
    Side,
    Silent,
    badge_of,
)
from facelime_cli.reporting.taken_apart import taken_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.reporting.regions import Drawn
    from facelime_cli.reporting.report import Report
    from facelime_cli.reporting.stand_ins import Example
    from facelime_cli.reporting.voices import Voice
    from facelime_cli.store.artifacts import Artifact


STRONG_DIGITS = 2
"""Behind the point of the strongest coefficient, by which the overview is sorted."""
ROW_BYTES = 800
"""Of a picture's row of the overview, without its thumbnail."""


class ReportPages:
    """Makes the pages of a report.

    Parameters
    ----------
    report : Report
    artifact : Artifact
        The report that is being made.
    """

    def __init__(self, report: Report, artifact: Artifact) -> None:
        self._report, self._artifact = report, artifact
        self._explanations = report.explanations
        self._quantity = report.explanations.quantity

    def index(self, drawn: Sequence[Drawn]) -> str:
        """Return the report's page.

        Parameters
        ----------
        drawn : sequence of Drawn
            Every picture's outlines; none where the pictures stand on pages of their own.
        """
        report = self._report
        n_pictures = len(self._explanations)
        overview = [self._overview(row) for row in range(n_pictures)]
        pictures = [self._picture(row, outlines) for row, outlines in enumerate(drawn)]
        # What the reader can filter by: each answer and each verdict once.
        answers = {name for row in overview for name in row.said_names}
        counted = Counter(row.verdict_kind for row in overview)
        labels = [row.label for row in overview]

        shown = self._common(self._artifact.name, range(n_pictures))
        shown["n"] = n_pictures
        shown["voices"] = [voice.label for voice in report.voices]
        shown["readings"] = self._readings()
        shown["measured"] = self._measured()
        shown["pictures"] = pictures
        shown["overview"] = overview if report.one_page else []
        shown["blocks"] = [] if report.one_page else self._blocks(overview)
        shown["thumbnail"] = self._thumbnail()
        shown["said_classes"] = sorted(answers)
        shown["verdicts"] = _by_worth(counted)
        shown["cohort"] = self._cohort()
        shown["confirmed"] = self._confirmed()
        shown |= unlike.shown(unlike.facts_of(self._explanations.distances))
        shown["members"] = report.members
        shown["of_members"] = n_members(self._explanations.model)
        shown["sharing"] = report.stood_in[0].sharing
        shown["labelled"] = any(label is not None for label in labels)
        shown["truth"] = report.truth_summary()
        shown["zones"] = self._zone_means()
        return pages.render("report.html", **shown)

    def block(self, rows: range, drawn: Sequence[Drawn]) -> str:
        """Return the page of some pictures, which lie inside it.

        Parameters
        ----------
        rows : range
            One of the report's blocks.
        drawn : sequence of Drawn
            One for each of them.
        """
        one = len(rows) == 1
        which = f"picture {rows.start + 1:,}" if one else f"pictures {rows.start + 1:,} to {rows.stop:,}"
        shown = self._common(f"{self._artifact.name}, {which}", rows)
        shown["pictures"] = [self._picture(row, each) for row, each in zip(rows, drawn, strict=True)]
        shown["before"], shown["after"] = self._neighbours[rows.start]
        return pages.render("picture.html", **shown)

    def size_of(self, row: int, drawn: Drawn) -> int:
        """Return how many bytes a picture takes on a page that holds it: its article, and its row of the overview.

        Parameters
        ----------
        row : int
        drawn : Drawn
            With its copies.
        """
        report = self._report
        article = pages.part(
            "explanation.html", "article", self._picture(row, drawn), report.request.top, len(report.voices) > 1
        )
        small = 0 if drawn.thumbnail is None else len(b64encode(strip([drawn.thumbnail])))
        return len(article.encode()) + small + ROW_BYTES

    @cached_property
    def _neighbours(self) -> dict[int, tuple[str | None, str | None]]:
        """For the first picture of each block the pages before and after it."""
        # All pages lie in one folder, so that a file's name is the whole link.
        files = [_file_of_page(block.start) for block in self._report.blocks(self._artifact)]
        around: list[str | None] = [None, *files, None]
        firsts = [block.start for block in self._report.blocks(self._artifact)]
        return dict(zip(firsts, zip(around[:-2], around[2:], strict=True), strict=True))

    def _blocks(self, overview: Sequence[OverviewRow]) -> list[dict[str, Any]]:
        """Return the overview of many pictures as data: each block's page, its strip of thumbnails and its rows."""
        digits = self._quantity.digits
        return [
            {
                "page": page_name(block.start),
                "strip": thumbnail_name(block.start),
                "rows": [overview[row].as_data(digits) for row in block],
            }
            for block in self._report.blocks(self._artifact)
        ]

    def _thumbnail(self) -> tuple[float, float]:
        """Return width and height of a thumbnail, the longer side being 1."""
        height, width = shapes.sides(self._explanations.dataset.facts["size"])
        return width / max(height, width), height / max(height, width)

    # The report as a whole

    def _common(self, title: str, rows: range) -> dict[str, Any]:
        """Return what both templates show of some pictures."""
        report, explanations, artifact = self._report, self._explanations, self._artifact
        facts = explanations.dataset.facts
        classes = [len(report.shown[row]) for row in rows]

        shown: dict[str, Any] = {"title": title}
        shown["reference"] = artifact.reference
        shown["scales"] = self._scales()
        shown["several"] = len(report.voices) > 1
        shown["mixed"] = report.mixed
        shown["zoned"] = report.request.by_zone is not None
        shown["top"] = report.request.top
        shown["width"] = shapes.sides(facts["size"])[1]
        shown["most_regions"] = self._most_regions
        shown["most_classes"] = max(classes)
        # The page may go to one patient, and the examples are pictures of others.
        shown["leakage"] = nameless(facts.get("leakage", {}))
        shown["how_to_check"] = how_to_check(explanations)
        shown["values"] = explanations.values
        shown["quantity"] = explanations.quantity
        shown["independent"] = explanations.independent
        shown["several_findings"] = explanations.several
        shown["lineage"] = self._lineage
        shown["software"] = explanations.surrogates.software
        return shown

    @cached_property
    def _most_regions(self) -> int:
        """The most regions that any picture of any explanation has."""
        return max(max(voice.explanations.counts) for voice in self._report.voices)

    def _scales(self) -> list[tuple[float, Any, str]]:
        """Return the end of each colour scale, what it is of, and what pictures were compared with."""
        quantities: dict[str, Any] = {}
        fills: dict[str, dict[str, None]] = {}
        for voice in self._report.voices:
            quantity = voice.explanations.quantity
            quantities.setdefault(quantity.name, quantity)
            fills.setdefault(quantity.name, {}).update(dict.fromkeys(voice.explanations.fills))
        found = []
        for unit, scale in self._report.scales.items():
            compared = listed([FILLS[fill].stands for fill in fills[unit]])
            found.append((scale, quantities[unit], compared))
        if not self._report.mixed:
            return found
        everything = dict.fromkeys(fill for voice in self._report.voices for fill in voice.explanations.fills)
        return [(self._report.whole_scale, WHOLE, listed([FILLS[fill].stands for fill in everything]))]

    def _confirmed(self) -> list[tuple[str, int, int]]:
        """Return of how many pictures the model confirms each explanation, and how many were checked.

        Each picture counts with the class that stands first. Nothing is returned where one explanation stands alone.
        """
        report = self._report
        if len(report.voices) == 1:
            return []
        found = {voice.label: [0, 0] for voice in report.voices}
        for row, classes in enumerate(report.shown):
            for voice, its_row, its_class in report.explaining(row, classes[0]) if classes else ():
                if voice.explanations.confirmation(its_row, its_class) is not None:
                    found[voice.label][0] += voice.explanations.verdict(its_row, its_class) in CONFIRMED
                    found[voice.label][1] += 1
        return [(label, confirmed, checked) for label, (confirmed, checked) in found.items()]

    def _cohort(self) -> dict[str, Any] | None:
        """Return what the check says of all pictures together, each with its first class, or None."""
        check = self._explanations.check
        if check is None:
            return None
        first = [(row, classes[0]) for row, classes in enumerate(self._report.shown) if classes]
        found = check.cohort(first)
        return None if found is None else {**vars(found), "stands": FILLS[found.fill].stands}

    def _readings(self) -> list[tuple[str, str, list[str]]]:
        """Return how the numbers read: each unit and sentence once, with the explanations that are read so."""
        found: dict[tuple[str, str], list[str]] = {}
        for voice in self._report.voices:
            # Voices whose numbers read alike share a sentence.
            quantity = voice.explanations.quantity
            reading = (f"+{quantity.example} {quantity.short}", quantity.sentence)
            whose = found.setdefault(reading, [])
            whose.append(voice.label)
        readings = []
        for (example, reads), whose in found.items():
            readings.append((example, reads, whose))
        return readings

    def _measured(self) -> bool:
        """Return whether any picture's first class has figures of fidelity."""
        for row, classes in enumerate(self._report.shown):
            if not classes:
                continue
            figures = self._explanations.figures(row, classes[0])
            # NaN stands for an explanation that no surrogate was fitted for.
            if not math.isnan(figures["r2"]):
                return True
        return False

    def _zone_means(self) -> list[tuple[str, ...]]:
        """Return a table of each zone's mean coefficient for each class, as it is shown."""
        report = self._report
        if not report.request.by_zone:
            return []
        found: dict[str, dict[str, list[float]]] = {}
        for _, name, zone, value in report.zone_rows(self._artifact):
            by_class = found.setdefault(zone, {})
            values = by_class.setdefault(name, [])
            values.append(self._quantity.times * value)
        # Classes in the order in which they are first met; a dict keeps it, a set would not.
        names: dict[str, None] = {}
        for by_class in found.values():
            names.update(dict.fromkeys(by_class))
        heading = ("zone", *names)
        table: list[tuple[str, ...]] = [heading]
        for zone, by_class in found.items():
            line = [zone]
            for name in names:
                values = by_class.get(name, [])
                line.append(_mean(values, self._quantity.digits))
            table.append(tuple(line))
        return table

    @cached_property
    def _lineage(self) -> list[dict[str, Any]]:
        origins: dict[str, Artifact] = {}
        for voice in self._report.voices:
            for each in voice.explanations.origins:
                origins[each.id] = each
        made_from = list(origins.values())
        lineage = pages.origins(made_from)
        # The report itself is not sealed yet, so that it has no content digest to show.
        itself = pages.origin(self._artifact)
        lineage.append(itself)
        return lineage

    def _overview(self, row: int) -> OverviewRow:
        """Return a picture's row of the overview."""
        # A row tells the class that is shown first: the most probable one, or the first that was asked for.
        report, explanations = self._report, self._explanations
        names, answer = explanations.answer_names, explanations.answers_of(row)
        called = explanations.called(row)
        said = [f"{names[c]} {explanations.spoken.answer(float(answer[c]))}" for c in called]
        # Rows are sorted by the highest probability, or by the first value.
        order = float(answer[0]) if explanations.values else PERCENT * float(answer.max())
        label = explanations.label(row)
        right = list(explanations.right(row).values())
        flag = RIGHT[all(right)] if right else ""
        # Of many pictures the overview has a strip for each block, and the link is known with its page.
        thumbnail = self._source(thumbnail_name(row)) if report.one_page else ""
        found = OverviewRow(
            id=explanations.ids[row],
            anchor=anchor(row),
            thumbnail=thumbnail,
            said=", ".join(said) or "none of 50 % or more",
            said_names=[names[c] for c in called],
            points=order if explanations.values else round(order, 2),
            label=label,
            right=flag,
            flag=f"{sum(right)} of {len(right)} right" if explanations.several and right else flag,
            whole_verdict=NOT_EXPLAINED,
        )
        classes = report.shown[row]
        if not classes:
            return found
        return self._with_class(found, row, classes[0])

    def _with_class(self, found: OverviewRow, row: int, c: int) -> OverviewRow:
        """Return a row of the overview with what is said of a class."""
        explanations = self._explanations
        verdict = explanations.verdict(row, c)
        figures = explanations.figures(row, c)
        r2 = figures["r2"]
        known_r2 = None if math.isnan(r2) else r2
        strongest = explanations.strengths(row, c)[0]
        strong = round(strongest.value, max(explanations.quantity.digits, STRONG_DIGITS))
        return replace(found, whole_verdict=verdict, r2=known_r2, strong=strong)

    # One picture

    def _picture(self, row: int, drawn: Drawn) -> PictureShown:
        """Return what a page shows of a picture."""
        report = self._report
        image = self._source(picture_name(row), drawn)
        outlines = []
        for place, paths in enumerate(drawn.paths):
            prefix = _prefix(row, place)
            outlines.append((prefix, paths))
        classes = [self._class(row, c, drawn) for c in report.shown[row]]
        stand_ins = [(self._source(name, drawn), each) for name, each in report.stand_ins(row)]
        left_out = any(each.left_out for each in report.stood_in)
        return PictureShown(
            explanations=self._explanations,
            row=row,
            anchor=anchor(row),
            image=image,
            inside=report.inside,
            outlines=outlines,
            classes=classes,
            stand_ins=stand_ins,
            left_out=left_out,
        )

    def _source(self, name: str, drawn: Drawn | None = None) -> str:
        """Return where a page finds a picture: beside it, or inside itself."""
        if not self._report.inside:
            return name
        # As a data address: a page of many pictures has no files beside it, and a single file is handed over alone.
        copy = drawn.copies.get(name) if drawn is not None else None
        encoded = b64encode(self._artifact.file(name).read_bytes() if copy is None else copy)
        return f"data:image/jpeg;base64,{encoded.decode()}"

    def _class(self, row: int, c: int, drawn: Drawn) -> ClassShown:
        """Return what everyone says of one class of a picture; who says nothing has a sentence for it."""
        explanations = self._explanations
        name = explanations.names[c]
        # The report's own explanation is always there: only classes that it explains are shown.
        explaining = {}
        for its in self._report.explaining(row, c):
            label = its[0].label
            explaining[label] = its
        first = next(iter(explaining.values()))
        examples = self._report.examples(row, c)
        voices: list[Side | Silent] = []
        for voice in self._report.voices:
            if voice.label not in explaining:
                voices.append(self._silent(voice, row, name))
                continue
            its = explaining[voice.label]
            alike = None if voice is first[0] else self._agreement(first, its)
            prefix = _prefix(row, voice.segmentation)
            its_examples = [(self._source(file, drawn), each) for file, each in examples[voice.label]]
            side = self._side(its, drawn, prefix, alike, its_examples)
            voices.append(side)
        said = explanations.spoken.answer(float(explanations.explained_of(row)[c]))
        holds = explanations.holds(row, name) if explanations.several else None
        return ClassShown(name, said, "" if holds is None else STATES[holds], voices)

    def _silent(self, voice: Voice, row: int, name: str) -> Silent:
        """Return the sentence for an explanation that says nothing of a class of a picture."""
        picture = self._explanations.ids[row]
        missing = "this picture"
        if picture in voice.places:
            missing = f"{name} of this picture"
        return Silent(voice.label, f"{voice.label} does not explain {missing}.")

    def _other_answer(self, voice: Voice, row: int, c: int) -> tuple[str, str] | None:
        """Return another model's name and its answer for a class.

        None where it is the report's own model, whose answer stands above, or where no probability is explained.
        """
        its, own = voice.explanations, self._explanations
        model = its.model
        if model.id == own.model.id:
            return None
        if its.names != its.answer_names:
            return None
        return model.name, its.spoken.answer(float(its.explained_of(row)[c]))

    def _agreement(self, first: tuple[Voice, int, int], other: tuple[Voice, int, int]) -> dict[str, Any] | None:
        """Return how far another explanation agrees with the first, or None where neither says anything."""
        one = _attribution(*first)
        two = _attribution(*other)
        # Two that say nothing agree, but that is worth no sentence.
        if not one.coefficients.any() and not two.coefficients.any():
            return None
        top = self._report.request.top
        found = agreement(one, two, top)
        # Only explanations of the same segments can be compared segment by segment.
        by_region = np.array_equal(one.segments, two.segments)
        voice = first[0]
        return {"first": voice.label, "by_region": by_region, **vars(found)}

    def _side(
        self,
        its: tuple[Voice, int, int],
        drawn: Drawn,
        prefix: str,
        alike: dict[str, Any] | None,
        examples: list[tuple[str, Example]],
    ) -> Side:
        """Return what a page shows of one explanation: a voice, with its own picture and class."""
        voice, row, c = its
        report = self._report
        scale = report.end(voice, row, c)
        zones = []
        for name, value in report.zones_of(voice, row, c, drawn):
            zones.append((name, voice.explanations.quantity.times * value))
        answer = self._other_answer(voice, row, c)
        # Only the report's own explanation is taken apart: the others stand beside it to be compared.
        own = voice is report.voices[0]
        apart = taken_apart(voice.explanations, report.stood_in[0], row, c) if own else None
        return Side(
            voice=voice,
            row=row,
            c=c,
            prefix=prefix,
            scale=scale,
            zones=zones,
            agreement=alike,
            answer=answer,
            examples=examples,
            names=drawn.names[voice.segmentation],
            spots=drawn.spots[voice.segmentation],
            apart=apart,
            line=first_line(voice.explanations, row, c, apart, drawn.names[voice.segmentation]) if own else [],
        )


def _by_worth(counted: Counter[str]) -> list[tuple[str, int, str]]:
    """Return each word that a report has, the best first: how often, and how its badge looks."""
    badges = {word.text: badge_of(word) for word in WORDS} | {NOT_EXPLAINED: "quiet"}
    return [(text, counted[text], badge) for text, badge in badges.items() if counted[text]]


def _attribution(voice: Voice, row: int, c: int) -> Attribution:
    explanations = voice.explanations
    segments = explanations.segments(row)
    coefficients = explanations.coefficients(row, c)
    return Attribution(segments, coefficients)


def _mean(values: Sequence[float], digits: int) -> str:
    """Return the mean as it is typeset, nothing where there is none."""
    if not values:
        return ""
    mean = sum(values) / len(values)
    return pages.signed(mean, digits)


def _prefix(row: int, segmentation: int) -> str:
    """Return what the names of a picture's outlines begin with."""
    if segmentation == 0:
        return anchor(row)
    return f"{anchor(row)}-{segmentation}"


def _file_of_page(row: int) -> str:
    """Return a page's file as another picture's page links to it."""
    _, _, file = page_name(row).rpartition("/")
    return file
