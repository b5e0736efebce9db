"""Show one artifact: what made it, from what, and what is in its arrays; --png draws it, --format gives its explanations.

--png writes a picture of any artifact: sample pictures, segments with their numbers, perturbed pictures as the model saw them with its answers, what the surrogate says against what
the model says, a training's course. --format text draws explanations in the terminal; json and csv hand their figures on.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer, Drawing, Table, size_text
from facelime_cli.engine import Command, Context
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_indices, listed, row_of
from facelime_cli.options import Choice, Input
from facelime_cli.reporting.pages import signed
from facelime_cli.stages.status import describe
from facelime_cli.store.artifacts import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from facelime_cli.reporting.explanations import Explained, Strength
    from facelime_cli.store.arrays import ArraySpec
    from facelime_cli.store.artifacts import Artifact

LONGEST_VALUE = 200
TOP = 10
DRAWN_COLUMNS = 48
FORMATS = ("text", "json", "csv")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `show`."""

    reference: Annotated[
        str,
        Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    png: Annotated[
        Path | None,
        Option(
            "--png", metavar="FILE", show_default=False, help="Write a picture of it to this file, which must be new."
        ),
    ] = None
    format: Annotated[
        str | None,
        Choice(FORMATS),
        Option(
            "--format",
            show_default=False,
            help="Of surrogates and their reports, the explanations themselves: drawn in the terminal, as JSON, or as a CSV table.",
        ),
    ] = None
    images: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Pictures to show, by id; --png draws one, of a dataset several. [default: the first; with json and csv all]",
        ),
    ] = None
    classes: Annotated[
        str | None,
        Option(
            metavar="A,B,…",
            show_default=False,
            help="Classes to show, by name or by number; --png draws one. [default: each picture's two most probable, and its true one]",
        ),
    ] = None


def run(params: Params, context: Context) -> Answer:
    """Describe one artifact, draw it, or give its explanations."""
    artifact = context.store.resolve(params.reference)
    if params.png is not None and params.format is not None:
        raise CommandLineError("--png writes a file and --format answers here; ask for one of them.")
    if params.png is not None:
        return _drawn(artifact, params, params.png)
    if params.format is not None:
        return _explanations(artifact, params)
    if params.images is not None or params.classes is not None:
        raise CommandLineError("--images and --classes are about pictures; ask for them with --png or --format.")
    return _described(artifact)


