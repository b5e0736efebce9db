"""What there is to choose: one table for each choice, one light record for each entry.

A new fill, design, surrogate, segmenter or attribution method is one function and one entry here. Help, validation,
documents and tests are made from these tables. The heavy function is named by its module and loaded when it is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to choose.

    Attributes
    ----------
    name : str
        As a user types it.
    words : str
        What it does, a few words for help and documents.
    function : str
        Where its function is: `module:name`.
    settings : mapping
        Its own parameters, with their defaults.
    slow : bool
        Whether one picture takes long enough to be worth a process of its own.
    """

    name: str
    words: str
    function: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False

    def load(self) -> Callable[..., Any]:
        """Return the function; its module is imported now."""
        return loaded(self.function)


def loaded(function: str) -> Callable[..., Any]:
    """Return the function that a text `module:name` names.

    Examples
    --------
    >>> loaded("math:sqrt")(4.0)
    2.0
    """
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


E = TypeVar("E", bound=Entry)


def table(*entries: E) -> dict[str, E]:
    """Return entries by their names, in the order in which help lists them."""
    return {entry.name: entry for entry in entries}


def words_of(entries: Mapping[str, Entry]) -> str:
    """Return the words of a help text that say what each entry does."""
    return "; ".join(f"{name}: {entry.words}" for name, entry in entries.items())


# Segmenters

COMMON: dict[str, Any] = {"min_size": 0, "connectivity": None}
"""Settings of every segmenter: what becomes of its segments afterwards."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What decides how many segments a method makes that takes no number of them: the larger, the fewer.

    Attributes
    ----------
    parameter : str
        The method's parameter.
    least, most : float
        Between which it is searched.
    start : callable
        Where the search begins, from the mean number of pixels that a segment should have.
    power : float
        The number of segments falls about with this power of the scale: where to look until it lies between two scales.
    """

    parameter: str
    least: float
    most: float
    start: Callable[[float], float]
    power: float


@dataclass(frozen=True, kw_only=True)
class Segmenter(Entry):
    """A way to divide a picture. Its function takes the picture and its own settings.

    Attributes
    ----------
    remedies : pair of str
        What to do about one segment only, and about too many.
    scale : Scale, optional
        What is searched where `--segments` asks for a number.
    needs : pair of str, optional
        The option that it cannot do without, and what that option says.
    """

    remedies: tuple[str, str]
    scale: Scale | None = None
    needs: tuple[str, str] | None = None


SEGMENTERS = table(
    Segmenter(
        name="quickshift",
        words="follows colours (lime's)",
        function="facelime_cli.core.superpixels:quickshift",
        settings={"segments": None, "kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0, **COMMON},
        scale=Scale(
            parameter="kernel_size", least=1.0, most=64.0, start=lambda pixels: math.sqrt(pixels) / 9.4, power=2.0
        ),
        remedies=(
            "ask for more segments (--segments), or a smaller --kernel-size or --max-dist",
            "ask for fewer segments (--segments), or a larger --kernel-size or --max-dist",
        ),
    ),
)

# Surrogates

NEAR = {"proximity": "cosine", "kernel_width": None}
"""How samples are weighted, where the surrogate does not say it itself."""
