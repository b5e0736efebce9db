"""Write the report: one page that opens from disk, with every region's figures, and the coefficients as a table.

Vermilion speaks for a class, blue against it, hatched may be nothing. One colour scale holds for the whole report, so that pictures can be compared. Up to 48 pictures are on one
page; more get a page each, beside an overview. --beside puts what other models or methods say of the same pictures next to it. --figures adds pictures for print.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.names import class_indices
from facelime_cli.options import Choice, Execution, Input
from facelime_cli.reporting import pages
from facelime_cli.store.arrays import Layout
from facelime_cli.store.files import write_csv, write_whole
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.reporting.explanations import Explained, Strength
    from facelime_cli.store.artifacts import Artifact

NICE_SCALES = (1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)
"""Ends of the colour scale, in probability points."""
MOST_ON_A_PAGE = 48
"""Pictures up to which the report is one page; at about 100 kB each it opens at once."""
LISTED_CLASSES = 8
"""Classes up to which all are listed beside a picture, else the most probable."""
MOST_LISTED = 100
"""Further classes up to which a picture's page names them all."""
NOT_EXPLAINED = "not explained for these classes"
JPEG_QUALITY = 92
THUMBNAIL_PIXELS = 144
THUMBNAIL_QUALITY = 80
FORMATS = ("png", "svg", "pdf")
STYLES = ("facelime", "lime", "heatmap")
ZONES = ("face", "lungs")


DEFAULTS: dict[str, Any] = {"top": 10}
"""Where neither the command line nor a preset says anything."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `render`."""

    surrogates: Annotated[
        str,
        Argument(metavar="SURROGATES", help="Surrogates, or - to read them from standard input.", show_default=False),
        Input(("surrogates",)),
    ]
    beside: Annotated[
        list[str] | None,
        Option(
            metavar="SURROGATES",
            show_default=False,
            help="Show another explanation of the same pictures beside it, of another model or method; may be given several times.",
        ),
        Execution(),
    ] = None
    preset: Annotated[
        str | None,
        Choice(tuple(presets.SYSTEMS)),
        Option(
            show_default=False, help=f"As many segments as another system marks. {presets.help_of(presets.SYSTEMS)}."
        ),
        Execution(),
    ] = None
    top: Annotated[
        int | None,
        Option(
            min=1,
            show_default=False,
            help=f"How many of the strongest regions are coloured and listed at first. {presets.default_words('top', DEFAULTS['top'])}",
        ),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Classes to explain, by name or by number from 0. [default: each picture's two most probable, and its true one]",
        ),
    ] = None
    by_zone: Annotated[
        str | None,
        Choice(ZONES),
        Option(show_default=False, help="Add the coefficients by named zone, of a face or of the lungs."),
    ] = None
    single_file: Annotated[
        bool,
        Option("--single-file", help="Put every picture into the one page, to hand it over; large with many pictures."),
    ] = False
    figures: Annotated[
        str | None,
        Option(
            metavar="FORMAT,…",
            show_default=False,
            help=f"Write figures for print too, 300 dots per inch, as {', '.join(FORMATS)}; a second or two each.",
        ),
    ] = None
    style: Annotated[
        str,
        Choice(STYLES),
        Option(
            help="What the figures look like: facelime: all views and a bar chart; lime: green for, red against, with borders; heatmap: red to blue with its colour bar."
        ),
    ] = "facelime"
    workers: Annotated[
        int | None, Option(min=1, show_default=False, help="Parallel processes. [default: one per core]"), Execution()
    ] = None


@dataclass(frozen=True)
class _Drawing:
    """What a worker draws of one picture: copies for the page, outlines, and where the zones are. `segments` has one array for each of the report's segmentations."""

    image: NDArray[np.uint8]
    segments: list[NDArray[np.uint16]]
    coefficients: NDArray[np.float64]
    top: int
    picture: Path
    thumbnail: Path
    zones: str | None


@dataclass(frozen=True)
class _Drawn:
    """The outlines of a picture's segments, and the share of each in each zone, by the report's segmentations."""

    paths: list[list[str]]
    shares: list[NDArray[np.float64]]


