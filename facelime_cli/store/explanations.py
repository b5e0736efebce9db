"""The arrays of every explanation, of whatever method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.store.arrays import ArraySpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facelime_cli.store.artifacts import Artifact

NAN = float("nan")
SCALARS = {
    "intercept": "probability",
    "local_prediction": "probability",
    "r2": "",
    "rmse": "probability",
    "effective_samples": "",
    "topk_repeat": "probability",
}


def explanation_arrays(
    segments: Artifact, n_classes: int, unit: str, scalars: Mapping[str, str]
) -> dict[str, ArraySpec]:
    """Return the arrays that every explanation has, of whatever method: `unit` is that of a coefficient, `scalars` are the units of the figures of fidelity."""
    widest, shape = int(segments.read("n_segments").max()), (segments.n, n_classes)
    per_class = ("picture", "class")
    return {
        "coefficients": ArraySpec("float64", (*shape, widest), (*per_class, "segment"), NAN, unit),
        "interval": ArraySpec("float64", (*shape, widest, 2), (*per_class, "segment", "bound"), NAN, unit),
        "p_sign": ArraySpec("float64", (*shape, widest), (*per_class, "segment"), NAN, "probability"),
        **{name: ArraySpec("float64", shape, per_class, NAN, its) for name, its in scalars.items()},
        "verdict": ArraySpec("string", shape, per_class, ""),
    }


def unfitted_arrays(segments: Artifact, model: Artifact, unit: str) -> dict[str, ArraySpec]:
    """Return the arrays of an explanation to which nothing was fitted, so that its figures of fidelity stay NaN; the model's answers are beside them."""
    n_classes = len(model.facts["classes"])
    arrays = explanation_arrays(segments, n_classes, unit, dict.fromkeys(SCALARS, ""))
    return {
        **arrays,
        "probabilities": ArraySpec("float32", (segments.n, n_classes), ("picture", "class"), NAN, "probability"),
    }


def empty_arrays(artifact: Artifact, n: int) -> dict[str, NDArray[Any]]:
    """Return a unit's part of `unfitted_arrays`, with nothing in it yet."""
    import numpy as np

    found: dict[str, NDArray[Any]] = {}
    for name in artifact.filled_by_units():
        spec = artifact.spec(name)
        shape = (n, *spec.shape[1:])
        found[name] = (
            np.full(shape, "", dtype=object) if spec.dtype == "string" else np.full(shape, np.nan, dtype=spec.dtype)
        )
    return found
