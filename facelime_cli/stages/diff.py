"""Say what differs between two artifacts of a kind: parameters, inputs, versions and results.

Where inputs differ, the parameters that made these are compared too, so that the cause is named wherever it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facelime_cli.console import Answer, Table, size_text
from facelime_cli.engine import BULKY_FACTS, Command, Context
from facelime_cli.errors import WrongKindError
from facelime_cli.options import Input
from facelime_cli.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.store.artifacts import Artifact

LONGEST = 60
"""Letters of a value that a table shows."""
NOTHING = "—"
"""What stands where one of the two has no value."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `diff`."""

    first: Annotated[
        str,
        Argument(metavar="A", help="Artifact, or - to read it from standard input.", show_default=False),
        Input(KINDS),
    ]
    second: Annotated[str, Argument(metavar="B", help="Another one of its kind.", show_default=False), Input(KINDS)]


def run(params: Params, context: Context) -> Answer:
    """Compare two complete artifacts."""
    from facelime_cli.reporting import differences

    first = context.store.resolve(params.first).require_complete()
    second = context.store.resolve(params.second).require_complete()
    if first.kind != second.kind:
        raise WrongKindError(
            f"{first.reference} is of kind {first.kind}, and {second.reference} of kind {second.kind}; "
            "name two artifacts of one kind."
        )
    inputs, parameters = differences.of_origins(first, second)
    facts = [differences.of_values(_facts(first), _facts(second)), differences.of_values(_cost(first), _cost(second))]
    arrays = differences.of_arrays(first, second)
    value = {
        "first": first.reference,
        "second": second.reference,
        "same_content": first.content == second.content,
        "inputs": inputs,
        "parameters": parameters,
        "versions": differences.of_values(_versions(first), _versions(second)),
        "facts": facts[0],
        "cost": facts[1],
        "arrays": arrays,
    }
    return Answer(value, [_in_words(first, second)], _tables(value))


def _facts(artifact: Artifact) -> dict[str, Any]:
    return {name: value for name, value in artifact.facts.items() if name not in BULKY_FACTS - {"classes"}}


def _cost(artifact: Artifact) -> dict[str, Any]:
    return {"seconds": artifact.made["seconds"], "bytes": artifact.n_bytes}


def _versions(artifact: Artifact) -> dict[str, Any]:
    made = artifact.made
    return {
        artifact.stage: artifact.version,
        "software": artifact.software,
        "hardware": made.get("hardware", {}),
    }


def _in_words(first: Artifact, second: Artifact) -> str:
    if first.path == second.path:
        return f"{first.reference} was compared with itself"
    same = "hold the same" if first.content == second.content else "differ"
    return f"{first.reference} and {second.reference} {same}"


def _tables(value: Mapping[str, Any]) -> list[Table]:
    """Return a table for each thing that differs; the two artifacts are A and B."""
    tables = [
        _table("parameters", value["parameters"], "stage", "name"),
        _table("inputs", value["inputs"], "of", "name"),
        _table("versions", value["versions"], "name"),
        _table("facts", value["facts"], "name"),
    ]
    other = [each for each in value["arrays"] if not each["same"]]
    if other:
        tables.append(Table(("array", "how far"), [(each["array"], each["words"]) for each in other], "arrays"))
    cost = [(each["name"], *_cost_words(each)) for each in value["cost"]]
    tables.append(Table(("", "A", "B"), cost, "cost") if cost else None)
    return [each for each in tables if each is not None]


def _table(title: str, found: Sequence[Mapping[str, Any]], *keys: str) -> Table | None:
    rows = [(*(str(each[key]) for key in keys), _short(each["first"]), _short(each["second"])) for each in found]
    return Table((*keys, "A", "B"), rows, title) if rows else None


def _cost_words(each: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        size_text(each[side]) if each["name"] == "bytes" else f"{each[side]:.3g} s" for side in ("first", "second")
    )


def _short(value: Any) -> str:
    text = NOTHING if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


COMMAND = Command("diff", Params, run, __doc__ or "")
