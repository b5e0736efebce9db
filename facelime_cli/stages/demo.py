"""Run everything on drawn faces: a first report in a minute, without data or a download.

Half of the faces have a flush like rosacea, whose place is known. A small network learns to tell them apart, and six
test pictures are explained. The report says how much of the attribution lies on the true flush.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, execute
from facelime_cli.errors import FacelimeError
from facelime_cli.names import listing
from facelime_cli.sources import SPLITS
from facelime_cli.stages import explain, finetune, preprocess
from facelime_cli.store import temporary

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

    faces: Annotated[int, Option(min=100, max=100_000, help="Draw this many faces.")] = 600
    seed: Annotated[int, Option(min=0, help="Draw other faces with another seed.")] = 0
    draw: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            show_default=False,
            help="Draw only: write the faces to DIR/pictures, and masks of their flush to DIR/truth.",
        ),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Draw, train and explain."""
    if params.draw is not None:
        return _drawn(params, params.draw)
    dataset = _dataset(params, context)
    model = _model(dataset, context)
    samples = f"{SAMPLES} samples each"
    context.console.note(f"explaining {sum(EXPLAINED.values())} test pictures with {samples}")
    # Fewer samples than usual, and more segments for small faces: six pictures take seconds.
    chosen = explain.Params(
        source=dataset.reference,
        model=model.reference,
        segments=SEGMENTS,
        images=listing(_choose(dataset)),
        samples=SAMPLES,
    )
    result = explain.explain(chosen, context)
    return _answer(result.json(), result.artifact, model)


def _dataset(params: Params, context: Context) -> Artifact:
    """Draw the faces and bring them into the store."""
    # The store keeps what was made of the faces; the files are not needed again.
    with temporary.outside() as folder:
        pictures, truth = folder / "faces", folder / "truth"
        context.console.note(f"drawing {params.faces} faces of {SIZE}×{SIZE} pixels, half of them flushed")
        draw_faces(pictures, truth, params.faces, params.seed)
        chosen = preprocess.Params(source=[pictures], size=str(SIZE), truth=truth)
        return execute(preprocess.STAGE, chosen, replace(context, name="demo-faces")).artifact


def _model(dataset: Artifact, context: Context) -> Artifact:
    context.console.note("training a small network")
    chosen = finetune.Params(
        dataset=dataset.reference, backbone="cnn-small", epochs=EPOCHS, learning_rate=LEARNING_RATE
    )
    return execute(finetune.STAGE, chosen, replace(context, name="demo-cnn")).artifact


def _drawn(params: Params, place: Path) -> Answer:
    """Draw into a folder of the user's, which is new or empty."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FacelimeError(f"{place} exists already; give --draw a folder that is new or empty.")
    pictures, truth = place / "pictures", place / "truth"
    draw_faces(pictures, truth, params.faces, params.seed)
    return Answer({"pictures": str(pictures), "truth": str(truth), "faces": params.faces}, [str(place)])


def draw_faces(pictures: Path, truth: Path, count: int, seed: int) -> None:
    """Write drawn faces as PNG files, one folder for each class.

    Parameters
    ----------
    pictures, truth : Path
        Folders for the faces, and for masks of their flush.
    count : int
        How many faces.
    seed : int
    """
    from PIL import Image

    from facelime_cli.core.faces import draw

    for number in range(count):
        label = CLASSES[number % len(CLASSES)]
        face = draw(seed, number, SIZE, flushed=label == "rosacea")
        for folder, array in ((pictures, face.image), (truth, face.truth * 255)):
            (folder / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / label / f"face-{number:04d}.png")


def _choose(dataset: Artifact) -> list[str]:
    """Return the ids of the test pictures to explain: the first few of each class."""
    ids, labels, split = dataset.texts("id"), dataset.read("labels"), dataset.read("split")
    # Pictures that were trained on would show what the network has learned by heart.
    tested = split == SPLITS.index("test")
    chosen = []
    for name, count in EXPLAINED.items():
        label = dataset.facts["classes"].index(name)
        rows = (tested & (labels == label)).nonzero()[0]
        chosen += [ids[row] for row in rows[:count]]
    return chosen


def _answer(value: dict[str, Any], report: Artifact, model: Artifact) -> Answer:
    page = str(report.path.absolute() / "index.html")
    test, truth = model.facts["test"], report.facts["truth"]
    right = f"{100 * test['accuracy']:.1f} % of {test['n']} test faces"
    on_truth, by_chance, pointing = (100 * truth[name] for name in ("on_truth", "by_chance", "pointing"))
    lines = [
        f"The network is right on {right}.",
        f"{on_truth:.0f} % of what speaks for rosacea lies on the true flush ({by_chance:.0f} % if spread evenly).",
        f"So does {pointing:.0f} % of the strongest segment, on average over {truth['explanations']} faces.",
        f"Open {page}",
    ]
    return Answer({**value, "report": page, "accuracy": test["accuracy"], "truth": truth}, lines)


COMMAND = Command("demo", Params, run, __doc__ or "")
