"""What made an artifact, from what, and what is in its arrays: the tables of `show`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.console import Answer, Table, size_text
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.store import digests
from facelime_cli.store.artifacts import standing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

LONGEST_VALUE = 200
"""Letters of a value that a table shows."""
DIGEST_DIGITS = 16
"""Of a digest, as many digits as nobody confuses."""
TEXTS = 3
"""How many texts of an array are shown."""
ARRAY_COLUMNS = ("array", "type", "shape", "dimensions", "unit", "values")


@dataclass
class Summary:
    """What is known of an array's values, gathered unit by unit.

    Attributes
    ----------
    total, missing : int
        How many values there are, and how many of them are no numbers.
    least, most : float or None
        None while there is no number.
    texts : list of str
        The first ones.
    """

    total: int
    missing: int
    least: float | None
    most: float | None
    texts: list[str]

    def add(self, values: NDArray[Any]) -> None:
        """Count some values.

        Parameters
        ----------
        values : array
            Of numbers or strings.
        """
        self.total += values.size
        if values.dtype.kind in digests.TEXT_KINDS:
            wanted = TEXTS - len(self.texts)
            first = values.ravel()[:wanted]
            self.texts += [str(each) for each in first]
            return
        # One infinite value would hide the range of all others.
        known = values[np.isfinite(values)]
        self.missing += values.size - known.size
        if known.size:
            least, most = float(known.min()), float(known.max())
            self.least = least if self.least is None else min(least, self.least)
            self.most = most if self.most is None else max(most, self.most)

    def as_json(self, *, complete: bool) -> dict[str, Any]:
        """Return it as JSON values.

        Parameters
        ----------
        complete : bool
            Whether there will be no more values.
        """
        if self.texts:
            words = ", ".join(self.texts)
            if self.total > len(self.texts):
                words += " …"
            return {"summary": _short(words)}
        words = "none" if complete else "nothing yet"
        if self.least is not None:
            words = f"{self.least:.6g} … {self.most:.6g}"
        if self.missing:
            percent = 100 * self.missing / self.total
            words += f"; {percent:.1f} % NaN"
        return {"summary": words, "least": self.least, "most": self.most, "nan": self.missing}


def answer(artifact: Artifact) -> Answer:
    """Return everything that is known of an artifact, as a JSON value and as tables.

    Parameters
    ----------
    artifact : Artifact
        It may be unfinished.
    """
    state = standing(artifact)
    # Also of an unfinished artifact: the values of the units that are done.
    arrays = {name: _array(artifact, name) for name in artifact.arrays}
    value = {**state, "path": str(artifact.path.absolute()), "manifest": artifact.made, "arrays": arrays}
    tables = [Table(("what", "value"), _heading(artifact, state))]
    if arrays:
        rows = [_array_row(name, each) for name, each in arrays.items()]
        tables.append(Table(ARRAY_COLUMNS, rows))
    return Answer(value, tables=tables)


def pictures(artifact: Artifact) -> list[dict[str, Any]]:
    """Return verdict and regions of each picture and class, as JSON values.

    Parameters
    ----------
    artifact : Artifact
        Surrogates, or a check of some; a complete one.

    Returns
    -------
    list of dict
        As `Explanations.ranked_json` gives them: each picture's most probable classes and its true one.
    """
    explanations = Explanations.of(artifact)
    rows = range(len(explanations))
    return [explanations.ranked_json(row, c) for row in rows for c in explanations.shown(row, None)]


def _heading(artifact: Artifact, state: dict[str, Any]) -> list[tuple[str, str]]:
    names = ", ".join(artifact.names)
    size = size_text(state["bytes"])
    found = [("artifact", artifact.reference), ("names", names), ("state", state["state"])]
    found.append(("stage", f"{artifact.stage} (version {artifact.version})"))
    found.append(("size", size))
    found.append(("fingerprint", artifact.fingerprint))
    for name, each in artifact.inputs.items():
        # Files are inputs too, of which only the digest is known.
        words = f"digest {each['digest'][:DIGEST_DIGITS]}"
        if "id" in each:
            words = f"{each['kind']}/{each['id']}"
        found.append((f"input {name}", words))
    for name, value in artifact.parameters.items():
        words = _short(value)
        found.append((name, words))
    for name, value in artifact.facts.items():
        words = _short(value)
        found.append((f"fact {name}", words))
    return found


def _array(artifact: Artifact, name: str) -> dict[str, Any]:
    """Return how an array is stored and what is in it, as JSON values."""
    spec = artifact.spec(name)
    summary = Summary(total=0, missing=0, least=None, most=None, texts=[])
    # Unit by unit, since an array may be larger than memory.
    for unit in range(artifact.n_units):
        rows = artifact.rows(unit)
        values = artifact.read(name, rows)
        summary.add(values)
    found: dict[str, Any] = {"dtype": spec.dtype, "shape": list(spec.shape)}
    found["dimensions"] = list(spec.dimensions)
    found["unit"] = spec.measure
    found |= summary.as_json(complete=artifact.complete)
    return found


def _array_row(name: str, array: dict[str, Any]) -> tuple[str, ...]:
    lengths = [str(length) for length in array["shape"]]
    shape = "×".join(lengths)
    dimensions = ", ".join(array["dimensions"])
    unit, values = array["unit"], array["summary"]
    return name, array["dtype"], shape, dimensions, unit, values


def _short(value: Any) -> str:
    text = str(value)
    if len(text) <= LONGEST_VALUE:
        return text
    return text[: LONGEST_VALUE - 1] + "…"
