"""Explain by gradients: where a convolution's maps speak for a class (Grad-CAM), pooled on segments, so that it can be compared with LIME.

SOURCE is a dataset, which is segmented first, or segments, or surrogates: then the same pictures, segments and model are explained. `facelime compare` says how far the two agree,
`facelime render` makes the same report. A coefficient is the share of the map that lies on a segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage, execute
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.models import runtimes
from facelime_cli.options import Choice, Execution, Input
from facelime_cli.sources import PARTS
from facelime_cli.stages import segment
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.explanations import empty_parts, unfitted_arrays
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

READS = ("datasets", "segments", "masks", "predictions", "surrogates")
VARIANTS = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "eigencam": "Eigen-CAM"}
"""The function of the same name is in `core.cams`."""
READ_AS = {
    "eigencam": "12 % of the main component of the network's maps, which is the same for every class, lies on this region"
}
"""How a share reads, where it is not what the map holds for a class."""
MOST_CLASSES = 10
"""Each class takes a pass back through the network; with more classes, each picture's most probable ones are explained."""
NAN = float("nan")
COARSE = "not checked against the model: a map of {} cells, drawn on the regions"
NOWHERE = "nothing to explain: nowhere do the maps speak for this class"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Parameters of every stage that explains without masks: which pictures, and which model."""

    source: Annotated[
        str,
        Argument(
            metavar="SOURCE",
            help="Dataset, segments or surrogates, or - to read them from standard input.",
            show_default=False,
        ),
        Input(READS),
    ]
    model: Annotated[
        str | None,
        Option(
            metavar="MODEL",
            show_default=False,
            help="Model, from `finetune` or `import-model`. [default: that of the surrogates]",
        ),
        Input(("models",)),
    ] = None
    split: Annotated[
        str | None,
        Choice(PARTS),
        Option(help="Of a dataset, only the pictures of this part. [default: all]", show_default=False),
        Execution(),
    ] = None
    images: Annotated[
        str | None,
        Option(metavar="ID,…", help="Of a dataset, only these pictures. [default: all]", show_default=False),
        Execution(),
    ] = None
    first: Annotated[
        int | None,
        Option(
            min=1,
            metavar="N",
            help="Of a dataset, only the first N, after the other filters. [default: all]",
            show_default=False,
        ),
        Execution(),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Params(Chosen):
    """Parameters of `gradcam`."""

    layer: Annotated[
        str | None,
        Option(
            metavar="NAME",
            show_default=False,
            help="Layer whose maps are used; `activations` lists them. [default: what the last convolution hands on]",
        ),
    ] = None
    variant: Annotated[
        str,
        Choice(tuple(VARIANTS)),
        Option(
            help="gradcam: mean gradients; gradcam++: rare places count more; eigencam: the maps' main component, without gradients or classes."
        ),
    ] = "gradcam"
    batch_size: Annotated[int, Option(min=1, max=1024, help="Pictures per call."), Execution()] = 16


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find segments and model, and lay out a share for every segment and class."""
    model = model_of(inputs)
    runtimes.check_layers(model)
    segments = segments_of(inputs["source"], model, params, context)

    def prepare() -> Layout:
        from facelime_cli.models import gradients

        net = runtimes.layered(model)
        layer = params.layer or gradients.last_maps(net)
        size = int(model.facts["size"])
        shape = next(gradients.activations(net, _black(size), [layer]))[1].shape
        if len(shape) != gradients.IMAGE_AXES:
            raise FacelimeError(
                f"--layer {layer} answers {shape[1:]}, not maps of places; `facelime activations models/{model.id} PICTURE` lists the layers and their shapes."
            )
        arrays = {
            "maps": ArraySpec(
                "float32",
                (segments.n, len(model.facts["classes"]), *shape[1:3]),
                ("picture", "class", "map_y", "map_x"),
                NAN,
            )
        }
        words = {"method": VARIANTS[params.variant], "layer": layer, "classes": model.facts["classes"]}
        words |= {"reads": READ_AS[params.variant]} if params.variant in READ_AS else {}
        return Layout(segments.n, {**unfitted_arrays(segments, model, "share"), **arrays}, segments.carried(), words)

    def work(artifact: Artifact, units: Pending) -> None:
        net = runtimes.layered(model)
        with context.console.progress("gradcam", units.pictures) as advance:
            for unit in units:
                unit.finish(
                    _explained(net, artifact, segments, unit.rows, (params.variant, params.batch_size), advance)
                )

    return Plan(
        {"layer": params.layer, "variant": params.variant},
        f"{segments.name}-{model.name}-{params.variant.replace('+', 'p')}",
        prepare,
        work,
        {"source": segments, "model": model},
    )


