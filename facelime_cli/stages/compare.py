"""Compare explanations of the same pictures: how far their strongest segments, ranks and signs agree, and what holds in all of them.

They may differ in anything: seed, segments, fill, design, surrogate, samples or model. Where the segments are the same they are compared segment by segment, else pixel by pixel.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Plan, Stage, execute
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_index
from facelime_cli.options import Execution
from facelime_cli.reporting import pages
from facelime_cli.store.arrays import Layout
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.agreement import Attribution
    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

FEWEST = 2
FIGURES = ("jaccard", "rank_correlation", "sign_flips")
PAIR_COLUMNS = ("id", "class", "first", "second", *FIGURES)
SEGMENT_COLUMNS = ("id", "class", "segment", "mean", "standard_deviation", "share_positive")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `compare`."""

    surrogates: Annotated[
        list[str],
        Argument(metavar="SURROGATES…", help="Two surrogates or more, of pictures of one dataset.", show_default=False),
        Execution(),
    ]
    top: Annotated[int, Option(min=1, help="How many of the strongest segments are compared.")] = 5
    explained: Annotated[
        str | None,
        Option(
            "--class",
            metavar="CLASS",
            show_default=False,
            help="Class to compare, by name or number. [default: each picture's most probable in the first]",
        ),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the pictures that all have in common."""
    del inputs
    if len(params.surrogates) < FEWEST:
        raise CommandLineError(f"there is nothing to compare {params.surrogates[0]} with; name two surrogates or more.")
    compared = [context.store.resolve(reference, ("surrogates",)) for reference in params.surrogates]
    chosen = None if params.explained is None else class_index(params.explained, compared[0].facts["classes"])
    comparison = _Comparison(compared, params.top, chosen)

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            _write(comparison, artifact, unit, context)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        return artifact.facts_of_units()[0], []

    inputs = {f"surrogates_{place}": each for place, each in enumerate(compared)}
    return Plan(
        {"top": params.top, "class": chosen},
        f"{compared[0].name}-compared",
        lambda: Layout(1),
        work,
        inputs,
        finish=finish,
    )


class _Comparison:
    """Some surrogates of the same pictures, by picture."""

    def __init__(self, compared: Sequence[Artifact], top: int, chosen: int | None) -> None:
        self.compared, self.top, self._chosen = compared, top, chosen
        from facelime_cli.reporting.explanations import Explained, labels

        self._everyone = [Explained(each) for each in compared]
        self._first = first = self._everyone[0]
        self.dataset, self.names = first.dataset, first.names
        other = next(
            (
                each
                for each in self._everyone
                if each.dataset.content != self.dataset.content or each.names != self.names
            ),
            None,
        )
        if other is not None:
            raise FacelimeError(
                f"surrogates/{other.surrogates.id} and surrogates/{compared[0].id} are about different datasets or classes; compare explanations of the same pictures and classes."
            )
        self._places = [{name: place for place, name in enumerate(each.ids)} for each in self._everyone]
        self._shared = [name for name in first.ids if all(name in each for each in self._places)]
        if not self._shared:
            raise FacelimeError(
                f"surrogates/{compared[0].id} has no picture in common with the others; compare explanations of the same pictures."
            )
        self.labels = labels(self._everyone)

    @cached_property
    def ids(self) -> list[str]:
        """The pictures whose class, the one that is compared, everyone explains: of many classes, Grad-CAM explains some."""
        import numpy as np

        found = [
            picture
            for picture in self._shared
            if not any(np.isnan(values).any() for values in self._coefficients(picture))
        ]
        if not found:
            raise FacelimeError(
                "there is no picture whose class all of them explain; choose another class with --class."
            )
        return found

    def explained(self, picture: str) -> int:
        """Return the class that is compared."""
        if self._chosen is not None:
            return self._chosen
        return int(self._first.full[self._places[0][picture]].argmax())

    def attributions(self, picture: str) -> list[Attribution]:
        """Return what each says of one picture."""
        from facelime_cli.core.agreement import Attribution

        segments = [each.segments(places[picture]) for each, places in zip(self._everyone, self._places, strict=True)]
        return [Attribution(*each) for each in zip(segments, self._coefficients(picture), strict=True)]

    def _coefficients(self, picture: str) -> list[NDArray[np.float64]]:
        c = self.explained(picture)
        return [
            each.coefficients(places[picture], c) for each, places in zip(self._everyone, self._places, strict=True)
        ]

    def image(self, picture: str) -> NDArray[np.uint8]:
        """Return the picture itself."""
        return self._first.image(self._places[0][picture])

    def pairs(self, picture: str, attributions: Sequence[Attribution]) -> Iterator[dict[str, Any]]:
        """Yield how far each two agree on a picture."""
        from facelime_cli.core.agreement import agreement

        for (first, one), (second, other) in itertools.combinations(zip(self.labels, attributions, strict=True), 2):
            found = vars(agreement(one, other, self.top))
            yield {
                "id": picture,
                "class": self.names[self.explained(picture)],
                "first": first,
                "second": second,
                **{name: value if math.isfinite(value) else None for name, value in found.items()},
            }

    def segments(self, picture: str, attributions: Sequence[Attribution]) -> Iterator[tuple[Any, ...]]:
        """Yield each segment's coefficient over all explanations, where they share the segments."""
        import numpy as np

        if any(not np.array_equal(each.segments, attributions[0].segments) for each in attributions):
            return
        every = np.stack([each.coefficients for each in attributions])
        for k in range(every.shape[1]):
            yield (
                picture,
                self.names[self.explained(picture)],
                k,
                float(every[:, k].mean()),
                float(every[:, k].std(ddof=1)),
                float((every[:, k] > 0).mean()),
            )


def _write(comparison: _Comparison, artifact: Artifact, unit: Unit, context: Context) -> None:
    """Draw and write everything."""
    from facelime_cli.core.agreement import held
    from facelime_cli.drawing import comparisons, figures

    pairs: list[dict[str, Any]] = []
    rows: list[tuple[Any, ...]] = []
    made = []
    with context.console.progress("compare", len(comparison.ids)) as advance:
        for place, picture in enumerate(comparison.ids):
            attributions = comparison.attributions(picture)
            pairs += comparison.pairs(picture, attributions)
            rows += comparison.segments(picture, attributions)
            names = [f"figures/{place:05d}.{ending}" for ending in ("png", "svg")]
            drawn = comparisons.explanations(
                comparison.image(picture),
                attributions,
                comparison.labels,
                held(attributions, comparison.top),
                comparison.top,
            )
            figures.write(drawn, [artifact.file(name) for name in names])
            made += names
            advance(1)
    tables = {
        "agreement.csv": [PAIR_COLUMNS, *(tuple(each.values()) for each in pairs)],
        "segments.csv": [SEGMENT_COLUMNS, *rows],
    }
    for name, table in tables.items():
        write_csv(artifact.file(name), table)
    facts = {
        "pictures": len(comparison.ids),
        "compared": comparison.labels,
        "mean": _means(pairs),
        "pairs": _by_pair(pairs),
    }
    write_whole(artifact.file("index.html"), _page(comparison, artifact, facts, pairs).encode())
    unit.finish({}, made=[*made, *tables, "index.html"], facts=facts)


def _means(pairs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return each figure's mean over those pairs that have one."""
    found = {}
    for name in FIGURES:
        known = [each[name] for each in pairs if each[name] is not None]
        found[name] = sum(known) / len(known) if known else None
    return found


def _by_pair(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean figures of each two explanations over the pictures."""
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in pairs:
        grouped.setdefault((each["first"], each["second"]), []).append(each)
    return [{"first": first, "second": second, **_means(each)} for (first, second), each in grouped.items()]


def _page(
    comparison: _Comparison, artifact: Artifact, facts: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]
) -> str:
    pictures = [
        {
            "id": picture,
            "class": comparison.names[comparison.explained(picture)],
            "stem": f"{place:05d}",
            "mean": _shown(_means([each for each in pairs if each["id"] == picture])),
        }
        for place, picture in enumerate(comparison.ids)
    ]
    return pages.render(
        "compare.html",
        title=artifact.name,
        reference=f"{artifact.kind}/{artifact.id}",
        top=comparison.top,
        facts=facts,
        pictures=pictures,
        pairs=[
            ("explanations", "same strongest", "rank correlation", "signs that differ"),
            *((f"{each['first']} and {each['second']}", *_shown(each)) for each in facts["pairs"]),
        ],
        lineage=pages.origins([comparison.dataset, *comparison.compared]),
        software=comparison.compared[0].software,
    )


def _shown(figures: Mapping[str, float | None]) -> list[str]:
    return ["none" if figures[name] is None else f"{figures[name]:.2f}" for name in FIGURES]


def answer(result: Result) -> Answer:
    """Answer with the reference, and how far each two agree on average beside it."""
    facts = result.artifact.facts
    rows = [(each["first"], each["second"], *_shown(each)) for each in facts["pairs"]]
    table = Table(
        ("first", "second", "same strongest", "rank correlation", "signs that differ"),
        rows,
        f"{facts['pictures']} pictures, the {result.artifact.parameters['top']} strongest segments",
    )
    page = result.artifact.path.absolute() / "index.html"
    value = {**result.json(), **facts, "page": str(page)}
    value.pop("facts")
    return Answer(value, [result.artifact.id], notes=[table], said=[f"page: {page}"])


def of(runs: Sequence[Artifact], top: int, context: Context) -> Answer:
    """Compare surrogates that another command has made."""
    params = Params(surrogates=[f"{each.kind}/{each.id}" for each in runs], top=top)
    return answer(execute(STAGE, params, context))


STAGE = Stage(name="compare", writes="reports", version=3, params=Params, plan=plan, help=__doc__, answer=answer)
