"""Show everything on drawn faces: no data, no download, about half a minute on two cores.

Half of the faces have a rosacea-like flush whose place is known. A small network learns to tell them apart, six test pictures are explained, and the report
says how much of the attribution lies on the true flush.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, execute
from facelime_cli.errors import FacelimeError
from facelime_cli.names import listing
from facelime_cli.sources import PARTS
from facelime_cli.stages import explain, finetune, preprocess

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact

SIZE = 96
CLASSES = ("normal", "rosacea")
EXPLAINED = {"rosacea": 4, "normal": 2}
EPOCHS = 14
LEARNING_RATE = 2e-3
SAMPLES = 600
SEGMENTS = 60


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `demo`."""

    faces: Annotated[int, Option(min=100, help="How many faces are drawn.")] = 600
    seed: Annotated[int, Option(min=0, help="Seed of the faces.")] = 0
    draw: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            show_default=False,
            help="Only draw: write the faces to DIR/pictures, where they are flushed to DIR/truth, and stop.",
        ),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Draw, train and explain."""
    console = context.console
    if params.draw is not None:
        return _drawn(params, params.draw)
    with tempfile.TemporaryDirectory(prefix="facelime-") as folder:
        pictures, truth = Path(folder) / "faces", Path(folder) / "truth"
        console.note(f"drawing {params.faces} faces of {SIZE}×{SIZE} pixels, half of them flushed")
        draw_faces(pictures, truth, params.faces, params.seed)
        dataset = execute(
            preprocess.STAGE,
            preprocess.Params(source=[pictures], size=SIZE, truth=truth),
            replace(context, name="demo-faces"),
        ).artifact
    console.note("training a small network")
    model = execute(
        finetune.STAGE,
        finetune.Params(dataset=_reference(dataset), backbone="cnn-small", epochs=EPOCHS, learning_rate=LEARNING_RATE),
        replace(context, name="demo-cnn"),
    ).artifact
    console.note(f"explaining {sum(EXPLAINED.values())} test pictures with {SAMPLES} samples each")
    chosen = _choose(dataset)
    result = explain.explain(
        explain.Params(
            source=_reference(dataset),
            model=_reference(model),
            segments=SEGMENTS,
            images=listing(chosen),
            samples=SAMPLES,
        ),
        context,
    )
    return _answer(result.json(), result.artifact, model)


def _drawn(params: Params, place: Path) -> Answer:
    """Draw into a folder of the user's, which must be new or empty."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FacelimeError(f"{place} is there already; name a folder that is new or empty with --draw.")
    draw_faces(place / "pictures", place / "truth", params.faces, params.seed)
    return Answer(
        {"pictures": str(place / "pictures"), "truth": str(place / "truth"), "faces": params.faces}, [str(place)]
    )


def draw_faces(pictures: Path, truth: Path, count: int, seed: int) -> None:
    """Write `count` drawn faces as PNG files into a folder per class, and where they are flushed into another."""
    from PIL import Image

    from facelime_cli.core.faces import draw

    for number in range(count):
        label = CLASSES[number % len(CLASSES)]
        face = draw(seed, number, SIZE, flushed=label == "rosacea")
        for folder, array in ((pictures, face.image), (truth, face.truth * 255)):
            (folder / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / label / f"face-{number:04d}.png")


def _reference(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.id}"


def _choose(dataset: Artifact) -> list[str]:
    """Return the ids of the test pictures to explain: the first few of each class."""
    ids, labels, split = dataset.texts("id"), dataset.read("labels"), dataset.read("split")
    chosen = []
    for name, count in EXPLAINED.items():
        label = dataset.facts["classes"].index(name)
        chosen += [
            each
            for each, of, part in zip(ids, labels, split, strict=True)
            if of == label and part == PARTS.index("test")
        ][:count]
    return chosen


def _answer(value: dict[str, Any], report: Artifact, model: Artifact) -> Answer:
    page = str(report.path.absolute() / "index.html")
    test, truth = model.facts["test"], report.facts["truth"]
    lines = [
        f"The network is right on {100 * test['accuracy']:.1f} % of {test['n']} test faces.",
        f"{100 * truth['on_truth']:.0f} % of what speaks for rosacea lies on the true flush ({100 * truth['by_chance']:.0f} % if it were spread evenly).",
        f"{100 * truth['pointing']:.0f} % of the strongest region does, on average over {truth['explanations']} faces.",
        f"Open {page}",
    ]
    return Answer({**value, "report": page, "accuracy": test["accuracy"], "truth": truth}, lines)


COMMAND = Command("demo", Params, run, __doc__ or "")
