"""A quick picture of any artifact, for `show --png`: what a look at it should tell."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.masks import unpack
from facelime_cli.drawing import charts, curves, sheets
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.models import runtimes
from facelime_cli.reporting.explanations import PERCENT, Explained, explained_by
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from PIL import Image

    from facelime_cli.store.artifacts import Artifact

SHEET = 24
SAMPLES = 18
"""How many perturbed pictures a sheet has, the unchanged one among them."""
TOP = 10
PICTURES = {"datasets": SHEET, "segments": 1, "masks": 1, "predictions": 1, "surrogates": 1, "reports": 1}
"""For each kind that is drawn picture by picture, how many at once."""
BY_CLASS = frozenset({"predictions", "surrogates", "reports"})
"""Kinds that are drawn for one class."""


def draw(artifact: Artifact, rows: Sequence[int], c: int | None, file: Path) -> None:
    """Write a picture of an artifact: of these of its pictures, where there are none of the first, or of the whole; for class `c`, or the one that counts most."""
    from facelime_cli.drawing import figures

    found = LOOKS[artifact.kind](artifact, rows, c)
    if hasattr(found, "savefig"):
        figures.write(found, [file])
    else:
        found.save(file, format="PNG")


def _dataset(dataset: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    del c
    rows = list(rows) or list(range(min(SHEET, dataset.n)))
    classes, ids = dataset.facts["classes"], dataset.texts("id")
    labels = dataset.read("labels")
    titles = [
        f"{ids[each].rpartition('/')[2]}\n{classes[labels[each]] if labels[each] >= 0 else 'no label'}" for each in rows
    ]
    return charts.sheet(dataset.read("images", rows), titles)


def _model(model: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    """Draw how it was trained; for one from elsewhere its layers, as its file lists them."""
    del rows, c
    if history := model.facts.get("history"):
        return curves.history(history)
    runtimes.check_layers(model)
    with zipfile.ZipFile(model.file("model.keras")) as file:
        layers = [*_layers(json.loads(file.read("config.json")), "")]
    return sheets.listing(layers, f"{model.kind}/{model.id}: {len(layers)} layers")


def _layers(config: Any, indent: str) -> list[str]:
    found = []
    for each in config.get("config", {}).get("layers", []):
        found += [
            f"{indent}{each.get('class_name')}  {each.get('config', {}).get('name', '')}",
            *_layers(each, indent + "  "),
        ]
    return found


def _made_before(artifact: Artifact, rows: Sequence[int], c: int | None) -> Image.Image:
    """Return a figure that its stage has drawn."""
    from PIL import Image

    del rows, c
    drawn = sorted((artifact.path / "figures").glob("*.png"))
    if not drawn:
        raise FacelimeError(f"{artifact.kind}/{artifact.id} has no picture of its own; open its index.html.")
    return Image.open(drawn[0])


def _report(report: Artifact, rows: Sequence[int], c: int | None) -> Figure | Image.Image:
    """Return the figure of an explanation that `render` has drawn, or draw the explanation; of other reports a figure that there is."""
    from PIL import Image

    if report.stage != "render":
        return _made_before(report, rows, c)
    explained = Explained(explained_by(report))
    row, c = _explanation(explained, rows, report.parameters["classes"] if c is None else [c])
    drawn = report.path / "figures" / f"{row:05d}-class{c}.png"
    return Image.open(drawn) if drawn.exists() else _fitted(explained, row, c)


def _segments(segments: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    del c
    row, one = _one(rows)
    pictures = Segmented(segments)
    name = charts.drawable(segments.texts("id")[row], sheets.LONGEST_LINE)
    title = f"{name}: {int(pictures.counts(one)[0])} segments"
    return sheets.numbered(pictures.images(one)[0], pictures.segments(one)[0], title)


def _masks(masks: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    del c
    images, kept = _perturbed(masks, rows)
    return sheets.perturbed(
        images, [f"{int(each.sum())} of {len(each)} kept" for each in kept[: len(images)]], None, ""
    )


def _predictions(predictions: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    row, one = _one(rows)
    images, kept = _perturbed(predictions.input("masks"), rows)
    probabilities = predictions.read("probabilities", one)[0, : len(kept)]
    c = int(probabilities[0].argmax()) if c is None else c
    name, shown = predictions.facts["classes"][c], probabilities[:, c].astype(np.float64)
    return sheets.perturbed(
        images,
        [f"{PERCENT * value:.1f} %" for value in shown[: len(images)]],
        shown,
        f"probability of {name}, {predictions.texts('id')[row]}",
    )


def _perturbed(masks: Artifact, rows: Sequence[int]) -> tuple[Any, Any]:
    """Return the first perturbed pictures of a picture, and all its masks as (S, K) bool."""
    _, one = _one(rows)
    pictures = Segmented(masks)
    n_samples = int(masks.read("n_samples", one)[0])
    kept = unpack(masks.read("masks", one)[0, :n_samples], int(pictures.counts(one)[0]))
    image, fill, segments = pictures.images(one)[0], pictures.fill(one)[0], pictures.segments(one)[0]
    return sheets.composed(image, fill, segments, kept[:SAMPLES]), kept


def _surrogates(surrogates: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    explained = Explained(surrogates)
    return _fitted(explained, *_explanation(explained, rows, None if c is None else [c]))


def _explanation(explained: Explained, rows: Sequence[int], classes: Sequence[int] | None) -> tuple[int, int]:
    """Return the picture and the class of the first explanation that there is of these."""
    found = next(
        ((row, shown[0]) for row in rows or range(len(explained)) if (shown := explained.shown(row, classes))), None
    )
    if found is None:
        which = f"{explained.ids[rows[0]]} is" if rows else "the pictures are"
        raise NotFoundError(
            f"{which} not explained for this class in surrogates/{explained.surrogates.id}; choose another with --classes."
        )
    return found


def _fitted(explained: Explained, row: int, c: int) -> Figure:
    """Draw an explanation, and how well the surrogate fits where one was fitted."""
    one, surrogates, coefficients, fit = slice(row, row + 1), explained.surrogates, explained.coefficients(row, c), None
    if explained.fitted and explained.masks is not None and explained.predictions is not None:
        kept = unpack(explained.masks.read("masks", one)[0, : explained.samples(row)], len(coefficients))
        said = surrogates.read("intercept", one)[0, c] + kept @ coefficients
        answered = explained.predictions.read("probabilities", one)[0, : len(kept)].astype(np.float64)
        fit = (
            answered[:, c]
            if explained.contrast is None
            else answered[:, explained.contrast[0]] - answered[:, explained.contrast[1]],
            said,
        )
    title = f"{charts.drawable(explained.ids[row], 40)}: for and against {charts.drawable(explained.names[c], 40)}"
    part = explained.fitted_as.parameters.get("part")
    words = (
        "probability by the model" if explained.contrast is None else "difference of probabilities by the model",
        f"fitted to {f'part {part} of ' if part else ''}these samples",
    )
    return sheets.fitted(explained.image(row), explained.segments(row), coefficients, TOP, title, fit, words)


def _one(rows: Sequence[int]) -> tuple[int, slice]:
    """Return the one picture that is drawn, as its row and as a slice."""
    row = rows[0] if rows else 0
    return row, slice(row, row + 1)


LOOKS: dict[str, Callable[[Artifact, Sequence[int], int | None], Any]] = {
    "datasets": _dataset,
    "models": _model,
    "evaluations": _made_before,
    "segments": _segments,
    "masks": _masks,
    "predictions": _predictions,
    "surrogates": _surrogates,
    "reports": _report,
}
"""For each kind, the picture of one artifact; of which of its pictures, and for which class."""
