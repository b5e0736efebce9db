"""Explain by switching off one segment at a time: how far the model's probability falls.

SOURCE is a dataset, which is segmented first, or segments, or surrogates: then the same pictures, segments, fill and
model are explained. It takes one evaluation per segment. It does not see what several segments do together.
Of a model that answers with values, it is the value that falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.answering import runtimes
from facelime_cli.engine import Needed, Plan, Stage, stage_called
from facelime_cli.errors import CommandLineError
from facelime_cli.options import Execution, Resolved
from facelime_cli.predicting.outputs import needed_output
from facelime_cli.predicting.stand_ins import FILL_NAMES
from facelime_cli.predicting.without_masks import Chosen, model_of, needed_segments
from facelime_cli.store.arrays import Layout
from facelime_cli.store.explanations import answer_facts, empty_arrays, masks_of, measure_of, unfitted_arrays
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

FEWEST_SAMPLES = 2
BITS = 8
VERDICT = "exact for one region at a time; what several do together it does not see"
READ_AS = "switching this region off alone lowers the model's probability of the class by 12 points"
READ_VALUE_AS = "switching this region off alone lowers the estimate by {{number}}{unit}"


@dataclass(frozen=True, kw_only=True)
class Params(Chosen):
    """Parameters of `occlusion`."""

    fill: Annotated[
        str | None,
        Option(
            metavar=FILL_NAMES,
            show_default=False,
            help="Choose what stands where a segment is switched off. "
            "[default: that of the surrogates, else the default of `perturb`]",
        ),
        Resolved(()),
    ] = None
    batch_size: Annotated[
        int,
        Option(min=1, max=4096, help="Make so many evaluations per call. Lower it when memory is short."),
        Execution(),
    ] = 32


def needs(params: Params, inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Name the masks whose fill is used, and the segments before them.

    Only the fill counts, so that segments without masks get the fewest there are.
    """
    source, model = inputs["source"], model_of(inputs)
    segments, output = needed_segments(params, source, model), needed_output(params.output, model)
    if source.kind not in {"datasets", "segments"}:
        if params.fill is not None:
            raise CommandLineError(
                f"--fill {params.fill}: {source.reference} has its own fill; leave it out, or give its segments."
            )
        return output
    perturb = stage_called("perturb")
    reference = source.reference
    masks = perturb.params(segmentation=reference, samples=FEWEST_SAMPLES, design="bernoulli", fill=params.fill)
    before = {"segmentation": segments["source"]} if segments else {}
    return {"source": Needed(perturb.name, masks, before), **output}


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find masks and model."""
    source, model = inputs["source"], model_of(inputs)
    masks = _masks(source)
    job = _Job(params, masks, model, context)
    return Plan(
        params=params,
        name=f"{masks.name}-{model.name}-occlusion",
        prepare=job.prepare,
        work=job.work,
        inputs={"source": masks, "model": model},
    )


def _masks(source: Artifact) -> Artifact:
    """Return the masks whose fill is used: of a consensus, those of its first view on the carrier."""
    views = masks_of(source) if source.kind == "surrogates" else []
    own = [each for each in views if each.input("segments").id == Segmented(source).segmentation.id]
    return own[0] if own else Segmented(source).masks


@dataclass(frozen=True)
class _Job:
    """Switching off the segments of some pictures, one at a time."""

    params: Params
    masks: Artifact
    model: Artifact
    context: Context

    def prepare(self) -> Layout:
        """Return a coefficient for every segment and class."""
        segments = self.masks.input("segments")
        reads = (
            READ_VALUE_AS.format(unit=runtimes.unit_behind(self.model))
            if runtimes.answers_values(self.model)
            else READ_AS
        )
        facts = {"method": "Occlusion", "reads": reads, **answer_facts(self.model)}
        arrays = unfitted_arrays(segments, self.model, measure_of(self.model))
        return Layout(self.masks.n, arrays, self.masks.carried(), facts)

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Explain every pending unit."""
        classifier = runtimes.load(self.model, runtimes.usual(self.model))
        with self.context.console.progress("occlusion", units.pictures) as advance:
            for unit in units:
                unit.finish(self._explained(classifier.composed, artifact, unit.rows, advance))

    def _explained(
        self, call: Callable[..., NDArray[Any]], artifact: Artifact, rows: slice, advance: Callable[[int], None]
    ) -> dict[str, NDArray[Any]]:
        """Return a unit's part of every array."""
        import numpy as np

        from facelime_cli.core.masks import pack

        pictures = Segmented(self.masks)
        images, fills, labels = pictures.images(rows), pictures.fill(rows), pictures.segments(rows)
        counts = pictures.counts(rows).tolist()
        parts = empty_arrays(artifact, len(images))
        n_bytes = -(-artifact.shape("coefficients")[2] // BITS)
        for place, count in enumerate(counts):
            # The first row keeps all, as everywhere: its answer is what the others are compared with.
            full = np.ones((1, count), np.bool_)
            one_off = ~np.eye(count, dtype=np.bool_)
            packed = pack(np.concatenate([full, one_off]), n_bytes)
            both = np.stack([fills[place], images[place]]).reshape(1, 2, -1, 3)
            flat = labels[place].reshape(1, -1).astype(np.int32)
            answers = self._answers(call, packed, (both, flat))
            parts["probabilities"][place] = answers[0]
            parts["coefficients"][place, :, :count] = (answers[0] - answers[1:]).T
            parts["verdict"][place] = VERDICT
            advance(1)
        return parts

    def _answers(
        self, call: Callable[..., NDArray[Any]], packed: NDArray[Any], arrays: tuple[NDArray[Any], NDArray[Any]]
    ) -> NDArray[Any]:
        """Return the model's probabilities for some masks of one picture, batch by batch: (S, C) float64."""
        import numpy as np

        batch = self.params.batch_size
        found = []
        for start in range(0, len(packed), batch):
            some = packed[start : start + batch]
            spare = batch - len(some)
            # Padded to full size, so that one compiled call serves all.
            padded = np.pad(some, ((0, spare), (0, 0)))
            found.append(np.asarray(call(padded, np.zeros(batch, np.int32), *arrays)[: len(some)]))
        return np.concatenate(found).astype(np.float64)


STAGE = Stage(
    name="occlusion",
    writes="surrogates",
    version=1,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    needs=needs,
)
