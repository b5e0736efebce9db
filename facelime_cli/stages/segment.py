"""Divide each picture into segments, the regions that are switched on and off.

Quickshift follows colours and finds its own number of segments; SLIC makes about as many as asked for, of similar size, and is seven times faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import digests
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.sources import PARTS
from facelime_cli.stage import Choice, Execution, Input, Plan, Stage
from facelime_cli.store import ArraySpec, Layout
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact

METHODS: dict[str, dict[str, float]] = {
    "quickshift": {"kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0},
    "slic": {"segments": 40, "compactness": 30.0, "sigma": 0.0},
}
"""Each method's own parameters and their defaults; quickshift's are those of the `lime` package. The function of the same name is in `core.superpixels`."""


def _default(parameter: str) -> str:
    given = ", ".join(f"{method} {defaults[parameter]:g}" for method, defaults in METHODS.items() if parameter in defaults)
    return f"[default: {given}]"


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `segment`."""

    dataset: Annotated[str, Argument(metavar="DATASET", help="Dataset, or - to read it from standard input.", show_default=False), Input(("datasets",))]
    split: Annotated[str | None, Choice(PARTS), Option(help="Only the pictures of this part. [default: all]", show_default=False), Execution()] = None
    images: Annotated[str | None, Option(metavar="ID,…", help="Only these pictures, by id or by the last part of it. [default: all]", show_default=False), Execution()] = None
    first: Annotated[int | None, Option(min=1, metavar="N", help="Only the first N, after the other filters. [default: all]", show_default=False), Execution()] = None
    method: Annotated[str, Choice(tuple(METHODS)), Option(help="How to segment.")] = "quickshift"
    kernel_size: Annotated[float | None, Option(min=1.0, show_default=False, help=f"Pixels over which colours are averaged; larger makes fewer segments. {_default('kernel_size')}")] = None
    max_dist: Annotated[float | None, Option(min=0.1, show_default=False, help=f"Farthest step between modes; larger makes fewer segments. {_default('max_dist')}")] = None
    ratio: Annotated[float | None, Option(min=0.0, max=1.0, show_default=False, help=f"Weight of colour against place, 0 to 1. {_default('ratio')}")] = None
    segments: Annotated[int | None, Option(min=2, max=4096, show_default=False, help=f"About how many segments. {_default('segments')}")] = None
    compactness: Annotated[float | None, Option(min=1e-6, show_default=False, help=f"Weight of place against colour; larger makes squarer segments. {_default('compactness')}")] = None
    sigma: Annotated[float | None, Option(min=0.0, show_default=False, help=f"Gaussian smoothing before, in pixels. {_default('sigma')}")] = None
    workers: Annotated[int | None, Option(min=1, show_default=False, help="Parallel processes. [default: one per core]"), Execution()] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the pictures and resolve the method's parameters."""
    dataset = inputs["dataset"]
    own = method_parameters(params)
    rows = _selection(params, dataset)
    ids = dataset.texts("id")
    parameters = {"method": params.method, **own, "pictures": digests.of_value([ids[row] for row in rows])}

    def prepare() -> Layout:
        import numpy as np

        size = int(dataset.facts["size"])
        arrays = {"segments": ArraySpec("uint16", (len(rows), size, size), ("picture", "y", "x")), "n_segments": ArraySpec("int32", (len(rows),), ("picture",))}
        constants = {"id": (np.array([ids[row] for row in rows], dtype=object), ("picture",)), "row": (np.array(rows, dtype=np.int32), ("picture",))}
        return Layout(len(rows), arrays, constants, {"selection": {"split": params.split, "images": params.images, "first": params.first}})

    def work(_: Artifact, units: Pending) -> None:
        with Workers(params.workers) as workers, context.console.progress("segment", units.pictures) as advance:
            for unit in units:
                unit.finish(_segment_unit(dataset, rows[unit.rows], ids, (params.method, own), workers, advance))

    return Plan(parameters, f"{dataset.name}-{params.method}", prepare, work, inputs)


def method_parameters(params: Any) -> dict[str, float]:
    """Return the chosen method's own parameters, defaults filled in; one that belongs to another method is an error."""
    defaults = METHODS[params.method]
    every = {name for each in METHODS.values() for name in each}
    given = {name: getattr(params, name) for name in sorted(every) if getattr(params, name) is not None}
    for name in given:
        if name not in defaults:
            owners = " and ".join(method for method, each in METHODS.items() if name in each)
            raise CommandLineError(f"--{name.replace('_', '-')} belongs to {owners}, not to --method {params.method}; leave it out or change the method.")
    return {**defaults, **given}


def _selection(params: Params, dataset: Artifact) -> list[int]:
    """Return the rows of the dataset that the filters leave."""
    ids = dataset.texts("id")
    rows = list(range(len(ids)))
    if params.split is not None:
        split = dataset.read("split")
        rows = [row for row in rows if split[row] == PARTS.index(params.split)]
        if not rows:
            raise FacelimeError(f"{dataset.kind}/{dataset.id} has no pictures in its {params.split} part; leave --split out, or preprocess with another --split.")
    if params.images is not None:
        wanted = [_row_of(name.strip(), ids) for name in params.images.split(",") if name.strip()]
        if not wanted:
            raise CommandLineError(f"--images {params.images!r} names no picture; give ids with commas between them.")
        left = set(rows)
        gone = [ids[row] for row in wanted if row not in left]
        if gone:
            raise FacelimeError(f"{gone[0]} is not in the {params.split or ''} part; leave --split out.")
        rows = sorted(set(wanted))
    return rows[: params.first]


def _row_of(name: str, ids: list[str]) -> int:
    found = [row for row, each in enumerate(ids) if each == name] or [row for row, each in enumerate(ids) if each.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFoundError(f"{name} could be {', '.join(ids[row] for row in found[:5])}; give the whole id.")
    raise NotFoundError(f"there is no picture {name!r} in this dataset; an id looks like {ids[0]!r}.")


def _segment_unit(dataset: Artifact, rows: list[int], ids: list[str], how: tuple[str, dict[str, float]], workers: Workers, advance: Any) -> dict[str, NDArray[Any]]:
    import numpy as np

    images = dataset.read("images", rows)
    tasks = [(ids[row], image, *how) for row, image in zip(rows, images, strict=True)]
    labels = []
    for each in workers.map(_segment_picture, tasks):
        labels.append(each)
        advance(1)
    segments = np.stack(labels)
    return {"segments": segments, "n_segments": segments.reshape(len(segments), -1).max(axis=1).astype(np.int32) + 1}


def _segment_picture(task: tuple[str, NDArray[np.uint8], str, dict[str, float]]) -> NDArray[np.uint16]:
    from facelime_cli.core import superpixels

    picture_id, image, method, parameters = task
    try:
        return superpixels.segment(image, method, parameters)
    except FacelimeError as why:
        raise FacelimeError(f"{picture_id}: {why}, or leave the picture out with --images.") from why


STAGE = Stage(name="segment", writes="segments", version=1, params=Params, plan=plan, help=__doc__, sharded=True)
