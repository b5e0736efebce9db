"""What explanations were made from: their runs, the check of some, and what a report stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.errors import BrokenError, NotFoundError

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact


@dataclass(frozen=True)
class Run:
    """One run behind some explanations: a view of a consensus, or the only one.

    Attributes
    ----------
    surrogates : Artifact
    masks, predictions : Artifact or None
        What they come from, where they come from samples. Of masks, occlusion takes the fill alone.
    fitted_as : Artifact
        The surrogates whose parameters say how these were fitted: themselves, or those that a contrast was made from.
    """

    surrogates: Artifact
    masks: Artifact | None
    predictions: Artifact | None
    fitted_as: Artifact

    @classmethod
    def of(cls, surrogates: Artifact) -> Run:
        """Return the run that made some surrogates.

        Parameters
        ----------
        surrogates : Artifact
            No consensus: that comes from several runs.
        """
        fitted_as = _input(surrogates, "surrogates") or surrogates
        return cls(surrogates, _nearest(surrogates, "masks"), predictions_of(surrogates), fitted_as)

    @property
    def fill(self) -> str | None:
        """What stood in for a region, a key of `choices.FILLS`; None where nothing was replaced."""
        return None if self.masks is None else str(self.masks.parameters["fill"])

    @property
    def origins(self) -> list[Artifact | None]:
        """What it was made from, in order."""
        return [self.surrogates.input("segments"), self.masks, self.predictions, self.fitted_as, self.surrogates]


def explained_by(artifact: Artifact) -> tuple[Artifact, Artifact | None]:
    """Return the surrogates that an artifact stands for, and their check.

    Parameters
    ----------
    artifact : Artifact
        Of any kind. A check stands for what it checked, a report of `render` for what it was given first.

    Returns
    -------
    surrogates : Artifact
        Any other artifact is returned itself.
    check : Artifact or None
    """
    # A comparison has several surrogates, none of which is the one.
    given = _input(artifact, "surrogates") if artifact.stage == "render" else None
    shown = given or artifact
    if shown.kind != "checks":
        return shown, None
    return _input(shown, "surrogates") or shown, shown


def method_of(surrogates: Artifact) -> str:
    """Return what the explanations of some surrogates are called.

    Parameters
    ----------
    surrogates : Artifact
    """
    named = surrogates.facts.get("method")
    if named:
        return str(named)
    return "KernelSHAP" if surrogates.parameters.get("surrogate") == "shapley" else "LIME"


def predictions_of(surrogates: Artifact) -> Artifact | None:
    """Return what some surrogates, or those that they contrast, were fitted to.

    Only direct inputs count: masks of a later round come from predictions too, which are another explanation's.

    Parameters
    ----------
    surrogates : Artifact

    Returns
    -------
    Artifact or None
        None where nothing was fitted.
    """
    made_from = _input(surrogates, "surrogates") or surrogates
    return _input(made_from, "predictions")


def _input(artifact: Artifact, name: str) -> Artifact | None:
    """Return what an artifact was made from directly under a name, or None."""
    given = artifact.inputs.get(name)
    return None if given is None else artifact.store.stored(given["kind"], given["id"])


def _nearest(artifact: Artifact, kind: str) -> Artifact | None:
    """Return the nearest artifact of a kind among what another was made from, or None."""
    try:
        return artifact.input(kind)
    except (NotFoundError, BrokenError):
        return None
