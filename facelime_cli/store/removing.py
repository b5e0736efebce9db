"""Removing several artifacts: what was made from another goes first, and what somebody uses stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facelime_cli.store.lineage import Lineage
    from facelime_cli.store.references import Store


def in_order(lineage: Lineage, references: Iterable[str]) -> list[str]:
    """Return artifacts so that what was made from another stands before that other.

    Parameters
    ----------
    lineage : Lineage
    references : iterable of str

    Returns
    -------
    list of str
        Whoever removes them in this order may be killed: nothing is left that lacks its inputs.
    """
    depths = lineage.depths()
    return sorted(references, key=lambda each: -depths[each])


def remove(store: Store, lineage: Lineage, reference: str) -> None:
    """Remove one artifact, unless something was made from it since the store was looked at.

    Parameters
    ----------
    store : Store
    lineage : Lineage
    reference : str

    Raises
    ------
    BusyError
        When a process works on it, or something that is there was made from it.
    OSError
        When it cannot be removed.
    """

    def refuse_if_used() -> None:
        lineage.look()
        children = [each for each in lineage.children(reference) if each not in lineage.above(reference)]
        if children:
            raise BusyError(f"{children[0]} was made from {reference}; remove that first.")

    artifact = lineage.artifacts[reference]
    # Before and after it is out of sight: a process may lay something out in between.
    refuse_if_used()
    store.remove(artifact, refuse_if_used)
