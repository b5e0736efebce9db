"""Which picture an id means: a file's name, or the end of its path, with or without the file's suffix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from facelime_cli.core.formats import DICOM_SUFFIXES, PICTURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIXES = PICTURE_SUFFIXES | DICOM_SUFFIXES


@dataclass(frozen=True)
class Place:
    """Where something lies that ids may mean.

    Attributes
    ----------
    path : str
        With slashes. The longest common end of an id and this path decides.
    own : int
        How many of its last parts must be met by an id that goes on beyond them: those below the source.
    """

    path: str
    own: int


@dataclass(frozen=True)
class Found:
    """What an id may mean.

    Attributes
    ----------
    places : tuple of int
        Numbers of the places that fit best: none, one, or several that fit equally well.
    length : int
        How many parts these have in common with the id.
    """

    places: tuple[int, ...] = ()
    length: int = 0


@dataclass
class _Index:
    """Places by the ends of their paths."""

    places: Sequence[Place]
    stems: list[str]
    suffixes: list[str]
    lengths: list[int]
    doubled: bool
    ends: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    owns: dict[str, list[int]] | None = None

    def ending(self, length: int) -> dict[str, list[int]]:
        """Return the places by their last parts, so many of them."""
        if length not in self.ends:
            self.ends[length] = _gathered(_end(stem, length) for stem in self.stems)
        return self.ends[length]

    def own(self) -> dict[str, list[int]]:
        """Return the places by their path below the source."""
        if self.owns is None:
            pairs = zip(self.stems, self.places, strict=True)
            self.owns = _gathered(_end(stem, place.own) for stem, place in pairs)
        return self.owns


def without_suffix(name: str) -> tuple[str, str]:
    """Return a name without the suffix of a picture, and this suffix in small letters.

    Parameters
    ----------
    name : str

    Returns
    -------
    stem, suffix : str

    Examples
    --------
    >>> without_suffix("a/00000001_000.PNG"), without_suffix("1.2.840")
    (('a/00000001_000', '.png'), ('1.2.840', ''))
    """
    stem, point, last = name.rpartition(".")
    suffix = f".{last.lower()}" if point else ""
    return (stem, suffix) if suffix in SUFFIXES and stem and not stem.endswith("/") else (name, "")


def plain(name: str) -> str:
    r"""Return an id as the end of a path: with slashes, and without what says that it begins somewhere.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> plain(".\\train\\a.png"), plain("/data/a.png"), plain("../input/a.png")
    ('train/a.png', 'data/a.png', 'input/a.png')
    """
    if "/" not in name and "\\" not in name:
        return name
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})


def find(names: Iterable[str], places: Sequence[Place]) -> list[Found]:
    """Return what each id means among some places.

    An id means a place when its whole path is the end of the place's, or when it ends with all of the place's path
    below the source. Of several, the longest common end counts, then an equal suffix.

    Parameters
    ----------
    names : iterable of str
        As they stand in a table.
    places : sequence of Place

    Returns
    -------
    list of Found
    """
    divided = [without_suffix(place.path) for place in places]
    stems = [stem for stem, _ in divided]
    lengths = sorted({place.own for place in places})
    # Such as a.png.jpg: only there can an id with a suffix be a whole name.
    doubled = any(without_suffix(stem)[1] for stem in stems)
    index = _Index(places, stems, [suffix for _, suffix in divided], lengths, doubled)
    return [_meant(name, index) for name in names]


def nearest(name: str, places: Iterable[Place]) -> str | None:
    """Return the path that has the longest end in common with an id of several parts.

    Parameters
    ----------
    name : str
    places : iterable of Place

    Returns
    -------
    str or None
        None where the id is a single name, or no path ends as it does.
    """
    stem = without_suffix(plain(name))[0]
    if "/" not in stem:
        return None
    ends = ((_common(stem, without_suffix(place.path)[0]), place.path) for place in places)
    length, path = max(ends, default=(0, ""), key=lambda end: end[0])
    return path if length else None


def _meant(name: str, index: _Index) -> Found:
    whole = plain(name)
    stem, suffix = without_suffix(whole)
    if not suffix or index.doubled:
        found = _fitting(whole, index)
        if found.places or not suffix:
            return found
    found = _fitting(stem, index)
    same = tuple(place for place in found.places if index.suffixes[place] == suffix)
    return Found(same, found.length) if len(found.places) > 1 and same else found


def _fitting(name: str, index: _Index) -> Found:
    length = name.count("/") + 1
    whole = index.ending(length).get(name)
    if whole is not None:
        return Found(tuple(whole), length)
    best = Found()
    # Beyond the folder that was given as the source, an id and a path may be called differently.
    for own in index.lengths:
        if own >= length:
            break
        for place in index.own().get(_end(name, own), ()):
            common = _common(name, index.stems[place])
            if common > best.length:
                best = Found((place,), common)
            elif common == best.length:
                best = Found((*best.places, place), common)
    return best


def _gathered(keys: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        found.setdefault(key, []).append(number)
    return found


def _end(path: str, length: int) -> str:
    """Return the last parts of a path."""
    if length == 1:
        return path[path.rfind("/") + 1 :]
    return "/".join(path.rsplit("/", length)[-length:])


def _common(one: str, other: str) -> int:
    """Return how many parts two paths have in common, counted from their ends."""
    length = 0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if a != b:
            break
        length += 1
    return length
