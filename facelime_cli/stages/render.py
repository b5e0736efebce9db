"""Draw each explanation and write the report: figures, a table of coefficients, and one page that opens from disk.

Vermilion speaks for a class, blue against it. One colour scale, in probability points, holds for the whole report, so that pictures can be compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import pages, presets
from facelime_cli.errors import NotFoundError
from facelime_cli.files import write_csv, write_whole
from facelime_cli.stage import Choice, Execution, Input, Plan, Stage
from facelime_cli.stages.perturb import carried
from facelime_cli.store import Layout
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact

POINTS = 100
MOST_PROBABLE = 5
NICE_SCALES = (1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)
"""Ends of the colour scale, in probability points."""
COLUMNS = ("id", "class", "rank", "segment", "coefficient", "low", "high", "p_sign", "pixels")


DEFAULTS: dict[str, Any] = {"top": 10}
"""Where neither the command line nor a preset says anything."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `render`."""

    surrogates: Annotated[str, Argument(metavar="SURROGATES", help="Surrogates, or - to read them from standard input.", show_default=False), Input(("surrogates",))]
    preset: Annotated[str | None, Choice(tuple(presets.PRESETS)), Option(show_default=False, help=f"As many segments as another system marks. {presets.help_of(presets.SYSTEMS)}."), Execution()] = None
    top: Annotated[int | None, Option(min=1, show_default=False, help=f"How many of the strongest segments the overlay marks. {presets.default_words('top', DEFAULTS['top'])}")] = None
    classes: Annotated[str | None, Option(metavar="A,B,…", show_default=False, help="Classes to explain, by name or by number from 0. [default: each picture's most probable]")] = None
    workers: Annotated[int | None, Option(min=1, show_default=False, help="Parallel processes. [default: one per core]"), Execution()] = None