@dataclass(frozen=True)
class _Voice:
    """One of the explanations that stand side by side: what it is called, which of the report's segmentations it is of, and where it has each of the report's pictures and classes."""

    explained: Explained
    label: str
    segmentation: int
    places: Mapping[str, int]
    classes: Mapping[int, int]

    def hears(self, picture: str, c: int) -> tuple[int, int] | None:
        """Return the row and the class with which it explains one of the report's pictures and classes, or None."""
        import numpy as np

        row, its_c = self.places.get(picture), self.classes.get(c)
        return (
            None
            if row is None or its_c is None or np.isnan(self.explained.coefficients(row, its_c)).any()
            else (row, its_c)
        )


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the classes; the colour scale follows from all of them."""
    surrogates = inputs["surrogates"]
    beside = [context.store.resolve(reference, ("surrogates",)) for reference in params.beside or ()]
    _check_beside(surrogates, beside)
    names: list[str] = surrogates.facts["classes"]
    params = presets.filled(params, DEFAULTS)
    chosen = None if params.classes is None else class_indices(params.classes, names)
    formats = _formats(params)

    @cache
    def report() -> _Report:
        return _Report([surrogates, *beside], chosen, params)

    def work(artifact: Artifact, units: Pending) -> None:
        with Workers(params.workers) as workers, context.console.progress("render", units.pictures) as advance:
            for unit in units:
                rows = range(unit.rows.start, unit.rows.stop)
                made, zones = [], []
                for row, drawn in zip(
                    rows, workers.map(_draw, [report().drawing(artifact, row) for row in rows]), strict=True
                ):
                    made += report().files(row)
                    zones += report().zones(row, drawn)
                    if not report().one_page:
                        write_whole(
                            artifact.file(_page_name(row)),
                            report().picture_page(artifact, row, drawn).encode(),
                            durable=False,
                        )
                    advance(0 if formats else 1)
                panels = [panel for row in rows for panel in report().panels(artifact, row, formats)]
                for place, _ in enumerate(workers.map(_figure, panels), start=1):
                    advance(place * unit.n // len(panels) - (place - 1) * unit.n // len(panels))
                made += [f"figures/{path.name}" for panel in panels for path in panel.files]
                unit.finish({}, made=made, facts={"zones": zones} if params.by_zone else {})

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        made = report().tables(artifact)
        with Workers(params.workers) as workers:
            drawings = [report().drawing(artifact, row) for row in range(surrogates.n)] if report().one_page else []
            page = report().page(artifact, list(workers.map(_outline, drawings)))
        write_whole(artifact.file("index.html"), page.encode())
        context.console.note(f"page: {artifact.path / 'index.html'}")
        return {"scale_probability_points": report().scale(report().explained), **report().truth_summary()}, [
            *made,
            "index.html",
        ]

    parameters = {
        "top": params.top,
        "classes": chosen,
        "by_zone": params.by_zone,
        "single_file": params.single_file,
        "figures": formats or None,
        "style": params.style,
    }
    inputs = {**inputs, **{f"beside_{place}": each for place, each in enumerate(beside)}}
    return Plan(
        parameters,
        surrogates.name,
        lambda: Layout(surrogates.n, constants=surrogates.carried(), facts={"classes": names}),
        work,
        inputs,
        finish=finish,
    )


def _check_beside(surrogates: Artifact, beside: Sequence[Artifact]) -> None:
    """Raise when explanations are not of the same pictures."""
    pictures, seen = surrogates.input("segments").input("datasets"), {surrogates.id}
    for each in beside:
        if each.input("segments").input("datasets").content != pictures.content:
            raise FacelimeError(
                f"surrogates/{each.id} explains pictures of another dataset than surrogates/{surrogates.id}; put explanations of the same pictures beside each other."
            )
        if each.id in seen:
            raise CommandLineError(f"--beside {each.id} is in the report already; name each explanation once.")
        seen.add(each.id)


def _formats(params: Params) -> list[str]:
    """Return the formats of the figures, in the order of `FORMATS`."""
    asked = [] if params.figures is None else [word.strip().lower() for word in params.figures.split(",")]
    wrong = next((word for word in asked if word not in FORMATS), None)
    if wrong is not None:
        raise CommandLineError(f"--figures {wrong!r} is no format of a figure; use {', '.join(FORMATS)}.")
    if params.style != STYLES[0] and not asked:
        raise CommandLineError(f"--style {params.style} is about figures; ask for them with --figures png.")
    return [each for each in FORMATS if each in asked]


class _Report:
    """Everything that the pages, the tables and the figures of one report are made from."""

    def __init__(self, surrogates: Sequence[Artifact], chosen: list[int] | None, params: Params) -> None:
        from facelime_cli.reporting.explanations import Explained, labels

        everyone = [Explained(each) for each in surrogates]
        segmentations = list(dict.fromkeys(each.segmentation.id for each in everyone))
        names = labels(everyone) if len(everyone) > 1 else [everyone[0].method]
        self.explained = explained = everyone[0]
        self._params = params
        self.voices = [
            _Voice(
                each,
                name,
                segmentations.index(each.segmentation.id),
                {picture: row for row, picture in enumerate(each.ids)},
                same_classes(explained.names, each.names),
            )
            for each, name in zip(everyone, names, strict=True)
        ]
        self.top = params.top or DEFAULTS["top"]
        self.shown = [explained.shown(row, chosen) for row in range(len(explained))]
        if not any(self.shown):
            raise NotFoundError(
                f"surrogates/{explained.surrogates.id} has no explanation of these classes; choose others with --classes."
            )
        self.one_page = params.single_file or len(explained) <= MOST_ON_A_PAGE
        for voice in self.voices[1:]:
            if not any(voice.hears(picture, c) for row, picture in enumerate(explained.ids) for c in self.shown[row]):
                raise NotFoundError(
                    f"surrogates/{voice.explained.surrogates.id} explains none of this report's pictures for a class that is shown; "
                    "give --beside explanations of the same pictures and classes, or choose other --classes."
                )

    def heard(self, row: int, c: int) -> Iterator[tuple[_Voice, int, int]]:
        """Yield who explains a picture's class, and with which row and class of theirs; the report's own surrogates first."""
        for voice in self.voices:
            found = voice.hears(self.explained.ids[row], c)
            if found:
                yield voice, *found

    def scale(self, explained: Explained) -> float:
        """Return the end of the colour scale of some surrogates: that of all in the report that have the same unit."""
        return self._scales[explained.quantity.name]

    @cached_property
    def _scales(self) -> dict[str, float]:
        """The end of each unit's scale: the least round number that no shown coefficient exceeds."""
        import numpy as np

        from facelime_cli.reporting.explanations import PERCENT

        largest = {voice.explained.quantity.name: 0.0 for voice in self.voices}
        for row in range(len(self.explained)):
            for c in self.shown[row]:
                for voice, its_row, its_c in self.heard(row, c):
                    unit = voice.explained.quantity.name
                    largest[unit] = max(
                        largest[unit], PERCENT * float(np.abs(voice.explained.coefficients(its_row, its_c)).max())
                    )
        return {
            unit: float(next((nice for nice in NICE_SCALES if nice >= value), value)) for unit, value in largest.items()
        }

    # Files beside the page

    def files(self, row: int) -> list[str]:
        """Return which files a picture has."""
        return [_picture_name(row), _thumbnail_name(row), *([] if self.one_page else [_page_name(row)])]

    def drawing(self, artifact: Artifact, row: int) -> _Drawing:
        """Return what to draw of a picture for its page."""
        import numpy as np

        places = (artifact.file(_picture_name(row)), artifact.file(_thumbnail_name(row)))
        explained, shown = self.explained, self.shown[row]
        coefficients = explained.coefficients(row, shown[0]) if shown else np.zeros(explained.counts[row])
        return _Drawing(
            explained.image(row), self._segments(row), coefficients, self.top, *places, self._params.by_zone
        )

    def _segments(self, row: int) -> list[NDArray[np.uint16]]:
        """Return a picture's segments in each of the report's segmentations, empty where it is in none of that segmentation's pictures."""
        import numpy as np

        found = [np.zeros((0, 0), np.uint16) for _ in {voice.segmentation for voice in self.voices}]
        for voice in self.voices:
            its_row = voice.places.get(self.explained.ids[row])
            if its_row is not None:
                found[voice.segmentation] = voice.explained.segments(its_row)
        return found

    def panels(self, artifact: Artifact, row: int, formats: Sequence[str]) -> Iterator[Any]:
        """Yield what to draw as a figure, one a class."""
        if not formats:
            return
        from facelime_cli.drawing.figures import Panel

        explained = self.explained
        for c in self.shown[row]:
            files = tuple(artifact.file(f"figures/{row:05d}-class{c}.{ending}") for ending in formats)
            words = (explained.names[c], explained.quantity.name)
            yield Panel(
                explained.image(row),
                explained.segments(row),
                explained.coefficients(row, c),
                explained.interval(row, c)[0],
                explained.truth(row),
                self.top,
                self.scale(explained),
                self._params.style,
                words,
                files,
            )

    def tables(self, artifact: Artifact) -> list[str]:
        """Write the tables; the answer is their names."""
        found = {"coefficients.csv": self._coefficient_rows(), "predictions.csv": self._prediction_rows()}
        if self._params.by_zone:
            found["zones.csv"] = chain([("id", "class", "zone", "coefficient")], self._zone_rows(artifact))
        for name, table in found.items():
            write_csv(artifact.file(name), table)
        return list(found)

    def _coefficient_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield everyone's coefficients below a heading; where there are several, the last column says whose they are."""
        from facelime_cli.reporting.explanations import COLUMNS

        several = len(self.voices) > 1
        yield (*COLUMNS, "explanation") if several else COLUMNS
        for row in range(len(self.explained)):
            for c in self.shown[row]:
                for voice, its_row, its_c in self.heard(row, c):
                    yield from (
                        (*each, voice.label) if several else each for each in voice.explained.rows(its_row, its_c)
                    )

    def _prediction_rows(self) -> Iterator[tuple[Any, ...]]:
        explained = self.explained
        yield "id", "label", *explained.answer_names
        for row, picture in enumerate(explained.ids):
            yield picture, explained.label(row) or "", *map(float, explained.answers[row])

    # Zones

    def zones(self, row: int, drawn: _Drawn) -> list[list[Any]]:
        """Return the coefficients of a picture's zones, class by class; none where zones were not asked for."""
        return [
            [row, c, [value for _, value in self._zones_of(self.voices[0], row, c, drawn)]]
            for c in self.shown[row]
            if drawn.shares
        ]

    def _zones_of(self, voice: _Voice, row: int, c: int, drawn: _Drawn) -> list[tuple[str, float]]:
        """Return what an explanation says by zone; none where zones were not asked for."""
        from facelime_cli.core.zones import NAMES, attribution_by_zone

        if not drawn.shares:
            return []
        values = attribution_by_zone(voice.explained.coefficients(row, c), drawn.shares[voice.segmentation])
        return [(name, float(value)) for name, value in zip(NAMES[str(self._params.by_zone)], values, strict=True)]

    def _zone_rows(self, artifact: Artifact) -> Iterator[tuple[Any, ...]]:
        from facelime_cli.core.zones import NAMES

        for facts in artifact.facts_of_units():
            for row, c, values in facts["zones"]:
                for name, value in zip(NAMES[str(self._params.by_zone)], values, strict=True):
                    yield self.explained.ids[row], self.explained.names[c], name, value

    def _zone_means(self, artifact: Artifact) -> list[tuple[str, ...]]:
        """Return a table of each zone's mean coefficient for each class, as it is shown."""
        from facelime_cli.reporting.explanations import PERCENT

        if not self._params.by_zone:
            return []
        found: dict[str, dict[str, list[float]]] = {}
        for _, name, zone, value in self._zone_rows(artifact):
            found.setdefault(zone, {}).setdefault(name, []).append(PERCENT * value)
        columns = list(dict.fromkeys(name for each in found.values() for name in each))
        means = [
            (zone, *(pages.signed(sum(each[name]) / len(each[name])) if name in each else "" for name in columns))
            for zone, each in found.items()
        ]
        return [("zone", *columns), *means]

    # Pages

    def page(self, artifact: Artifact, drawn: Sequence[_Drawn]) -> str:
        """Return the report's page: with every picture, or with an overview of their pages when nothing is drawn."""
        explained = self.explained
        overview = [self._overview(artifact, row) for row in range(len(explained))]
        return pages.render(
            "report.html",
            **self._common(artifact, artifact.name),
            n=len(explained),
            voices=[voice.label for voice in self.voices],
            readings=self._readings(),
            measured=any(
                not math.isnan(explained.figures(row, c)["r2"])
                for row in range(len(explained))
                for c in self.shown[row][:1]
            ),
            pictures=[self._picture(artifact, row, each, "") for row, each in enumerate(drawn)],
            overview=overview,
            said_classes=sorted({row["said"] for row in overview}),
            verdicts=sorted({row["verdict_kind"] for row in overview}),
            labelled=any(row["label"] is not None for row in overview),
            truth=self.truth_summary(),
            zones=self._zone_means(artifact),
        )

    def picture_page(self, artifact: Artifact, row: int, drawn: _Drawn) -> str:
        """Return a picture's own page."""
        beside = {
            name: _page_name(place).rpartition("/")[2] if 0 <= place < len(self.explained) else None
            for name, place in (("before", row - 1), ("after", row + 1))
        }
        return pages.render(
            "picture.html",
            **self._common(artifact, self.explained.ids[row]),
            **beside,
            picture=self._picture(artifact, row, drawn, "../"),
        )

    def _common(self, artifact: Artifact, title: str) -> dict[str, Any]:
        return {
            "title": title,
            "reference": f"{artifact.kind}/{artifact.id}",
            "scales": [
                (
                    scale,
                    next(voice.explained.quantity for voice in self.voices if voice.explained.quantity.name == unit),
                )
                for unit, scale in self._scales.items()
            ],
            "several": len(self.voices) > 1,
            "top": self.top,
            "size": int(self.explained.dataset.facts["size"]),
            "most_regions": max(max(voice.explained.counts) for voice in self.voices),
            "most_classes": max(map(len, self.shown)),
            "leakage": self.explained.dataset.facts.get("leakage", {}).get("sentences", []),
            "lineage": self._lineage(artifact),
            "software": self.explained.surrogates.software,
        }

    def _readings(self) -> list[tuple[str, str, list[str]]]:
        """Return how the numbers read: each unit and sentence once, with the explanations that are read so."""
        found: dict[tuple[str, str], list[str]] = {}
        for voice in self.voices:
            found.setdefault((voice.explained.quantity.short, voice.explained.quantity.reads), []).append(voice.label)
        return [(short, reads, whose) for (short, reads), whose in found.items()]

    @cache  # noqa: B019 - one report a run, with one artifact
    def _lineage(self, artifact: Artifact) -> list[dict[str, Any]]:
        return [
            *pages.origins(list({each.id: each for voice in self.voices for each in voice.explained.origins}.values())),
            {
                "kind": artifact.kind,
                "id": artifact.id,
                "stage": "render",
                "parameters": artifact.parameters,
                "content": "",
                "command": pages.command(artifact),
            },
        ]

    def _overview(self, artifact: Artifact, row: int) -> dict[str, Any]:
        explained, c = self.explained, self.shown[row][0] if self.shown[row] else None
        said, verdict = int(explained.answers[row].argmax()), NOT_EXPLAINED if c is None else explained.verdict(row, c)
        r2 = math.nan if c is None else explained.figures(row, c)["r2"]
        label = explained.label(row)
        return {
            "id": explained.ids[row],
            "anchor": _anchor(row),
            "href": f"#{_anchor(row)}" if self.one_page else _page_name(row),
            "thumbnail": self._source(artifact, _thumbnail_name(row), ""),
            "said": explained.answer_names[said],
            "points": round(100 * float(explained.answers[row][said]), 2),
            "label": label,
            "right": ""
            if label not in explained.answer_names
            else "right"
            if explained.answer_names[said] == label
            else "wrong",
            "verdict": verdict[:1].upper() + verdict[1:] if verdict != "trustworthy" else verdict,
            "verdict_kind": verdict.partition(":")[0],
            "r2": None if math.isnan(r2) else r2,
            "strong": None if c is None else round(explained.strengths(row, c)[0].value, 2),
        }

    def _picture(self, artifact: Artifact, row: int, drawn: _Drawn, above: str) -> dict[str, Any]:
        explained, full, label = self.explained, self.explained.answers[row], self.explained.label(row)
        names = explained.answer_names
        said = int(full.argmax())
        answer = [
            {"name": names[c], "points": 100 * float(full[c]), "said": int(c) == said, "label": names[c] == label}
            for c in full.argsort(kind="stable")[::-1]
        ]
        first = answer if len(answer) <= LISTED_CLASSES else answer[:5] + [each for each in answer[5:] if each["label"]]
        others = [each for each in answer if each not in first]
        return {
            "id": explained.ids[row],
            "anchor": _anchor(row),
            "answer": first,
            "rest": others if len(others) <= MOST_LISTED else [],
            "others": len(others),
            "others_points": sum(each["points"] for each in others),
            "label": label,
            "label_listed": any(each["label"] for each in first),
            "unchanged": explained.unchanged(row),
            "outlines": [(_prefix(row, place), paths) for place, paths in enumerate(drawn.paths)],
            "image": self._source(artifact, _picture_name(row), above),
            "inside": self._params.single_file,
            "size": int(explained.dataset.facts["size"]),
            "truth": self._truth_path(row),
            "classes": [self._class(row, c, drawn) for c in self.shown[row]],
        }

    def _source(self, artifact: Artifact, name: str, above: str) -> str:
        """Return where a page finds a picture: beside it, or inside itself."""
        if not self._params.single_file:
            return above + name
        from base64 import b64encode

        return f"data:image/jpeg;base64,{b64encode(artifact.file(name).read_bytes()).decode()}"

    def _truth_path(self, row: int) -> str | None:
        from facelime_cli.drawing.outlines import paths

        truth = self.explained.truth(row)
        return None if truth is None or not truth.any() or truth.all() else paths((truth > 0).astype("uint16"))[1]

    def _class(self, row: int, c: int, drawn: _Drawn) -> dict[str, Any]:
        """Return what everyone says of one class of a picture; who says nothing has a sentence for it."""
        heard = {voice.label: (voice, its_row, its_c) for voice, its_row, its_c in self.heard(row, c)}
        name, first = self.explained.names[c], next(iter(heard.values()))
        voices: list[dict[str, Any]] = []
        for voice in self.voices:
            if voice.label not in heard:
                silent = f"{name} of this picture" if self.explained.ids[row] in voice.places else "this picture"
                voices.append({"label": voice.label, "silent": f"{voice.label} does not explain {silent}."})
                continue
            its = heard[voice.label]
            beside = {
                "agreement": None if its is first else self._agreement(first, its),
                "answer": self._other_answer(*its),
                "silent": None,
            }
            voices.append({**self._explanation(*its, drawn), "prefix": _prefix(row, voice.segmentation), **beside})
        return {"name": name, "probability": float(self.explained.full[row][c]), "voices": voices}

    def _other_answer(self, voice: _Voice, row: int, c: int) -> tuple[str, float] | None:
        """Return another model's name and its probability of a class, or None where it is the report's own model, whose answer stands above."""
        its = voice.explained
        return (
            None
            if its.model.id == self.explained.model.id or its.names != its.answer_names
            else (its.model.name, float(its.full[row][c]))
        )

    def _agreement(self, first: tuple[_Voice, int, int], other: tuple[_Voice, int, int]) -> dict[str, Any] | None:
        """Return how far another explanation agrees with the first, or None where neither says anything."""
        import numpy as np

        from facelime_cli.core.agreement import Attribution, agreement

        one, two = (
            Attribution(voice.explained.segments(row), voice.explained.coefficients(row, c))
            for voice, row, c in (first, other)
        )
        if not one.coefficients.any() and not two.coefficients.any():
            return None
        return {
            "first": first[0].label,
            "by_region": np.array_equal(one.segments, two.segments),
            **vars(agreement(one, two, self.top)),
        }

    def _explanation(self, voice: _Voice, row: int, c: int, drawn: _Drawn) -> dict[str, Any]:
        from facelime_cli.core.fidelity import distinct
        from facelime_cli.reporting.explanations import PERCENT

        explained, figures = voice.explained, voice.explained.figures(row, c)
        strengths, interval = explained.strengths(row, c), explained.interval(row, c)[0]
        stable_top = int(explained.surrogates.parameters.get("stable_top", 1))
        return {
            "label": voice.label,
            "segmentation": voice.segmentation,
            "quantity": explained.quantity,
            "scale": self.scale(explained),
            "verdict": explained.verdict(row, c),
            **figures,
            "measured": not math.isnan(figures["r2"]),
            "repeats": not math.isnan(figures["topk_repeat"]),
            "probability": float(explained.full[row][c]),
            "distinct": int(distinct(interval[:, None], stable_top)[0]),
            "intervals": strengths[0].known,
            "without_intervals": explained.without_intervals,
            "zero": explained.zero,
            "samples": explained.samples(row),
            "segments": len(strengths),
            "regions": [self._region(each, len(strengths), self.scale(explained)) for each in strengths],
            "overlap": explained.overlap(row, c),
            "zones": [(name, PERCENT * value) for name, value in self._zones_of(voice, row, c, drawn)],
        }

    def _region(self, each: Strength, of: int, scale: float) -> dict[str, Any]:
        from facelime_cli.drawing.overlay import colour

        return {
            **asdict(each),
            "known": each.known,
            "unsure": each.unsure,
            "of": of,
            "colour": "#{:02x}{:02x}{:02x}".format(*colour(each.value, scale)),
        }

    def truth_summary(self) -> dict[str, Any]:
        """Return how much of the attribution lies on the known regions, over the pictures that have one and are explained for their own class."""
        import numpy as np

        explained = self.explained
        found = [
            explained.overlap(row, c)
            for row in range(len(explained))
            for c in self.shown[row]
            if explained.names[c] == explained.label(row)
        ]
        overlaps = [each for each in found if each is not None]
        if not overlaps:
            return {}
        mean = {
            name: round(float(np.mean([getattr(each, name) for each in overlaps])), 4)
            for name in ("on_truth", "by_chance", "pointing")
        }
        return {"truth": {"explanations": len(overlaps), **mean}}


