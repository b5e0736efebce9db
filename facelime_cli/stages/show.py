"""Show one artifact: what made it, from what, and what is in its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from facelime_cli.console import Answer, Table
from facelime_cli.stage import Command, Context, Input
from facelime_cli.stages.status import describe, size_text
from facelime_cli.store import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facelime_cli.store import Artifact

LONGEST_VALUE = 200


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `show`."""

    reference: Annotated[str, Argument(metavar="REF", help="Artifact, or - to read it from standard input.", show_default=False), Input(KINDS)]


def run(params: Params, context: Context) -> Answer:
    """Describe one artifact."""
    artifact = context.store.resolve(params.reference)
    state = describe(artifact)
    made = artifact.manifest if artifact.complete else artifact.layout
    arrays = {name: {**{k: spec[k] for k in ("dtype", "shape", "dimensions", "unit")}, **_summary(artifact, name)} for name, spec in artifact.layout["arrays"].items()}
    heading = [("artifact", f"{artifact.kind}/{artifact.id}"), ("names", ", ".join(artifact.names)), ("state", state["state"]), ("stage", f"{made['stage']} (version {made['stage_version']})")]
    heading += [("size", size_text(state["bytes"])), ("fingerprint", made["fingerprint"])]
    heading += [(f"input {name}", f"{each['kind']}/{each['id']}" if "id" in each else f"digest {each['digest'][:16]}") for name, each in made["inputs"].items()]
    heading += [(name, _short(value)) for name, value in made["parameters"].items()]
    heading += [(f"fact {name}", _short(value)) for name, value in artifact.facts.items()]
    tables = [Table(("what", "value"), heading)]
    if arrays:
        rows = [(name, each["dtype"], "×".join(map(str, each["shape"])), ", ".join(each["dimensions"]), each["unit"], each["summary"]) for name, each in arrays.items()]
        tables.append(Table(("array", "type", "shape", "dimensions", "unit", "values"), rows))
    return Answer({**state, "path": str(artifact.path.absolute()), "manifest": made, "arrays": arrays}, tables=tables)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _summary(artifact: Artifact, name: str) -> dict[str, Any]:
    """Return the range of an array, read unit by unit, and how much of it is pending."""
    import numpy as np

    least, most, missing, total, texts = np.inf, -np.inf, 0, 0, []
    for unit in range(artifact.n_units):
        values: NDArray[Any] = artifact.read(name, artifact.rows(unit))
        total += values.size
        if values.dtype.kind in "OTU":
            texts += [str(each) for each in values.ravel()[:3]]
            continue
        known = values[np.isfinite(values)]
        missing += values.size - known.size
        if known.size:
            least, most = min(least, float(known.min())), max(most, float(known.max()))
    if texts:
        return {"summary": _short(", ".join(texts[:3]) + (" …" if total > len(texts[:3]) else ""))}
    share = f"; {100 * missing / total:.1f} % NaN" if missing else ""
    span = f"{least:.6g} … {most:.6g}" if least <= most else ("none" if artifact.complete else "nothing yet")
    return {"summary": span + share, "least": least if least <= most else None, "most": most if least <= most else None, "nan": missing}


COMMAND = Command("show", Params, run, __doc__ or "")
