"""How artifacts stand: how far they are, how large, and what is wrong with them. A broken one hides no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError
from facelime_cli.store.verifying import Fault, faults

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact


def size_of(artifact: Artifact) -> int:
    """Return the bytes of an artifact's files.

    Parameters
    ----------
    artifact : Artifact
    """
    files = (path for path in artifact.path.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)


def state_of(artifact: Artifact) -> dict[str, Any]:
    """Return how one artifact stands, as JSON values.

    Parameters
    ----------
    artifact : Artifact
        Complete, unfinished or broken.
    """
    known = {"kind": artifact.kind, "artifact": artifact.id, "names": artifact.names, "bytes": size_of(artifact)}
    try:
        return {**known, **_state(artifact)}
    except BrokenError as why:
        unknown = {"stage": "", "pictures": 0, "begun": ""}
        return {**known, "complete": False, "state": f"broken: {why}", **unknown}


def _state(artifact: Artifact) -> dict[str, Any]:
    complete = artifact.complete
    # A manifest that was changed afterwards differs from its own digest.
    if complete:
        artifact.require_complete()
    return {
        "complete": complete,
        "state": "complete" if complete else artifact.progress,
        "stage": artifact.stage,
        "pictures": artifact.n,
        "begun": artifact.begun,
    }


def faults_of(artifact: Artifact) -> list[Fault]:
    """Return what is wrong with an artifact; a broken manifest is a fault too.

    Parameters
    ----------
    artifact : Artifact
    """
    try:
        return list(faults(artifact))
    except BrokenError as why:
        return [Fault(f"{artifact.kind}/{artifact.id}", str(why).rstrip("."), None)]
