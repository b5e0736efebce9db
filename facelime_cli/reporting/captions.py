"""The caption of a report's figures for print: what a reader of a paper has to know of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from facelime_cli import __version__
from facelime_cli.choices import SEGMENTERS, SURROGATES
from facelime_cli.core.verdict import word_of
from facelime_cli.drawing.printing import letters
from facelime_cli.reporting.explanations import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.report import Report
    from facelime_cli.store.artifacts import Artifact

FILE = "figures/caption.txt"
DIGEST_DIGITS = 16
"""Of a digest in a caption: enough to tell any two models apart."""
COLOURS = {
    "facelime": "Vermilion {for_it}, blue {against}",
    "lime": "Green {for_it}, red {against}",
    "heatmap": "Blue {for_it}, red {against}",
}
"""What the colours of each style mean."""


def caption(report: Report, plates: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return the text.

    Parameters
    ----------
    report : Report
    plates : sequence of (str, sequence of int)
        Each plate's name and the pictures that it shows; none where only single figures were drawn.

    Returns
    -------
    str
        Sentences, a line for each group of them.
    """
    explanations = report.explanations
    lines = [
        _about(explanations),
        " ".join(_made(explanations)),
        " ".join(_colours(report)),
        _check(report),
        f"Made with facelime {__version__} from {explanations.surrogates.reference}.",
    ]
    lines += [f"{name}: {'; '.join(_pictures(report, rows))}." for name, rows in plates]
    return "\n".join(lines) + "\n"


def said(explanations: Explanations, row: int, c: int) -> str:
    """Return a class and what the model answers for it.

    Parameters
    ----------
    explanations : Explanations
    row, c : int
        The picture and the class.
    """
    return f"{explanations.names[c]} {explanations.spoken.answer(float(explanations.explained_of(row)[c]))}"


def _about(explanations: Explanations) -> str:
    n = len(explanations)
    pictures = "1 picture" if n == 1 else f"{n:,} pictures"
    model = explanations.model
    return (
        f"What raises and lowers the answer of {model.reference} (digest {_digest(model)}), in {pictures} of "
        f"{explanations.dataset.reference} (digest {_digest(explanations.dataset)})."
    )


def _digest(artifact: Artifact) -> str:
    kind, colon, digits = artifact.content.rpartition(":")
    return f"{kind}{colon}{digits[:DIGEST_DIGITS]}"


def _made(explanations: Explanations) -> Iterator[str]:
    """Yield how the explanations were made, a sentence each."""
    yield f"Method: {explanations.method}."
    yield f"Segments: {_segments(explanations)}."
    samples = {explanations.samples(row) for row in range(len(explanations))} - {None}
    if samples:
        yield f"Samples: {_range(sorted(int(each or 0) for each in samples))} for each picture."
    if explanations.fills:
        yield f"A segment that is off was replaced by {explanations.compared_with}."
    surrogate = SURROGATES.get(explanations.fitted_as.parameters.get("surrogate", ""))
    if surrogate is None and explanations.runs:
        surrogate = SURROGATES.get(explanations.runs[0].fitted_as.parameters.get("surrogate", ""))
    if surrogate is not None and explanations.samples(0):
        yield f"Surrogate: {surrogate.name}."


def _segments(explanations: Explanations) -> str:
    """Return by which methods pictures were divided, and into how many segments those that are drawn are."""
    segmentations = [explanations.segmentation, *(run.surrogates.input("segments") for run in explanations.runs)]
    methods = dict.fromkeys(str(each.parameters["method"]) for each in segmentations)
    words = [f"{name} ({SEGMENTERS[name].words})" if name in SEGMENTERS else name for name in methods]
    return f"{listed(words)}, {_range(sorted(set(explanations.counts)))} in each picture"


def _range(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _colours(report: Report) -> Iterator[str]:
    """Yield what is to be seen, a sentence each."""
    explanations, style = report.explanations, report.request.style
    for_it, against = (
        ("raises the value", "lowers it") if explanations.values else ("speaks for the class", "against it")
    )
    coloured = COLOURS[style].format(for_it=for_it, against=against)
    if style == "heatmap":
        quantity = explanations.quantity
        yield f"{coloured}; the scale ends at ±{report.scale(explanations):g} {quantity.name}."
    else:
        yield f"{coloured}; the {report.request.top} strongest segments are coloured."
    if style != "lime":
        yield "Hatching: the 95 % interval of the coefficient holds 0."


def _check(report: Report) -> str:
    """Return what the model answered when it was asked, over all pictures."""
    explanations = report.explanations
    check = explanations.check
    first = [(row, classes[0]) for row, classes in enumerate(report.shown) if classes]
    counts = Counter(word_of(explanations.verdict(row, c)).text for row, c in first)
    verdicts = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    if check is None:
        return f"Not checked by the model. Verdicts: {verdicts}."
    return (
        f"Checked by the model without the {listed([str(each) for each in check.numbers])} strongest segments against "
        f"random sets of others, under {len(check.fills)} replacements ({check.artifact.reference}). "
        f"Verdicts: {verdicts}."
    )


def _pictures(report: Report, rows: Sequence[int]) -> Iterator[str]:
    """Yield what each place of a plate shows."""
    explanations = report.explanations
    for place, row in enumerate(rows):
        c = report.shown[row][0]
        words = f"{said(explanations, row, c)}, {explanations.verdict(row, c)}"
        yield f"({letters(place)}) {explanations.ids[row]}: {words}"
