"""Which views an explanation is made of: their segments, fills, donors and shares of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from facelime_cli.choices import LEAST_SAMPLES_OF_VIEW, MEDIUM_VIEW, UNLIKE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facelime_cli.choices import View, ViewSet


@dataclass(frozen=True)
class PlannedView:
    """One view of an explanation.

    Attributes
    ----------
    segments : int or None
        How many segments to ask for; None is the method's own number.
    fill : str
        What stands in.
    donor : int or None
        Which similar picture stands in, from 1; None for other fills.
    samples : int
    """

    segments: int | None
    fill: str
    donor: int | None
    samples: int


def planned(chosen: ViewSet, *, usual: int | None, fill: str, donors: int, samples: int) -> list[PlannedView]:
    """Return the views of an explanation.

    Parameters
    ----------
    chosen : ViewSet
    usual : int or None
        Number of segments of the medium scale. None where the method takes no number: then there is one scale.
    fill : str
        The default fill of the pictures.
    donors : int
        How many similar pictures take turns.
    samples : int
        Of all views together.

    Returns
    -------
    list of PlannedView
        Different ones, at least one. The samples are divided equally, the first views get what is left over.

    Examples
    --------
    >>> from facelime_cli.choices import VIEWS
    >>> for each in planned(VIEWS["consensus"], usual=40, fill="nearest-unlike", donors=4, samples=200):
    ...     print(each.segments, each.fill, each.donor, each.samples)
    40 nearest-unlike 1 50
    17 nearest-unlike 2 50
    85 nearest-unlike 3 50
    40 blur None 50
    """
    most = max(1, samples // LEAST_SAMPLES_OF_VIEW)
    found: dict[tuple[int | None, str, int | None], None] = {}
    for key in _keys(chosen, usual, fill, donors):
        found[key] = None
        if len(found) == most:
            break
    share, left = divmod(samples, len(found))
    return [PlannedView(*key, share + (place < left)) for place, key in enumerate(found)]


def _keys(chosen: ViewSet, usual: int | None, fill: str, donors: int) -> Iterator[tuple[int | None, str, int | None]]:
    """Yield number of segments, fill and donor of each view."""
    turn = count()
    # Every donor has a view at least.
    real = sum(view.fill is None for view in chosen.views)
    more = (MEDIUM_VIEW,) * (donors - real) if fill == UNLIKE else ()
    for view in (*chosen.views, *more):
        segments = _segments(view, usual)
        its_fill = view.fill or fill
        if view.scale != 1 and segments is None:
            continue
        donor = 1 + next(turn) % donors if its_fill == UNLIKE else None
        yield segments, its_fill, donor


def _segments(view: View, usual: int | None) -> int | None:
    return None if usual is None else max(2, round(view.scale * usual))
