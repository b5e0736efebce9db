"""Join several views of the same pictures into one explanation: coefficients, intervals and votes.

A view is one run of LIME: segments, fill, donor and seed. Give surrogates of the same pictures and model, which differ
in any of these. The answer is on the segments of one view, the carrier: the mean of all views, and how many of them
speak alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.options import MOST_SEGMENTS, Resolved
from facelime_cli.predicting.joining import Joining
from facelime_cli.store.arrays import Layout
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `consensus`."""

    surrogates: Annotated[
        list[str],
        Argument(metavar="SURROGATES…", help="Two views or more: surrogates of the same pictures.", show_default=False),
        Resolved(()),
    ]
    carrier: Annotated[
        str | None,
        Option(
            metavar="SEGMENTS",
            show_default=False,
            help="Answer on these segments, those of one of the views. [default: the view of medium scale]",
        ),
        Resolved(()),
    ] = None
    stable_top: Annotated[
        int,
        Option(
            min=1,
            max=MOST_SEGMENTS,
            help="Look at so many of the strongest segments for `topk_repeat`, as far as their intervals exclude 0.",
        ),
    ] = 5


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Check that the views belong together, and choose the carrier."""
    del inputs
    views = [context.store.resolve(reference, ("surrogates",)).require_complete() for reference in params.surrogates]
    # The same view twice would count twice.
    views = list({each.id: each for each in views}.values())
    if len(views) < FEWEST:
        raise CommandLineError(
            f"there is nothing to join {params.surrogates[0]} with; name two different views or more."
        )
    _check(views)
    joining = Joining(views, _carrier(params, views, context), params.stable_top)

    def work(artifact: Artifact, units: Pending) -> None:
        with context.console.progress("consensus", units.pictures) as advance:
            for unit in units:
                unit.finish(joining.parts(artifact, unit.rows))
                advance(unit.n)

    inputs = {f"surrogates_{place}": each for place, each in enumerate(views)}
    return Plan(
        params=params,
        name=f"{joining.carrier.name}-{joining.model.name}-consensus",
        prepare=lambda: Layout(views[0].n, joining.arrays(), views[0].carried(), joining.facts()),
        work=work,
        inputs={"segmentation": joining.carrier, "model": joining.model, **inputs},
    )


def _check(views: Sequence[Artifact]) -> None:
    """Raise when views are not of the same pictures, model and classes, or not made by `fit-surrogate`."""
    first = views[0]
    for each in views:
        if each.stage != "fit-surrogate":
            raise FacelimeError(
                f"{each.reference} was made by `{each.stage}` and is no view; give those of `fit-surrogate`."
            )
        same = each.input("models").content == first.input("models").content and each.texts("id") == first.texts("id")
        # The dataset of the segments: a model comes from one too, which may be another.
        if not same or Segmented(each).dataset.content != Segmented(first).dataset.content:
            raise FacelimeError(
                f"{each.reference} explains other pictures or another model than {first.reference}; "
                "join views of the same pictures and model."
            )


def _carrier(params: Params, views: Sequence[Artifact], context: Context) -> Artifact:
    """Return the segments to answer on: those that are named, else those with the median number."""
    segmentations = list({each.id: each for each in (view.input("segments") for view in views)}.values())
    if params.carrier is not None:
        named = context.store.resolve(params.carrier, ("segments",)).require_complete()
        if named.id not in {each.id for each in segmentations}:
            raise FacelimeError(
                f"--carrier {params.carrier}: no view has these segments; name those of one of the views."
            )
        return named
    by_size = sorted(segmentations, key=lambda each: (float(each.read("n_segments").mean()), each.id))
    return by_size[(len(by_size) - 1) // 2]


def restored(consensus: Artifact) -> dict[str, Any]:
    """Return the carrier, which stands among the inputs under another name."""
    given = consensus.inputs["segmentation"]
    return {"carrier": f"{given['kind']}/{given['id']}"}


STAGE = Stage(
    name="consensus",
    writes="surrogates",
    version=1,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    restored=restored,
)