@dataclass(frozen=True)
class Panel:
    """What one figure shows: picture, segments and coefficients of one class, and the report's colour scale in probability points."""

    image: NDArray[np.uint8]
    segments: NDArray[np.uint16]
    coefficients: NDArray[np.float64]
    truth: NDArray[np.uint8] | None
    top: int
    scale: float
    files: tuple[Path, ...]


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the classes; the colour scale follows from all of them."""
    surrogates = inputs["surrogates"]
    names: list[str] = surrogates.facts["classes"]
    top: int = presets.filled(params, DEFAULTS).top
    chosen = None if params.classes is None else [class_index(each, names) for each in ([params.classes] if params.classes in names else params.classes.split(","))]

    @cache
    def report() -> _Report:
        return _Report(surrogates, chosen, top)

    def work(artifact: Artifact, units: Pending) -> None:
        with Workers(params.workers) as workers, context.console.progress("render", units.pictures) as advance:
            for unit in units:
                panels = [panel for row in range(unit.rows.start, unit.rows.stop) for panel in report().panels(artifact, row)]
                for _ in workers.map(_draw, panels):
                    pass
                advance(unit.n)
                unit.finish({}, made=[f"figures/{path.name}" for panel in panels for path in panel.files])

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        write_csv(artifact.file("coefficients.csv"), report().table())
        write_whole(artifact.file("index.html"), report().page(artifact).encode())
        context.console.note(f"page: {artifact.path / 'index.html'}")
        return {"scale_probability_points": report().scale, **report().truth_summary()}, ["coefficients.csv", "index.html"]

    return Plan({"top": top, "classes": chosen}, surrogates.name, lambda: Layout(surrogates.n, constants=carried(surrogates), facts={"classes": names}), work, inputs, finish=finish)


def class_index(text: str, names: list[str]) -> int:
    """Return the class that a name or a number means."""
    word = text.strip()
    found = [index for index, name in enumerate(names) if name == word]
    if len(found) == 1:
        return found[0]
    if word.isdecimal() and int(word) < len(names) and not found:
        return int(word)
    if found:
        raise NotFoundError(f"{len(found)} classes are called {word!r}; use their numbers, {', '.join(map(str, found))}.")
    raise NotFoundError(f"there is no class {word!r}; the classes are {', '.join(names[:8])}{' …' if len(names) > 8 else ''}.")  # noqa: PLR2004 - as many as fit a line


class _Report:
    """Everything that the figures, the table and the page of one report are made from."""

    def __init__(self, surrogates: Artifact, chosen: list[int] | None, top: int) -> None:
        self.surrogates, self.top = surrogates, top
        self.segments, self.masks, self.predictions, self.model = (surrogates.input(kind) for kind in ("segments", "masks", "predictions", "models"))
        self.dataset = self.segments.input("datasets")
        self.names: list[str] = surrogates.facts["classes"]
        self.ids = surrogates.texts("id")
        self.full = [self.predictions.read("probabilities", slice(row, row + 1))[0, 0] for row in range(surrogates.n)]
        self.shown = [[int(full.argmax())] if chosen is None else chosen for full in self.full]
        self.counts = self.segments.read("n_segments")
        self.scale = self._scale()

    def _scale(self) -> float:
        """Return the end of the colour scale: the least round number that no shown coefficient exceeds."""
        import numpy as np

        largest = max(float(np.abs(self.coefficients(row, c)).max()) for row in range(len(self.ids)) for c in self.shown[row]) * POINTS
        return float(next((nice for nice in NICE_SCALES if nice >= largest), largest))

    def coefficients(self, row: int, c: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._of("coefficients", row)[c, : self.counts[row]]
        return found

    def _of(self, name: str, row: int) -> NDArray[Any]:
        found: NDArray[Any] = self.surrogates.read(name, slice(row, row + 1))[0]
        return found

    def _image(self, row: int) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self.dataset.read("images", [self._dataset_row(row)])[0]
        return found

    def _dataset_row(self, row: int) -> int:
        return int(self._of("row", row))

    def _segments(self, row: int) -> NDArray[np.uint16]:
        found: NDArray[np.uint16] = self.segments.read("segments", slice(row, row + 1))[0]
        return found

    def panels(self, artifact: Artifact, row: int) -> list[Panel]:
        """Return what to draw for one picture, one figure a class."""
        image, segments = self._image(row), self._segments(row)
        return [Panel(image, segments, self.coefficients(row, c), self._truth(row), self.top, self.scale, tuple(artifact.file(name) for name in _figure_names(row, c))) for c in self.shown[row]]

    def table(self) -> Iterator[tuple[Any, ...]]:
        """Yield the coefficients of every shown class, strongest first, below a heading; in probability."""
        yield COLUMNS
        for row in range(len(self.ids)):
            pixels = _sizes(self._segments(row))
            for c in self.shown[row]:
                yield from coefficient_rows((self.ids[row], self.names[c]), self.coefficients(row, c), self._of("interval", row)[c], self._of("p_sign", row)[c], pixels)

    def page(self, artifact: Artifact) -> str:
        """Return the report's page."""
        return pages.render(
            "report.html",
            title=artifact.name,
            reference=f"{artifact.kind}/{artifact.id}",
            scale=self.scale,
            top=self.top,
            pictures=[self._picture(row) for row in range(len(self.ids))],
            truth=self.truth_summary(),
            lineage=pages.origins([self.dataset, self.model, self.segments, self.masks, self.predictions, self.surrogates]),
            software=self.surrogates.manifest["software"],
            leakage=self.dataset.facts.get("leakage", {}).get("sentences", []),
        )

    def _picture(self, row: int) -> dict[str, Any]:
        full = self.full[row]
        probable = [int(c) for c in full.argsort()[::-1][:MOST_PROBABLE]]
        return {
            "id": self.ids[row],
            "label": self._label(row),
            "probable": [(self.names[c], float(full[c]) * POINTS) for c in probable],
            "unchanged": self._unchanged(row),
            "explanations": [self._explanation(row, c) for c in self.shown[row]],
        }

    def _label(self, row: int) -> str | None:
        label = int(self.dataset.read("labels", [self._dataset_row(row)])[0])
        return self.dataset.facts["classes"][label] if label >= 0 else None

    def _unchanged(self, row: int) -> int:
        """Return on how many segments the fill changes nothing, so that they must look unimportant."""
        from facelime_cli.core.fills import unchanged

        return int(unchanged(self._image(row), self.masks.read("fill", slice(row, row + 1))[0], self._segments(row)).sum())

    def _explanation(self, row: int, c: int) -> dict[str, Any]:
        from facelime_cli.core.fidelity import distinct
        from facelime_cli.core.overlay import strongest

        coefficients, interval, p_sign = self.coefficients(row, c), self._of("interval", row)[c], self._of("p_sign", row)[c]
        png, svg = _figure_names(row, c)
        figures = {name: float(self._of(name, row)[c]) for name in ("r2", "rmse", "effective_samples", "topk_repeat", "local_prediction")}
        return {
            "name": self.names[c],
            "png": png,
            "svg": svg,
            "verdict": str(self._of("verdict", row)[c]),
            **figures,
            "repeats": not math.isnan(figures["topk_repeat"]),
            "probability": float(self.full[row][c]),
            "distinct": int(distinct(interval[:, None], int(self.surrogates.parameters["stable_top"]))[0]),
            "intervals": not math.isnan(float(interval[0, 0])),
            "samples": int(self.masks.read("n_samples", slice(row, row + 1))[0]),
            "segments": len(coefficients),
            "strongest": [_strong(int(k), float(coefficients[k]), interval[k], float(p_sign[k])) for k in strongest(coefficients, self.top)],
            "overlap": self._overlap(row, c),
        }

    def _truth(self, row: int) -> NDArray[np.uint8] | None:
        import numpy as np

        return np.asarray(self.dataset.read("truth", [self._dataset_row(row)])[0]) if "truth" in self.dataset.layout["arrays"] else None

    def _overlap(self, row: int, c: int) -> Any:
        from facelime_cli.core.attribution import overlap

        truth = self._truth(row)
        return None if truth is None else overlap(self.coefficients(row, c), self._segments(row), truth)

    def truth_summary(self) -> dict[str, Any]:
        """Return how much of the attribution lies on the known regions, over the pictures that have one and are explained for their own class."""
        import numpy as np

        found = [self._overlap(row, c) for row in range(len(self.ids)) for c in self.shown[row] if self.names[c] == self._label(row)]
        overlaps = [each for each in found if each is not None]
        if not overlaps:
            return {}
        mean = {name: round(float(np.mean([getattr(each, name) for each in overlaps])), 4) for name in ("on_truth", "by_chance", "pointing")}
        return {"truth": {"explanations": len(overlaps), **mean}}


