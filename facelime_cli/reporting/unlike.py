"""Which pictures are unlike those that a model learned from, as every reader is told before anyone reads a map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer
from facelime_cli.core.familiarity import PERCENTILE
from facelime_cli.store import familiarity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from facelime_cli.engine import Result
    from facelime_cli.store.artifacts import Artifact

FACT = "unlike"
"""What the facts of predictions, evaluations and reports say of it."""
COLUMN = "distance"
"""Its column in tables."""
RARE = 0.05
"""Probability below which chance does not explain how many pictures are beyond the percentile."""


def facts_of(distances: Sequence[float] | None) -> dict[str, Any]:
    """Return what the facts of an artifact say of its pictures' distances.

    Parameters
    ----------
    distances : sequence of float or None
        From `store.familiarity.distances_of`.

    Returns
    -------
    dict
        Empty where the model keeps no summary of its training pictures.

    Examples
    --------
    >>> facts_of([0.5, 1.5])["unlike"]["share"], facts_of(None)
    (0.5, {})
    """
    if distances is None:
        return {}
    count = sum(each > 1 for each in distances)
    share = count / len(distances) if distances else 0.0
    found = {"pictures": len(distances), "unlike": count, "share": share, "percentile": PERCENTILE}
    return {FACT: {**found, "sentence": _sentence(count, len(distances), max(distances, default=0.0))}}


def most_by_chance(n: int) -> int:
    """Return how many pictures of the same source may lie beyond the percentile by chance.

    Parameters
    ----------
    n : int
        Pictures in all.

    Returns
    -------
    int
        With probability less than `RARE` there are more: the quantile of a binomial distribution.

    Examples
    --------
    >>> [most_by_chance(n) for n in (1, 5, 6, 200, 1000)]
    [0, 0, 1, 5, 15]
    """
    share = 1 - PERCENTILE / 100
    count, more = -1, 1.0
    while more >= RARE:
        count += 1
        ways = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
        more -= math.exp(ways + count * math.log(share) + (n - count) * math.log1p(-share))
    return count


def is_expected(found: Mapping[str, Any]) -> bool:
    """Return whether so few pictures are beyond that chance alone may have brought them there.

    Parameters
    ----------
    found : mapping
        The value of `FACT` among the facts of an artifact.
    """
    return bool(found["unlike"] <= most_by_chance(found["pictures"]))


def _sentence(count: int, n: int, farthest: float) -> str | None:
    if not count:
        return None
    if count <= most_by_chance(n):
        subject = f"{count:,} of {n:,} pictures {'is' if count == 1 else 'are'}"
        which = "at a distance of" if count == 1 else "at distances of up to"
        return (
            f"{subject} beyond the {PERCENTILE}th percentile of the training data, {which} {farthest:.2f}; chance "
            f"brings so many of the same source there (1 in 100 is expected): look at {'it' if count == 1 else 'them'} "
            "before the map."
        )
    subject = f"{count:,} of {n:,} pictures are" if n > 1 else "the picture is"
    where = f"beyond its {PERCENTILE}th percentile" + (", where 1 in 100 is expected" if n > 1 else "")
    return f"{subject} unlike anything in the training data ({where}): do not trust answers and maps there."


def sentence_in(facts: Mapping[str, Any]) -> str | None:
    """Return the sentence in the facts of an artifact, or None where there is nothing to say.

    Parameters
    ----------
    facts : mapping
    """
    found = facts.get(FACT)
    return found.get("sentence") if isinstance(found, dict) else None


def shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page shows of it.

    Parameters
    ----------
    facts : mapping

    Returns
    -------
    dict
        `unlike`, the sentence or None, and `unlike_expected`, see `is_expected`.
    """
    sentence = sentence_in(facts)
    return {"unlike": sentence, "unlike_expected": bool(sentence) and is_expected(facts[FACT])}


def said_of(facts: Mapping[str, Any]) -> list[str]:
    """Return what the terminal says of it: a warning, or a note where chance explains it.

    Parameters
    ----------
    facts : mapping

    Returns
    -------
    list of str
        One line, or none.
    """
    sentence = sentence_in(facts)
    if not sentence:
        return []
    return [sentence if is_expected(facts[FACT]) else f"warning: {sentence}"]


def words_of(distance: float) -> str:
    """Return what stands above a picture.

    Parameters
    ----------
    distance : float

    Examples
    --------
    >>> words_of(0.61)
    'Distance from the training pictures: 0.61 (1 is their 99th percentile).'
    """
    if distance > 1:
        return (
            f"This picture is unlike anything in the training data: its distance is {distance:.2f} times the "
            f"{PERCENTILE}th percentile of the training pictures. Do not trust answer and map."
        )
    return f"Distance from the training pictures: {distance:.2f} (1 is their {PERCENTILE}th percentile)."


def with_column(rows: Iterable[tuple[Any, ...]], distances: Sequence[float] | None) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table of pictures, with their distances as the last column where they are known.

    Parameters
    ----------
    rows : iterable of tuple
        The heading, and a row for each picture.
    distances : sequence of float or None

    Yields
    ------
    tuple

    Examples
    --------
    >>> list(with_column([("id",), ("a",)], [0.5])), list(with_column([("id",), ("a",)], None))
    ([('id', 'distance'), ('a', 0.5)], [('id',), ('a',)])
    """
    if distances is None:
        yield from rows
        return
    for row, distance in zip(rows, (COLUMN, *distances), strict=True):
        yield (*row, distance)


def in_json(artifact: Artifact) -> dict[str, Any]:
    """Return what `--json` says of an artifact's pictures.

    Parameters
    ----------
    artifact : Artifact
        Predictions or an evaluation, complete or not.

    Returns
    -------
    dict
        The facts, and the distance of each picture by its id; empty where nothing is known.
    """
    distances = familiarity.distances_of(artifact)
    if distances is None:
        return {}
    known = facts_of(distances)[FACT]
    return {FACT: {**known, "distances": dict(zip(artifact.texts("id"), distances, strict=True))}}


def answer(result: Result) -> Answer:
    """Answer with the reference, and say which pictures are unlike those that the model learned from.

    Parameters
    ----------
    result : Result
        Of `predict` or `render`.

    Returns
    -------
    Answer
    """
    artifact = result.artifact
    value = {**result.json(), **(in_json(artifact) if artifact.kind == "predictions" else {})}
    return Answer(value, [artifact.id], said=said_of(artifact.facts))
