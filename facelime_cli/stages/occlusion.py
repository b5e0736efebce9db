"""Explain by switching off one segment at a time: how far the model's probability falls. A third voice beside LIME and Grad-CAM, on the same segments.

SOURCE is a dataset, which is segmented first, or segments, or surrogates: then the same pictures, segments, fill and model are explained. It takes one evaluation per segment, and
does not see what several segments do together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.engine import Context, Plan, Stage, execute
from facelime_cli.errors import CommandLineError
from facelime_cli.models import runtimes
from facelime_cli.options import Execution
from facelime_cli.stages import perturb
from facelime_cli.stages.gradcam import Chosen, model_of, segments_of
from facelime_cli.store.arrays import Layout
from facelime_cli.store.explanations import empty_parts, unfitted_arrays
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from facelime_cli.engine import Pending
    from facelime_cli.store.artifacts import Artifact

FEWEST_SAMPLES = 2
VERDICT = "exact for one region at a time; what several do together it does not see"
READ_AS = "switching this region off alone lowers the model's probability of the class by 12 points"


@dataclass(frozen=True, kw_only=True)
class Params(Chosen):
    """Parameters of `occlusion`."""

    fill: Annotated[
        str | None,
        Option(
            metavar=perturb.FILL_NAMES,
            show_default=False,
            help="What stands where a segment is switched off. [default: that of the surrogates, else perturb's own]",
        ),
        Execution(),
    ] = None
    batch_size: Annotated[int, Option(min=1, max=4096, help="Evaluations per call."), Execution()] = 32


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find segments, fill and model, and lay out a coefficient for every segment and class."""
    model = model_of(inputs)
    masks = _masks(inputs["source"], model, params, context)
    segments = masks.input("segments")

    def prepare() -> Layout:
        words = {"method": "Occlusion", "reads": READ_AS, "classes": model.facts["classes"]}
        return Layout(masks.n, unfitted_arrays(segments, model, "probability"), masks.carried(), words)

    def work(artifact: Artifact, units: Pending) -> None:
        call = runtimes.load(model, runtimes.usual(model)).composed
        with context.console.progress("occlusion", units.pictures) as advance:
            for unit in units:
                unit.finish(_explained(call, artifact, masks, unit.rows, params.batch_size, advance))

    return Plan({}, f"{masks.name}-{model.name}-occlusion", prepare, work, {"source": masks, "model": model})


def _masks(source: Artifact, model: Artifact, params: Params, context: Context) -> Artifact:
    """Return the masks whose fill is used; only their fill counts, so that segments without any get the fewest there are."""
    if source.kind in {"datasets", "segments"}:
        segments = segments_of(source, model, params, context)
        chosen = perturb.Params(
            segmentation=f"segments/{segments.id}", samples=FEWEST_SAMPLES, design="bernoulli", fill=params.fill
        )
        return execute(perturb.STAGE, chosen, Context(context.store, context.console)).artifact
    segments_of(source, model, params, context)
    if params.fill is not None:
        raise CommandLineError(
            f"--fill {params.fill}: {source.kind}/{source.id} has its own fill; leave it out, or give its segments."
        )
    return source if source.kind == "masks" else source.input("masks")


def _explained(
    call: Callable[..., NDArray[Any]],
    artifact: Artifact,
    masks: Artifact,
    rows: slice,
    batch: int,
    advance: Callable[[int], None],
) -> dict[str, NDArray[Any]]:
    """Explain the pictures of a unit."""
    import numpy as np

    from facelime_cli.core.masks import pack

    pictures = Segmented(masks)
    images, fills = pictures.images(rows), pictures.fill(rows)
    labels, counts = pictures.segments(rows), pictures.counts(rows)
    parts = empty_parts(artifact, len(images))
    n_bytes = -(-artifact.shape("coefficients")[2] // 8)
    for place, count in enumerate(counts.tolist()):
        packed = pack(np.concatenate([np.ones((1, count), np.bool_), ~np.eye(count, dtype=np.bool_)]), n_bytes)
        arrays = (
            np.stack([fills[place], images[place]]).reshape(1, 2, -1, 3),
            labels[place].reshape(1, -1).astype(np.int32),
        )
        answers = np.concatenate(
            [_batch(call, packed[start : start + batch], batch, arrays) for start in range(0, len(packed), batch)]
        ).astype(np.float64)
        parts["probabilities"][place] = answers[0]
        parts["coefficients"][place, :, :count] = (answers[0] - answers[1:]).T
        parts["verdict"][place] = VERDICT
        advance(1)
    return parts


def _batch(
    call: Callable[..., NDArray[Any]], packed: NDArray[Any], batch: int, arrays: tuple[NDArray[Any], NDArray[Any]]
) -> NDArray[Any]:
    """Run one batch, padded to full size, so that one compiled call serves all."""
    import numpy as np

    return np.asarray(
        call(np.pad(packed, ((0, batch - len(packed)), (0, 0))), np.zeros(batch, np.int32), *arrays)[: len(packed)]
    )


STAGE = Stage(name="occlusion", writes="surrogates", version=1, params=Params, plan=plan, help=__doc__, sharded=True)
