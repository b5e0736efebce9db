"""A learning curve in letters, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 60, 9
"""Letters across and lines down, without the numbers at the side."""
LETTERS = {"loss": ("t", "training"), "val_loss": ("v", "validation")}
"""Columns of a history that are drawn, with letter and name."""
BOTH, LEVEL = "*", "-"
"""Where several curves share a cell, and the line of the probe."""


def kept_epoch(rows: Sequence[Mapping[str, float]]) -> int:
    """Return the row of the epoch whose weights were kept: that of the least loss, the first of equals.

    Parameters
    ----------
    rows : sequence of mapping
        From `loop.train`, at least one.

    Returns
    -------
    int
        From 0.
    """
    monitored = "val_loss" if "val_loss" in rows[0] else "loss"
    losses = [row[monitored] for row in rows]
    return min(range(len(rows)), key=losses.__getitem__)


def history(rows: Sequence[Mapping[str, float]], probe: Mapping[str, Any] | None = None) -> list[str]:
    """Return the lines of a learning curve: the loss of training and of validation against the epoch.

    Parameters
    ----------
    rows : sequence of mapping
        From `loop.train`, at least one.
    probe : mapping, optional
        Its `loss` on the validation split is a line.

    Returns
    -------
    list of str
    """
    shown = {name: [row[name] for row in rows] for name in LETTERS if name in rows[0]}
    level = (probe or {}).get("loss")
    every = [value for values in shown.values() for value in values] + ([] if level is None else [level])
    legend = [f"{letter} {words}" for name, (letter, words) in LETTERS.items() if name in shown]
    if len(shown) > 1:
        legend.append(f"{BOTH} both")
    if level is not None:
        legend.append(f"{LEVEL} probe ({level:.3f})")
    legend.append(f"kept: epoch {kept_epoch(rows) + 1} of {len(rows)}")
    return [
        "loss by epoch",
        *drawn({LETTERS[name][0]: values for name, values in shown.items()}, level, (min(every), max(every))),
        ", ".join(legend),
    ]


def drawn(curves: Mapping[str, Sequence[float]], level: float | None, limits: tuple[float, float]) -> list[str]:
    r"""Return curves as lines of letters, with the limits at the side.

    Parameters
    ----------
    curves : mapping
        From a letter to its values, from left to right; all are equally long, and at least one.
    level : float, optional
        Drawn as a line across.
    limits : (float, float)
        Least and largest value.

    Returns
    -------
    list of str

    Examples
    --------
    >>> lines = drawn({"x": [0.0, 0.5, 1.0]}, None, (0.0, 1.0))
    >>> print("\n".join(line[:40].rstrip() for line in lines[::4]))
    1.000 |
          |                              x
    0.000 |x
    """
    least, most = limits
    count = len(next(iter(curves.values())))
    cells = [[" "] * _width(count) for _ in range(HEIGHT)]

    def line_of(value: float) -> int:
        share = (value - least) / (most - least) if most > least else 0.5
        return HEIGHT - 1 - round(share * (HEIGHT - 1))

    if level is not None:
        cells[line_of(level)] = [LEVEL] * len(cells[0])
    for letter, values in curves.items():
        for place, value in enumerate(values):
            line, column = cells[line_of(value)], _column(place, count)
            line[column] = letter if line[column] in {" ", LEVEL, letter} else BOTH
    sides = [f"{most:.3f}", *[""] * (HEIGHT - 2), f"{least:.3f}"]
    widest = max(map(len, sides))
    return [f"{side:>{widest}} |{''.join(line)}" for side, line in zip(sides, cells, strict=True)]


def _width(count: int) -> int:
    """Return how many letters wide a curve of so many values is."""
    return WIDTH if count > 1 else 1


def _column(place: int, count: int) -> int:
    """Return the column of a value."""
    return round(place * (WIDTH - 1) / (count - 1)) if count > 1 else 0
