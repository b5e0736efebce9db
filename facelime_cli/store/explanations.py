"""The arrays of every explanation, of whatever method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.errors import NotFoundError
from facelime_cli.store.arrays import TEXT, ArraySpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

NAN = float("nan")
PROBABILITY = "probability"
"""What the answers of a model of classes are measured in."""
SCALARS = {
    "intercept": PROBABILITY,
    "local_prediction": PROBABILITY,
    "r2": "",
    "rmse": PROBABILITY,
    "effective_samples": "",
    "topk_repeat": PROBABILITY,
}
"""The figures of fidelity, and what each is measured in."""
IN_THE_UNIT = ("intercept", "local_prediction", "rmse")
"""Those of them that are measured in the unit of the answers."""
PER_CLASS = ("picture", "class")


def measure_of(answers: Artifact) -> str:
    """Return what answers are measured in.

    Parameters
    ----------
    answers : Artifact
        A model, or what was made with it.

    Returns
    -------
    str
        `probability`, or the unit of values, which may be empty.
    """
    # Only what answers with values has a unit.
    return str(answers.facts.get("unit", PROBABILITY))


def scalars_in(measure: str) -> dict[str, str]:
    """Return what each figure of fidelity is measured in.

    Parameters
    ----------
    measure : str
        Of the answers.
    """
    return {**SCALARS, **dict.fromkeys(IN_THE_UNIT, measure)}


def answer_facts(answers: Artifact) -> dict[str, Any]:
    """Return what the facts of everything that is made with a model say of its answers.

    Parameters
    ----------
    answers : Artifact
        The model, or what was made with it.

    Returns
    -------
    dict
        The names of its classes; or of its values, their unit, and that they are values.
    """
    facts = answers.facts
    names = ("classes", "output", "unit") if "unit" in facts else ("classes",)
    return {name: facts[name] for name in names}


def explanation_arrays(
    segments: Artifact, n_classes: int, measure: str, scalars: Mapping[str, str]
) -> dict[str, ArraySpec]:
    """Return the arrays that every explanation has, of whatever method.

    Parameters
    ----------
    segments : Artifact
        The segments that are explained; the widest picture sets the length of the segment axis.
    n_classes : int
        Number of classes, C.
    measure : str
        What a coefficient is measured in.
    scalars : mapping of str to str
        What each figure of fidelity is measured in.

    Returns
    -------
    dict of str to ArraySpec
        With N pictures, C classes and K segments: `coefficients` and `p_sign` (N, C, K) float64, `interval`
        (N, C, K, 2) float64, each figure (N, C) float64, `verdict` (N, C) string.
    """
    shape = (segments.n, n_classes)
    # Pictures differ in their number of segments, arrays do not: what is beyond a picture's own stays NaN.
    widest = int(segments.read("n_segments").max())
    per_segment = (*shape, widest)
    axes = (*PER_CLASS, "segment")
    figures = {name: ArraySpec("float64", shape, PER_CLASS, NAN, its) for name, its in scalars.items()}
    return {
        "coefficients": ArraySpec("float64", per_segment, axes, NAN, measure),
        "interval": ArraySpec("float64", (*per_segment, 2), (*axes, "bound"), NAN, measure),
        "p_sign": ArraySpec("float64", per_segment, axes, NAN, "probability"),
        **figures,
        "verdict": ArraySpec(TEXT, shape, PER_CLASS, ""),
    }


def unfitted_arrays(segments: Artifact, model: Artifact, measure: str) -> dict[str, ArraySpec]:
    """Return the arrays of an explanation to which no surrogate was fitted.

    Parameters
    ----------
    segments : Artifact
        The segments that are explained.
    model : Artifact
        The model that is explained.
    measure : str
        What a coefficient is measured in.

    Returns
    -------
    dict of str to ArraySpec
        Those of `explanation_arrays`, whose figures of fidelity stay NaN, and `probabilities` (N, C) float32: the
        model's answers for the unchanged pictures.
    """
    n_classes = len(model.facts["classes"])
    known = explanation_arrays(segments, n_classes, measure, dict.fromkeys(SCALARS, ""))
    answers = ArraySpec("float32", (segments.n, n_classes), PER_CLASS, NAN, measure_of(model))
    # No predictions lie between an explanation like this and its model, so it keeps the answers itself.
    return {**known, "probabilities": answers}


def empty_arrays(artifact: Artifact, n: int) -> dict[str, NDArray[Any]]:
    """Return a unit's part of every array that units fill, with nothing in it yet.

    Parameters
    ----------
    artifact : Artifact
        An explanation.
    n : int
        Number of pictures in the unit.

    Returns
    -------
    dict of str to (n, ...) array
        NaN everywhere, or empty texts.
    """
    import numpy as np

    found: dict[str, NDArray[Any]] = {}
    for name in artifact.filled_by_units():
        spec = artifact.spec(name)
        shape = (n, *spec.shape[1:])
        if spec.dtype == TEXT:
            found[name] = np.full(shape, "", dtype=object)
        else:
            found[name] = np.full(shape, np.nan, dtype=spec.dtype)
    return found


def views_of(surrogates: Artifact) -> list[Artifact]:
    """Return the surrogates that others were made from, such as a consensus; else themselves.

    Parameters
    ----------
    surrogates : Artifact

    Returns
    -------
    list of Artifact
    """
    return [each for each in surrogates.parents() if each.kind == "surrogates"] or [surrogates]


def masks_of(surrogates: Artifact) -> list[Artifact]:
    """Return the masks from which an explanation comes: one for each view of a consensus.

    Parameters
    ----------
    surrogates : Artifact

    Returns
    -------
    list of Artifact
        Empty for methods without masks, such as Grad-CAM.
    """
    found = []
    for each in views_of(surrogates):
        try:
            found.append(each.input("masks"))
        except NotFoundError:
            continue
    return found
