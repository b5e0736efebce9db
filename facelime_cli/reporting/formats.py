"""Explanations in a form of one's own choice: drawn in the terminal, as JSON, or as a CSV table."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from facelime_cli import plain
from facelime_cli.console import Answer, Drawing, Table
from facelime_cli.drawing import thumbnails
from facelime_cli.errors import FacelimeError
from facelime_cli.reporting.explanations import COLUMNS, Explanations
from facelime_cli.reporting.pages import signed
from facelime_cli.store.files import write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from facelime_cli.reporting.explanations import Strength
    from facelime_cli.reporting.quantities import Quantity
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.portions import Portion

TOP = 10
"""How many of the strongest segments are drawn and listed in the terminal."""
DRAWN_COLUMNS = 48
"""Letters across a drawing: two drawings fit beside each other in a wide terminal."""
INLINE_PIXELS = 480
"""Longer side of a picture that a terminal shows, at least."""
FIRST_PICTURES = 3
"""How many maps stand beside a report: a screen or two."""
TEXT, TERMINAL = "text", "terminal"
"""Drawings in half blocks alone, and as the terminal can show them."""


def answer(explanations: Explanations, form: str, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    """Return explanations in one of the forms.

    Parameters
    ----------
    explanations : Explanations
    form : str
        A key of `FORMATTERS`.
    rows : sequence of int
        Places of the pictures; none stands for all, in a terminal for the first.
    chosen : sequence of int or None
        Classes; None stands for each picture's most probable ones, and its true one.
    """
    # A terminal shows one picture at a time; a program that reads the figures wants them all.
    every = range(len(explanations))
    unnamed = every[:1] if form in {TEXT, TERMINAL} else every
    formatter = FORMATTERS[form]
    return formatter(explanations, rows or unnamed, chosen)


def in_terminal(
    explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None, most_classes: int | None = None
) -> Iterator[Table | Drawing]:
    """Yield maps as a terminal can show them: a picture where it says that it can, else half blocks, else letters.

    Parameters
    ----------
    explanations : Explanations
    rows : sequence of int
        Places of the pictures.
    chosen : sequence of int or None
        Classes; None stands for each picture's most probable ones, and its true one.
    most_classes : int, optional
        Of each picture, the first ones.
    """
    for row in rows:
        for c in explanations.shown(row, chosen)[:most_classes]:
            drawing = _drawing(explanations, row, c)
            yield replace(drawing, inline=partial(_inline, explanations, row, c))
            yield _strongest(explanations, row, c)


def first_in_terminal(explanations: Explanations, chosen: Sequence[int] | None) -> list[Table | Drawing]:
    """Return the maps of the first pictures, each with the class that a report shows first.

    Parameters
    ----------
    explanations : Explanations
    chosen : sequence of int or None
        Classes, see `in_terminal`.
    """
    rows = range(min(FIRST_PICTURES, len(explanations)))
    return list(in_terminal(explanations, rows, chosen, most_classes=1))


def _inline(explanations: Explanations, row: int, c: int, way: str) -> str:
    """Return what shows a map on a terminal that shows pictures."""
    from facelime_cli.drawing import inline, overlay

    image, segments = explanations.image(row), explanations.segments(row)
    # Borders are a pixel wide: pixels are repeated, so that they are thin.
    times = max(1, -(-INLINE_PIXELS // max(segments.shape)))
    image = image.repeat(times, axis=0).repeat(times, axis=1)
    segments = segments.repeat(times, axis=0).repeat(times, axis=1)
    marked = overlay.towards_against(image, segments, explanations.coefficients(row, c), TOP)
    return inline.encoded(marked, thumbnails.across(image, DRAWN_COLUMNS), way)


def table(explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None) -> Iterator[tuple[Any, ...]]:
    """Yield the table of coefficients, the heading first.

    Parameters
    ----------
    explanations : Explanations
    rows : sequence of int
        Places of the pictures.
    chosen : sequence of int or None
        Classes; None stands for each picture's most probable ones, and its true one.
    """
    yield COLUMNS
    for row in rows:
        for c in explanations.shown(row, chosen):
            yield from explanations.rows(row, c)


def write_table(surrogates: Artifact, path: Path, portion: Portion) -> None:
    """Write the coefficients of pictures and of every class as CSV.

    Parameters
    ----------
    surrogates : Artifact
    path : Path
        A file to write.
    portion : Portion
        Which pictures go out; a row says nothing else of them than their ids.

    Raises
    ------
    FacelimeError
        When the artifact is of another kind.
    """
    if surrogates.kind != "surrogates":
        raise FacelimeError(f"{surrogates.reference} is no table; only surrogates become .csv, everything else .h5.")
    explanations = Explanations(surrogates)
    # A file that is handed over holds every class, also those that a report does not show.
    every_class = range(len(explanations.names))
    rows = range(len(explanations)) if portion.rows is None else portion.rows
    write_csv(path, table(explanations, rows, every_class))


def _text(explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    found = _terminal(explanations, rows, chosen)
    tables = [replace(each, inline=None) if isinstance(each, Drawing) else each for each in found.tables]
    return replace(found, tables=tables)


def _terminal(explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    shown = list(in_terminal(explanations, rows, chosen))
    left = len(explanations) - len(rows)
    said = [f"{left} more pictures; --images names them."] if left else []
    value = _value(explanations, rows, chosen)
    return Answer(value, tables=shown, said=said)


def _drawing(explanations: Explanations, row: int, c: int) -> Drawing:
    arrays = (explanations.image(row), explanations.segments(row), explanations.coefficients(row, c))
    picture, name = explanations.ids[row], explanations.names[c]
    title = f"{picture}: {name} {explanations.spoken.answer(float(explanations.full[row][c]))}"
    true = explanations.true_value(row, name)
    if true is not None:
        title += f", the label is {explanations.spoken.answer(true)}"
    label, holds = explanations.label(row), explanations.holds(row, name)
    if explanations.several and holds is not None:
        title += f", labelled as {'present' if holds else 'absent'}"
    elif not explanations.several and label is not None:
        title += f", the label is {label}"
    columns = thumbnails.across(arrays[0], DRAWN_COLUMNS)
    # A terminal without colours gets letters in place of pixels.
    pixels = thumbnails.coloured(*arrays, TOP, columns)
    letters = thumbnails.lettered(*arrays, TOP, columns)
    return Drawing(pixels, letters, title)


def _strongest(explanations: Explanations, row: int, c: int) -> Table:
    """Return the strongest segments as a table, below the verdict."""
    views = explanations.n_views
    counted = ("views",) if views else ()
    quantity = explanations.quantity
    does = "does" if explanations.values else "speaks"
    heading = ("rank", "segment", does, quantity.short, "95 % interval", *counted, "")
    rows = []
    for each in explanations.strengths(row, c)[:TOP]:
        line = [str(each.rank), str(each.segment)]
        line.append(_side(each, quantity))
        line.append(signed(each.value, quantity.digits))
        bounds = [signed(bound, quantity.digits) for bound in (each.low, each.high)]
        line.append(" to ".join(bounds) if each.known else "")
        line += [f"{each.votes} of {views}"] if views else []
        line.append(_doubt(each, explanations.zero))
        rows.append(line)
    return Table(heading, rows, _judged(explanations, row, c))


def _judged(explanations: Explanations, row: int, c: int) -> str:
    """Return the verdict, and what the model loses without the strongest segments where it was asked."""
    verdict = explanations.verdict(row, c)
    found = explanations.confirmation(row, c)
    if found is None:
        return verdict
    return f"{verdict}. {found.words('segment')}"


def _side(each: Strength, quantity: Quantity) -> str:
    if each.value == 0:
        return ""
    side = quantity.raises if each.value > 0 else quantity.lowers
    # The heading says "speaks" already.
    return side.removeprefix("speaks ")


def _doubt(each: Strength, zero: str) -> str:
    """Return why a coefficient may mean nothing, or what it means to be 0."""
    if each.value == 0:
        return zero
    return "may be nothing" if each.unsure else ""


def _json(explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    value = _value(explanations, rows, chosen)
    return Answer(value, [plain.json_text(value, indent=1)])


def _value(explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None) -> dict[str, Any]:
    """Return everything that is known of some explanations as JSON values."""
    pictures = []
    for row in rows:
        picture: dict[str, Any] = {"id": explanations.ids[row]}
        picture["label"] = explanations.label(row)
        if explanations.several:
            picture["findings"] = {
                name: explanations.holds(row, name) for name in explanations.dataset.facts["classes"]
            }
        picture["explanations"] = [explanations.as_json(row, c) for c in explanations.shown(row, chosen)]
        pictures.append(picture)
    surrogates = explanations.surrogates
    coefficients = surrogates.spec("coefficients")
    return {
        "artifact": surrogates.id,
        "method": explanations.method,
        "unit": coefficients.measure,
        "pictures": pictures,
    }


def _csv(explanations: Explanations, rows: Sequence[int], chosen: Sequence[int] | None) -> Answer:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows(plain.cells(table(explanations, rows, chosen)))
    # The console ends the last line.
    text = stream.getvalue().rstrip("\n")
    value = _value(explanations, rows, chosen)
    return Answer(value, [text])


FORMATTERS: dict[str, Callable[[Explanations, Sequence[int], Sequence[int] | None], Answer]] = {
    TEXT: _text,
    TERMINAL: _terminal,
    "json": _json,
    "csv": _csv,
}
"""By what `show --format` is called with, and by `TERMINAL`."""
