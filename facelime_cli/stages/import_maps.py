"""Bring maps from elsewhere: pool PNG or NumPy files on segments, so that they can be checked.

SOURCE is a dataset, which is segmented first, or segments, or surrogates: then the same pictures and segments are used.
A coefficient is the share of the map that lies on a segment. A map is taken for the picture's most probable class; of a
model that answers with values, for the first value.
Check it with `facelime check`, and show it beside others with `facelime render`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.answering import runtimes
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import FacelimeError
from facelime_cli.options import Execution, Resolved
from facelime_cli.predicting.without_masks import Chosen, model_of, needed_segments
from facelime_cli.pseudonyms import made_with
from facelime_cli.sources import map_files
from facelime_cli.store import digests
from facelime_cli.store.arrays import Layout
from facelime_cli.store.explanations import answer_facts, empty_arrays, unfitted_arrays
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Needed, Pending
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True, kw_only=True)
class Params(Chosen):
    """Parameters of `import-maps`."""

    maps: Annotated[
        Path,
        Option(
            metavar="DIR",
            show_default=False,
            help="Read the maps in this folder: a PNG, TIFF or .npy file for each picture, named by its id. "
            "Bright, or positive, speaks for the class.",
        ),
        Resolved(()),
    ]
    batch_size: Annotated[
        int,
        Option(min=1, max=1024, help="Ask the model about so many pictures per call. Lower it when memory is short."),
        Execution(),
    ] = 16


def needs(params: Params, inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Name the segments of a dataset."""
    return needed_segments(params, inputs["source"], model_of(inputs))


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the maps; a wrong one is named before anything is written."""
    from facelime_cli.core.label_files import saliency

    model, segments = model_of(inputs), Segmented(inputs["source"]).segmentation
    ids = segments.texts("id")
    pseudonym = made_with(segments.input("datasets"), context.console.warn)
    files = map_files(params.maps, ids, "--maps", "map", pseudonym)
    for picture, path in files.items():
        try:
            saliency(path)
        except FacelimeError as why:
            raise FacelimeError(f"{picture}: {why}, or leave the picture out with --images.") from why
    job = _Job(params, segments, model, [files[picture] for picture in ids], context)
    return Plan(
        params=params,
        name=f"{segments.name}-{model.name}-maps",
        prepare=job.prepare,
        work=job.work,
        inputs={"source": segments, "model": model},
        sources={"maps": digests.of_value([[picture, digests.of_file(path)] for picture, path in files.items()])},
    )


@dataclass(frozen=True)
class _Job:
    """Pooling maps on the segments of their pictures."""

    params: Params
    segments: Artifact
    model: Artifact
    files: list[Path]
    context: Context

    def prepare(self) -> Layout:
        """Return a share for every segment."""
        facts = {"method": "Imported map", **answer_facts(self.model)}
        arrays = unfitted_arrays(self.segments, self.model, "share")
        return Layout(self.segments.n, arrays, self.segments.carried(), facts)

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Pool the maps of every pending unit."""
        import numpy as np

        from facelime_cli.models import running

        classifier = runtimes.load(self.model, runtimes.usual(self.model))
        pictures = Segmented(self.segments)
        with self.context.console.progress("import-maps", units.pictures) as advance:
            for unit in units:
                rows = np.arange(unit.rows.start, unit.rows.stop)
                asked = running.Labelled(pictures.images, rows, rows)
                answers = list(running.answers(classifier.forward, asked, self.params.batch_size))
                unit.finish(self._pooled(artifact, unit.rows, np.concatenate(answers)))
                advance(unit.n)

    def _pooled(self, artifact: Artifact, rows: slice, answers: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return a unit's part of every array."""
        from facelime_cli.core.cams import pooled
        from facelime_cli.core.label_files import saliency
        from facelime_cli.core.verdict import NOT_CHECKED

        parts = empty_arrays(artifact, len(answers))
        parts["probabilities"][:] = answers
        pictures = Segmented(self.segments)
        first = runtimes.first_classes(self.model, answers)[:, 0]
        for place, (labels, file) in enumerate(zip(pictures.segments(rows), self.files[rows], strict=True)):
            c = int(first[place])
            shares = pooled(saliency(file), labels)
            parts["coefficients"][place, c, : len(shares)] = shares
            parts["verdict"][place, c] = NOT_CHECKED
        return parts


STAGE = Stage(
    name="import-maps",
    writes="surrogates",
    version=1,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    needs=needs,
    finish=lambda *_: ({}, []),
)
