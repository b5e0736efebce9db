"""Explain the same pictures with other segments and fills, and say what holds whatever you choose.

Every combination of --methods and --fills is run. Each method has its own defaults; the first run's method keeps its
settings. What shows in all of them does not depend on the choice. A consensus is compared with its own views, and with
what you name beside them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.choices import FILLS, SEGMENTERS
from facelime_cli.engine import Command, Context
from facelime_cli.errors import CommandLineError
from facelime_cli.options import MOST_SEGMENTS, Input
from facelime_cli.predicting.variations import again, refuse_others
from facelime_cli.stages import compare
from facelime_cli.store.explanations import views_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facelime_cli.console import Answer


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `sensitivity`."""

    surrogates: Annotated[
        str,
        Argument(metavar="SURROGATES", help="Surrogates, or - to read them from standard input.", show_default=False),
        Input(("surrogates",)),
    ]
    methods: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Segment in these ways, such as slic,quickshift. [default: as the first run]",
        ),
    ] = None
    fills: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Let these stand for a switched-off segment, such as mean,blur,black. [default: as the first run]",
        ),
    ] = None
    top: Annotated[int, Option(min=1, max=MOST_SEGMENTS, help="Compare so many of the strongest segments.")] = 5


def run(params: Params, context: Context) -> Answer:
    """Run every combination, then compare."""
    first = context.store.resolve(params.surrogates, ("surrogates",))
    refuse_others(first)
    views = views_of(first)
    # Of a consensus, the first view has the usual number of segments.
    base = views[0]
    own_method = str(base.input("segments").parameters["method"])
    own_fill = str(base.input("masks").parameters["fill"])
    known_methods = [name for name, segmenter in SEGMENTERS.items() if segmenter.needs is None]
    known_fills = [name for name, fill in FILLS.items() if not fill.from_file]
    methods = _words("--methods", params.methods, known_methods, own_method)
    fills = _words("--fills", params.fills, known_fills, own_fill)
    runs = list({each.id: each for each in (first, *views)}.values())
    for method, fill in itertools.product(methods, fills):
        if (method, fill) != (own_method, own_fill):
            segments = {} if method == own_method else {"method": method}
            runs.append(again(base, context, segment=segments, perturb={"fill": fill}))
    if len(runs) == 1:
        raise CommandLineError(
            "there is nothing to vary; name other ways to segment with --methods, or other fills with --fills."
        )
    return compare.of(runs, params.top, context)


def _words(option: str, text: str | None, known: Iterable[str], own: str) -> list[str]:
    """Return the names in a list, each once."""
    names = [own] if text is None else list(dict.fromkeys(word.strip() for word in text.split(",")))
    wrong = next((name for name in names if name not in known and name != own), None)
    if wrong is not None:
        raise CommandLineError(f"{option} {text!r} names {wrong!r}; there are {', '.join(known)}.")
    return names


COMMAND = Command("sensitivity", Params, run, __doc__ or "", named=True)
