"""Divide each picture into segments, the regions that are switched on and off.

Quickshift and Felzenszwalb's method follow colours; SLIC and watershed make segments of similar size; a grid looks at nothing; files hold label maps of one's own. --segments asks
any other of them for a number. Named zones of a face or of the lungs can be kept beside the segments, or be the segments.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.core.formats import LABEL_SUFFIXES
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.names import listed, row_of
from facelime_cli.options import Choice, Execution, Input
from facelime_cli.sources import PARTS
from facelime_cli.store import digests
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.superpixels import Segmented, Statistics
    from facelime_cli.core.zones import Found
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

DEFAULT_METHOD = "slic"
COMMON: dict[str, Any] = {"min_size": 0, "connectivity": None}
"""What follows on every method."""
METHODS: dict[str, dict[str, Any]] = {
    "quickshift": {"segments": None, "kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0, **COMMON},
    "slic": {"segments": 40, "compactness": 30.0, "sigma": 0.0, **COMMON},
    "felzenszwalb": {"segments": 50, "scale": None, "sigma": 0.8, **COMMON, "min_size": 100},
    "watershed": {"segments": 50, "compactness": 0.001, "sigma": 2.0, **COMMON},
    "grid": {"segments": 49, "cell": "square", **COMMON},
    "file": {"labels": None, **COMMON},
    "zones": {**COMMON},
}
"""Each method's own parameters and their defaults; quickshift's are those of the `lime` package. The function of the same name is in `core.superpixels`."""
SCALES = {"quickshift": "kernel_size", "felzenszwalb": "scale"}
"""What decides the number of segments where it is no parameter; `--segments` has it searched for each picture."""
NEEDS = {"file": ("labels", "the folder that holds the label maps"), "zones": ("zones", "face or lungs")}
"""The option that a method cannot do without, and what it says."""
CELLS = ("square", "hexagon")
CONNECTIVITIES = ("4", "8")
ZONES = ("face", "lungs")
"""The functions of these names are in `core.lattices` and `core.zones`."""


FAR = 0.2
"""From this share of the number asked for on, a number of segments is worth a warning."""
SHARED = ("segments", *COMMON)
"""What counts of a preset beside another --method, whose other parameters mean something else."""


def _default(parameter: str) -> str:
    usual = COMMON.get(parameter)
    given = [
        f"{method} {defaults[parameter]:g}"
        for method, defaults in METHODS.items()
        if defaults.get(parameter) not in (None, usual)
    ]
    return f"[default: {', '.join(given if usual is None else [f'{usual:g}', *given])}]"


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `segment`."""

    dataset: Annotated[
        str,
        Argument(metavar="DATASET", help="Dataset, or - to read it from standard input.", show_default=False),
        Input(("datasets",)),
    ]
    split: Annotated[
        str | None,
        Choice(PARTS),
        Option(help="Only the pictures of this part. [default: all]", show_default=False),
        Execution(),
    ] = None
    images: Annotated[
        str | None,
        Option(
            metavar="ID,…",
            help="Only these pictures, by id or its last part; one with a comma in double quotes. [default: all]",
            show_default=False,
        ),
        Execution(),
    ] = None
    first: Annotated[
        int | None,
        Option(
            min=1, metavar="N", help="Only the first N, after the other filters. [default: all]", show_default=False
        ),
        Execution(),
    ] = None
    preset: Annotated[
        str | None,
        Choice(tuple(presets.PRESETS)),
        Option(
            show_default=False,
            help=f"Method and parameters for one kind of picture, or of another system; other options change them. {presets.help_of(presets.PRESETS)}.",
        ),
    ] = None
    method: Annotated[
        str | None,
        Choice(tuple(METHODS)),
        Option(show_default=False, help=f"How to segment. [default: the preset's, else {DEFAULT_METHOD}]"),
    ] = None
    segments: Annotated[
        int | None,
        Option(
            min=2,
            max=4096,
            show_default=False,
            help=f"About how many segments; {' and '.join(SCALES)} search each picture's scale for it. {_default('segments')}",
        ),
    ] = None
    kernel_size: Annotated[
        float | None,
        Option(
            min=1.0,
            show_default=False,
            help=f"Pixels over which colours are averaged; larger makes fewer segments. {_default('kernel_size')}",
        ),
    ] = None
    max_dist: Annotated[
        float | None,
        Option(
            min=0.1,
            show_default=False,
            help=f"Farthest step between modes; larger makes fewer segments. {_default('max_dist')}",
        ),
    ] = None
    ratio: Annotated[
        float | None,
        Option(
            min=0.0, max=1.0, show_default=False, help=f"Weight of colour against place, 0 to 1. {_default('ratio')}"
        ),
    ] = None
    scale: Annotated[
        float | None,
        Option(
            min=0.1,
            show_default=False,
            help="Felzenszwalb's preference for large segments, in place of --segments. [default: searched]",
        ),
    ] = None
    compactness: Annotated[
        float | None,
        Option(
            min=1e-6,
            show_default=False,
            help=f"Weight of place against colour or, for watershed, gradient; larger makes squarer segments. {_default('compactness')}",
        ),
    ] = None
    sigma: Annotated[
        float | None,
        Option(min=0.0, show_default=False, help=f"Gaussian smoothing before, in pixels. {_default('sigma')}"),
    ] = None
    cell: Annotated[
        str | None,
        Choice(CELLS),
        Option(show_default=False, help=f"Shape of the grid's cells. [default: {METHODS['grid']['cell']}]"),
    ] = None
    min_size: Annotated[
        int | None,
        Option(
            min=0,
            metavar="PIXELS",
            show_default=False,
            help=f"Smaller segments are merged into the neighbour of the most similar mean colour. {_default('min_size')}",
        ),
    ] = None
    connectivity: Annotated[
        str | None,
        Choice(CONNECTIVITIES),
        Option(
            show_default=False,
            help="What does not hang together, by 4 or by 8 neighbours of a pixel, becomes segments of its own. [default: left as the method makes it]",
        ),
    ] = None
    labels: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            show_default=False,
            help="For --method file: folder of label maps (.png, .tif, .npy), found by the pictures' ids.",
        ),
        Execution(),
    ] = None
    zones: Annotated[
        str | None,
        Choice(ZONES),
        Option(
            show_default=False,
            help="Keep these named regions too, or with --method zones as the segments; left and right are the person's. [default: none]",
        ),
    ] = None
    workers: Annotated[
        int | None, Option(min=1, show_default=False, help="Parallel processes. [default: one per core]"), Execution()
    ] = None


