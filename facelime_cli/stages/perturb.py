"""Decide which segments each perturbed picture keeps, and what stands where one is switched off.

Masks depend on the seed, the picture and the sample's number alone, so the same seed gives the same masks in any order and on any machine, and more samples
begin with the same ones: `predict` takes over what it knows of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.options import Choice, Execution, Input, results_of
from facelime_cli.sources import PARTS
from facelime_cli.store import digests
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.pictures import Segmented
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

    Settings = dict[str, Any]

EVEN = 0.5
DEFAULTS: dict[str, Any] = {"samples": 1000, "design": None, "probability": None, "fill": None, "seed": 0}
"""Where neither the command line nor a preset says anything: the fill follows from the dataset, the design from the fill, the probability from the design."""
UNLIKE = "nearest-unlike"
WITHOUT_CLASSES = "inpaint"
"""The default fill, and that of pictures for which there is none of another class."""
REAL = {True: "balanced", False: "bernoulli"}
"""The default design of fills that are real pictures, so that half of the segments can go, and of all others, where pictures soon look like nothing that a model knows."""
KEPT = {"bernoulli": 0.8}
"""Chance of a segment to be kept, for designs that take any; for the others it is 0.5, or decided by the kernel."""
DESIGNS = {
    "bernoulli": "each segment by chance (lime's)",
    "paired": "each mask with its complement",
    "balanced": "orthogonal, with complements",
    "shapley": "sizes by the Shapley kernel",
    "exact": "every mask there is",
}
"""What each does; the function of the same name is in `core.masks`."""
FILLS: dict[str, str | None] = {
    "mean": None,
    "black": None,
    "grey": None,
    "dataset-mean": "colour",
    "blur": "sigma",
    "inpaint": None,
    "noise": "key",
    "image": "picture",
    UNLIKE: "picture",
}
"""What each needs beside a picture and its segments, as the keyword of the function of the same name in `core.fills.FILLS`."""
REAL_FILLS = ("image", UNLIKE)
SLOW_FILLS = ("inpaint",)
"""Worth a process of their own for each picture."""
FROM_FILE = "image"
BITS = 8
CONFIDENCE = 0.95
DESIGN_HELP = "How masks are drawn: " + "; ".join(f"{name}: {what}" for name, what in DESIGNS.items()) + "."
FILL_NAMES = "|".join(f"{name}:FILE" if name == FROM_FILE else name for name in FILLS)
FILL_HELP = (
    "What stands where a segment is switched off: its mean colour (as lime does), black, grey, the dataset's mean colour, the picture blurred, "
    "the segment's surroundings going on, noise, another picture, or the dataset's most similar picture of another class. "
    f"[default: {UNLIKE} where pictures have classes, else {WITHOUT_CLASSES}; {presets.others('fill')}]"
)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `perturb`."""

    segmentation: Annotated[
        str,
        Argument(metavar="SEGMENTS", help="Segments, or - to read them from standard input.", show_default=False),
        Input(("segments",)),
    ]
    preset: Annotated[
        str | None,
        Choice(tuple(presets.SYSTEMS)),
        Option(
            show_default=False,
            help=f"Masks and fill as another system has them; other options change them. {presets.help_of(presets.SYSTEMS)}.",
        ),
        Execution(),
    ] = None
    samples: Annotated[
        int | None,
        Option(
            min=2,
            max=1_000_000,
            show_default=False,
            help="Perturbed pictures per picture, the unperturbed one among them; more make narrower intervals and take longer. "
            + presets.default_words("samples", DEFAULTS["samples"]),
        ),
    ] = None
    design: Annotated[
        str | None,
        Choice(tuple(DESIGNS)),
        Option(
            show_default=False,
            help=f"{DESIGN_HELP} [default: {REAL[True]} with fills {' and '.join(REAL_FILLS)}, else {REAL[False]}]",
        ),
    ] = None
    probability: Annotated[
        float | None,
        Option(
            show_default=False,
            help=f"Chance of a segment to be kept, between 0 and 1; for {' and '.join(KEPT)} alone. {presets.default_words('probability', KEPT['bernoulli'])}",
        ),
    ] = None
    fill: Annotated[str | None, Option(metavar=FILL_NAMES, show_default=False, help=FILL_HELP)] = None
    fill_sigma: Annotated[
        float | None,
        Option(
            min=0.1,
            show_default=False,
            help="Standard deviation of the blur, in pixels; larger hides more. [default: a tenth of the picture's side]",
        ),
    ] = None
    seed: Annotated[
        int | None,
        Option(
            show_default=False,
            help=f"Seed of the masks, and of noise. {presets.default_words('seed', DEFAULTS['seed'])}",
        ),
    ] = None
    after: Annotated[
        str | None,
        Option(
            metavar="SURROGATES",
            show_default=False,
            help="Only pictures whose explanation is not stable in these surrogates get --samples; the others keep as many as they had.",
        ),
        Input(("surrogates",)),
    ] = None
    confidence: Annotated[
        float | None,
        Option(
            min=0.5,
            max=0.999,
            show_default=False,
            help=f"Chance that another run would find the same strongest segments, from which on a picture is stable. [default: {CONFIDENCE:g}]",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            min=1,
            show_default=False,
            help=f"Parallel processes, for {' and '.join(SLOW_FILLS)}. [default: one per core]",
        ),
        Execution(),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Lay out masks and fills for every segmented picture."""
    segments = inputs["segmentation"]
    dataset = segments.input("datasets")
    chosen = resolved(params, segments)
    size = int(dataset.facts["size"])
    fill, file = fill_of(chosen.fill)
    sigma = _sigma(chosen, fill, size)
    parameters = {**results_of(chosen), "fill": fill, "fill_sigma": sigma}
    before = inputs.get("after")
    if before is not None:
        _check_after(before, segments, parameters)
        parameters["confidence"] = chosen.confidence or CONFIDENCE
    elif chosen.confidence is not None:
        raise CommandLineError(
            f"--confidence {chosen.confidence} is about pictures that are stable already; name their surrogates with --after."
        )

    @cache
    def picture() -> NDArray[np.uint8] | None:
        return _picture(file, size) if file else None

    def prepare() -> Layout:
        import numpy as np

        picture()
        rows = {"fill_row": (_unlike(segments, dataset, context), ("picture",))} if fill == UNLIKE else {}
        used = _rows_in_use(chosen, segments, before)
        n_bytes = -(-int(segments.read("n_segments").max()) // BITS)
        arrays = {
            "masks": ArraySpec("uint8", (segments.n, max(used), n_bytes), ("picture", "sample", "byte")),
            "fill": ArraySpec("uint8", (segments.n, size, size, 3), ("picture", "y", "x", "channel")),
        }
        constants = segments.carried() | {"n_samples": (np.array(used, np.int32), ("picture",)), **rows}
        return Layout(
            segments.n, arrays, constants, {"colour": _mean_colour(dataset)} if FILLS[fill] == "colour" else {}
        )

    def work(artifact: Artifact, units: Pending) -> None:
        def settings(rows: slice) -> list[Settings]:
            from facelime_cli.core.masks import key_of

            ids, need = segments.texts("id")[rows], FILLS[fill]
            if fill == UNLIKE:
                return [{"picture": each} for each in dataset.read("images", artifact.read("fill_row", rows).tolist())]
            known = {"sigma": sigma, "picture": picture(), "colour": artifact.facts.get("colour")}
            return [
                {need: key_of(chosen.seed, each, "fill") if need == "key" else known[need]} if need else {}
                for each in ids
            ]

        with (
            Workers(chosen.workers if fill in SLOW_FILLS else 1) as workers,
            context.console.progress("perturb", units.pictures) as advance,
        ):
            for unit in units:
                masks = _masks(chosen, segments, artifact, unit.rows)
                unit.finish(
                    {"masks": masks, "fill": _fills(Segmented(segments), unit.rows, (fill, settings), workers, advance)}
                )

    return Plan(parameters, segments.name, prepare, work, inputs, {"fill": digests.of_file(file)} if file else {})


def resolved(params: Any, segments: Artifact) -> Any:
    """Return the parameters with a preset's values and the defaults filled in; raise when a probability is none, or the design has its own."""
    params = presets.filled(params, DEFAULTS)
    if params.fill is None:
        params = replace(params, fill=UNLIKE if _have_classes(segments) else WITHOUT_CLASSES)
    if params.design is None:
        params = replace(params, design=usual_design(params.fill))
    if params.probability is None:
        params = replace(params, probability=KEPT.get(params.design, EVEN))
    if not 0 < params.probability < 1:
        raise CommandLineError(f"--probability {params.probability} should lie between 0 and 1, both excluded.")
    if params.design not in KEPT and params.probability != EVEN:
        raise CommandLineError(
            f"--probability {params.probability} belongs to {' and '.join(KEPT)}, not to --design {params.design}; leave it out or change the design."
        )
    return params


def usual_design(fill: str | None) -> str:
    """Return the default design of a fill as it is typed, or of none."""
    return REAL[fill is None or fill.partition(":")[0] in REAL_FILLS]


def _have_classes(segments: Artifact) -> bool:
    """Return whether there is a picture of another class and another patient for every segmented one."""
    import numpy as np

    dataset, rows = segments.input("datasets"), segments.read("row")
    labels, groups = dataset.read("labels"), _groups(dataset)
    pool = _pool(dataset)
    pool = pool[labels[pool] >= 0]
    kinds = np.unique(np.stack([labels[rows], groups[rows]]), axis=1).T
    return all(label >= 0 and bool(((labels[pool] != label) & (groups[pool] != group)).any()) for label, group in kinds)


def _pool(dataset: Artifact) -> NDArray[np.int64]:
    """Return the rows of a dataset's training part, or of all its pictures when it has none."""
    import numpy as np

    training = dataset.read("split") == PARTS.index("train")
    return np.flatnonzero(training) if training.any() else np.arange(dataset.n)


def _groups(dataset: Artifact) -> NDArray[np.int64]:
    """Return a number for each picture, the same for pictures of one patient."""
    import numpy as np

    return np.asarray(np.unique(np.array(dataset.texts("group"), dtype=str), return_inverse=True)[1])


def _unlike(segments: Artifact, dataset: Artifact, context: Context) -> NDArray[np.int32]:
    """Return for each segmented picture the row of the most similar one of another class: of the training part, or of all pictures when it has none."""
    import numpy as np

    from facelime_cli.core.neighbours import FEATURES, nearest_unlike, thumbnails

    rows = segments.read("row").astype(np.int64)
    pool = _pool(dataset)
    context.console.note(f"looking for the most similar picture of another class among {len(pool):,}")
    wanted = np.union1d(rows, pool)
    thumbs = np.zeros((dataset.n, FEATURES), np.int64)
    for unit in range(dataset.n_units):
        some = np.intersect1d(wanted, np.arange(dataset.n)[dataset.rows(unit)])
        if len(some):
            thumbs[some] = thumbnails(dataset.read("images", some.tolist()))
    found = nearest_unlike(thumbs, dataset.read("labels"), _groups(dataset), rows, pool)
    if (found < 0).any():
        lost = segments.texts("id")[int(np.flatnonzero(found < 0)[0])]
        raise FacelimeError(
            f"{lost}: --fill {UNLIKE} needs a picture of another class and another patient, and there is none; give another --fill, such as {WITHOUT_CLASSES}."
        )
    return found.astype(np.int32)


def fill_of(text: str) -> tuple[str, Path | None]:
    """Return the name of a fill and the file that it is read from."""
    name, colon, file = text.partition(":")
    if name not in FILLS or bool(colon) != (name == FROM_FILE) or bool(file) != bool(colon):
        known = ", ".join(each for each in FILLS if each != FROM_FILE)
        raise CommandLineError(f"--fill {text!r} should be one of {known}, or {FROM_FILE}:FILE with a picture's path.")
    if not file:
        return name, None
    path = Path(file).expanduser()
    if not path.is_file():
        raise NotFoundError(
            f"there is no picture {path} to fill with; give --fill {FROM_FILE}:FILE with a picture's path."
        )
    return name, path


def _sigma(chosen: Any, fill: str, size: int) -> float | None:
    """Return the blur's width in pixels, or None for a fill that has none."""
    if FILLS[fill] != "sigma":
        if chosen.fill_sigma is not None:
            raise CommandLineError(
                f"--fill-sigma belongs to blur, not to --fill {fill}; leave it out or change the fill."
            )
        return None
    from facelime_cli.core.fills import BLUR_SHARE

    return chosen.fill_sigma or round(BLUR_SHARE * size, 3)


def _picture(file: Path, size: int) -> NDArray[np.uint8]:
    """Return a picture from a file as those of a dataset are, stretched to their size."""
    from facelime_cli.core.images import UnreadableError, decode
    from facelime_cli.core.operations import Operations, prepare

    try:
        return prepare(decode(file), Operations(size)).image
    except UnreadableError as why:
        raise FacelimeError(f"--fill {FROM_FILE}: {file} {why}; give another picture.") from why


def _mean_colour(dataset: Artifact) -> list[int]:
    """Return the mean red, green and blue of a dataset's training part, or of all its pictures when it has none."""
    import numpy as np

    training = dataset.read("split") == PARTS.index("train")
    chosen = training if training.any() else np.ones(dataset.n, np.bool_)
    total = np.zeros(3, np.int64)
    for unit in range(dataset.n_units):
        rows = np.arange(dataset.n)[dataset.rows(unit)]
        if chosen[rows].any():
            total += dataset.read("images", rows[chosen[rows]].tolist()).sum(axis=(0, 1, 2), dtype=np.int64)
    return [round(float(each)) for each in total / (chosen.sum() * int(dataset.facts["size"]) ** 2)]


def _check_after(before: Artifact, segments: Artifact, parameters: Mapping[str, Any]) -> None:
    """Raise when some surrogates are not what these masks would go on from."""
    if before.stage != "fit-surrogate":
        raise FacelimeError(
            f"surrogates/{before.id} were made by `{before.stage}`, which has no samples to go on from; give --after those of `fit-surrogate`."
        )
    if before.input("segments").content != segments.content:
        raise FacelimeError(
            f"surrogates/{before.id} are of other segments than segments/{segments.id}; give --after surrogates of these."
        )
    masks = before.input("masks").parameters
    other = next(
        (name for name in ("design", "probability", "fill", "fill_sigma", "seed") if masks[name] != parameters[name]),
        None,
    )
    if other is not None:
        raise FacelimeError(
            f"surrogates/{before.id} were made with --{other.replace('_', '-')} {masks[other]}, not {parameters[other]}; only --samples can change with --after."
        )


def stable_pictures(surrogates: Artifact, confidence: float) -> NDArray[np.bool_]:
    """Return for each picture whether more samples would change nothing that its explanation says: (N,) bool.

    For its most probable class: the strongest segments would be the same again with this chance (or nothing moves, so that there are none), and the verdict asks for
    no more samples.
    """
    import numpy as np

    from facelime_cli.core.verdict import NEEDS_MORE, NOTHING

    predictions = surrogates.input("predictions")
    found = []
    for row in range(surrogates.n):
        one = slice(row, row + 1)
        c = int(predictions.read("probabilities", one)[0, 0].argmax())
        repeat, verdict = float(surrogates.read("topk_repeat", one)[0, c]), str(surrogates.read("verdict", one)[0, c])
        found.append(verdict == NOTHING or (not verdict.startswith(NEEDS_MORE) and repeat >= confidence))
    return np.array(found)


def _rows_in_use(chosen: Any, segments: Artifact, before: Artifact | None) -> list[int]:
    """Return how many masks each picture needs; a picture that the design cannot serve is named."""
    from facelime_cli.core.masks import rows_in_use

    kept = (
        [0] * segments.n
        if before is None
        else (
            before.input("masks").read("n_samples") * stable_pictures(before, chosen.confidence or CONFIDENCE)
        ).tolist()
    )
    used = []
    for picture_id, count, enough in zip(segments.texts("id"), segments.read("n_segments"), kept, strict=True):
        try:
            used.append(rows_in_use(chosen.design, enough or chosen.samples, int(count)))
        except FacelimeError as why:
            raise FacelimeError(f"{picture_id}: {why}.") from why
    return used


def _masks(chosen: Any, segments: Artifact, artifact: Artifact, rows: slice) -> NDArray[np.uint8]:
    """Return a unit's packed masks, zeros beyond those that a picture needs."""
    import numpy as np

    from facelime_cli.core import masks

    _, n_samples, n_bytes = artifact.shape("masks")
    packed = []
    for picture_id, count, used in zip(
        segments.texts("id")[rows], segments.read("n_segments", rows), artifact.read("n_samples", rows), strict=True
    ):
        kept = masks.DESIGNS[chosen.design](
            masks.key_of(chosen.seed, picture_id, "mask"), int(used), int(count), chosen.probability
        )
        packed.append(np.pad(masks.pack(kept, n_bytes), ((0, n_samples - len(kept)), (0, 0))))
    return np.stack(packed)


def _fills(
    pictures: Segmented,
    rows: slice,
    how: tuple[str, Callable[[slice], list[Settings]]],
    workers: Workers,
    advance: Callable[[int], None],
) -> NDArray[np.uint8]:
    """Return a unit's fills."""
    import numpy as np

    fill, settings = how
    joined = zip(pictures.images(rows), pictures.segments(rows), settings(rows), strict=True)
    tasks = [(fill, image, labels, own) for image, labels, own in joined]
    filled = []
    for each in workers.map(_fill_picture, tasks):
        filled.append(each)
        advance(1)
    return np.stack(filled)


def _fill_picture(task: tuple[str, NDArray[np.uint8], NDArray[np.uint16], Settings]) -> NDArray[np.uint8]:
    from facelime_cli.core import fills

    fill, image, labels, settings = task
    return fills.FILLS[fill](image, labels, **settings)


STAGE = Stage(name="perturb", writes="masks", version=1, params=Params, plan=plan, help=__doc__, sharded=True)
