"""Surrogates against scikit-learn, against the lime package, and against functions whose answer is known."""

import numpy as np
import pytest
import sklearn.linear_model
from lime.lime_base import LimeBase
from sklearn.metrics import pairwise_distances

from facelime_cli import choices
from facelime_cli.choices import NEAR, SURROGATES
from facelime_cli.core import linear, surrogate
from facelime_cli.core.masks import bernoulli, key_of

S, K, C = 400, 30, 3
SELECTIONS = {"highest": "highest_weights", "forward": "forward_selection", "lars": "lasso_path"}


def fit(name, z, y, weights, **parameters):
    defaults = {key: value for key, value in SURROGATES[name].settings.items() if key not in NEAR}
    return surrogate.fitter(name, {**defaults, **parameters})(z.astype(float), y, weights)


@pytest.fixture
def data(rng):
    z = bernoulli(key_of(0, "p", "mask"), S, K, 0.5)
    curve = z @ rng.normal(size=(K, C)) * 0.2 + 0.3 * z[:, :1] * z[:, 1:2]
    return z, 1 / (1 + np.exp(-curve)), surrogate.cosine_weights(z, 0.25)


def limes(z, y, distances, c, features, selection):
    """Return coefficients, intercept and value on the full picture of the lime package."""
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)), random_state=0)
    intercept, pairs, _, local = base.explain_instance_with_data(
        z.astype(float), y, distances, c, features, feature_selection=selection
    )
    coefficients = np.zeros(z.shape[1])
    coefficients[[k for k, _ in pairs]] = [value for _, value in pairs]
    return coefficients, intercept, local[0]


def distances_of(z):
    return pairwise_distances(z.astype(float), np.ones((1, z.shape[1])), metric="cosine").ravel()


def test_every_surrogate_of_the_command_line_is_there():
    assert all(callable(entry.load()) for entry in SURROGATES.values())


def test_weights_are_limes(data):
    z, _, weights = data
    with_empty = np.vstack([z, np.zeros((1, K), bool)]).astype(float)
    distances = pairwise_distances(with_empty, with_empty[:1], metric="cosine").ravel()
    assert (
        np.abs(
            surrogate.cosine_weights(with_empty.astype(bool), 0.25) - np.sqrt(np.exp(-(distances**2) / 0.25**2))
        ).max()
        < 1e-12
    )
    assert weights[0] == 1


def test_pixel_weights_are_those_of_the_composed_pictures(rng):
    image, fill = (rng.integers(0, 256, (9, 7, 3), dtype=np.uint8) for _ in range(2))
    segments = rng.integers(0, 4, (9, 7)).astype(np.uint16)
    z = bernoulli(key_of(0, "p", "mask"), 20, 4, 0.5)
    found = surrogate.pixel_weights(z, surrogate.pixel_change(image, fill, segments), 2.0)
    for kept, weight in zip(z, found, strict=True):
        composed = np.where(kept[segments][..., None], image, fill)
        distance = np.linalg.norm(image / 255 - composed / 255)
        assert weight == pytest.approx(np.sqrt(np.exp(-(distance**2) / 2.0**2)), abs=1e-12)


def test_ridge_is_scikit_learns(data):
    z, y, weights = data
    theirs = sklearn.linear_model.Ridge(alpha=1).fit(z, y, sample_weight=weights)
    ours = fit("ridge", z, y, weights)
    assert np.abs(ours.coefficients - theirs.coef_.T).max() < 1e-10
    assert np.abs(ours.intercept - theirs.intercept_).max() < 1e-10


def test_linear_is_scikit_learns(data):
    z, y, weights = data
    theirs = sklearn.linear_model.LinearRegression().fit(z, y, sample_weight=weights)
    ours = fit("linear", z, y, weights)
    assert np.abs(ours.coefficients - theirs.coef_.T).max() < 1e-9
    assert np.abs(ours.predict(z.astype(float)) - theirs.predict(z)).max() < 1e-9


