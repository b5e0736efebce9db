"""A quick picture of any artifact, for `show --png`: what a look at it should tell."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import runtimes
from facelime_cli.core import charts, curves, looks
from facelime_cli.core.masks import unpack
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.explained import PERCENT, Explained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure
    from PIL import Image

    from facelime_cli.store import Artifact

SHEET = 24
SAMPLES = 18
"""How many perturbed pictures a sheet has, the unchanged one among them."""
TOP = 10


def draw(artifact: Artifact, row: int, file: Path) -> None:
    """Write a picture of an artifact: of its picture `row`, or of the whole."""
    from facelime_cli.core import figures

    found = LOOKS[artifact.kind](artifact, row)
    if hasattr(found, "savefig"):
        figures.write(found, [file])
    else:
        found.save(file, format="PNG")


def _dataset(dataset: Artifact, row: int) -> Figure:
    rows = list(range(row, min(row + SHEET, dataset.n)))
    classes, ids = dataset.facts["classes"], dataset.texts("id")
    labels = dataset.read("labels")
    titles = [f"{ids[each].rpartition('/')[2]}\n{classes[labels[each]] if labels[each] >= 0 else 'no label'}" for each in rows]
    return charts.sheet(dataset.read("images", rows), titles)


def _model(model: Artifact, row: int) -> Figure:
    """Draw how it was trained; for one from elsewhere its layers, as its file lists them."""
    del row
    if history := model.facts.get("history"):
        return curves.history(history)
    runtimes.check_layers(model)
    with zipfile.ZipFile(model.file("model.keras")) as file:
        layers = [*_layers(json.loads(file.read("config.json")), "")]
    return looks.listing(layers, f"{model.kind}/{model.id}: {len(layers)} layers")


def _layers(config: Any, indent: str) -> list[str]:
    found = []
    for each in config.get("config", {}).get("layers", []):
        found += [f"{indent}{each.get('class_name')}  {each.get('config', {}).get('name', '')}", *_layers(each, indent + "  ")]
    return found


def _made_before(artifact: Artifact, row: int) -> Figure | Image.Image:
    """Return a figure that its stage has drawn; for explanations without figures, the first of them anew."""
    from PIL import Image

    del row
    drawn = sorted((artifact.path / "figures").glob("*.png"))
    if drawn:
        return Image.open(drawn[0])
    try:
        return _surrogates(artifact.input("surrogates"), 0)
    except NotFoundError:
        raise FacelimeError(f"{artifact.kind}/{artifact.id} has no picture of its own; open its index.html.") from None


def _segments(segments: Artifact, row: int) -> Figure:
    one = slice(row, row + 1)
    image = segments.input("datasets").read("images", [int(segments.read("row", one)[0])])[0]
    return looks.numbered(image, segments.read("segments", one)[0], f"{charts.drawable(segments.texts('id')[row], looks.LONGEST_LINE)}: {int(segments.read('n_segments', one)[0])} segments")


def _masks(masks: Artifact, row: int) -> Figure:
    images, kept = _perturbed(masks, row)
    return looks.perturbed(images, [f"{int(each.sum())} of {len(each)} kept" for each in kept[: len(images)]], None, "")


def _predictions(predictions: Artifact, row: int) -> Figure:
    images, kept = _perturbed(predictions.input("masks"), row)
    probabilities = predictions.read("probabilities", slice(row, row + 1))[0, : len(kept)]
    c = int(probabilities[0].argmax())
    name, shown = predictions.facts["classes"][c], probabilities[:, c].astype(np.float64)
    return looks.perturbed(images, [f"{PERCENT * value:.1f} %" for value in shown[: len(images)]], shown, f"probability of {name}, {predictions.texts('id')[row]}")


def _perturbed(masks: Artifact, row: int) -> tuple[Any, Any]:
    """Return the first perturbed pictures of a picture, and all its masks as (S, K) bool."""
    one = slice(row, row + 1)
    segments = masks.input("segments")
    image = segments.input("datasets").read("images", [int(masks.read("row", one)[0])])[0]
    kept = unpack(masks.read("masks", one)[0, : int(masks.read("n_samples", one)[0])], int(segments.read("n_segments", one)[0]))
    return looks.composed(image, masks.read("fill", one)[0], segments.read("segments", one)[0], kept[:SAMPLES]), kept


def _surrogates(surrogates: Artifact, row: int) -> Figure:
    explained, one = Explained(surrogates), slice(row, row + 1)
    c = explained.shown(row, None)[0]
    coefficients, fit = explained.coefficients(row, c), None
    if explained.fitted and explained.masks is not None and explained.predictions is not None:
        kept = unpack(explained.masks.read("masks", one)[0, : explained.samples(row)], len(coefficients))
        said = surrogates.read("intercept", one)[0, c] + kept @ coefficients
        fit = (explained.predictions.read("probabilities", one)[0, : len(kept), c].astype(np.float64), said)
    title = f"{charts.drawable(explained.ids[row], 40)}: for and against {charts.drawable(explained.names[c], 40)}"
    return looks.fitted(explained.image(row), explained.segments(row), coefficients, TOP, title, fit)


LOOKS: dict[str, Callable[[Artifact, int], Any]] = {
    "datasets": _dataset,
    "models": _model,
    "evaluations": _made_before,
    "segments": _segments,
    "masks": _masks,
    "predictions": _predictions,
    "surrogates": _surrogates,
    "reports": _made_before,
}
"""For each kind, the picture of one artifact; `row` is the picture that it is about."""
