"""The pages of a report: what the templates `report.html` and `picture.html` show of each picture and explanation."""

from __future__ import annotations

import math
from base64 import b64encode
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.agreement import Attribution, agreement
from facelime_cli.reporting import pages
from facelime_cli.reporting.explanations import PERCENT
from facelime_cli.reporting.report import page_name, picture_name, thumbnail_name
from facelime_cli.reporting.report_records import ClassShown, OverviewRow, PictureShown, Side, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.reporting.regions import Drawn
    from facelime_cli.reporting.report import Report
    from facelime_cli.reporting.voices import Voice
    from facelime_cli.store.artifacts import Artifact

NOT_EXPLAINED = "not explained for these classes"


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

    def index(self, drawn: Sequence[Drawn]) -> str:
        """Return the report's page.

        Parameters
        ----------
        drawn : sequence of Drawn
            Every picture's outlines; none where each picture has a page of its own.
        """
        overview = [self._overview(row) for row in range(len(self._explanations))]
        return pages.render(
            "report.html",
            **self._common(self._artifact.name),
            n=len(overview),
            voices=[voice.label for voice in self._report.voices],
            readings=self._readings(),
            measured=self._measured(),
            pictures=[self._picture(row, each, "") for row, each in enumerate(drawn)],
            overview=overview,
            said_classes=sorted({row.said for row in overview}),
            verdicts=sorted({row.verdict_kind for row in overview}),
            labelled=any(row.label is not None for row in overview),
            truth=self._report.truth_summary(),
            zones=self._zone_means(),
        )

    def picture(self, row: int, drawn: Drawn) -> str:
        """Return a picture's own page.

        Parameters
        ----------
        row : int
        drawn : Drawn
        """
        # All pages lie in one folder, so that a file's name is the whole link.
        last = len(self._explanations) - 1
        return pages.render(
            "picture.html",
            **self._common(self._explanations.ids[row]),
            before=_file_of_page(row - 1) if row > 0 else None,
            after=_file_of_page(row + 1) if row < last else None,
            picture=self._picture(row, drawn, "../"),
        )

    # The report as a whole

    def _common(self, title: str) -> dict[str, Any]:
        """Return what both templates show."""
        report, dataset = self._report, self._explanations.dataset
        widest = [max(voice.explanations.counts) for voice in report.voices]
        leakage = dataset.facts.get("leakage", {})
        return {
            "title": title,
            "reference": f"{self._artifact.kind}/{self._artifact.id}",
            "scales": self._scales(),
            "several": len(report.voices) > 1,
            "top": report.request.top,
            "size": int(dataset.facts["size"]),
            "most_regions": max(widest),
            "most_classes": max(map(len, report.shown)),
            "leakage": leakage.get("sentences", []),
            "lineage": self._lineage,
            "software": self._explanations.surrogates.software,
        }

    def _scales(self) -> list[tuple[float, Any]]:
        """Return the end of each colour scale, and what it is of."""
        quantities: dict[str, Any] = {}
        for voice in self._report.voices:
            quantity = voice.explanations.quantity
            quantities.setdefault(quantity.name, quantity)
        return [(scale, quantities[unit]) for unit, scale in self._report.scales.items()]

    def _readings(self) -> list[tuple[str, str, list[str]]]:
        """Return how the numbers read: each unit and sentence once, with the explanations that are read so."""
        found: dict[tuple[str, str], list[str]] = {}
        for voice in self._report.voices:
            # Voices whose numbers read alike share a sentence.
            quantity = voice.explanations.quantity
            found.setdefault((quantity.short, quantity.reads), []).append(voice.label)
        return [(short, reads, whose) for (short, reads), whose in found.items()]

    def _measured(self) -> bool:
        """Return whether any picture's first class has figures of fidelity."""
        for row, classes in enumerate(self._report.shown):
            if classes and not math.isnan(self._explanations.figures(row, classes[0])["r2"]):
                return True
        return False

    def _zone_means(self) -> list[tuple[str, ...]]:
        """Return a table of each zone's mean coefficient for each class, as it is shown."""
        if not self._report.request.by_zone:
            return []
        found: dict[str, dict[str, list[float]]] = {}
        for _, name, zone, value in self._report.zone_rows(self._artifact):
            by_class = found.setdefault(zone, {})
            by_class.setdefault(name, []).append(PERCENT * value)
        names = list(dict.fromkeys(name for by_class in found.values() for name in by_class))
        table: list[tuple[str, ...]] = [("zone", *names)]
        for zone, by_class in found.items():
            means = [_mean(by_class.get(name, [])) for name in names]
            table.append((zone, *means))
        return table

    @cached_property
    def _lineage(self) -> list[dict[str, Any]]:
        origins: dict[str, Artifact] = {}
        for voice in self._report.voices:
            origins |= {each.id: each for each in voice.explanations.origins}
        # The report itself is not sealed yet, so that it has no content digest to show.
        itself = pages.origin(self._artifact)
        return [*pages.origins(list(origins.values())), itself]

    def _overview(self, row: int) -> OverviewRow:
        """Return a picture's row of the overview."""
        # A row tells the class that is shown first: the most probable one, or the first that was asked for.
        explanations, classes = self._explanations, self._report.shown[row]
        answer = explanations.answers[row]
        said = int(answer.argmax())
        said_name = explanations.answer_names[said]
        label = explanations.label(row)
        anchor = _anchor(row)
        found = OverviewRow(
            id=explanations.ids[row],
            anchor=anchor,
            href=f"#{anchor}" if self._report.one_page else page_name(row),
            thumbnail=self._source(thumbnail_name(row), ""),
            said=said_name,
            points=round(100 * float(answer[said]), 2),
            label=label,
            right=_right(said_name, label, explanations.answer_names),
            whole_verdict=NOT_EXPLAINED,
        )
        return self._with_class(found, row, classes[0]) if classes else found

    def _with_class(self, found: OverviewRow, row: int, c: int) -> OverviewRow:
        """Return a row of the overview with what is said of a class."""
        verdict = self._explanations.verdict(row, c)
        r2 = self._explanations.figures(row, c)["r2"]
        strongest = self._explanations.strengths(row, c)[0]
        strong = round(strongest.value, 2)
        return replace(found, whole_verdict=verdict, r2=None if math.isnan(r2) else r2, strong=strong)

    # One picture

    def _picture(self, row: int, drawn: Drawn, above: str) -> PictureShown:
        """Return what a page shows of a picture; `above` leads from the page to the report's folder."""
        return PictureShown(
            explanations=self._explanations,
            row=row,
            anchor=_anchor(row),
            image=self._source(picture_name(row), above),
            inside=self._report.request.single_file,
            outlines=[(_prefix(row, place), paths) for place, paths in enumerate(drawn.paths)],
            classes=[self._class(row, c, drawn) for c in self._report.shown[row]],
        )

    def _source(self, name: str, above: str) -> str:
        """Return where a page finds a picture: beside it, or inside itself."""
        if not self._report.request.single_file:
            return above + name
        # As a data address: the page is then the one file to hand over.
        encoded = b64encode(self._artifact.file(name).read_bytes())
        return f"data:image/jpeg;base64,{encoded.decode()}"

    def _class(self, row: int, c: int, drawn: Drawn) -> ClassShown:
        """Return what everyone says of one class of a picture; who says nothing has a sentence for it."""
        name, picture = self._explanations.names[c], self._explanations.ids[row]
        # The report's own explanation is always there: only classes that it explains are shown.
        explaining = {each[0].label: each for each in self._report.explaining(row, c)}
        first = next(iter(explaining.values()))
        voices: list[Side | Silent] = []
        for voice in self._report.voices:
            if voice.label in explaining:
                its = explaining[voice.label]
                alike = None if voice is first[0] else self._agreement(first, its)
                voices.append(self._side(its, drawn, _prefix(row, voice.segmentation), alike))
            else:
                missing = f"{name} of this picture" if picture in voice.places else "this picture"
                voices.append(Silent(voice.label, f"{voice.label} does not explain {missing}."))
        probability = float(self._explanations.full[row][c])
        return ClassShown(name, probability, voices)

    def _other_answer(self, voice: Voice, row: int, c: int) -> tuple[str, float] | None:
        """Return another model's name and its probability of a class.

        None where it is the report's own model, whose answer stands above, or where no probability is explained.
        """
        its = voice.explanations
        if its.model.id == self._explanations.model.id or its.names != its.answer_names:
            return None
        return its.model.name, float(its.full[row][c])

    def _agreement(self, first: tuple[Voice, int, int], other: tuple[Voice, int, int]) -> dict[str, Any] | None:
        """Return how far another explanation agrees with the first, or None where neither says anything."""
        one, two = _attribution(*first), _attribution(*other)
        # Two that say nothing agree, but that is worth no sentence.
        if not one.coefficients.any() and not two.coefficients.any():
            return None
        found = vars(agreement(one, two, self._report.request.top))
        by_region = np.array_equal(one.segments, two.segments)
        return {"first": first[0].label, "by_region": by_region, **found}

    def _side(self, its: tuple[Voice, int, int], drawn: Drawn, prefix: str, alike: dict[str, Any] | None) -> Side:
        """Return what a page shows of one explanation: a voice, with its own picture and class."""
        voice, row, c = its
        zones = self._report.zones_of(voice, row, c, drawn)
        return Side(
            voice=voice,
            row=row,
            c=c,
            prefix=prefix,
            scale=self._report.scale(voice.explanations),
            zones=[(name, PERCENT * value) for name, value in zones],
            agreement=alike,
            answer=self._other_answer(voice, row, c),
        )


def _attribution(voice: Voice, row: int, c: int) -> Attribution:
    return Attribution(voice.explanations.segments(row), voice.explanations.coefficients(row, c))


def _right(said: str, label: str | None, names: Sequence[str]) -> str:
    """Return whether an answer is right, in a word; none where the label is no class of the model."""
    # A model may know other classes than the dataset.
    if label not in names:
        return ""
    return "right" if said == label else "wrong"


def _mean(values: Sequence[float]) -> str:
    """Return the mean as it is typeset, nothing where there is none."""
    return pages.signed(sum(values) / len(values)) if values else ""


def _anchor(row: int) -> str:
    return f"p{row:05d}"


def _prefix(row: int, segmentation: int) -> str:
    """Return what the names of a picture's outlines begin with."""
    return _anchor(row) if segmentation == 0 else f"{_anchor(row)}-{segmentation}"


def _file_of_page(row: int) -> str:
    """Return a page's file as another picture's page links to it."""
    return page_name(row).rpartition("/")[2]