def test_lasso_is_scikit_learns_and_leaves_segments_out(data):
    z, y, weights = data
    ours = fit("lasso", z, y, weights)
    for c in range(C):
        theirs = sklearn.linear_model.Lasso(alpha=0.01).fit(z, y[:, c], sample_weight=weights)
        assert np.abs(ours.coefficients[:, c] - theirs.coef_).max() < 1e-6
        assert abs(ours.intercept[c] - theirs.intercept_) < 1e-6
    assert 0 < (ours.coefficients == 0).sum() < ours.coefficients.size


def test_bayesian_ridge_is_scikit_learns(data):
    z, y, weights = data
    ours = fit("bayesian-ridge", z, y, weights)
    effective = weights.sum() ** 2 / (weights**2).sum()
    theirs = sklearn.linear_model.BayesianRidge(tol=1e-6).fit(
        z, y[:, 1], sample_weight=weights * effective / weights.sum()
    )
    assert np.abs(ours.coefficients[:, 1] - theirs.coef_).max() < 1e-12
    assert np.abs(ours.covariance[1] - theirs.sigma_).max() < 1e-12
    assert abs(ours.intercept[1] - theirs.intercept_) < 1e-12


def test_ridge_is_the_lime_packages(data):
    z, y, weights = data
    ours = fit("ridge", z, y, weights)
    for c in range(C):
        coefficients, intercept, local = limes(z, y, distances_of(z), c, K, "none")
        assert np.abs(ours.coefficients[:, c] - coefficients).max() < 1e-8
        assert abs(ours.intercept[c] - intercept) < 1e-8
        assert abs(ours.predict(np.ones((1, K)))[0, c] - local) < 1e-8


@pytest.mark.parametrize("surrogate_name", SELECTIONS)
@pytest.mark.parametrize("features", [1, 4, 10, 25, 100])
def test_selections_are_the_lime_packages(data, surrogate_name, features):
    z, y, weights = data
    ours = fit(surrogate_name, z, y, weights, features=features)
    for c in range(C):
        coefficients, intercept, local = limes(z, y, distances_of(z), c, features, SELECTIONS[surrogate_name])
        assert np.array_equal(ours.coefficients[:, c] != 0, coefficients != 0)
        assert np.abs(ours.coefficients[:, c] - coefficients).max() < 1e-8
        assert abs(ours.intercept[c] - intercept) < 1e-8
        assert abs(ours.predict(np.ones((1, K)))[0, c] - local) < 1e-8


@pytest.mark.parametrize("surrogate_name", SELECTIONS)
def test_selections_choose_for_each_class_alone(surrogate_name, rng):
    z = bernoulli(key_of(0, "p", "mask"), S, K, 0.5)
    y = (
        np.stack([z[:, 3] * 0.4 + z[:, 7] * 0.2, z[:, 20] * 0.3 - z[:, 9] * 0.2], axis=1)
        + rng.normal(size=(S, 2)) * 0.01
    )
    found = fit(surrogate_name, z, y, surrogate.cosine_weights(z, 0.25), features=2).coefficients
    assert [np.flatnonzero(each).tolist() for each in found.T] == [[3, 7], [9, 20]]


@pytest.mark.parametrize("surrogate_name", SELECTIONS)
def test_a_segment_that_is_always_kept_is_never_chosen_before_one_that_matters(surrogate_name, rng):
    z = bernoulli(key_of(0, "p", "mask"), S, 6, 0.5)
    z[:, 0] = True
    z[:, 2] = z[:, 1]
    y = (z @ np.array([0, 0.2, 0.0, 0.1, 0, 0]))[:, None] + rng.normal(size=(S, 1)) * 0.001
    found = fit(surrogate_name, z, y, np.ones(S), features=3).coefficients[:, 0]
    assert found[0] == 0
    assert found[1] + found[2] == pytest.approx(0.2, abs=0.01)
    assert found[3] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("name", ["ridge", "linear", "shapley"])