def segments_of(source: Artifact, model: Artifact, params: Any, context: Context) -> Artifact:
    """Return the segments that a source means, whose pictures the model must be able to read; a dataset is segmented first, since they decide the fingerprint."""
    filters = {name: getattr(params, name) for name in ("split", "images", "first")}
    if source.kind == "datasets":
        runtimes.check_size(model, source, besides="")
        chosen = segment.Params(dataset=f"datasets/{source.id}", **filters)
        return execute(segment.STAGE, chosen, type(context)(context.store, context.console)).artifact
    given = next((name for name, value in filters.items() if value is not None), None)
    if given is not None:
        raise CommandLineError(
            f"--{given} chooses among the pictures of a dataset, but {source.kind}/{source.id} has its own; leave it out."
        )
    segments = source if source.kind == "segments" else source.input("segments")
    runtimes.check_size(model, segments.input("datasets"), besides="")
    return segments


def model_of(inputs: Mapping[str, Artifact]) -> Artifact:
    """Return the model that is asked for, or the source's own."""
    source = inputs["source"]
    if "model" in inputs:
        return inputs["model"]
    if source.kind in {"predictions", "surrogates"}:
        return source.input("models")
    raise NotFoundError(f"{source.kind}/{source.id} does not say which model to explain; name it with --model.")


def _black(size: int) -> NDArray[np.uint8]:
    import numpy as np

    return np.zeros((1, size, size, 3), np.uint8)


def _explained(
    net: Any, artifact: Artifact, segments: Artifact, rows: slice, how: tuple[str, int], advance: Callable[[int], None]
) -> dict[str, NDArray[Any]]:
    """Explain the pictures of a unit."""
    import numpy as np

    from facelime_cli.models import gradients, running

    variant, batch = how
    pictures = Segmented(segments)
    labels, counts = pictures.segments(rows), pictures.counts(rows)
    parts = empty_parts(artifact, len(counts))
    call = running.forward(net)
    for start in range(0, len(counts), batch):
        places = range(start, min(start + batch, len(counts)))
        images = pictures.images(range(rows.start + places.start, rows.start + places.stop))
        parts["probabilities"][places] = call(np.pad(images, ((0, batch - len(images)), (0, 0), (0, 0), (0, 0))))[
            : len(images)
        ]
        order = np.argsort(-parts["probabilities"][places], axis=1, kind="stable")[:, :MOST_CLASSES]
        for rank in range(order.shape[1]):
            maps, slopes = gradients.maps_and_gradients(net, artifact.facts["layer"], images, order[:, rank])
            for place, c, a, g in zip(places, order[:, rank].tolist(), maps, slopes, strict=True):
                _pool(parts, (place, c), (variant, a, g), labels[place], int(counts[place]))
        advance(len(images))
    return parts


def _pool(
    parts: Mapping[str, NDArray[Any]],
    at: tuple[int, int],
    made: tuple[str, NDArray[np.float32], NDArray[np.float32]],
    labels: NDArray[np.uint16],
    count: int,
) -> None:
    """Put one picture's map for one class into its places."""
    from facelime_cli.core import cams

    variant, maps, slopes = made
    cam = cams.VARIANTS[variant](maps, slopes)
    parts["maps"][at] = cam
    parts["coefficients"][at][:count] = cams.pooled(cam, labels)
    parts["verdict"][at] = COARSE.format("×".join(map(str, cam.shape))) if cam.any() else NOWHERE


STAGE = Stage(name="gradcam", writes="surrogates", version=2, params=Params, plan=plan, help=__doc__, sharded=True)
