"""Explain the same pictures again with other seeds, and say how far the explanations agree.

Only the seed of the masks changes; of a consensus, every view is made again. What differs between such runs is chance:
segments that come and go among the strongest mean nothing. --stored asks the model nothing: it fits parts of the stored
samples alone. A part has fewer samples, so parts differ more than whole runs would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.choices import DESIGNS
from facelime_cli.engine import Command, Context
from facelime_cli.errors import FacelimeError
from facelime_cli.options import MOST_SEGMENTS, Input
from facelime_cli.predicting.variations import again, refuse_others
from facelime_cli.stages import compare
from facelime_cli.store.explanations import masks_of

if TYPE_CHECKING:
    from facelime_cli.console import Answer


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `stability`."""

    surrogates: Annotated[
        str,
        Argument(metavar="SURROGATES", help="Surrogates, or - to read them from standard input.", show_default=False),
        Input(("surrogates",)),
    ]
    repeats: Annotated[
        int,
        Option(
            min=1,
            max=100,
            help="Make so many more runs, each with a seed of its own. Each costs as many evaluations as the first.",
        ),
    ] = 4
    stored: Annotated[
        int | None,
        Option(
            min=2,
            max=100,
            metavar="N",
            show_default=False,
            help="Compare so many parts of the stored samples instead. [default: new runs]",
        ),
    ] = None
    top: Annotated[int, Option(min=1, max=MOST_SEGMENTS, help="Compare so many of the strongest segments.")] = 5


def run(params: Params, context: Context) -> Answer:
    """Repeat, then compare."""
    first = context.store.resolve(params.surrogates, ("surrogates",))
    refuse_others(first)
    masks = masks_of(first)
    if any(DESIGNS[each.parameters.get("design", "bernoulli")].all_masks for each in masks):
        raise FacelimeError(
            f"surrogates/{first.id} were fitted to every mask there is. "
            "Nothing is left to chance: other seeds would find the same."
        )
    if params.stored is not None:
        shares = [f"{number}/{params.stored}" for number in range(1, params.stored + 1)]
        runs = [again(first, context, fit_surrogate={"part": share}) for share in shares]
        return compare.of(runs, params.top, context)
    seed = int(masks[0].parameters["seed"])
    seeds = range(seed + 1, seed + params.repeats + 1)
    runs = [first, *(again(first, context, perturb={"seed": other}) for other in seeds)]
    return compare.of(runs, params.top, context)


COMMAND = Command("stability", Params, run, __doc__ or "", named=True)
