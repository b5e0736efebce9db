"""A quick picture of any artifact, for `show --png`: what a glance at it should tell."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering import runtimes
from facelime_cli.answering.layers import check_layers
from facelime_cli.core.compose import composed
from facelime_cli.core.labels import words
from facelime_cli.core.masks import unpack
from facelime_cli.drawing import charts, curves, sheets
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.quantities import spoken_of
from facelime_cli.reporting.stand_ins import StandIns
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL import Image

    from facelime_cli.store.artifacts import Artifact

SHEET = 24
"""How many pictures of a dataset are drawn."""
SAMPLES = 18
"""How many perturbed pictures a sheet has, the unchanged one among them."""
TOP = 10
"""How many of the strongest segments are coloured."""
LONGEST_NAME = 40
"""Letters of a picture's or a class's name in a title."""
PICTURES = {"datasets": SHEET, "segments": 1, "masks": 1, "predictions": 1, "surrogates": 1, "checks": 1, "reports": 1}
"""For each kind that is drawn picture by picture, how many at once."""
BY_CLASS = frozenset({"predictions", "surrogates", "checks", "reports"})
"""Kinds that are drawn for one class."""


def draw(artifact: Artifact, rows: Sequence[int], c: int | None, file: Path) -> None:
    """Write a picture of an artifact.

    Parameters
    ----------
    artifact : Artifact
        A complete one.
    rows : sequence of int
        Which of its pictures to draw; none draws the first ones, or the whole.
    c : int or None
        For which class; None is the one that counts most.
    file : Path
        A PNG file to write.
    """
    from facelime_cli.drawing import figures

    found = PREVIEWS[artifact.kind](artifact, rows, c)
    if hasattr(found, "savefig"):
        figures.write(found, [file])
    else:
        found.save(file, format="PNG")


def _dataset(dataset: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    del c
    n_first = min(SHEET, dataset.n)
    rows = list(rows) or list(range(n_first))
    classes, ids = dataset.facts["classes"], dataset.texts("id")
    labels = dataset.read("labels")
    titles = []
    for row in rows:
        # The folder is left out of the title: it is the class, as a rule.
        _, _, name = ids[row].rpartition("/")
        titles.append(f"{name}\n{words(labels[row], classes) or 'no label'}")
    images = dataset.read("images", rows)
    return charts.sheet(images, titles)


def _model(model: Artifact, rows: Sequence[int], c: int | None) -> Figure | Image.Image:
    """Draw how it was trained, of every fold; for one from elsewhere its layers, as its file lists them."""
    del rows, c
    if "folds" in model.facts:
        return _histories(model)
    if model.facts.get("history"):
        return curves.history(model.facts)
    if runtimes.format_of(model) != runtimes.KERAS:
        check_layers(model)
        raise FacelimeError(
            f"{model.reference} has no list of its layers in its file; "
            f"`facelime activations models/{model.id} PICTURE` shows them."
        )
    # The file's own list is read: building the network would run what it contains, and take TensorFlow.
    with zipfile.ZipFile(model.file("model.keras")) as file:
        config = json.loads(file.read("config.json"))
    layers = list(_layers(config, ""))
    return sheets.listing(layers, f"{model.reference}: {len(layers)} layers")


def _histories(model: Artifact) -> Image.Image:
    """Return how the network of each fold was trained, one below the other."""
    from PIL import Image

    drawn = []
    for each in model.facts["folds"]:
        with Image.open(model.file(str(each["chart"]))) as picture:
            drawn.append(picture.convert("RGB"))
    found = Image.new("RGB", (max(each.width for each in drawn), sum(each.height for each in drawn)), "white")
    top = 0
    for each in drawn:
        found.paste(each, (0, top))
        top += each.height
    return found


def _layers(config: Any, indent: str) -> Iterator[str]:
    """Yield a line for each layer, those inside another layer indented."""
    for each in config.get("config", {}).get("layers", []):
        own = each.get("config", {})
        name = own.get("name", "")
        yield f"{indent}{each.get('class_name')}  {name}"
        yield from _layers(each, indent + "  ")


def _made_before(artifact: Artifact, rows: Sequence[int], c: int | None) -> Image.Image:
    """Return a figure that its stage has drawn."""
    from PIL import Image

    del rows, c
    # Sorted, since a folder lists its files in any order.
    folder = artifact.path / "figures"
    drawn = sorted(folder.glob("*.png"))
    if not drawn:
        raise FacelimeError(f"{artifact.reference} has no picture of its own; open its index.html.")
    return Image.open(drawn[0])


def _report(report: Artifact, rows: Sequence[int], c: int | None) -> Figure | Image.Image:
    """Return a figure that the report has, or draw the explanation where `render` was not asked for figures."""
    from PIL import Image

    if report.stage != "render":
        return _made_before(report, rows, c)
    explanations = Explanations.of(report)
    classes = report.parameters["classes"] if c is None else [c]
    row, c = _first_shown(explanations, rows, classes)
    drawn = report.path / "figures" / f"{row:05d}-class{c}.png"
    if drawn.exists():
        return Image.open(drawn)
    return _fitted(explanations, row, c)


def _segments(segments: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    del c
    row, one = _one(rows)
    pictures = Segmented(segments)
    picture = segments.texts("id")[row]
    name = charts.drawable(picture, sheets.LONGEST_LINE)
    n_segments = int(pictures.counts(one)[0])
    image = pictures.images(one)[0]
    labels = pictures.segments(one)[0]
    return sheets.numbered(image, labels, f"{name}: {n_segments} segments")


def _masks(masks: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    del c
    images, kept = _perturbed(masks, rows)
    drawn = kept[: len(images)]
    titles = [f"{int(each.sum())} of {len(each)} kept" for each in drawn]
    return sheets.perturbed(images, titles, None, "")


def _predictions(predictions: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    row, one = _one(rows)
    masks = predictions.input("masks")
    images, kept = _perturbed(masks, rows)
    n_samples, n_drawn = len(kept), len(images)
    probabilities = predictions.read("probabilities", one)[0, :n_samples]
    if c is None:
        # The first sample is the unchanged picture.
        c = int(runtimes.first_classes(predictions, probabilities[:1])[0, 0])
    of_class = probabilities[:, c]
    shown = of_class.astype(np.float64)
    spoken = spoken_of(predictions, float(np.abs(shown).max()))
    # All samples are in the histogram, only the first have a picture.
    titles = [spoken.answer(float(value)) for value in shown[:n_drawn]]
    name = predictions.facts["classes"][c]
    picture = predictions.texts("id")[row]
    unit = f" in {spoken.unit}" if spoken.unit else ""
    what = f"{name}{unit}" if spoken.values else f"probability of {name}"
    return sheets.perturbed(images, titles, shown, f"{what}, {picture}")


def _perturbed(masks: Artifact, rows: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the first perturbed pictures of a picture, and all its masks as (S, K) bool."""
    _, one = _one(rows)
    pictures = Segmented(masks)
    n_samples = int(masks.read("n_samples", one)[0])
    n_segments = int(pictures.counts(one)[0])
    # A picture may have fewer samples than the array has rows.
    packed = masks.read("masks", one)[0, :n_samples]
    kept = unpack(packed, n_segments)
    image = pictures.images(one)[0]
    fill = pictures.fill(one)[0]
    segments = pictures.segments(one)[0]
    drawn = kept[:SAMPLES]
    return composed(image, fill, segments, drawn), kept


