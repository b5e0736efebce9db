"""Decide which segments each perturbed picture keeps, and what stands where one is switched off.

Masks depend on the seed, the picture and the sample's number alone, so the same seed gives the same masks in any order and on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.errors import CommandLineError
from facelime_cli.stage import Choice, Input, Plan, Stage, results_of
from facelime_cli.store import ArraySpec, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact

FILLS = ("mean", "black")
"""The function of the same name is in `core.fills`."""
BITS = 8


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `perturb`."""

    segmentation: Annotated[str, Argument(metavar="SEGMENTS", help="Segments, or - to read them from standard input.", show_default=False), Input(("segments",))]
    samples: Annotated[int, Option(min=2, max=1_000_000, help="Perturbed pictures per picture, the unperturbed one among them; more make narrower intervals and take longer.")] = 1000
    probability: Annotated[float, Option(help="Chance of a segment to be kept, between 0 and 1.")] = 0.5
    fill: Annotated[str, Choice(FILLS), Option(help="What stands where a segment is switched off: its mean colour (as lime does), or black.")] = "mean"
    seed: Annotated[int, Option(help="Seed of the masks.")] = 0


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Lay out masks and fills for every segmented picture."""
    if not 0 < params.probability < 1:
        raise CommandLineError(f"--probability {params.probability} should lie between 0 and 1, both excluded.")
    segments = inputs["segmentation"]
    dataset = segments.input("datasets")

    def prepare() -> Layout:
        import numpy as np

        n, size = segments.n, int(dataset.facts["size"])
        n_bytes = -(-int(segments.read("n_segments").max()) // BITS)
        arrays = {"masks": ArraySpec("uint8", (n, params.samples, n_bytes), ("picture", "sample", "byte")), "fill": ArraySpec("uint8", (n, size, size, 3), ("picture", "y", "x", "channel"))}
        constants = carried(segments) | {"n_samples": (np.full(n, params.samples, np.int32), ("picture",))}
        return Layout(n, arrays, constants)

    def work(artifact: Artifact, units: Pending) -> None:
        n_bytes = artifact.layout["arrays"]["masks"]["shape"][2]
        with context.console.progress("perturb", units.pictures) as advance:
            for unit in units:
                unit.finish(_perturb_unit(params, segments, dataset, unit.rows, n_bytes))
                advance(unit.n)

    return Plan(results_of(params), segments.name, prepare, work, inputs)


def carried(before: Artifact) -> dict[str, tuple[NDArray[Any], tuple[str, ...]]]:
    """Return the arrays that every stage hands on: which picture, and which row of the dataset."""
    return {name: (before.read(name), ("picture",)) for name in ("id", "row")}


def _perturb_unit(params: Params, segments: Artifact, dataset: Artifact, rows: slice, n_bytes: int) -> dict[str, NDArray[Any]]:
    import numpy as np

    from facelime_cli.core import fills, masks

    ids, labels, counts = segments.texts("id")[rows], segments.read("segments", rows), segments.read("n_segments", rows)
    images = dataset.read("images", [int(row) for row in segments.read("row", rows)])
    packed = [
        masks.pack(masks.bernoulli(masks.key_of(params.seed, picture_id, "mask"), params.samples, int(count), params.probability), n_bytes) for picture_id, count in zip(ids, counts, strict=True)
    ]
    filled = [fills.FILLS[params.fill](image, label) for image, label in zip(images, labels, strict=True)]
    return {"masks": np.stack(packed), "fill": np.stack(filled)}


STAGE = Stage(name="perturb", writes="masks", version=1, params=Params, plan=plan, help=__doc__, sharded=True)
