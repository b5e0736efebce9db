"""Explain by gradients (Grad-CAM): where a convolution's maps speak for a class, pooled on segments.

SOURCE is a dataset, which is segmented first, or segments, or surrogates: then the same pictures, segments and model
are explained. A coefficient is the share of the map that lies on a segment. `facelime compare` says how far Grad-CAM
and LIME agree. `facelime render` makes the same report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.answering import layers, runtimes
from facelime_cli.choices import ATTRIBUTIONS, words_of
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import FacelimeError
from facelime_cli.options import Choice, Execution
from facelime_cli.predicting.without_masks import Chosen, model_of, needed_segments
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.explanations import NAN, answer_facts, empty_arrays, unfitted_arrays
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Needed, Pending
    from facelime_cli.store.artifacts import Artifact

MOST_CLASSES = 10
"""Each class takes a pass back through the network. With more, each picture's most probable ones are explained."""
COARSE = "not checked against the model: a map of {} cells, drawn on the regions"
NOWHERE = "nothing to explain: nowhere do the maps speak for this class"
NOWHERE_OF_VALUES = "nothing to explain: nowhere do the maps raise this value"


@dataclass(frozen=True, kw_only=True)
class Params(Chosen):
    """Parameters of `gradcam`."""

    layer: Annotated[
        str | None,
        Option(
            metavar="NAME",
            show_default=False,
            help="Use the maps of this layer; `activations` lists them. [default: the output of the last convolution]",
        ),
    ] = None
    variant: Annotated[
        str,
        Choice(tuple(ATTRIBUTIONS)),
        Option(help=f"Choose how maps are weighted. {words_of(ATTRIBUTIONS)}."),
    ] = next(iter(ATTRIBUTIONS))
    batch_size: Annotated[
        int,
        Option(min=1, max=1024, help="Explain so many pictures per call. Lower it when memory is short."),
        Execution(),
    ] = 16


def needs(params: Params, inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Name the segments of a dataset: its pictures are explained segment by segment."""
    model = model_of(inputs)
    layers.check_layers(model)
    return needed_segments(params, inputs["source"], model)


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find segments and model."""
    source, model = inputs["source"], model_of(inputs)
    segments = Segmented(source).segmentation
    job = _Job(params, segments, model, context)
    # A name is a folder, and some shells read a plus.
    variant = params.variant.replace("+", "p")
    return Plan(
        params=params,
        name=f"{segments.name}-{model.name}-{variant}",
        prepare=job.prepare,
        work=job.work,
        inputs={"source": segments, "model": model},
    )


@dataclass(frozen=True)
class _Job:
    """Explaining segmented pictures by the maps of one layer."""

    params: Params
    segments: Artifact
    model: Artifact
    context: Context

    def prepare(self) -> Layout:
        """Return a share for every segment and class, and the maps themselves."""
        layer, height, width = self._maps(layers.layered(self.model))
        shape = (self.segments.n, len(self.model.facts["classes"]), height, width)
        dimensions = ("picture", "class", "map_y", "map_x")
        arrays = unfitted_arrays(self.segments, self.model, "share")
        arrays["maps"] = ArraySpec("float32", shape, dimensions, NAN)
        attribution = ATTRIBUTIONS[self.params.variant]
        facts: dict[str, Any] = {"method": attribution.title, "layer": layer, **answer_facts(self.model)}
        if attribution.reads is not None:
            facts["reads"] = attribution.reads
        return Layout(self.segments.n, arrays, self.segments.carried(), facts)

    def _maps(self, network: layers.Layered) -> tuple[str, int, int]:
        """Return the layer that is used, and the height and width of its maps."""
        layer = self.params.layer or network.last_maps()
        found = network.layer(layer)
        if found.sides is None:
            raise FacelimeError(
                f"--layer {layer} answers {found.shape}, not maps of places; "
                f"`facelime activations models/{self.model.id} PICTURE` lists the layers and their shapes."
            )
        return layer, *found.sides

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Explain every pending unit."""
        network = layers.layered(self.model)
        with self.context.console.progress("gradcam", units.pictures) as advance:
            for unit in units:
                unit.finish(self._explained(network, artifact, unit.rows, advance))

    def _explained(
        self, network: layers.Layered, artifact: Artifact, rows: slice, advance: Callable[[int], None]
    ) -> dict[str, NDArray[Any]]:
        """Return a unit's part of every array."""
        import numpy as np

        batch = self.params.batch_size
        pictures = Segmented(self.segments)
        every = range(rows.start, rows.stop)
        regions = _Regions(pictures.segments(rows), pictures.counts(rows).tolist())
        parts = empty_arrays(artifact, len(every))
        for start in range(0, len(every), batch):
            places = range(start, min(start + batch, len(every)))
            images = pictures.images(every[start : start + batch])
            spare = batch - len(images)
            # One shape for every call, so that the last batch is not compiled anew.
            answers = network.answers(np.pad(images, ((0, spare), (0, 0), (0, 0), (0, 0))))[: len(images)]
            parts["probabilities"][places] = answers
            # With a thousand classes, a pass for each would take hours.
            order = runtimes.first_classes(self.model, parts["probabilities"][places])[:, :MOST_CLASSES]
            for rank in range(order.shape[1]):
                classes = order[:, rank]
                maps, slopes = network.maps_and_gradients(artifact.facts["layer"], images, classes)
                for place, c, one_map, slope in zip(places, classes.tolist(), maps, slopes, strict=True):
                    self._pool(parts, (place, c), (one_map, slope), regions)
            advance(len(images))
        return parts

    def _pool(
        self,
        parts: Mapping[str, NDArray[Any]],
        at: tuple[int, int],
        made: tuple[NDArray[np.float32], NDArray[np.float32]],
        regions: _Regions,
    ) -> None:
        """Put one picture's map for one class into its places."""
        from facelime_cli.core import cams

        place, _ = at
        cam = ATTRIBUTIONS[self.params.variant].load()(*made)
        cells = "×".join(map(str, cam.shape))
        parts["maps"][at] = cam
        parts["coefficients"][at][: regions.counts[place]] = cams.pooled(cam, regions.labels[place])
        nowhere = NOWHERE_OF_VALUES if runtimes.answers_values(self.model) else NOWHERE
        parts["verdict"][at] = COARSE.format(cells) if cam.any() else nowhere


@dataclass(frozen=True)
class _Regions:
    """The segments of a unit's pictures, (n, H, W), and how many each has."""

    labels: NDArray[np.uint16]
    counts: list[int]


STAGE = Stage(
    name="gradcam",
    writes="surrogates",
    version=2,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    needs=needs,
)