@pytest.mark.parametrize("design", choices.DESIGNS)
def test_a_linear_model_gets_its_own_coefficients_back(name, design, rng):
    z = choices.DESIGNS[design].load()(key_of(0, "p", "mask"), 512, 9, 0.5)
    truth = rng.normal(size=(9, C)) * 0.02
    inside = (z.any(axis=1) & ~z.all(axis=1)).astype(float)
    ours = fit(
        name,
        z,
        0.4 + z @ truth,
        inside if name == "shapley" else np.ones(len(z)),
        **({"alpha": 1e-9} if name == "ridge" else {}),
    )
    assert np.abs(ours.coefficients - truth).max() < 1e-10
    assert np.abs(ours.intercept - 0.4).max() < 1e-10


def test_fewer_samples_than_segments_take_the_least_norm(rng):
    z, y = (rng.random((10, 20)) < 0.5).astype(float), rng.random((10, 1))
    ours = fit("linear", z, y, np.ones(10))
    theirs = np.linalg.lstsq(z - z.mean(0), y - y.mean(0), rcond=None)[0]
    assert np.abs(ours.coefficients - theirs).max() < 1e-10


@pytest.mark.parametrize("name", SURROGATES)
def test_a_sample_of_weight_0_is_not_fitted(name, data):
    """The bootstrap relies on it: twice the weight is the same sample twice, and weight 0 is no sample.

    The lasso iterates, and the evidence counts samples by their effective number.
    """
    z, y, weights = data
    z = np.vstack([z, np.zeros((1, K), bool)])
    y, weights = np.vstack([y, y[:1] / 2]), np.append(weights, 0.0)
    times = np.random.default_rng(0).integers(0, 3, len(z))
    times[[0, -1]] = 1
    weighted, repeated = (
        fit(name, z, y, weights * times),
        fit(name, *(np.repeat(each, times, axis=0) for each in (z, y, weights))),
    )
    tolerance = 1e-3 if name in {"lasso", "bayesian-ridge"} else 1e-8
    assert np.abs(weighted.coefficients - repeated.coefficients).max() < tolerance
    assert np.abs(weighted.intercept - repeated.intercept).max() < tolerance


@pytest.mark.parametrize("name", ["linear", "shapley"])
def test_a_smoother_says_what_each_sample_does(name, data):
    z, y, weights = data
    weights = weights * (~z.all(axis=1) if name == "shapley" else 1)
    found = fit(name, z, y, weights)
    moved = y.copy()
    moved[7] += 1
    again = fit(name, z, moved, weights)
    assert (
        np.abs(again.coefficients - found.coefficients - (found.smoother.lever[7] * weights[7])[:, None]).max() < 1e-9
    )
    assert (
        abs(
            (again.predict(z[7:8].astype(float)) - found.predict(z[7:8].astype(float)))[0, 0]
            - found.smoother.leverage[7]
        )
        < 1e-9
    )


def test_ridge_without_bias_is_nearly_least_squares(data):
    z, y, weights = data
    penalised, least = fit("ridge", z[:150], y[:150], weights[:150]), fit("linear", z[:150], y[:150], weights[:150])
    assert (
        np.abs(penalised.unbiased - least.coefficients).max()
        < 0.15 * np.abs(penalised.coefficients - least.coefficients).max()
    )
    assert (
        np.abs(
            penalised.smoother.spread @ (penalised.smoother.regressors.T @ (weights[:150, None] * y[:150]))
            - penalised.unbiased
        ).max()
        < 1e-9
    )


def test_the_inverse_of_a_singular_matrix_is_the_pseudo_inverse(rng):
    half = rng.normal(size=(7, 4))
    for gram in (half @ half.T, half.T @ half, np.zeros((3, 3))):
        assert np.abs(linear.inverse(gram) - np.linalg.pinv(gram, hermitian=True)).max() < 1e-9
