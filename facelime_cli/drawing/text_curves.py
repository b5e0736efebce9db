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


def probe_of(facts: Mapping[str, Any]) -> Mapping[str, float]:
    """Return what the probe on frozen features reached on the validation split; nothing where there was none.

    Parameters
    ----------
    facts : mapping
        Of a model.

    Returns
    -------
    mapping
        `loss` and `accuracy`.
    """
    found: Mapping[str, float] = facts.get("probe", {}).get("validation", {})
    return found


def kept_row(facts: Mapping[str, Any]) -> int:
    """Return the row of the history whose weights were kept.

    Parameters
    ----------
    facts : mapping
        Of a model that was trained.

    Returns
    -------
    int
        From 0: that of the least monitored loss, the first of equals, unless the facts name another.
    """
    rows: Sequence[Mapping[str, float]] = facts["history"]
    if "kept" in facts:
        # The probe has a row of its own before the first epoch.
        n_before, n_epochs = sum(each["phase"] == 1 for each in rows), int(facts["kept"]["epochs"])
        return max(0, n_before + n_epochs - 1)
    monitored = "val_loss" if "val_loss" in rows[0] else "loss"
    losses = [row[monitored] for row in rows]
    return min(range(len(rows)), key=losses.__getitem__)


def history(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines of a learning curve: the loss of training and of validation against the epoch.

    Parameters
    ----------
    facts : mapping
        Of a model that was trained: `history`, rows from `loop.train`, at least one. `probe` and `kept` where the
        recipe `auto` trained it: the probe's loss on the validation split is a line.

    Returns
    -------
    list of str
    """
    rows, level = facts["history"], probe_of(facts).get("loss")
    shown = {name: [row[name] for row in rows] for name in LETTERS if name in rows[0]}
    every = [value for values in shown.values() for value in values] + ([] if level is None else [level])
    legend = [f"{letter} {words}" for name, (letter, words) in LETTERS.items() if name in shown]
    if len(shown) > 1:
        legend.append(f"{BOTH} both")
    if level is not None:
        legend.append(f"{LEVEL} probe ({level:.3f})")
    kept = kept_row(facts)
    legend.append(f"kept: {_named(rows, kept)}")
    return [
        "loss by epoch",
        *drawn({LETTERS[name][0]: values for name, values in shown.items()}, level, (min(every), max(every))),
        ", ".join(legend),
    ]


def rates(tried: Sequence[float], losses: Sequence[float]) -> list[str]:
    """Return the lines of a curve of losses against learning rates.

    Parameters
    ----------
    tried : sequence of float
        Rates, from low to high; at least one.
    losses : sequence of float
        Of each.

    Returns
    -------
    list of str
    """
    # What lies above the first loss only says that training diverges, and would flatten the rest.
    highest = max(losses[0], min(losses) + 1e-9)
    shown = [min(loss, highest) for loss in losses]
    lines = drawn({"o": shown}, None, (min(losses), highest))
    side = lines[0].index("|") + 1
    first, last = f"{tried[0]:.0e}", f"{tried[-1]:.0e}"
    return ["loss by learning rate", *lines, f"{'':{side}}{first}{last:>{WIDTH - len(first)}}"]


def _named(rows: Sequence[Mapping[str, float]], kept: int) -> str:
    """Return a row in words: its epoch, and its phase where there are several."""
    row, phases = rows[kept], {each["phase"] for each in rows}
    if not row["learning_rate"]:  # nothing was trained in it
        return "the probe"
    of = f"phase {row['phase']:.0f}" if len(phases) > 1 else f"{len(rows)}"
    return f"epoch {row['epoch']:.0f} of {of}"


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