def same_classes(names: Sequence[str], its: Sequence[str]) -> dict[int, int]:
    """Return for each class of one list its place in another: the same place where the lists are the same, else that of the same name where only one class of either has it.

    Parameters
    ----------
    names, its : sequence of str
    """
    if names == its:
        return {c: c for c in range(len(names))}
    once = [
        {name: place for place, name in enumerate(each) if number[name] == 1}
        for each, number in ((each, Counter(each)) for each in (names, its))
    ]
    return {place: once[1][name] for name, place in once[0].items() if name in once[1]}


def _anchor(row: int) -> str:
    return f"p{row:05d}"


def _prefix(row: int, segmentation: int) -> str:
    """Return what the names of a picture's outlines begin with."""
    return _anchor(row) if segmentation == 0 else f"{_anchor(row)}-{segmentation}"


def _picture_name(row: int) -> str:
    return f"pictures/{row:05d}.jpg"


def _thumbnail_name(row: int) -> str:
    return f"thumbnails/{row:05d}.jpg"


def _page_name(row: int) -> str:
    return f"pages/{row:05d}.html"


def _draw(drawing: _Drawing) -> _Drawn:
    """Write the copies of a picture, and outline its segments."""
    from PIL import Image

    from facelime_cli.drawing.overlay import towards_against

    Image.fromarray(drawing.image).save(drawing.picture, quality=JPEG_QUALITY, subsampling=0)
    small = Image.fromarray(towards_against(drawing.image, drawing.segments[0], drawing.coefficients, drawing.top))
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    small.save(drawing.thumbnail, quality=THUMBNAIL_QUALITY)
    return _outline(drawing)


def _outline(drawing: _Drawing) -> _Drawn:
    import numpy as np

    from facelime_cli.core import zones
    from facelime_cli.drawing import outlines

    shares = []
    if drawing.zones:
        found = zones.find(drawing.image, drawing.zones).zones
        shares = [
            zones.overlap(each, found, len(zones.NAMES[drawing.zones])) if each.size else np.empty((0, 0))
            for each in drawing.segments
        ]
    return _Drawn([outlines.paths(each) if each.size else [] for each in drawing.segments], shares)


def _figure(panel: Any) -> None:
    from facelime_cli.drawing import figures

    figures.draw(panel)


STAGE = Stage(name="render", writes="reports", version=5, params=Params, plan=plan, help=__doc__, sharded=True)
