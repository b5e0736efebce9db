"""The arrays of every explanation."""

import numpy as np

from facelime_cli.store.arrays import Layout
from facelime_cli.store.explanations import SCALARS, empty_arrays, explanation_arrays, unfitted_arrays
from facelime_cli.store.manifests import Identity


def artifact_of(store, kind, layout):
    return store.create(kind, "some", Identity(kind, 1, {}, {}), {}, layout)


def test_shapes_and_measures(store):
    counts = {"n_segments": (np.array([4, 9, 7], np.int32), ("picture",))}
    segments = artifact_of(store, "segments", Layout(3, {}, counts))
    model = artifact_of(store, "models", Layout(1, facts={"classes": ["a", "b"]}))
    fitted = explanation_arrays(segments, 2, "probability", SCALARS)
    assert fitted["coefficients"].shape == fitted["p_sign"].shape == (3, 2, 9)
    assert fitted["interval"].shape == (3, 2, 9, 2)
    assert {name: fitted[name].measure for name in SCALARS} == SCALARS
    unfitted = unfitted_arrays(segments, model, "share")
    assert list(unfitted) == [*fitted, "probabilities"]
    assert unfitted["coefficients"].measure == unfitted["interval"].measure == "share"
    assert {unfitted[name].measure for name in SCALARS} == {""}


def test_a_unit_begins_with_nothing_in_it(store):
    counts = {"n_segments": (np.array([4, 9, 7], np.int32), ("picture",))}
    segments = artifact_of(store, "segments", Layout(3, {}, counts))
    arrays = explanation_arrays(segments, 2, "probability", SCALARS)
    explanation = artifact_of(store, "surrogates", Layout(3, arrays, counts))
    parts = empty_arrays(explanation, 2)
    assert list(parts) == list(arrays)
    assert parts["interval"].shape == (2, 2, 9, 2)
    assert (parts.pop("verdict") == "").all()
    assert all(np.isnan(each).all() and each.dtype == np.float64 for each in parts.values())
