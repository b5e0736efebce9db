"""Explain the same pictures with other segments and fills, and say what holds whatever you choose.

Every combination of --methods and --fills is run, each method with its own defaults (the first run's method keeps its parameters). What shows in all of them does not depend on the choice.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from facelime_cli.engine import Command, Context
from facelime_cli.errors import CommandLineError
from facelime_cli.options import Input
from facelime_cli.stages import compare, perturb, segment
from facelime_cli.stages.variations import again, refuse_others

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
            help="Ways to segment, such as slic,quickshift. [default: the first run's]",
        ),
    ] = None
    fills: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="What stands where a segment is switched off, such as mean,blur,black. [default: the first run's]",
        ),
    ] = None
    top: Annotated[int, Option(min=1, help="How many of the strongest segments are compared.")] = 5


def run(params: Params, context: Context) -> Answer:
    """Run every combination, then compare."""
    first = context.store.resolve(params.surrogates, ("surrogates",))
    refuse_others(first)
    own_method, own_fill = (
        str(first.input("segments").parameters["method"]),
        str(first.input("masks").parameters["fill"]),
    )
    methods = _words(
        "--methods", params.methods, [name for name in segment.METHODS if name not in segment.NEEDS], own_method
    )
    fills = _words("--fills", params.fills, [name for name in perturb.FILLS if name != perturb.FROM_FILE], own_fill)
    combinations = [each for each in itertools.product(methods, fills) if each != (own_method, own_fill)]
    if not combinations:
        raise CommandLineError(
            "there is nothing to vary; name other ways to segment with --methods, or other fills with --fills."
        )
    runs = [
        first,
        *(
            again(first, context, segment={} if method == own_method else {"method": method}, perturb={"fill": fill})
            for method, fill in combinations
        ),
    ]
    return compare.of(runs, params.top, context)


def _words(option: str, text: str | None, known: Iterable[str], own: str) -> list[str]:
    """Return the names in a list, each once."""
    names = [own] if text is None else list(dict.fromkeys(word.strip() for word in text.split(",")))
    wrong = next((name for name in names if name not in known and name != own), None)
    if wrong is not None:
        raise CommandLineError(f"{option} {text!r} names {wrong!r}; there are {', '.join(known)}.")
    return names


COMMAND = Command("sensitivity", Params, run, __doc__ or "", named=True)