def _surrogates(surrogates: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    explanations = Explanations(surrogates)
    classes = None if c is None else [c]
    row, chosen = _first_shown(explanations, rows, classes)
    return _fitted(explanations, row, chosen)


def _check(check: Artifact, rows: Sequence[int], c: int | None) -> Figure:
    """Draw the picture, what stands in for its regions, and the picture without its strongest ones."""
    explanations = Explanations.of(check)
    row, c = _first_shown(explanations, rows, None if c is None else [c])
    stood_in = StandIns(explanations, people=True)
    picture = charts.drawable(explanations.ids[row], LONGEST_NAME)
    images, titles = [explanations.image(row)], [f"{picture}: {explanations.verdict(row, c)}"]
    for each in stood_in.of(row):
        images.append(each.picture())
        titles.append(each.words)
    for example in stood_in.examples(row, c):
        images.append(stood_in.composed(example))
        regions = ", ".join(str(each) for each in example.regions)
        after, before = (explanations.spoken.answer(value) for value in (example.after, example.before))
        titles.append(f"{after} without {regions} (before: {before})")
    return sheets.perturbed(np.stack(images), titles, None, "")


def _first_shown(explanations: Explanations, rows: Sequence[int], classes: Sequence[int] | None) -> tuple[int, int]:
    """Return the picture and the class of the first explanation that there is of these."""
    every = range(len(explanations))
    for row in rows or every:
        shown = explanations.shown(row, classes)
        if shown:
            return row, shown[0]
    which = f"{explanations.ids[rows[0]]} is" if rows else "the pictures are"
    raise NotFoundError(
        f"{which} not explained for this class in surrogates/{explanations.surrogates.id}; "
        "choose another with --classes."
    )


def _fitted(explanations: Explanations, row: int, c: int) -> Figure:
    """Draw an explanation, and how well the surrogate fits where one was fitted."""
    picture = charts.drawable(explanations.ids[row], LONGEST_NAME)
    name = charts.drawable(explanations.names[c], LONGEST_NAME)
    title = f"{picture}: {'what raises and lowers' if explanations.values else 'for and against'} {name}"
    image = explanations.image(row)
    segments = explanations.segments(row)
    coefficients = explanations.coefficients(row, c)
    fit = _fit(explanations, row, c)
    words = _words_of_fit(explanations)
    return sheets.fitted(image, segments, coefficients, TOP, title, fit, words)


def _fit(explanations: Explanations, row: int, c: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return what the model and what the surrogate say of each sample, (S,) each; None where nothing was fitted."""
    masks, predictions = explanations.masks, explanations.predictions
    if not explanations.fitted or masks is None or predictions is None:
        return None
    one = slice(row, row + 1)
    coefficients = explanations.coefficients(row, c)
    n_samples, n_segments = explanations.samples(row), len(coefficients)
    packed = masks.read("masks", one)[0, :n_samples]
    kept = unpack(packed, n_segments)
    intercepts = explanations.surrogates.read("intercept", one)
    intercept = intercepts[0, c]
    # The surrogate at a mask: the intercept and the coefficients of the segments that it keeps.
    by_surrogate = intercept + kept @ coefficients
    probabilities = predictions.read("probabilities", one)[0, : len(kept)]
    by_model = probabilities.astype(np.float64)
    if explanations.contrast is None:
        return by_model[:, c], by_surrogate
    first, second = explanations.contrast
    difference = by_model[:, first] - by_model[:, second]
    return difference, by_surrogate


def _words_of_fit(explanations: Explanations) -> tuple[str, str]:
    """Return what it is that model and surrogate say, and to which samples the surrogate was fitted."""
    parameters = explanations.fitted_as.parameters
    part = parameters.get("part")
    which = f"part {part} of these samples" if part else "these samples"
    what = explanations.spoken.what
    if explanations.contrast is not None:
        what = "difference of values" if explanations.values else "difference of probabilities"
    return f"{what} by the model", f"fitted to {which}"


def _one(rows: Sequence[int]) -> tuple[int, slice]:
    """Return the one picture that is drawn, as its row and as a slice."""
    row = rows[0] if rows else 0
    return row, slice(row, row + 1)


PREVIEWS: dict[str, Callable[[Artifact, Sequence[int], int | None], Any]] = {
    "datasets": _dataset,
    "models": _model,
    "evaluations": _made_before,
    "segments": _segments,
    "masks": _masks,
    "predictions": _predictions,
    "surrogates": _surrogates,
    "checks": _check,
    "reports": _report,
}
"""For each kind what draws an artifact: of which of its pictures, and for which class."""
