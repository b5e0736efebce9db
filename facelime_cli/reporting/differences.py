"""What differs between two artifacts of a kind: what made them, and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

AT_A_TIME = 32
"""Pictures that are compared at a time: an array may be larger than memory."""
TEXT_KINDS = "OUST"


def of_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the values that differ between two tables, those inside of tables by dotted names.

    Parameters
    ----------
    first, second : mapping of str to JSON value

    Returns
    -------
    list of dict
        `name`, `first` and `second`; None stands for a value that is not there.

    Examples
    --------
    >>> of_values({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5}})
    [{'name': 'b.c', 'first': 2, 'second': 5}, {'name': 'b.d', 'first': 3, 'second': None}]
    """
    ours, others = dict(_flat(first)), dict(_flat(second))
    names = list(dict.fromkeys((*ours, *others)))
    found = ({"name": name, "first": ours.get(name), "second": others.get(name)} for name in names)
    return [each for each in found if each["first"] != each["second"]]


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    # The files of a store are of limited depth.
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def of_origins(first: Artifact, second: Artifact) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return which inputs differ, and which parameters: of two artifacts, and of their inputs as far as these differ.

    Parameters
    ----------
    first, second : Artifact

    Returns
    -------
    inputs : list of dict
        `of` (the artifacts' kind), `name`, `first` and `second`.
    parameters : list of dict
        `stage`, `name`, `first` and `second`; the nearest first.
    """
    inputs: list[dict[str, Any]] = []
    parameters: list[dict[str, Any]] = []
    waiting, seen = [(first, second)], {(first.reference, second.reference)}
    while waiting:
        one, other = waiting.pop(0)
        stage = one.stage if one.stage == other.stage else f"{one.stage}, {other.stage}"
        parameters += [
            {"stage": stage, **each}
            for each in of_values(one.parameters, other.parameters)
            if {"stage": stage, **each} not in parameters
        ]
        for name in dict.fromkeys((*one.inputs, *other.inputs)):
            ours, others = one.inputs.get(name), other.inputs.get(name)
            if ours and others and ours["digest"] == others["digest"]:
                continue
            inputs.append({"of": one.kind, "name": name, "first": _named(ours), "second": _named(others)})
            pair = (_stored(one, ours), _stored(other, others))
            if pair[0] is not None and pair[1] is not None and (pair[0].reference, pair[1].reference) not in seen:
                seen.add((pair[0].reference, pair[1].reference))
                waiting.append((pair[0], pair[1]))
    return inputs, parameters


def _named(given: Mapping[str, Any] | None) -> str | None:
    """Return what an input is, in words."""
    if given is None:
        return None
    return f"{given['kind']}/{given['id']}" if "id" in given else f"digest {given['digest'][:16]}"


def _stored(artifact: Artifact, given: Mapping[str, Any] | None) -> Artifact | None:
    """Return an input as far as it is in the store."""
    if given is None or "id" not in given:
        return None
    return next((each for each in artifact.parents_there() if each.id == given["id"]), None)


def of_arrays(first: Artifact, second: Artifact) -> list[dict[str, Any]]:
    """Return how far the arrays differ, over the pictures that both have.

    Parameters
    ----------
    first, second : Artifact
        Complete ones of one kind.

    Returns
    -------
    list of dict
        `array`, `same`, `pictures` (that both have), `differing` (pictures), `largest` (difference; None of texts and
        of other shapes) and `words`.
    """
    rows, others = _common(first, second)
    found = []
    for name in dict.fromkeys((*first.arrays, *second.arrays)):
        known: dict[str, Any] = {
            "array": name,
            "same": False,
            "pictures": len(rows),
            "differing": None,
            "largest": None,
        }
        if not (first.has(name) and second.has(name)):
            known["words"] = f"only {(first if first.has(name) else second).reference} has it"
        elif first.digest_of(name) == second.digest_of(name):
            known |= {"same": True, "differing": 0, "words": "the same"}
        elif first.shape(name)[1:] != second.shape(name)[1:]:
            known["words"] = f"other shapes: {_by(first.shape(name))} and {_by(second.shape(name))}"
        elif not rows:
            known["words"] = "no picture is in both"
        else:
            known |= _compared(first, second, name, rows, others)
        found.append(known)
    return found


def _common(first: Artifact, second: Artifact) -> tuple[list[int], list[int]]:
    """Return the rows of the pictures that both have, in either."""
    if not (first.has("id") and second.has("id")):
        return [], []
    there = {name: row for row, name in enumerate(second.texts("id"))}
    pairs = [(row, there[name]) for row, name in enumerate(first.texts("id")) if name in there]
    return [row for row, _ in pairs], [row for _, row in pairs]


def _compared(first: Artifact, second: Artifact, name: str, rows: list[int], others: list[int]) -> dict[str, Any]:
    differing, largest = 0, None
    for start in range(0, len(rows), AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        one, other = first.read(name, rows[part]), second.read(name, others[part])
        differs, apart = _apart(one, other)
        differing += int(differs.sum())
        largest = apart if largest is None else max(largest, apart or 0.0)
    words = f"{differing} of {len(rows)} pictures differ"
    if largest:
        words += f", by up to {largest:.4g}"
    return {"same": differing == 0, "differing": differing, "largest": largest, "words": words}


def _apart(one: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[np.bool_], float | None]:
    """Return which pictures differ, and the largest difference of numbers; two missing numbers are the same."""
    if one.dtype.kind in TEXT_KINDS or other.dtype.kind in TEXT_KINDS:
        return (one != other).reshape(len(one), -1).any(axis=1), None
    one, other = one.astype(np.float64).reshape(len(one), -1), other.astype(np.float64).reshape(len(other), -1)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    gaps = np.abs(one - other)[~same & np.isfinite(one) & np.isfinite(other)]
    return ~same.all(axis=1), float(gaps.max()) if gaps.size else 0.0


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
