"""Layers of a network as they are named, and how what they answer holds maps of places."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

from facelime_cli.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides

MAP_AXES = 3
"""Of a layer's maps, without the batch: height, width, maps."""
TOKEN_AXES = 2
"""Of tokens, without the batch: tokens, values."""
MOST_IN_FRONT = 16
"""Tokens in front that are no places: a class token, one of a teacher, four to sixteen registers."""
LISTED = 8
"""Layers that a message names at most."""
FIRST, LAST, TOKENS = "maps first", "maps last", "tokens"
"""How a tensor holds maps: (B, n, h, w), (B, h, w, n), or (B, t + h·w, n)."""


# Names


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Attributes
    ----------
    name : str
        Its whole name: the path to it, as `mobilenetv2/Conv_1` or `layer4.1.conv2`.
    kind : str
        Its class.
    shape : tuple
        Of its answer without the batch: (height, width, maps) where it has maps of places. Empty if it is not known.
    has_maps : bool
        Whether it answers with maps of places.
    dropped : int, optional
        For tokens: how many in front are no places and were left out.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]
    has_maps: bool
    dropped: int | None = None

    @property
    def sides(self) -> Sides | None:
        """Height and width of its maps; None where it has none, or they are not known."""
        match self.shape:
            case (int(height), int(width), _) if self.has_maps:
                return height, width
        return None


def named(word: str, every: Sequence[Layer]) -> Layer:
    """Return the layer of a name.

    Parameters
    ----------
    word : str
        Its whole name, or the end of its path where that is enough.
    every : sequence of Layer

    Returns
    -------
    Layer

    Raises
    ------
    NotFoundError
        Where there is none, or more than one.

    Examples
    --------
    >>> every = [Layer("layer4.0", "Block", (7, 7, 512), True), Layer("layer4.1", "Block", (7, 7, 512), True)]
    >>> named("1", every).name
    'layer4.1'
    """
    found = [each for each in every if each.name == word]
    if not found:
        found = [each for each in every if each.name.endswith((f"/{word}", f".{word}"))]
    if len(found) == 1:
        return found[0]
    last = ", ".join([each.name for each in every if each.has_maps][-LISTED:]) or "none"
    raise NotFoundError(
        f"there {'are several layers' if found else 'is no layer'} {word!r}; the last with maps are {last}, "
        "and `facelime activations` lists all."
    )


# Places


@dataclass(frozen=True)
class Places:
    """How an answer holds maps of places.

    Attributes
    ----------
    height, width, n_maps : int
    form : str
        `FIRST`, `LAST` or `TOKENS`.
    dropped : int
        Tokens in front that are no places.
    """

    height: int
    width: int
    n_maps: int
    form: str
    dropped: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, maps."""
        return self.height, self.width, self.n_maps

    def arranged(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return answers as maps.

        Parameters
        ----------
        values : (B, …) array
            As the network holds them.

        Returns
        -------
        (B, h, w, n) array
        """
        if self.form == FIRST:
            return values.transpose(0, 2, 3, 1)
        return values if self.form == LAST else values[:, self.dropped :].reshape(-1, *self.shape)


@dataclass(frozen=True)
class Attended:
    """How a transformer's tokens attend to one another.

    Attributes
    ----------
    places : Places
        Where its tokens lie in the picture.
    n_layers : int
        Layers of attention.
    by_class_token : bool
        Whether the first token alone, the class token, speaks for the classes; otherwise the tokens of places do.
    """

    places: Places
    n_layers: int
    by_class_token: bool


def places_of(shape: Sequence[int], picture: Sides, grid: Sides | None = None) -> Places | None:
    """Return how an answer holds maps of places, judged by its shape.

    Parameters
    ----------
    shape : sequence of int
        Of the answer, without the batch.
    picture : (int, int)
        Height and width of the picture.
    grid : (int, int), optional
        Height and width of the maps before it: tokens are made of these.

    Returns
    -------
    Places or None
        None where it holds none, or a single one.

    Notes
    -----
    Maps have the proportions of the picture, up to one cell. Where both ends of a shape do, maps come first, which is
    the habit of torch.

    Examples
    --------
    >>> places_of((512, 7, 7), (224, 224)).form, places_of((7, 7, 512), (224, 224)).form
    ('maps first', 'maps last')
    >>> places_of((197, 768), (224, 224))
    Places(height=14, width=14, n_maps=768, form='tokens', dropped=1)
    """
    if len(shape) == MAP_AXES:
        if _fits((shape[1], shape[2]), picture):
            return Places(shape[1], shape[2], shape[0], FIRST)
        if _fits((shape[0], shape[1]), picture):
            return Places(shape[0], shape[1], shape[2], LAST)
    if len(shape) == TOKEN_AXES:
        return _of_tokens(shape[0], shape[1], picture, grid)
    return None


def _fits(sides: Sides, picture: Sides) -> bool:
    """Return whether maps of these sides can be those of a picture."""
    (height, width), (full_height, full_width) = sides, picture
    # Rounding at the edges, by padding or by none, takes or adds a cell.
    is_alike = abs(height - width * full_height / full_width) <= max(1, full_height / full_width)
    return is_alike and height * width > 1 and height <= full_height and width <= full_width


def _of_tokens(n_tokens: int, n_values: int, picture: Sides, grid: Sides | None) -> Places | None:
    """Return how tokens lie in the picture: row by row, behind those that are no places."""
    if grid is not None and 0 <= n_tokens - grid[0] * grid[1] <= MOST_IN_FRONT:
        return Places(*grid, n_values, TOKENS, n_tokens - grid[0] * grid[1])
    height, width = picture
    for dropped in range(min(MOST_IN_FRONT, n_tokens - 1) + 1):
        n_places = n_tokens - dropped
        rows = isqrt(n_places * height // width)
        is_whole = rows and n_places % rows == 0 and rows * width == n_places // rows * height
        if is_whole and n_places > 1:
            return Places(rows, n_places // rows, n_values, TOKENS, dropped)
    return None
