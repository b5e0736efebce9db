"""Decide which segments each perturbed picture keeps, and what stands where one is switched off.

Masks depend on the seed, the picture and the sample's number alone. The same seed gives the same masks in any order and
on any machine. More samples begin with the same ones, and `predict` reuses what it knows of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.choices import DESIGNS, EVEN, FILLS, UNLIKE, USUAL_DESIGNS, WITHOUT_CLASSES, words_of
from facelime_cli.core import shapes
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import MOST_WORKERS, Choice, Execution, Input, Resolved, option_of
from facelime_cli.predicting.stability import CONFIDENCE, stable_pictures
from facelime_cli.predicting.stand_ins import FILL_NAMES, StandIns, fill_of, usual_design, usual_fill
from facelime_cli.store import digests
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.explanations import views_of
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

DEFAULTS: dict[str, Any] = {"samples": 1000, "design": None, "probability": None, "fill": None, "seed": 0}
"""Where neither the command line nor a preset says anything. The fill follows from the dataset, the design from the
fill, the probability from the design."""
BITS = 8
ANY_PROBABILITY = [name for name, design in DESIGNS.items() if design.probability is not None]
"""Designs that take any chance of a segment to be kept."""
REAL_FILLS = [name for name, fill in FILLS.items() if fill.real]
SLOW_FILLS = [name for name, fill in FILLS.items() if fill.slow]
KEPT_BEFORE = ("design", "probability", "fill", "fill_sigma", "donor", "seed")
"""What must be as it was where masks are extended."""


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
            help="Take masks and fill of another system. Options that you give override them. "
            f"{presets.help_of(presets.SYSTEMS)}.",
        ),
        Resolved(()),
    ] = None
    samples: Annotated[
        int | None,
        Option(
            min=2,
            max=1_000_000,
            show_default=False,
            help="Take so many samples of each picture, the unperturbed picture among them. "
            "More make narrower intervals and take longer. " + presets.default_words("samples", DEFAULTS["samples"]),
        ),
    ] = None
    design: Annotated[
        str | None,
        Choice(tuple(DESIGNS)),
        Option(
            show_default=False,
            help=f"Choose how masks are drawn. {words_of(DESIGNS)}. "
            f"[default: {USUAL_DESIGNS[True]} with fills {' and '.join(REAL_FILLS)}, else {USUAL_DESIGNS[False]}]",
        ),
    ] = None
    probability: Annotated[
        float | None,
        Option(
            show_default=False,
            help=f"Keep a segment with this chance, between 0 and 1; for --design {' and '.join(ANY_PROBABILITY)}. "
            + presets.default_words("probability", DESIGNS[ANY_PROBABILITY[0]].probability),
        ),
    ] = None
    fill: Annotated[
        str | None,
        Option(
            metavar=FILL_NAMES,
            show_default=False,
            help=f"Choose what stands where a segment is switched off. {words_of(FILLS)}. "
            f"[default: {UNLIKE} where pictures have classes, else {WITHOUT_CLASSES}; {presets.others('fill')}]",
        ),
        Resolved(),
    ] = None
    fill_sigma: Annotated[
        float | None,
        Option(
            min=0.1,
            max=4096.0,
            show_default=False,
            help="Blur with this standard deviation, in pixels. Larger hides more. "
            "[default: a tenth of the picture's side, or of a square of its area]",
        ),
        Resolved(),
    ] = None
    donor: Annotated[
        int | None,
        Option(
            min=1,
            max=100,
            metavar="N",
            show_default=False,
            help=f"With --fill {UNLIKE}, let the N-th most similar picture stand in; each is of another patient. "
            "Another donor shows what depends on the first. [default: 1]",
        ),
        Resolved(),
    ] = None
    seed: Annotated[
        int | None,
        Option(
            show_default=False,
            help="Draw masks and noise from this seed. " + presets.default_words("seed", DEFAULTS["seed"]),
        ),
    ] = None
    after: Annotated[
        str | None,
        Option(
            metavar="SURROGATES",
            show_default=False,
            help="Give --samples only to pictures whose explanation in these surrogates is not stable. "
            "The others keep as many as they had.",
        ),
        Input(("surrogates",)),
    ] = None
    confidence: Annotated[
        float | None,
        Option(
            min=0.5,
            max=0.999,
            show_default=False,
            help="Call a picture stable when another run would find the same strongest segments with this chance. It "
            f"counts where samples are added round by round. [default: {CONFIDENCE:g}]",
        ),
        Resolved(),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_WORKERS,
            show_default=False,
            help=f"Run so many processes in parallel, for {' and '.join(SLOW_FILLS)}. [default: one per core]",
        ),
        Execution(),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Resolve fill, design and rounds."""
    segments, before = inputs["segmentation"], inputs.get("after")
    chosen = resolved(params, segments)
    fill, file = fill_of(str(chosen.fill))
    stand_ins = StandIns(
        fill,
        segments,
        seed=int(chosen.seed or 0),
        sigma=_sigma(chosen, fill.needs, segments),
        file=file,
        donor=_donor(chosen),
    )
    # The word that was typed may hold a path; the name and the digest of the file count.
    counts: dict[str, Any] = {"fill": fill.name, "fill_sigma": stand_ins.sigma, "confidence": None}
    # Left out for the first donor: masks made before donors existed keep their fingerprints.
    if stand_ins.donor > 1:
        counts["donor"] = stand_ins.donor
    begun = None
    if before is not None:
        begun = _begun(before, segments, {**vars(chosen), "donor": None, **counts})
        counts["confidence"] = chosen.confidence or CONFIDENCE
    elif chosen.confidence is not None:
        raise CommandLineError(
            f"--confidence {chosen.confidence} is about pictures that are stable already; "
            "name their surrogates with --after."
        )
    job = _Job(chosen, segments, _Before(before, begun), stand_ins, context)
    return Plan(
        params=chosen,
        resolved=counts,
        name=segments.name,
        prepare=job.prepare,
        work=job.work,
        inputs=inputs,
        sources={} if file is None else {"fill": digests.of_file(file)},
    )