@dataclass(frozen=True)
class _Task:
    """One picture's work: its pixels, how to segment them, and which zones to keep beside the segments."""

    picture_id: str
    image: NDArray[np.uint8]
    method: str
    parameters: Mapping[str, Any]
    zones: str | None


@dataclass(frozen=True)
class _Done:
    """What became of one picture."""

    segmented: Segmented
    statistics: Statistics
    zones: Found | None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the pictures and resolve the method's parameters."""
    dataset, size = inputs["dataset"], int(inputs["dataset"].facts["size"])
    method, own = resolved(params)
    rows = _selection(params, dataset)
    every = dataset.texts("id")
    ids = [every[row] for row in rows]
    folder = own.pop("labels", None)
    files = {} if folder is None else _label_files(folder, ids)

    def prepare() -> Layout:
        import numpy as np

        _check_labels(files, size)
        constants = {
            "id": (np.array(ids, dtype=object), ("picture",)),
            "row": (np.array(rows, dtype=np.int32), ("picture",)),
        }
        return Layout(len(rows), _arrays(len(rows), size, params.zones), constants, _facts(params))

    def task(picture_id: str, image: NDArray[np.uint8]) -> _Task:
        sources: dict[str, dict[str, Any]] = {
            "file": {"labels": files.get(picture_id)},
            "zones": {"zones": params.zones},
        }
        return _Task(picture_id, image, method, {**own, **sources.get(method, {})}, params.zones)

    def work(_: Artifact, units: Pending) -> None:
        with Workers(params.workers) as workers, context.console.progress("segment", units.pictures) as advance:
            for unit in units:
                tasks = [
                    task(*each) for each in zip(ids[unit.rows], dataset.read("images", rows[unit.rows]), strict=True)
                ]
                done = []
                for each in workers.map(_segment_picture, tasks):
                    done.append(each)
                    advance(1)
                unit.finish(
                    _stacked(done),
                    facts={
                        "faces_not_found": [
                            task.picture_id
                            for task, each in zip(tasks, done, strict=True)
                            if each.zones is not None and not each.zones.sure
                        ]
                    },
                )

    parameters = {"method": method, **own, "zones": params.zones, "pictures": digests.of_value(ids)}
    sources = (
        {"labels": digests.of_value([[name, digests.of_file(path)] for name, path in files.items()])} if files else {}
    )
    return Plan(
        parameters,
        f"{dataset.name}-{method}",
        prepare,
        work,
        inputs,
        sources,
        lambda artifact: (_summary(artifact, own.get("segments"), context), []),
    )


