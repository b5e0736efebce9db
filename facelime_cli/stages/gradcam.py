"""Explain by gradients (Grad-CAM): where a convolution's maps speak for a class, pooled on segments.

SOURCE is a dataset, which is segmented first, or segments, or surrogates: then the same pictures, segments and model
are explained. A coefficient is the share of the map that lies on a segment. `facelime compare` says how far Grad-CAM
and LIME agree. `facelime render` makes the same report.

Models of Keras and PyTorch have layers. Tokens of a vision transformer become maps: those in front that are no places,
such as the class token, are dropped; the others lie row by row, so (tokens, values) becomes (height, width, values).
The default is then the last normalization whose tokens of places still reach the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.answering import layers, runtimes
from facelime_cli.choices import ATTENTION, ATTRIBUTIONS, Attribution, words_of
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import Choice, Execution
from facelime_cli.predicting.outputs import needed_output
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
            help="Use the maps of this layer, by name or the end of its path; `activations` lists them. "
            "[default: the output of the last convolution or tokens]",
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
    if ATTRIBUTIONS[params.variant].of == ATTENTION:
        if params.layer is not None:
            raise CommandLineError(
                f"--variant {params.variant} joins the attention of every layer; leave --layer {params.layer} out."
            )
        layers.check_attention(model, f"--variant {params.variant}")
    return {**needed_segments(params, inputs["source"], model), **needed_output(params.output, model)}


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

    @property
    def _attribution(self) -> Attribution:
        return ATTRIBUTIONS[self.params.variant]

    def prepare(self) -> Layout:
        """Return a share for every segment and class, and the maps themselves."""
        layer, height, width = self._read(layers.layered(self.model))
        shape = (self.segments.n, len(self.model.facts["classes"]), height, width)
        dimensions = ("picture", "class", "map_y", "map_x")
        arrays = unfitted_arrays(self.segments, self.model, "share")
        arrays["maps"] = ArraySpec("float32", shape, dimensions, NAN)
        attribution = self._attribution
        facts: dict[str, Any] = {"method": attribution.title, "layer": layer, **answer_facts(self.model)}
        if attribution.reads is not None:
            facts["reads"] = attribution.reads
        return Layout(self.segments.n, arrays, self.segments.carried(), facts)

    def _read(self, network: layers.Layered) -> tuple[str, int, int]:
        """Return the layer that is read, and the height and width of its maps."""
        if self._attribution.of == ATTENTION:
            attended = network.attended()
            speaking = "the class token" if attended.by_class_token else "the mean of the tokens"
            words = f"attention of {attended.n_layers} layers, as it reaches {speaking}"
            return words, attended.places.height, attended.places.width
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
        nowhere = NOWHERE_OF_VALUES if runtimes.answers_values(self.model) else NOWHERE
        for start in range(0, len(every), batch):
            places = range(start, min(start + batch, len(every)))
            images = pictures.images(every[start : start + batch])
            spare = batch - len(images)
            # One shape for every call, so that the last batch is not compiled anew.
            answers = network.answers(np.pad(images, ((0, spare), (0, 0), (0, 0), (0, 0))))[: len(images)]
            parts["probabilities"][places] = answers
            # With a thousand classes, a pass for each would take hours.
            order = runtimes.first_classes(self.model, parts["probabilities"][places])[:, :MOST_CLASSES]
            cams = self._cams(network, artifact.facts["layer"], images)
            for rank in range(order.shape[1]):
                classes = order[:, rank]
                for place, c, cam in zip(places, classes.tolist(), cams(classes), strict=True):
                    _pool(parts, (place, c), cam, regions, nowhere)
            advance(len(images))
        return parts

    def _cams(
        self, network: layers.Layered, layer: str, images: NDArray[np.uint8]
    ) -> Callable[[NDArray[np.int64]], list[NDArray[np.float64]]]:
        """Return what makes each picture's map for its class."""
        function = self._attribution.load()
        if self._attribution.of == ATTENTION:
            attended = network.attended()
            sides = attended.places.height, attended.places.width
            dropped, by_class_token = attended.places.dropped, attended.by_class_token
            same = [
                function(each, dropped, by_class_token=by_class_token).reshape(sides)
                for each in network.attention(images)
            ]
            return lambda _classes: same

        def made(classes: NDArray[np.int64]) -> list[NDArray[np.float64]]:
            return [function(*each) for each in zip(*network.maps_and_gradients(layer, images, classes), strict=True)]

        return made


def _pool(
    parts: Mapping[str, NDArray[Any]], at: tuple[int, int], cam: NDArray[np.float64], regions: _Regions, nowhere: str
) -> None:
    """Put one picture's map for one class into its places."""
    from facelime_cli.core import cams

    place, _ = at
    cells = "×".join(map(str, cam.shape))
    parts["maps"][at] = cam
    parts["coefficients"][at][: regions.counts[place]] = cams.pooled(cam, regions.labels[place])
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
