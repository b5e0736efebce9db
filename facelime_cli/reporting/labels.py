"""What several explanations are called beside each other: the settings in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.reporting.explanations import Explanations

METHOD = "how"
"""Key of the method's name among the settings of an explanation."""
NO_SETTINGS = frozenset({"pictures", "classes"})
"""Parameters that say nothing of how an explanation was made."""
EXPLAINING_KINDS = frozenset({"segments", "masks", "predictions", "surrogates"})
"""Kinds whose parameters are settings of an explanation."""
FILL = "fill"
"""Where nothing was fitted to samples, only the parameters of masks that begin so are settings."""


def labels_of(compared: Sequence[Explanations]) -> list[str]:
    """Return a label for each of several explanations: the settings that all have, and in whose values they differ.

    Parameters
    ----------
    compared : sequence of Explanations

    Returns
    -------
    list of str
        Each its own: where settings do not tell two apart, their ids do.
    """
    settings = [_settings(each) for each in compared]
    differing = [name for name in settings[0] if _differ([each.get(name) for each in settings])]
    labels = [_label(each, differing) for each in settings]
    found = []
    for label, each in zip(labels, compared, strict=True):
        alone = bool(label) and labels.count(label) == 1
        found.append(label if alone else f"{label or 'surrogates'} ({each.surrogates.id})")
    return found


def _differ(values: Sequence[Any]) -> bool:
    """Return whether all have a value, and not all the same."""
    # As text: some parameters are lists, which a set cannot hold.
    known = {str(value) for value in values}
    return all(value is not None for value in values) and len(known) > 1


def _label(settings: dict[str, Any], names: Sequence[str]) -> str:
    words = []
    for name in names:
        value = str(settings[name])
        setting = name.rpartition(" ")[2].replace("_", " ")
        # The method is a name of its own: "Grad-CAM" says more than "how Grad-CAM".
        words.append(value if name == METHOD else f"{setting} {value}")
    return ", ".join(words)


def _settings(explanations: Explanations) -> dict[str, Any]:
    """Return every parameter on the way to some explanations, and their model."""
    found = {"model": explanations.model.name, METHOD: explanations.method}
    # Views differ in what they were made from: a consensus is told by its method and its own parameters.
    joined = explanations.n_views is not None
    origins = [explanations.segmentation, explanations.surrogates] if joined else explanations.origins
    for made in origins:
        if made.kind not in EXPLAINING_KINDS:
            continue
        # Occlusion takes only the fill of its masks: how their samples were drawn did not matter.
        unfitted_masks = made.kind == "masks" and explanations.predictions is None
        counted = FILL if unfitted_masks else ""
        for name, value in made.parameters.items():
            if name not in NO_SETTINGS and name.startswith(counted):
                found[f"{made.kind} {name}"] = value
    return found