def coefficient_rows(of: tuple[str, str], coefficients: NDArray[np.float64], interval: NDArray[np.float64], p_sign: NDArray[np.float64], pixels: NDArray[np.int64]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the coefficient table for one picture and class, strongest first; floats as Python prints them, nothing where there is no interval."""
    for rank, k in enumerate((-abs(coefficients)).argsort(kind="stable"), start=1):
        known = ["" if math.isnan(value) else float(value) for value in (*interval[k], p_sign[k])]
        yield *of, rank, int(k), float(coefficients[k]), *known, int(pixels[k])


def _strong(segment: int, coefficient: float, interval: NDArray[np.float64], p_sign: float) -> dict[str, Any]:
    """Return a row of the page's table of strongest segments, in probability points."""
    low, high = (POINTS * float(bound) for bound in interval)
    return {"segment": segment, "points": POINTS * coefficient, "low": low, "high": high, "sure": POINTS * p_sign, "known": not math.isnan(low)}


def _sizes(segments: NDArray[np.uint16]) -> NDArray[np.int64]:
    import numpy as np

    return np.bincount(segments.ravel())


def _figure_names(row: int, c: int) -> tuple[str, str]:
    return f"figures/{row:05d}-class{c}.png", f"figures/{row:05d}-class{c}.svg"


def _draw(panel: Panel) -> None:
    from facelime_cli.core import figures

    figures.write(figures.explanation(panel.image, panel.segments, panel.coefficients, panel.top, panel.scale, panel.truth), panel.files)


STAGE = Stage(name="render", writes="reports", version=3, params=Params, plan=plan, help=__doc__, sharded=True)