def resolved(params: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and its parameters: what is given counts before the preset, the preset before the defaults. Of a number and a scale, one stays."""
    preset = {"method": DEFAULT_METHOD, **presets.options_of(params)}
    method = params.method or preset["method"]
    every = {name for each in METHODS.values() for name in each}
    given = {name: getattr(params, name) for name in sorted(every) if getattr(params, name) is not None}
    _check_options(params, method, given)
    kept = {
        name: value
        for name, value in preset.items()
        if name in METHODS[method] and (method == preset["method"] or name in SHARED)
    }
    values = {**METHODS[method], **kept, **given}
    if values["connectivity"] is not None:
        values["connectivity"] = int(values["connectivity"])
    scale = SCALES.get(method)
    if scale is not None:
        del values["segments" if scale in given or values["segments"] is None else scale]
    return method, values


def _check_options(params: Any, method: str, given: Mapping[str, Any]) -> None:
    """Refuse options of another method, two that contradict each other, and the lack of one that the method needs."""
    for name in given:
        if name not in METHODS[method]:
            owners = ", ".join(each for each, own in METHODS.items() if name in own)
            raise CommandLineError(
                f"{_option(name)} belongs to {owners}, not to --method {method}; leave it out or change the method."
            )
    if method in NEEDS and getattr(params, NEEDS[method][0]) is None:
        raise CommandLineError(f"--method {method} needs {_option(NEEDS[method][0])}: {NEEDS[method][1]}.")
    if {"segments", SCALES.get(method)} <= set(given):
        raise CommandLineError(
            f"--segments {given['segments']} and {_option(SCALES[method])} {given[SCALES[method]]:g} both decide how many segments there are; give one of them."
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _facts(params: Params) -> dict[str, Any]:
    facts: dict[str, Any] = {"selection": {"split": params.split, "images": params.images, "first": params.first}}
    if params.zones is not None:
        from facelime_cli.core.zones import NAMES

        facts["zones"] = list(NAMES[params.zones])
    return facts


def _arrays(n: int, size: int, zones: str | None) -> dict[str, ArraySpec]:
    one, picture = ("picture",), ("picture", "y", "x")
    arrays = {
        "segments": ArraySpec("uint16", (n, size, size), picture),
        "n_segments": ArraySpec("int32", (n,), one),
        "scale": ArraySpec("float64", (n,), one, float("nan")),
        "size_quartiles": ArraySpec("float64", (n, 3), ("picture", "quartile"), float("nan"), "pixels"),
        "boundary_recall": ArraySpec("float64", (n,), one, float("nan")),
        "flat_share": ArraySpec("float64", (n,), one, float("nan")),
    }
    return arrays if zones is None else arrays | {"zones": ArraySpec("uint8", (n, size, size), picture)}


def _selection(params: Params, dataset: Artifact) -> list[int]:
    """Return the rows of the dataset that the filters leave."""
    ids = dataset.texts("id")
    rows = list(range(len(ids)))
    if params.split is not None:
        split = dataset.read("split")
        rows = [row for row in rows if split[row] == PARTS.index(params.split)]
        if not rows:
            raise FacelimeError(
                f"{dataset.kind}/{dataset.id} has no pictures in its {params.split} part; leave --split out, or preprocess with another --split."
            )
    if params.images is not None:
        wanted = [row_of(name.strip(), ids) for name in listed(params.images) if name.strip()]
        if not wanted:
            raise CommandLineError(f"--images {params.images!r} names no picture; give ids with commas between them.")
        left = set(rows)
        gone = [ids[row] for row in wanted if row not in left]
        if gone:
            raise FacelimeError(f"{gone[0]} is not in the {params.split or ''} part; leave --split out.")
        rows = sorted(set(wanted))
    return rows[: params.first]


def _label_files(folder: Path, ids: Sequence[str]) -> dict[str, Path]:
    """Return each picture's label map: the file whose name below the folder is the id, or directly in it the id's last part."""
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} with label maps; check --labels.")
    named: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in LABEL_SUFFIXES and path.is_file()):
        named.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    lasts = Counter(name.rpartition("/")[2] for name in ids)
    found = {
        name: named.get(name) or (named.get(last, []) if lasts[last := name.rpartition("/")[2]] == 1 else [])
        for name in ids
    }
    lost = [name for name in ids if not found[name]]
    if lost:
        raise NotFoundError(
            f"{len(lost)} of {len(ids)} pictures have no label map in {folder}, such as {lost[0]}; save it there as {lost[0]}.png, .tif or .npy, or choose pictures with --images."
        )
    twice = next((paths for paths in found.values() if len(paths) > 1), None)
    if twice is not None:
        raise FacelimeError(
            f"{' and '.join(path.name for path in twice)} in {folder} are label maps of one picture; leave one of them."
        )
    return {name: paths[0] for name, paths in found.items()}


def _check_labels(files: Mapping[str, Path], size: int) -> None:
    """Read every label map once, so that a wrong one is named before anything is written."""
    from facelime_cli.core import label_files

    for name, path in files.items():
        try:
            label_files.read(path, size, size)
        except FacelimeError as why:
            raise _about(name, why) from why


def _about(picture_id: str, why: FacelimeError) -> FacelimeError:
    return FacelimeError(f"{picture_id}: {why}, or leave the picture out with --images.")


def _segment_picture(task: _Task) -> _Done:
    from facelime_cli.core import superpixels, zones

    try:
        segmented = superpixels.segmented(task.image, task.method, task.parameters)
    except FacelimeError as why:
        raise _about(task.picture_id, why) from why
    return _Done(
        segmented,
        superpixels.statistics(task.image, segmented.labels, task.method),
        None if task.zones is None else zones.find(task.image, task.zones),
    )


def _stacked(done: Sequence[_Done]) -> dict[str, NDArray[Any]]:
    """Return the part of every array that a unit's pictures make."""
    import numpy as np

    parts: dict[str, NDArray[Any]] = {
        "segments": np.stack([each.segmented.labels for each in done]),
        "n_segments": np.array([int(each.segmented.labels.max()) + 1 for each in done], dtype=np.int32),
        "scale": np.array([each.segmented.scale for each in done]),
        "size_quartiles": np.stack([each.statistics.size_quartiles for each in done]),
        "boundary_recall": np.array([each.statistics.boundary_recall for each in done]),
        "flat_share": np.array([each.statistics.flat_share for each in done]),
    }
    zones = [each.zones.zones for each in done if each.zones is not None]
    return parts | {"zones": np.stack(zones)} if zones else parts


def _summary(artifact: Artifact, asked: int | None, context: Context) -> dict[str, Any]:
    """Say and return how many segments the pictures have, and where no face was found."""
    import numpy as np

    counts = artifact.read("n_segments")
    number = {"asked": asked, "median": float(np.median(counts)), "least": int(counts.min()), "most": int(counts.max())}
    context.console.note(
        f"segments per picture: median {number['median']:g}, {number['least']} to {number['most']}"
        + ("" if asked is None else f"; asked for {asked}")
    )
    if asked is not None and abs(float(np.median(counts)) - asked) > FAR * asked:
        context.console.warn(
            f"--segments {asked}: the method makes a median of {number['median']:g} here, limited by the pictures' size and by its other parameters (--min-size, --sigma, --compactness)."
        )
    lost = [each for facts in artifact.facts_of_units() for each in facts["faces_not_found"]]
    if lost:
        context.console.warn(
            f"no face was found in {len(lost)} of {artifact.n} pictures, such as {lost[0]}; their zones lie as if the picture had been cropped to a face."
        )
    return {"segments_per_picture": number} | ({"faces_not_found": lost} if lost else {})


STAGE = Stage(name="segment", writes="segments", version=2, params=Params, plan=plan, help=__doc__, sharded=True)