@dataclass(frozen=True)
class _Before:
    """The round before: its explanation, and its masks on these segments; None in the first round."""

    explained: Artifact | None
    masks: Artifact | None


@dataclass(frozen=True)
class _Job:
    """Making masks and fills for some segments."""

    params: Params
    segments: Artifact
    before: _Before
    stand_ins: StandIns
    context: Context

    def prepare(self) -> Layout:
        """Return what to lay out; a picture that the design or the fill cannot serve is named before."""
        import numpy as np

        n, sides = self.segments.n, shapes.sides(self.stand_ins.dataset.facts["size"])
        # First what can fail: a fill without a picture, then a design without enough masks.
        fills = self.stand_ins.constants(self.context.console)
        used = self._rows_in_use()
        most_segments = int(self.segments.read("n_segments").max())
        n_bytes = -(-most_segments // BITS)
        arrays = {
            "masks": ArraySpec("uint8", (n, max(used), n_bytes), ("picture", "sample", "byte")),
            "fill": ArraySpec("uint8", (n, *sides, 3), ("picture", "y", "x", "channel")),
        }
        samples = {"n_samples": (np.array(used, np.int32), ("picture",))}
        return Layout(n, arrays, self.segments.carried() | samples | fills, self.stand_ins.facts())

    def _rows_in_use(self) -> list[int]:
        """Return how many masks each picture needs."""
        from facelime_cli.core.masks import rows_in_use

        kept = [0] * self.segments.n
        if self.before.explained is not None and self.before.masks is not None:
            stable = stable_pictures(self.before.explained, self.params.confidence or CONFIDENCE)
            kept = (self.before.masks.read("n_samples") * stable).tolist()
        used = []
        counts = self.segments.read("n_segments")
        for picture_id, count, enough in zip(self.segments.texts("id"), counts, kept, strict=True):
            # A stable picture keeps the samples that it had, so that its predictions are reused.
            samples = int(enough or self.params.samples or 0)
            try:
                used.append(rows_in_use(str(self.params.design), samples, int(count)))
            except FacelimeError as why:
                raise FacelimeError(f"{picture_id}: {why}.") from why
        return used

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Make masks and fills of every pending unit."""
        processes = self.params.workers if self.stand_ins.fill.slow else 1
        progress = self.context.console.progress("perturb", units.pictures)
        with Workers(processes) as workers, progress as advance:
            for unit in units:
                masks = self._masks(artifact, unit.rows)
                fills = self.stand_ins.made(artifact, unit.rows, workers, advance)
                unit.finish({"masks": masks, "fill": fills})

    def _masks(self, artifact: Artifact, rows: slice) -> NDArray[np.uint8]:
        """Return a unit's packed masks, zeros beyond those that a picture needs."""
        import numpy as np

        from facelime_cli.core import masks

        _, n_samples, n_bytes = artifact.shape("masks")
        draw = DESIGNS[str(self.params.design)].load()
        ids, counts = self.segments.texts("id", rows), self.segments.read("n_segments", rows)
        packed = []
        for picture_id, count, used in zip(ids, counts, artifact.read("n_samples", rows), strict=True):
            key = masks.key_of(int(self.params.seed or 0), picture_id, "mask")
            kept = draw(key, int(used), int(count), self.params.probability)
            # The array is as long as the picture with the most masks needs.
            spare = n_samples - len(kept)
            packed.append(np.pad(masks.pack(kept, n_bytes), ((0, spare), (0, 0))))
        return np.stack(packed)


def resolved(params: Any, segments: Artifact) -> Any:
    """Return the parameters with a preset's values and the defaults filled in.

    Parameters
    ----------
    params : dataclass
        Those of `perturb`, or of a command that has its options.
    segments : Artifact
        The default fill depends on whether their dataset has classes.

    Raises
    ------
    CommandLineError
        When a probability is none, or the design has its own.
    """
    params = presets.filled(params, DEFAULTS)
    # The order counts: the fill follows from the dataset, the design from the fill, the probability from the design.
    if params.fill is None:
        params = replace(params, fill=usual_fill(segments))
    if params.design is None:
        params = replace(params, design=usual_design(params.fill))
    own = DESIGNS[params.design].probability
    if params.probability is None:
        params = replace(params, probability=EVEN if own is None else own)
    if not 0 < params.probability < 1:
        raise CommandLineError(f"--probability {params.probability} should lie between 0 and 1, both excluded.")
    if own is None and params.probability != EVEN:
        raise CommandLineError(
            f"--probability {params.probability} belongs to {' and '.join(ANY_PROBABILITY)}, "
            f"not to --design {params.design}; leave it out or change the design."
        )
    return params


def _sigma(chosen: Params, needs: str | None, segments: Artifact) -> float | None:
    """Return the blur's width in pixels, or None for a fill that has none."""
    if needs != "sigma":
        if chosen.fill_sigma is not None:
            raise CommandLineError(
                f"--fill-sigma belongs to blur, not to --fill {chosen.fill}; leave it out or change the fill."
            )
        return None
    from facelime_cli.core.fills import usual_sigma

    return chosen.fill_sigma or usual_sigma(segments.input("datasets").facts["size"])


def _donor(chosen: Params) -> int:
    """Return which similar picture stands in, from 1."""
    if chosen.donor is not None and chosen.fill != UNLIKE:
        raise CommandLineError(
            f"--donor belongs to {UNLIKE}, not to --fill {chosen.fill}; leave it out or change the fill."
        )
    return chosen.donor or 1


def _begun(before: Artifact, segments: Artifact, wanted: Mapping[str, Any]) -> Artifact:
    """Return the masks of an explanation that these would extend: of a consensus, those of one of its views."""
    if before.stage not in {"fit-surrogate", "consensus"}:
        raise FacelimeError(
            f"{before.reference} was made by `{before.stage}`, which has no samples to extend; "
            "give --after surrogates of `fit-surrogate` or `consensus`."
        )
    views = [each.input("masks") for each in views_of(before)]
    own = [each for each in views if each.inputs["segmentation"]["digest"] == segments.content]
    if not own:
        raise FacelimeError(
            f"{before.reference} is of other segments than {segments.reference}; give --after surrogates of these."
        )
    differing = [_differing(each, wanted) for each in own]
    for masks, name in zip(own, differing, strict=True):
        if name is None:
            return masks
    name = str(differing[0])
    raise FacelimeError(
        f"{before.reference} was made with {option_of(name)} {own[0].parameters.get(name)}, not {wanted.get(name)}; "
        "only --samples can change with --after."
    )


def _differing(masks: Artifact, wanted: Mapping[str, Any]) -> str | None:
    """Return the first parameter in which masks are not what is wanted."""
    made = masks.parameters
    return next((name for name in KEPT_BEFORE if made.get(name) != wanted.get(name)), None)


def restored(masks: Artifact) -> dict[str, Any]:
    """Return the fill as it is typed; a file is no part of the store, so a placeholder stands for it."""
    name = masks.parameters["fill"]
    return {"fill": f"{name}:FILE" if FILLS[name].from_file else name}


STAGE = Stage(
    name="perturb",
    writes="masks",
    version=1,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    restored=restored,
)