def _drawn(artifact: Artifact, params: Params, file: Path) -> Answer:
    """Draw an artifact into a file."""
    from facelime_cli.reporting import previews

    artifact.require_complete()
    if file.suffix.lower() != ".png":
        raise CommandLineError(f"--png {file} should end in .png.")
    if file.exists():
        raise FacelimeError(f"{file} exists already; choose another --png.")
    if not file.absolute().parent.is_dir():
        raise FacelimeError(f"there is no folder {file.absolute().parent}; make it, or choose another --png.")
    rows, c = _chosen(
        artifact, params, previews.PICTURES.get(artifact.kind, 0), by_class=artifact.kind in previews.BY_CLASS
    )
    temporary = file.with_name(f".{file.name}.part.png")
    try:
        previews.draw(artifact, rows, c, temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return Answer({"artifact": artifact.id, "file": str(file.absolute()), "bytes": file.stat().st_size}, [str(file)])


def _chosen(artifact: Artifact, params: Params, most: int, *, by_class: bool) -> tuple[list[int], int | None]:
    """Return which pictures and which class to draw, of `most` pictures and, where it is drawn by class, of one; raise for what cannot be drawn."""
    what, has_pictures = f"{artifact.kind}/{artifact.id}", artifact.has("id")
    names = listed(params.images or "")
    if names and not (most and has_pictures):
        raise CommandLineError(f"--images {params.images}: {what} is drawn as a whole; leave it out.")
    if len(names) > max(most, 1):
        raise CommandLineError(
            f"--images names {len(names)} pictures, and --png draws {most} of {artifact.kind}; name fewer, or write a file for each."
        )
    if params.classes is not None and not (by_class and has_pictures):
        raise CommandLineError(f"--classes {params.classes}: {what} is not drawn by class; leave it out.")
    classes = [] if params.classes is None else class_indices(params.classes, artifact.facts["classes"])
    if len(classes) > 1:
        raise CommandLineError(
            f"--classes {params.classes} names {len(classes)} classes, and --png draws one; write a file for each."
        )
    return [row_of(name, artifact.texts("id")) for name in names], classes[0] if classes else None


def _explanations(artifact: Artifact, params: Params) -> Answer:
    """Give explanations in one of the formats."""
    from facelime_cli.reporting.explanations import Explained, explained_by

    artifact.require_complete()
    surrogates = explained_by(artifact)
    if surrogates.kind != "surrogates":
        raise FacelimeError(
            f"{artifact.kind}/{artifact.id} holds no explanations; --format is for surrogates and for reports of one of them."
        )
    explained = Explained(surrogates)
    chosen = None if params.classes is None else class_indices(params.classes, explained.names)
    rows = (
        list(range(len(explained)))
        if params.images is None
        else [explained.row(name) for name in listed(params.images)]
    )
    return FORMATTERS[str(params.format)](
        explained, rows if params.images or params.format != "text" else rows[:1], chosen
    )


def _text(explained: Explained, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    from facelime_cli.drawing import thumbnails

    shown: list[Table | Drawing] = []
    for row in rows:
        for c in explained.shown(row, chosen):
            arrays = (explained.image(row), explained.segments(row), explained.coefficients(row, c))
            label = explained.label(row)
            said = f"{explained.ids[row]}: {explained.names[c]} {100 * explained.full[row][c]:.1f} %" + (
                f", the label is {label}" if label is not None else ""
            )
            shown.append(
                Drawing(
                    thumbnails.coloured(*arrays, TOP, DRAWN_COLUMNS),
                    thumbnails.lettered(*arrays, TOP, DRAWN_COLUMNS),
                    said,
                )
            )
            strongest = [
                (
                    str(each.rank),
                    str(each.segment),
                    _side(each),
                    signed(each.value),
                    f"{signed(each.low)} to {signed(each.high)}" if each.known else "",
                    _doubt(each, explained.zero),
                )
                for each in explained.strengths(row, c)[:TOP]
            ]
            shown.append(
                Table(
                    ("rank", "region", "speaks", explained.quantity.short, "95 % interval", ""),
                    strongest,
                    explained.verdict(row, c),
                )
            )
    left = len(explained) - len(rows)
    return Answer(
        _value(explained, rows, chosen),
        tables=shown,
        said=[f"{left} more pictures; --images names them."] if left else [],
    )


def _side(each: Strength) -> str:
    return "for" if each.value > 0 else "against" if each.value < 0 else ""


def _doubt(each: Strength, zero: str) -> str:
    return zero if each.value == 0 else "may be nothing" if each.unsure else ""


def _json(explained: Explained, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    import json

    value = _value(explained, rows, chosen)
    return Answer(value, [json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)])


def _value(explained: Explained, rows: Sequence[int], chosen: Sequence[int] | None) -> dict[str, Any]:
    pictures = [
        {
            "id": explained.ids[row],
            "label": explained.label(row),
            "explanations": [explained.told(row, c) for c in explained.shown(row, chosen)],
        }
        for row in rows
    ]
    return {
        "artifact": explained.surrogates.id,
        "method": explained.method,
        "unit": explained.surrogates.spec("coefficients").measure,
        "pictures": pictures,
    }


def _csv(explained: Explained, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    from facelime_cli.reporting.explanations import COLUMNS

    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(
        [COLUMNS, *(each for row in rows for c in explained.shown(row, chosen) for each in explained.rows(row, c))]
    )
    return Answer(_value(explained, rows, chosen), [stream.getvalue().rstrip("\n")])


FORMATTERS: dict[str, Callable[[Explained, Sequence[int], Sequence[int] | None], Answer]] = {
    "text": _text,
    "json": _json,
    "csv": _csv,
}


def _array(spec: ArraySpec) -> dict[str, Any]:
    """Return how an array is stored, as JSON values."""
    return {
        "dtype": spec.dtype,
        "shape": list(spec.shape),
        "dimensions": list(spec.dimensions),
        "unit": spec.measure,
    }


def _described(artifact: Artifact) -> Answer:
    state = describe(artifact)
    arrays = {name: {**_array(artifact.spec(name)), **_summary(artifact, name)} for name in artifact.arrays}
    heading = [
        ("artifact", f"{artifact.kind}/{artifact.id}"),
        ("names", ", ".join(artifact.names)),
        ("state", state["state"]),
        ("stage", f"{artifact.stage} (version {artifact.version})"),
    ]
    heading += [("size", size_text(state["bytes"])), ("fingerprint", artifact.fingerprint)]
    heading += [
        (f"input {name}", f"{each['kind']}/{each['id']}" if "id" in each else f"digest {each['digest'][:16]}")
        for name, each in artifact.inputs.items()
    ]
    heading += [(name, _short(value)) for name, value in artifact.parameters.items()]
    heading += [(f"fact {name}", _short(value)) for name, value in artifact.facts.items()]
    tables = [Table(("what", "value"), heading)]
    if arrays:
        rows = [
            (
                name,
                each["dtype"],
                "×".join(map(str, each["shape"])),
                ", ".join(each["dimensions"]),
                each["unit"],
                each["summary"],
            )
            for name, each in arrays.items()
        ]
        tables.append(Table(("array", "type", "shape", "dimensions", "unit", "values"), rows))
    return Answer(
        {**state, "path": str(artifact.path.absolute()), "manifest": artifact.made, "arrays": arrays}, tables=tables
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _summary(artifact: Artifact, name: str) -> dict[str, Any]:
    """Return the range of an array, read unit by unit, and how much of it is pending."""
    import numpy as np

    least, most, missing, total, texts = np.inf, -np.inf, 0, 0, []
    for unit in range(artifact.n_units):
        values: NDArray[Any] = artifact.read(name, artifact.rows(unit))
        total += values.size
        if values.dtype.kind in "OTU":
            texts += [str(each) for each in values.ravel()[:3]]
            continue
        known = values[np.isfinite(values)]
        missing += values.size - known.size
        if known.size:
            least, most = min(least, float(known.min())), max(most, float(known.max()))
    if texts:
        return {"summary": _short(", ".join(texts[:3]) + (" …" if total > len(texts[:3]) else ""))}
    share = f"; {100 * missing / total:.1f} % NaN" if missing else ""
    span = f"{least:.6g} … {most:.6g}" if least <= most else ("none" if artifact.complete else "nothing yet")
    return {
        "summary": span + share,
        "least": least if least <= most else None,
        "most": most if least <= most else None,
        "nan": missing,
    }


COMMAND = Command("show", Params, run, __doc__ or "")
