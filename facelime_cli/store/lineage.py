"""Which artifacts of a store were made from which, seen from both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.errors import BrokenError

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.references import Store


class Lineage:
    """The artifacts of a store, and what each was made from.

    Parameters
    ----------
    store : Store

    Attributes
    ----------
    artifacts : dict of str to Artifact
        Every artifact by its reference, as of the last look: by kind and id.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.artifacts: dict[str, Artifact] = {}
        self._parents: dict[str, list[str]] = {}
        self.look()

    def look(self) -> None:
        """Look again which artifacts are there. Of those that were there before, nothing is read again."""
        known = self.artifacts
        # What made an artifact is written once and never changes.
        self.artifacts = {each.reference: known.get(each.reference, each) for each in self._store.artifacts()}
        for reference, artifact in self.artifacts.items():
            if reference not in self._parents:
                self._parents[reference] = origins(artifact)

    def parents(self, reference: str) -> list[str]:
        """Return what an artifact was made from directly, in the order of its inputs; some may be gone."""
        return self._parents.get(reference, [])

    def children(self, reference: str) -> list[str]:
        """Return what was made directly from an artifact, by kind and id."""
        return [each for each in self.artifacts if reference in self.parents(each)]

    def above(self, reference: str) -> set[str]:
        """Return everything that an artifact was made from, as far as it is there."""
        found: set[str] = set()
        ahead = set(self.parents(reference))
        # A damaged store may lead round and round.
        while ahead:
            found |= ahead
            ahead = {parent for each in ahead for parent in self.parents(each)} - found
        return found & self.artifacts.keys()

    def below(self, reference: str) -> list[str]:
        """Return everything that was made from an artifact; what was made from another stands before that other.

        Parameters
        ----------
        reference : str

        Returns
        -------
        list of str
            Without what the artifact was made from itself: in a damaged store both may be true.
        """
        seen = {reference, *self.above(reference)}
        found: list[str] = []
        waiting = [(reference, iter(self.children(reference)))]
        while waiting:
            one, ahead = waiting[-1]
            child = next((each for each in ahead if each not in seen), None)
            if child is not None:
                seen.add(child)
                waiting.append((child, iter(self.children(child))))
                continue
            waiting.pop()
            if one != reference:
                found.append(one)
        return found

    def depths(self) -> dict[str, int]:
        """Return how many steps each artifact lies behind what was made from nothing in the store, at most."""
        found: dict[str, int] = {}
        left = list(self.artifacts)
        while left:
            ready = [each for each in left if not set(self.parents(each)) & set(left)]
            # Of artifacts that were made from each other, any may come first.
            for each in ready or left[:1]:
                found[each] = 1 + max((found.get(one, 0) for one in self.parents(each)), default=0)
            left = [each for each in left if each not in found]
        return found


def origins(artifact: Artifact) -> list[str]:
    """Return the references of what an artifact was made from directly.

    Parameters
    ----------
    artifact : Artifact

    Returns
    -------
    list of str
        Each once, in the order of its inputs; none where its layout cannot be read.
    """
    try:
        given = artifact.inputs.values()
    except BrokenError:
        return []
    return list(dict.fromkeys(f"{each['kind']}/{each['id']}" for each in given if each.keys() >= {"kind", "id"}))
